/* SPDX-License-Identifier: MIT */
/* A session's own presence, and who is told of it: RFC 6121 section 4. */
#include "core/presence.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/hooks.h"
#include "core/journey.h"
#include "core/roster_impl.h"
#include "core/router.h"
#include "core/stanza_impl.h"
#include "store/store.h"

/* Addresses that a session may send its presence to directly: rooms, say. */
#define DIRECTED_MAX 2000
/* Bytes of a last status that are kept. */
#define STATUS_MAX 1024

struct directed {
	struct list node;
	struct jid jid;
	char text[];
};

int
presence_priority(const struct elem *presence, int8_t *priority_r)
{
	const struct elem *e = elem_child(presence, EL_PRIORITY);
	struct str text = str_trim(elem_text(e));
	int64_t value = 0;

	*priority_r = 0;
	if (e == NULL)
		return 0;
	if (text.n > 1 && text.p[0] == '+')
		text = str_skip(text, 1);
	if (!str_to_i64(text, &value) || value < -128 || value > 127)
		return ERR_INVALID;
	*priority_r = (int8_t)value;
	return 0;
}

struct stanza *
presence_new(
    enum stanza_type type, const struct jid *from, const struct jid *to)
{
	struct stanza *st = stanza_new(EL_PRESENCE);
	struct jid none = { 0 };

	stanza_set_type(st, type);
	stanza_set_from(st, from);
	stanza_set_to(st, to != NULL ? to : &none);
	return st;
}

/* Directed presence ------------------------------------------------------- */

static struct directed *
directed_find(const struct session *s, const struct jid *to, unsigned *count_r)
{
	struct directed *d;

	*count_r = 0;
	if (s->directed.next == NULL)
		return NULL;
	LIST_EACH(d, &s->directed, struct directed, node)
	{
		if (jid_eq(&d->jid, to))
			return d;
		++*count_r;
	}
	return NULL;
}

static void
directed_free(struct directed *d)
{
	list_del(&d->node);
	xfree(d);
}

/* Will the broadcast of unavailable presence reach it anyway? */
static bool
is_told_anyway(const struct session *s, const struct jid *to)
{
	const struct roster_item *item;

	if (s->presence == NULL)
		return false;
	if (jid_eq_bare(to, &s->jid))
		return true;
	item = roster_find(s->account, to->bare);
	return item != NULL && item->sub & ROSTER_FROM;
}

/* ERR_LIMIT when the session has sent it to too many. */
static int
directed_note(struct session *s, const struct jid *to)
{
	struct directed *d;
	unsigned count;

	if (directed_find(s, to, &count) != NULL || is_told_anyway(s, to))
		return 0;
	if (count >= DIRECTED_MAX)
		return ERR_LIMIT;
	d = xzalloc(sizeof(*d) + to->full.n);
	memcpy(d->text, to->full.p, to->full.n);
	d->jid = jid_of(str_mem(d->text, to->full.n));
	if (s->directed.next == NULL)
		list_init(&s->directed);
	list_add(&s->directed, &d->node);
	return 0;
}

void
presence_directed(struct session *s, struct stanza *st)
{
	struct directed *d;
	unsigned count;

	if (st->type == PRESENCE_UNAVAILABLE) {
		d = directed_find(s, &st->to, &count);
		if (d != NULL)
			directed_free(d);
	} else if (st->type == PRESENCE_AVAILABLE &&
		   directed_note(s, &st->to) < 0) {
		stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
		return;
	}
	router_send(st);
}

bool
session_shows_to(const struct session *s, const struct jid *jid)
{
	const struct directed *d;

	if (s->directed.next == NULL)
		return false;
	LIST_EACH(d, &s->directed, struct directed, node)
	if (jid_eq_bare(&d->jid, jid))
		return true;
	return false;
}

void
session_withdraw(struct session *s,
    bool (*fits)(void *ctx, const struct jid *jid), void *ctx)
{
	struct directed *d;

	if (s->directed.next == NULL)
		return;
	LIST_EACH(d, &s->directed, struct directed, node)
	{
		if (!fits(ctx, &d->jid))
			continue;
		router_send(
		    presence_new(PRESENCE_UNAVAILABLE, &s->jid, &d->jid));
		directed_free(d);
	}
}

/* To many ----------------------------------------------------------------- */

/*
 * A copy to each contact that has this half of a subscription. Errors are
 * remembered until a session begins.
 */
static void
fan_to_contacts(struct account *acct, const struct stanza *st,
    enum roster_sub half, bool is_first)
{
	struct fanout *f = NULL;
	struct roster_entry *e;

	for (size_t i = 0; (e = map_next(&acct->roster->map, &i)) != NULL;) {
		if (is_first)
			e->is_deaf = false;
		if (!(e->item.sub & half) ||
		    (half == ROSTER_FROM && e->is_deaf))
			continue;
		/* Nor does one who is blocked hear of it by a probe. */
		if (!hook_presence_allow(acct, &e->item.jid))
			continue;
		if (f == NULL)
			f = fanout_new(stanza_copy(st));
		fanout_add(f, &e->item.jid);
	}
	if (f != NULL)
		fanout_send(&f);
}

/* Whoever got it directly; they are forgotten. */
static void
fan_to_directed(struct session *s, struct stanza *st)
{
	struct fanout *f;
	struct directed *d;

	if (s->directed.next == NULL || list_is_empty(&s->directed)) {
		stanza_free(&st);
		return;
	}
	f = fanout_new(st);
	while ((d = LIST_FIRST(&s->directed, struct directed, node)) != NULL) {
		fanout_add(f, &d->jid);
		directed_free(d);
	}
	fanout_send(&f);
}

/* To the account's own sessions, to which it is subscribed by nature. */
static void
send_to_own(struct account *acct, struct stanza *st)
{
	struct session **to;
	size_t n = sessions_choose(acct, CHOOSE_AVAILABLE, st->arena, &to);

	stanza_set_to(st, &acct->jid);
	sessions_send(to, n, st);
}

static void
send_presence(const struct session *s, const struct jid *to)
{
	struct stanza *st = stanza_copy(s->presence);

	stanza_set_to(st, to);
	router_send(st);
}

void
presence_show_all(struct account *acct, const struct jid *contact)
{
	struct session *s;

	if (!hook_presence_allow(acct, contact))
		return;
	LIST_EACH(s, &acct->sessions, struct session, node)
	if (session_is_available(s))
		send_presence(s, contact);
}

struct shown
presence_shown(struct account *acct, struct arena *a)
{
	struct session **from;
	struct shown shown = { 0 };
	size_t n = sessions_choose(acct, CHOOSE_AVAILABLE, a, &from);

	if (n == 0)
		return shown;
	shown.jid = arena_alloc(a, n * sizeof(*shown.jid));
	for (; shown.count < n; shown.count++)
		shown.jid[shown.count] = jid_dup(a, &from[shown.count]->jid);
	return shown;
}

void
presence_hide(
    struct account *acct, const struct shown *shown, const struct jid *contact)
{
	/* One who is blocked has seen the end of it already. */
	if (shown->count == 0 || !hook_presence_allow(acct, contact))
		return;
	for (size_t i = 0; i < shown->count; i++)
		router_send(presence_new(
		    PRESENCE_UNAVAILABLE, &shown->jid[i], contact));
}

/* Available --------------------------------------------------------------- */

/* What the account's other sessions have said. */
static void
show_others(struct session *s)
{
	struct stanza *st;
	struct session **other;
	size_t n = sessions_choose(
	    s->account, CHOOSE_AVAILABLE, s->presence->arena, &other);

	for (size_t i = 0; i < n && !s->is_closing; i++) {
		if (other[i] == s || !session_is_available(other[i]))
			continue;
		st = stanza_copy(other[i]->presence);
		stanza_set_to(st, &s->jid);
		session_send(s, st);
	}
}

/* Section 4.2: the first since the session began or was unavailable. */
static void
begin(struct session *s)
{
	struct stanza *probe = presence_new(PRESENCE_PROBE, &s->jid, NULL);

	fan_to_contacts(s->account, probe, ROSTER_TO, false);
	stanza_free(&probe);
	show_others(s);
	if (!s->is_closing)
		subscribe_show_pending(s);
}

static void
available(struct session *s, struct stanza *st)
{
	bool is_first = s->presence == NULL;
	bool was_willing = !is_first && s->priority >= 0;
	int8_t priority;

	if (presence_priority(st->root, &priority) < 0) {
		stanza_refuse(st, EL_BAD_REQUEST);
		return;
	}
	s->priority = priority;
	hook_presence(s, st->root);
	stanza_free(&s->presence);
	s->presence = stanza_compact(st);
	receipt_done(&s->presence->receipt);
	s->had_initial = true;
	fan_to_contacts(s->account, st, ROSTER_FROM, is_first);
	/* Each thing that is sent to the session may end it. */
	send_to_own(s->account, st);
	if (is_first && !s->is_closing)
		begin(s);
	/* What waits for a session that wants messages can come now. */
	if ((is_first || (!was_willing && s->priority >= 0)) && !s->is_closing)
		hook_session(HOOK_SESSION_AVAILABLE, s);
}

/* Unavailable ------------------------------------------------------------- */

static void
keep_status(struct account *acct, const struct elem *presence)
{
	struct str status = elem_child_text(presence, EL_STATUS);

	str_free(&acct->last_status);
	if (status.n <= STATUS_MAX)
		acct->last_status = str_heap(status);
}

static void
unavailable(struct session *s, struct stanza *st)
{
	struct account *acct = s->account;
	bool was_available = s->presence != NULL;

	if (was_available) {
		keep_status(acct, st->root);
		fan_to_contacts(acct, st, ROSTER_FROM, false);
		send_to_own(acct, stanza_copy(st));
	}
	fan_to_directed(s, st);
	stanza_free(&s->presence);
	s->priority = 0;
	s->had_initial = false;
	if (!was_available)
		return;
	hook_session(HOOK_SESSION_UNAVAILABLE, s);
	if (!account_is_available(acct))
		hook_account(HOOK_ACCOUNT_OFFLINE, acct);
}

void
presence_broadcast(struct session *s, struct stanza *st)
{
	if (st->type == PRESENCE_AVAILABLE)
		available(s, st);
	else
		unavailable(s, st);
}

/* The end of a session ---------------------------------------------------- */

static void
keep_last(struct account *acct)
{
	struct store_write *w = store_write_new(acct->jid.bare);

	account_set_last(w, acct->jid.bare, clock_real(), acct->last_status);
	store_commit(&w, NULL, NULL);
}

static void
on_unpin(void *acct)
{
	account_unpin(acct);
}

void
session_ended(struct session *s)
{
	struct account *acct = s->account;

	unavailable(s, presence_new(PRESENCE_UNAVAILABLE, &s->jid, NULL));
	if (!list_is_empty(&acct->sessions))
		return;
	if (!acct->is_deleted)
		keep_last(acct);
	/* In a later turn: whoever ends the session may still look at it. */
	account_pin(acct);
	loop_post(loop_self(), on_unpin, acct);
}
