/* SPDX-License-Identifier: MIT */
#include "net/crowd.h"

#include "base/arena.h"
#include "base/clock.h"
#include "net/loop_impl.h"

#include <stdatomic.h>

/* A crowd has gone when so many have, and half of those that there were. */
#define CROWD_MIN 500
/* More may go, and some come again. */
#define SETTLE_MS SECONDS(3)

static atomic_uint now, peak;

static void
trim(void *arg)
{
	heap_trim();
}

static void
on_trimmed(void *arg)
{
}

static void
on_timer(struct timer *t)
{
	arena_thread_done();
	loop_work(trim, on_trimmed, NULL);
}

void
crowd_came(void)
{
	unsigned n = atomic_fetch_add(&now, 1) + 1;
	unsigned most = atomic_load(&peak);

	while (n > most && !atomic_compare_exchange_weak(&peak, &most, n))
		;
}

void
crowd_went(struct loop *l)
{
	unsigned n = atomic_fetch_sub(&now, 1) - 1;
	unsigned most = atomic_load(&peak);

	if (most < n * 2 + CROWD_MIN)
		return;
	if (atomic_compare_exchange_strong(&peak, &most, n))
		timer_start(&l->trim, SETTLE_MS, on_timer);
}
