/* SPDX-License-Identifier: MIT */
/*
 * RFC 6121 section 2 as a module table: roster gets and sets of an account's
 * own clients, versions, and the features of the stream.
 */
#include "base/err.h"
#include "core/account_impl.h"
#include "core/hooks.h"
#include "core/presence.h"
#include "core/roster_impl.h"
#include "core/stream.h"

/* Gets -------------------------------------------------------------------- */

static void
answer_all(const struct account *acct, struct stanza *iq, bool with_version)
{
	struct elem *query = elem_add(stanza_result(iq), EL_ROSTER);
	const struct roster_item *item;
	struct roster *r = acct->roster;

	if (with_version)
		elem_set(
		    query, AT_VER, roster_version(iq->arena, r, r->durable));
	for (size_t i = 0; (item = roster_next(acct, &i)) != NULL;)
		if (item->is_in_roster)
			roster_item_add(query, item);
	stanza_send_back(iq);
}

/* What is in memory is what is kept now. */
static void
on_settled(void *ctx, int err)
{
	struct stanza *iq = ctx;
	struct account *acct = iq_account(iq);
	struct session *s = iq_session(iq);
	struct str ver = elem_attr(stanza_payload(iq), AT_VER);
	uint64_t version;

	/* The account itself asks, for another (XEP-0356). */
	if (s == NULL && jid_is_bare(&iq->from)) {
		answer_all(acct, iq, false);
		return;
	}
	if (s == NULL) {
		stanza_free(&iq);
		return;
	}
	s->is_interested = true;
	if (!roster_knows(acct->roster, ver, &version)) {
		answer_all(acct, iq, !str_is_none(ver));
		return;
	}
	stanza_reply(iq);
	roster_catch_up(s, version);
}

/* Sets -------------------------------------------------------------------- */

/* What waits for the change to be durable. */
struct set_op {
	struct arena *arena; /* the op itself lives in it */
	struct account *acct;
	struct stanza *iq;
	struct roster_item before;
	struct shown shown;
	enum qname condition; /* what is wrong with it */
	bool is_removal;
};

static void
on_set_kept(void *ctx, int err)
{
	struct set_op *op = ctx;

	if (err < 0) {
		stanza_refuse(op->iq, op->condition);
	} else {
		stanza_reply(op->iq);
		if (op->is_removal)
			subscribe_end(op->acct, &op->before, &op->shown);
	}
	arena_free(&op->arena);
}

/* Answers come in the order of the requests. */
static enum verdict
refuse(struct set_op *op, enum qname condition)
{
	op->condition = condition;
	roster_wait(op->acct, ERR_INVALID, on_set_kept, op);
	return STANZA_DONE;
}

static enum verdict
change(struct set_op *op, const struct roster_item *cur,
    const struct roster_item *next)
{
	op->is_removal = !next->is_in_roster;
	if (op->is_removal) {
		op->before = roster_item_copy(op->arena, cur);
		op->shown = presence_shown(op->acct, op->arena);
	}
	op->condition = EL_INTERNAL_SERVER_ERROR;
	if (roster_change(op->acct, next, true, on_set_kept, op) < 0)
		return refuse(op, EL_RESOURCE_CONSTRAINT);
	return STANZA_DONE;
}

static enum verdict
remove_item(struct set_op *op, const struct jid *jid)
{
	const struct roster_item *cur = roster_find(op->acct, jid->full);
	struct roster_item none = { .jid = *jid };

	if (cur == NULL || !cur->is_in_roster)
		return refuse(op, EL_ITEM_NOT_FOUND);
	/* Shared groups are not the user's to leave. */
	if (cur->shared != ROSTER_NONE)
		return refuse(op, EL_NOT_ALLOWED);
	return change(op, cur, &none);
}

/* Only name and groups are the client's to say. */
static enum verdict
set_item(struct set_op *op, struct roster_item *next)
{
	const struct roster_item *cur = roster_find(op->acct, next->jid.full);

	if (jid_eq_bare(&next->jid, &op->acct->jid))
		return refuse(op, EL_NOT_ALLOWED);
	next->is_in_roster = true;
	if (cur != NULL) {
		next->sub = cur->sub;
		next->is_asking = cur->is_asking;
		next->is_approved = cur->is_approved;
		next->is_pending_in = cur->is_pending_in;
		next->request = cur->request;
	}
	return change(op, cur, next);
}

static enum verdict
on_set(struct account *acct, struct stanza *iq)
{
	struct elem *e = elem_child(stanza_payload(iq), EL_ROSTER_ITEM);
	struct arena *a = arena_new(0);
	struct set_op *op = arena_new_of(a, struct set_op);
	struct roster_item next;
	enum qname condition;

	op->arena = a;
	op->acct = acct;
	op->iq = iq;
	if (e == NULL || elem_next(e, EL_ROSTER_ITEM) != NULL)
		return refuse(op, EL_BAD_REQUEST);
	if (roster_item_of(a, e, &next, &condition) < 0)
		return refuse(op, condition);
	if (elem_attr_is(e, AT_SUBSCRIPTION, "remove"))
		return remove_item(op, &next.jid);
	return set_item(op, &next);
}

static enum verdict
on_roster(struct mod *m, struct stanza *iq)
{
	struct account *acct = iq_account(iq);

	if (!jid_eq_bare(&iq->from, &acct->jid))
		return stanza_refuse(iq, EL_FORBIDDEN);
	if (iq->type == IQ_SET)
		return on_set(acct, iq);
	roster_wait(acct, 0, on_settled, iq);
	return STANZA_DONE;
}

static void
on_features(struct mod *m, struct stream *s, struct elem *features)
{
	if (!stream_is_authenticated(s))
		return;
	elem_add(features, EL_ROSTERVER);
	elem_add(features, EL_PRE_APPROVAL);
}

static const struct iq_route routes[] = {
	{ IQ_GET | IQ_SET, TO_ACCOUNT, EL_ROSTER, on_roster },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_STREAM_FEATURES, LATE, .features = on_features },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_HOST, STR_INIT("jabber:iq:roster") },
	FEATURES_END,
};

const struct module roster_module = {
	.summary = "contact lists",
	.iq = routes,
	.hooks = hooks,
	.features = features,
};
