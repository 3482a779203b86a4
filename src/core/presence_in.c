/* SPDX-License-Identifier: MIT */
/* Presence that comes to an account: RFC 6121 sections 4.3.2 and 8.5. */
#include "core/hooks.h"
#include "core/host.h"
#include "core/presence.h"
#include "core/roster_impl.h"
#include "core/router.h"

/* Probes ------------------------------------------------------------------ */

/*
 * A probe that this server has made for one of its own users. His client takes
 * contacts for offline anyway, and need not be told.
 */
static bool
is_own_probe(const struct stanza *probe)
{
	return !probe->is_from_local && host_find(probe->from.domain) != NULL;
}

static void
answer(struct stanza *probe, enum stanza_type type, const struct jid *from)
{
	router_send(presence_new(type, from, &probe->from));
	stanza_free(&probe);
}

static void
answer_by(struct stanza *probe, const struct session *s)
{
	struct stanza *st = stanza_copy(s->presence);

	stanza_set_to(st, &probe->from);
	router_send(st);
}

static void
probe_full(struct account *acct, struct stanza *st)
{
	struct session *s = account_session(acct, st->to.resource);

	if (s == NULL || !session_is_available(s)) {
		answer(st, PRESENCE_UNAVAILABLE, &st->to);
		return;
	}
	answer_by(st, s);
	stanza_free(&st);
}

static void
probe_bare(struct account *acct, struct stanza *st)
{
	struct session *s;

	if (!account_is_available(acct) && !is_own_probe(st)) {
		answer(st, PRESENCE_UNAVAILABLE, &acct->jid);
		return;
	}
	LIST_EACH(s, &acct->sessions, struct session, node)
	if (session_is_available(s))
		answer_by(st, s);
	stanza_free(&st);
}

static void
probed(struct account *acct, struct stanza *st)
{
	const struct roster_item *item = roster_find(acct, st->from.bare);
	bool is_own = jid_eq_bare(&st->from, &acct->jid);

	if (!is_own && !(item != NULL && item->sub & ROSTER_FROM)) {
		/* One who has asked to see it is not refused by this. */
		if (item != NULL && item->is_pending_in)
			stanza_free(&st);
		else
			answer(st, PRESENCE_UNSUBSCRIBED, &acct->jid);
		return;
	}
	if (!is_own && !hook_presence_allow(acct, &st->from)) {
		stanza_free(&st);
		return;
	}
	if (jid_is_bare(&st->to))
		probe_bare(acct, st);
	else
		probe_full(acct, st);
}

void
presence_nobody(struct stanza *st)
{
	struct jid to = jid_to_bare(&st->to);

	/* The same as for an account that does not know the sender. */
	if (st->type == PRESENCE_PROBE && !is_own_probe(st))
		answer(st, PRESENCE_UNSUBSCRIBED, &to);
	else
		stanza_free(&st);
}

/* The rest ---------------------------------------------------------------- */

/*
 * A contact that answers with errors gets no more broadcasts (4.4.2), until
 * he is heard of again. Those that may pass do not count.
 */
static void
note_errors(struct account *acct, const struct stanza *st)
{
	struct roster_entry *e = roster_entry(acct, st->from.bare);
	const struct elem *error = elem_child(st->root, EL_ERROR);

	if (e != NULL)
		e->is_deaf = st->type == PRESENCE_ERROR &&
			     !elem_attr_is(error, AT_TYPE, "wait");
}

static void
to_sessions(struct account *acct, struct stanza *st)
{
	struct session *s, **to;
	size_t n;

	if (!jid_is_bare(&st->to)) {
		s = account_session(acct, st->to.resource);
		to = &s;
		n = s != NULL;
	} else {
		n = sessions_choose(acct, CHOOSE_AVAILABLE, st->arena, &to);
	}
	sessions_send(to, n, st);
}

enum verdict
presence_arrived(struct account *acct, struct stanza *st)
{
	/* Of one who sees us, but is not seen, there is nothing but probes. */
	note_errors(acct, st);
	if (st->type & PRESENCE_SUBSCRIPTIONS)
		return subscribe_in(acct, st);
	if (st->type == PRESENCE_PROBE) {
		probed(acct, st);
		return STANZA_DONE;
	}
	to_sessions(acct, st);
	return STANZA_DONE;
}
