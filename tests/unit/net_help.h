/* SPDX-License-Identifier: MIT */
/* For the tests of net: loops, and waiting for what happens on them. */
#ifndef TESTS_NET_HELP_H
#define TESTS_NET_HELP_H

#include "net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* Counts what happens on any thread; somebody waits for so many. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int count;
};

#define GATE_INIT \
	{ \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 \
	}

#define WAIT_S 60

static inline void
gate_add(struct gate *g, int n)
{
	pthread_mutex_lock(&g->lock);
	g->count += n;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static inline int
gate_count(struct gate *g)
{
	int n;

	pthread_mutex_lock(&g->lock);
	n = g->count;
	pthread_mutex_unlock(&g->lock);
	return n;
}

/* Aborts (so that a stack is seen) when it does not happen. */
static inline void
gate_wait(struct gate *g, int n)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&g->lock);
	while (g->count < n) {
		if (pthread_cond_timedwait(&g->changed, &g->lock, &until) ==
		    ETIMEDOUT) {
			fprintf(stderr, "waited for %d, saw %d\n", n, g->count);
			abort();
		}
	}
	pthread_mutex_unlock(&g->lock);
}

struct loop_call {
	void (*fn)(void *arg);
	void *arg;
	struct gate done;
};

static inline void
on_loop_call(void *msg)
{
	struct loop_call *call = (struct loop_call *)msg;

	call->fn(call->arg);
	gate_add(&call->done, 1);
}

/* Runs fn(arg) on a loop and waits for it. */
static inline void
on_loop(unsigned i, void (*fn)(void *arg), void *arg)
{
	struct loop_call call = { fn, arg, GATE_INIT };

	loop_post(loop_at(i), on_loop_call, &call);
	gate_wait(&call.done, 1);
}

static inline void
loops_up(unsigned count)
{
	loops_new(count);
	loops_run(NULL);
}

static inline void
loops_down(void)
{
	loops_stop();
	loops_free();
}

#endif
