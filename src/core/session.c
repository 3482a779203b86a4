/* SPDX-License-Identifier: MIT */
/*
 * The life of a session: bound, detached, attached again, closed. What it
 * sends is in session_send.c.
 */
#include "core/sm.h"

#include "base/clock.h"
#include "core/hooks.h"
#include "core/journey.h"
#include "core/metrics.h"
#include "core/session_internal.h"
#include "core/stanza_impl.h"

static __thread struct list sessions;
static __thread size_t sessions_count;

static void
session_log(const struct session *s, struct log_ctx *ctx_r)
{
	*ctx_r = (struct log_ctx){ .source = "c2s" };
	log_field(ctx_r, "jid", s->jid.full);
	if (s->stream != NULL)
		log_field(ctx_r, "ip", str_c(s->stream->ip));
}

static enum session_via
via_of(const struct stream *st)
{
	const char *name = st->transport->ops->name;

	if (strcmp(name, "websocket") == 0)
		return VIA_WEBSOCKET;
	if (strcmp(name, "bosh") == 0)
		return VIA_HTTP_BIND;
	return stream_is_tls(st) ? VIA_C2S_TLS : VIA_C2S;
}

static struct jid
full_jid(const struct account *acct, struct str resource)
{
	struct arena *a = arena_new(0);
	struct jid jid =
	    jid_make(a, acct->jid.local, acct->jid.domain, resource);

	jid = jid_of(str_heap(jid.full));
	arena_free(&a);
	return jid;
}

struct session *
session_new(struct account *acct, struct stream *st, struct str resource)
{
	struct session *s = (struct session *)xzalloc(sizeof(*s));

	account_pin(acct);
	s->account = acct;
	s->jid = full_jid(acct, resource);
	s->stream = st;
	s->since = clock_real();
	s->via = via_of(st);
	if (st->nego->lang[0] != '\0')
		s->lang = str_heap(str_c(st->nego->lang));
	s->client = str_heap(st->nego->client);
	list_init(&s->directed);
	list_add(&acct->sessions, &s->node);
	if (sessions.next == NULL)
		list_init(&sessions);
	list_add(&sessions, &s->loop_node);
	sessions_count++;
	if (st->transport->ops->tells_arrival)
		sm_watch(s);
	return s;
}

/* ---- the end ---- */

static void
session_free(void *msg)
{
	struct session *s = (struct session *)msg;
	struct account *acct = s->account;

	slots_free_session(s);
	sm_free(&s->sm);
	str_free(&s->jid.full);
	str_free(&s->lang);
	str_free(&s->client);
	xfree(s);
	account_unpin(acct);
}

static void
session_finish(struct session *s, const char *why, enum sm_end how)
{
	struct log_ctx log;

	if (s->is_closing)
		return;
	s->is_closing = true;
	list_del(&s->node);
	list_del(&s->loop_node);
	sessions_count--;
	session_log(s, &log);
	log_info(&log, "session ended: %s", why);
	session_ended(s);
	hook_session(HOOK_SESSION_CLOSED, s);
	s->stream = NULL;
	flush_end(s);
	if (s->sm != NULL)
		sm_end(s->sm, how);
	loop_post(loop_self(), session_free, s);
}

/* The stream says why, and is no longer the session's. */
static void
session_fail_stream(
    struct session *s, enum qname stream_error, const char *text)
{
	struct stream *st = s->stream;

	if (st == NULL)
		return;
	st->session = NULL;
	stream_fail(st, stream_error, text);
}

static void
session_close_as(struct session *s, enum qname stream_error, const char *text,
    enum sm_end how)
{
	struct str name = stream_error != EL_NONE
			      ? names_elem_local((qname_t)stream_error)
			      : STR("closed");

	if (s->is_closing)
		return;
	session_fail_stream(s, stream_error, text);
	session_finish(s, text != NULL ? text : name.p, how);
}

void
session_close(struct session *s, enum qname stream_error, const char *text)
{
	session_close_as(s, stream_error, text, END_FOR_GOOD);
}

void
session_replace(struct session *s)
{
	session_close_as(
	    s, EL_SE_CONFLICT, "replaced by a new connection", END_REPLACED);
}

void
session_stream_ended(struct session *s, const char *why)
{
	session_finish(s, why, END_FOR_GOOD);
}

void
session_expired(struct session *s, const char *why)
{
	session_finish(s, why, END_FOR_GOOD);
}

void
sessions_shutdown(void)
{
	struct session *s;

	if (sessions.next == NULL)
		return;
	while ((s = LIST_FIRST(&sessions, struct session, loop_node)) != NULL)
		session_close_as(s, EL_SE_SYSTEM_SHUTDOWN, NULL, END_SHUTDOWN);
}

/* ---- detached, and attached again ---- */

static void
session_detach(struct session *s, const char *why)
{
	struct log_ctx log;

	session_log(s, &log);
	log_info(&log, "link lost: %s", why);
	s->stream = NULL;
	s->is_overflowing = false;
	flush_stop(s);
	sm_detach(s->sm);
	hook_session(HOOK_SESSION_DETACHED, s);
}

void
session_link_lost(struct session *s, const char *why)
{
	if (s->is_closing)
		return;
	if (why == NULL)
		why = "disconnected";
	if (sm_can_resume(s->sm))
		session_detach(s, why);
	else
		session_finish(s, why, END_FOR_GOOD);
}

uint64_t
session_silence(const struct session *s)
{
	uint64_t now = loop_now();

	/* Another loop may have noted it, whose idea of now is its own. */
	if (s->stream == NULL || s->stream->heard > now)
		return 0;
	return now - s->stream->heard;
}

void
session_link_dead(struct session *s)
{
	struct stream *st = s->stream;

	if (s->is_closing || st == NULL)
		return;
	if (!sm_can_resume(s->sm)) {
		session_close(s, EL_SE_CONNECTION_TIMEOUT, "no answer");
		return;
	}
	st->session = NULL;
	stream_abandon(st);
	session_detach(s, "no answer");
}

void
session_take_off(struct session *s)
{
	if (s->stream == NULL)
		return;
	session_fail_stream(s, EL_SE_CONFLICT, "resumed elsewhere");
	session_detach(s, "resumed elsewhere");
}

void
session_attach(struct session *s, struct stream *st)
{
	s->stream = st;
	s->via = via_of(st);
	stream_adopt(st, s);
}

void
session_resumed(struct session *s)
{
	log_info(stream_log(s->stream), "resumed");
	metric_add(METRIC_SESSIONS_RESUMED, 1);
	hook_session(HOOK_SESSION_RESUMED, s);
	flush_resume(s);
}

/* ---- input ---- */

static bool
iq_is_for_us(const struct elem *e)
{
	qname_t payload;

	if (elem_name(e) != EL_IQ)
		return false;
	payload = elem_name(elem_child(e, EL_ANY));
	return (payload == EL_BIND || payload == EL_SESSION) &&
	       elem_attr_is(e, AT_TYPE, "set");
}

/* The session of RFC 3921 is there already: an empty result says so. */
static void
grant_session(struct session *s, struct stanza *st)
{
	struct jid nobody = { 0 };

	elem_remove(stanza_payload(st));
	stanza_set_type(st, IQ_RESULT);
	stanza_set_from(st, &nobody);
	stanza_set_to(st, &s->jid);
	session_send(s, st);
}

/* What belongs to the time before: binding is over. */
static void
answer_iq(struct session *s, struct elem *e, struct receipt *r)
{
	struct jid own = jid_to_bare(&s->jid);
	enum qname condition;
	struct stanza *st;
	int err = stanza_of_session(e, &s->jid, &st, &condition);

	st->receipt = r;
	if (err == 0 && elem_name(stanza_payload(st)) == EL_SESSION) {
		grant_session(s, st);
		return;
	}
	if (err == 0) {
		condition = EL_NOT_ALLOWED;
		stanza_set_to(st, &own);
	}
	stanza_refuse(st, condition);
}

void
session_on_stanza(struct session *s, struct elem *e)
{
	struct receipt *r = sm_counts(s->sm) ? sm_receipt(s->sm) : NULL;

	if (iq_is_for_us(e))
		answer_iq(s, e, r);
	else
		session_input(s, e, r);
}

void
session_on_nonza(struct session *s, struct elem *e)
{
	struct arena *a = elem_arena(e);

	if (elem_ns(e) == NS_SM)
		sm_on_nonza(s, e);
	else if (hook_session_nonza(s, e) != STANZA_DONE && s->stream != NULL)
		stream_fail(s->stream, EL_SE_UNSUPPORTED_STANZA_TYPE, NULL);
	arena_free(&a);
}

void
session_last_answer(struct session *s)
{
	if (s->sm != NULL)
		sm_last_answer(s->sm);
}

uint32_t
session_sent(const struct session *s)
{
	return s->sm != NULL ? s->sm->acked + s->sm->count : 0;
}

void
session_confirmed(struct session *s, uint32_t sent)
{
	/* A client that counts for itself says so itself. */
	if (s->sm != NULL && s->sm->is_silent &&
	    (int32_t)(sent - s->sm->acked) > 0)
		sm_acked(s->sm, sent);
}

void
session_drained(struct session *s)
{
	flush_resume(s);
}

/* ---- what is known of it ---- */

const char *
session_ip(const struct session *s)
{
	return s->stream != NULL ? s->stream->ip : "";
}
uint16_t
session_port(const struct session *s)
{
	return s->stream != NULL ? addr_port(stream_peer(s->stream)) : 0;
}

void
session_each(void (*fn)(void *ctx, struct session *s), void *ctx)
{
	struct session *s;

	if (sessions.next == NULL)
		return;
	LIST_EACH(s, &sessions, struct session, loop_node)
	fn(ctx, s);
}

size_t
session_count(void)
{
	return sessions_count;
}
