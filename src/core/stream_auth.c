/* SPDX-License-Identifier: MIT */
/*
 * STARTTLS and SASL on a stream (RFC 6120 sections 5 and 6). Failures are
 * answered late, the more so the more of them come from an address, and all
 * alike, whatever the reason; too many end the stream.
 */
#include "core/stream_internal.h"

#include "core/conf.h"
#include "core/metrics.h"
#include "core/penalty.h"

/* ---- STARTTLS ---- */

void
stream_on_starttls(struct stream *s)
{
	if (!stream_offers_tls(s) || s->is_authenticated ||
	    s->nego->sasl != NULL) {
		stream_send_text(s,
		    STR("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
		stream_fail(s, EL_NONE, NULL);
		return;
	}
	stream_send_text(
	    s, STR("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
	s->is_starting_tls = true;
	s->transport->ops->start_tls(s->transport);
}

/* ---- failures ---- */

static void
send_failure(struct stream *s, enum qname condition, const char *text)
{
	bool is_new = s->nego->login != NULL;
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, is_new ? EL_SASL2_FAILURE : EL_FAILURE);
	struct elem *t;

	elem_add(e, (qname_t)condition);
	if (text != NULL) {
		t = elem_add_text(
		    e, is_new ? EL_SASL2_TEXT : EL_SASL_TEXT, str_c(text));
		elem_set(t, AT_XML_LANG, STR("en"));
	}
	stream_send_elem(s, e);
	arena_free(&a);
}

void
stream_auth_end(struct stream *s, enum qname condition)
{
	log_notice(&s->log, "login ended: " STR_FMT,
	    STR_ARG(names_elem_local((qname_t)condition)));
	send_failure(s, condition, NULL);
	stream_fail(s, EL_NONE, NULL);
}

static void
answer_failure(struct stream *s)
{
	struct nego *n = s->nego;

	send_failure(s, n->condition, n->text);
	login_free(&n->login);
	if (++n->failures >= conf_now()->limits.auth_failures)
		stream_fail(s, EL_SE_POLICY_VIOLATION,
		    "too many failed attempts to log in");
	else
		stream_go_on(s);
}

static void
on_delay(struct timer *t)
{
	answer_failure(CONTAINER_OF(t, struct nego, delay)->stream);
}

void
stream_auth_fail(
    struct stream *s, enum qname condition, const char *text, struct str user)
{
	struct nego *n = s->nego;
	uint64_t delay = 0;

	sasl_free(&n->sasl);
	metric_add(METRIC_LOGIN_FAILURES, 1);
	log_notice(&s->log, "login failed: " STR_FMT "%s%s%s" STR_FMT,
	    STR_ARG(names_elem_local((qname_t)condition)),
	    n->mechanism[0] != '\0' ? ", " : "", n->mechanism,
	    user.n > 0 ? ", as " : "", STR_ARG(user));
	n->condition = condition;
	n->text = text;
	/* That the store is down is not the client's fault. */
	if (condition != EL_SASL_TEMPORARY_AUTH_FAILURE)
		delay = penalty_add(stream_peer(s), loop_now());
	stream_wait(s);
	if (delay == 0)
		answer_failure(s);
	else
		timer_start(&n->delay, delay, on_delay);
}

/* ---- the exchange ---- */

static void
send_success(struct stream *s, struct str data)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_SUCCESS);

	if (!str_is_none(data))
		elem_set_text(e, data.n > 0 ? str_base64(a, data) : STR("="));
	stream_send_elem(s, e);
	arena_free(&a);
	s->is_authenticated = true;
}

static void
succeed(struct stream *s, const struct sasl_result *r)
{
	struct nego *n = s->nego;
	struct conn *c = s->transport->ops->conn(s->transport);
	const char *tls = NULL;

	if (c != NULL && stream_is_tls(s))
		tls = conn_tls_version(c);
	n->user = jid_of(str_heap(r->user.bare));
	log_field(&s->log, "jid", n->user.bare);
	log_info(&s->log, "logged in with %s%s%s", n->mechanism,
	    tls != NULL ? " over " : " without TLS", tls != NULL ? tls : "");
	metric_add(METRIC_LOGINS, 1);
	if (n->login != NULL)
		login_authenticated(s, r);
	else
		send_success(s, r->data);
	sasl_free(&n->sasl);
	s->has_succeeded = true;
	stream_go_on(s);
}

static void
send_challenge(struct stream *s, struct str data)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_CHALLENGE);

	elem_set_text(e, str_base64(a, data));
	stream_send_elem(s, e);
	arena_free(&a);
}

/* XEP-0388: an authorization identity has to be that of the header. */
static bool
is_of_another(const struct stream *s, const struct sasl_result *r)
{
	return s->nego->login != NULL && r->has_authzid &&
	       !str_is_none(s->nego->from) &&
	       !str_eq(s->nego->from, r->user.bare);
}

void
stream_auth_step(struct stream *s, const struct sasl_result *r)
{
	switch (r->what) {
	case SASL_DONE:
		if (is_of_another(s, r))
			stream_auth_fail(
			    s, EL_SASL_INVALID_AUTHZID, NULL, r->user.bare);
		else
			succeed(s, r);
		break;
	case SASL_FAIL:
		stream_auth_fail(s, r->condition, r->text, r->user.bare);
		break;
	case SASL_CONTINUE:
		if (s->nego->login != NULL)
			login_challenge(s, r->data);
		else
			send_challenge(s, r->data);
		stream_go_on(s);
		break;
	}
}

static void
on_step(void *ctx, const struct sasl_result *r)
{
	stream_auth_step((struct stream *)ctx, r);
}

/* "=" is a message of no bytes, and no text is no message (section 6.4.2). */
static bool
decode(struct elem *e, struct str *message_r)
{
	struct str text = str_trim(elem_text(e));

	if (text.n == 0)
		*message_r = STR_NONE;
	else if (str_is(text, "="))
		*message_r = STR("");
	else
		return str_unbase64(elem_arena(e), text, message_r);
	return true;
}

void
stream_auth_named(struct stream *s, struct str mechanism)
{
	struct nego *n = s->nego;
	size_t len = MIN(mechanism.n, MECHANISM_MAX - 1);

	/* It is one of ours, so it is short. */
	memcpy(n->mechanism, mechanism.p, len);
	n->mechanism[len] = '\0';
}

bool
stream_auth_begin(struct stream *s, struct str mechanism)
{
	struct nego *n = s->nego;
	enum qname why = EL_NONE;

	if (stream_needs_tls(s)) {
		why = EL_SASL_ENCRYPTION_REQUIRED;
	} else if (n->sasl != NULL) {
		why = EL_SASL_MALFORMED_REQUEST;
	} else {
		n->mechanism[0] = '\0';
		n->sasl = sasl_new(
		    s->host, s->transport, n->lacking, mechanism, on_step, s);
		if (n->sasl == NULL)
			why = stream_offers_tls(s) && str_is(mechanism, "PLAIN")
				  ? EL_SASL_ENCRYPTION_REQUIRED
				  : EL_SASL_INVALID_MECHANISM;
	}
	if (why != EL_NONE) {
		stream_auth_fail(s, why, NULL, STR_NONE);
		return false;
	}
	stream_auth_named(s, mechanism);
	return true;
}

void
stream_on_auth(struct stream *s, struct elem *e)
{
	struct str mechanism = elem_attr(e, AT_MECHANISM), message;
	struct nego *n = s->nego;

	if (!stream_auth_begin(s, mechanism))
		return;
	if (!decode(e, &message)) {
		stream_auth_fail(s, EL_SASL_INCORRECT_ENCODING, NULL, STR_NONE);
		return;
	}
	stream_wait(s);
	sasl_step(n->sasl, message, true);
}

void
stream_on_response(struct stream *s, struct elem *e)
{
	struct nego *n = s->nego;
	struct str message;

	if (n->sasl == NULL) {
		stream_auth_fail(s, EL_SASL_MALFORMED_REQUEST, NULL, STR_NONE);
		return;
	}
	if (!decode(e, &message)) {
		stream_auth_fail(s, EL_SASL_INCORRECT_ENCODING, NULL, STR_NONE);
		return;
	}
	stream_wait(s);
	sasl_step(n->sasl, str_is_none(message) ? STR("") : message, false);
}

void
stream_on_abort(struct stream *s)
{
	stream_auth_fail(s, EL_SASL_ABORTED, NULL, STR_NONE);
}
