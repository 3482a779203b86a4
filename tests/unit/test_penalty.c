/* SPDX-License-Identifier: MIT */
#include "core/penalty.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct addr
addr_of(const char *ip)
{
	struct addr a;

	assert_int_equal(addr_parse(str_c(ip), 5222, &a), 0);
	return a;
}

/* When each failure comes, and how long its answer waits. */
static void
test_delays(void **state)
{
	static const struct {
		uint64_t at;
		uint64_t delay;
	} rows[] = {
		{ 1000, 0 },
		{ 1001, 100 },
		{ 1002, 200 },
		{ 1003, 400 },
		{ 1004, 800 },
		{ 1005, 1600 },
		{ 1006, 2000 },
		{ 1007, 2000 },
		/* Each minute forgives one. */
		{ 1007 + 60000 * 5, 400 },
		{ 1007 + 60000 * 500, 0 },
	};
	struct addr a = addr_of("192.0.2.1"), b = addr_of("192.0.2.2");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(penalty_add(&a, rows[i].at), rows[i].delay);
	assert_int_equal(penalty_add(&b, 1008), 0);
	penalty_thread_done();
	assert_int_equal(penalty_count(), 0);
	assert_int_equal(penalty_add(&a, 1000), 0);
	penalty_thread_done();
}

/* An IPv6 customer has a /64 to choose addresses from. */
static void
test_networks(void **state)
{
	struct addr a = addr_of("2001:db8::1"), b = addr_of("2001:db8::2"),
		    c = addr_of("2001:db8:0:1::1");

	assert_int_equal(penalty_add(&a, 1000), 0);
	assert_int_equal(penalty_add(&b, 1000), 100);
	assert_int_equal(penalty_add(&c, 1000), 0);
	penalty_thread_done();
}

static void
test_bound(void **state)
{
	struct addr first = addr_of("198.51.100.1");

	penalty_add(&first, 1);
	for (unsigned i = 0; i < 10000; i++) {
		char ip[32];
		struct addr a;

		snprintf(ip, sizeof(ip), "10.0.%u.%u", i / 256, i % 256);
		a = addr_of(ip);
		penalty_add(&a, 2 + i);
	}
	assert_in_range(penalty_count(), 1000, 5000);
	/* The one that failed longest ago has been forgotten. */
	assert_int_equal(penalty_add(&first, 3), 0);
	penalty_thread_done();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delays),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
