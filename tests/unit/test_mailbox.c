/* SPDX-License-Identifier: MIT */
#include "net/mailbox.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SENDERS 4
#define EACH 50000

static struct mailbox box;

struct sender {
	unsigned next;	  /* what the receiver expects */
	atomic_uint woke; /* pushes that found it empty */
};

static struct sender senders[SENDERS];
static unsigned received;
static bool in_order = true;

struct note {
	struct sender *from;
	unsigned number;
};

static void
on_note(void *msg)
{
	struct note *note = (struct note *)msg;

	in_order = in_order && note->from->next == note->number;
	note->from->next = note->number + 1;
	received++;
	xfree(note);
}

static void *
sender_main(void *arg)
{
	struct sender *s = (struct sender *)arg;

	for (unsigned i = 0; i < EACH; i++) {
		struct note *note = (struct note *)xmalloc(sizeof(*note));
		bool congested;

		*note = (struct note){ s, i };
		if (mailbox_push(&box, on_note, note, &congested))
			atomic_fetch_add(&s->woke, 1);
	}
	mailbox_thread_done();
	return NULL;
}

static void
test_many_senders(void **state)
{
	pthread_t threads[SENDERS];
	bool eased;

	mailbox_init(&box);
	for (int i = 0; i < SENDERS; i++)
		pthread_create(&threads[i], NULL, sender_main, &senders[i]);
	while (received < SENDERS * EACH)
		if (!mailbox_run(&box, 100, &eased))
			sched_yield();
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	assert_true(in_order);
	assert_true(mailbox_is_empty(&box));
	assert_int_equal(atomic_load(&box.count), 0);
	mailbox_thread_done();
}

static int ran;

static void
on_one(void *msg)
{
	ran++;
}

static void
test_wakes_once(void **state)
{
	bool congested, eased;

	mailbox_init(&box);
	ran = 0;
	assert_true(mailbox_push(&box, on_one, NULL, &congested));
	assert_false(mailbox_push(&box, on_one, NULL, &congested));
	assert_false(mailbox_run(&box, 10, &eased));
	assert_int_equal(ran, 2);
	assert_true(mailbox_push(&box, on_one, NULL, &congested));
	assert_true(mailbox_run(&box, 1, &eased));
	assert_false(mailbox_run(&box, 1, &eased));
	mailbox_thread_done();
}

/* Congested above the high mark, eased below the low one; each told once. */
static void
test_marks(void **state)
{
	unsigned congested_at = 0, eased_at = 0;
	bool congested, eased;

	mailbox_init(&box);
	for (unsigned i = 1; i <= MAILBOX_HIGH + 100; i++) {
		mailbox_push(&box, on_one, NULL, &congested);
		if (congested) {
			assert_int_equal(congested_at, 0);
			congested_at = i;
		}
	}
	assert_int_equal(congested_at, MAILBOX_HIGH + 1);
	assert_true(atomic_load(&box.is_congested));
	for (unsigned left = MAILBOX_HIGH + 100; left > 0; left--) {
		mailbox_run(&box, 1, &eased);
		if (eased) {
			assert_int_equal(eased_at, 0);
			eased_at = left - 1;
		}
	}
	assert_int_equal(eased_at, MAILBOX_LOW - 1);
	assert_false(atomic_load(&box.is_congested));
	mailbox_thread_done();
}

static void
on_self(void *msg)
{
	ran++;
	if (ran < 5)
		mailbox_push_self(&box, on_self, NULL);
}

/* What they post themselves waits for the next time. */
static void
test_self(void **state)
{
	mailbox_init(&box);
	ran = 0;
	assert_false(mailbox_run_self(&box));
	mailbox_push_self(&box, on_self, NULL);
	for (int i = 1; i <= 5; i++) {
		assert_false(mailbox_is_empty(&box));
		assert_true(mailbox_run_self(&box));
		assert_int_equal(ran, i);
	}
	assert_true(mailbox_is_empty(&box));
	mailbox_thread_done();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_senders),
		cmocka_unit_test(test_wakes_once),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_self),
	};

	return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
