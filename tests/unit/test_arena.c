/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>

#include <cmocka.h>

static const size_t sizes[] = { 1, 0, 7, 16, 100, 2000, 2048, 3, 4096, 65536, 5,
	300000, 1 };

/* What was handed out stays as it was written, aligned and apart. */
static void
test_alloc(void **state)
{
	for (size_t hint = 0; hint < 10000; hint += 1999) {
		struct arena *a = arena_new(hint);
		unsigned char *p[ARRAY_LEN(sizes)];
		size_t sum = 0;

		assert_int_equal(arena_used(a), 0);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			p[i] = arena_alloc(a, sizes[i]);
			assert_int_equal(
			    (uintptr_t)p[i] % alignof(max_align_t), 0);
			memset(p[i], (int)i + 1, sizes[i]);
			sum += sizes[i];
		}
		assert_true(arena_used(a) >= sum);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(p[i][k], i + 1);
		}
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
		memset(arena_zalloc(a, 5000), 1, 5000);
		arena_free(&a);
		assert_null(a);
		arena_free(&a);
	}
}

static void
test_zalloc(void **state)
{
	/* Also where a chunk comes from the cache. */
	for (size_t round = 0; round < 3; round++) {
		struct arena *a = arena_new(0);
		unsigned char *p = arena_zalloc(a, 1500);

		for (size_t i = 0; i < 1500; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, 1500);
		arena_free(&a);
	}
}

static void
test_grow(void **state)
{
	struct arena *a = arena_new(0);
	char *p = arena_grow(a, NULL, 0, 10), *q;

	memset(p, 'a', 10);
	q = arena_grow(a, p, 10, 500);
	assert_ptr_equal(p, q);
	assert_int_equal(arena_used(a), 500);
	assert_ptr_equal(arena_grow(a, q, 500, 20), q);
	assert_int_equal(arena_used(a), 20);

	/* Not the latest any more: it is copied. */
	memset(arena_bytes(a, 1), 'x', 1);
	q = arena_grow(a, p, 20, 40);
	assert_ptr_not_equal(p, q);
	assert_memory_equal(q, "aaaaaaaaaa", 10);
	arena_free(&a);
}

/* Growing by little steps costs no more than a few times the result. */
static void
test_grow_is_linear(void **state)
{
	struct arena *a = arena_new(0);
	size_t n = 0;
	char *p = NULL;

	for (int i = 0; i < 100000; i++, n += 3) {
		p = arena_grow(a, p, n, n + 3);
		memcpy(p + n, "abc", 3);
	}
	assert_true(arena_used(a) < n * 4);
	for (size_t i = 0; i < n; i += 3)
		assert_memory_equal(p + i, "abc", 3);
	arena_free(&a);
}

static void
test_printf(void **state)
{
	struct arena *a = arena_new(0);
	struct str s = str_printf(a, "%05000d|%s", 7, "x");

	assert_string_equal(arena_printf(a, "%s-%d", "a", 1), "a-1");
	assert_string_equal(arena_printf(a, "%255d", 1) + 250, "    1");
	assert_string_equal(arena_printf(a, "%256d", 1) + 250, "     1");
	assert_int_equal(s.n, 5002);
	assert_string_equal(s.p + 4999, "7|x");
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_zalloc),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_grow_is_linear),
		cmocka_unit_test(test_printf),
	};
	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	arena_thread_done();
	return ret;
}
