/* SPDX-License-Identifier: MIT */
#include "base/heap.h"
#include "base/list.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct item {
	int number;
	struct list node;
};

/* The numbers as one: 1, 2, 3 is 123. */
static int
digits(struct list *head)
{
	struct item *e;
	int sum = 0;

	LIST_EACH(e, head, struct item, node)
	sum = sum * 10 + e->number;
	return sum;
}

static void
test_list(void **state)
{
	struct item item[5] = { { 1, { 0 } }, { 2, { 0 } }, { 3, { 0 } },
		{ 4, { 0 } }, { 5, { 0 } } };
	struct list a, b;

	list_init(&a);
	list_init(&b);
	assert_true(list_is_empty(&a));
	assert_null(LIST_FIRST(&a, struct item, node));
	assert_false(list_is_linked(&item[0].node));
	list_del(&item[0].node);

	list_add(&a, &item[0].node);
	list_add(&a, &item[1].node);
	list_push(&a, &item[2].node);
	assert_int_equal(digits(&a), 312);
	assert_true(list_is_linked(&item[0].node));
	list_del(&item[0].node);
	assert_false(list_is_linked(&item[0].node));
	list_del(&item[0].node);
	assert_int_equal(digits(&a), 32);

	list_add(&b, &item[3].node);
	list_add(&b, &item[4].node);
	list_splice(&a, &b);
	assert_int_equal(digits(&a), 3245);
	assert_true(list_is_empty(&b));
	list_splice(&a, &b);
	assert_int_equal(digits(&a), 3245);
	assert_ptr_equal(LIST_FIRST(&a, struct item, node), &item[2]);
}

/* A loop may free what it stands at. */
static void
test_free_in_loop(void **state)
{
	struct list head;
	struct item *e;
	int seen = 0;

	list_init(&head);
	for (int i = 0; i < 10; i++) {
		e = calloc(1, sizeof(*e));
		assert_non_null(e);
		list_add(&head, &e->node);
	}
	LIST_EACH(e, &head, struct item, node)
	{
		list_del(&e->node);
		free(e);
		seen++;
	}
	assert_int_equal(seen, 10);
	assert_true(list_is_empty(&head));
}

#define NODES 500

static void
test_heap(void **state)
{
	static struct heap_node node[NODES];
	struct heap h = { 0 };
	uint64_t last = 0;
	size_t count = 0;

	assert_null(heap_first(&h));
	for (int step = 0; step < 20000; step++) {
		struct heap_node *n = &node[random_u64() % NODES];

		if (random_u64() % 3 == 0) {
			count -= heap_is_in(n) ? 1 : 0;
			heap_del(&h, n);
			assert_false(heap_is_in(n));
		} else {
			count += heap_is_in(n) ? 0 : 1;
			heap_put(&h, n, random_u64() % 1000);
			assert_true(heap_is_in(n));
		}
		assert_int_equal(h.count, count);
	}
	for (; count > 1; count--) {
		struct heap_node *n = heap_first(&h);

		assert_true(n->key >= last);
		last = n->key;
		heap_del(&h, n);
	}
	heap_fini(&h);
	for (size_t i = 0; i < NODES; i++)
		assert_false(heap_is_in(&node[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_free_in_loop),
		cmocka_unit_test(test_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
