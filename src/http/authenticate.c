/* SPDX-License-Identifier: MIT */
/*
 * Basic authentication (RFC 7617) of administrators, by their address and
 * password, and tokens of applications (RFC 6750). Whatever is wrong costs as
 * much and says as little.
 */
#include "base/err.h"
#include "base/log.h"
#include "core/app_token.h"
#include "core/auth.h"
#include "core/metrics.h"
#include "core/penalty.h"
#include "http/request.h"

static const struct log_ctx log_http = { .source = "http" };

struct login {
	struct http_req *req;
	struct jid jid;
	unsigned status;
	struct timer delay;
	void (*done)(struct http_req *r, unsigned status);
	http_bearer_fn *bearer; /* instead */
};

const char *
http_user(const struct http_req *r)
{
	return r->user;
}

static void
on_delay(struct timer *t)
{
	struct login *l = CONTAINER_OF(t, struct login, delay);

	if (l->bearer != NULL)
		l->bearer(l->req, l->status, NULL);
	else
		l->done(l->req, l->status);
}

/* Later the more often it has failed from there. */
static void
login_fail(struct login *l, const char *why)
{
	char ip[ADDR_TEXT_MAX];
	uint64_t delay;

	addr_ip(http_peer(l->req), ip);
	log_notice(&log_http, "login failed: %s, as " STR_FMT ", from %s", why,
	    STR_ARG(l->jid.bare), ip);
	metric_add(METRIC_LOGIN_FAILURES, 1);
	l->status = 401;
	delay = penalty_add(http_peer(l->req), loop_now());
	timer_start(&l->delay, delay, on_delay);
}

static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct login *l = (struct login *)ctx;

	if (err < 0 && err != ERR_ABSENT) {
		l->done(l->req, 503);
	} else if (row == NULL || row->ban.n > 0) {
		login_fail(l, "it may not log in");
	} else if (!host_is_admin(&l->jid)) {
		l->done(l->req, 403);
	} else {
		l->req->user = str_dup_c(l->req->arena, l->jid.bare);
		l->done(l->req, 200);
	}
}

static void
on_checked(void *ctx, int err)
{
	struct login *l = (struct login *)ctx;

	if (err == 0)
		auth_account(&l->jid, on_row, l);
	else if (err == ERR_DENIED)
		login_fail(l, "wrong password, or no such account");
	else
		l->done(l->req, 503);
}

/* "Basic " and the Base64 of "jid:password". */
static bool
login_parse(struct login *l, struct str *password_r)
{
	struct str value = http_head(l->req, "authorization");
	struct str scheme = str_cut(&value, ' ');

	if (!str_eq_nocase(scheme, STR("Basic")) || str_is_none(value) ||
	    !str_unbase64(l->req->arena, str_trim(value), password_r) ||
	    !str_is_utf8(*password_r) ||
	    jid_parse(l->req->arena, str_cut(password_r, ':'), &l->jid) < 0)
		return false;
	return !str_is_none(*password_r) && !str_is_none(l->jid.local) &&
	       jid_is_bare(&l->jid);
}

/* Tokens ------------------------------------------------------------------*/

static bool
has_token(const struct http_req *r, struct str *text_r)
{
	struct str value = http_head(r, "authorization");
	struct str scheme = str_cut(&value, ' ');

	*text_r = str_is_none(value) ? STR("") : str_trim(value);
	return str_eq_nocase(scheme, STR("Bearer"));
}

/* May it run commands, as an administrator may? */
static void
on_admin_token(void *ctx, int err, const struct app_token *t)
{
	struct login *l = (struct login *)ctx;

	if (err == ERR_DENIED) {
		login_fail(l, "no such token");
	} else if (err < 0) {
		l->done(l->req, 503);
	} else if (!app_token_has_scope(t, "commands")) {
		l->done(l->req, 403);
	} else {
		l->req->user = arena_printf(
		    l->req->arena, "token " STR_FMT, STR_ARG(t->name));
		l->done(l->req, 200);
	}
}

static void
on_token(void *ctx, int err, const struct app_token *t)
{
	struct login *l = (struct login *)ctx;

	if (err == ERR_DENIED)
		login_fail(l, "no such token");
	else
		l->bearer(l->req, err < 0 ? 503 : 200, t);
}

void
http_bearer(struct http_req *r, http_bearer_fn *done)
{
	struct login *l = arena_new_of(r->arena, struct login);
	struct str text;

	l->req = r;
	l->bearer = done;
	if (has_token(r, &text))
		app_token_check(r->host, text, on_token, l);
	else
		login_fail(l, "no token that could be read");
}

void
http_authenticate(
    struct http_req *r, void (*done)(struct http_req *r, unsigned status))
{
	struct login *l = arena_new_of(r->arena, struct login);
	struct str password;

	l->req = r;
	l->done = done;
	if (has_token(r, &password)) {
		app_token_check(r->host, password, on_admin_token, l);
	} else if (login_parse(l, &password)) {
		auth_check_password(&l->jid, password, on_checked, l);
	} else {
		l->jid = (struct jid){ 0 };
		login_fail(l, "no name and password that could be read");
	}
}
