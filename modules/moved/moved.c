/* SPDX-License-Identifier: MIT */
/*
 * XEP-0283: Moved. A contact that asks for a subscription from a new address,
 * and says which was the old one, gets what the old one had, if the old account
 * confirms it; then the old one loses it. While the old account is asked, the
 * request waits, and nothing else does. The statement on an account that was
 * left is an item in a node of its own (modules/pep).
 */
#include "modules/moved/moved.h"

#define TIMEOUT SECONDS(60)
/* Old accounts that are being asked: by an account, and by a worker. */
#define EACH_MAX 8
#define ALL_MAX 1000

struct moved {
	struct list all; /* of struct move */
	unsigned count;
};

struct moved_options {
	bool approves;
};

enum stage {
	ASKING,
	DOUBTED,  /* the request goes on as any other */
	APPROVED, /* it goes on, and is granted without a question */
};

struct move {
	struct list node;
	struct mod *mod;
	struct account *acct; /* pinned */
	enum stage stage;
	struct stanza *st; /* ours while ASKING, then only looked at */
	struct arena *arena;
	struct jid contact, old; /* bare; in it */
	bool was_both;
	bool is_writing; /* its approval; then it lives on till that is done */
	bool is_over;
	struct timer timer;
};

/* ---- those under way --------------------------------------------------- */

static void
move_free(struct move *k)
{
	struct account *acct = k->acct;

	arena_free(&k->arena);
	xfree(k);
	account_unpin(acct);
}

static void
move_end(struct move *k)
{
	struct moved *s = mod_state(k->mod);

	timer_stop(&k->timer);
	iq_forget(k);
	list_del(&k->node);
	s->count--;
	if (k->is_writing)
		k->is_over = true;
	else
		move_free(k);
}

static struct move *
move_find(struct mod *m, const struct account *acct, struct str contact)
{
	struct moved *s = mod_state(m);
	struct move *k;

	LIST_EACH(k, &s->all, struct move, node)
	if (k->acct == acct && str_eq(k->contact.full, contact))
		return k;
	return NULL;
}

static bool
has_room(struct mod *m, const struct account *acct)
{
	struct moved *s = mod_state(m);
	const struct move *k;
	unsigned n = 0;

	LIST_EACH(k, &s->all, struct move, node)
	n += k->acct == acct;
	return n < EACH_MAX && s->count < ALL_MAX;
}

/* The request, should it still wait, is not wanted any more. */
static void
move_drop(struct move *k)
{
	if (k->stage == ASKING)
		stanza_free(&k->st);
	move_end(k);
}

static void
on_timeout(struct timer *t)
{
	move_end(CONTAINER_OF(t, struct move, timer));
}

/* The request goes on; it comes back to on_presence(), perhaps at once. */
static void
go_on(struct move *k, enum stage stage)
{
	k->stage = stage;
	/* Should it not arrive there. */
	timer_start(&k->timer, TIMEOUT, on_timeout);
	router_send(k->st);
}

/* ---- granting ---------------------------------------------------------- */

static void
speak(struct account *acct, enum stanza_type type, const struct jid *to)
{
	struct stanza *st = stanza_new(EL_PRESENCE);
	struct jid copy = jid_dup(st->arena, to);

	stanza_set_type(st, type);
	stanza_set_from(st, &acct->jid);
	stanza_set_to(st, &copy);
	account_speak(acct, st);
}

/* The new address has it: so each moves once, and the old one loses it. */
static void
on_roster(struct mod *m, struct account *acct, const struct roster_item *item)
{
	struct move *k = move_find(m, acct, item->jid.full);
	bool asks_back;

	if (k == NULL || k->stage != APPROVED || !(item->sub & ROSTER_FROM))
		return;
	log_info(mod_log(m),
	    "contact " STR_FMT " of " STR_FMT " has moved to " STR_FMT,
	    STR_ARG(k->old.full), STR_ARG(acct->jid.full),
	    STR_ARG(k->contact.full));
	asks_back = k->was_both && !(item->sub & ROSTER_TO) && !item->is_asking;
	account_pin(acct);
	speak(acct, PRESENCE_UNSUBSCRIBED, &k->old);
	if (asks_back)
		speak(acct, PRESENCE_SUBSCRIBE, &k->contact);
	move_end(k);
	account_unpin(acct);
}

static void
on_approved(void *ctx, int err)
{
	struct move *k = ctx;

	k->is_writing = false;
	if (k->is_over)
		move_free(k);
	else
		go_on(k, err == 0 ? APPROVED : DOUBTED);
}

/* Approved in advance (RFC 6121, 3.4), by the old one's name and groups. */
static void
approve(struct move *k)
{
	const struct roster_item *old = roster_find(k->acct, k->old.full);
	const struct roster_item *now = roster_find(k->acct, k->contact.full);
	struct roster_item item = { 0 };

	if (old == NULL || !(old->sub & ROSTER_FROM)) {
		go_on(k, DOUBTED);
		return;
	}
	if (now != NULL)
		item = *now;
	if (!item.is_in_roster) {
		item.name = old->name;
		item.groups = old->groups;
	}
	item.jid = k->contact;
	item.is_in_roster = true;
	item.is_approved = true;
	k->was_both = old->sub == ROSTER_BOTH;
	k->is_writing = roster_put(k->acct, &item, on_approved, k) == 0;
	if (!k->is_writing)
		go_on(k, DOUBTED);
}

/* ---- asking the old account -------------------------------------------- */

/* The address in <gone/>, which stands for a statement. */
static struct str
gone_address(const struct elem *error)
{
	struct str uri = elem_child_text(error, EL_GONE);

	if (!str_has_prefix(uri, STR("xmpp:")))
		return STR_NONE;
	uri = str_skip(uri, 5);
	return str_sub(uri, 0, str_find(uri, '?'));
}

static struct str
stated_address(const struct stanza *answer)
{
	const struct elem *items =
	    elem_child(elem_child(answer->root, EL_PUBSUB), EL_PUBSUB_ITEMS);

	if (answer->type == IQ_ERROR)
		return gone_address(elem_child(answer->root, EL_ERROR));
	if (!elem_attr_is(items, AT_NODE, MOVED_NODE))
		return STR_NONE;
	return elem_child_text(
	    elem_child(elem_child(items, EL_PUBSUB_ITEM), EL_MOVED),
	    EL_MOVED_NEW_JID);
}

static void
on_statement(void *ctx, struct stanza *answer)
{
	struct move *k = ctx;
	struct jid jid;
	bool is_true = false;

	if (answer != NULL) {
		struct str text = str_trim(stated_address(answer));

		is_true = jid_parse(answer->arena, text, &jid) == 0 &&
			  jid_eq(&jid, &k->contact);
		stanza_free(&answer);
	}
	if (is_true) {
		approve(k);
		return;
	}
	log_info(mod_log(k->mod),
	    STR_FMT " says that it was " STR_FMT ", which does not say so",
	    STR_ARG(k->contact.full), STR_ARG(k->old.full));
	go_on(k, DOUBTED);
}

static void
ask(struct move *k)
{
	struct stanza *iq = stanza_new(EL_IQ);
	struct jid to = jid_dup(iq->arena, &k->old);
	struct elem *items;

	stanza_set_type(iq, IQ_GET);
	stanza_set_from(iq, &k->acct->jid);
	stanza_set_to(iq, &to);
	items = elem_add(elem_add(iq->root, EL_PUBSUB), EL_PUBSUB_ITEMS);
	elem_set(items, AT_NODE, STR(MOVED_NODE));
	elem_set(elem_add(items, EL_PUBSUB_ITEM), AT_ID, STR("current"));
	iq_send(iq, TIMEOUT, on_statement, k);
}

static void
begin(struct mod *m, struct account *acct, struct stanza *st,
    const struct jid *old)
{
	struct moved *s = mod_state(m);
	struct move *k = xzalloc(sizeof(*k));
	struct jid contact = jid_to_bare(&st->from);

	k->mod = m;
	k->acct = acct;
	k->st = st;
	/* It has been counted; and what its sender is told does not wait. */
	st->is_resent = true;
	receipt_done(&st->receipt);
	k->arena = arena_new(0);
	k->contact = jid_dup(k->arena, &contact);
	k->old = jid_dup(k->arena, old);
	account_pin(acct);
	list_add(&s->all, &k->node);
	s->count++;
	ask(k);
}

/* ---- hooks ------------------------------------------------------------- */

/* Had the old address what the new one asks for? */
static bool
is_moving(const struct account *acct, const struct stanza *st, struct jid *old)
{
	const struct elem *e = elem_child(st->root, EL_MOVED);
	const struct roster_item *item;

	if (e == NULL ||
	    jid_parse(st->arena, str_trim(elem_child_text(e, EL_MOVED_OLD_JID)),
		old) < 0 ||
	    !jid_is_bare(old) || jid_eq_bare(old, &st->from) ||
	    jid_eq(old, &acct->jid))
		return false;
	item = roster_find(acct, old->full);
	if (item == NULL || !(item->sub & ROSTER_FROM))
		return false;
	item = roster_find(acct, st->from.bare);
	return item == NULL || !(item->sub & ROSTER_FROM);
}

static enum verdict
on_presence(struct mod *m, struct stanza *st)
{
	const struct moved_options *o = mod_options(m);
	struct account *acct = account_peek(st->to.bare);
	struct move *k;
	struct jid old;

	if (acct == NULL)
		return STANZA_PASS;
	k = move_find(m, acct, st->from.bare);
	if (k != NULL && st->type == PRESENCE_UNSUBSCRIBE)
		move_drop(k);
	if (st->type != PRESENCE_SUBSCRIBE)
		return STANZA_PASS;
	if (k != NULL && k->stage == ASKING) {
		/* The same once more. */
		stanza_free(&st);
		return STANZA_DONE;
	}
	if (k != NULL) {
		if (k->stage == DOUBTED)
			move_end(k);
		return STANZA_PASS;
	}
	if (!o->approves || !is_moving(acct, st, &old) || !has_room(m, acct))
		return STANZA_PASS;
	begin(m, acct, st, &old);
	return STANZA_DONE;
}

static void
on_deleted(struct mod *m, struct account *acct)
{
	struct moved *s = mod_state(m);
	struct move *k;

	LIST_EACH(k, &s->all, struct move, node)
	{
		if (k->acct == acct)
			move_drop(k);
	}
}

static void
moved_start(struct mod *m)
{
	struct moved *s = mod_state(m);

	list_init(&s->all);
}

/* What waits goes on as if nothing had been said. */
static void
moved_stop(struct mod *m)
{
	struct moved *s = mod_state(m);
	struct move *k;

	LIST_EACH(k, &s->all, struct move, node)
	{
		struct stanza *st = k->stage == ASKING ? k->st : NULL;

		move_end(k);
		if (st != NULL)
			router_send(st);
	}
}

/* ---- the table --------------------------------------------------------- */

static const struct option options[] = {
	OPT_BOOL("approve", struct moved_options, approves, "true",
	    "give to a contact's new address what its old one had, when that "
	    "confirms the move"),
	OPTIONS_END,
};

static const struct hook hooks[] = {
	{ HOOK_PRESENCE_DELIVER, LATE, .stanza = on_presence },
	{ HOOK_ROSTER_CHANGED, NORMAL, .roster = on_roster },
	{ HOOK_ACCOUNT_DELETED, NORMAL, .account = on_deleted },
	HOOKS_END,
};

MODULE(moved) = {
	.summary = "follow contacts to their new addresses",
	.options_size = sizeof(struct moved_options),
	.state_size = sizeof(struct moved),
	.options = options,
	.hooks = hooks,
	.commands = moved_commands,
	.start = moved_start,
	.stop = moved_stop,
};
