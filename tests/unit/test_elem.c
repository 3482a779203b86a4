/* SPDX-License-Identifier: MIT */
#include "xml/elem.h"
#include "xml/writer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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
	arena_thread_done();
	return 0;
}

#define assert_xml(e, text) assert_string_equal(xml_text(arena, (e)).p, (text))

static void
test_nothing(void **state)
{
	attr_t name;
	struct str local, value;

	assert_int_equal(elem_name(NULL), EL_NONE);
	assert_int_equal(elem_ns(NULL), NS_NONE);
	assert_true(str_is_none(elem_local(NULL)));
	assert_true(str_is_none(elem_ns_uri(NULL)));
	assert_null(elem_arena(NULL));
	assert_null(elem_parent(NULL));
	assert_null(elem_child(NULL, EL_ANY));
	assert_null(elem_next(NULL, EL_ANY));
	assert_null(elem_child_in(NULL, NS_CLIENT));
	assert_null(elem_find(NULL, STR(""), STR("")));
	assert_int_equal(elem_count(NULL, EL_ANY), 0);
	assert_true(str_is_none(elem_attr(NULL, AT_ID)));
	assert_true(str_is_none(elem_attr_named(NULL, STR("id"))));
	assert_false(elem_attr_is(NULL, AT_ID, ""));
	assert_true(str_is_none(elem_text(elem_child(NULL, EL_BODY))));
	assert_true(str_is_none(elem_child_text(NULL, EL_BODY)));
	assert_true(str_is_none(elem_lang(NULL)));
	assert_null(elem_first_node(NULL));
	assert_null(elem_next_node(NULL));
	assert_true(str_is_none(elem_chars(NULL)));
	assert_false(elem_attr_at(NULL, 0, &name, &local, &value));
}

static void
test_build(void **state)
{
	struct elem *m = elem_new(arena, EL_MESSAGE);
	struct elem *body = elem_add_text(m, EL_BODY, STR("hi"));
	struct elem *x = elem_add_named(m, STR("urn:x"), STR("x"));
	struct elem *r =
	    elem_add_named(x, STR("jabber:iq:roster"), STR("query"));
	struct elem *odd =
	    elem_add_named(x, STR("jabber:iq:roster"), STR("odd"));

	assert_int_equal(elem_name(r), EL_ROSTER);
	assert_int_equal(elem_ns(odd), NS_ROSTER);
	assert_int_equal(elem_name(odd), EL_NONE);
	assert_true(str_is(elem_local(odd), "odd"));
	assert_true(str_is(elem_ns_uri(odd), "jabber:iq:roster"));
	assert_true(str_is(elem_ns_uri(x), "urn:x"));
	assert_true(str_is(elem_local(m), "message"));
	assert_ptr_equal(elem_parent(body), m);
	assert_ptr_equal(elem_child(m, EL_BODY), body);
	assert_ptr_equal(elem_child(m, EL_ANY), body);
	assert_ptr_equal(elem_next(body, EL_ANY), x);
	assert_null(elem_next(body, EL_BODY));
	assert_ptr_equal(elem_find(m, STR("urn:x"), STR("")), x);
	assert_ptr_equal(elem_find(m, STR("urn:x"), STR("x")), x);
	assert_null(elem_find(m, STR("urn:x"), STR("y")));
	assert_ptr_equal(elem_child_in(x, NS_ROSTER), r);
	assert_int_equal(elem_count(x, EL_ANY), 2);
	assert_int_equal(elem_count(x, EL_NONE), 1);
	assert_true(str_is(elem_child_text(m, EL_BODY), "hi"));
	assert_xml(m,
	    "<message xmlns='jabber:client'><body>hi</body><x xmlns='urn:x'>"
	    "<query xmlns='jabber:iq:roster'/><odd xmlns='jabber:iq:roster'/>"
	    "</x></message>");

	elem_rename(x, EL_STARTTLS);
	assert_int_equal(elem_ns(x), NS_TLS);
	assert_true(str_is(elem_local(x), "starttls"));
	assert_true(str_is(elem_ns_uri(x), "urn:ietf:params:xml:ns:xmpp-tls"));
}

static void
test_attrs(void **state)
{
	struct elem *e = elem_new(arena, EL_IQ);
	struct str local, value;
	char gone[] = "gone";
	attr_t name;
	size_t i = 0;

	elem_set(e, AT_TYPE, STR("get"));
	elem_set_named(e, STR("id"), STR("1"));
	elem_set_named(e, STR("odd"), STR("2"));
	elem_set_copy(e, AT_FROM, str_c(gone));
	memset(gone, 'x', 4);
	elem_set_uint(e, AT_CODE, UINT64_MAX);
	elem_set(e, AT_TYPE, STR("set"));
	elem_set(e, AT_TO, STR(""));
	assert_true(str_is(elem_attr(e, AT_ID), "1"));
	assert_true(str_is(elem_attr_named(e, STR("type")), "set"));
	assert_true(str_is(elem_attr_named(e, STR("odd")), "2"));
	assert_true(str_is(elem_attr(e, AT_FROM), "gone"));
	assert_false(str_is_none(elem_attr(e, AT_TO)));
	assert_true(elem_attr_is(e, AT_TO, ""));
	assert_false(elem_attr_is(e, AT_NAME, ""));
	assert_true(str_is_none(elem_attr(e, AT_NONE)));
	assert_xml(e, "<iq xmlns='jabber:client' type='set' id='1' odd='2' "
		      "from='gone' code='18446744073709551615' to=''/>");

	elem_set(e, AT_TYPE, STR_NONE);
	elem_set(e, AT_TYPE, STR_NONE);
	elem_set_named(e, STR("odd"), STR_NONE);
	elem_set(e, AT_TO, STR_NONE);
	assert_xml(e, "<iq xmlns='jabber:client' id='1' from='gone' "
		      "code='18446744073709551615'/>");
	while (elem_attr_at(e, i, &name, &local, &value))
		i++;
	assert_int_equal(i, 3);
	assert_int_equal(name, AT_CODE);
	assert_true(str_is(local, "code"));
	assert_int_equal(value.n, 20);
}

static void
test_text(void **state)
{
	struct elem *e = elem_new(arena, EL_BODY);
	struct elem *node;

	assert_true(str_is_none(elem_text(e)));
	elem_append_text(e, STR(""));
	assert_null(elem_first_node(e));
	elem_append_text(e, STR("a"));
	elem_append_text(e, STR("b"));
	elem_add(e, EL_THREAD);
	elem_append_text(e, STR("c"));
	assert_true(str_is(elem_text(e), "ab"));
	node = elem_first_node(e);
	assert_int_equal(elem_name(node), EL_CHARS);
	assert_true(str_is_none(elem_local(node)));
	node = elem_next_node(elem_next_node(node));
	assert_true(str_is(elem_chars(node), "c"));
	assert_true(str_is_none(elem_chars(e)));
	assert_null(elem_next_node(node));
	assert_xml(e, "<body xmlns='jabber:client'>ab<thread/>c</body>");
	elem_set_text(e, STR("<"));
	assert_xml(e, "<body xmlns='jabber:client'>&lt;</body>");
	elem_set_text(e, STR_NONE);
	assert_xml(e, "<body xmlns='jabber:client'/>");
}

/* Moves of a child, written as the order of the children's names. */
static void
test_links(void **state)
{
	struct elem *e = elem_new(arena, EL_MESSAGE), *other;
	struct elem *a = elem_add(e, EL_BODY), *b = elem_add(e, EL_SUBJECT),
		    *c = elem_add(e, EL_THREAD);

	elem_remove(b);
	assert_xml(e, "<message xmlns='jabber:client'><body/><thread/>"
		      "</message>");
	assert_null(elem_parent(b));
	elem_remove(b);
	elem_prepend(e, b);
	elem_append(e, a);
	assert_xml(e, "<message xmlns='jabber:client'><subject/><thread/>"
		      "<body/></message>");
	elem_remove(a);
	elem_add(e, EL_SHOW);
	assert_xml(e, "<message xmlns='jabber:client'><subject/><thread/>"
		      "<show/></message>");
	elem_remove(b);
	elem_remove(c);
	elem_remove(elem_child(e, EL_SHOW));
	assert_null(elem_first_node(e));
	elem_prepend(e, a);
	other = elem_new(arena, EL_IQ);
	elem_append(other, a);
	assert_null(elem_first_node(e));
	assert_xml(other, "<iq xmlns='jabber:client'><body/></iq>");
}

/* Against an array, all over the place. */
static void
test_many_links(void **state)
{
	struct elem *e = elem_new(arena, EL_MESSAGE), *c, *kid[20];
	size_t order[20], count = 0;
	uint32_t seed = 1;

	for (size_t i = 0; i < 20; i++)
		kid[i] = elem_new(arena, EL_BODY);
	for (int step = 0; step < 5000; step++) {
		size_t which = (seed = seed * 1103515245 + 12345) >> 16, at;

		which %= 20;
		for (at = 0; at < count && order[at] != which;)
			at++;
		if (at < count)
			memmove(order + at, order + at + 1,
			    (--count - at) * sizeof(*order));
		switch (seed >> 28 & 3) {
		case 0:
			elem_remove(kid[which]);
			break;
		case 1:
			elem_prepend(e, kid[which]);
			memmove(order + 1, order, count++ * sizeof(*order));
			order[0] = which;
			break;
		default:
			elem_append(e, kid[which]);
			order[count++] = which;
		}
		c = elem_first_node(e);
		for (at = 0; at < count; at++, c = elem_next_node(c))
			assert_ptr_equal(c, kid[order[at]]);
		assert_null(c);
	}
}

static void
test_copy(void **state)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_MESSAGE), *copy, *again;

	elem_set(e, AT_XML_LANG, str_dup(a, STR("de")));
	elem_set_named(e, str_dup(a, STR("odd")), str_dup(a, STR("1")));
	elem_add_text(e, EL_BODY, str_dup(a, STR("hi")));
	elem_add_named(
	    elem_add_named(e, STR("urn:x"), STR("x")), STR(""), STR("y"));
	copy = elem_copy(arena, e);
	again = elem_add_copy(elem_add(copy, EL_ERROR), e);
	memset(arena_bytes(a, 100), 0, 100);
	arena_free(&a);

	assert_ptr_equal(elem_arena(copy), arena);
	assert_null(elem_parent(copy));
	assert_xml(again,
	    "<message xmlns='jabber:client' xml:lang='de' odd='1'>"
	    "<body>hi</body><x xmlns='urn:x'><y xmlns=''/></x></message>");
	assert_true(str_is(elem_lang(elem_child(again, EL_BODY)), "de"));
	elem_set(elem_child(again, EL_BODY), AT_XML_LANG, STR("fr"));
	assert_true(str_is(elem_lang(elem_child(again, EL_BODY)), "fr"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_attrs),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_many_links),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
