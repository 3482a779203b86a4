/* SPDX-License-Identifier: MIT */
/*
 * XEP-0402 and XEP-0411: bookmarks are the same whichever way a client keeps
 * them: as items of a node (0402), as one list in a node (0048 with 0223), or
 * as one list in private XML (0048 with 0049). When one has changed it is
 * carried over to the others, by iqs from the account to itself: these come
 * behind what the client has sent.
 */
#include "core/module.h"

#include "xep/0004-forms.h"

#define TIMEOUT SECONDS(60)
#define OPTIONS_FORM "http://jabber.org/protocol/pubsub#publish-options"

enum form {
	FORM_NONE,
	FORM_ITEMS,   /* urn:xmpp:bookmarks:1 */
	FORM_NODE,    /* storage:bookmarks, a node */
	FORM_PRIVATE, /* storage:bookmarks, private XML */
	FORM_ALL,     /* the first time: none may be lost */
};

/* In private XML, once they have been made the same. */
#define MARK_NS STR("urn:rookery:bookmarks")
#define MARK_NAME STR("joined")

/* In the account's slot. What is under way has this as its ctx. */
struct bookmarks {
	struct account *acct; /* pinned while `now` is set */
	enum form now, next;
	/* Of what is under way: <storage/> as it shall be. */
	struct arena *arena;
	struct elem *wanted;
	unsigned waiting; /* for answers to changes */
	unsigned step;	  /* of gathering all */
	bool is_joined;	  /* they were made the same before */
};

static void begin(struct bookmarks *b, enum form from);

static void
bookmarks_free(struct mod *m, void *state)
{
	struct bookmarks *b = state;

	if (b->now == FORM_NONE)
		return;
	iq_forget(b);
	arena_free(&b->arena);
	account_unpin(b->acct);
}

static void
finish(struct bookmarks *b)
{
	enum form next = b->next;

	b->now = b->next = FORM_NONE;
	arena_free(&b->arena);
	b->wanted = NULL;
	if (next != FORM_NONE)
		begin(b, next);
	account_unpin(b->acct);
}

/* ---- asking ------------------------------------------------------------ */

static void
ask_node(struct bookmarks *b, ns_t node, iq_answer_fn *fn)
{
	iq_send(self_items(b->acct, node, STR_NONE, false), TIMEOUT, fn, b);
}

static void
ask_private(struct bookmarks *b, iq_answer_fn *fn)
{
	struct stanza *iq = self_iq(b->acct, IQ_GET);

	elem_add(elem_add(iq->root, EL_PRIVATE), EL_STORAGE);
	iq_send(iq, TIMEOUT, fn, b);
}

/* Answered, or there is no such node: not just a failure. */
static bool
is_known(const struct stanza *answer)
{
	return answer_is_absent(answer) ||
	       (answer != NULL && answer->type == IQ_RESULT);
}

/* Only for the account itself, and as many as can be (XEP-0402, 3.3). */
static void
add_options(struct elem *pubsub)
{
	struct elem *form = form_add(
	    elem_add(pubsub, EL_PUBLISH_OPTIONS), "submit", OPTIONS_FORM);

	form_add_field(
	    form, NULL, "pubsub#access_model", NULL, STR("whitelist"));
}

/* ---- one form into another --------------------------------------------- */

static bool
is_true(struct str text)
{
	return str_is(text, "1") || str_is(text, "true");
}

static const struct str texts[] = { STR_INIT("nick"), STR_INIT("password") };

/* What both forms say of a room; `to` has a namespace of its own. */
static void
carry(struct elem *to, const struct elem *from)
{
	struct str name = elem_attr(from, AT_NAME);
	struct str autojoin = elem_attr_named(from, STR("autojoin"));

	if (!str_is_none(name))
		elem_set_copy(to, AT_NAME, name);
	if (is_true(autojoin))
		elem_set_named(to, STR("autojoin"), STR("true"));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct elem *e = elem_find(from, elem_ns_uri(from), texts[i]);

		if (e != NULL)
			elem_set_text(
			    elem_add_named(to, elem_ns_uri(to), texts[i]),
			    str_dup(elem_arena(to), elem_text(e)));
	}
}

static bool
is_same(const struct elem *x, const struct elem *y)
{
	if (!str_eq(elem_attr(x, AT_NAME), elem_attr(y, AT_NAME)) ||
	    is_true(elem_attr_named(x, STR("autojoin"))) !=
		is_true(elem_attr_named(y, STR("autojoin"))))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (!str_eq(elem_text(elem_find(x, elem_ns_uri(x), texts[i])),
			elem_text(elem_find(y, elem_ns_uri(y), texts[i]))))
			return false;
	return true;
}

/* The room's bookmark in a list. */
static struct elem *
find(const struct elem *storage, struct str jid)
{
	struct elem *e = elem_child(storage, EL_STORAGE_CONFERENCE);

	while (e != NULL && !str_eq(elem_attr(e, AT_JID), jid))
		e = elem_next(e, EL_STORAGE_CONFERENCE);
	return e;
}

/* ---- to private XML, the last step ------------------------------------- */

static void
on_last(void *ctx, struct stanza *answer)
{
	stanza_free(&answer);
	finish(ctx);
}

/* What is no room (bookmarks of pages) stays. */
static void
on_private_old(void *ctx, struct stanza *answer)
{
	struct bookmarks *b = ctx;
	struct elem *old, *e;
	struct stanza *iq;

	if (answer == NULL || answer->type != IQ_RESULT) {
		on_last(b, answer);
		return;
	}
	iq = self_iq(b->acct, IQ_SET);
	e = elem_add_copy(elem_add(iq->root, EL_PRIVATE), b->wanted);
	if (b->now == FORM_ALL)
		elem_set_text(
		    elem_add_named(elem_parent(e), MARK_NS, MARK_NAME),
		    STR("1"));
	old = elem_child(elem_child(answer->root, EL_PRIVATE), EL_STORAGE);
	for (old = elem_child(old, EL_ANY); old != NULL;
	     old = elem_next(old, EL_ANY))
		if (elem_name(old) != EL_STORAGE_CONFERENCE)
			elem_add_copy(e, old);
	stanza_free(&answer);
	iq_send(iq, TIMEOUT, on_last, b);
}

static void
to_private(struct bookmarks *b)
{
	if (b->now == FORM_PRIVATE)
		finish(b);
	else
		ask_private(b, on_private_old);
}

/* ---- to the node with one list ----------------------------------------- */

static void
on_node_set(void *ctx, struct stanza *answer)
{
	stanza_free(&answer);
	to_private(ctx);
}

static void
on_node_old(void *ctx, struct stanza *answer)
{
	struct bookmarks *b = ctx;
	struct elem *item, *storage, *old;
	struct stanza *iq =
	    self_publish(b->acct, NS_STORAGE_BOOKMARKS, STR("current"), &item);

	storage = elem_add_copy(item, b->wanted);
	old = elem_child(answer_item(answer), EL_STORAGE);
	for (old = elem_child(old, EL_ANY); old != NULL;
	     old = elem_next(old, EL_ANY))
		if (elem_name(old) != EL_STORAGE_CONFERENCE)
			elem_add_copy(storage, old);
	add_options(elem_child(iq->root, EL_PUBSUB));
	stanza_free(&answer);
	iq_send(iq, TIMEOUT, on_node_set, b);
}

static void
to_node(struct bookmarks *b)
{
	if (b->now == FORM_NODE)
		to_private(b);
	else
		ask_node(b, NS_STORAGE_BOOKMARKS, on_node_old);
}

/* ---- to items ---------------------------------------------------------- */

static void
on_item_changed(void *ctx, struct stanza *answer)
{
	struct bookmarks *b = ctx;

	stanza_free(&answer);
	if (--b->waiting == 0)
		to_node(b);
}

/* `old` keeps what lists can't say (extensions). */
static void
publish_item(struct bookmarks *b, const struct elem *conference,
    const struct elem *old, bool is_first)
{
	struct elem *item, *e, *form, *bookmark, *pubsub;
	struct stanza *iq = self_publish(
	    b->acct, NS_BOOKMARKS, elem_attr(conference, AT_JID), &item);

	pubsub = elem_child(iq->root, EL_PUBSUB);
	bookmark = elem_add(item, EL_BOOKMARK);
	carry(bookmark, conference);
	e = elem_find(old, names_ns_uri(NS_BOOKMARKS), STR("extensions"));
	if (e != NULL)
		elem_add_copy(bookmark, e);
	add_options(pubsub);
	form = elem_child(elem_child(pubsub, EL_PUBLISH_OPTIONS), EL_FORM);
	if (is_first) {
		form_add_field(
		    form, NULL, "pubsub#max_items", NULL, STR("max"));
		form_add_field(form, NULL, "pubsub#send_last_published_item",
		    NULL, STR("never"));
	}
	b->waiting++;
	iq_send(iq, TIMEOUT, on_item_changed, b);
}

static void
retract_item(struct bookmarks *b, struct str id)
{
	struct stanza *iq = self_iq(b->acct, IQ_SET);
	struct elem *e =
	    elem_add(elem_add(iq->root, EL_PUBSUB), EL_PUBSUB_RETRACT);

	elem_set(e, AT_NODE, names_ns_uri(NS_BOOKMARKS));
	elem_set(e, AT_NOTIFY, STR("true"));
	elem_set_copy(elem_add(e, EL_PUBSUB_ITEM), AT_ID, id);
	b->waiting++;
	iq_send(iq, TIMEOUT, on_item_changed, b);
}

static const struct elem *
find_item(const struct elem *first, struct str id)
{
	for (; first != NULL; first = elem_next(first, EL_PUBSUB_ITEM))
		if (str_eq(elem_attr(first, AT_ID), id))
			return first;
	return NULL;
}

/* Only what differs is changed. */
static void
on_items_old(void *ctx, struct stanza *answer)
{
	struct bookmarks *b = ctx;
	const struct elem *first = answer_item(answer), *item, *old;
	struct elem *e;

	if (!is_known(answer)) {
		stanza_free(&answer);
		finish(b);
		return;
	}
	b->waiting = 1;
	for (e = elem_child(b->wanted, EL_STORAGE_CONFERENCE); e != NULL;
	     e = elem_next(e, EL_STORAGE_CONFERENCE)) {
		item = find_item(first, elem_attr(e, AT_JID));
		old = elem_child(item, EL_BOOKMARK);
		if (old == NULL || !is_same(e, old))
			publish_item(b, e, old, answer->type == IQ_ERROR);
	}
	for (item = first; item != NULL; item = elem_next(item, EL_PUBSUB_ITEM))
		if (find(b->wanted, elem_attr(item, AT_ID)) == NULL)
			retract_item(b, elem_attr(item, AT_ID));
	stanza_free(&answer);
	on_item_changed(b, NULL);
}

static void
to_items(struct bookmarks *b)
{
	if (b->now == FORM_ITEMS)
		to_node(b);
	else
		ask_node(b, NS_BOOKMARKS, on_items_old);
}

/* ---- what there is now ------------------------------------------------- */

static void
want(struct bookmarks *b, const struct elem *from, struct str jid)
{
	struct elem *e;
	struct jid room;

	/* A list may have strange things; an item's id can't be nothing. */
	if (jid_parse(b->arena, str_dup(b->arena, jid), &room) < 0 ||
	    find(b->wanted, room.full) != NULL)
		return;
	e = elem_add(b->wanted, EL_STORAGE_CONFERENCE);
	elem_set(e, AT_JID, room.full);
	carry(e, from);
}

static void
want_list(struct bookmarks *b, const struct elem *storage)
{
	struct elem *e = elem_child(storage, EL_STORAGE_CONFERENCE);

	for (; e != NULL; e = elem_next(e, EL_STORAGE_CONFERENCE))
		want(b, e, elem_attr(e, AT_JID));
}

/* In which form the answer is, follows from what is in it. */
static void
want_all(struct bookmarks *b, const struct stanza *answer)
{
	struct elem *item = answer_item(answer);

	want_list(
	    b, elem_child(elem_child(answer->root, EL_PRIVATE), EL_STORAGE));
	for (; item != NULL; item = elem_next(item, EL_PUBSUB_ITEM)) {
		want_list(b, elem_child(item, EL_STORAGE));
		if (elem_child(item, EL_BOOKMARK) != NULL)
			want(b, elem_child(item, EL_BOOKMARK),
			    elem_attr(item, AT_ID));
	}
}

static void on_source(void *ctx, struct stanza *answer);

static void
ask_form(struct bookmarks *b, enum form form)
{
	if (form == FORM_PRIVATE)
		ask_private(b, on_source);
	else
		ask_node(b,
		    form == FORM_ITEMS ? NS_BOOKMARKS : NS_STORAGE_BOOKMARKS,
		    on_source);
}

static void
on_source(void *ctx, struct stanza *answer)
{
	static const enum form all[] = { FORM_ITEMS, FORM_NODE, FORM_PRIVATE };
	struct bookmarks *b = ctx;

	if (!is_known(answer)) {
		stanza_free(&answer);
		finish(b);
		return;
	}
	want_all(b, answer);
	stanza_free(&answer);
	if (b->is_joined || b->step == ARRAY_LEN(all)) {
		if (!b->is_joined)
			b->now = FORM_ALL;
		to_items(b);
	} else {
		ask_form(b, all[b->step++]);
	}
}

/*
 * Where they were never made the same, as after a move from another server,
 * nothing that any form has is taken away.
 */
static void
on_mark(void *ctx, struct stanza *answer)
{
	struct bookmarks *b = ctx;
	struct elem *mark =
	    answer != NULL && answer->type == IQ_RESULT
		? elem_child(elem_child(answer->root, EL_PRIVATE), EL_ANY)
		: NULL;

	b->is_joined = elem_text(mark).n > 0;
	if (mark != NULL)
		ask_form(b, b->now);
	else
		finish(b);
	stanza_free(&answer);
}

/* One at a time; what comes meanwhile is looked at after. */
static void
begin(struct bookmarks *b, enum form from)
{
	struct stanza *iq;

	if (b->now != FORM_NONE) {
		b->next = from;
		return;
	}
	account_pin(b->acct);
	b->now = from;
	b->step = 0;
	b->arena = arena_new(0);
	b->wanted = elem_new(b->arena, EL_STORAGE);
	if (b->is_joined) {
		ask_form(b, from);
		return;
	}
	iq = self_iq(b->acct, IQ_GET);
	elem_add_named(elem_add(iq->root, EL_PRIVATE), MARK_NS, MARK_NAME);
	iq_send(iq, TIMEOUT, on_mark, b);
}

/* ---- what clients do --------------------------------------------------- */

static enum form
changes(const struct stanza *iq)
{
	struct elem *payload = stanza_payload(iq);
	struct elem *e = elem_child(payload, EL_ANY);

	if (elem_name(payload) == EL_PRIVATE)
		return elem_child(payload, EL_STORAGE) != NULL ? FORM_PRIVATE
							       : FORM_NONE;
	if (elem_name(payload) != EL_PUBSUB ||
	    (elem_name(e) != EL_PUBLISH && elem_name(e) != EL_PUBSUB_RETRACT))
		return FORM_NONE;
	if (str_eq(elem_attr(e, AT_NODE), names_ns_uri(NS_BOOKMARKS)))
		return FORM_ITEMS;
	if (str_eq(elem_attr(e, AT_NODE), names_ns_uri(NS_STORAGE_BOOKMARKS)))
		return FORM_NODE;
	return FORM_NONE;
}

/* Ours come from the bare address. */
static enum verdict
on_iq(struct mod *m, struct stanza *iq)
{
	struct account *acct;
	struct bookmarks *b;
	enum form from;

	if (iq->type != IQ_SET || !jid_is_bare(&iq->to) ||
	    jid_is_bare(&iq->from) || !jid_eq_bare(&iq->from, &iq->to))
		return STANZA_PASS;
	from = changes(iq);
	acct = from != FORM_NONE ? account_peek(iq->to.bare) : NULL;
	if (acct != NULL) {
		b = account_slot(acct, m);
		b->acct = acct;
		begin(b, from);
	}
	return STANZA_PASS;
}

/* ---- the table --------------------------------------------------------- */

static const char *const needs[] = { "pep", "private", NULL };

static const struct hook hooks[] = {
	{ HOOK_IQ_DELIVER, LAST, .stanza = on_iq },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:bookmarks:1#compat") },
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:bookmarks:1#compat-pep") },
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:bookmarks-conversion:0") },
	FEATURES_END,
};

MODULE(bookmarks) = {
	.summary = "keep bookmarks the same in each of their forms",
	.needs = needs,
	.account_size = sizeof(struct bookmarks),
	.hooks = hooks,
	.features = features,
	.account_free = bookmarks_free,
};
