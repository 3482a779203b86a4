/* SPDX-License-Identifier: MIT */
/*
 * Whoever comes gets the last items of his contacts, and also of those that
 * are not there (XEP-0163, 4.3.2). Presence is not brought to accounts that
 * are not in memory; here it is, to one of them after the other, so that who
 * has many such contacts does not keep everybody from the store.
 */
#include "core/account_impl.h"
#include "core/pubsub_impl.h"
#include "core/session.h"

/* Goes from loop to loop, and belongs to the one where it is. */
struct visit {
	struct arena *arena;
	struct loop *home;	 /* of the session */
	struct stanza *presence; /* what each gets a copy of */
	struct jid from;
	struct jid *contacts;
	size_t count, next;
};

static void
visit_free(struct visit *v)
{
	struct arena *a = v->arena;

	stanza_free(&v->presence);
	arena_free(&a);
}

/* Like us, each shows its presence to the other: the contact is to hear. */
static bool
is_near(const struct roster_item *item)
{
	return item->sub == (ROSTER_TO | ROSTER_FROM) &&
	       host_find(item->jid.domain) != NULL;
}

static void go_on(void *msg);

static void
on_found(void *ctx, int err, struct account *acct)
{
	struct visit *v = ctx;
	struct stanza *st;

	if (acct != NULL) {
		st = stanza_copy(v->presence);
		stanza_set_to(st, &acct->jid);
		router_send(st);
	}
	loop_post(v->home, go_on, v);
}

/* At the contact's home: one in memory has heard of it by itself. */
static void
arrive(void *msg)
{
	struct visit *v = msg;
	const struct jid *contact = &v->contacts[v->next++];

	if (account_lookup(contact->bare) != NULL)
		loop_post(v->home, go_on, v);
	else
		account_get(contact, on_found, v);
}

/* As long as he is there. */
static void
go_on(void *msg)
{
	struct visit *v = msg;
	struct account *acct = account_peek(v->from.bare);
	struct session *s =
	    acct != NULL ? account_session(acct, v->from.resource) : NULL;

	if (s == NULL || !session_is_available(s) || v->next == v->count)
		visit_free(v);
	else
		loop_post(account_home(v->contacts[v->next].bare), arrive, v);
}

static struct stanza *
presence_of(const struct session *s)
{
	static const qname_t names[] = { EL_CAPS, EL_CAPS2 };
	struct stanza *st = stanza_new(EL_PRESENCE);

	stanza_set_type(st, PRESENCE_AVAILABLE);
	stanza_set_from(st, &s->jid);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct elem *e = elem_child(s->presence->root, names[i]);

		if (e != NULL)
			elem_add_copy(st->root, e);
	}
	return st;
}

void
pubsub_visit(const struct session *s)
{
	const struct roster_item *item;
	struct arena *a = arena_new(0);
	struct visit *v = arena_new_of(a, struct visit);

	v->arena = a;
	v->home = loop_self();
	v->from = jid_dup(a, &s->jid);
	v->presence = presence_of(s);
	v->contacts = arena_alloc(
	    a, (roster_count(s->account) + 1) * sizeof(*v->contacts));
	for (size_t i = 0; (item = roster_next(s->account, &i)) != NULL;)
		if (is_near(item))
			v->contacts[v->count++] = jid_dup(a, &item->jid);
	if (elem_child(v->presence->root, EL_ANY) == NULL)
		visit_free(v);
	else
		go_on(v);
}
