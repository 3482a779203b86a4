/* SPDX-License-Identifier: MIT */
/* Commands about accounts and their passwords. */
#include "base/clock.h"
#include "base/err.h"
#include "core/account.h"
#include "core/account_walk.h"
#include "core/commands.h"
#include "core/host.h"
#include "core/session.h"
#include "jid/jid.h"

#define CODE_EXISTS 10090
#define CODE_NOT_DONE 10001

/* User and host as they were written, prepared as far as they can be. */
static const char *
account_text(struct cmd *c)
{
	return arena_printf(cmd_arena(c), STR_FMT "@" STR_FMT,
	    STR_ARG(cmd_str(c, "user")), STR_ARG(cmd_str(c, "host")));
}

/*
 * The JID that user and host make. Where there is no such host, these
 * commands answer with an error of their own.
 */
static bool
account_of(struct cmd *c, struct jid *jid_r)
{
	struct arena *a = cmd_arena(c);
	struct str host, user;

	if (jid_prep_domain(a, cmd_str(c, "host"), &host) < 0 ||
	    host_find(host) == NULL) {
		cmd_fail(c, CMD_FAILED, CODE_NOT_DONE, "Unknown virtual host");
		return false;
	}
	if (jid_prep_local(a, cmd_str(c, "user"), &user) < 0) {
		cmd_fail(c, CMD_FAILED, CODE_NOT_DONE,
		    "Can't register user %s at node %s: The username is not "
		    "valid",
		    account_text(c), command_node());
		return false;
	}
	*jid_r = jid_make(a, user, host, STR_NONE);
	return true;
}

static void
on_registered(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;
	const char *who = account_text(c);

	if (err == 0)
		cmd_ok(c, arena_printf(cmd_arena(c),
			      "User %s successfully registered", who));
	else if (err == ERR_EXISTS)
		cmd_fail(c, CMD_CONFLICT, CODE_EXISTS,
		    "User %s already registered", who);
	else
		cmd_fail(c, CMD_FAILED, CODE_NOT_DONE,
		    "Can't register user %s at node %s: %s", who,
		    command_node(),
		    err == ERR_INVALID
			? "The username or the password is not allowed"
			: err_text(err));
}

static void
run_register(struct cmd *c)
{
	struct jid jid;

	if (account_of(c, &jid))
		account_register(
		    &jid, cmd_str(c, "password"), on_registered, c);
}

/* As in ejabberd, it is no error when there was none. */
static void
on_unregistered(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err == 0 || err == ERR_ABSENT)
		cmd_ok(c, "");
	else
		cmd_fail(c, CMD_FAILED, CODE_NOT_DONE,
		    "Can't unregister user %s at node %s: %s", account_text(c),
		    command_node(), err_text(err));
}

static void
run_unregister(struct cmd *c)
{
	struct jid jid;

	if (account_of(c, &jid))
		account_remove(&jid, on_unregistered, c);
}

/* Passwords ---------------------------------------------------------------*/

static void
on_password_set(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err == 0)
		cmd_ok(c, NULL);
	else if (err == ERR_ABSENT)
		cmd_fail(c, CMD_NOT_FOUND, 0, "unregistered_user");
	else
		cmd_fail(c, CMD_BAD_ARG, 0, "%s",
		    err == ERR_INVALID ? "The password is not allowed"
				       : err_text(err));
}

static void
run_change_password(struct cmd *c)
{
	struct jid jid;

	if (cmd_account(c, "user", "host", &jid))
		account_set_password(
		    &jid, cmd_str(c, "newpass"), on_password_set, c);
}

/* A yes, or a no, which is rescode 1; or why it can't be said. */
static void
on_checked(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err == 0)
		cmd_ok(c, NULL);
	else if (err == ERR_DENIED || err == ERR_ABSENT)
		cmd_fail(c, CMD_FAILED, 0, "false");
	else
		cmd_fail(c, CMD_BAD_ARG, 0, "%s", err_text(err));
}

static void
run_check_password(struct cmd *c)
{
	struct jid jid;

	if (cmd_account(c, "user", "host", &jid))
		account_check_password(
		    &jid, cmd_str(c, "password"), on_checked, c);
}

static void
on_account_row(void *ctx, int err, const struct account_row *row)
{
	on_checked(ctx, err);
}

static void
run_check_account(struct cmd *c)
{
	struct jid jid;

	if (cmd_account(c, "user", "host", &jid))
		store_account_get(jid.bare, on_account_row, c);
}

/* Lists -------------------------------------------------------------------*/

static void
on_name_page(struct account_walk *w, const struct str *names, size_t count)
{
	struct cmd *c = (struct cmd *)account_walk_ctx(w);
	json_t *list = (json_t *)cmd_ctx(c);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
		    list, json_stringn(names[i].p, names[i].n));
	account_walk_next(w);
}

static void
on_names_end(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;
	json_t *list = (json_t *)cmd_ctx(c);

	if (err == 0) {
		cmd_result(c, list);
		return;
	}
	json_decref(list);
	cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
}

static void
run_registered_users(struct cmd *c)
{
	static const struct account_visitor visitor = {
		.page = on_name_page,
		.end = on_names_end,
	};
	struct host *host = cmd_host(c, "host");

	if (host == NULL)
		return;
	cmd_set_ctx(c, json_array());
	account_walk(host, &visitor, c);
}

/* Old users ---------------------------------------------------------------*/

struct old_users {
	struct cmd *cmd;
	const struct host *host; /* NULL: all */
	int64_t before;		 /* not seen since */
	json_t *online;		 /* an object by bare JID */
	struct buf deleted;
	size_t count;
	size_t pending; /* removals, and one for the walk */
	int err;
};

struct old_user {
	struct old_users *all;
	struct jid jid;
	struct arena *arena; /* it lives in it */
};

static void
old_users_step(struct old_users *old, int err)
{
	struct cmd *c = old->cmd;

	if (err < 0 && err != ERR_ABSENT)
		old->err = err;
	if (--old->pending > 0)
		return;
	if (old->err < 0)
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(old->err));
	else
		cmd_ok(c, arena_printf(cmd_arena(c),
			      "Deleted %zu users: [" STR_FMT "]", old->count,
			      STR_ARG(buf_str(&old->deleted))));
	json_decref(old->online);
	buf_fini(&old->deleted);
}

static void
on_old_removed(void *ctx, int err)
{
	struct old_user *u = (struct old_user *)ctx;
	struct old_users *old = u->all;
	struct arena *a = u->arena;

	if (err == 0) {
		if (old->count++ > 0)
			buf_add_str(&old->deleted, STR(", "));
		buf_add_str(&old->deleted, u->jid.bare);
	}
	arena_free(&a);
	old_users_step(old, err);
}

static void
on_old_row(void *ctx, const struct jid *jid, const struct account_row *row)
{
	struct old_users *old = (struct old_users *)ctx;
	struct arena *a;
	struct old_user *u;

	if (MAX(row->created, row->last_seen) >= old->before)
		return;
	a = arena_new(0);
	u = arena_new_of(a, struct old_user);
	u->all = old;
	u->arena = a;
	u->jid = jid_dup(a, jid);
	if (json_object_get(old->online, str_dup_c(a, jid->bare)) != NULL) {
		arena_free(&a);
		return;
	}
	old->pending++;
	account_remove(&u->jid, on_old_removed, u);
}

static void
on_old_end(void *ctx, int err)
{
	old_users_step((struct old_users *)ctx, err);
}

static void
add_bare(void *ctx, struct session *s)
{
	json_t *list = (json_t *)ctx;
	struct str bare = s->jid.bare;

	json_array_append_new(list, json_stringn(bare.p, bare.n));
}

static json_t *
online_part(const struct cmd *c)
{
	json_t *list = json_array();

	session_each(add_bare, list);
	return list;
}

/* Who is online is not old, however long. */
static void
on_online(struct cmd *c, json_t *list)
{
	struct old_users *old = (struct old_users *)cmd_ctx(c);

	for (size_t i = 0; i < json_array_size(list); i++)
		json_object_set_new(old->online,
		    json_string_value(json_array_get(list, i)), json_true());
	json_decref(list);
	account_walk_rows(old->host, on_old_row, on_old_end, old);
}

static void
delete_old_users(struct cmd *c, const struct host *host)
{
	struct old_users *old = arena_new_of(cmd_arena(c), struct old_users);

	if (!cmd_days_ago(c, &old->before))
		return;
	old->cmd = c;
	old->host = host;
	old->online = json_object();
	old->pending = 1;
	cmd_set_ctx(c, old);
	cmd_gather(c, online_part, on_online);
}

static void
run_delete_old_users(struct cmd *c)
{
	delete_old_users(c, NULL);
}

static void
run_delete_old_users_vhost(struct cmd *c)
{
	struct host *host = cmd_host(c, "host");

	if (host != NULL)
		delete_old_users(c, host);
}

const struct command commands_accounts[] = {
	{ .name = "register",
	    .tag = "accounts",
	    .help = "Register a user",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("password", "string") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_register },
	{ .name = "unregister",
	    .tag = "accounts",
	    .help = "Delete a user and all that he owns",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_unregister },
	{ .name = "registered_users",
	    .tag = "accounts",
	    .help = "List all registered users of a host",
	    .args = { ARG("host", "string") },
	    .result_name = "users",
	    .result = "[username:string]",
	    .run = run_registered_users },
	{ .name = "change_password",
	    .tag = "accounts",
	    .help = "Change the password of an account",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("newpass", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_change_password },
	{ .name = "check_account",
	    .tag = "accounts",
	    .help = "Check if an account exists or not",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_check_account },
	{ .name = "check_password",
	    .tag = "accounts",
	    .help = "Check if a password is correct",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("password", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_check_password },
	{ .name = "delete_old_users",
	    .tag = "accounts, purge",
	    .help = "Delete users that did not log in for so many days",
	    .args = { ARG("days", "integer") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_delete_old_users },
	{ .name = "delete_old_users_vhost",
	    .tag = "accounts, purge",
	    .help = "Delete users of a host that did not log in for so many "
		    "days",
	    .args = { ARG("host", "string"), ARG("days", "integer") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_delete_old_users_vhost },
	COMMANDS_END,
};
