/* SPDX-License-Identifier: MIT */
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* XEP-0082 texts, and the same in UTC; NULL where they must be refused. */
static const struct {
	const char *text;
	const char *utc;
} cases[] = {
	{ "1969-07-21T02:56:15Z", "1969-07-21T02:56:15.000Z" },
	{ "1969-07-20T21:56:15-05:00", "1969-07-21T02:56:15.000Z" },
	{ "2002-09-10T23:41:07.9999+02:00", "2002-09-10T21:41:07.999Z" },
	{ "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z" },
	{ "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z" },
	{ "2000-02-29T12:00:00.5Z", "2000-02-29T12:00:00.500Z" },
	{ "2024-12-31T23:59:60Z", "2025-01-01T00:00:00.000Z" },
	{ "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z" },
	{ "9999-12-31T23:59:59.123456789Z", "9999-12-31T23:59:59.123Z" },
	{ "2100-02-29T00:00:00Z", NULL },
	{ "2001-02-29T00:00:00Z", NULL },
	{ "2001-04-31T00:00:00Z", NULL },
	{ "2001-00-01T00:00:00Z", NULL },
	{ "2001-13-01T00:00:00Z", NULL },
	{ "2001-01-00T00:00:00Z", NULL },
	{ "2001-01-01T24:00:00Z", NULL },
	{ "2001-01-01T00:60:00Z", NULL },
	{ "2001-01-01T00:00:61Z", NULL },
	{ "2001-01-01T00:00:00", NULL },
	{ "2001-01-01T00:00:00.Z", NULL },
	{ "2001-01-01T00:00:00z", NULL },
	{ "2001-01-01 00:00:00Z", NULL },
	{ "2001-01-01T00:00:00+0200", NULL },
	{ "2001-01-01T00:00:00+24:00", NULL },
	{ "2001-01-01T00:00:00ZZ", NULL },
	{ "-001-01-01T00:00:00Z", NULL },
	{ "20010101T00:00:00", NULL },
	{ "2001-01-01", NULL },
	{ "", NULL },
};

static void
test_parse(void **state)
{
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t when, again;
		int ret = clock_parse(str_c(cases[i].text), &when);

		if (cases[i].utc == NULL) {
			assert_int_equal(ret, ERR_INVALID);
			continue;
		}
		assert_int_equal(ret, 0);
		assert_string_equal(
		    clock_format(a, when, true).p, cases[i].utc);
		assert_int_equal(
		    clock_parse(clock_format(a, when, true), &again), 0);
		assert_true(when == again);
	}
	arena_free(&a);
}

static void
test_format(void **state)
{
	struct arena *a = arena_new(0);

	assert_string_equal(
	    clock_format(a, -1, false).p, "1969-12-31T23:59:59Z");
	assert_string_equal(
	    clock_format(a, INT64_MAX, true).p, "9999-12-31T23:59:59.999Z");
	assert_string_equal(
	    clock_format(a, INT64_MIN, true).p, "0000-01-01T00:00:00.000Z");
	arena_free(&a);
}

static void
test_clocks(void **state)
{
	uint64_t mono = clock_mono();
	int64_t real = clock_real();

	assert_true(clock_mono() >= mono);
	assert_true(real > INT64_C(1700000000000));
	assert_true(clock_real_us() / 1000 >= real - 60000);
	assert_int_equal(DAYS(1), 86400000);
}

static void
test_err(void **state)
{
	assert_string_equal(err_text(0), "success");
	assert_string_equal(err_text(ERR_TLS), "TLS failed");
	assert_string_equal(err_text(-2), "No such file or directory");
	assert_string_equal(err_text(-999999), "unknown error");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_err),
	};
	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	arena_thread_done();
	return ret;
}
