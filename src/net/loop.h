/* SPDX-License-Identifier: MIT */
/*
 * Workers' loops. Each worker thread runs one loop; what belongs to a loop
 * is touched by its thread alone. The only crossing is loop_post().
 *
 * A turn of the loop: timers, then input and posted messages, then what was
 * deferred to the end of the turn (output is flushed and writes are
 * committed there, once for all that the turn made).
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/base.h"
#include "base/list.h"

struct loop;

/* The calling thread's loop, or NULL outside of any. */
API struct loop *loop_self(void);
API unsigned loop_index(const struct loop *l);
API unsigned loop_count(void);
API struct loop *loop_at(unsigned index);

/* Makes `count` loops, once; runs them all in threads of their own. */
void loops_new(unsigned count);
/* Starts the threads; `started` runs first on each loop. */
void loops_run(void (*started)(struct loop *l));
/*
 * Asks all loops to end after their present turn, and joins the threads. What
 * is posted or at work runs to its end first; connections are aborted (what
 * was queued leaves if the kernel takes it at once), listening stops.
 */
void loops_stop(void);
/* What was posted since then runs here, on the calling thread. */
void loops_free(void);
/* The libuv loop (a uv_loop_t), for libraries that share it. */
API void *loop_uv(struct loop *l);

/*
 * Calls fn(msg) on the loop, in the order posted from one thread; the
 * message is the callee's. May be called from any thread, also the loop's
 * own (then it runs in a later part of the turn or in the next).
 */
API void loop_post(struct loop *to, void (*fn)(void *msg), void *msg);
/*
 * Its mailbox is over the high-water mark: producers should stop reading
 * input. Connections obey by themselves (see conn.h), and go on when it has
 * drained; nothing posted is ever refused.
 */
API bool loop_is_congested(const struct loop *l);

/*
 * For other queues than mailboxes: producers stop reading until as many
 * loop_relieve() as loop_strain() have been called, from any loops.
 */
void loop_strain(void);
void loop_relieve(void);

/* Runs once at the end of this turn. Embedded in its owner; {0} at first. */
struct deferred {
	struct list node;
	void (*fn)(struct deferred *d);
};
/* Harmless when it is queued already. Only on the calling thread's loop. */
API void loop_defer(struct deferred *d, void (*fn)(struct deferred *d));
API void loop_undefer(struct deferred *d);

/*
 * Timers of the calling thread's loop, embedded in their owner; {0} is a
 * stopped one. One shot: start again for the next.
 */
struct timer {
	uint64_t due; /* clock_mono() */
	void (*fn)(struct timer *t);
	struct loop *loop;
	uint32_t slot; /* in the loop's heap, plus one; 0: stopped */
};

/* Starts it, or starts it anew. Stopping a stopped one is harmless. */
API void timer_start(
    struct timer *t, uint64_t after_ms, void (*fn)(struct timer *t));
API void timer_stop(struct timer *t);
static inline bool
timer_is_running(const struct timer *t)
{
	return t->slot != 0;
}

/* The loop's idea of now, read once a turn; clock_mono() outside a loop. */
API uint64_t loop_now(void);

/*
 * Runs work(arg) on a pool of threads where it may block, then done(arg) on
 * the calling loop.
 */
API void loop_work(void (*work)(void *arg), void (*done)(void *arg), void *arg);

#endif
