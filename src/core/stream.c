/* SPDX-License-Identifier: MIT */
/*
 * The life of a client stream: bytes in, stanzas to who handles them, errors
 * and the end. Until there is a session, input is fed tag by tag, so that a
 * stream may wait (for the store, for its move to another loop) at any
 * element, and what came with it is put by.
 */
#include "core/stream_internal.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/auth_backend.h"
#include "core/conf.h"
#include "core/handshakes.h"
#include "core/hooks.h"
#include "core/metrics.h"
#include "core/penalty.h"
#include "core/session_internal.h"
#include "core/stanza_impl.h"

#define PRE_AUTH_DEPTH 8
#define PRE_AUTH_ELEMENTS 32
#define PRE_AUTH_ATTRIBUTES 16

static __thread struct list streams;
static __thread struct xml_limits before_auth, after_auth;

static const struct xml_events xml_events;

/* Life ----------------------------------------------------------------------*/

static void
streams_add(struct stream *s)
{
	const struct limits_conf *conf = &conf_now()->limits;

	if (streams.next == NULL)
		list_init(&streams);
	list_add(&streams, &s->node);
	before_auth = (struct xml_limits){
		.bytes = (uint32_t)conf->pre_auth_stanza_size,
		.depth = PRE_AUTH_DEPTH,
		.elements = PRE_AUTH_ELEMENTS,
		.attributes = PRE_AUTH_ATTRIBUTES,
	};
	after_auth = (struct xml_limits){
		.bytes = (uint32_t)conf->stanza_size,
		.depth = STANZA_DEPTH,
		.elements = STANZA_ELEMENTS,
		.attributes = STANZA_ATTRIBUTES,
	};
}

static void
on_deadline(struct timer *t)
{
	struct nego *n = CONTAINER_OF(t, struct nego, deadline);

	stream_fail(
	    n->stream, EL_SE_CONNECTION_TIMEOUT, "logging in took too long");
}

static void
nego_start(struct stream *s)
{
	struct nego *n = (struct nego *)xzalloc(sizeof(*n));
	const struct conn *c = s->transport->ops->conn(s->transport);
	uint64_t ms = conf_now()->limits.negotiation_ms;

	/* One deadline for all, if it has been nothing else before. */
	if (c != NULL && !s->transport->ops->is_framed)
		ms -= MIN(ms, loop_now() - conn_since(c));
	n->stream = s;
	n->due = loop_now() + ms;
	timer_start(&n->deadline, ms, on_deadline);
	s->nego = n;
}

struct stream *
stream_new(struct transport *t, const struct stream_policy *policy)
{
	struct stream *s = (struct stream *)xzalloc(sizeof(*s));

	s->transport = t;
	s->policy = policy;
	t->stream = s;
	streams_add(s);
	xml_stream_init(&s->xml, &xml_events, s, &before_auth);
	s->xml.is_framed = t->ops->is_framed;
	addr_ip(t->ops->peer(t), s->ip);
	s->log.source = "c2s";
	log_field(&s->log, "ip", str_c(s->ip));
	s->heard = loop_now();
	nego_start(s);
	t->ops->set_rate(t, (uint32_t)conf_now()->limits.c2s_rate);
	metric_add(METRIC_CONNECTIONS, 1);
	log_debug(&s->log, "connected");
	return s;
}

static void
stream_free(struct stream *s)
{
	xml_stream_fini(&s->xml);
	buf_fini(&s->pending);
	xfree(s);
}

void
stream_pin(struct stream *s)
{
	s->holds++;
}

void
stream_unpin(struct stream *s)
{
	must(s->holds > 0);
	if (--s->holds == 0 && s->transport == NULL)
		stream_free(s);
}

void
stream_hold(struct stream *s)
{
	stream_pin(s);
	stream_wait(s);
}

void
stream_release(struct stream *s)
{
	stream_go_on(s);
	stream_unpin(s);
}

void
stream_gone(struct stream *s, int err)
{
	struct session *session = s->session;

	s->transport->stream = NULL;
	s->transport = NULL;
	s->is_closing = true;
	s->session = NULL;
	list_del(&s->node);
	nego_free(&s->nego);
	if (session != NULL)
		session_link_lost(session, err < 0 ? err_text(err) : NULL);
	else
		log_debug(&s->log, "disconnected");
	log_field(&s->log, "jid", STR_NONE);
	stream_pin(s);
	stream_unpin(s);
}

void
stream_adopt(struct stream *s, struct session *session)
{
	s->session = session;
	nego_free(&s->nego);
	log_field(&s->log, "jid", session->jid.full);
}

/* Moving to the account's home --------------------------------------------*/

static void
stream_arrived(void *ctx)
{
	struct stream *s = (struct stream *)ctx;
	uint64_t now = loop_now(), due = s->nego->due;

	s->is_moving = false;
	streams_add(s);
	s->xml.limits = &after_auth;
	timer_start(&s->nego->deadline, due > now ? due - now : 0, on_deadline);
	stream_pin(s);
	stream_load_account(s);
	if (s->nego != NULL && s->nego->login == NULL)
		stream_go_on(s);
	stream_unpin(s);
}

/*
 * The client has shown who it is. It begins a new stream, which is answered by
 * the home of the account, so that from now on one thread has it all.
 */
static void
stream_go_home(struct stream *s)
{
	struct loop *home = account_home(s->nego->user.bare);
	struct transport *t = s->transport;

	s->has_succeeded = false;
	if (s->nego->login != NULL) {
		/* With SASL2 it goes on, once it has its answer. */
		s->is_waiting = true;
	} else {
		s->has_header = false;
		xml_stream_restart(&s->xml);
	}
	if (home == loop_self()) {
		s->xml.limits = &after_auth;
		stream_load_account(s);
		return;
	}
	if (!t->ops->can_move) {
		log_error(&s->log, "this transport cannot reach its account");
		stream_fail(s, EL_SE_INTERNAL_SERVER_ERROR, NULL);
		return;
	}
	timer_stop(&s->nego->deadline);
	list_del(&s->node);
	s->is_waiting = s->is_moving = true;
	t->ops->move(t, home, stream_arrived, s);
}

/* Input -------------------------------------------------------------------*/

static void
stream_fail_xml(struct stream *s, enum xml_error err)
{
	static const struct {
		enum qname condition;
		const char *text;
	} faults[] = {
		[XML_NOT_WELL_FORMED] = { EL_SE_NOT_WELL_FORMED, NULL },
		[XML_BAD_PREFIX] = { EL_SE_BAD_NAMESPACE_PREFIX, NULL },
		[XML_RESTRICTED] = { EL_SE_RESTRICTED_XML, NULL },
		[XML_TOO_BIG] = { EL_SE_POLICY_VIOLATION,
		    "the stanza is too big" },
		[XML_TOO_DEEP] = { EL_SE_POLICY_VIOLATION,
		    "too many or too deep elements or attributes" },
		[XML_BAD_ENCODING] = { EL_SE_UNSUPPORTED_ENCODING, NULL },
		[XML_BAD_CONTENT] = { EL_SE_BAD_FORMAT, NULL },
	};

	stream_fail_with(s, faults[err].condition, faults[err].text,
	    err == XML_TOO_BIG
		? STR("<stanza-too-big xmlns='urn:xmpp:errors'/>")
		: STR_NONE);
}

static void
stream_feed(struct stream *s, const char *p, size_t n)
{
	enum xml_error err = xml_stream_feed(&s->xml, p, n);

	if (err != XML_FINE && !s->is_closing)
		stream_fail_xml(s, err);
}

static void
stream_put_by(struct stream *s, const char *p, size_t n)
{
	const struct limits_conf *conf = &conf_now()->limits;
	size_t max = s->is_authenticated ? conf->stanza_size
					 : conf->pre_auth_stanza_size;

	if (s->pending.n + n > max && !s->is_moving) {
		stream_fail(s, EL_SE_POLICY_VIOLATION, "too much at once");
		return;
	}
	buf_add(&s->pending, p, n);
	if (!s->is_moving)
		s->transport->ops->pause(s->transport);
}

/* How far the next tag goes: nothing is complete before its end. */
static size_t
piece_len(const char *p, size_t n)
{
	const char *end = (const char *)memchr(p, '>', n);

	return end != NULL ? (size_t)(end - p) + 1 : n;
}

/* Reading again what is kept has its price too. */
#define KEPT_MAX ((size_t)16384)

/*
 * Before login what there is of a stanza is kept as it came, and read again
 * from its beginning when more of its tags have come: it may be long in coming,
 * and a parser that waits for the rest takes many times its size.
 */
static bool
may_keep(const struct stream *s, size_t n)
{
	return s->nego != NULL && !s->is_authenticated && !s->is_closing &&
	       !s->is_waiting && !s->xml.is_framed &&
	       n <= MIN(s->xml.limits->bytes, KEPT_MAX);
}

static void
nego_keep(struct stream *s, const char *p, size_t n)
{
	xml_stream_rewind(&s->xml);
	buf_add(&s->pending, p, n);
	buf_fit(&s->pending);
}

/* Does it begin with a tag, or go on with a stanza that did? */
static bool
is_of_stanza(const struct stream *s, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t'))
		i++;
	return xml_stream_is_midway(&s->xml) || (i < n && p[i] == '<');
}

static void
nego_read(struct stream *s, const char *p, size_t n)
{
	const char *stanza = p, *end = p + n;

	for (size_t k; p < end && !s->is_closing; p += k) {
		k = (size_t)(end - p);
		if (s->is_waiting) {
			stream_put_by(s, p, k);
			break;
		}
		/* What follows <starttls/> may have been slipped in. */
		if (s->is_starting_tls) {
			log_notice(&s->log, "sent text behind <starttls/>");
			stream_abandon(s);
			break;
		}
		if (s->nego != NULL && !s->xml.is_framed)
			k = piece_len(p, k);
		if (p[k - 1] != '>' && is_of_stanza(s, p, k) &&
		    may_keep(s, (size_t)(end - stanza)))
			break;
		stream_feed(s, p, k);
		if (!xml_stream_is_midway(&s->xml))
			stanza = p + k;
		if (s->has_succeeded && !s->is_closing)
			stream_go_home(s);
	}
	if (stanza < end && may_keep(s, (size_t)(end - stanza)))
		nego_keep(s, stanza, (size_t)(end - stanza));
}

static void
nego_input(struct stream *s, const char *p, size_t n)
{
	struct buf whole = { 0 };
	bool is_more = s->pending.n > 0 && memchr(p, '>', n) == NULL &&
		       may_keep(s, s->pending.n + n);

	if (is_more) {
		nego_keep(s, p, n);
		return;
	}
	if (!s->is_waiting) {
		whole = s->pending;
		s->pending = (struct buf){ 0 };
	}
	if (whole.n > 0) {
		buf_add(&whole, p, n);
		p = whole.p;
		n = whole.n;
	}
	s->is_busy = true;
	nego_read(s, p, n);
	s->is_busy = false;
	buf_fini(&whole);
}

void
stream_input(struct stream *s, const char *p, size_t n)
{
	if (s->is_closing)
		return;
	s->heard = loop_now();
	if (s->nego != NULL || s->is_waiting)
		nego_input(s, p, n);
	else
		stream_feed(s, p, n);
}

void
stream_wait(struct stream *s)
{
	s->is_waiting = true;
}

void
stream_go_on(struct stream *s)
{
	struct buf pending;

	s->is_waiting = false;
	if (s->is_busy || s->is_closing)
		return;
	if (s->has_succeeded)
		stream_go_home(s);
	pending = s->pending;
	if (s->is_waiting || s->is_closing || pending.n == 0)
		return;
	s->pending = (struct buf){ 0 };
	s->transport->ops->resume(s->transport);
	nego_input(s, pending.p, pending.n);
	buf_fini(&pending);
}

void
stream_secured(struct stream *s)
{
	if (s->is_closing || !s->is_starting_tls)
		return;
	s->is_starting_tls = false;
	s->has_header = false;
	xml_stream_restart(&s->xml);
	log_debug(&s->log, "TLS is up");
}

void
stream_drained(struct stream *s)
{
	if (s->session != NULL)
		session_drained(s->session);
}

uint32_t
stream_sent(const struct stream *s)
{
	return s->session != NULL ? session_sent(s->session) : 0;
}

void
stream_confirmed(struct stream *s, uint32_t sent)
{
	if (s->session != NULL)
		session_confirmed(s->session, sent);
}

static void
on_open(void *ctx, struct elem *root)
{
	struct stream *s = (struct stream *)ctx;

	if (!s->is_closing)
		stream_on_open(s, root);
}

static bool
is_stanza(qname_t name)
{
	return name == EL_MESSAGE || name == EL_PRESENCE || name == EL_IQ;
}

static void
stanza_before_auth(struct stream *s, struct elem *e)
{
	struct stanza *st;
	enum qname condition;

	if (elem_name(e) == EL_IQ && !stream_needs_tls(s) &&
	    s->nego->sasl == NULL) {
		int err = stanza_of(e, &st, &condition);

		if (err == 0 && hook_stream_iq(s, st) == STANZA_DONE)
			return;
		stanza_free(&st);
	} else {
		struct arena *a = elem_arena(e);

		arena_free(&a);
	}
	stream_fail(s, EL_SE_NOT_AUTHORIZED, "log in first");
}

static void
element_before_auth(struct stream *s, struct elem *e)
{
	struct arena *a = elem_arena(e);

	if (s->nego->login != NULL) {
		stream_on_login_elem(s, e);
		arena_free(&a);
		return;
	}
	switch (elem_name(e)) {
	case EL_STARTTLS:
		stream_on_starttls(s);
		break;
	case EL_AUTH:
		stream_on_auth(s, e);
		break;
	case EL_RESPONSE:
		stream_on_response(s, e);
		break;
	case EL_ABORT:
		stream_on_abort(s);
		break;
	case EL_SASL2_AUTHENTICATE:
		/* It is kept for what it asks beside. */
		stream_on_authenticate(s, e);
		return;
	default:
		stanza_before_auth(s, e);
		return;
	}
	arena_free(&a);
}

/* <open/> and <close/> of a framed stream come as elements. */
static bool
on_frame(struct stream *s, struct elem *e)
{
	struct arena *a = elem_arena(e);

	if (elem_name(e) == EL_FRAME_OPEN && s->nego != NULL)
		stream_on_open(s, e);
	else if (elem_name(e) == EL_FRAME_CLOSE)
		xml_events.close(s);
	else if (!s->has_header)
		stream_fail(s, EL_SE_INVALID_XML, "a stream begins by <open/>");
	else
		return false;
	arena_free(&a);
	return true;
}

/* What the client complains of ends the stream (RFC 6120 section 4.9.1.1). */
static void
on_stream_elem(struct stream *s, struct elem *e)
{
	struct arena *a = elem_arena(e);

	if (elem_name(e) == EL_STREAM_ERROR) {
		log_info(&s->log, "the client fails the stream: " STR_FMT,
		    STR_ARG(elem_local(elem_child_in(e, NS_STREAM_ERROR))));
		xml_events.close(s);
	} else {
		stream_fail(s, EL_SE_BAD_FORMAT, NULL);
	}
	arena_free(&a);
}

static void
on_stanza(void *ctx, struct elem *e)
{
	struct stream *s = (struct stream *)ctx;
	struct arena *a = elem_arena(e);

	if (s->is_closing)
		arena_free(&a);
	else if (s->xml.is_framed && on_frame(s, e))
		return;
	else if (elem_ns(e) == NS_STREAM)
		on_stream_elem(s, e);
	else if (s->session != NULL && is_stanza(elem_name(e)))
		session_on_stanza(s->session, e);
	else if (s->session != NULL)
		session_on_nonza(s->session, e);
	else if (s->is_authenticated)
		stream_on_unbound(s, e);
	else
		element_before_auth(s, e);
}

/* Output ------------------------------------------------------------------*/

void
stream_send_text(struct stream *s, struct str text)
{
	struct transport *t = s->transport;

	if (t == NULL || s->is_closing)
		return;
	buf_add_str(t->ops->begin(t), text);
	t->ops->end(t);
}

void
stream_send_elem(struct stream *s, const struct elem *e)
{
	struct transport *t = s->transport;

	if (t == NULL || s->is_closing)
		return;
	xml_write(t->ops->begin(t), e, stream_scope(s));
	t->ops->end(t);
}

void
stream_send_stanza(struct stream *s, const struct stanza *st)
{
	struct transport *t = s->transport;

	if (t == NULL || s->is_closing)
		return;
	stanza_write(t->ops->begin(t), st, stream_scope(s));
	t->ops->end(t);
}

/* Bytes up to where an xmlns='' belongs, or 0 when they have one. */
static size_t
undeclared_head(struct str xml)
{
	size_t i = 1;

	while (
	    i < xml.n && xml.p[i] != ' ' && xml.p[i] != '>' && xml.p[i] != '/')
		i++;
	return str_has_prefix(str_skip(xml, i), STR(" xmlns=")) ? 0 : i;
}

void
stream_send_wire(struct stream *s, struct wire *w)
{
	struct transport *t = s->transport;
	size_t head;

	if (t == NULL || s->is_closing)
		return;
	if (!t->ops->is_framed || (head = undeclared_head(wire_str(w))) == 0) {
		t->ops->send_wire(t, w);
		return;
	}
	buf_add(t->ops->begin(t), w->p, head);
	buf_add_str(t->ops->begin(t), STR(" xmlns='jabber:client'"));
	buf_add(t->ops->begin(t), w->p + head, w->n - head);
	t->ops->end(t);
}

/* The end -----------------------------------------------------------------*/

static void
write_error(struct stream *s, struct buf *out, enum qname condition,
    const char *text, struct str specific)
{
	static const struct str ns =
	    STR_INIT(" xmlns='urn:ietf:params:xml:ns:xmpp-streams'");

	buf_add_str(out, STR("<stream:error"));
	if (s->xml.is_framed)
		buf_add_str(out,
		    STR(" xmlns:stream='http://etherx.jabber.org/streams'"));
	buf_add_str(out, STR("><"));
	buf_add_str(out, names_elem_local(condition));
	buf_add_str(out, ns);
	buf_add_str(out, STR("/>"));
	if (text != NULL) {
		buf_add_str(out, STR("<text"));
		buf_add_str(out, ns);
		buf_add_str(out, STR(" xml:lang='en'>"));
		xml_escape(out, str_c(text));
		buf_add_str(out, STR("</text>"));
	}
	buf_add_str(out, specific);
	buf_add_str(out, STR("</stream:error>"));
}

/* Says goodbye and closes; the session, if any, is no longer its own. */
static void
stream_finish(struct stream *s)
{
	struct transport *t = s->transport;

	if (s->has_header)
		stream_send_text(
		    s, s->xml.is_framed
			   ? STR("<close xmlns='urn:ietf:params:xml:ns:"
				 "xmpp-framing'/>")
			   : STR("</stream:stream>"));
	s->is_closing = true;
	xml_stream_stop(&s->xml);
	if (s->nego != NULL) {
		timer_stop(&s->nego->deadline);
		timer_stop(&s->nego->delay);
		sasl_free(&s->nego->sasl);
	}
	log_field(&s->log, "jid", STR_NONE);
	t->ops->close(t);
}

void
stream_fail_with(struct stream *s, enum qname condition, const char *text,
    struct str specific)
{
	struct transport *t = s->transport;
	struct session *session = s->session;

	if (s->is_closing || t == NULL)
		return;
	s->session = NULL;
	if (condition != EL_NONE) {
		log_info(&s->log, "stream error: " STR_FMT "%s%s",
		    STR_ARG(names_elem_local(condition)),
		    text != NULL ? ": " : "", text != NULL ? text : "");
		metric_add(METRIC_STREAM_ERRORS, 1);
		if (!s->has_header)
			stream_send_header(s, STR_NONE, STR_NONE);
		write_error(s, t->ops->begin(t), condition, text, specific);
		t->ops->end(t);
	}
	stream_finish(s);
	if (session != NULL)
		session_stream_ended(session,
		    condition != EL_NONE ? names_elem_local(condition).p
					 : "closed");
}

void
stream_fail(struct stream *s, enum qname condition, const char *text)
{
	stream_fail_with(s, condition, text, STR_NONE);
}

void
stream_abandon(struct stream *s)
{
	if (s->is_closing || s->transport == NULL)
		return;
	s->has_header = false;
	stream_finish(s);
}

/* The client has closed its stream: ours is closed too. */
static void
on_close(void *ctx)
{
	struct stream *s = (struct stream *)ctx;
	struct session *session = s->session;

	if (s->is_closing)
		return;
	if (session != NULL)
		session_last_answer(session);
	s->session = NULL;
	stream_finish(s);
	if (session != NULL)
		session_stream_ended(session, "closed by the client");
}

static const struct xml_events xml_events = {
	.open = on_open,
	.stanza = on_stanza,
	.close = on_close,
};

void
stream_shutdown_all(void)
{
	struct stream *s;

	if (streams.next == NULL)
		return;
	LIST_EACH(s, &streams, struct stream, node)
	stream_fail(s, EL_SE_SYSTEM_SHUTDOWN, NULL);
	sessions_shutdown();
	penalty_thread_done();
	handshakes_thread_done();
	auth_thread_done();
}

/* What is known of it -----------------------------------------------------*/

void
stream_each(void (*fn)(void *ctx, struct stream *s), void *ctx)
{
	struct stream *s;

	if (streams.next == NULL)
		return;
	LIST_EACH(s, &streams, struct stream, node)
	fn(ctx, s);
}

struct host *
stream_host(const struct stream *s)
{
	return s->host;
}

bool
stream_is_tls(const struct stream *s)
{
	return s->transport != NULL && s->transport->ops->is_tls(s->transport);
}

bool
stream_is_authenticated(const struct stream *s)
{
	return s->is_authenticated;
}

struct session *
stream_session(const struct stream *s)
{
	return s->session;
}

const struct log_ctx *
stream_log(const struct stream *s)
{
	return &s->log;
}

const struct addr *
stream_peer(const struct stream *s)
{
	static const struct addr none;

	return s->transport != NULL ? s->transport->ops->peer(s->transport)
				    : &none;
}
