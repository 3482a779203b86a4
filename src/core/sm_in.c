/* SPDX-License-Identifier: MIT */
/*
 * What has come from the client, and how far all of it is durable. Receipts
 * come back in any order; the count moves on over the unbroken run of those
 * that are done.
 */
#include "core/sm.h"

#define CAP_FIRST 64

struct sm_in *
sm_in_new(void (*moved)(void *ctx), void *ctx, uint32_t from)
{
	struct sm_in *in = (struct sm_in *)xzalloc(sizeof(*in));

	in->moved = moved;
	in->ctx = ctx;
	in->seq = in->durable = from;
	return in;
}

static void
sm_in_free(struct sm_in *in)
{
	xfree(in->done);
	xfree(in);
}

void
sm_in_drop(struct sm_in **inp)
{
	struct sm_in *in = *inp;

	*inp = NULL;
	if (in == NULL)
		return;
	in->moved = NULL;
	if (in->out == 0)
		sm_in_free(in);
}

static uint64_t *
word_of(const struct sm_in *in, uint32_t seq)
{
	return &in->done[(seq & (in->cap - 1)) / 64];
}

static uint64_t
bit_of(uint32_t seq)
{
	return UINT64_C(1) << (seq % 64);
}

/* Room for the bits of all that is pending, and one more. */
static void
reserve(struct sm_in *in)
{
	uint32_t cap = in->cap > 0 ? in->cap : CAP_FIRST;
	struct sm_in old = *in;

	if (in->cap > sm_in_pending(in))
		return;
	while (cap <= sm_in_pending(in))
		cap *= 2;
	in->done = (uint64_t *)xzalloc(cap / 8);
	in->cap = cap;
	for (uint32_t i = old.durable + 1; old.cap > 0 && i != old.seq + 1; i++)
		if (*word_of(&old, i) & bit_of(i))
			*word_of(in, i) |= bit_of(i);
	xfree(old.done);
}

/* Forgets the bits that it moves over, for those that come round again. */
static void
advance(struct sm_in *in)
{
	while (in->durable != in->seq) {
		uint32_t next = in->durable + 1;

		if (!(*word_of(in, next) & bit_of(next)))
			return;
		*word_of(in, next) &= ~bit_of(next);
		in->durable = next;
	}
}

static void
on_told(void *ctx, uint32_t seq, bool is_kept)
{
	struct sm_in *in = (struct sm_in *)ctx;
	uint32_t before = in->durable;

	in->out--;
	if (in->moved == NULL) {
		if (in->out == 0)
			sm_in_free(in);
		return;
	}
	if (is_kept)
		*word_of(in, seq) |= bit_of(seq);
	else
		in->is_failed = true;
	advance(in);
	if (in->durable == before && is_kept)
		return;
	/* An idle session keeps no ring. */
	if (in->durable == in->seq && in->cap > CAP_FIRST) {
		xfree(in->done);
		in->done = NULL;
		in->cap = 0;
	}
	in->moved(in->ctx);
}

struct receipt *
sm_in_next(struct sm_in *in)
{
	/* Behind one that was not kept, nothing is ever acknowledged. */
	if (in->is_failed) {
		in->seq++;
		return NULL;
	}
	in->seq++;
	reserve(in);
	in->out++;
	return receipt_new(on_told, in, in->seq);
}
