/* SPDX-License-Identifier: MIT */
/* Receipts: who waits for a stanza's effects is told when all are durable. */
#include "core/stanza.h"

#include "net/loop.h"

#include <stdatomic.h>

struct receipt {
	atomic_uint refs;
	atomic_bool is_failed, is_claimed;
	uint32_t seq;
	struct loop *loop;
	void (*told)(void *ctx, uint32_t seq, bool is_kept);
	void *ctx;
};

struct receipt *
receipt_new(void (*told)(void *ctx, uint32_t seq, bool is_kept), void *ctx,
    uint32_t seq)
{
	struct receipt *r = (struct receipt *)xmalloc(sizeof(*r));

	atomic_init(&r->refs, 1);
	atomic_init(&r->is_failed, false);
	atomic_init(&r->is_claimed, false);
	r->seq = seq;
	r->loop = loop_self();
	r->told = told;
	r->ctx = ctx;
	return r;
}

struct receipt *
receipt_ref(struct receipt *r)
{
	if (r != NULL)
		atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

static void
receipt_tell(void *msg)
{
	struct receipt *r = (struct receipt *)msg;

	r->told(r->ctx, r->seq, !atomic_load(&r->is_failed));
	xfree(r);
}

void
receipt_done(struct receipt **rp)
{
	struct receipt *r = *rp;

	*rp = NULL;
	if (r == NULL ||
	    atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (r->loop == loop_self())
		receipt_tell(r);
	else
		loop_post(r->loop, receipt_tell, r);
}

void
receipt_fail(struct receipt **rp)
{
	if (*rp != NULL)
		atomic_store(&(*rp)->is_failed, true);
	receipt_done(rp);
}

bool
receipt_claim(struct receipt *r)
{
	return r == NULL || !atomic_exchange(&r->is_claimed, true);
}

/*
 * After the flush: the end of a turn runs deferred work (flushes among it) in
 * rounds, and a message to ourselves only after the round it was posted in.
 */
struct after_flush {
	struct deferred deferred;
	struct receipt **list;
	size_t count, cap;
};

static __thread struct after_flush waiting;

static void
on_flushed(void *msg)
{
	struct after_flush *w = (struct after_flush *)msg;

	for (size_t i = 0; i < w->count; i++)
		receipt_done(&w->list[i]);
	xfree(w->list);
	xfree(w);
}

static void
on_turn_end(struct deferred *d)
{
	struct after_flush *w = (struct after_flush *)xmalloc(sizeof(*w));

	*w = waiting;
	waiting = (struct after_flush){ 0 };
	loop_post(loop_self(), on_flushed, w);
}

void
receipt_done_after_flush(struct receipt **rp)
{
	struct after_flush *w = &waiting;

	if (*rp == NULL)
		return;
	if (w->count == w->cap) {
		w->cap = w->cap > 0 ? w->cap * 2 : 16;
		w->list = (struct receipt **)xrealloc(
		    w->list, w->cap * sizeof(w->list[0]));
	}
	w->list[w->count++] = *rp;
	*rp = NULL;
	loop_defer(&w->deferred, on_turn_end);
}
