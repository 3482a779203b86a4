/* SPDX-License-Identifier: MIT */
/*
 * No element is written with a prefix but the stream's own, so the default
 * namespace at any place is the one of the parent. Below "stream:features"
 * and its like it is the content namespace.
 */
#include "xml/writer.h"

#include "xml/tree.h"

/* What a byte means to the one who escapes. */
enum byte_kind { PLAIN, TEXT_ESCAPE, ATTR_ESCAPE, FORBIDDEN, MANY };

#define ROW8(k) (k), (k), (k), (k), (k), (k), (k), (k)

static const uint8_t kinds[256] = {
	ROW8(FORBIDDEN),
	FORBIDDEN,
	ATTR_ESCAPE,
	ATTR_ESCAPE,
	FORBIDDEN,
	FORBIDDEN,
	TEXT_ESCAPE,
	FORBIDDEN,
	FORBIDDEN,
	ROW8(FORBIDDEN),
	ROW8(FORBIDDEN),
	['"'] = ATTR_ESCAPE,
	['\''] = ATTR_ESCAPE,
	['&'] = TEXT_ESCAPE,
	['<'] = TEXT_ESCAPE,
	['>'] = TEXT_ESCAPE,
	[0x80] = ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
	ROW8(MANY),
};

static inline void
put(struct buf *out, const char *p, size_t n)
{
	if (out->cap - out->n < n || out->p == NULL)
		buf_reserve(out, n);
	memcpy(out->p + out->n, p, n);
	out->n += n;
}

static inline void
put_str(struct buf *out, struct str s)
{
	if (s.n > 0)
		put(out, s.p, s.n);
}

#define PUT(out, literal) put((out), (literal), sizeof(literal) - 1)

static void
put_escape(struct buf *out, char c)
{
	switch (c) {
	case '<':
		PUT(out, "&lt;");
		break;
	case '>':
		PUT(out, "&gt;");
		break;
	case '&':
		PUT(out, "&amp;");
		break;
	case '"':
		PUT(out, "&quot;");
		break;
	case '\'':
		PUT(out, "&apos;");
		break;
	case '\t':
		PUT(out, "&#9;");
		break;
	case '\n':
		PUT(out, "&#10;");
		break;
	default:
		PUT(out, "&#13;");
	}
}

/* Bytes of a character beyond ASCII that XML takes; 0 if it does not. */
static size_t
many_len(struct str s)
{
	size_t len = str_utf8_len(s);

	/* U+FFFE and U+FFFF */
	if (len == 3 && memcmp(s.p, "\xef\xbf", 2) == 0 &&
	    (unsigned char)s.p[2] >= 0xbe)
		return 0;
	return len;
}

/* Kinds up to `plain` pass as they are; runs of them are copied whole. */
static void
put_escaped(struct buf *out, struct str s, enum byte_kind plain_but)
{
	size_t from = 0, i = 0;

	for (;;) {
		enum byte_kind kind;
		size_t len = 1;

		/* Nearly all of all text. */
		while (i < s.n && kinds[(unsigned char)s.p[i]] == PLAIN)
			i++;
		if (i == s.n)
			break;
		kind = kinds[(unsigned char)s.p[i]];
		if (kind == MANY)
			len = many_len(str_skip(s, i));
		if ((kind == ATTR_ESCAPE && plain_but == TEXT_ESCAPE) ||
		    (kind == MANY && len > 0)) {
			i += len;
			continue;
		}
		put_str(out, str_sub(s, from, i - from));
		if (kind == TEXT_ESCAPE || kind == ATTR_ESCAPE)
			put_escape(out, s.p[i]);
		from = ++i;
	}
	put_str(out, str_skip(s, from));
}

void
xml_escape(struct buf *out, struct str text)
{
	put_escaped(out, text, ATTR_ESCAPE);
}

/* " name='value'", and the declaration of the prefix if it needs one. */
static void
put_attr(struct buf *out, const struct attr *attr, size_t i)
{
	struct str local =
	    attr->name != AT_NONE ? names_attr_local(attr->name) : attr->local;
	size_t end = local.n;

	if (str_has_prefix(local, STR("xmlns")) &&
	    (local.n == 5 || local.p[5] == ':'))
		return; /* of a stream's root; ours are made here */
	if (local.n > 0 && local.p[0] == '{') {
		while (end > 0 && local.p[end - 1] != '}')
			end--;
		buf_printf(out, " xmlns:a%zu='", i);
		xml_escape(out, str_sub(local, 1, end > 1 ? end - 2 : 0));
		buf_printf(out, "' a%zu:", i);
		local = str_skip(local, end);
	} else {
		PUT(out, " ");
	}
	put_str(out, local);
	PUT(out, "='");
	xml_escape(out, attr->value);
	PUT(out, "'");
}

/* Is this one written as "stream:..."? Only where the written part begins. */
static bool
is_prefixed(const struct elem *e, bool is_root)
{
	return is_root && e->ns == NS_STREAM;
}

/* The default namespace in force is that of `around`; NULL: none. */
static void
put_declarations(struct buf *out, const struct elem *e,
    const struct elem *around, bool is_in_content)
{
	if (around != NULL && tree_is_same_ns(e, around))
		return;
	if (is_in_content && e->ns == NS_CLIENT)
		return;
	if (around == NULL && !is_in_content && e->ns == NS_NONE &&
	    e->ns_uri.n == 0)
		return;
	PUT(out, " xmlns='");
	xml_escape(out, elem_ns_uri(e));
	PUT(out, "'");
}

/* Whose namespace is the default one inside `e`; NULL: the content's. */
static const struct elem *
default_inside(const struct elem *e, bool is_root)
{
	return is_prefixed(e, is_root) ? NULL : e;
}

/*
 * "<name attributes", without the end of the tag. `around` and `in_content`
 * say what the default namespace is.
 */
static void
put_start(struct buf *out, const struct elem *e, const struct elem *around,
    bool is_in_content, bool is_root)
{
	if (is_prefixed(e, is_root)) {
		PUT(out, "<stream:");
		put_str(out, elem_local(e));
		if (!is_in_content) {
			PUT(out, " xmlns='jabber:client' xmlns:stream='");
			put_str(out, names_ns_uri(NS_STREAM));
			PUT(out, "'");
		}
	} else {
		PUT(out, "<");
		put_str(out, elem_local(e));
		put_declarations(out, e, around, is_in_content);
	}
	for (size_t i = 0; i < e->attr_count; i++)
		put_attr(out, &e->attrs[i], i);
}

static void
put_end(struct buf *out, const struct elem *e, bool is_root)
{
	if (is_prefixed(e, is_root))
		PUT(out, "</stream:");
	else
		PUT(out, "</");
	put_str(out, elem_local(e));
	PUT(out, ">");
}

/* All that is inside `e`, when the default there is that of `around`. */
static void
put_nodes(struct buf *out, const struct elem *e, const struct elem *around)
{
	for (const struct elem *c = e->first; c != NULL; c = c->next) {
		if (c->name == EL_CHARS) {
			put_escaped(out, c->text, TEXT_ESCAPE);
			continue;
		}
		put_start(out, c, around, around == NULL, false);
		if (c->first == NULL) {
			PUT(out, "/>");
			continue;
		}
		PUT(out, ">");
		put_nodes(out, c, c);
		put_end(out, c, false);
	}
}

void
xml_write(struct buf *out, const struct elem *e, enum xml_scope scope)
{
	put_start(out, e, NULL, scope == XML_IN_STREAM, true);
	if (e->first == NULL) {
		PUT(out, "/>");
		return;
	}
	PUT(out, ">");
	put_nodes(out, e, default_inside(e, true));
	put_end(out, e, true);
}

void
xml_write_open(struct buf *out, const struct elem *e, enum xml_scope scope)
{
	put_start(out, e, NULL, scope == XML_IN_STREAM, true);
	PUT(out, ">");
}

void
xml_write_close(struct buf *out, const struct elem *e)
{
	put_end(out, e, true);
}

void
xml_write_inside(struct buf *out, const struct elem *e)
{
	put_nodes(out, e, default_inside(e, true));
}

struct str
xml_text(struct arena *a, const struct elem *e)
{
	struct buf out = { 0 };
	struct str text;

	xml_write(&out, e, XML_STANDALONE);
	text = str_dup(a, buf_str(&out));
	buf_fini(&out);
	return text;
}
