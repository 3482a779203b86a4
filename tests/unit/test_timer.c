/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "net_help.h"

#define TIMERS 2000

static struct {
	struct timer t;
	unsigned fired;
} timers[TIMERS];

static struct gate fired = GATE_INIT;
static uint64_t last_due;
static bool in_order, never_early;

static void
on_timer(struct timer *t)
{
	uint64_t due = t->due;

	timers[(size_t)((char *)t - (char *)timers) / sizeof(timers[0])]
	    .fired++;
	in_order = in_order && due >= last_due;
	never_early = never_early && clock_mono() >= due;
	last_due = due;
	must(!timer_is_running(t));
	gate_add(&fired, 1);
}

/* Scattered over 200 ms; some stopped, some put off, some put before. */
static void
many_start(void *arg)
{
	in_order = never_early = true;
	last_due = 0;
	for (unsigned i = 0; i < TIMERS; i++)
		timer_start(&timers[i].t, i * 7919 % 200, on_timer);
	for (unsigned i = 0; i < TIMERS; i += 4)
		timer_stop(&timers[i].t);
	for (unsigned i = 1; i < TIMERS; i += 4)
		timer_start(&timers[i].t, 200 + i % 50, on_timer);
	for (unsigned i = 2; i < TIMERS; i += 4)
		timer_start(&timers[i].t, i % 3, on_timer);
}

static void
none_running(void *arg)
{
	for (unsigned i = 0; i < TIMERS; i++)
		must(!timer_is_running(&timers[i].t));
}

static void
test_many(void **state)
{
	on_loop(0, many_start, NULL);
	gate_wait(&fired, TIMERS / 4 * 3);
	on_loop(0, none_running, NULL);
	assert_int_equal(gate_count(&fired), TIMERS / 4 * 3);
	for (unsigned i = 0; i < TIMERS; i++)
		assert_int_equal(timers[i].fired, i % 4 ? 1 : 0);
	assert_true(in_order);
	assert_true(never_early);
}

static struct timer chain, victim;
static struct gate chained = GATE_INIT;

static void
on_victim(struct timer *t)
{
	must(false);
}

static void
on_chain(struct timer *t)
{
	timer_stop(&victim);
	gate_add(&chained, 1);
	if (gate_count(&chained) < 5)
		timer_start(t, 0, on_chain);
}

/* One that stops another that is due as well, and starts itself again. */
static void
chain_start(void *arg)
{
	timer_start(&chain, 1, on_chain);
	timer_start(&victim, 1, on_victim);
	must(timer_is_running(&chain) && timer_is_running(&victim));
}

static void
test_inside(void **state)
{
	on_loop(0, chain_start, NULL);
	gate_wait(&chained, 5);
}

static void
far_start(void *arg)
{
	timer_start(&victim, DAYS(400), on_victim);
}

static void
far_stop(void *arg)
{
	timer_stop(&victim);
	timer_stop(&victim);
}

static struct timer near;
static struct gate rang = GATE_INIT;

static void
on_near(struct timer *t)
{
	gate_add(&rang, 1);
}

static void
near_start(void *arg)
{
	timer_start(&near, 20, on_near);
}

/* A near one behind a far one is not forgotten. */
static void
test_far(void **state)
{
	on_loop(0, far_start, NULL);
	on_loop(0, near_start, NULL);
	gate_wait(&rang, 1);
	on_loop(0, far_stop, NULL);
}

static int
up(void **state)
{
	loops_up(1);
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_far),
	};

	return cmocka_run_group_tests_name("timer", tests, up, down);
}
