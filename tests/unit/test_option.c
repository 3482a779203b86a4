/* SPDX-License-Identifier: MIT */
#include "conf_rig.h"

#include "core/optval.h"
#include "core/units.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BAD UINT64_MAX

static void
test_spans(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
		const char *printed; /* NULL: as it was written */
	} cases[] = {
		{ "0", 0, NULL },
		{ "500ms", 500, NULL },
		{ "30s", 30000, NULL },
		{ "5m", 300000, NULL },
		{ "60m", 3600000, "1h" },
		{ "90m", 5400000, NULL },
		{ "7d", 604800000, "1w" },
		{ "10 d", 864000000, "10d" },
		{ "1y", 31536000000, NULL },
		{ "30", BAD, NULL },
		{ "s", BAD, NULL },
		{ "", BAD, NULL },
		{ "-5s", BAD, NULL },
		{ "5S", BAD, NULL },
		{ "1h30m", BAD, NULL },
		{ "99999999999999999999s", BAD, NULL },
		{ "18446744073709551615d", BAD, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t ms = BAD;
		struct buf b = { 0 };
		bool is_good = span_parse(str_c(cases[i].text), &ms);

		if (is_good != (cases[i].ms != BAD) || ms != cases[i].ms)
			fail_msg("'%s'", cases[i].text);
		if (!is_good)
			continue;
		span_print(&b, ms);
		assert_true(str_is(buf_str(&b), cases[i].printed != NULL
						    ? cases[i].printed
						    : cases[i].text));
		buf_fini(&b);
	}
}

static void
test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		const char *printed;
	} cases[] = {
		{ "0", 0, NULL },
		{ "512", 512, NULL },
		{ "512B", 512, "512" },
		{ "100KiB", 102400, NULL },
		{ "1024KiB", 1048576, "1MiB" },
		{ "1GiB", 1073741824, NULL },
		{ "10MB", 10000000, "10000000" },
		{ "3 kB", 3000, "3000" },
		{ "KiB", BAD, NULL },
		{ "1XB", BAD, NULL },
		{ "1.5MiB", BAD, NULL },
		{ "99999999999TiB", BAD, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t bytes = BAD;
		struct buf b = { 0 };
		bool is_good = size_parse(str_c(cases[i].text), &bytes);

		if (is_good != (cases[i].bytes != BAD) ||
		    bytes != cases[i].bytes)
			fail_msg("'%s'", cases[i].text);
		if (!is_good)
			continue;
		size_print(&b, bytes);
		assert_true(str_is(buf_str(&b), cases[i].printed != NULL
						    ? cases[i].printed
						    : cases[i].text));
		buf_fini(&b);
	}
}

static void
test_rates(void **state)
{
	static const struct {
		const char *text;
		bool is_good;
		struct rate rate;
		const char *printed;
	} cases[] = {
		{ "3/1h", true, { 3, 3600000 }, "3/1h" },
		{ "10/s", true, { 10, 1000 }, "10/1s" },
		{ "unlimited", true, { 0, 0 }, "unlimited" },
		{ "3", false, { 0, 0 }, NULL },
		{ "3/", false, { 0, 0 }, NULL },
		{ "0/1h", false, { 0, 0 }, NULL },
		{ "3/0", false, { 0, 0 }, NULL },
		{ "5000000000/1h", false, { 0, 0 }, NULL },
		{ "none", false, { 0, 0 }, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rate rate = { 0 };
		struct buf b = { 0 };

		if (rate_parse(str_c(cases[i].text), &rate) != cases[i].is_good)
			fail_msg("'%s'", cases[i].text);
		if (!cases[i].is_good)
			continue;
		assert_int_equal(rate.count, cases[i].rate.count);
		assert_int_equal(rate.per_ms, cases[i].rate.per_ms);
		rate_print(&b, &rate);
		assert_true(str_is(buf_str(&b), cases[i].printed));
		buf_fini(&b);
	}
}

static void
test_defaults(void **state)
{
	struct arena *a = arena_new(0);
	struct problems problems = { .arena = a, .file = "f" };
	struct optval_scope scope = { a, &problems, STR("a.example"), "" };
	struct tower_options o = { 0 };

	optvals_default(&scope, rig_tower_options, &o);
	assert_int_equal(problems.count, 0);
	assert_true(o.is_high);
	assert_int_equal(o.windows, 4);
	assert_int_equal(o.height, 2048);
	assert_int_equal(o.wait_ms, 300000);
	assert_true(str_is(o.motto, "at a.example"));
	assert_true(str_is(o.host, "tower.a.example"));
	assert_true(str_is(o.key, ""));
	assert_int_equal(o.colour, 1);
	assert_int_equal(o.birds.count, 2);
	assert_true(str_is(o.birds.item[1], "jackdaw"));
	assert_int_equal(o.rate.count, 3);
	arena_free(&a);
}

/* Each value is refused for its reason, and leaves the field alone. */
static void
test_refused(void **state)
{
	static const struct {
		const char *name, *text, *why;
	} cases[] = {
		{ "high", "maybe", "is neither true nor false" },
		{ "high", "TRUE", "is neither true nor false" },
		{ "windows", "x", "is not a whole number" },
		{ "windows", "-1", "is not a whole number" },
		{ "windows", "0", "is out of range: from 1 to 100" },
		{ "windows", "101", "is out of range: from 1 to 100" },
		{ "height", "1MB!",
		    "is not a size, such as 512, 100KiB or 1GiB" },
		{ "height", "1KB", "is out of range: from 1KiB to 1MiB" },
		{ "wait", "2h", "is out of range: from 1s to 1h" },
		{ "motto", "123456789012345678901", "is longer than 20 bytes" },
		{ "host", "", "is too short" },
		{ "host", "a@b", "is not a domain" },
		{ "colour", "grey", "is not one of: red, green, blue" },
		{ "rate", "3", "is not a rate, such as 3/1h, or unlimited" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena *a = arena_new(0);
		const struct option *o = rig_tower_options;
		struct tower_options values = { 0 }, before = { 0 };
		const char *why = "";

		while (strcmp(o->name, cases[i].name) != 0)
			o++;
		assert_false(optval_parse(
		    a, o, str_c(cases[i].text), STR_NONE, &values, &why));
		assert_string_equal(why, cases[i].why);
		assert_true(optval_equal(o, &values, &before));
		arena_free(&a);
	}
}

static void
test_printed(void **state)
{
	static const struct {
		const char *name, *text, *printed;
	} cases[] = {
		{ "high", "on", "true" },
		{ "windows", "7", "7" },
		{ "height", "4096", "4KiB" },
		{ "wait", "120s", "2m" },
		{ "motto", "two words", "\"two words\"" },
		{ "motto", "plain", "plain" },
		{ "motto", "true", "\"true\"" },
		{ "motto", "5", "\"5\"" },
		{ "motto", "a\"b\\\n", "\"a\\\"b\\\\\\x0a\"" },
		{ "key", "abracadabra", "\"***\"" },
		{ "key", "", "\"\"" },
		{ "colour", "blue", "blue" },
		{ "rate", "2/m", "2/1m" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena *a = arena_new(0);
		const struct option *o = rig_tower_options;
		struct tower_options values = { 0 };
		const char *why = "";
		struct buf b = { 0 };

		while (strcmp(o->name, cases[i].name) != 0)
			o++;
		assert_true(optval_parse(
		    a, o, str_c(cases[i].text), STR_NONE, &values, &why));
		optval_print(&b, o, &values);
		assert_string_equal(
		    str_dup_c(a, buf_str(&b)), cases[i].printed);
		buf_fini(&b);
		arena_free(&a);
	}
}

static void
test_nearest(void **state)
{
	static const char *const names[] = { "listen", "limits", "log", "hosts",
		"certificates", NULL };
	static const struct {
		const char *name, *nearest;
	} cases[] = {
		{ "lisen", "listen" },
		{ "litsen", "listen" },
		{ "limit", "limits" },
		{ "certificats", "certificates" },
		{ "host", "hosts" },
		{ "lo", "log" },
		{ "banana", NULL },
		{ "", NULL },
		{ "x", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *found = name_nearest(str_c(cases[i].name), names);

		if (cases[i].nearest == NULL)
			assert_null(found);
		else
			assert_string_equal(found, cases[i].nearest);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_printed),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
