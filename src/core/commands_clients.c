/* SPDX-License-Identifier: MIT */
/* Commands about the clients that have access to an account (XEP-0494). */
#include "base/clock.h"
#include "base/err.h"
#include "core/client.h"
#include "core/commands.h"
#include "core/session.h"

struct ask {
	struct cmd *cmd;
	struct account *acct; /* pinned */
	void (*then)(struct ask *q);
	struct str id; /* in the command's arena */
	bool knows_password;
};

static void
ask_end(struct ask *q)
{
	account_unpin(q->acct);
}

static void
on_clients(void *ctx, int err)
{
	struct ask *q = (struct ask *)ctx;

	if (err == 0) {
		q->then(q);
		return;
	}
	cmd_fail(q->cmd, CMD_FAILED, 0, "%s", err_text(err));
	ask_end(q);
}

/* With the account's clients loaded. */
static void
ask(struct cmd *c, struct account *acct, void (*then)(struct ask *q))
{
	struct ask *q;

	if (acct == NULL) {
		cmd_fail(c, CMD_NOT_FOUND, 0, "unregistered_user");
		return;
	}
	q = arena_new_of(cmd_arena(c), struct ask);
	q->cmd = c;
	q->acct = acct;
	q->then = then;
	account_pin(acct);
	clients_load(acct, on_clients, q);
}

/* The list ----------------------------------------------------------------*/

static json_t *
text_of(struct str s)
{
	return json_stringn(s.p != NULL ? s.p : "", s.n);
}

static const char *
auth_of(const struct client *c)
{
	if (client_has_token(c))
		return c->by_password ? "password, token" : "token";
	return c->by_password ? "password" : "none";
}

static json_t *
info_of(struct arena *a, struct str id, bool is_connected, const char *auth,
    int64_t first, int64_t last)
{
	json_t *info = json_object();

	json_object_set_new(info, "id", text_of(id));
	json_object_set_new(
	    info, "connected", json_string(is_connected ? "true" : "false"));
	json_object_set_new(info, "auth", json_string(auth));
	json_object_set_new(
	    info, "first_seen", text_of(clock_format(a, first, false)));
	json_object_set_new(
	    info, "last_seen", text_of(clock_format(a, last, false)));
	return info;
}

static json_t *
client_info(struct arena *a, const struct account *acct, const struct client *c)
{
	json_t *info = info_of(a, c->id, client_is_connected(acct, c),
	    auth_of(c), c->first_seen, c->last_seen);

	json_object_set_new(info, "software", text_of(c->software));
	json_object_set_new(info, "device", text_of(c->device));
	return info;
}

static json_t *
session_info(struct arena *a, const struct session *s)
{
	json_t *info = info_of(a, client_session_id(s, a), true, "password",
	    s->since, clock_real());

	json_object_set_new(info, "software", json_string(""));
	json_object_set_new(info, "device", json_string(""));
	return info;
}

static void
list(struct ask *q)
{
	struct arena *a = cmd_arena(q->cmd);
	json_t *all = json_array();
	struct client *c = NULL;
	struct session *s;

	while ((c = clients_next(q->acct, c)) != NULL)
		if (client_has_access(q->acct, c))
			json_array_append_new(all, client_info(a, q->acct, c));
	LIST_EACH(s, &q->acct->sessions, struct session, node)
	if (!s->is_closing && str_is_none(s->client))
		json_array_append_new(all, session_info(a, s));
	ask_end(q);
	cmd_result(q->cmd, all);
}

static void
on_user_clients_info(struct cmd *c, struct account *acct)
{
	ask(c, acct, list);
}

static void
run_user_clients_info(struct cmd *c)
{
	command_at_home(c, on_user_clients_info);
}

/* Revoking ----------------------------------------------------------------*/

static void
on_removed(void *ctx, int err)
{
	struct ask *q = (struct ask *)ctx;

	if (err == 0)
		client_close_sessions(q->acct, q->id);
	ask_end(q);
	if (err < 0)
		cmd_fail(q->cmd, CMD_FAILED, 0, "%s", err_text(err));
	else if (q->knows_password)
		cmd_ok(q->cmd, "Revoked; but it knows the password, which has "
			       "to be changed to keep it out");
	else
		cmd_ok(q->cmd, "Revoked");
}

static void
revoke(struct ask *q)
{
	struct client *c;

	q->id = cmd_str(q->cmd, "id");
	c = client_find(q->acct, q->id);
	if (c == NULL) {
		ask_end(q);
		cmd_fail(q->cmd, CMD_NOT_FOUND, 0, "unknown_client");
		return;
	}
	q->knows_password = c->by_password;
	client_remove(q->acct, c, on_removed, q);
}

static void
on_revoke_client(struct cmd *c, struct account *acct)
{
	ask(c, acct, revoke);
}

static void
run_revoke_client(struct cmd *c)
{
	command_at_home(c, on_revoke_client);
}

const struct command commands_clients[] = {
	{ .name = "user_clients_info",
	    .tag = "session",
	    .help = "List the clients that have access to an account",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "clients_info",
	    .result = "[{id:string, connected:string, auth:string, "
		      "first_seen:string, last_seen:string, "
		      "software:string, device:string}]",
	    .run = run_user_clients_info },
	{ .name = "revoke_client",
	    .tag = "session",
	    .help = "End a client's access to an account: tokens and sessions",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("id", "string") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_revoke_client },
	COMMANDS_END,
};
