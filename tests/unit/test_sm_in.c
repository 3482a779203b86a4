/* SPDX-License-Identifier: MIT */
#include "core/sm.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANY 5000

static struct session session;
static struct sm sm;

static int
setup(void **state)
{
	memset(&session, 0, sizeof(session));
	memset(&sm, 0, sizeof(sm));
	sm.session = &session;
	session.sm = &sm;
	return 0;
}

static struct sm_in *
begin(uint32_t from)
{
	sm.in = sm_in_new(sm_on_moved, &sm, from);
	return sm.in;
}

/* Receipts come back in this order; how far the count is after each. */
static void
test_order(void **state)
{
	static const struct {
		unsigned done;
		uint32_t durable;
	} rows[] = { { 2, 0 }, { 0, 1 }, { 4, 1 }, { 1, 3 }, { 3, 5 } };
	struct sm_in *in = begin(0);
	struct receipt *r[5];

	for (size_t i = 0; i < 5; i++)
		r[i] = sm_in_next(in);
	assert_int_equal(in->seq, 5);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		receipt_done(&r[rows[i].done]);
		assert_int_equal(in->durable, rows[i].durable);
	}
	assert_int_equal(in->out, 0);
	sm_in_drop(&sm.in);
}

/* A stanza is done when all that has a part in its receipt is. */
static void
test_shared(void **state)
{
	struct sm_in *in = begin(7);
	struct receipt *r = sm_in_next(in), *more = receipt_ref(r);

	receipt_done(&r);
	assert_null(r);
	assert_int_equal(in->durable, 7);
	receipt_done(&more);
	assert_int_equal(in->durable, 8);
	assert_null(receipt_ref(NULL));
	receipt_done(&r);
	receipt_fail(&r);
	sm_in_drop(&sm.in);
}

/* Nothing behind one that was not kept is ever counted. */
static void
test_failed(void **state)
{
	struct sm_in *in = begin(0);
	struct receipt *a = sm_in_next(in), *b = sm_in_next(in),
		       *c = sm_in_next(in), *more = receipt_ref(b);

	receipt_fail(&b);
	assert_false(in->is_failed);
	receipt_done(&more);
	assert_true(in->is_failed);
	receipt_done(&c);
	assert_int_equal(in->durable, 0);
	receipt_done(&a);
	assert_int_equal(in->durable, 1);
	assert_null(sm_in_next(in));
	assert_int_equal(in->seq, 4);
	assert_int_equal(sm_in_pending(in), 3);
	sm_in_drop(&sm.in);
}

/* The count wraps round, and the ring of bits grows in between. */
static void
test_many(void **state)
{
	uint32_t from = UINT32_MAX - MANY / 2;
	struct sm_in *in = begin(from);
	static struct receipt *r[MANY];

	for (size_t i = 0; i < 40; i++)
		r[i] = sm_in_next(in);
	for (size_t i = 1; i < 40; i += 2)
		receipt_done(&r[i]);
	for (size_t i = 40; i < MANY; i++)
		r[i] = sm_in_next(in);
	for (size_t i = MANY; i-- > 41;)
		receipt_done(&r[i]);
	assert_int_equal(in->durable, from);
	for (size_t i = 0; i < 41; i++)
		if (r[i] != NULL)
			receipt_done(&r[i]);
	assert_int_equal(in->durable, from + MANY);
	assert_int_equal(sm_in_pending(in), 0);
	/* One that is idle keeps no large ring, and still counts. */
	assert_int_equal(in->cap, 0);
	r[0] = sm_in_next(in);
	receipt_done(&r[0]);
	assert_int_equal(in->durable, from + MANY + 1);
	sm_in_drop(&sm.in);
}

/* Receipts may come back when the session is long gone. */
static void
test_dropped(void **state)
{
	struct sm_in *in = begin(0);
	struct receipt *a = sm_in_next(in), *b = sm_in_next(in);

	sm_in_drop(&sm.in);
	assert_null(sm.in);
	receipt_done(&a);
	receipt_fail(&b);
	sm_in_drop(&sm.in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_shared, setup),
		cmocka_unit_test_setup(test_failed, setup),
		cmocka_unit_test_setup(test_many, setup),
		cmocka_unit_test_setup(test_dropped, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
