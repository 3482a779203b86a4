/* SPDX-License-Identifier: MIT */
/*
 * An outgoing stream: to another server's domain, for one of ours. It is tried
 * at one address after the other until one lets us in.
 */
#include "base/err.h"
#include "core/conf.h"
#include "core/metrics.h"
#include "core/s2s_impl.h"
#include "core/stanza_impl.h"

#include <stdarg.h>
#include <stdio.h>

#define SM_ID_MAX 1000

struct s2s_out {
	struct s2s_stream s;
	const struct out_user *user; /* NULL: nobody cares any more */
	void *ctx;
	struct dial *dial;
	struct timer deadline;		  /* for all until it is up */
	struct str verify_id, verify_key; /* on the heap, or none */
	bool is_certified;		  /* the certificate is good */
	bool is_authenticated;
	bool has_tried; /* to get in, at this address */
	bool has_asked; /* by dialback, likewise */
	bool has_bidi;
	bool offers_sm;
	bool asks_resume;  /* <resume/> is out */
	bool may_resend;   /* the peer told what it has of the old stream's */
	bool is_ready;	   /* SM is settled */
	struct s2s_sm *sm; /* to be taken up; the link's */
	char why[300];	   /* it failed last, for whoever waits; or "" */
};

static const struct s2s_ops out_ops;

/* Says why it goes no further: to the log, and to whoever sent stanzas. */
static void PRINTF_LIKE(2, 3)
    out_because(struct s2s_out *o, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(o->why, sizeof(o->why), fmt, args);
	va_end(args);
	log_notice(&o->s.log, "%s", o->why);
	if (o->user != NULL && o->user->step != NULL)
		o->user->step(o->ctx, o->why);
}

/* For who only looks: what comes of each step. */
static void PRINTF_LIKE(2, 3) out_step(struct s2s_out *o, const char *fmt, ...)
{
	char text[400];
	va_list args;

	if (o->user == NULL || o->user->step == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	o->user->step(o->ctx, text);
}

static void
out_certificate(struct s2s_out *o)
{
	char text[400];

	if (o->user == NULL || o->user->step == NULL)
		return;
	conn_tls_describe_peer(o->s.conn, text, sizeof(text));
	out_step(o, "certificate: %s", text);
}

/* The end ------------------------------------------------------------------ */

static void
out_free(struct s2s_out *o)
{
	timer_stop(&o->deadline);
	dial_free(&o->dial);
	s2s_stream_fini(&o->s);
	str_free(&o->verify_id);
	str_free(&o->verify_key);
	xfree(o);
}

/* Its memory goes with its connection, if it has one. */
static void
out_down(struct s2s_out *o, enum qname condition)
{
	const struct out_user *user = o->user;

	o->user = NULL;
	timer_stop(&o->deadline);
	dial_free(&o->dial);
	if (o->s.sm != NULL)
		s2s_sm_detach(o->s.sm);
	if (user != NULL)
		user->down(
		    o->ctx, condition, o->why[0] != '\0' ? o->why : NULL);
	if (o->s.conn == NULL)
		out_free(o);
	else
		s2s_fail(&o->s, EL_NONE, NULL);
}

static void
on_gone(struct s2s_stream *s, int err)
{
	struct s2s_out *o = CONTAINER_OF(s, struct s2s_out, s);

	timer_stop(&s->timer);
	xml_stream_fini(&s->xml);
	if (o->user != NULL && !s->is_up) {
		log_debug(&s->log, "no stream at this address: %s",
		    err < 0 ? err_text(err) : "closed");
		dial_next(o->dial);
		return;
	}
	if (s->is_up)
		log_info(&s->log, "outgoing stream ended");
	out_down(o, EL_REMOTE_SERVER_TIMEOUT);
}

static void
on_deadline(struct timer *t)
{
	struct s2s_out *o = CONTAINER_OF(t, struct s2s_out, deadline);

	if (o->why[0] == '\0')
		out_because(o, "no stream could be had in time");
	out_down(o, EL_REMOTE_SERVER_TIMEOUT);
}

void
out_forget(struct s2s_out **out)
{
	struct s2s_out *o = *out;

	*out = NULL;
	if (o == NULL)
		return;
	o->user = NULL;
	out_down(o, EL_NONE);
}

/* Up ----------------------------------------------------------------------- */

static void
on_idle(struct timer *t)
{
	struct s2s_out *o = CONTAINER_OF(t, struct s2s_out, s.timer);
	uint64_t idle = loop_now() - o->s.heard;
	uint64_t max = s2s_idle_ms(&o->s);

	if (idle >= max) {
		log_info(&o->s.log, "idle: closed");
		s2s_fail(&o->s, EL_NONE, NULL);
		return;
	}
	timer_start(&o->s.timer, max - idle, on_idle);
}

static void
out_up(struct s2s_out *o)
{
	timer_stop(&o->deadline);
	dial_free(&o->dial);
	o->why[0] = '\0';
	timer_start(&o->s.timer, s2s_idle_ms(&o->s), on_idle);
	metric_add(METRIC_S2S_OUT, 1);
	log_info(&o->s.log, "outgoing stream is up (%s, %s)", o->s.how,
	    conn_is_tls(o->s.conn) ? conn_tls_version(o->s.conn)
				   : "without TLS");
	if (o->user != NULL)
		o->user->up(o->ctx);
}

/* Authenticated; what is left is stream management, if they have it. */
static void
out_in(struct s2s_out *o, const char *how)
{
	struct s2s_stream *s = &o->s;

	s->how = how;
	s2s_stream_up(s);
	out_step(o, "logged in by %s", how);
	if (!o->offers_sm || o->user->is_probe) {
		o->is_ready = true;
		out_up(o);
		return;
	}
	o->asks_resume = o->sm != NULL && !str_is_none(s2s_sm_id(o->sm));
	if (o->asks_resume)
		s2s_send_sm(s, EL_SM_RESUME, s2s_sm_id(o->sm),
		    s2s_sm_handled(o->sm), false);
	else
		s2s_send_sm(s, EL_SM_ENABLE, STR_NONE, -1, true);
}

static void
on_enabled(struct s2s_out *o, const struct elem *e)
{
	struct s2s_stream *s = &o->s;
	struct str resume = elem_attr(e, AT_RESUME), id = elem_attr(e, AT_ID);
	bool can = str_is(resume, "true") || str_is(resume, "1");

	if (!s->is_up || o->is_ready || o->asks_resume)
		return;
	o->is_ready = true;
	s2s_sm_new(s, false);
	if (can && id.n > 0 && id.n <= SM_ID_MAX)
		s2s_sm_set_id(s->sm, id);
	out_up(o);
}

static void
on_resumed(struct s2s_out *o, const struct elem *e)
{
	struct s2s_stream *s = &o->s;
	uint64_t h;

	if (o->is_ready || !o->asks_resume)
		return;
	o->is_ready = true;
	if (!str_to_u64(elem_attr(e, AT_H), &h) || h > UINT32_MAX ||
	    !s2s_sm_attach(o->sm, s, (uint32_t)h)) {
		s2s_fail(s, EL_SE_UNDEFINED_CONDITION,
		    "more stanzas are acknowledged than were sent");
		return;
	}
	log_info(&s->log, "resumed: %zu stanzas are sent again",
	    s2s_sm_count(s->sm));
	s2s_sm_resend(s->sm);
	out_up(o);
}

/*
 * It can't be resumed: what the peer says that it had is done with, and with a
 * count we may send the rest again. Without SM it goes on without.
 */
static void
on_sm_failed(struct s2s_out *o, const struct elem *e)
{
	uint64_t h;

	if (!o->s.is_up || o->is_ready)
		return;
	if (!o->asks_resume) {
		o->is_ready = true;
		out_up(o);
		return;
	}
	o->asks_resume = false;
	s2s_sm_set_id(o->sm, STR_NONE);
	o->may_resend = str_to_u64(elem_attr(e, AT_H), &h) && h <= UINT32_MAX &&
			s2s_sm_acked(o->sm, (uint32_t)h);
	s2s_send_sm(&o->s, EL_SM_ENABLE, STR_NONE, -1, true);
}

struct s2s_stream *
out_stream(struct s2s_out *o)
{
	return &o->s;
}

bool
out_has_bidi(const struct s2s_out *o)
{
	return o->has_bidi;
}

bool
out_may_resend(const struct s2s_out *o)
{
	return o->may_resend;
}

/* Getting in --------------------------------------------------------------- */

static void
send_external(struct s2s_out *o)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_AUTH);

	elem_set(e, AT_MECHANISM, STR("EXTERNAL"));
	elem_set_text(e, str_base64(a, o->s.local));
	s2s_send_elem(&o->s, e);
	o->has_tried = true;
	arena_free(&a);
}

static void
send_key(struct s2s_out *o)
{
	struct arena *a = arena_new(0);
	struct s2s_stream *s = &o->s;

	o->has_asked = true;
	s2s_send_dialback(s, EL_DB_RESULT, s->local, s->remote, STR_NONE,
	    STR_NONE,
	    s2s_key(a, s2s_secret(), s->remote, s->local, str_c(s->id)));
	arena_free(&a);
}

static bool
offers_external(const struct elem *features)
{
	const struct elem *m =
	    elem_child(elem_child(features, EL_MECHANISMS), EL_MECHANISM);

	while (m != NULL && !str_is(elem_text(m), "EXTERNAL"))
		m = elem_next(m, EL_MECHANISM);
	return m != NULL;
}

static void
send_bidi(struct s2s_out *o)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_BIDI);

	s2s_add_limits(e, true);
	s2s_send_elem(&o->s, e);
	o->has_bidi = true;
	arena_free(&a);
}

static void
send_starttls(struct s2s_out *o)
{
	struct arena *a = arena_new(0);

	s2s_send_elem(&o->s, elem_new(a, EL_STARTTLS));
	arena_free(&a);
}

static void
step_features(struct s2s_out *o, const struct elem *features)
{
	static const struct {
		enum qname name;
		const char *text;
	} rows[] = {
		{ EL_MECHANISMS, " SASL" },
		{ EL_DB_FEATURE, " dialback" },
		{ EL_BIDI_FEATURE, " bidirectional (XEP-0288)" },
		{ EL_SM, " stream management (XEP-0198)" },
		{ EL_STREAM_LIMITS, " limits (XEP-0478)" },
	};
	char text[300] = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (elem_child(features, rows[i].name) != NULL)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "%s%s", n > 0 ? "," : "", rows[i].text);
	out_step(o, "features:%s", n > 0 ? text : " none");
}

/* Over TLS, or with a domain with which none is needed. */
static void
features_safe(struct s2s_out *o, const struct elem *features)
{
	struct s2s_stream *s = &o->s;
	bool is_certain = conn_is_tls(s->conn) && offers_external(features);

	if (o->user == NULL)
		return;
	if (!str_is_none(o->verify_id)) {
		o->has_asked = true;
		s2s_send_dialback(s, EL_DB_VERIFY, s->local, s->remote,
		    o->verify_id, STR_NONE, o->verify_key);
		return;
	}
	o->offers_sm = elem_child(features, EL_SM) != NULL;
	step_features(o, features);
	if (o->is_authenticated) {
		s2s_read_limits(s, features);
		out_in(o, "EXTERNAL");
		return;
	}
	if (!o->has_bidi && elem_child(features, EL_BIDI_FEATURE) != NULL &&
	    !o->user->is_probe)
		send_bidi(o);
	out_step(o,
	    is_certain ? "login: EXTERNAL is offered: it takes our certificate"
		       : "login: EXTERNAL is not offered: it does not take our "
			 "certificate, or wants none; by dialback");
	if (is_certain && !o->has_tried)
		send_external(o);
	else
		send_key(o);
}

/* Without TLS nothing is said but that we want it. */
static void
on_features(struct s2s_out *o, const struct elem *features)
{
	struct s2s_stream *s = &o->s;

	if (conn_is_tls(s->conn)) {
		features_safe(o, features);
		return;
	}
	if (elem_child(features, EL_STARTTLS) != NULL) {
		send_starttls(o);
		return;
	}
	if (s2s_terms(s->remote) == S2S_TERMS_PLAIN) {
		features_safe(o, features);
		return;
	}
	out_because(o, "the other server offers no TLS, which is required");
	s2s_fail(s, EL_SE_POLICY_VIOLATION, "TLS is required");
}

static void
start_tls(struct s2s_out *o, bool is_direct)
{
	struct s2s_stream *s = &o->s;

	s->is_starting_tls = true;
	conn_start_tls_client(
	    s->conn, dial_name(o->dial), s->local, TLS_S2S, is_direct);
}

static void
on_secured(struct s2s_stream *s)
{
	struct s2s_out *o = CONTAINER_OF(s, struct s2s_out, s);
	const char *why = NULL;
	int err;

	err = conn_tls_verify(s->conn, s->remote, &why);
	out_step(o, "TLS: %s, %s", conn_tls_version(s->conn),
	    conn_tls_cipher(s->conn));
	out_certificate(o);
	o->is_certified = err == 0;
	if (!o->is_certified) {
		out_because(o,
		    "the certificate of the other server does not vouch "
		    "for " STR_FMT ": %s",
		    STR_ARG(s->remote),
		    err == ERR_ABSENT ? "it has none" : why);
		if (s2s_terms(s->remote) == S2S_TERMS_CERTIFICATE) {
			s2s_fail(s, EL_NONE, NULL);
			return;
		}
	} else {
		out_step(o, "the certificate vouches for the domain");
	}
	s2s_send_header(s, false);
}

/*
 * An answer counts once it was asked for, and that is only done over TLS, if
 * that is required: else whoever is in between could say it in the clear.
 */
static void
on_verified(struct s2s_out *o, const struct elem *e)
{
	const struct out_user *user = o->user;
	bool is_valid = str_eq(elem_attr(e, AT_ID), o->verify_id) &&
			str_eq(elem_attr(e, AT_FROM), o->s.remote) &&
			str_is(elem_attr(e, AT_TYPE), "valid");

	if (str_is_none(o->verify_id) || !o->has_asked || user == NULL)
		return;
	o->user = NULL;
	user->verified(o->ctx, is_valid);
	out_down(o, EL_NONE);
}

static void
on_result(struct s2s_out *o, const struct elem *e)
{
	if (!str_is_none(o->verify_id) || !o->has_asked || o->s.is_up)
		return;
	if (str_is(elem_attr(e, AT_TYPE), "valid") &&
	    str_eq(elem_attr(e, AT_FROM), o->s.remote) && o->user != NULL) {
		out_in(o, "dialback");
		return;
	}
	out_because(o, "the other server does not take our key of dialback");
	s2s_fail(&o->s, EL_NONE, NULL);
}

static bool
speaks_for(struct s2s_stream *s, struct str domain)
{
	return str_eq(s->remote, domain);
}

static void
on_element(struct s2s_stream *s, struct elem *e)
{
	struct s2s_out *o = CONTAINER_OF(s, struct s2s_out, s);
	struct arena *a = elem_arena(e);

	switch (elem_name(e)) {
	case EL_FEATURES:
		if (!s->is_up)
			on_features(o, e);
		break;
	case EL_TLS_PROCEED:
		if (conn_is_tls(s->conn))
			break;
		s2s_stream_restart(s);
		start_tls(o, false);
		break;
	case EL_SUCCESS:
		if (!o->has_tried || o->is_authenticated)
			break;
		o->is_authenticated = true;
		s2s_stream_restart(s);
		s2s_send_header(s, false);
		break;
	case EL_FAILURE:
		if (!o->has_tried || o->is_authenticated)
			break;
		out_because(o,
		    "the other server does not take our "
		    "certificate: " STR_FMT,
		    STR_ARG(elem_local(elem_child_in(e, NS_SASL))));
		send_key(o);
		break;
	case EL_SM_ENABLED:
		on_enabled(o, e);
		break;
	case EL_SM_RESUMED:
		on_resumed(o, e);
		break;
	case EL_SM_FAILED:
		on_sm_failed(o, e);
		break;
	case EL_SM_R:
	case EL_SM_A:
		if (!s2s_sm_on_nonza(s, e))
			s2s_fail(s, EL_SE_UNSUPPORTED_STANZA_TYPE, NULL);
		break;
	case EL_MESSAGE:
	case EL_PRESENCE:
	case EL_IQ:
		if (!o->has_bidi) {
			s2s_fail(s, EL_SE_NOT_AUTHORIZED, NULL);
			break;
		}
		s2s_take(s, e, speaks_for, s->local);
		return;
	case EL_TLS_FAILURE:
		out_because(o, "the other server fails to begin TLS");
		s2s_fail(s, EL_NONE, NULL);
		break;
	case EL_DB_RESULT:
		on_result(o, e);
		break;
	case EL_DB_VERIFY:
		on_verified(o, e);
		break;
	default:
		/* Stanzas come on streams of the other side's. */
		s2s_fail(s, EL_SE_NOT_AUTHORIZED, NULL);
	}
	arena_free(&a);
}

static void
on_open(struct s2s_stream *s, const struct elem *root)
{
	enum qname condition = s2s_check_header(root);
	struct str id = elem_attr(root, AT_ID);

	if (condition == EL_NONE && (id.n == 0 || id.n > S2S_ID_MAX))
		condition = EL_SE_BAD_FORMAT;
	if (condition != EL_NONE) {
		s2s_fail(s, condition, NULL);
		return;
	}
	memcpy(s->id, id.p, id.n);
	s->id[id.n] = '\0';
}

static void
on_close_all(struct s2s_stream *s)
{
	if (s->is_up)
		s2s_fail(s, EL_NONE, NULL);
	else if (!s->is_closing)
		out_down(CONTAINER_OF(s, struct s2s_out, s),
		    EL_REMOTE_SERVER_TIMEOUT);
}

static const struct s2s_ops out_ops = {
	.open = on_open,
	.element = on_element,
	.secured = on_secured,
	.gone = on_gone,
	.close = on_close_all,
};

/* Life --------------------------------------------------------------------- */

static void
on_dial_step(void *ctx, const char *text)
{
	out_step((struct s2s_out *)ctx, "%s", text);
}

static void
on_dialled(void *ctx, struct conn *c, bool is_direct, int err)
{
	struct s2s_out *o = (struct s2s_out *)ctx;

	if (c == NULL) {
		if (err == ERR_ABSENT)
			out_because(
			    o, "the DNS knows no server for this domain");
		else if (o->why[0] == '\0')
			out_because(o, "cannot connect: %s", err_text(err));
		out_down(o, err == ERR_ABSENT ? EL_REMOTE_SERVER_NOT_FOUND
					      : EL_REMOTE_SERVER_TIMEOUT);
		return;
	}
	o->has_tried = o->is_authenticated = o->is_certified = false;
	o->has_bidi = o->offers_sm = o->has_asked = false;
	o->asks_resume = o->is_ready = o->may_resend = false;
	s2s_stream_init(&o->s, c, &out_ops);
	if (is_direct)
		start_tls(o, true);
	else
		s2s_send_header(&o->s, false);
}

static struct s2s_out *
out_new(
    struct str local, struct str remote, const struct out_user *user, void *ctx)
{
	struct s2s_out *o = (struct s2s_out *)xzalloc(sizeof(*o));

	o->s.ops = &out_ops;
	list_add(s2s_streams(S2S_OUT), &o->s.node);
	o->user = user;
	o->ctx = ctx;
	o->s.log.source = "s2s";
	s2s_stream_name(&o->s, local, remote);
	return o;
}

static void
out_begin(struct s2s_out *o)
{
	timer_start(&o->deadline, conf_now()->s2s.timeout_ms, on_deadline);
	o->dial = dial_start(o->s.remote, on_dialled, o, on_dial_step);
}

struct s2s_out *
out_start(struct str local, struct str remote, const struct out_user *user,
    void *ctx, struct s2s_sm *sm)
{
	struct s2s_out *o = out_new(local, remote, user, ctx);

	o->sm = sm;
	out_begin(o);
	return o;
}

struct s2s_out *
out_verify(struct str local, struct str remote, struct str id, struct str key,
    const struct out_user *user, void *ctx)
{
	struct s2s_out *o = out_new(local, remote, user, ctx);

	o->verify_id = str_heap(id);
	o->verify_key = str_heap(key);
	out_begin(o);
	return o;
}
