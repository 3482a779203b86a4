/* SPDX-License-Identifier: MIT */
/*
 * Timers: all of a loop's in one heap, over one timer of libuv. That one is
 * set anew only for an earlier time; when it rings too early, since the first
 * timer was stopped or put off, it is set for the next. So to put a timer
 * off on each message costs no more than a look at the heap.
 */
#include "base/clock.h"
#include "net/loop_impl.h"

#define BRANCHES 4

static void
heap_set(struct timers *h, uint32_t place, struct timer *t)
{
	h->heap[place] = t;
	t->slot = place + 1;
}

static void
sift_up(struct timers *h, uint32_t place, struct timer *t)
{
	while (place > 0) {
		uint32_t above = (place - 1) / BRANCHES;

		if (h->heap[above]->due <= t->due)
			break;
		heap_set(h, place, h->heap[above]);
		place = above;
	}
	heap_set(h, place, t);
}

static void
sift_down(struct timers *h, uint32_t place, struct timer *t)
{
	for (;;) {
		uint32_t first = place * BRANCHES + 1, least = first;
		uint32_t end = MIN(first + BRANCHES, h->count);

		if (first >= h->count)
			break;
		for (uint32_t i = first + 1; i < end; i++)
			if (h->heap[i]->due < h->heap[least]->due)
				least = i;
		if (t->due <= h->heap[least]->due)
			break;
		heap_set(h, place, h->heap[least]);
		place = least;
	}
	heap_set(h, place, t);
}

static void
heap_move(struct timers *h, struct timer *t, uint64_t due)
{
	bool is_later = due > t->due;

	t->due = due;
	if (is_later)
		sift_down(h, t->slot - 1, t);
	else
		sift_up(h, t->slot - 1, t);
}

static void
heap_remove(struct timers *h, struct timer *t)
{
	struct timer *last = h->heap[--h->count];
	uint32_t place = t->slot - 1;

	if (last != t) {
		/* It may have to go either way from the hole. */
		sift_up(h, place, last);
		sift_down(h, last->slot - 1, last);
	}
	t->slot = 0;
}

void
timer_start(struct timer *t, uint64_t after_ms, void (*fn)(struct timer *t))
{
	struct loop *l = loop_self();
	struct timers *h;
	uint64_t due;

	must(l != NULL && fn != NULL);
	must(t->slot == 0 || t->loop == l);
	h = &l->timers;
	due = loop_now() + after_ms;
	t->fn = fn;
	if (t->slot != 0) {
		heap_move(h, t, due);
		return;
	}
	if (h->count == h->cap) {
		h->cap = MAX(h->cap * 2, 64u);
		h->heap = (struct timer **)xrealloc(
		    h->heap, h->cap * sizeof(struct timer *));
	}
	t->loop = l;
	t->due = due;
	sift_up(h, h->count++, t);
}

void
timer_stop(struct timer *t)
{
	if (t->slot == 0)
		return;
	must(t->loop == loop_self() || !loops_are_running());
	heap_remove(&t->loop->timers, t);
}

/* Those that are due when it begins; what they start waits a turn. */
static void
on_clock(uv_timer_t *clock)
{
	struct loop *l = (struct loop *)clock->data;
	struct timers *h = &l->timers;
	uint64_t now;

	h->armed = 0;
	l->now = 0;
	now = loop_now();
	for (uint32_t n = h->count; n > 0 && h->count > 0; n--) {
		struct timer *t = h->heap[0];

		if (t->due > now)
			break;
		heap_remove(h, t);
		t->fn(t);
	}
}

void
timers_arm(struct loop *l)
{
	struct timers *h = &l->timers;
	uint64_t due, now;

	if (h->count == 0)
		return;
	due = h->heap[0]->due;
	if (h->armed != 0 && h->armed <= due)
		return;
	now = loop_now();
	h->armed = MAX(due, 1u);
	uv_update_time(&l->uv);
	uv_timer_start(&l->clock, on_clock, due > now ? due - now : 0, 0);
}

void
timers_init(struct loop *l)
{
	uv_timer_init(&l->uv, &l->clock);
	l->clock.data = l;
}

void
timers_fini(struct loop *l)
{
	xfree(l->timers.heap);
	l->timers = (struct timers){ 0 };
}
