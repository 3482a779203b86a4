/* SPDX-License-Identifier: MIT */
#include "xml/parser.h"
#include "xml/writer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define STREAM_NS "http://etherx.jabber.org/streams"

static struct arena *arena;

static int
setup(void **state)
{
	names_init();
	arena = arena_new(0);
	return 0;
}

static int
teardown(void **state)
{
	arena_free(&arena);
	xml_thread_done();
	arena_thread_done();
	return 0;
}

/* A document, and how it is written in a stream and alone. */
static const struct {
	const char *text;
	const char *in_stream;
	const char *alone;
} cases[] = {
	{ "<message/>", "<message/>", "<message xmlns='jabber:client'/>" },
	{ "<iq id=\"a'b&quot;&#9;&#10;&#13;&lt;&gt;&amp;\"/>",
	    "<iq id='a&apos;b&quot;&#9;&#10;&#13;&lt;&gt;&amp;'/>",
	    "<iq xmlns='jabber:client' "
	    "id='a&apos;b&quot;&#9;&#10;&#13;&lt;&gt;&amp;'/>" },
	{ "<message><body>a'b\"\t\n&#13;&lt;&gt;&amp;</body></message>",
	    "<message><body>a'b\"\t\n&#13;&lt;&gt;&amp;</body></message>",
	    "<message xmlns='jabber:client'><body>a'b\"\t\n&#13;&lt;&gt;&amp;"
	    "</body></message>" },
	{ "<message><f xmlns='urn:f'><message xmlns='jabber:client'><body/>"
	  "</message><g/></f><body/></message>",
	    "<message><f xmlns='urn:f'><message xmlns='jabber:client'><body/>"
	    "</message><g/></f><body/></message>",
	    "<message xmlns='jabber:client'><f xmlns='urn:f'>"
	    "<message xmlns='jabber:client'><body/></message><g/></f><body/>"
	    "</message>" },
	{ "<iq><none xmlns=''/></iq>", "<iq><none/></iq>",
	    "<iq xmlns='jabber:client'><none/></iq>" },
	{ "<a xmlns='urn:a'><none xmlns=''><b xmlns='urn:a'/></none></a>",
	    "<a xmlns='urn:a'><none xmlns='jabber:client'><b xmlns='urn:a'/>"
	    "</none></a>",
	    "<a xmlns='urn:a'><none xmlns='jabber:client'><b xmlns='urn:a'/>"
	    "</none></a>" },
	{ "<iq xmlns:p='urn:p' xmlns:q='urn:{q}' p:a='1' b='2' q:c='3' "
	  "xml:lang='de' xml:space='preserve'/>",
	    "<iq xmlns:a0='urn:p' a0:a='1' b='2' xmlns:a2='urn:{q}' a2:c='3' "
	    "xml:lang='de' xml:space='preserve'/>",
	    "<iq xmlns='jabber:client' xmlns:a0='urn:p' a0:a='1' b='2' "
	    "xmlns:a2='urn:{q}' a2:c='3' xml:lang='de' xml:space='preserve'"
	    "/>" },
	{ "<x xmlns=\"urn:'&quot;&amp;&lt;\"/>",
	    "<x xmlns='urn:&apos;&quot;&amp;&lt;'/>",
	    "<x xmlns='urn:&apos;&quot;&amp;&lt;'/>" },
	{ "<s:features xmlns:s='" STREAM_NS "'><starttls "
	  "xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
	  "<iq/></s:features>",
	    "<stream:features><starttls "
	    "xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
	    "<iq/></stream:features>",
	    "<stream:features xmlns='jabber:client' xmlns:stream='" STREAM_NS
	    "'><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>"
	    "</starttls><iq/></stream:features>" },
	{ "<iq><error xmlns='" STREAM_NS "'/></iq>",
	    "<iq><error xmlns='" STREAM_NS "'/></iq>",
	    "<iq xmlns='jabber:client'><error xmlns='" STREAM_NS "'/></iq>" },
	{ "<m>caf\xc3\xa9 \xf0\x9f\x90\xb1</m>",
	    "<m>caf\xc3\xa9 \xf0\x9f\x90\xb1</m>",
	    "<m xmlns='jabber:client'>caf\xc3\xa9 \xf0\x9f\x90\xb1</m>" },
};

static void
test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct elem *e = xml_parse(
		    arena, str_c(cases[i].text), NULL, NS_CLIENT, NULL);
		struct buf out = { 0 };

		assert_non_null(e);
		xml_write(&out, e, XML_IN_STREAM);
		buf_add_c(&out, '\0');
		assert_string_equal(out.p, cases[i].in_stream);
		assert_string_equal(xml_text(arena, e).p, cases[i].alone);

		/* In three pieces it is the same, but for "/>". */
		buf_clear(&out);
		xml_write_open(&out, e, XML_STANDALONE);
		xml_write_inside(&out, e);
		xml_write_close(&out, e);
		e = xml_parse(arena, buf_str(&out), NULL, NS_NONE, NULL);
		assert_non_null(e);
		assert_string_equal(xml_text(arena, e).p, cases[i].alone);
		buf_fini(&out);
	}
}

/* Elements without any namespace, as no parser makes them in a stream. */
static void
test_no_namespace(void **state)
{
	struct elem *e = elem_new_named(arena, STR(""), STR("a"));
	struct buf out = { 0 };

	elem_add_named(e, STR(""), STR("b"));
	elem_add(e, EL_IQ);
	assert_string_equal(
	    xml_text(arena, e).p, "<a><b/><iq xmlns='jabber:client'/></a>");
	xml_write(&out, e, XML_IN_STREAM);
	assert_true(str_is(
	    buf_str(&out), "<a xmlns=''><b/><iq xmlns='jabber:client'/></a>"));
	buf_fini(&out);
	e = elem_new(arena, EL_IQ);
	elem_add_named(e, STR(""), STR("b"));
	assert_string_equal(xml_text(arena, e).p,
	    "<iq xmlns='jabber:client'><b xmlns=''/></iq>");
}

/* A stream's root says itself what it declares. */
static void
test_stream_root(void **state)
{
	struct elem *e = elem_new(arena, EL_STREAM);
	struct buf out = { 0 };

	elem_set_named(e, STR("xmlns"), STR("jabber:server"));
	elem_set_named(e, STR("xmlns:db"), STR("jabber:server:dialback"));
	elem_set_named(e, STR("xmlnsx"), STR("1"));
	elem_set(e, AT_TO, STR("a"));
	xml_write_open(&out, e, XML_STANDALONE);
	assert_true(str_is(buf_str(&out),
	    "<stream:stream xmlns='jabber:client' "
	    "xmlns:stream='" STREAM_NS "' xmlnsx='1' to='a'>"));
	buf_clear(&out);
	xml_write_close(&out, e);
	assert_true(str_is(buf_str(&out), "</stream:stream>"));
	buf_fini(&out);
}

static const struct {
	struct str text;
	const char *escaped;
} escapes[] = {
	{ STR_INIT(""), "" },
	{ STR_INIT("abc"), "abc" },
	{ STR_INIT("<&>\"'"), "&lt;&amp;&gt;&quot;&apos;" },
	{ STR_INIT("a\tb\nc\rd"), "a&#9;b&#10;c&#13;d" },
	{ STR_INIT("a\0b\x01\x1f\x7f"), "ab\x7f" },
	{ STR_INIT("\xc3\xa4\xe2\x82\xac"), "\xc3\xa4\xe2\x82\xac" },
	{ STR_INIT("x\xffy\xc3"), "xy" },
	{ STR_INIT("x\xc0\xafy"), "xy" },
	{ STR_INIT("x\xed\xa0\x80y"), "xy" },
	{ STR_INIT("x\xef\xbf\xbey\xef\xbf\xbfz"), "xyz" },
	{ STR_INIT("\xef\xbf\xbd"), "\xef\xbf\xbd" },
};

static void
test_escape(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
		struct buf out = { 0 };

		xml_escape(&out, escapes[i].text);
		assert_true(str_is(buf_str(&out), escapes[i].escaped));
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_no_namespace),
		cmocka_unit_test(test_stream_root),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
