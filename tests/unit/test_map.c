/* SPDX-License-Identifier: MIT */
#include "base/arena.h"
#include "base/map.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT 2000

static char names[COUNT][12];

static int
setup(void **state)
{
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < COUNT; i++)
		strcpy(names[i], arena_printf(a, "name%zu", i));
	arena_free(&a);
	return 0;
}

static void
test_basics(void **state)
{
	struct map m = { 0 };
	char one = 1, two = 2;

	assert_null(map_get(&m, STR("a")));
	assert_null(map_del(&m, STR("a")));
	assert_null(map_set(&m, STR("a"), &one));
	assert_ptr_equal(map_set(&m, STR("a"), &two), &one);
	assert_ptr_equal(map_get(&m, STR("a")), &two);
	assert_null(map_set(&m, STR(""), &one));
	assert_ptr_equal(map_get(&m, STR_NONE), &one);
	assert_int_equal(m.count, 2);
	assert_ptr_equal(map_del(&m, STR("a")), &two);
	assert_null(map_get(&m, STR("a")));
	assert_int_equal(m.count, 1);
	map_fini(&m);
	assert_int_equal(m.cap, 0);
}

/* Against a plain array that says which names are in. */
static void
test_random_walk(void **state)
{
	static bool is_in[COUNT];
	struct map m = { 0 };
	size_t count = 0;

	for (int step = 0; step < 100000; step++) {
		size_t i = random_u64() % COUNT;
		struct str key = str_c(names[i]);

		if (random_u64() % 2 == 0) {
			assert_ptr_equal(map_set(&m, key, names[i]),
			    is_in[i] ? names[i] : NULL);
			count += is_in[i] ? 0 : 1;
			is_in[i] = true;
		} else {
			assert_ptr_equal(
			    map_del(&m, key), is_in[i] ? names[i] : NULL);
			count -= is_in[i] ? 1 : 0;
			is_in[i] = false;
		}
		assert_int_equal(m.count, count);
		assert_true(m.used * 4 <= m.cap * 3);
	}
	for (size_t i = 0; i < COUNT; i++)
		assert_ptr_equal(
		    map_get(&m, str_c(names[i])), is_in[i] ? names[i] : NULL);
	map_fini(&m);
}

/* A walk that removes what it meets meets everything. */
static void
test_walk(void **state)
{
	for (size_t every = 1; every < 4; every++) {
		struct map m = { 0 };
		size_t pos = 0, seen = 0, left = 0;
		char *name;

		for (size_t i = 0; i < COUNT; i++)
			map_set(&m, str_c(names[i]), names[i]);
		while ((name = map_next(&m, &pos)) != NULL) {
			if (seen++ % every == 0)
				assert_ptr_equal(
				    map_del(&m, str_c(name)), name);
		}
		assert_int_equal(seen, COUNT);
		for (pos = 0; map_next(&m, &pos) != NULL;)
			left++;
		assert_int_equal(left, COUNT - (COUNT + every - 1) / every);
		assert_int_equal(left, m.count);
		map_fini(&m);
	}
}

/* Coming and going does not make it grow. */
static void
test_churn(void **state)
{
	struct map m = { 0 };

	for (size_t i = 0; i < 50 * COUNT; i++) {
		map_set(&m, str_c(names[i % COUNT]), names[i % COUNT]);
		if (i >= 10)
			map_del(&m, str_c(names[(i - 10) % COUNT]));
	}
	assert_int_equal(m.count, 10);
	assert_true(m.cap <= 64);
	map_fini(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basics),
		cmocka_unit_test(test_random_walk),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_churn),
	};
	int ret = cmocka_run_group_tests(tests, setup, NULL);

	arena_thread_done();
	return ret;
}
