/* SPDX-License-Identifier: MIT */
/*
 * Commands about bans. What is known of a ban is kept with the account, as
 * JSON: an object with the keys of get_ban_details.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "core/account.h"
#include "core/account_walk.h"
#include "core/commands.h"
#include "core/session.h"

/* Banning -----------------------------------------------------------------*/

static json_t *
text_of(struct str s)
{
	return json_stringn(s.p != NULL ? s.p : "", s.n);
}

static json_t *
time_of(struct cmd *c, int64_t real_ms)
{
	return text_of(clock_format(cmd_arena(c), real_ms, true));
}

/* What is written about it, with when and how the user was last seen. */
static struct str
ban_text(struct cmd *c, const struct account_row *row, bool is_online)
{
	json_t *ban = json_object();
	int64_t now = clock_real();
	struct buf b = { 0 };
	struct str text;

	json_object_set_new(ban, "reason", text_of(cmd_str(c, "reason")));
	json_object_set_new(ban, "bandate", time_of(c, now));
	json_object_set_new(ban, "lastdate",
	    is_online || row->last_seen != 0
		? time_of(c, is_online ? now : row->last_seen)
		: json_string(""));
	json_object_set_new(ban, "lastreason",
	    is_online ? json_string("ONLINE") : text_of(row->last_status));
	cmd_json_write(&b, ban);
	json_decref(ban);
	text = str_dup(cmd_arena(c), buf_str(&b));
	buf_fini(&b);
	return text;
}

static void
on_banned(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err == 0)
		cmd_ok(c, NULL);
	else
		cmd_fail(c, CMD_FAILED, 0, "%s",
		    err == ERR_ABSENT ? "account_does_not_exist"
				      : err_text(err));
}

struct ban {
	struct cmd *cmd;
	struct jid jid;
	bool is_online;
};

static void
on_row_to_ban(void *ctx, int err, const struct account_row *row)
{
	struct ban *ban = (struct ban *)ctx;

	if (err < 0)
		on_banned(ban->cmd, err);
	else
		account_ban(&ban->jid, ban_text(ban->cmd, row, ban->is_online),
		    on_banned, ban->cmd);
}

static void
on_account_to_ban(void *ctx, int err, struct account *acct)
{
	struct ban *ban = (struct ban *)ctx;

	if (err < 0 || acct == NULL) {
		on_banned(ban->cmd, err < 0 ? err : ERR_ABSENT);
		return;
	}
	ban->is_online = account_online_count(acct) > 0;
	store_account_get(ban->jid.bare, on_row_to_ban, ban);
}

static void
run_ban_account(struct cmd *c)
{
	struct ban *ban = arena_new_of(cmd_arena(c), struct ban);

	ban->cmd = c;
	if (cmd_account(c, "user", "host", &ban->jid))
		account_call(&ban->jid, on_account_to_ban, ban);
}

static void
run_unban_account(struct cmd *c)
{
	struct jid jid;

	if (cmd_account(c, "user", "host", &jid))
		account_ban(&jid, STR_NONE, on_banned, c);
}

/* Version 0: a password that nobody knows, and out. -----------------------*/

static void
on_account_locked_out(void *ctx, int err, struct account *acct)
{
	struct cmd *c = (struct cmd *)ctx;
	struct session *s;
	const char *why = str_dup_c(cmd_arena(c), cmd_str(c, "reason"));

	if (acct != NULL)
		LIST_EACH(s, &acct->sessions, struct session, node)
	session_close(s, EL_SE_POLICY_VIOLATION, why);
	on_banned(c, err);
}

static void
on_password_lost(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;
	struct jid *jid = (struct jid *)cmd_ctx(c);

	if (err < 0)
		on_banned(c, err);
	else
		account_call(jid, on_account_locked_out, c);
}

static void
run_ban_account_v0(struct cmd *c)
{
	struct jid *jid = arena_new_of(cmd_arena(c), struct jid);

	cmd_set_ctx(c, jid);
	if (cmd_account(c, "user", "host", jid))
		account_set_password(
		    jid, random_token(cmd_arena(c), 24), on_password_lost, c);
}

/* What is known -----------------------------------------------------------*/

static json_t *
details_of(struct str ban)
{
	static const char *const keys[] = { "reason", "bandate", "lastdate",
		"lastreason" };
	json_t *object = json_loadb(ban.p, ban.n, 0, NULL);
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *value =
		    json_string_value(json_object_get(object, keys[i]));

		if (value != NULL)
			json_array_append_new(
			    list, json_pack("[s,s]", keys[i], value));
	}
	json_decref(object);
	return list;
}

static void
on_ban_row(void *ctx, int err, const struct account_row *row)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err == ERR_ABSENT || (err == 0 && str_is_empty(row->ban)))
		cmd_result(c, json_array());
	else if (err < 0)
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
	else
		cmd_result(c, details_of(row->ban));
}

static void
run_get_ban_details(struct cmd *c)
{
	struct jid jid;

	if (cmd_account(c, "user", "host", &jid))
		store_account_get(jid.bare, on_ban_row, c);
}

/* Commands that look at all accounts keep an array or an integer. */
static void
on_listed_row(void *ctx, const struct jid *jid, const struct account_row *row)
{
	json_t *list = (json_t *)cmd_ctx((struct cmd *)ctx);

	if (!str_is_empty(row->ban))
		json_array_append_new(
		    list, json_stringn(jid->bare.p, jid->bare.n));
}

static void
on_counted_row(void *ctx, const struct jid *jid, const struct account_row *row)
{
	json_t *count = (json_t *)cmd_ctx((struct cmd *)ctx);

	if (!str_is_empty(row->ban))
		json_integer_set(count, json_integer_value(count) + 1);
}

static void
on_rows_end(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;
	json_t *value = (json_t *)cmd_ctx(c);

	if (err == 0) {
		cmd_result(c, value);
		return;
	}
	json_decref(value);
	cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
}

static void
look_at_all(struct cmd *c, account_row_fn *row, json_t *value)
{
	struct host *host = cmd_host(c, "host");

	if (host == NULL) {
		json_decref(value);
		return;
	}
	cmd_set_ctx(c, value);
	account_walk_rows(host, row, on_rows_end, c);
}

static void
run_list_banned(struct cmd *c)
{
	look_at_all(c, on_listed_row, json_array());
}

static void
run_count_banned(struct cmd *c)
{
	look_at_all(c, on_counted_row, json_integer(0));
}

const struct command commands_bans[] = {
	{ .name = "ban_account",
	    .tag = "accounts",
	    .help = "Ban an account: kick its sessions and refuse logins",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("reason", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .version = 2,
	    .run = run_ban_account },
	{ .name = "ban_account",
	    .tag = "accounts",
	    .help = "Ban an account: kick its sessions and set a random "
		    "password",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("reason", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_ban_account_v0 },
	{ .name = "unban_account",
	    .tag = "accounts",
	    .help = "Let a banned account log in again",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .version = 2,
	    .run = run_unban_account },
	{ .name = "get_ban_details",
	    .tag = "accounts",
	    .help = "Get details about the ban of an account",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "ban_details",
	    .result = "[{name:string, value:string}]",
	    .version = 2,
	    .run = run_get_ban_details },
	{ .name = "list_banned",
	    .tag = "accounts",
	    .help = "List the banned accounts of a host",
	    .args = { ARG("host", "string") },
	    .result_name = "banned",
	    .result = "[jid:string]",
	    .run = run_list_banned },
	{ .name = "count_banned",
	    .tag = "accounts",
	    .help = "Count the banned accounts of a host",
	    .args = { ARG("host", "string") },
	    .result_name = "banned",
	    .result = "integer",
	    .run = run_count_banned },
	COMMANDS_END,
};
