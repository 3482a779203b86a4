/* SPDX-License-Identifier: MIT */
/* What a loop is made of; for the files of net only. */
#ifndef NET_LOOP_IMPL_H
#define NET_LOOP_IMPL_H

#include "net/loop.h"
#include "net/mailbox.h"

#include <pthread.h>
#include <uv.h>

/* A heap of four branches: the timer that is due first is on top. */
struct timers {
	struct timer **heap;
	uint32_t count;
	uint32_t cap;
	uint64_t armed; /* when the loop's clock rings; 0: never */
};

struct loop {
	struct mailbox mail;
	uv_loop_t uv;
	uv_async_t wake;
	uv_check_t check;
	uv_prepare_t prepare;
	uv_timer_t clock;
	struct timers timers;
	struct timer trim; /* crowd.c */
	struct list deferred;
	uint64_t now; /* 0: not read yet in this turn */

	struct list conns;   /* struct conn */
	struct list stalled; /* those that wait for mailboxes to drain */
	struct list socks;   /* listening sockets */
	struct conn_scratch *scratch; /* buffers that conns share */

	pthread_t thread;
	unsigned index;
	atomic_bool is_stopping;
	bool is_quiet; /* while ending: nothing left to do */
};

/* timer.c */
void timers_init(struct loop *l);
/* Sets the loop's clock for the first timer, if it must ring earlier. */
void timers_arm(struct loop *l);
void timers_fini(struct loop *l);

/* Is any loop's mailbox congested? */
bool loops_are_congested(void);
/* Do the loops' threads run (or end just now)? */
bool loops_are_running(void);

#endif
