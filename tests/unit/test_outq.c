/* SPDX-License-Identifier: MIT */
/* Output queues, against a plain buffer with the same bytes. */
#include "net/outq.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct outq q;
static struct buf model;
static uint32_t seed = 1;

/* Deterministic; any generator will do. */
static unsigned
chance(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void
bytes_fill(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)chance(256);
}

static void
add_bytes(void)
{
	static char p[3000];
	size_t n = chance(sizeof(p));

	bytes_fill(p, n);
	buf_add(outq_buf(&q), p, n);
	buf_add(&model, p, n);
}

static void
add_wire(void)
{
	static char p[5000];
	size_t n = chance(3) ? chance(700) : chance(sizeof(p));
	struct wire *w;

	bytes_fill(p, n);
	w = wire_new(str_mem(p, n));
	outq_wire(&q, w);
	if (chance(4) == 0) {
		outq_wire(&q, w);
		buf_add(&model, p, n);
	}
	wire_unref(&w);
	buf_add(&model, p, n);
}

/* What it says is first must be so, however few pieces are asked for. */
static void
pieces_check(void)
{
	struct iovec pieces[64];
	int max = 2 + (int)chance(63);
	int count = outq_pieces(&q, pieces, max);
	size_t at = 0;

	assert_int_equal(outq_size(&q), model.n);
	assert_true(count <= max);
	assert_true(count > 0 || model.n == 0);
	for (int i = 0; i < count; i++) {
		assert_true(pieces[i].iov_len > 0);
		assert_true(at + pieces[i].iov_len <= model.n);
		assert_memory_equal(
		    pieces[i].iov_base, model.p + at, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	if (count < max - 1)
		assert_int_equal(at, model.n);
}

static void
drop(void)
{
	size_t n = model.n == 0 ? 0 : chance((unsigned)model.n + 1);

	if (chance(10) == 0)
		n = model.n;
	outq_drop(&q, n);
	buf_shift(&model, n);
}

static void
test_random(void **state)
{
	for (int i = 0; i < 20000; i++) {
		switch (chance(5)) {
		case 0:
		case 1:
			add_bytes();
			break;
		case 2:
		case 3:
			add_wire();
			break;
		default:
			drop();
		}
		pieces_check();
	}
	outq_drop(&q, model.n);
	assert_null(q.bytes.p);
	assert_null(q.wires);
	buf_fini(&model);
}

/* One that never empties does not keep what is out. */
static void
test_stays_small(void **state)
{
	static char p[1000];

	for (int i = 0; i < 10000; i++) {
		buf_add(outq_buf(&q), p, sizeof(p));
		if (i > 0)
			outq_drop(&q, sizeof(p));
	}
	assert_true(q.bytes.cap < 200000);
	outq_fini(&q);
}

/* Of a queue that is dropped whole, no wire stays. */
static void
test_fini(void **state)
{
	static char p[2000];
	struct wire *w = wire_new(str_mem(p, sizeof(p)));

	for (int i = 0; i < 100; i++)
		outq_wire(&q, w);
	assert_int_equal(w->refs, 101);
	outq_drop(&q, 50 * sizeof(p) + 1);
	assert_int_equal(w->refs, 51);
	outq_fini(&q);
	assert_int_equal(w->refs, 1);
	wire_unref(&w);
}

static int
down(void **state)
{
	outq_thread_done();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_stays_small),
		cmocka_unit_test(test_fini),
	};

	return cmocka_run_group_tests_name("outq", tests, NULL, down);
}
