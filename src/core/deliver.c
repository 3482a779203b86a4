/* SPDX-License-Identifier: MIT */
/* What becomes of a stanza at its recipient's home: RFC 6121 section 8.5. */
#include "core/account_impl.h"
#include "core/hooks.h"
#include "core/presence.h"
#include "xml/writer.h"

/* Who gets it ------------------------------------------------------------- */

static bool
is_chosen(const struct session *s, enum choice which)
{
	if (s->is_closing)
		return false;
	switch (which) {
	case CHOOSE_WILLING:
		return s->presence != NULL && s->priority >= 0;
	case CHOOSE_AVAILABLE:
		return s->presence != NULL;
	case CHOOSE_ROSTER:
		return s->presence != NULL || s->is_interested;
	}
	return false;
}

size_t
sessions_choose(struct account *acct, enum choice which, struct arena *a,
    struct session ***chosen_r)
{
	struct session *s;
	size_t n = 0;

	LIST_EACH(s, &acct->sessions, struct session, node)
	n += is_chosen(s, which);
	if (n == 0)
		return 0;
	*chosen_r = arena_alloc(a, n * sizeof(struct session *));
	n = 0;
	LIST_EACH(s, &acct->sessions, struct session, node)
	if (is_chosen(s, which))
		(*chosen_r)[n++] = s;
	return n;
}

void
sessions_send(struct session **to, size_t n, struct stanza *st)
{
	struct buf buf = { 0 };
	struct wire *w;

	if (n == 1 && !to[0]->is_closing) {
		session_send(to[0], st);
		return;
	}
	if (n > 1) {
		xml_write(&buf, st->root, XML_IN_STREAM);
		w = wire_new(buf_str(&buf));
		buf_fini(&buf);
		/* One may end while another is written to. */
		for (size_t i = 0; i < n; i++)
			if (!to[i]->is_closing)
				session_send_wire(to[i], w, st);
		wire_unref(&w);
	}
	stanza_free(&st);
}

/* Messages ---------------------------------------------------------------- */

static enum verdict
send_to(
    struct account *acct, struct stanza *st, struct session **chosen, size_t n)
{
	st->chosen = chosen[0];
	if (hook_stanza(HOOK_MESSAGE_ROUTED, acct->host, st) != STANZA_PASS)
		return STANZA_DONE;
	st->chosen = NULL;
	sessions_send(chosen, n, st);
	return STANZA_DONE;
}

/* No session takes it. */
static enum verdict
step_offline(struct account *acct, struct stanza *st)
{
	enum verdict v;

	acct->in.next = step_offline;
	v = hook_stanza(HOOK_MESSAGE_OFFLINE, acct->host, st);
	if (v == STANZA_PASS)
		return stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	return v;
}

/*
 * To all sessions that want to be disturbed, which is one of the ways that
 * the RFC allows, and the one that users of several devices expect.
 */
static enum verdict
message_to_bare(struct account *acct, struct stanza *st)
{
	struct session **chosen;
	size_t n;

	switch (st->type) {
	case MESSAGE_GROUPCHAT:
		return stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	case MESSAGE_ERROR:
		stanza_free(&st);
		return STANZA_DONE;
	default:
		break;
	}
	n = sessions_choose(acct, CHOOSE_WILLING, st->arena, &chosen);
	if (n > 0)
		return send_to(acct, st, chosen, n);
	if (st->type == MESSAGE_HEADLINE) {
		stanza_free(&st);
		return STANZA_DONE;
	}
	return step_offline(acct, st);
}

static enum verdict
message_arrived(struct account *acct, struct stanza *st)
{
	struct session *s = NULL;

	if (!jid_is_bare(&st->to))
		s = account_session(acct, st->to.resource);
	if (s != NULL)
		return send_to(acct, st, &s, 1);
	/* It is for who asked, and for nobody else. */
	if (st->is_part) {
		stanza_free(&st);
		return STANZA_DONE;
	}
	/*
	 * Section 8.5.3.2.1 would drop a normal one, or give it back. It is
	 * no less worth to be read than a chat; ejabberd and Prosody pass both.
	 */
	if (jid_is_bare(&st->to) || st->type & (MESSAGE_CHAT | MESSAGE_NORMAL))
		return message_to_bare(acct, st);
	/* A room learns so that its occupant is gone. */
	if (st->type == MESSAGE_GROUPCHAT)
		return stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	stanza_free(&st);
	return STANZA_DONE;
}

static enum verdict
step_message(struct account *acct, struct stanza *st)
{
	enum verdict v;

	acct->in.next = step_message;
	v = hook_stanza(HOOK_MESSAGE_DELIVER, acct->host, st);
	return v == STANZA_PASS ? message_arrived(acct, st) : v;
}

/* Iqs --------------------------------------------------------------------- */

static enum verdict
step_iq_route(struct account *acct, struct stanza *st)
{
	enum iq_where where = TO_ACCOUNT;
	enum verdict v;

	acct->in.next = step_iq_route;
	if (jid_eq_bare(&st->from, &acct->jid))
		where = TO_SELF;
	v = iq_route_run(acct->host, where, st);
	if (v == STANZA_PASS)
		return stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	return v;
}

struct account *
iq_account(const struct stanza *iq)
{
	return account_peek(iq->to.bare);
}

struct session *
iq_session(const struct stanza *iq)
{
	struct account *acct = account_peek(iq->to.bare);

	if (acct == NULL || !jid_eq_bare(&iq->from, &acct->jid))
		return NULL;
	return account_session(acct, iq->from.resource);
}

static enum verdict
iq_to_full(struct account *acct, struct stanza *st)
{
	struct session *s = account_session(acct, st->to.resource);
	bool is_request = st->type & (IQ_GET | IQ_SET);

	/* Only the account itself may push: clients tend to believe it. */
	if (is_request && !jid_eq(&st->from, &acct->jid) &&
	    elem_name(stanza_payload(st)) == EL_ROSTER)
		return stanza_refuse(st, EL_FORBIDDEN);
	if (s != NULL)
		session_send(s, st);
	else if (is_request)
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	else
		stanza_free(&st);
	return STANZA_DONE;
}

static enum verdict
step_iq(struct account *acct, struct stanza *st)
{
	enum verdict v;

	acct->in.next = step_iq;
	v = hook_stanza(HOOK_IQ_DELIVER, acct->host, st);
	if (v != STANZA_PASS)
		return v;
	/* On the account's behalf, or by one of its clients. */
	if (jid_is_bare(&st->to))
		return step_iq_route(acct, st);
	return iq_to_full(acct, st);
}

/* -------------------------------------------------------------------------- */

static enum verdict
step_presence(struct account *acct, struct stanza *st)
{
	enum verdict v;

	acct->in.next = step_presence;
	v = hook_stanza(HOOK_PRESENCE_DELIVER, acct->host, st);
	return v == STANZA_PASS ? presence_arrived(acct, st) : v;
}

/* Section 8.5.1: there is no such account. */
static enum verdict
no_account(struct stanza *st)
{
	if (st->kind == STANZA_PRESENCE) {
		presence_nobody(st);
		return STANZA_DONE;
	}
	if (st->type & MESSAGE_HEADLINE) {
		stanza_free(&st);
		return STANZA_DONE;
	}
	return stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
}

enum verdict
deliver_first(struct account *acct, struct stanza *st)
{
	/* Who has removed his account is told so. */
	if (acct->is_deleted && st->type & (IQ_RESULT | IQ_ERROR))
		return iq_to_full(acct, st);
	if (acct->state != ACCOUNT_READY || acct->is_deleted)
		return no_account(st);
	switch (st->kind) {
	case STANZA_MESSAGE:
		return step_message(acct, st);
	case STANZA_PRESENCE:
		return step_presence(acct, st);
	case STANZA_IQ:
		return step_iq(acct, st);
	}
	stanza_free(&st);
	return STANZA_DONE;
}
