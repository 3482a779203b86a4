/* SPDX-License-Identifier: MIT */
/*
 * Logins by token (XEP-0484), and the tokens that logins bring. A token is
 * checked at the account's home, where all its uses follow one another: a
 * count is taken once, and whoever fails stays where he is.
 */
#include "core/stream_internal.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/auth.h"
#include "core/client.h"
#include "core/host.h"

#define OFFERS_MAX 8
#define MESSAGE_MAX 2048

void
login_offer_tokens(const struct stream *s, struct elem *inlines)
{
	struct str names[OFFERS_MAX];
	size_t count = token_offer(s->transport, names, OFFERS_MAX);
	struct elem *e;

	if (count == 0)
		return;
	e = elem_add(inlines, EL_FAST);
	for (size_t i = 0; i < count; i++)
		elem_add_text(e, EL_FAST_MECHANISM, names[i]);
}

/* ---- the check --------------------------------------------------------- */

struct check {
	struct arena *arena;   /* this is in it */
	struct stream *stream; /* pinned */
	struct loop *loop;
	struct jid jid;
	struct str client;
	struct token_proof proof;
	struct account *acct;
	enum qname condition; /* why not, or EL_NONE */
	const char *why;      /* for the log, or NULL */
	struct str answer;
};

static void
answer(struct stream *s, const struct check *c)
{
	struct sasl_result r = {
		.what = c->condition == EL_NONE ? SASL_DONE : SASL_FAIL,
		.data = c->answer,
		.condition = c->condition,
		.user = c->jid,
	};

	if (c->why != NULL)
		log_notice(
		    &s->log, STR_FMT " shows %s", STR_ARG(c->jid.bare), c->why);
	stream_auth_step(s, &r);
}

/* Back at the stream. */
static void
check_end(void *msg)
{
	struct check *c = (struct check *)msg;
	struct stream *s = c->stream;

	if (s->nego != NULL && s->nego->login != NULL && !s->is_closing)
		answer(s, c);
	stream_unpin(s);
	arena_free(&c->arena);
}

static void
refuse(struct check *c, enum qname condition, const char *why)
{
	c->condition = condition;
	c->why = why;
	loop_post(c->loop, check_end, c);
}

static void
check_token(struct check *c)
{
	struct account *acct = c->acct;
	const char *why = NULL;

	switch (token_check(acct, client_find(acct, c->client), &c->proof,
	    c->arena, &c->answer, &why)) {
	case TOKEN_FINE:
		refuse(c, EL_NONE, NULL);
		break;
	case TOKEN_EXPIRED:
		refuse(c, EL_SASL_CREDENTIALS_EXPIRED, why);
		break;
	case TOKEN_WRONG:
		refuse(c, EL_SASL_NOT_AUTHORIZED, why);
		break;
	}
}

/*
 * The token comes last: it may have been revoked while backends were asked,
 * and a login that fails must not use it up.
 */
static void
on_stands(void *ctx, int err)
{
	struct check *c = (struct check *)ctx;
	struct account *acct = c->acct;

	if (err == 0)
		check_token(c);
	else if (err == ERR_DENIED)
		refuse(c, EL_SASL_ACCOUNT_DISABLED, NULL);
	else if (err == ERR_ABSENT)
		refuse(c, EL_SASL_NOT_AUTHORIZED,
		    "a token, but no backend knows that user any more");
	else
		refuse(c, EL_SASL_TEMPORARY_AUTH_FAILURE, NULL);
	account_unpin(acct);
}

static void
on_clients(void *ctx, int err)
{
	struct check *c = (struct check *)ctx;

	if (err == 0) {
		auth_account_stands(c->acct, on_stands, c);
		return;
	}
	account_unpin(c->acct);
	refuse(c, EL_SASL_TEMPORARY_AUTH_FAILURE, NULL);
}

static void
on_account(void *ctx, int err, struct account *acct)
{
	struct check *c = (struct check *)ctx;

	if (acct == NULL) {
		refuse(c,
		    err < 0 ? EL_SASL_TEMPORARY_AUTH_FAILURE
			    : EL_SASL_NOT_AUTHORIZED,
		    NULL);
		return;
	}
	account_pin(acct);
	c->acct = acct;
	clients_load(acct, on_clients, c);
}

/* authcid NUL hash; false if it is no such message. */
static bool
parse(struct check *c, const struct host *host, struct str message)
{
	struct str rest = message, name = str_cut(&rest, '\0'), local;

	if (message.n > MESSAGE_MAX || str_is_none(rest) || rest.n == 0 ||
	    !str_is_utf8(name) || jid_prep_local(c->arena, name, &local) < 0)
		return false;
	c->proof.hash = str_dup(c->arena, rest);
	c->jid = jid_make(c->arena, local, host->jid.domain, STR_NONE);
	return true;
}

static bool
is_true(struct str value)
{
	return str_is(value, "true") || str_is(value, "1");
}

/* False if its count is none. */
static bool
read_fast(struct check *c, const struct elem *fast)
{
	struct str count = elem_attr(fast, AT_FAST_COUNT);

	c->proof.is_last = is_true(elem_attr(fast, AT_INVALIDATE));
	c->proof.has_count = !str_is_none(count);
	return str_is_none(count) || (str_to_u64(count, &c->proof.count) &&
					 c->proof.count <= INT64_MAX);
}

static struct check *
check_new(struct stream *s, struct str message)
{
	struct login *l = s->nego->login;
	struct arena *a = arena_new(0);
	struct check *c = arena_new_of(a, struct check);

	c->arena = a;
	c->stream = s;
	c->loop = loop_self();
	c->condition = EL_NONE;
	c->answer = STR_NONE;
	c->proof.mechanism = str_dup(a, elem_attr(l->request, AT_MECHANISM));
	if (!str_is_none(login_agent(l)) && !str_is_none(message) &&
	    parse(c, s->host, message) &&
	    read_fast(c, elem_child(l->request, EL_FAST)))
		return c;
	arena_free(&a);
	return NULL;
}

void
login_by_token(struct stream *s, struct str message)
{
	struct login *l = s->nego->login;
	struct check *c = check_new(s, message);

	if (c == NULL) {
		stream_auth_fail(s, EL_SASL_MALFORMED_REQUEST, NULL, STR_NONE);
		return;
	}
	stream_pin(s);
	stream_wait(s);
	if (!token_binding(s->transport, c->proof.mechanism, c->arena,
		&c->proof.binding)) {
		refuse(c, EL_SASL_INVALID_MECHANISM, NULL);
		return;
	}
	stream_auth_named(s, c->proof.mechanism);
	c->client = login_client(s, c->arena, c->jid.bare, login_agent(l));
	l->client = str_dup(elem_arena(l->request), c->client);
	l->by_token = true;
	l->is_last = c->proof.is_last;
	account_call(&c->jid, on_account, c);
}

/* ---- a new one --------------------------------------------------------- */

/* A certificate, or nothing at all, is no password. */
static bool
needs_no_password(const struct stream *s)
{
	return strcmp(s->nego->mechanism, "EXTERNAL") == 0 ||
	       strcmp(s->nego->mechanism, "ANONYMOUS") == 0;
}

/* The mechanism that a new token is to be for; none if there is to be none. */
static struct str
wanted(const struct stream *s, const struct login *l, const struct client *c)
{
	const struct elem *e = elem_child(l->request, EL_FAST_REQUEST);
	struct str names[OFFERS_MAX];
	size_t count = token_offer(s->transport, names, OFFERS_MAX);

	/* It would outlive the certificate or the guest. */
	if (needs_no_password(s))
		return STR_NONE;
	for (size_t i = 0; e != NULL && i < count; i++)
		if (str_eq(names[i], elem_attr(e, AT_MECHANISM)))
			return names[i];
	if (count > 0 && l->by_token && !l->is_last && token_is_due(c))
		return c->token.mechanism;
	return STR_NONE;
}

/* It is told of only when a crash can't make us forget it. */
static void
on_saved(void *ctx, int err)
{
	struct stream *s = (struct stream *)ctx;

	if (s->nego != NULL && s->nego->login != NULL && !s->is_closing) {
		if (err < 0)
			s->nego->login->token = NULL;
		login_inline(s);
	}
	stream_unpin(s);
}

static void
give_token(struct stream *s, struct client *c, struct str mechanism)
{
	struct login *l = s->nego->login;
	struct arena *a = elem_arena(l->success);
	struct elem *e = elem_new(a, EL_FAST_TOKEN);

	elem_set(e, AT_TOKEN, token_make(l->account, c, mechanism, a));
	elem_set(e, AT_EXPIRY, clock_format(a, c->fresh.expires, false));
	l->token = e;
	stream_pin(s);
	client_save(l->account, c, on_saved, s);
}

static void
on_known(void *ctx, int err)
{
	struct stream *s = (struct stream *)ctx;
	struct login *l = s->nego != NULL ? s->nego->login : NULL;
	const struct elem *agent;
	struct str mechanism = STR_NONE;
	struct client *c = NULL;

	if (l != NULL && !s->is_closing) {
		agent = elem_child(l->request, EL_SASL2_USER_AGENT);
		if (err == 0)
			c = client_seen(l->account, s->nego->client,
			    elem_child_text(agent, EL_SASL2_SOFTWARE),
			    elem_child_text(agent, EL_SASL2_DEVICE),
			    !l->by_token && !needs_no_password(s));
		if (c != NULL)
			mechanism = wanted(s, l, c);
		if (str_is_none(mechanism))
			login_inline(s);
		else
			give_token(s, c, mechanism);
	}
	stream_unpin(s);
}

void
login_tokens(struct stream *s)
{
	if (str_is_none(s->nego->client)) {
		login_inline(s);
		return;
	}
	stream_pin(s);
	clients_load(s->nego->login->account, on_known, s);
}
