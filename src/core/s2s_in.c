/* SPDX-License-Identifier: MIT */
/*
 * Incoming streams: another server shows by its certificate or by dialback
 * which domains it speaks for, and then sends their stanzas.
 */
#include "base/clock.h"
#include "base/random.h"
#include "core/conf.h"
#include "core/metrics.h"
#include "core/router.h"
#include "core/s2s_impl.h"

#define DOMAINS_MAX 50
/* Of one stream at a time: each costs a connection of ours. */
#define VERIFICATIONS_MAX 10
#define ID_BYTES 16

struct s2s_in {
	struct s2s_stream s;
	unsigned pins;			 /* verifications under way */
	struct str domains[DOMAINS_MAX]; /* it speaks for; on the heap */
	size_t domain_count;
};

/* A key that the originating server is asked about. */
struct verification {
	struct s2s_in *in;
	struct s2s_out *out;
	struct str from, to; /* on the heap */
};

static _Thread_local struct list ins;

/* Life --------------------------------------------------------------------- */

static void
in_settle(struct s2s_in *in)
{
	if (in->pins > 0 || in->s.conn != NULL)
		return;
	for (size_t i = 0; i < in->domain_count; i++)
		str_free(&in->domains[i]);
	s2s_stream_fini(&in->s);
	xfree(in);
}

static void
on_gone(struct s2s_stream *s, int err)
{
	if (s->is_up)
		log_info(&s->log, "incoming stream ended");
	timer_stop(&s->timer);
	in_settle(CONTAINER_OF(s, struct s2s_in, s));
}

static void
on_deadline(struct timer *t)
{
	s2s_fail(CONTAINER_OF(t, struct s2s_stream, timer),
	    EL_SE_CONNECTION_TIMEOUT, "authentication took too long");
}

static void
on_idle(struct timer *t)
{
	struct s2s_stream *s = CONTAINER_OF(t, struct s2s_stream, timer);
	uint64_t idle = loop_now() - s->heard;
	uint64_t max = conf_now()->s2s.idle_ms;

	if (idle >= max)
		s2s_fail(s, EL_NONE, NULL);
	else
		timer_start(t, max - idle, on_idle);
}

/* Domains ------------------------------------------------------------------ */

static bool
in_speaks_for(const struct s2s_in *in, struct str domain)
{
	for (size_t i = 0; i < in->domain_count; i++)
		if (str_eq(in->domains[i], domain))
			return true;
	return false;
}

static void
in_authenticated(struct s2s_in *in, struct str domain, const char *how)
{
	struct s2s_stream *s = &in->s;

	if (in_speaks_for(in, domain))
		return;
	must(in->domain_count < DOMAINS_MAX);
	in->domains[in->domain_count++] = str_heap(domain);
	log_info(&s->log, "incoming stream for " STR_FMT " is up (%s, %s)",
	    STR_ARG(domain), how, conn_tls_version(s->conn));
	if (s->is_up)
		return;
	s2s_stream_up(s);
	timer_start(&s->timer, conf_now()->s2s.idle_ms, on_idle);
	metric_add(METRIC_S2S_IN, 1);
}

/* Header and features ------------------------------------------------------ */

static bool
is_certified(const struct s2s_in *in, struct str domain)
{
	const char *why;

	return !str_is_none(domain) &&
	       conn_tls_verify(in->s.conn, domain, &why) == 0;
}

static bool
allows_dialback(void)
{
	return conf_now()->s2s.require == S2S_DIALBACK;
}

static void
send_features(struct s2s_in *in)
{
	struct s2s_stream *s = &in->s;
	struct arena *a = arena_new(0);
	struct elem *f = elem_new(a, EL_FEATURES), *e;

	if (!conn_is_tls(s->conn)) {
		e = elem_add(f, EL_STARTTLS);
		elem_add(e, EL_TLS_REQUIRED);
	} else {
		if (in->domain_count == 0 && is_certified(in, s->remote)) {
			e = elem_add(f, EL_MECHANISMS);
			elem_add_text(e, EL_MECHANISM, STR("EXTERNAL"));
		}
		if (allows_dialback())
			elem_add(elem_add(f, EL_DB_FEATURE), EL_DB_ERRORS);
	}
	s2s_send_elem(s, f);
	arena_free(&a);
}

static void
on_open(struct s2s_stream *s, const struct elem *root)
{
	struct s2s_in *in = CONTAINER_OF(s, struct s2s_in, s);
	struct arena *a = elem_arena(root), *own = arena_new(0);
	enum qname condition = s2s_check_header(root);
	struct str to = elem_attr(root, AT_TO), from = elem_attr(root, AT_FROM);
	struct str local = STR_NONE, remote = STR_NONE, id;

	if (str_is_none(to) || jid_prep_domain(a, to, &local) < 0)
		local = STR_NONE;
	if (str_is_none(from) || jid_prep_domain(a, from, &remote) < 0)
		remote = STR_NONE;
	id = random_token(own, ID_BYTES);
	memcpy(s->id, id.p, MIN(id.n, S2S_ID_MAX));
	arena_free(&own);
	if (condition == EL_NONE && (str_is_none(local) || !s2s_is_ours(local)))
		condition = EL_SE_HOST_UNKNOWN;
	if (condition == EL_NONE)
		s2s_stream_name(s, local, remote);
	s2s_send_header(s, true);
	if (condition != EL_NONE)
		s2s_fail(s, condition, NULL);
	else
		send_features(in);
}

/* Logging in --------------------------------------------------------------- */

static void
on_starttls(struct s2s_in *in)
{
	struct s2s_stream *s = &in->s;
	struct arena *a;

	if (conn_is_tls(s->conn)) {
		s2s_fail(s, EL_SE_POLICY_VIOLATION, "TLS is there already");
		return;
	}
	a = arena_new(0);
	s2s_send_elem(s, elem_new(a, EL_TLS_PROCEED));
	arena_free(&a);
	s2s_stream_restart(s);
	s->is_starting_tls = true;
	conn_start_tls(s->conn, TLS_S2S);
}

static void
on_secured(struct s2s_stream *s)
{
	log_debug(&s->log, "TLS is up");
}

static void
auth_refuse(struct s2s_in *in, enum qname condition)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_FAILURE);

	elem_add(e, condition);
	s2s_send_elem(&in->s, e);
	arena_free(&a);
	log_notice(&in->s.log, "refused EXTERNAL");
	metric_add(METRIC_LOGIN_FAILURES, 1);
	s2s_fail(&in->s, EL_NONE, NULL);
}

/* Which domain it wants to be: that of the header, as it must be (0178). */
static bool
auth_domain(struct s2s_in *in, struct elem *e, struct str *domain_r)
{
	struct arena *a = elem_arena(e);
	struct str text = str_trim(elem_text(e)), bytes;

	*domain_r = in->s.remote;
	if (text.n == 0 || str_is(text, "="))
		return true;
	return str_unbase64(a, text, &bytes) &&
	       jid_prep_domain(a, bytes, domain_r) == 0;
}

static void
on_auth(struct s2s_in *in, struct elem *e)
{
	struct s2s_stream *s = &in->s;
	struct str domain;
	struct arena *a;

	if (!conn_is_tls(s->conn) || in->domain_count + in->pins > 0) {
		s2s_fail(s, EL_SE_NOT_AUTHORIZED, NULL);
		return;
	}
	if (!str_is(elem_attr(e, AT_MECHANISM), "EXTERNAL")) {
		auth_refuse(in, EL_SASL_INVALID_MECHANISM);
		return;
	}
	if (!auth_domain(in, e, &domain) || !is_certified(in, domain) ||
	    !str_eq(domain, s->remote)) {
		auth_refuse(in, EL_SASL_NOT_AUTHORIZED);
		return;
	}
	a = arena_new(0);
	s2s_send_elem(s, elem_new(a, EL_SUCCESS));
	arena_free(&a);
	in_authenticated(in, domain, "EXTERNAL");
	s2s_stream_restart(s);
}

/* Dialback ----------------------------------------------------------------- */

static void
verification_end(struct verification *v, const char *type)
{
	struct s2s_in *in = v->in;

	s2s_send_dialback(&in->s, EL_DB_RESULT, v->to, v->from, STR_NONE,
	    str_c(type), STR_NONE);
	in->pins--;
	in_settle(in);
	str_free(&v->from);
	str_free(&v->to);
	xfree(v);
}

static void
on_verified(void *ctx, bool is_valid)
{
	struct verification *v = (struct verification *)ctx;
	struct s2s_in *in = v->in;

	if (is_valid && !in->s.is_closing)
		in_authenticated(in, v->from, "dialback");
	else if (!is_valid)
		log_notice(
		    &in->s.log, "the key is not of " STR_FMT, STR_ARG(v->from));
	verification_end(v, is_valid ? "valid" : "invalid");
}

static void
on_unverified(void *ctx, enum qname condition)
{
	struct verification *v = (struct verification *)ctx;

	log_notice(&v->in->s.log, "cannot ask " STR_FMT " about its key",
	    STR_ARG(v->from));
	verification_end(v, "invalid");
}

static const struct out_user verify_user = {
	.verified = on_verified,
	.down = on_unverified,
};

/* Both prepared; false, and the stream has failed, when they are wrong. */
static bool
pair_of(struct s2s_in *in, struct elem *e, struct str *from_r, struct str *to_r)
{
	struct arena *a = elem_arena(e);

	if (jid_prep_domain(a, elem_attr(e, AT_FROM), from_r) < 0 ||
	    jid_prep_domain(a, elem_attr(e, AT_TO), to_r) < 0) {
		s2s_fail(&in->s, EL_SE_IMPROPER_ADDRESSING, NULL);
		return false;
	}
	if (!s2s_is_ours(*to_r)) {
		s2s_fail(&in->s, EL_SE_HOST_UNKNOWN, NULL);
		return false;
	}
	return true;
}

static void
on_result(struct s2s_in *in, struct elem *e)
{
	struct s2s_stream *s = &in->s;
	struct str from, to, key = str_trim(elem_text(e));
	struct verification *v;

	if (!conn_is_tls(s->conn) || !allows_dialback()) {
		s2s_fail(s, EL_SE_NOT_AUTHORIZED,
		    "dialback is not taken; show a certificate");
		return;
	}
	if (!pair_of(in, e, &from, &to))
		return;
	if (s2s_is_ours(from)) {
		s2s_fail(s, EL_SE_INVALID_FROM, NULL);
		return;
	}
	if (in->pins == VERIFICATIONS_MAX ||
	    in->domain_count + in->pins >= DOMAINS_MAX) {
		s2s_fail(s, EL_SE_POLICY_VIOLATION, "too many domains");
		return;
	}
	v = (struct verification *)xzalloc(sizeof(*v));
	v->in = in;
	v->from = str_heap(from);
	v->to = str_heap(to);
	in->pins++;
	v->out = out_verify(to, from, str_c(s->id), key, &verify_user, v);
}

/* Another server asks whether a key is ours. */
static void
on_verify(struct s2s_in *in, struct elem *e)
{
	struct str from, to, id = elem_attr(e, AT_ID), key;
	bool is_valid;

	if (!conn_is_tls(in->s.conn)) {
		s2s_fail(&in->s, EL_SE_NOT_AUTHORIZED, NULL);
		return;
	}
	if (!pair_of(in, e, &from, &to))
		return;
	key = s2s_key(elem_arena(e), s2s_secret(), from, to, id);
	is_valid = str_eq_secret(key, str_trim(elem_text(e)));
	s2s_send_dialback(&in->s, EL_DB_VERIFY, to, from, id,
	    is_valid ? STR("valid") : STR("invalid"), STR_NONE);
}

/* Stanzas ------------------------------------------------------------------ */

static void
on_stanza(struct s2s_in *in, struct elem *e)
{
	struct s2s_stream *s = &in->s;
	struct stanza *st;
	enum qname condition, fault = EL_NONE;
	int err = stanza_of(e, &st, &condition);

	if (!s->is_up)
		fault = EL_SE_NOT_AUTHORIZED;
	else if (str_is_none(elem_attr(e, AT_FROM)) ||
		 str_is_none(elem_attr(e, AT_TO)))
		fault = EL_SE_IMPROPER_ADDRESSING;
	else if (jid_is_none(&st->from) || !in_speaks_for(in, st->from.domain))
		fault = EL_SE_INVALID_FROM;
	else if (!jid_is_none(&st->to) && !s2s_is_ours(st->to.domain))
		fault = EL_SE_HOST_UNKNOWN;
	if (fault != EL_NONE) {
		stanza_free(&st);
		s2s_fail(s, fault, NULL);
		return;
	}
	metric_add(METRIC_S2S_STANZAS_IN, 1);
	if (jid_is_none(&st->to))
		stanza_free(&st); /* nobody's name could be put to an answer */
	else if (err < 0)
		stanza_refuse(st, condition);
	else
		router_send(st);
}

static void
on_element(struct s2s_stream *s, struct elem *e)
{
	struct s2s_in *in = CONTAINER_OF(s, struct s2s_in, s);
	struct arena *a = elem_arena(e);

	switch (elem_name(e)) {
	case EL_MESSAGE:
	case EL_PRESENCE:
	case EL_IQ:
		on_stanza(in, e);
		return;
	case EL_STARTTLS:
		on_starttls(in);
		break;
	case EL_AUTH:
		on_auth(in, e);
		break;
	case EL_DB_RESULT:
		on_result(in, e);
		break;
	case EL_DB_VERIFY:
		on_verify(in, e);
		break;
	default:
		s2s_fail(s, EL_SE_UNSUPPORTED_STANZA_TYPE, NULL);
	}
	arena_free(&a);
}

static const struct s2s_ops in_ops = {
	.open = on_open,
	.element = on_element,
	.secured = on_secured,
	.gone = on_gone,
};

void
s2s_accept(void *ctx, struct conn *c)
{
	struct s2s_in *in = (struct s2s_in *)xzalloc(sizeof(*in));
	uint64_t ms = conf_now()->limits.negotiation_ms;

	if (ins.next == NULL)
		list_init(&ins);
	list_add(&ins, &in->s.node);
	s2s_stream_init(&in->s, c, &in_ops);
	/* One deadline for all, whoever has watched over it so far. */
	ms -= MIN(ms, loop_now() - conn_since(c));
	timer_start(&in->s.timer, ms, on_deadline);
}

size_t
ins_up(void)
{
	struct s2s_in *in;
	size_t n = 0;

	if (ins.next == NULL)
		return 0;
	LIST_EACH(in, &ins, struct s2s_in, s.node)
	{
		n += in->s.is_up && !in->s.is_closing;
	}
	return n;
}

void
ins_close_all(void)
{
	struct s2s_in *in;

	if (ins.next == NULL)
		return;
	LIST_EACH(in, &ins, struct s2s_in, s.node)
	{
		s2s_fail(&in->s, EL_NONE, NULL);
	}
}
