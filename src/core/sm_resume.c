/* SPDX-License-Identifier: MIT */
/*
 * A session without its stream: detached, resumed, or at its end, when what
 * its client has not acknowledged must find another way.
 */
#include "core/sm.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/session_internal.h"
#include "xep/0160-offline.h"
#include "xml/parser.h"
#include "xml/writer.h"

/*
 * A resumption waits so long for what came before to be durable. It is longer
 * than a store takes to give up: what is not settled when the client is told
 * of its count is sent, and done, once more.
 */
#define RESUME_WAIT_MS 150000
/* What is sent again so much later says when it came. */
#define STAMP_MS 5000

/* ---- items as stanzas ---- */

struct stanza *
sm_item_stanza(struct sm *sm, struct sm_item *item)
{
	struct arena *a = arena_new(item->wire->n * 2);
	struct elem *root =
	    xml_parse(a, wire_str(item->wire), NULL, NS_CLIENT, NULL);
	enum qname condition;
	struct stanza *st;

	if (root == NULL || stanza_of(root, &st, &condition) < 0) {
		arena_free(&a);
		return NULL;
	}
	/* The texts of the tree may be views of the wire. */
	st->received = item->received;
	st->is_resent = item->is_late;
	st->is_archived = item->is_archived;
	st->is_copied = item->is_copied;
	return st;
}

void
session_each_unacked(struct session *s,
    void (*fn)(void *ctx, const struct stanza *st), void *ctx)
{
	struct sm_item *item;
	struct stanza *st;

	if (s->sm == NULL)
		return;
	LIST_EACH(item, &s->sm->queue, struct sm_item, node)
	{
		st = sm_item_stanza(s->sm, item);
		if (st == NULL)
			continue;
		fn(ctx, st);
		stanza_free(&st);
	}
}

int
sm_item_spool(struct sm *sm, struct sm_item *item)
{
	struct account *acct = sm->session->account;
	struct stanza *st;
	bool had_receipt = item->receipt != NULL;
	int err;

	if (item->parcel != NULL && item->parcel->is_durable && !had_receipt)
		return 0;
	if (item->parcel == NULL) {
		item->parcel = parcel_new(acct, item->received);
		parcel_hold(item->parcel);
	}
	st = sm_item_stanza(sm, item);
	if (st == NULL)
		return ERR_INVALID;
	err = spool_keep(acct, item->parcel, st, &item->receipt);
	stanza_free(&st);
	if (err == 0 && had_receipt)
		sm->held_bytes -= MIN(sm->held_bytes, item->wire->n);
	return err;
}

/* ---- detached ---- */

void
sm_detach(struct sm *sm)
{
	sm->is_asked = false;
	sm->is_paused = false;
	sm->owes = sm->owes_more = false;
	sm->ack_due = sm->answer_due = 0;
	sm->expiry_due = loop_now() + sm->resume_ms;
	sm_spool(sm, true);
	sm_arm(sm);
}

/* ---- resumed ---- */

/* The bytes of a message with the time it came, at the end of it. */
static void
write_stamped(struct stream *s, const struct sm_item *item, struct str by)
{
	struct transport *t = s->transport;
	static const struct str end = STR_INIT("</message>");
	struct str xml = wire_str(item->wire);
	struct arena *a = arena_new(0);
	struct buf b = { 0 };
	struct wire *w;

	buf_add(&b, xml.p, xml.n - end.n);
	buf_add_str(&b, STR("<delay xmlns='urn:xmpp:delay' from='"));
	xml_escape(&b, by);
	buf_add_str(&b, STR("' stamp='"));
	buf_add_str(&b, clock_format(a, item->received, true));
	buf_add_str(&b, STR("'/>"));
	buf_add_str(&b, end);
	w = wire_new(buf_str(&b));
	stream_send_wire(t->stream, w);
	wire_unref(&w);
	buf_fini(&b);
	arena_free(&a);
}

void
sm_resend(struct sm *sm)
{
	struct stream *s = sm->session->stream;
	struct str by = sm->session->account->host->jid.full;
	int64_t now = clock_real();
	struct sm_item *item;

	LIST_EACH(item, &sm->queue, struct sm_item, node)
	{
		if (item->is_worth && !item->is_late &&
		    now - item->received >= STAMP_MS &&
		    str_has_suffix(wire_str(item->wire), STR("</message>")))
			write_stamped(s, item, by);
		else
			stream_send_wire(s, item->wire);
	}
}

static void
send_resumed(const struct sm *sm, struct stream *s)
{
	struct arena *a;
	struct elem *e;

	if (s->nego->login != NULL) {
		login_resumed(s, sm->session, sm->in->durable);
		return;
	}
	a = arena_new(0);
	e = elem_new(a, EL_SM_RESUMED);
	elem_set(e, AT_PREVID, str_c(sm->id));
	elem_set_uint(e, AT_H, sm->in->durable);
	stream_send_elem(s, e);
	arena_free(&a);
}

void
sm_resumer_gone(struct sm *sm)
{
	sm->resumer = NULL;
	sm->resume_due = 0;
}

/*
 * The client sends again what comes after the count that it is told. What
 * was not durable in time is thus counted, and done, once more.
 */
void
sm_resume_now(struct sm *sm)
{
	struct stream *s = sm->resumer;
	struct session *session = sm->session;
	uint32_t h = sm->in->durable;

	sm_resumer_gone(sm);
	s->nego->resuming = NULL;
	if (sm_in_pending(sm->in) > 0) {
		sm_in_drop(&sm->in);
		sm->in = sm_in_new(sm_on_moved, sm, h);
	}
	sm->expiry_due = 0;
	send_resumed(sm, s);
	session_attach(session, s);
	sm_resend(sm);
	sm_ask(sm);
	session_resumed(session);
	stream_go_on(s);
}

bool
sm_resume(struct sm *sm, struct stream *s, uint32_t h)
{
	if (!sm_acked(sm, h)) {
		sm_fail_count(sm, s, h);
		return false;
	}
	if (sm->resumer != NULL)
		stream_fail(sm->resumer, EL_SE_CONFLICT, "resumed elsewhere");
	session_take_off(sm->session);
	sm->resumer = s;
	s->nego->resuming = sm->session;
	sm->resume_due = loop_now() + RESUME_WAIT_MS;
	stream_wait(s);
	if (sm_in_pending(sm->in) == 0 || sm->in->is_failed)
		sm_resume_now(sm);
	else
		sm_arm(sm);
	return true;
}

/* ---- the end ---- */

static bool
takes_messages(const struct session *s)
{
	return session_is_available(s) && !session_is_detached(s) &&
	       s->priority >= 0;
}

/* It has it, as a carbon, or from the archive. */
static bool
has_otherwise(const struct session *s, const struct stanza *st)
{
	if (st->is_copied && s->copies_since > 0 &&
	    s->copies_since <= st->received)
		return true;
	return session_will_read(s, st);
}

/*
 * To each session that takes messages, each in its turn: the first that
 * acknowledges it takes it out of the spool. False if there is none.
 */
static bool
pass_on(struct account *acct, struct stanza *st, struct parcel *p)
{
	struct session *s;
	bool is_sent = false;

	LIST_EACH(s, &acct->sessions, struct session, node)
	{
		struct stanza *copy;

		if (!takes_messages(s) || has_otherwise(s, st))
			continue;
		copy = stanza_copy(st);
		copy->is_resent = true;
		session_send_parcel(s, copy, parcel_ref(p));
		is_sent = true;
	}
	return is_sent;
}

/* Back to its sender, unless he need not know. */
static void
give_back(struct stanza *st, bool is_archived)
{
	if (st->kind == STANZA_PRESENCE || is_archived)
		stanza_free(&st);
	else
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
}

static void
end_message(struct sm *sm, struct sm_item *item, enum sm_end how)
{
	struct account *acct = sm->session->account;
	struct stanza *st;
	bool is_sent = false;

	if (item->parcel != NULL &&
	    !parcel_let_go(item->parcel, how == END_REPLACED))
		return;
	if (item->parcel == NULL)
		item->parcel = parcel_new(acct, item->received);
	st = sm_item_stanza(sm, item);
	if (st == NULL)
		return;
	st->receipt = item->receipt;
	item->receipt = NULL;
	if (how == END_FOR_GOOD && !acct->is_deleted) {
		if (!item->is_late)
			stanza_delay(st, acct->host->jid.full, item->received);
		is_sent = hook_spool_allow(acct, &st->from) &&
			  pass_on(acct, st, item->parcel);
	}
	if (!is_sent && spool_keep(acct, item->parcel, st, &st->receipt) < 0) {
		give_back(st, item->is_archived || acct->is_deleted);
		return;
	}
	stanza_free(&st);
}

/* Requests get an answer, and a room learns that its occupant is gone. */
static void
end_other(struct sm *sm, struct sm_item *item)
{
	struct stanza *st;

	if (item->kind == STANZA_PRESENCE)
		return;
	st = sm_item_stanza(sm, item);
	if (st == NULL)
		return;
	if (st->kind == STANZA_IQ || st->type == MESSAGE_GROUPCHAT)
		give_back(st, item->is_archived);
	else
		stanza_free(&st);
}

void
sm_end(struct sm *sm, enum sm_end how)
{
	struct sm_item *item;

	timer_stop(&sm->timer);
	if (sm->resumer != NULL) {
		struct stream *s = sm->resumer;

		sm_resumer_gone(sm);
		s->nego->resuming = NULL;
		if (s->nego->login != NULL) {
			login_not_resumed(s, sm->in->durable);
		} else {
			sm_send_failed(s, EL_ITEM_NOT_FOUND, sm->in->durable);
			stream_go_on(s);
		}
	}
	while ((item = LIST_FIRST(&sm->queue, struct sm_item, node)) != NULL) {
		if (item->is_worth)
			end_message(sm, item, how);
		else
			end_other(sm, item);
		sm_item_free(sm, item);
	}
	sm_memory_put(sm);
}

void
session_keep_unsent(struct account *acct, struct stanza *st)
{
	bool is_archived = st->is_archived;

	if (st->kind != STANZA_MESSAGE || !offline_is_worth(st->root)) {
		if (st->kind == STANZA_IQ || st->type == MESSAGE_GROUPCHAT)
			give_back(st, is_archived);
		else
			stanza_free(&st);
		return;
	}
	if (spool_put(acct, st, NULL, NULL) < 0)
		give_back(st, is_archived);
	else
		stanza_free(&st);
}
