/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
test_buf(void **state)
{
	struct buf b = { 0 };
	size_t n = 0;

	buf_add(&b, NULL, 0);
	assert_null(b.p);
	for (int i = 0; i < 1000; i++, n += 11) {
		buf_add_str(&b, STR("hello"));
		buf_add_c(&b, ' ');
		buf_printf(&b, "%05d", i);
	}
	assert_int_equal(b.n, n);
	assert_memory_equal(b.p, "hello 00000hello 00001", 22);
	buf_shift(&b, n - 11);
	assert_true(str_is(buf_str(&b), "hello 00999"));
	buf_shift(&b, 11);
	assert_int_equal(b.n, 0);
	buf_printf(&b, "%03000d", 1);
	assert_int_equal(b.n, 3000);
	buf_clear(&b);
	assert_true(b.cap >= 3000);
	buf_add(&b, "abc", 3);
	buf_fit(&b);
	assert_int_equal(b.cap, 3);
	buf_add_c(&b, 'd');
	assert_true(str_is(buf_str(&b), "abcd"));
	buf_clear(&b);
	buf_fit(&b);
	assert_null(b.p);
	buf_fini(&b);
	assert_null(b.p);
}

static void
test_reserve(void **state)
{
	for (size_t more = 0; more < 5000; more = more * 2 + 1) {
		struct buf b = { 0 };

		buf_add_c(&b, 'x');
		buf_reserve(&b, more);
		assert_true(b.cap - b.n >= more);
		memset(b.p + b.n, 'y', more);
		buf_fini(&b);
	}
}

static void *
use_wire(void *arg)
{
	struct wire *w = (struct wire *)arg;

	for (int i = 0; i < 100000; i++) {
		struct wire *mine = wire_ref(w);

		wire_unref(&mine);
	}
	wire_unref(&w);
	return NULL;
}

static void
test_wire(void **state)
{
	struct wire *w = wire_join(
	    (const struct str[]){ STR("ab"), STR_NONE, STR(""), STR("c") }, 4);
	struct wire *empty = wire_new(STR_NONE);
	pthread_t thread[3];

	assert_true(str_is(wire_str(w), "abc"));
	assert_int_equal(wire_str(empty).n, 0);
	for (size_t i = 0; i < ARRAY_LEN(thread); i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, use_wire, wire_ref(w)), 0);
	for (size_t i = 0; i < ARRAY_LEN(thread); i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(w->refs, 1);
	assert_true(str_is(wire_str(w), "abc"));
	wire_unref(&w);
	assert_null(w);
	wire_unref(&w);
	wire_unref(&empty);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
