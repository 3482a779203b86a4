/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions (RFC 6121 section 3): what is sent and received changes the
 * roster by the state machines of sub_state.c; when that is durable, the
 * stanza goes on, and presence is shown or hidden.
 */
#include "base/err.h"
#include "core/hooks.h"
#include "core/presence.h"
#include "core/roster_impl.h"
#include "core/router.h"
#include "core/sub_state.h"
#include "xml/parser.h"
#include "xml/writer.h"

/* A stanza that waits for its change to be kept. */
struct op {
	struct arena *arena; /* the op itself lives in it */
	struct account *acct;
	struct stanza *st;
	struct jid contact; /* bare */
	struct jid sender;  /* whom errors go to */
	struct sub_state before;
	struct sub_change change;
	/* What the contact saw: while the change is on its way to the store,
	 * sessions are silent to him already. */
	struct shown shown;
	void (*go_on)(struct op *op);
};

static struct sub_state
state_of(const struct roster_item *item)
{
	if (item == NULL)
		return (struct sub_state){ 0 };
	return (struct sub_state){
		.sub = item->sub,
		.is_asking = item->is_asking,
		.is_pending_in = item->is_pending_in,
		.is_approved = item->is_approved,
	};
}

static struct roster_item
next_item(const struct op *op, const struct roster_item *cur)
{
	struct roster_item next = { 0 };
	const struct sub_state *state = &op->change.next;

	if (cur != NULL)
		next = *cur;
	next.jid = op->contact;
	next.sub = state->sub;
	next.is_asking = state->is_asking;
	next.is_pending_in = state->is_pending_in;
	next.is_approved = state->is_approved;
	if (!next.is_pending_in)
		next.request = STR_NONE;
	return next;
}

static struct op *
op_new(struct account *acct, struct stanza *st, const struct jid *contact,
    void (*go_on)(struct op *op))
{
	struct arena *a = arena_new(0);
	struct op *op = arena_new_of(a, struct op);
	struct jid bare = jid_to_bare(contact);

	op->arena = a;
	op->acct = acct;
	op->st = st;
	op->sender = jid_dup(a, &st->from);
	op->contact = jid_dup(a, &bare);
	op->before = state_of(roster_find(acct, op->contact.full));
	op->go_on = go_on;
	return op;
}

static enum verdict
op_end(struct op *op)
{
	arena_free(&op->arena);
	return STANZA_DONE;
}

static void
refuse(struct op *op, enum qname condition)
{
	stanza_set_from(op->st, &op->sender);
	stanza_refuse(op->st, condition);
}

static void
on_kept(void *ctx, int err)
{
	struct op *op = ctx;
	struct account *acct = op->acct;
	struct stanza *st = op->st;

	account_pin(acct);
	if (err < 0)
		refuse(op, EL_INTERNAL_SERVER_ERROR);
	else
		op->go_on(op);
	op_end(op);
	stanza_resume(st, STANZA_DONE);
	account_unpin(acct);
}

/* Writes the change; goes on at once when there is nothing to write. */
static enum verdict
carry_out(struct op *op, const struct roster_item *next, bool is_changed)
{
	if (!is_changed) {
		op->go_on(op);
		return op_end(op);
	}
	if (op->before.sub & ROSTER_FROM &&
	    !(op->change.next.sub & ROSTER_FROM))
		op->shown = presence_shown(op->acct, op->arena);
	if (roster_change(op->acct, next, false, on_kept, op) == 0)
		return STANZA_HELD;
	refuse(op, EL_RESOURCE_CONSTRAINT);
	return op_end(op);
}

/* Shows what is to be seen from now on, hides what is not. */
static void
show_or_hide(struct op *op)
{
	presence_hide(op->acct, &op->shown, &op->contact);
	if (op->change.is_answered || (op->change.next.sub & ROSTER_FROM &&
					  !(op->before.sub & ROSTER_FROM)))
		presence_show_all(op->acct, &op->contact);
}

/* Sent by the account's own client ---------------------------------------- */

static void
go_out(struct op *op)
{
	struct stanza *st = op->st;

	if (op->change.is_passed)
		router_send(st);
	else
		stanza_free(&st);
	show_or_hide(op);
}

/* Would it end what a shared group gives? */
static bool
is_given(const struct roster_item *item, enum stanza_type type,
    enum stanza_type to, enum stanza_type from)
{
	return item != NULL &&
	       ((type == to && item->shared & ROSTER_TO) ||
		   (type == from && item->shared & ROSTER_FROM));
}

/* There is nothing between the account and itself. */
static enum verdict
drop(struct op *op)
{
	stanza_free(&op->st);
	return op_end(op);
}

enum verdict
subscribe_out(struct account *acct, struct stanza *st)
{
	struct op *op = op_new(acct, st, &st->to, go_out);
	const struct roster_item *cur = roster_find(acct, op->contact.full);
	struct roster_item next;
	bool is_changed;

	if (jid_eq(&op->contact, &acct->jid))
		return drop(op);
	if (is_given(
		cur, st->type, PRESENCE_UNSUBSCRIBE, PRESENCE_UNSUBSCRIBED)) {
		refuse(op, EL_NOT_ALLOWED);
		return op_end(op);
	}
	op->change = sub_sent(op->before, st->type);
	next = next_item(op, cur);
	is_changed = !sub_state_eq(op->before, op->change.next);
	if (st->type & (PRESENCE_SUBSCRIBE | PRESENCE_SUBSCRIBED) &&
	    !next.is_in_roster)
		is_changed = next.is_in_roster = true;
	stanza_set_from(st, &acct->jid);
	stanza_set_to(st, &op->contact);
	return carry_out(op, &next, is_changed);
}

/* Received ---------------------------------------------------------------- */

static void
show(struct op *op)
{
	enum choice which = CHOOSE_ROSTER;
	struct session **to;
	size_t n;

	if (op->st->type == PRESENCE_SUBSCRIBE)
		which = CHOOSE_AVAILABLE;
	n = sessions_choose(op->acct, which, op->st->arena, &to);
	sessions_send(to, n, op->st);
}

static void
go_in(struct op *op)
{
	struct stanza *st = op->st;

	if (op->change.is_passed)
		show(op);
	else
		stanza_free(&st);
	if (op->change.is_answered)
		router_send(presence_new(
		    PRESENCE_SUBSCRIBED, &op->acct->jid, &op->contact));
	show_or_hide(op);
}

/* The request as it is shown again at each login. */
static struct str
request_text(struct stanza *st)
{
	struct str text = xml_text(st->arena, st->root);

	if (text.n > ROSTER_REQUEST_MAX)
		return STR_NONE;
	return text;
}

/* The answer to a client's own probe is for that client. */
static bool
is_probe_answer(const struct account *acct, const struct stanza *st)
{
	const struct roster_item *item = roster_find(acct, st->from.bare);

	return st->type == PRESENCE_UNSUBSCRIBED && !jid_is_bare(&st->to) &&
	       (item == NULL || !(item->sub & ROSTER_TO || item->is_asking));
}

static enum verdict
give(struct account *acct, struct stanza *st)
{
	struct session *s = account_session(acct, st->to.resource);

	sessions_send(&s, s != NULL, st);
	return STANZA_DONE;
}

enum verdict
subscribe_in(struct account *acct, struct stanza *st)
{
	const struct roster_item *cur;
	struct roster_item next;
	struct op *op;

	if (is_probe_answer(acct, st))
		return give(acct, st);
	op = op_new(acct, st, &st->from, go_in);
	cur = roster_find(acct, op->contact.full);
	if (jid_eq(&op->contact, &acct->jid) ||
	    is_given(
		cur, st->type, PRESENCE_UNSUBSCRIBED, PRESENCE_UNSUBSCRIBE))
		return drop(op);
	op->change = sub_received(op->before, st->type);
	next = next_item(op, cur);
	stanza_set_from(st, &op->contact);
	stanza_set_to(st, &acct->jid);
	if (next.is_pending_in && !op->before.is_pending_in)
		next.request = request_text(st);
	return carry_out(op, &next, !sub_state_eq(op->before, op->change.next));
}

/* -------------------------------------------------------------------------- */

static struct stanza *
request_of(const struct roster_item *item, const struct account *acct)
{
	struct arena *a = arena_new(0);
	struct elem *root = NULL;
	struct stanza *st;
	enum qname condition;

	if (!str_is_empty(item->request))
		root = xml_parse(a, item->request, NULL, NS_CLIENT, NULL);
	if (root == NULL) {
		arena_free(&a);
		return presence_new(PRESENCE_SUBSCRIBE, &item->jid, &acct->jid);
	}
	if (stanza_of(root, &st, &condition) == 0)
		return st;
	stanza_free(&st);
	return presence_new(PRESENCE_SUBSCRIBE, &item->jid, &acct->jid);
}

void
subscribe_show_pending(struct session *s)
{
	const struct roster_item *item;

	for (size_t i = 0; (item = roster_next(s->account, &i)) != NULL;)
		if (item->is_pending_in && !s->is_closing &&
		    hook_presence_allow(s->account, &item->jid))
			session_send(s, request_of(item, s->account));
}

void
subscribe_end(struct account *acct, const struct roster_item *item,
    const struct shown *shown)
{
	if (item->sub & ROSTER_TO || item->is_asking)
		router_send(
		    presence_new(PRESENCE_UNSUBSCRIBE, &acct->jid, &item->jid));
	if (item->sub & ROSTER_FROM || item->is_pending_in)
		router_send(presence_new(
		    PRESENCE_UNSUBSCRIBED, &acct->jid, &item->jid));
	if (item->sub & ROSTER_FROM)
		presence_hide(acct, shown, &item->jid);
}
