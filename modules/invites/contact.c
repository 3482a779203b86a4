/* SPDX-License-Identifier: MIT */
/*
 * XEP-0379: who asks for a subscription with a token of the account gets it
 * without a question. The request is approved in advance (RFC 6121, 3.4), so
 * clients don't see it; then it is asked for in the other direction.
 */
#include "modules/invites/invites.h"

struct asking {
	struct mod *mod;
	struct account *acct; /* pinned */
	struct stanza *st;
	struct jid contact; /* bare; in the stanza's arena */
};

static void
ask_back(struct account *acct, const struct jid *contact)
{
	struct stanza *st = stanza_new(EL_PRESENCE);
	struct jid to = jid_dup(st->arena, contact);

	stanza_set_type(st, PRESENCE_SUBSCRIBE);
	stanza_set_from(st, &acct->jid);
	stanza_set_to(st, &to);
	account_speak(acct, st);
}

static void
go_on(struct asking *k, bool is_welcome)
{
	struct account *acct = k->acct;
	struct arena *a = arena_new(0);
	struct jid contact = jid_dup(a, &k->contact);
	const struct roster_item *item;

	stanza_resume(k->st, STANZA_PASS);
	item = roster_find(acct, contact.full);
	if (is_welcome &&
	    !(item != NULL && (item->is_asking || item->sub & ROSTER_TO)))
		ask_back(acct, &contact);
	arena_free(&a);
	xfree(k);
	account_unpin(acct);
}

static void
on_approved(void *ctx, int err)
{
	go_on((struct asking *)ctx, err == 0);
}

static void
on_redeemed(void *ctx, int err)
{
	struct asking *k = (struct asking *)ctx;
	const struct roster_item *now;
	struct roster_item item = { 0 };

	if (err < 0) {
		go_on(k, false);
		return;
	}
	now = roster_find(k->acct, k->contact.full);
	if (now != NULL)
		item = *now;
	item.jid = k->contact;
	item.is_in_roster = true;
	item.is_approved = true;
	if (roster_put(k->acct, &item, on_approved, k) < 0)
		go_on(k, false);
}

enum verdict
on_presence(struct mod *m, struct stanza *st)
{
	const struct elem *e;
	struct asking *k;

	if (st->type != PRESENCE_SUBSCRIBE)
		return STANZA_PASS;
	e = elem_child(st->root, EL_PREAUTH);
	if (e == NULL || elem_attr(e, AT_TOKEN).n != TOKEN_LEN)
		return STANZA_PASS;
	k = (struct asking *)xzalloc(sizeof(*k));
	k->mod = m;
	k->st = st;
	k->contact = jid_to_bare(&st->from);
	k->acct = account_peek(st->to.bare);
	if (k->acct == NULL) {
		xfree(k);
		return STANZA_PASS;
	}
	account_pin(k->acct);
	invite_redeem_contact(m, elem_attr(e, AT_TOKEN), k->acct->jid.bare,
	    k->contact.full, on_redeemed, k);
	return STANZA_HELD;
}
