/* SPDX-License-Identifier: MIT */
/* Counting by names: the bound of a rate, and that of the table. */
#include "core/key_rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct rate two = { 2, 1000000 };
static const struct rate none = { 0, 0 };

static void
test_rate(void **state)
{
	struct key_rate r = { 0 };

	assert_int_equal(key_rate_take(&r, &two, STR("a")), RATE_FINE);
	assert_false(key_rate_is_full(&r, &two, STR("a")));
	assert_int_equal(key_rate_take(&r, &two, STR("a")), RATE_FINE);
	assert_true(key_rate_is_full(&r, &two, STR("a")));
	assert_int_equal(key_rate_take(&r, &two, STR("a")), RATE_ENDS);
	assert_int_equal(key_rate_take(&r, &two, STR("a")), RATE_OVER);
	assert_int_equal(key_rate_take(&r, &two, STR("b")), RATE_FINE);
	assert_int_equal(key_rate_take(&r, &none, STR("a")), RATE_FINE);
	assert_false(key_rate_is_full(&r, &none, STR("a")));
	key_rate_fini(&r);
}

/* Who goes on stays; who was seen once, long ago, goes. */
static void
test_table(void **state)
{
	struct key_rate r = { 0 };
	char key[16];

	key_rate_take(&r, &two, STR("once"));
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "%u", i);
		assert_int_equal(
		    key_rate_take(&r, &two, str_c(key)), RATE_FINE);
		key_rate_take(&r, &two, STR("often"));
		assert_true(r.recent.count + r.older.count <= 20000);
	}
	assert_int_equal(key_rate_take(&r, &two, STR("often")), RATE_OVER);
	assert_null(map_get(&r.recent, STR("once")));
	assert_null(map_get(&r.older, STR("once")));
	key_rate_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
