/* SPDX-License-Identifier: MIT */
/* What a client sends, from its stream to the router. */
#include "core/journey.h"

#include "core/account_impl.h"
#include "core/hooks.h"
#include "core/metrics.h"
#include "core/presence.h"
#include "core/router.h"
#include "core/stanza_impl.h"
#include "store/store.h"

/* Back-pressure ----------------------------------------------------------- */

/*
 * What clients send ends in the store, which refuses more than it can keep in
 * memory. Long before that nothing more is read, until it has caught up.
 */
#define STORE_HIGH 10000
#define STORE_LOW 2500
#define BYTES_HIGH (32u << 20)
#define BYTES_LOW (8u << 20)
#define LOOK_AGAIN_MS 5

static _Thread_local struct timer strained;

static void
on_look_again(struct timer *t)
{
	if (store_waiting() > STORE_LOW || store_waiting_bytes() > BYTES_LOW)
		timer_start(t, LOOK_AGAIN_MS, on_look_again);
	else
		loop_relieve();
}

static void
check_strain(void)
{
	if (store_waiting() < STORE_HIGH && store_waiting_bytes() < BYTES_HIGH)
		return;
	if (timer_is_running(&strained))
		return;
	loop_strain();
	timer_start(&strained, LOOK_AGAIN_MS, on_look_again);
}

/* Input ------------------------------------------------------------------- */

/* The sender's own name, whole or without its resource. */
static bool
from_is_true(const struct session *s, const struct elem *e)
{
	struct str text = elem_attr(e, AT_FROM);
	struct jid jid;

	if (str_is_none(text) || str_eq(text, s->jid.full))
		return true;
	if (jid_parse(elem_arena(e), text, &jid) < 0)
		return false;
	return jid_eq(&jid, &s->jid) || str_eq(jid.full, s->jid.bare);
}

/* What is sent to nobody in particular. */
static enum qname
supply_to(const struct session *s, struct stanza *st)
{
	struct jid own = jid_to_bare(&s->jid);

	if (!jid_is_none(&st->to) ||
	    st->type & (PRESENCE_AVAILABLE | PRESENCE_UNAVAILABLE))
		return EL_NONE;
	if (st->kind == STANZA_PRESENCE)
		return EL_BAD_REQUEST;
	stanza_set_to(st, &own);
	return EL_NONE;
}

static void
count(const struct stanza *st)
{
	switch (st->kind) {
	case STANZA_MESSAGE:
		metric_add(METRIC_MESSAGES_IN, 1);
		break;
	case STANZA_PRESENCE:
		metric_add(METRIC_PRESENCES_IN, 1);
		break;
	case STANZA_IQ:
		metric_add(METRIC_IQS_IN, 1);
		break;
	}
}

static bool
is_stanza(const struct elem *e)
{
	qname_t name = elem_name(e);

	return name == EL_MESSAGE || name == EL_PRESENCE || name == EL_IQ;
}

static void
refuse_element(
    struct session *s, struct elem *e, struct receipt *r, enum qname condition)
{
	struct arena *a = elem_arena(e);

	arena_free(&a);
	receipt_done(&r);
	if (s->stream != NULL)
		stream_fail(s->stream, condition, NULL);
}

/* RFC 6120, 8.1.5: in the language of the stream; of iqs nobody reads any. */
static void
supply_lang(const struct session *s, struct stanza *st)
{
	if (st->kind != STANZA_IQ && !str_is_none(s->lang) &&
	    str_is_none(elem_attr(st->root, AT_XML_LANG)))
		elem_set_copy(st->root, AT_XML_LANG, s->lang);
}

void
session_input(struct session *s, struct elem *e, struct receipt *r)
{
	enum qname condition;
	struct stanza *st;

	if (!is_stanza(e)) {
		refuse_element(s, e, r, EL_SE_UNSUPPORTED_STANZA_TYPE);
		return;
	}
	if (!from_is_true(s, e)) {
		refuse_element(s, e, r, EL_SE_INVALID_FROM);
		return;
	}
	if (stanza_of_session(e, &s->jid, &st, &condition) == 0) {
		condition = supply_to(s, st);
		supply_lang(s, st);
		router_strip(st);
	}
	st->receipt = r;
	st->is_from_local = true;
	count(st);
	if (condition != EL_NONE)
		stanza_refuse(st, condition);
	else if (s->is_closing || s->account->is_deleted)
		stanza_free(&st);
	else
		lane_put(&s->account->out, st);
	check_strain();
}

void
account_speak(struct account *acct, struct stanza *st)
{
	must(!jid_is_none(&st->to) && jid_is_bare(&st->from));
	st->is_from_local = true;
	count(st);
	if (acct->is_deleted) {
		receipt_fail(&st->receipt);
		stanza_free(&st);
	} else {
		lane_put(&acct->out, st);
	}
	check_strain();
}

/* On its way out ---------------------------------------------------------- */

static enum verdict
presence_out(struct account *acct, struct stanza *st)
{
	struct session *s;

	if (st->type & PRESENCE_SUBSCRIPTIONS)
		return subscribe_out(acct, st);
	s = account_session(acct, st->from.resource);
	if (s == NULL)
		stanza_free(&st);
	else if (jid_is_none(&st->to))
		presence_broadcast(s, st);
	else
		presence_directed(s, st);
	return STANZA_DONE;
}

enum verdict
journey_first(struct account *acct, struct stanza *st)
{
	enum hook_point point = HOOK_MESSAGE_SENT;
	enum verdict v;

	if (st->kind == STANZA_PRESENCE)
		point = HOOK_PRESENCE_SENT;
	else if (st->kind == STANZA_IQ)
		point = HOOK_IQ_SENT;
	acct->out.next = journey_first;
	v = hook_stanza(point, acct->host, st);
	if (v != STANZA_PASS)
		return v;
	if (st->kind == STANZA_PRESENCE)
		return presence_out(acct, st);
	router_send(st);
	return STANZA_DONE;
}
