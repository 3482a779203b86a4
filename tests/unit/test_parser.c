/* SPDX-License-Identifier: MIT */
#include "xml/parser.h"
#include "xml/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define STREAM_NS "http://etherx.jabber.org/streams"
#define SASL_NS "urn:ietf:params:xml:ns:xmpp-sasl"
#define HEAD \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:client' " \
	"xmlns:stream='" STREAM_NS "' to='a'>"

static const struct xml_limits limits = {
	.bytes = 400,
	.depth = 5,
	.elements = 10,
	.attributes = 8,
};

/* What a stream reported, as text: "[to]" for a header, "." for its end. */
struct reader {
	struct xml_stream stream;
	struct buf seen;
	enum xml_error error;
	const char *act; /* what to do in an event: "stop", "restart" */
};

static void
act(struct reader *r, const struct elem *e)
{
	if (r->act == NULL || elem_name(e) != EL_AUTH)
		return;
	if (strstr(r->act, "stop") != NULL)
		xml_stream_stop(&r->stream);
	if (strstr(r->act, "restart") != NULL)
		xml_stream_restart(&r->stream);
}

static void
on_open(void *ctx, struct elem *root)
{
	struct reader *r = (struct reader *)ctx;

	assert_int_equal(elem_name(root), EL_STREAM);
	buf_add_c(&r->seen, '[');
	buf_add_str(&r->seen, elem_attr(root, AT_TO));
	buf_add_c(&r->seen, ']');
}

static void
on_stanza(void *ctx, struct elem *stanza)
{
	struct reader *r = (struct reader *)ctx;
	struct arena *a = elem_arena(stanza);

	xml_write(&r->seen, stanza, XML_IN_STREAM);
	act(r, stanza);
	arena_free(&a);
}

static void
on_close(void *ctx)
{
	buf_add_c(&((struct reader *)ctx)->seen, '.');
}

static const struct xml_events events = { on_open, on_stanza, on_close };

static void
reader_init(struct reader *r, const struct xml_limits *l)
{
	*r = (struct reader){ .error = XML_FINE };
	xml_stream_init(&r->stream, &events, r, l);
}

static void
reader_feed(struct reader *r, struct str bytes, size_t step)
{
	while (bytes.n > 0 && r->error == XML_FINE) {
		struct str some = str_sub(bytes, 0, step);

		r->error = xml_stream_feed(&r->stream, some.p, some.n);
		bytes = str_skip(bytes, some.n);
	}
}

static void
reader_fini(struct reader *r)
{
	xml_stream_fini(&r->stream);
	buf_fini(&r->seen);
}

static int
setup(void **state)
{
	names_init();
	return 0;
}

static int
teardown(void **state)
{
	xml_thread_done();
	arena_thread_done();
	return 0;
}

/* Bytes of a stream, what is reported, and how it breaks. */
static const struct {
	struct str bytes;
	const char *seen;
	enum xml_error error;
} cases[] = {
	/* What is right. */
	{ STR_INIT(HEAD "<iq/></stream:stream>"), "[a]<iq/>.", XML_FINE },
	{ STR_INIT(" \r\n" HEAD "\n<iq>\n</iq> \r\n\t<iq/>\n"),
	    "[a]<iq>\n</iq><iq/>", XML_FINE },
	{ STR_INIT(HEAD "<iq a='&#x41;&lt;&amp;'>&apos;&#233;</iq>"),
	    "[a]<iq a='A&lt;&amp;'>'\xc3\xa9</iq>", XML_FINE },
	{ STR_INIT(HEAD "<iq>a<![CDATA[<b>]]&]]>c</iq>"),
	    "[a]<iq>a&lt;b&gt;]]&amp;c</iq>", XML_FINE },
	{ STR_INIT(HEAD "<iq>a\r\nb\rc</iq>"), "[a]<iq>a\nb\nc</iq>",
	    XML_FINE },
	{ STR_INIT(HEAD "<iq xmlns='jabber:client'><x xmlns='u'/></iq>"),
	    "[a]<iq><x xmlns='u'/></iq>", XML_FINE },
	{ STR_INIT(HEAD "<stream:error><a xmlns='urn:ietf:params:xml:ns:"
			"xmpp-streams'/></stream:error>"),
	    "[a]<stream:error><a xmlns='urn:ietf:params:xml:ns:"
	    "xmpp-streams'/></stream:error>",
	    XML_FINE },
	{ STR_INIT("<stream xmlns='" STREAM_NS "' xmlns:c='jabber:server' "
		   "to='b'><c:iq/><iq xmlns='jabber:client'/></stream>"),
	    "[b]<iq xmlns='jabber:server'/><iq/>.", XML_FINE },
	{ STR_INIT("<a:stream xmlns='jabber:server' xmlns:a='" STREAM_NS
		   "'><iq><iq xmlns='jabber:client'/></iq></a:stream> \n"),
	    "[]<iq><iq/></iq>.", XML_FINE },
	{ STR_INIT(
	      "<a:stream xmlns='jabber:component:accept' xmlns:a='" STREAM_NS
	      "'><handshake/></a:stream>"),
	    "[]<handshake/>.", XML_FINE },
	{ STR_INIT(
	      "<s:stream to='q' xmlns=\"a'b&lt;&amp;&#9;\" xmlns:s='" STREAM_NS
	      "'>\n\n<iq/>"),
	    "[q]<iq xmlns='a&apos;b&lt;&amp;&#9;'/>", XML_FINE },
	{ STR_INIT(HEAD "</stream:stream>what follows is not read <"), "[a].",
	    XML_FINE },

	/* What RFC 6120 forbids. */
	{ STR_INIT("<!DOCTYPE a [<!ENTITY b 'c'>]>" HEAD), "", XML_RESTRICTED },
	{ STR_INIT("<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'>"
		   "<!ENTITY lol2 '&lol;&lol;&lol;'>]><lolz>&lol2;</lolz>"),
	    "", XML_RESTRICTED },
	{ STR_INIT("<!DOCTYPE a SYSTEM 'file:///etc/passwd'>" HEAD), "",
	    XML_RESTRICTED },
	{ STR_INIT(HEAD "<iq>&foo;</iq>"), "[a]", XML_RESTRICTED },
	{ STR_INIT(HEAD "<iq a='&foo;'/>"), "[a]", XML_RESTRICTED },
	{ STR_INIT(HEAD "&foo;"), "[a]", XML_RESTRICTED },
	{ STR_INIT(HEAD "<iq><!-- c --></iq>"), "[a]", XML_RESTRICTED },
	{ STR_INIT(HEAD "<!-- c --><iq/>"), "[a]", XML_RESTRICTED },
	{ STR_INIT("<!-- c -->" HEAD), "", XML_RESTRICTED },
	{ STR_INIT(HEAD "<iq><?php 1?></iq>"), "[a]", XML_RESTRICTED },
	{ STR_INIT(HEAD "<?php 1?>"), "[a]", XML_RESTRICTED },
	{ STR_INIT("<?xml version='1.0' encoding='ISO-8859-1'?><a/>"), "",
	    XML_BAD_ENCODING },
	{ STR_INIT(
	      "<?xml version='1.0' encoding='utf-8'?><stream xmlns='" STREAM_NS
	      "'>"),
	    "[]", XML_FINE },
	{ STR_INIT("\xff\xfe<\0?\0x\0"), "", XML_BAD_ENCODING },
	{ STR_INIT("\xfe\xff\0<\0?\0x"), "", XML_BAD_ENCODING },
	{ STR_INIT("<\0s\0"), "", XML_BAD_ENCODING },
	{ STR_INIT("\0<\0s"), "", XML_BAD_ENCODING },
	{ STR_INIT("\xef\xbb\xbf" HEAD "<iq/>"), "[a]<iq/>", XML_FINE },

	/* Namespaces. */
	{ STR_INIT(HEAD "<p:iq/>"), "[a]", XML_BAD_PREFIX },
	{ STR_INIT(HEAD "<iq p:a='1'/>"), "[a]", XML_BAD_PREFIX },
	{ STR_INIT("<stream:stream>"), "", XML_BAD_PREFIX },
	{ STR_INIT("<xml:stream>"), "", XML_BAD_PREFIX },
	{ STR_INIT(HEAD "<xml:iq/>"), "[a]", XML_BAD_PREFIX },
	{ STR_INIT(HEAD "<iq><xml:lang/></iq>"), "[a]", XML_BAD_PREFIX },
	{ STR_INIT(HEAD "<iq xmlns:p=''/>"), "[a]", XML_BAD_PREFIX },
	{ STR_INIT(HEAD "<iq xmlns:xml='urn:x'/>"), "[a]", XML_BAD_PREFIX },
	{ STR_INIT(HEAD "<iq xmlns:xmlns='urn:x'/>"), "[a]", XML_BAD_PREFIX },
	{ STR_INIT(HEAD "<iq xmlns:p='u' xmlns:q='u' p:a='' q:a=''/>"), "[a]",
	    XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq xmlns='a\xff"
			"b'/>"),
	    "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<x xmlns='jabber:client}'/>"),
	    "[a]<x xmlns='jabber:client}'/>", XML_FINE },
	{ STR_INIT(HEAD "<a:b:c/>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<stream:1/>"), "[a]", XML_NOT_WELL_FORMED },

	/* What is no XML. */
	{ STR_INIT("GET / HTTP/1.1\r\n\r\n"), "", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq></qi>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq a='1' a='2'/>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq a=1/>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq>]]></iq>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq>\0</iq>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq>&#0;</iq>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq>\x01</iq>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq>\xc0\xbc/iq>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq>\xed\xa0\x80</iq>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq>\xef\xbf\xbe</iq>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq>\x80<</iq>"), "[a]", XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "<iq/><?xml version='1.0'?>"), "[a]<iq/>",
	    XML_NOT_WELL_FORMED },
	{ STR_INIT(HEAD "hello"), "[a]", XML_BAD_CONTENT },
	{ STR_INIT(HEAD "<iq/> x <iq/>"), "[a]<iq/>", XML_BAD_CONTENT },
	{ STR_INIT(HEAD "<iq/><![CDATA[x]]>"), "[a]<iq/>", XML_BAD_CONTENT },

	/* Limits: the last that passes, the first that does not. */
	{ STR_INIT(HEAD "<a><a><a><a><a/></a></a></a></a>"),
	    "[a]<a><a><a><a><a/></a></a></a></a>", XML_FINE },
	{ STR_INIT(HEAD "<a><a><a><a><a><a>"), "[a]", XML_TOO_DEEP },
	{ STR_INIT(HEAD "<a><b/><b/><b/><b/><b/><b/><b/><b/><b/></a><a/>"),
	    "[a]<a><b/><b/><b/><b/><b/><b/><b/><b/><b/></a><a/>", XML_FINE },
	{ STR_INIT(HEAD "<a><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/>"), "[a]",
	    XML_TOO_DEEP },
	{ STR_INIT(HEAD "<a a='' b='' c='' d='' e='' f='' g='' h=''/>"),
	    "[a]<a a='' b='' c='' d='' e='' f='' g='' h=''/>", XML_FINE },
	{ STR_INIT(HEAD "<a a='' b='' c='' d='' e='' f='' g='' h='' i=''/>"),
	    "[a]", XML_TOO_DEEP },
	{ STR_INIT(HEAD "<a a='' b='' c='' d='' e='' f='' g='' xmlns:h='h' "
			"xmlns='j'/>"),
	    "[a]", XML_TOO_DEEP },
	{ STR_INIT("<stream:stream a='' b='' c='' d='' e='' f='' g='' "
		   "xmlns:stream='" STREAM_NS "' xmlns='jabber:client'>"),
	    "", XML_TOO_DEEP },
};

static const size_t steps[] = { 1, 2, 3, 7, 50, 10000 };

static void
test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
			struct reader r;

			reader_init(&r, &limits);
			reader_feed(&r, cases[i].bytes, steps[k]);
			if (r.error != cases[i].error ||
			    !str_is(buf_str(&r.seen), cases[i].seen))
				fail_msg("case %zu by %zu bytes: error %d, "
					 "not %d; '" STR_FMT "', not '%s'",
				    i, steps[k], r.error, cases[i].error,
				    STR_ARG(buf_str(&r.seen)), cases[i].seen);
			/* A broken stream stays silent. */
			if (r.error != XML_FINE)
				assert_int_equal(
				    xml_stream_feed(&r.stream, "<iq/>", 5),
				    XML_FINE);
			assert_true(str_is(buf_str(&r.seen), cases[i].seen));
			reader_fini(&r);
		}
	}
}

/* A stanza of so many bytes in all: in an attribute, in text, in tags. */
static struct str
stanza_of(struct arena *a, int kind, size_t n)
{
	struct str form[] = { STR("<a b='"), STR("'/>"), STR("<a>"),
		STR("</a>"), STR("<a><b c='"), STR("'/></a>") };
	struct str head = form[2 * kind], tail = form[2 * kind + 1];
	char *p = arena_bytes(a, n);

	memset(p, 'x', n);
	memcpy(p, head.p, head.n);
	memcpy(p + n - tail.n, tail.p, tail.n);
	return str_mem(p, n);
}

static void
test_bytes(void **state)
{
	for (int kind = 0; kind < 3; kind++) {
		for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
			struct arena *a = arena_new(0);
			struct reader r;

			reader_init(&r, &limits);
			reader_feed(&r, STR(HEAD), 9999);
			for (int i = 0; i < 3; i++) {
				reader_feed(
				    &r, stanza_of(a, kind, 400), steps[k]);
				reader_feed(&r, STR("\n\n"), 2);
			}
			assert_int_equal(r.error, XML_FINE);
			assert_true(r.seen.n > 3 * 390);
			buf_clear(&r.seen);
			reader_feed(&r, stanza_of(a, kind, 401), steps[k]);
			assert_int_equal(r.error, XML_TOO_BIG);
			assert_int_equal(r.seen.n, 0);
			reader_fini(&r);
			arena_free(&a);
		}
	}
}

/* The header has the same limit, and white space between none. */
static void
test_header_bytes(void **state)
{
	static char spaces[5000];
	struct reader r;

	memset(spaces, ' ', sizeof(spaces));
	reader_init(&r, &limits);
	reader_feed(&r, str_mem(spaces, sizeof(spaces)), 1000);
	reader_feed(&r, STR("<stream to='"), 99);
	reader_feed(&r, str_mem(spaces, 388), 10);
	assert_int_equal(r.error, XML_FINE);
	reader_feed(&r, STR("  "), 1);
	assert_int_equal(r.error, XML_TOO_BIG);
	reader_fini(&r);

	reader_init(&r, &limits);
	reader_feed(&r, STR(HEAD), 99);
	for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
		reader_feed(&r, str_mem(spaces, sizeof(spaces)), steps[k]);
		reader_feed(&r, STR("<iq/>"), 1);
	}
	reader_feed(&r, STR("<iq/>"), 99);
	assert_int_equal(r.error, XML_FINE);
	assert_true(str_has_suffix(buf_str(&r.seen), STR("<iq/><iq/>")));
	reader_fini(&r);
}

/* Limits may change between feeds, as after a login. */
static void
test_changing_limits(void **state)
{
	struct xml_limits l = limits;
	struct arena *a = arena_new(0);
	struct reader r;

	reader_init(&r, &l);
	reader_feed(&r, STR(HEAD), 99);
	l.bytes = 1000;
	reader_feed(&r, stanza_of(a, 0, 1000), 99);
	assert_int_equal(r.error, XML_FINE);
	l.bytes = 100;
	reader_feed(&r, stanza_of(a, 0, 100), 99);
	assert_int_equal(r.error, XML_FINE);
	reader_feed(&r, stanza_of(a, 0, 101), 99);
	assert_int_equal(r.error, XML_TOO_BIG);
	reader_fini(&r);
	arena_free(&a);
}

/*
 * One long attribute by single bytes: expat begins anew with each, which is
 * cut off long before it hurts, and a sane sender is far from that.
 */
static void
test_drip(void **state)
{
	struct xml_limits l = limits;
	struct arena *a = arena_new(0);
	struct reader r;

	l.bytes = 262144;
	reader_init(&r, &l);
	reader_feed(&r, STR(HEAD), 99);
	reader_feed(&r, stanza_of(a, 0, 262144), 1400);
	assert_int_equal(r.error, XML_FINE);
	reader_feed(&r, stanza_of(a, 0, 4096), 1);
	assert_int_equal(r.error, XML_FINE);
	reader_feed(&r, stanza_of(a, 1, 262144), 1); /* text is cheap */
	assert_int_equal(r.error, XML_FINE);
	reader_feed(&r, stanza_of(a, 0, 262144), 1);
	assert_int_equal(r.error, XML_TOO_BIG);
	reader_fini(&r);
	arena_free(&a);
}

static void
test_midway(void **state)
{
	struct reader r;

	reader_init(&r, &limits);
	assert_false(xml_stream_is_midway(&r.stream));
	reader_feed(&r, STR("\n<?xml version='1.0'?>"), 99);
	assert_true(xml_stream_is_midway(&r.stream));
	reader_feed(&r, STR("<stream xmlns='" STREAM_NS "'>"), 99);
	assert_false(xml_stream_is_midway(&r.stream));
	assert_null(r.stream.parser);
	reader_feed(&r, STR(" \r\n"), 99);
	assert_null(r.stream.parser);
	reader_feed(&r, STR("<"), 99);
	assert_true(xml_stream_is_midway(&r.stream));
	reader_feed(&r, STR("iq><a"), 99);
	assert_true(xml_stream_is_midway(&r.stream));
	reader_feed(&r, STR("/></iq"), 99);
	assert_true(xml_stream_is_midway(&r.stream));
	reader_feed(&r, STR(">\r"), 99);
	assert_false(xml_stream_is_midway(&r.stream));
	assert_null(r.stream.parser);
	reader_feed(&r, STR("\n"), 99);
	assert_null(r.stream.parser);
	reader_fini(&r);
}

static void
test_rewind(void **state)
{
	static const char *const whole[] = { HEAD, "<iq><a>b</a></iq>" };
	struct reader r;

	reader_init(&r, &limits);
	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		struct str text = str_c(whole[i]);

		for (size_t n = 1; n < text.n; n++) {
			reader_feed(&r, str_mem(text.p, n), 99);
			assert_true(xml_stream_is_midway(&r.stream));
			xml_stream_rewind(&r.stream);
			assert_null(r.stream.parser);
		}
		reader_feed(&r, text, 99);
		assert_false(xml_stream_is_midway(&r.stream));
	}
	assert_true(str_is(buf_str(&r.seen), "[a]<iq><a>b</a></iq>"));
	reader_fini(&r);
}

#define AUTH "<auth xmlns='" SASL_NS "'/>"

static void
test_stop_and_restart(void **state)
{
	struct reader r;
	struct str bytes = STR(HEAD AUTH "<iq/>" HEAD);

	/* Stopped: the rest is for whoever stopped it. */
	reader_init(&r, &limits);
	r.act = "stop";
	reader_feed(&r, bytes, 9999);
	assert_int_equal(r.error, XML_FINE);
	assert_true(str_is(buf_str(&r.seen), "[a]" AUTH));
	assert_int_equal(r.stream.unread, strlen("<iq/>" HEAD));
	reader_feed(&r, STR("<iq/>"), 9999);
	assert_int_equal(r.stream.unread, 5);
	xml_stream_restart(&r.stream);
	reader_feed(&r, STR(HEAD "<iq/>"), 9999);
	assert_true(str_is(buf_str(&r.seen), "[a]" AUTH "[a]<iq/>"));
	reader_fini(&r);

	/* Restarted inside the event: the same, and it may be fed again. */
	reader_init(&r, &limits);
	r.act = "restart";
	bytes = STR(HEAD AUTH HEAD "<iq/>");
	reader_feed(&r, bytes, 9999);
	assert_true(str_is(buf_str(&r.seen), "[a]" AUTH));
	assert_int_equal(r.stream.unread, strlen(HEAD "<iq/>"));
	reader_feed(&r, str_skip(bytes, bytes.n - r.stream.unread), 9999);
	assert_int_equal(r.error, XML_FINE);
	assert_true(str_is(buf_str(&r.seen), "[a]" AUTH "[a]<iq/>"));

	/* Midway through a stanza, and through a header. */
	reader_feed(&r, STR("<iq><a>"), 9999);
	xml_stream_restart(&r.stream);
	reader_feed(&r, STR("<stream:stream to='x"), 9999);
	xml_stream_restart(&r.stream);
	buf_clear(&r.seen);
	reader_feed(&r, STR(HEAD "</stream:stream><iq/>"), 9999);
	assert_true(str_is(buf_str(&r.seen), "[a]."));
	reader_fini(&r);

	reader_init(&r, &limits);
	r.act = "stop, restart";
	reader_feed(&r, STR(HEAD AUTH HEAD), 1);
	assert_int_equal(r.error, XML_FINE);
	assert_true(str_is(buf_str(&r.seen), "[a]" AUTH "[a]"));
	reader_fini(&r);
}

#define STREAMS 80

/* Many streams take turns with few parsers, each with what it declared. */
static void
test_leases(void **state)
{
	static struct reader r[STREAMS];
	struct arena *a = arena_new(0);

	xml_thread_done();
	for (size_t i = 0; i < STREAMS; i++) {
		reader_init(&r[i], &limits);
		reader_feed(&r[i],
		    str_printf(a,
			"<s%zu:stream xmlns='jabber:client' xmlns:p="
			"'urn:%zu' xmlns:s%zu='" STREAM_NS "'>",
			i % 40, i % 40, i % 40),
		    9999);
	}
	for (size_t step = 0; step < 2000; step++) {
		size_t i = step * 37 % STREAMS;
		struct str want = str_printf(a, "<x xmlns='urn:%zu'/>", i % 40);

		/* In two parts: the lease is kept between them. */
		buf_clear(&r[i].seen);
		reader_feed(&r[i], STR("<p:"), 9999);
		reader_feed(&r[(i + 40) % STREAMS], STR(" "), 9999);
		reader_feed(&r[i], STR("x/>"), 9999);
		assert_int_equal(r[i].error, XML_FINE);
		assert_true(str_eq(buf_str(&r[i].seen), want));
		assert_null(r[i].stream.parser);
	}
	for (size_t i = 0; i < STREAMS; i++) {
		buf_clear(&r[i].seen);
		reader_feed(
		    &r[i], str_printf(a, "</s%zu:stream>", i % 40), 9999);
		assert_true(str_is(buf_str(&r[i].seen), "."));
		reader_fini(&r[i]);
	}
	arena_free(&a);
}

/* Streams of equal declarations share them. */
static void
test_shared_header(void **state)
{
	static struct reader r[10];

	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		reader_init(&r[i], &limits);
		reader_feed(&r[i], STR(HEAD), 9999);
		assert_ptr_equal(r[i].stream.header, r[0].stream.header);
	}
	for (size_t i = 0; i < ARRAY_LEN(r); i++)
		reader_fini(&r[i]);
}

/* Names that never repeat wear parsers out; the stream does not notice. */
static void
test_worn_out(void **state)
{
	struct arena *a = arena_new(0);
	struct buf bytes = { 0 };
	struct reader r;
	size_t at = 0;

	reader_init(&r, &limits);
	reader_feed(&r, STR(HEAD), 9999);
	buf_clear(&r.seen);
	for (int i = 0; i < 20000; i++)
		buf_printf(
		    &bytes, "<n%d a%d='1' xmlns='jabber:client'/>", i, i);
	/* Never at a boundary when a feed ends. */
	while (at < bytes.n) {
		struct str some = str_sub(buf_str(&bytes), at, 1000);

		if (some.p[some.n - 1] == '>' && at + some.n < bytes.n)
			some.n--;
		reader_feed(&r, some, 9999);
		assert_int_equal(r.error, XML_FINE);
		at += some.n;
	}
	assert_true(
	    str_has_prefix(buf_str(&r.seen), STR("<n0 a0='1'/><n1 a1='1'/>")));
	assert_true(
	    str_has_suffix(buf_str(&r.seen), STR("<n19999 a19999='1'/>")));
	reader_fini(&r);
	buf_fini(&bytes);
	arena_free(&a);
}

/* Feeds of a framed stream: each one or more whole documents. */
static const struct {
	const char *bytes;
	const char *seen;
	enum xml_error error;
} frames[] = {
	{ "<open xmlns='urn:o'/>", "<open xmlns='urn:o'/>", XML_FINE },
	{ " <iq xmlns='jabber:client'/>\n", "<iq/>", XML_FINE },
	{ "<iq/>", "<iq xmlns=''/>", XML_FINE },
	{ "<a xmlns='u'/> <b xmlns='u'/>", "<a xmlns='u'/><b xmlns='u'/>",
	    XML_FINE },
	{ "<?xml version='1.0'?><a xmlns='u'/>", "<a xmlns='u'/>", XML_FINE },
	{ "<?xml version='1.0'?><a xmlns='u'/> <b xmlns='u'/>",
	    "<a xmlns='u'/><b xmlns='u'/>", XML_FINE },
	{ "<s:error xmlns:s='" STREAM_NS "'/>", "<stream:error/>", XML_FINE },
	{ "", "", XML_FINE },
	{ " \n", "", XML_FINE },
	{ "<a", "", XML_NOT_WELL_FORMED },
	{ "<a><b/>", "", XML_NOT_WELL_FORMED },
	{ "<?xml version='1.0'?><a>", "", XML_NOT_WELL_FORMED },
	{ "<a xmlns='u'/></d>", "<a xmlns='u'/>", XML_NOT_WELL_FORMED },
	{ "</d>", "", XML_NOT_WELL_FORMED },
	{ "<a xmlns='u'/>x", "<a xmlns='u'/>", XML_BAD_CONTENT },
	{ "x<a/>", "", XML_BAD_CONTENT },
	{ "<stream:error/>", "", XML_BAD_PREFIX },
	{ "<!DOCTYPE a><a/>", "", XML_NOT_WELL_FORMED },
	{ "<?xml version='1.0'?><!DOCTYPE a><a/>", "", XML_RESTRICTED },
	{ "<a><!-- --></a>", "", XML_RESTRICTED },
	{ "<a><b><c><d><e><f/>", "", XML_TOO_DEEP },
};

static void
test_framed(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		struct reader r;

		reader_init(&r, &limits);
		r.stream.is_framed = true;
		for (int twice = 0; twice < 2; twice++) {
			buf_clear(&r.seen);
			reader_feed(&r, str_c(frames[i].bytes), 9999);
			assert_int_equal(r.error, frames[i].error);
			assert_true(str_is(buf_str(&r.seen), frames[i].seen));
			assert_false(xml_stream_is_midway(&r.stream));
			if (r.error != XML_FINE)
				break;
		}
		reader_fini(&r);
	}
}

static const struct {
	const char *text;
	const char *result; /* NULL: refused, for `why` */
	enum xml_error why;
} documents[] = {
	{ "<iq/>", "<iq xmlns='jabber:client'/>", XML_FINE },
	{ " <iq/> \n", "<iq xmlns='jabber:client'/>", XML_FINE },
	{ "<?xml version='1.0'?><iq/>\n", "<iq xmlns='jabber:client'/>",
	    XML_FINE },
	{ "<iq><body xmlns=''/></iq>", "<iq xmlns='jabber:client'><body/></iq>",
	    XML_FINE },
	{ "", NULL, XML_NOT_WELL_FORMED },
	{ "x", NULL, XML_BAD_CONTENT },
	{ "<iq>", NULL, XML_NOT_WELL_FORMED },
	{ "<iq/><iq/>", NULL, XML_NOT_WELL_FORMED },
	{ "<iq/>x", NULL, XML_BAD_CONTENT },
	{ "<iq/></d>", NULL, XML_NOT_WELL_FORMED },
	{ "<iq/><", NULL, XML_NOT_WELL_FORMED },
	{ "<?xml version='1.0'?><iq/>x", NULL, XML_NOT_WELL_FORMED },
	{ "<?xml version='1.0'?><iq/><iq/>", NULL, XML_NOT_WELL_FORMED },
	{ "<?xml version='1.0'?><!DOCTYPE iq><iq/>", NULL, XML_RESTRICTED },
	{ "<iq>&x;</iq>", NULL, XML_RESTRICTED },
	{ "<a><b><c><d><e><f/></e></d></c></b></a>", NULL, XML_TOO_DEEP },
};

static void
test_documents(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		struct arena *a = arena_new(0);
		enum xml_error why;
		struct elem *e = xml_parse(
		    a, str_c(documents[i].text), &limits, NS_CLIENT, &why);
		const char *want = documents[i].result;

		assert_int_equal(why, documents[i].why);
		assert_int_equal(e != NULL, want != NULL);
		if (want != NULL) {
			assert_string_equal(xml_text(a, e).p, want);
			assert_ptr_equal(elem_arena(e), a);
		}
		arena_free(&a);
	}
}

/* Our own text has no limits to speak of; others have theirs. */
static void
test_document_limits(void **state)
{
	struct arena *a = arena_new(0);
	struct str text = stanza_of(a, 1, 500000);
	enum xml_error why;

	assert_non_null(xml_parse(a, text, NULL, NS_NONE, NULL));
	assert_null(xml_parse(a, text, &limits, NS_NONE, &why));
	assert_int_equal(why, XML_TOO_BIG);
	assert_non_null(
	    xml_parse(a, stanza_of(a, 1, 400), &limits, NS_NONE, &why));
	assert_null(xml_parse(a, stanza_of(a, 1, 401), &limits, NS_NONE, &why));
	assert_int_equal(why, XML_TOO_BIG);
	arena_free(&a);
}

/* The header shows what it declared. */
static void
check_root(void *ctx, struct elem *root)
{
	assert_true(
	    str_is(elem_attr_named(root, STR("xmlns")), "jabber:server"));
	assert_true(str_is(
	    elem_attr_named(root, STR("xmlns:db")), "jabber:server:dialback"));
	assert_true(str_is(elem_attr(root, AT_XML_LANG), "en"));
	*(bool *)ctx = true;
}

static void
test_declarations(void **state)
{
	const struct xml_events check = { check_root, on_stanza, on_close };
	struct xml_stream s;
	bool is_called = false;
	struct str head = STR("<stream:stream xmlns='jabber:server' xml:lang="
			      "'en' xmlns:db='jabber:server:dialback' "
			      "xmlns:stream='" STREAM_NS "'>");

	xml_stream_init(&s, &check, &is_called, &limits);
	assert_int_equal(xml_stream_feed(&s, head.p, head.n), XML_FINE);
	assert_true(is_called);
	xml_stream_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_header_bytes),
		cmocka_unit_test(test_changing_limits),
		cmocka_unit_test(test_drip),
		cmocka_unit_test(test_midway),
		cmocka_unit_test(test_rewind),
		cmocka_unit_test(test_stop_and_restart),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_shared_header),
		cmocka_unit_test(test_worn_out),
		cmocka_unit_test(test_framed),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_document_limits),
		cmocka_unit_test(test_declarations),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
