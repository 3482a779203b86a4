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
};

static _Thread_local struct list outs;

static const struct s2s_ops out_ops;

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
	if (user != NULL)
		user->down(o->ctx, condition);
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

	log_notice(&o->s.log, "connecting took too long");
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
	uint64_t max = conf_now()->s2s.idle_ms;

	if (idle >= max) {
		log_info(&o->s.log, "idle: closed");
		s2s_fail(&o->s, EL_NONE, NULL);
		return;
	}
	timer_start(&o->s.timer, max - idle, on_idle);
}

static void
out_up(struct s2s_out *o, const char *how)
{
	timer_stop(&o->deadline);
	dial_free(&o->dial);
	s2s_stream_up(&o->s);
	timer_start(&o->s.timer, conf_now()->s2s.idle_ms, on_idle);
	metric_add(METRIC_S2S_OUT, 1);
	log_info(&o->s.log, "outgoing stream is up (%s, %s)", how,
	    conn_tls_version(o->s.conn));
	if (o->user != NULL)
		o->user->up(o->ctx);
}

bool
out_write(struct s2s_out *o, const struct stanza *st)
{
	struct conn *c = o->s.conn;

	if (o->s.is_closing || !o->s.is_up ||
	    conn_queued(c) > conf_now()->limits.session_queue)
		return false;
	o->s.heard = loop_now();
	stanza_write(conn_out(c), st, XML_IN_STREAM);
	conn_touched(c);
	metric_add(METRIC_S2S_STANZAS_OUT, 1);
	return true;
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

/* Without TLS nothing is said but that we want it. */
static void
features_plain(struct s2s_out *o, const struct elem *features)
{
	struct arena *a;

	if (elem_child(features, EL_STARTTLS) == NULL) {
		log_notice(&o->s.log, "the other server has no TLS");
		s2s_fail(&o->s, EL_SE_POLICY_VIOLATION, "TLS is required");
		return;
	}
	a = arena_new(0);
	s2s_send_elem(&o->s, elem_new(a, EL_STARTTLS));
	arena_free(&a);
}

static void
on_features(struct s2s_out *o, const struct elem *features)
{
	struct s2s_stream *s = &o->s;

	if (!conn_is_tls(s->conn))
		features_plain(o, features);
	else if (!str_is_none(o->verify_id))
		s2s_send_dialback(s, EL_DB_VERIFY, s->local, s->remote,
		    o->verify_id, STR_NONE, o->verify_key);
	else if (o->is_authenticated)
		out_up(o, "EXTERNAL");
	else if (offers_external(features) && !o->has_tried)
		send_external(o);
	else
		send_key(o);
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
	const char *why = "it has none";

	o->is_certified = conn_tls_verify(s->conn, s->remote, &why) == 0;
	if (!o->is_certified) {
		log_notice(&s->log, "the other server's certificate: %s", why);
		if (conf_now()->s2s.require == S2S_CERTIFICATE) {
			s2s_fail(s, EL_NONE, NULL);
			return;
		}
	}
	s2s_send_header(s, false);
}

static void
on_verified(struct s2s_out *o, const struct elem *e)
{
	const struct out_user *user = o->user;
	bool is_valid = str_eq(elem_attr(e, AT_ID), o->verify_id) &&
			str_eq(elem_attr(e, AT_FROM), o->s.remote) &&
			str_is(elem_attr(e, AT_TYPE), "valid");

	if (str_is_none(o->verify_id) || user == NULL)
		return;
	o->user = NULL;
	user->verified(o->ctx, is_valid);
	out_down(o, EL_NONE);
}

static void
on_result(struct s2s_out *o, const struct elem *e)
{
	if (!str_is_none(o->verify_id) || o->s.is_up)
		return;
	if (str_is(elem_attr(e, AT_TYPE), "valid") &&
	    str_eq(elem_attr(e, AT_FROM), o->s.remote)) {
		out_up(o, "dialback");
		return;
	}
	log_notice(&o->s.log, "the other server does not take our key");
	s2s_fail(&o->s, EL_NONE, NULL);
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
		if (o->has_tried && !o->is_authenticated)
			send_key(o);
		break;
	case EL_TLS_FAILURE:
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

static const struct s2s_ops out_ops = {
	.open = on_open,
	.element = on_element,
	.secured = on_secured,
	.gone = on_gone,
};

/* Life --------------------------------------------------------------------- */

static void
on_dialled(void *ctx, struct conn *c, bool is_direct, int err)
{
	struct s2s_out *o = (struct s2s_out *)ctx;

	if (c == NULL) {
		log_info(&o->s.log, "cannot connect: %s", err_text(err));
		out_down(o, err == ERR_ABSENT ? EL_REMOTE_SERVER_NOT_FOUND
					      : EL_REMOTE_SERVER_TIMEOUT);
		return;
	}
	o->has_tried = o->is_authenticated = o->is_certified = false;
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

	if (outs.next == NULL)
		list_init(&outs);
	list_add(&outs, &o->s.node);
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
	o->dial = dial_start(o->s.remote, on_dialled, o);
}

struct s2s_out *
out_start(
    struct str local, struct str remote, const struct out_user *user, void *ctx)
{
	struct s2s_out *o = out_new(local, remote, user, ctx);

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

size_t
outs_up(void)
{
	struct s2s_out *o;
	size_t n = 0;

	if (outs.next == NULL)
		return 0;
	LIST_EACH(o, &outs, struct s2s_out, s.node)
	{
		n += o->s.is_up && !o->s.is_closing;
	}
	return n;
}

void
outs_close_all(void)
{
	struct s2s_out *o;

	if (outs.next == NULL)
		return;
	LIST_EACH(o, &outs, struct s2s_out, s.node)
	{
		if (o->s.is_up)
			s2s_fail(&o->s, EL_NONE, NULL);
		else if (!o->s.is_closing)
			out_down(o, EL_REMOTE_SERVER_TIMEOUT);
	}
}
