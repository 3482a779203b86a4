/* SPDX-License-Identifier: MIT */
#include "core/account_impl.h"

static void on_resumed(struct hold *h, struct stanza *st, enum verdict v);

void
lane_init(struct lane *lane, struct account *acct,
    enum verdict (*first)(struct account *acct, struct stanza *st))
{
	lane->acct = acct;
	lane->first = first;
	list_init(&lane->waiting);
}

static void
run(struct lane *lane, struct stanza *st,
    enum verdict (*step)(struct account *acct, struct stanza *st))
{
	lane->is_running = true;
	lane->next = step;
	if (step(lane->acct, st) == STANZA_HELD)
		hold_begin(&lane->hold, st, on_resumed);
	lane->is_running = false;
}

static struct stanza *
take(struct lane *lane)
{
	struct stanza *st = LIST_FIRST(&lane->waiting, struct stanza, node);

	if (st != NULL) {
		list_del(&st->node);
		lane->count--;
	}
	return st;
}

void
lane_drain(struct lane *lane)
{
	struct account *acct = lane->acct;
	struct stanza *st;

	if (acct->state == ACCOUNT_LOADING || lane->is_running)
		return;
	acct->pins++;
	while (!hold_is_on(&lane->hold) && (st = take(lane)) != NULL)
		run(lane, st, lane->first);
	account_unpin(acct);
}

static void
on_resumed(struct hold *h, struct stanza *st, enum verdict v)
{
	struct lane *lane = CONTAINER_OF(h, struct lane, hold);

	lane->acct->pins++;
	if (v == STANZA_PASS)
		run(lane, st, lane->next);
	lane_drain(lane);
	account_unpin(lane->acct);
}

void
lane_put(struct lane *lane, struct stanza *st)
{
	struct account *acct = lane->acct;

	if (acct->state != ACCOUNT_LOADING && lane_is_idle(lane)) {
		acct->pins++;
		run(lane, st, lane->first);
		if (!list_is_empty(&lane->waiting))
			lane_drain(lane);
		account_unpin(acct);
		return;
	}
	if (lane->count >= LANE_MAX) {
		stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
		return;
	}
	list_add(&lane->waiting, &st->node);
	lane->count++;
}

void
lane_refuse(struct lane *lane, enum qname condition)
{
	struct stanza *st;

	while ((st = take(lane)) != NULL)
		stanza_refuse(st, condition);
}
