/* SPDX-License-Identifier: MIT */
#include "xml/names.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int
setup(void **state)
{
	names_init();
	names_init(); /* again is harmless */
	return 0;
}

/* A name that is declared twice would be found under the first only. */
static void
test_all_are_found(void **state)
{
	for (ns_t ns = NS_NONE + 1; ns < NS_COUNT; ns++) {
		if (names_ns(names_ns_uri(ns)) != ns)
			fail_msg("NS declared twice: " STR_FMT,
			    STR_ARG(names_ns_uri(ns)));
	}
	for (qname_t e = EL_CHARS + 1; e < EL_COUNT; e++) {
		struct str local = names_elem_local(e);

		if (names_elem(names_elem_ns(e), local) != e)
			fail_msg("EL declared twice: " STR_FMT " in " STR_FMT,
			    STR_ARG(local),
			    STR_ARG(names_ns_uri(names_elem_ns(e))));
	}
	for (attr_t a = AT_NONE + 1; a < AT_COUNT; a++) {
		if (names_attr(names_attr_local(a)) != a)
			fail_msg("AT declared twice: " STR_FMT,
			    STR_ARG(names_attr_local(a)));
	}
}

static void
test_known(void **state)
{
	assert_int_equal(names_ns(STR("jabber:client")), NS_CLIENT);
	assert_int_equal(names_elem(NS_CLIENT, STR("body")), EL_BODY);
	assert_int_equal(names_elem(NS_STREAM, STR("error")), EL_STREAM_ERROR);
	assert_int_equal(names_attr(STR("xml:lang")), AT_XML_LANG);
	assert_int_equal(names_elem_ns(EL_ROSTER_ITEM), NS_ROSTER);
	assert_true(str_is(names_elem_local(EL_ROSTER_ITEM), "item"));
}

static void
test_unknown(void **state)
{
	assert_int_equal(names_ns(STR("jabber:clien")), NS_NONE);
	assert_int_equal(names_ns(STR("")), NS_NONE);
	assert_int_equal(names_ns(STR_NONE), NS_NONE);
	assert_int_equal(names_elem(NS_CLIENT, STR("Body")), EL_NONE);
	assert_int_equal(names_elem(NS_ROSTER, STR("body")), EL_NONE);
	assert_int_equal(names_elem(NS_NONE, STR("body")), EL_NONE);
	assert_int_equal(names_attr(STR("lang")), AT_NONE);
	assert_true(str_is_none(names_ns_uri(NS_NONE)));
	assert_true(str_is_none(names_elem_local(EL_CHARS)));
	assert_true(str_is_none(names_ns_uri(NS_COUNT)));
	assert_true(str_is_none(names_elem_local(EL_COUNT)));
	assert_true(str_is_none(names_attr_local(AT_COUNT)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_found),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
