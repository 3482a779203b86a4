/* SPDX-License-Identifier: MIT */
#include "net/loop.h"

#include "base/clock.h"
#include "net_help.h"

#include <signal.h>
#include <string.h>

#define LOOPS 3

static struct gate started = GATE_INIT;

static void
on_started(struct loop *l)
{
	char name[16], expected[16];
	sigset_t blocked;

	must(loop_self() == l && loop_at(loop_index(l)) == l);
	must(loop_uv(l) != NULL);
	snprintf(expected, sizeof(expected), "worker-%u", loop_index(l));
	pthread_getname_np(pthread_self(), name, sizeof(name));
	must(strcmp(name, expected) == 0);
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	must(sigismember(&blocked, SIGTERM));
	gate_add(&started, 1);
}

static void
test_started(void **state)
{
	gate_wait(&started, LOOPS);
	assert_int_equal(loop_count(), LOOPS);
	assert_null(loop_self());
	assert_true(loop_now() > 0);
}

/* Order -------------------------------------------------------------------- */

static char events[256];
static struct gate turns = GATE_INIT;

static void
event(const char *text)
{
	strcat(events, text);
}

static struct deferred first, second, never;

static void
on_second(struct deferred *d)
{
	event(" second");
	gate_add(&turns, 1);
}

static void
on_first(struct deferred *d)
{
	event(" first");
	loop_undefer(&never);
	/* From the end of the turn into the same end. */
	loop_defer(&second, on_second);
}

static void
on_never(struct deferred *d)
{
	must(false);
}

static void
on_own(void *msg)
{
	event(" own");
}

static void
turn(void *arg)
{
	events[0] = '\0';
	loop_defer(&first, on_first);
	loop_defer(&first, on_first);
	loop_defer(&never, on_never);
	loop_post(loop_self(), on_own, NULL);
	event("turn");
}

static void
test_deferred(void **state)
{
	on_loop(1, turn, NULL);
	gate_wait(&turns, 1);
	assert_string_equal(events, "turn own first second");
}

static struct timer timer;

static void
on_timer(struct timer *t)
{
	turn(NULL);
}

static void
timer_now(void *arg)
{
	timer_start(&timer, 1, on_timer);
}

/* What a timer defers does not wait for the next socket. */
static void
test_deferred_by_timer(void **state)
{
	on_loop(1, timer_now, NULL);
	gate_wait(&turns, 2);
	assert_string_equal(events, "turn own first second");
}

static struct deferred restless;
static int restless_count;
static struct gate rested = GATE_INIT;

static void
on_restless(struct deferred *d)
{
	if (++restless_count < 1000)
		loop_defer(d, on_restless);
	else
		gate_add(&rested, 1);
}

static void
restless_start(void *arg)
{
	loop_defer(&restless, on_restless);
}

/* Work that defers itself again and again lets others live, and goes on. */
static void
test_deferred_for_ever(void **state)
{
	on_loop(0, restless_start, NULL);
	gate_wait(&rested, 1);
	assert_int_equal(restless_count, 1000);
}

/* Posts -------------------------------------------------------------------- */

#define NOTES 20000

static unsigned next_note[LOOPS];
static struct gate noted = GATE_INIT;
static bool notes_in_order = true;

/* `msg` is a number with the sender's index. */
static void
on_note(void *msg)
{
	uintptr_t n = (uintptr_t)msg;

	if (next_note[n % LOOPS]++ != n / LOOPS)
		notes_in_order = false;
	gate_add(&noted, 1);
}

static void
notes_send(void *msg)
{
	uintptr_t me = loop_index(loop_self());

	for (uintptr_t i = 0; i < NOTES; i++)
		loop_post(loop_at(0), on_note, (void *)(i * LOOPS + me));
}

static void
test_posts(void **state)
{
	for (unsigned i = 0; i < LOOPS; i++)
		loop_post(loop_at(i), notes_send, NULL);
	gate_wait(&noted, LOOPS * NOTES);
	assert_true(notes_in_order);
}

/* Work --------------------------------------------------------------------- */

static struct gate worked = GATE_INIT;

static void
do_work(void *arg)
{
	must(loop_self() == NULL);
	*(int *)arg += 1;
}

static void
on_worked(void *arg)
{
	must(loop_index(loop_self()) == 2);
	*(int *)arg += 10;
	gate_add(&worked, 1);
}

static void
work_start(void *arg)
{
	loop_work(do_work, on_worked, arg);
}

static void
test_work(void **state)
{
	int n = 0;

	on_loop(2, work_start, &n);
	gate_wait(&worked, 1);
	assert_int_equal(n, 11);
}

static uint64_t seen_now[2];

static void
now_twice(void *arg)
{
	uint64_t until = clock_mono() + 5;

	seen_now[0] = loop_now();
	while (clock_mono() < until)
		;
	seen_now[1] = loop_now();
}

static void
test_now(void **state)
{
	on_loop(0, now_twice, NULL);
	assert_int_equal(seen_now[0], seen_now[1]);
	on_loop(0, now_twice, NULL);
	assert_true(seen_now[0] <= clock_mono());
}

/* Ending ------------------------------------------------------------------- */

static struct gate bounced = GATE_INIT;

/* Goes round the loops a thousand times, whatever happens to them. */
static void
on_bounce(void *msg)
{
	uintptr_t n = (uintptr_t)msg;

	if (n == 0)
		gate_add(&bounced, 1);
	else
		loop_post(
		    loop_at((unsigned)(n % LOOPS)), on_bounce, (void *)(n - 1));
}

static void
slow_work(void *arg)
{
	struct timespec t = { 0, 50 * 1000000 };

	nanosleep(&t, NULL);
}

static void
on_slow_done(void *arg)
{
	gate_add(&bounced, 1);
}

static void
slow_start(void *arg)
{
	loop_work(slow_work, on_slow_done, NULL);
}

/* Nothing that was posted or begun is lost when the loops end. */
static void
test_end(void **state)
{
	loops_up(LOOPS);
	on_loop(0, slow_start, NULL);
	for (unsigned i = 0; i < 10; i++)
		loop_post(
		    loop_at(i % LOOPS), on_bounce, (void *)(uintptr_t)1000);
	loops_stop();
	assert_int_equal(gate_count(&bounced), 11);
	loop_post(loop_at(1), on_bounce, NULL);
	loops_free();
	assert_int_equal(gate_count(&bounced), 12);
}

static void
test_never_run(void **state)
{
	loops_new(2);
	loop_post(loop_at(1), on_bounce, NULL);
	loops_stop();
	loops_free();
	assert_int_equal(gate_count(&bounced), 13);
}

static int
up(void **state)
{
	loops_new(LOOPS);
	loops_run(on_started);
	return 0;
}

static int
down(void **state)
{
	loops_down();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest running[] = {
		cmocka_unit_test(test_started),
		cmocka_unit_test(test_deferred),
		cmocka_unit_test(test_deferred_by_timer),
		cmocka_unit_test(test_deferred_for_ever),
		cmocka_unit_test(test_posts),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_now),
	};
	const struct CMUnitTest ending[] = {
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_never_run),
	};
	int failed = cmocka_run_group_tests_name("loop", running, up, down);

	return failed + cmocka_run_group_tests_name("end", ending, NULL, NULL);
}
