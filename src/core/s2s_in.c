/* SPDX-License-Identifier: MIT */
/*
 * Incoming streams: another server shows by its certificate or by dialback
 * which domains it speaks for, and then sends their stanzas.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "core/account.h"
#include "core/conf.h"
#include "core/edited.h"
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
	bool has_bidi; /* asked for */
	bool is_pair;  /* the two of the header are authenticated */
	/* After a move to the home of its domain, with what led to it. */
	void (*arrived)(struct s2s_in *in);
	struct verification *answer;
	struct s2s_sm *resuming;
	uint32_t resume_h;
};

/* A key that the originating server is asked about. */
struct verification {
	struct s2s_in *in;
	struct s2s_out *out;
	struct str from, to; /* on the heap */
};

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
	struct s2s_sm *sm = s->sm;

	if (s->is_up)
		log_info(&s->log, "incoming stream ended");
	timer_stop(&s->timer);
	link_lost(s);
	if (sm != NULL) {
		s2s_sm_detach(sm);
		if (s->was_ended || str_is_none(s2s_sm_id(sm)))
			s2s_sm_free(&sm, EL_REMOTE_SERVER_TIMEOUT,
			    "the stream of the other server has ended");
		else
			s2s_sm_keep(sm);
	}
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
	uint64_t max = s2s_idle_ms(s);

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
	    STR_ARG(domain), how,
	    conn_is_tls(s->conn) ? conn_tls_version(s->conn) : "without TLS");
	if (s->is_up)
		return;
	s->how = how;
	s2s_stream_up(s);
	timer_start(&s->timer, conf_now()->s2s.idle_ms, on_idle);
	metric_add(METRIC_S2S_IN, 1);
}

/* The home of the other domain ------------------------------------------- */

static void
on_arrived(void *ctx)
{
	struct s2s_stream *s = (struct s2s_stream *)ctx;
	struct s2s_in *in = CONTAINER_OF(s, struct s2s_in, s);
	bool was_closing = s->is_closing;

	list_add(s2s_streams(S2S_IN), &s->node);
	s->is_closing = s->is_moving = false;
	timer_start(&s->timer, conf_now()->limits.negotiation_ms, on_deadline);
	in->arrived(in);
	if (was_closing)
		s2s_fail(s, EL_NONE, NULL);
	s2s_stream_arrived(s);
}

/*
 * There are the links to that domain and what is left of its other streams, so
 * that one thread has it all. Not while others of this loop need the stream.
 */
static void
in_go_home(
    struct s2s_in *in, struct str domain, void (*arrived)(struct s2s_in *in))
{
	struct loop *home = account_home(domain);
	struct s2s_stream *s = &in->s;

	in->arrived = arrived;
	if (home == loop_self() || in->domain_count > 0 || in->pins > 0 ||
	    s->is_closing || xml_stream_is_midway(&s->xml)) {
		arrived(in);
		return;
	}
	timer_stop(&s->timer);
	list_del(&s->node);
	s->is_moving = true;
	conn_move(s->conn, home, on_arrived);
}

/* Header and features ------------------------------------------------------ */

static bool
is_certified(const struct s2s_in *in, struct str domain)
{
	const char *why = NULL;
	int err;

	if (str_is_none(domain))
		return false;
	err = conn_tls_verify(in->s.conn, domain, &why);
	if (err < 0)
		log_notice(&in->s.log,
		    "no certificate that vouches for " STR_FMT ": %s",
		    STR_ARG(domain),
		    err == ERR_ABSENT || why == NULL ? "it shows none" : why);
	return err == 0;
}

static bool
allows_dialback(struct str domain)
{
	return s2s_terms(domain) <= S2S_TERMS_DIALBACK;
}

/* What may be said on this stream by, or about, a domain? */
static bool
is_safe(const struct s2s_in *in, struct str domain)
{
	return conn_is_tls(in->s.conn) || s2s_terms(domain) == S2S_TERMS_PLAIN;
}

static void
send_features(struct s2s_in *in)
{
	struct s2s_stream *s = &in->s;
	struct arena *a = arena_new(0);
	struct elem *f = elem_new(a, EL_FEATURES), *e;

	if (!conn_is_tls(s->conn)) {
		e = elem_add(f, EL_STARTTLS);
		if (!is_safe(in, s->remote))
			elem_add(e, EL_TLS_REQUIRED);
	}
	if (is_safe(in, s->remote)) {
		if (conn_is_tls(s->conn) && in->domain_count == 0 &&
		    is_certified(in, s->remote)) {
			e = elem_add(f, EL_MECHANISMS);
			elem_add_text(e, EL_MECHANISM, STR("EXTERNAL"));
		}
		if (allows_dialback(s->remote))
			elem_add(elem_add(f, EL_DB_FEATURE), EL_DB_ERRORS);
		if (in->domain_count == 0)
			elem_add(f, EL_BIDI_FEATURE);
		/* With dialback there are no others once it is through. */
		if (s->is_up || allows_dialback(s->remote))
			elem_add(f, EL_SM);
	}
	s2s_add_limits(f, s->is_up);
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
	if (condition == EL_NONE &&
	    (str_is_none(local) || !router_is_ours(local)))
		condition = EL_SE_HOST_UNKNOWN;
	if (condition == EL_NONE)
		s2s_stream_name(s, local, remote);
	s2s_send_header(s, true);
	if (condition != EL_NONE)
		s2s_fail(s, condition, NULL);
	else if (!edited_is_read())
		s2s_fail(s, EL_SE_RESOURCE_CONSTRAINT,
		    "this server has just started");
	else if (!str_is_none(remote) && !s2s_is_allowed(remote))
		s2s_fail(
		    s, EL_SE_POLICY_VIOLATION, "we do not talk to this domain");
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
external_done(struct s2s_in *in)
{
	struct arena *a = arena_new(0);

	s2s_send_elem(&in->s, elem_new(a, EL_SUCCESS));
	arena_free(&a);
	in->is_pair = true;
	in_authenticated(in, in->s.remote, "EXTERNAL");
}

static void
on_auth(struct s2s_in *in, struct elem *e)
{
	struct s2s_stream *s = &in->s;
	struct str domain;

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
	s2s_stream_restart(s);
	in_go_home(in, domain, external_done);
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
dialback_done(struct s2s_in *in)
{
	struct verification *v = in->answer;
	struct s2s_stream *s = &in->s;

	in->answer = NULL;
	in->pins++;
	if (!s->is_closing) {
		in->is_pair |=
		    str_eq(v->from, s->remote) && str_eq(v->to, s->local);
		in_authenticated(in, v->from, "dialback");
	}
	verification_end(v, "valid");
}

static void
on_verified(void *ctx, bool is_valid)
{
	struct verification *v = (struct verification *)ctx;
	struct s2s_in *in = v->in;

	if (is_valid && !in->s.is_closing) {
		in->answer = v;
		in->pins--;
		in_go_home(in, v->from, dialback_done);
		return;
	}
	if (!is_valid)
		log_notice(
		    &in->s.log, "the key is not of " STR_FMT, STR_ARG(v->from));
	verification_end(v, is_valid ? "valid" : "invalid");
}

static void
on_unverified(void *ctx, enum qname condition, const char *text)
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
	if (!router_is_ours(*to_r)) {
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

	if (!conn_is_tls(s->conn) && !is_safe(in, s->remote)) {
		s2s_fail(s, EL_SE_NOT_AUTHORIZED, "TLS is required");
		return;
	}
	if (!pair_of(in, e, &from, &to))
		return;
	if (!is_safe(in, from) || !allows_dialback(from) ||
	    !s2s_is_allowed(from)) {
		s2s_fail(s, EL_SE_NOT_AUTHORIZED,
		    "dialback is not taken; show a certificate");
		return;
	}
	if (!s2s_may_spend(conn_peer(s->conn), S2S_COST_KEY)) {
		s2s_fail(s, EL_SE_POLICY_VIOLATION, "too many keys");
		return;
	}
	if (router_is_ours(from)) {
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

	if (!pair_of(in, e, &from, &to))
		return;
	if (!is_safe(in, from)) {
		s2s_fail(&in->s, EL_SE_NOT_AUTHORIZED, "TLS is required");
		return;
	}
	if (!s2s_may_spend(conn_peer(in->s.conn), S2S_COST_KEY)) {
		s2s_fail(&in->s, EL_SE_POLICY_VIOLATION, "too many keys");
		return;
	}
	key = s2s_key(elem_arena(e), s2s_secret(), from, to, id);
	is_valid = str_eq_secret(key, str_trim(elem_text(e)));
	s2s_send_dialback(&in->s, EL_DB_VERIFY, to, from, id,
	    is_valid ? STR("valid") : STR("invalid"), STR_NONE);
}

/* Stream management -------------------------------------------------------- */

static void
on_enable(struct s2s_in *in, const struct elem *e)
{
	struct s2s_stream *s = &in->s;
	struct str resume = elem_attr(e, AT_RESUME);
	bool wants = str_is(resume, "true") || str_is(resume, "1");

	if (!s->is_up || s->sm != NULL || in->resuming != NULL) {
		s2s_send_sm_failed(s, EL_UNEXPECTED_REQUEST, -1);
		return;
	}
	/* Elsewhere than at home it would not be found again. */
	wants = wants && in->is_pair && account_home(s->remote) == loop_self();
	s2s_sm_new(s, wants);
	s2s_send_sm(s, EL_SM_ENABLED, s2s_sm_id(s->sm), -1, wants);
}

static void
on_settled(void *ctx)
{
	struct s2s_in *in = (struct s2s_in *)ctx;
	struct s2s_stream *s = &in->s;
	struct s2s_sm *sm = in->resuming;

	in->resuming = NULL;
	in->pins--;
	if (s->is_closing || !s2s_sm_attach(sm, s, in->resume_h)) {
		s2s_sm_keep(sm);
		s2s_fail(s, EL_SE_UNDEFINED_CONDITION,
		    "more stanzas are acknowledged than were sent");
		in_settle(in);
		return;
	}
	conn_resume(s->conn);
	s2s_send_sm(s, EL_SM_RESUMED, s2s_sm_id(sm), s2s_sm_handled(sm), false);
	s2s_sm_resend(sm);
	log_info(&s->log, "resumed an incoming stream");
}

static void
on_resume(struct s2s_in *in, const struct elem *e)
{
	struct s2s_stream *s = &in->s, *old;
	struct s2s_sm *sm;
	uint64_t h;

	if (!s->is_up || s->sm != NULL || in->resuming != NULL ||
	    !str_to_u64(elem_attr(e, AT_H), &h) || h > UINT32_MAX) {
		s2s_send_sm_failed(s, EL_UNEXPECTED_REQUEST, -1);
		return;
	}
	sm = in->is_pair
		 ? s2s_sm_find(elem_attr(e, AT_PREVID), s->local, s->remote)
		 : NULL;
	old = sm != NULL ? s2s_sm_stream(sm) : NULL;
	if (sm == NULL || !s2s_sm_settle(sm, on_settled, in)) {
		s2s_send_sm_failed(s, EL_ITEM_NOT_FOUND, -1);
		return;
	}
	if (old != NULL) {
		s2s_sm_detach(sm);
		s2s_fail(old, EL_SE_CONFLICT, "it is resumed by another one");
	}
	in->resuming = sm;
	in->resume_h = (uint32_t)h;
	in->pins++;
	conn_pause(s->conn);
}

/* Both ways (XEP-0288) ----------------------------------------------------- */

static void
on_bidi(struct s2s_in *in, const struct elem *e)
{
	if (in->domain_count > 0 || !is_safe(in, in->s.remote)) {
		s2s_fail(&in->s, EL_SE_POLICY_VIOLATION,
		    "a stream becomes bidirectional before the login, in TLS");
		return;
	}
	in->has_bidi = true;
	s2s_read_limits(&in->s, e);
}

struct s2s_stream *
in_find_bidi(struct str local, struct str remote)
{
	struct s2s_in *in;

	LIST_EACH(in, s2s_streams(S2S_IN), struct s2s_in, s.node)
	{
		const struct s2s_stream *s = &in->s;

		if (in->has_bidi && in->is_pair && s->is_up && s->has_header &&
		    !s->is_closing && in->resuming == NULL &&
		    str_eq(s->local, local) && str_eq(s->remote, remote))
			return &in->s;
	}
	return NULL;
}

/* Stanzas ------------------------------------------------------------------ */

static bool
speaks_for(struct s2s_stream *s, struct str domain)
{
	return in_speaks_for(CONTAINER_OF(s, struct s2s_in, s), domain);
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
		s2s_take(s, e, speaks_for, STR_NONE);
		return;
	case EL_SM_ENABLE:
		on_enable(in, e);
		break;
	case EL_SM_RESUME:
		on_resume(in, e);
		break;
	case EL_SM_R:
	case EL_SM_A:
		if (!s2s_sm_on_nonza(s, e))
			s2s_fail(s, EL_SE_UNSUPPORTED_STANZA_TYPE, NULL);
		break;
	case EL_BIDI:
		on_bidi(in, e);
		break;
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

static void
on_close_all(struct s2s_stream *s)
{
	s2s_fail(s, EL_NONE, NULL);
}

static const struct s2s_ops in_ops = {
	.open = on_open,
	.element = on_element,
	.secured = on_secured,
	.gone = on_gone,
	.close = on_close_all,
};

void
s2s_accept(void *ctx, struct conn *c)
{
	struct s2s_in *in = (struct s2s_in *)xzalloc(sizeof(*in));
	uint64_t ms = conf_now()->limits.negotiation_ms;

	list_add(s2s_streams(S2S_IN), &in->s.node);
	s2s_stream_init(&in->s, c, &in_ops);
	if (!s2s_may_spend(conn_peer(c), S2S_COST_STREAM)) {
		log_notice(&in->s.log, "too many streams from this address");
		s2s_fail(&in->s, EL_NONE, NULL);
		return;
	}
	/* One deadline for all, whoever has watched over it so far. */
	ms -= MIN(ms, loop_now() - conn_since(c));
	timer_start(&in->s.timer, ms, on_deadline);
}
