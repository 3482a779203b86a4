/* SPDX-License-Identifier: MIT */
#include "base/arena.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
	const char *text;
	bool is_fine;
	uint64_t value;
} u64_cases[] = {
	{ "0", true, 0 },
	{ "007", true, 7 },
	{ "18446744073709551615", true, UINT64_MAX },
	{ "18446744073709551616", false, 0 },
	{ "99999999999999999999", false, 0 },
	{ "", false, 0 },
	{ "-1", false, 0 },
	{ "+1", false, 0 },
	{ " 1", false, 0 },
	{ "1 ", false, 0 },
	{ "0x1", false, 0 },
};

static const struct {
	const char *text;
	bool is_fine;
	int64_t value;
} i64_cases[] = {
	{ "0", true, 0 },
	{ "-1", true, -1 },
	{ "9223372036854775807", true, INT64_MAX },
	{ "9223372036854775808", false, 0 },
	{ "-9223372036854775808", true, INT64_MIN },
	{ "-9223372036854775809", false, 0 },
	{ "--1", false, 0 },
	{ "-", false, 0 },
};

static void
test_numbers(void **state)
{
	uint64_t u;
	int64_t i;

	for (size_t k = 0; k < ARRAY_LEN(u64_cases); k++) {
		u = 0;
		assert_int_equal(str_to_u64(str_c(u64_cases[k].text), &u),
		    u64_cases[k].is_fine);
		assert_true(u == u64_cases[k].value);
	}
	for (size_t k = 0; k < ARRAY_LEN(i64_cases); k++) {
		i = 0;
		assert_int_equal(str_to_i64(str_c(i64_cases[k].text), &i),
		    i64_cases[k].is_fine);
		assert_true(i == i64_cases[k].value);
	}
}

/* The length of the first character, 0 where it is malformed. */
static const struct {
	struct str text;
	size_t len;
} utf8_cases[] = {
	{ STR_INIT("a"), 1 },
	{ STR_INIT("\0"), 1 },
	{ STR_INIT("\xc3\xa4"), 2 },
	{ STR_INIT("\xe2\x82\xac"), 3 },
	{ STR_INIT("\xf0\x9f\x90\xb1"), 4 },
	{ STR_INIT("\xf4\x8f\xbf\xbf"), 4 },
	{ STR_INIT("\xed\x9f\xbf"), 3 },
	{ STR_INIT(""), 0 },
	{ STR_INIT("\x80"), 0 },     /* a lone continuation */
	{ STR_INIT("\xc0\xaf"), 0 }, /* overlong */
	{ STR_INIT("\xc1\xbf"), 0 },
	{ STR_INIT("\xe0\x9f\xbf"), 0 },
	{ STR_INIT("\xf0\x8f\xbf\xbf"), 0 },
	{ STR_INIT("\xed\xa0\x80"), 0 },     /* a surrogate */
	{ STR_INIT("\xf4\x90\x80\x80"), 0 }, /* past U+10FFFF */
	{ STR_INIT("\xf5\x80\x80\x80"), 0 },
	{ STR_INIT("\xff"), 0 },
	{ STR_INIT("\xc3"), 0 }, /* cut short */
	{ STR_INIT("\xe2\x82"), 0 },
	{ STR_INIT("\xf0\x9f\x90"), 0 },
	{ STR_INIT("\xc3<"), 0 },
	{ STR_INIT("\xe2\x82<"), 0 },
};

static void
test_utf8(void **state)
{
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < ARRAY_LEN(utf8_cases); i++) {
		struct str s = utf8_cases[i].text;

		assert_int_equal(str_utf8_len(s), utf8_cases[i].len);
		/* At any place among eight bytes that are looked at at once. */
		for (int before = 0; before < 17; before++) {
			struct str t = str_printf(a, "%.*s" STR_FMT "abcdefgh",
			    before, "12345678123456781234", STR_ARG(s));

			if (s.n > 0 && s.p[0] != '\0')
				assert_int_equal(
				    str_is_utf8(t), utf8_cases[i].len > 0);
		}
	}
	assert_true(str_is_utf8(STR_NONE));
	arena_free(&a);
}

static void
test_parts(void **state)
{
	struct str rest = STR("a:b::c"), s = STR(" \t x y\r\n");

	assert_true(str_is(str_cut(&rest, ':'), "a"));
	assert_true(str_is(str_cut(&rest, ':'), "b"));
	assert_true(str_is(str_cut(&rest, ':'), ""));
	assert_true(str_is(str_cut(&rest, ':'), "c"));
	assert_true(str_is_none(rest));
	assert_true(str_is(str_trim(s), "x y"));
	assert_true(str_is(str_trim(STR("  ")), ""));
	assert_true(str_is(str_sub(STR("abc"), 1, 99), "bc"));
	assert_true(str_is(str_sub(STR("abc"), 9, 1), ""));
	assert_true(str_is(str_skip(STR("abc"), 2), "c"));
	assert_int_equal(str_find(STR("abc"), 'c'), 2);
	assert_int_equal(str_find(STR("abc"), 'x'), 3);
	assert_int_equal(str_find(STR_NONE, 'x'), 0);
	assert_true(str_has_prefix(STR("abc"), STR("ab")));
	assert_false(str_has_prefix(STR("abc"), STR("abcd")));
	assert_true(str_has_suffix(STR("abc"), STR("bc")));
	assert_false(str_has_suffix(STR("abc"), STR("xabc")));
	assert_true(str_has_prefix(STR_NONE, STR_NONE));
}

static void
test_compare(void **state)
{
	assert_true(str_eq_nocase(STR("aBc@["), STR("AbC@[")));
	assert_false(str_eq_nocase(STR("@"), STR("`")));
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_cmp(STR("b"), STR("ab")) > 0);
	assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
	assert_int_equal(str_cmp(STR_NONE, STR("")), 0);
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_eq_secret(STR("abc"), STR("abc")));
	assert_false(str_eq_secret(STR("abc"), STR("abd")));
	assert_false(str_eq_secret(STR("abc"), STR("ab")));
	assert_true(str_eq_secret(STR_NONE, STR("")));
}

/* Reference values of SipHash-1-3 for the key 00 01 02 ... 0f. */
static void
test_hash(void **state)
{
	static const uint64_t key[2] = { UINT64_C(0x0706050403020100),
		UINT64_C(0x0f0e0d0c0b0a0908) };
	static const uint64_t known[] = {
		UINT64_C(0xabac0158050fc4dc),
		UINT64_C(0xc9f49bf37d57ca93),
		UINT64_C(0x82cb9b024dc7d44d),
	};
	char bytes[ARRAY_LEN(known)];

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		bytes[i] = (char)i;
		assert_true(str_hash_keyed(str_mem(bytes, i), key) == known[i]);
	}
	assert_true(str_hash(STR("a")) == str_hash(STR("a")));
	assert_true(str_hash(STR("a")) != str_hash_keyed(STR("a"), key));
}

static const struct {
	const char *bytes;
	const char *text;
} base64_cases[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "f"
	  "o",
	    "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
	{ "\xff\xfe\xfd", "//79" },
	{ "\xfb", "+w==" },
};

static const char *const base64_bad[] = { "Z", "Zg",
	"Zg=", "Zg===", "Z===", "====", "=",
	"Zh==", "Zm9=", "Zg==Zg==", "Zm9v\n", "Zm 9", "Zm-_", "=Zg=", "Zg=a" };

static void
test_base64(void **state)
{
	struct arena *a = arena_new(0);
	struct str bytes;

	for (size_t i = 0; i < ARRAY_LEN(base64_cases); i++) {
		struct str want = str_c(base64_cases[i].bytes);

		assert_string_equal(
		    str_base64(a, want).p, base64_cases[i].text);
		assert_true(
		    str_unbase64(a, str_c(base64_cases[i].text), &bytes));
		assert_true(str_eq(bytes, want));
	}
	for (size_t i = 0; i < ARRAY_LEN(base64_bad); i++) {
		assert_false(str_unbase64(a, str_c(base64_bad[i]), &bytes));
		assert_true(str_is_none(bytes));
	}
	assert_string_equal(str_hex(a, STR("\x00\xa5z")).p, "00a57a");
	arena_free(&a);
}

static void
test_copies(void **state)
{
	struct arena *a = arena_new(0);
	struct str heap = str_heap(STR("abc"));

	assert_string_equal(str_dup(a, STR("abc")).p, "abc");
	assert_string_equal(str_dup_c(a, STR("")), "");
	assert_true(str_is_none(str_dup(a, STR_NONE)));
	assert_string_equal(heap.p, "abc");
	str_free(&heap);
	assert_true(str_is_none(heap));
	assert_true(str_is_none(str_heap(STR_NONE)));
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_copies),
	};
	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	arena_thread_done();
	return ret;
}
