/* SPDX-License-Identifier: MIT */
/*
 * Streams of stanzas. What one feed reports, feeds of other lengths must
 * report too, and be refused if it was; and what is reported must survive
 * being written and read again, unchanged.
 *
 * The first byte says how the stream is cut into feeds, and whether it is
 * framed; the rest is the stream. Without a header of its own it gets one.
 */
#include "xml/parser.h"
#include "xml/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* So short that no drip is cut off for the time it costs. */
static const struct xml_limits limits = {
	.bytes = 1400,
	.depth = 30,
	.elements = 300,
	.attributes = 50,
};

/* One reading: all that was reported, as text. */
struct reading {
	struct buf seen;
	enum xml_error error;
};

static bool
is_same_tree(const struct elem *a, const struct elem *b)
{
	attr_t name_a, name_b;
	struct str local_a, local_b, value_a, value_b;
	size_t i = 0;

	if (elem_name(a) != elem_name(b) || elem_ns(a) != elem_ns(b) ||
	    !str_eq(elem_local(a), elem_local(b)) ||
	    !str_eq(elem_ns_uri(a), elem_ns_uri(b)) ||
	    !str_eq(elem_chars(a), elem_chars(b)))
		return false;
	for (; elem_attr_at(a, i, &name_a, &local_a, &value_a); i++) {
		if (!elem_attr_at(b, i, &name_b, &local_b, &value_b) ||
		    name_a != name_b || !str_eq(local_a, local_b) ||
		    !str_eq(value_a, value_b))
			return false;
	}
	if (elem_attr_at(b, i, &name_b, &local_b, &value_b))
		return false;
	a = elem_first_node(a);
	b = elem_first_node(b);
	while (a != NULL && b != NULL && is_same_tree(a, b)) {
		a = elem_next_node(a);
		b = elem_next_node(b);
	}
	return a == NULL && b == NULL;
}

/* Adjacent text is one node, and no text is empty. */
static void
check_text(const struct elem *e)
{
	bool was_text = false;

	for (e = elem_first_node(e); e != NULL; e = elem_next_node(e)) {
		bool is_text = elem_name(e) == EL_CHARS;

		must(!is_text || (!was_text && elem_chars(e).n > 0));
		must(str_is_utf8(elem_chars(e)));
		was_text = is_text;
		check_text(e);
	}
}

static void
check_round_trip(const struct elem *e)
{
	struct arena *a = arena_new(0);
	enum xml_error why;
	struct elem *again = xml_parse(a, xml_text(a, e), NULL, NS_NONE, &why);

	must(again != NULL && why == XML_FINE);
	must(is_same_tree(e, again));
	must(is_same_tree(e, elem_copy(a, again)));
	arena_free(&a);
}

static void
on_open(void *ctx, struct elem *root)
{
	struct reading *r = (struct reading *)ctx;

	buf_add_str(&r->seen, STR("open "));
	xml_write(&r->seen, root, XML_STANDALONE);
}

static void
on_stanza(void *ctx, struct elem *stanza)
{
	struct reading *r = (struct reading *)ctx;
	struct arena *a = elem_arena(stanza);

	check_text(stanza);
	check_round_trip(stanza);
	buf_add_str(&r->seen, STR("\nstanza "));
	xml_write(&r->seen, stanza, XML_IN_STREAM);
	arena_free(&a);
}

static void
on_close(void *ctx)
{
	buf_add_str(&((struct reading *)ctx)->seen, STR("\nclose"));
}

static const struct xml_events events = { on_open, on_stanza, on_close };

static const struct str header =
    STR_INIT("<stream:stream xmlns='jabber:client' "
	     "xmlns:stream='http://etherx.jabber.org/streams'>");

static struct reading
read_stream(struct str bytes, bool is_framed, size_t step)
{
	struct reading r = { .error = XML_FINE };
	struct xml_stream s;

	xml_stream_init(&s, &events, &r, &limits);
	s.is_framed = is_framed;
	if (!is_framed && bytes.n > 0 && bytes.p[0] == '\n')
		must(xml_stream_feed(&s, header.p, header.n) == XML_FINE);
	while (bytes.n > 0 && r.error == XML_FINE) {
		struct str some = str_sub(bytes, 0, step);

		r.error = xml_stream_feed(&s, some.p, some.n);
		must(s.unread <= some.n);
		bytes = str_skip(bytes, some.n);
	}
	xml_stream_fini(&s);
	return r;
}

static void
check_document(struct str bytes)
{
	struct arena *a = arena_new(0);
	enum xml_error why;
	struct elem *e = xml_parse(a, bytes, &limits, NS_CLIENT, &why);

	must((e != NULL) == (why == XML_FINE));
	if (e != NULL)
		check_round_trip(e);
	arena_free(&a);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	names_init();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_mem(data, size);
	bool is_framed = size > 0 && (data[0] & 0x80) != 0;
	size_t step = size > 0 ? (data[0] & 0x0f) + 1 : 1;
	struct reading whole, parts;

	bytes = str_skip(bytes, 1);
	check_document(bytes);
	whole = read_stream(bytes, is_framed, SIZE_MAX);
	if (!is_framed) {
		parts = read_stream(bytes, false, step);
		/* Of two faults either may be seen first, but one is. */
		must((parts.error == XML_FINE) == (whole.error == XML_FINE));
		must(str_eq(buf_str(&parts.seen), buf_str(&whole.seen)));
		buf_fini(&parts.seen);
	}
	buf_fini(&whole.seen);
	return 0;
}
