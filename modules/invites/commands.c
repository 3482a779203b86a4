/* SPDX-License-Identifier: MIT */
/* ejabberd's commands about invitations, and some of our own. */
#include "modules/invites/invites.h"

#define ARG(name_, type_) \
	{ \
		.name = (name_), .type = (type_) \
	}

static struct mod *
mod_of(struct cmd *c)
{
	struct host *h = cmd_host(c, "host");
	struct mod *m = h != NULL ? cmd_mod(c, h->jid.full) : NULL;

	if (h != NULL && m == NULL)
		cmd_fail(c, CMD_FAILED, 0, "There are no invitations there");
	return m;
}

static void
on_made(void *ctx, int err, struct str token, const struct invite *inv)
{
	struct cmd *c = (struct cmd *)ctx;
	struct mod *m = cmd_mod(c, cmd_host(c, "host")->jid.full);
	struct arena *a = cmd_arena(c);
	struct str uri, url;

	if (err < 0 || m == NULL) {
		cmd_fail(c,
		    err == ERR_EXISTS	? CMD_CONFLICT
		    : err == ERR_ABSENT ? CMD_NOT_FOUND
					: CMD_FAILED,
		    0, "%s",
		    err == ERR_EXISTS	? "The user name is taken"
		    : err == ERR_ABSENT ? "There is no such account"
		    : err == ERR_LIMIT	? "There are too many invitations"
					: err_text(err));
		return;
	}
	uri = inv->kind == INVITE_RESET
		  ? STR("")
		  : invite_uri(a, mod_host(m), inv, token);
	url = invite_url(a, m, token);
	if (url.n == 0)
		url = STR("");
	cmd_result(c, json_pack("{s:s%, s:s%}", "invite_uri", uri.p, uri.n,
			  "landing_page", url.p, url.n));
}

/* The argument, prepared; false, and the command has failed. */
static bool
name_of(struct cmd *c, const char *arg, struct str *name_r)
{
	if (jid_prep_local(cmd_arena(c), cmd_str(c, arg), name_r) == 0 &&
	    name_r->n > 0)
		return true;
	cmd_fail(c, CMD_BAD_ARG, 0, "The user name is not valid");
	return false;
}

static void
make(struct cmd *c, enum invite_kind kind, const char *arg, int64_t uses,
    int64_t ms)
{
	struct mod *m = mod_of(c);
	struct invite want = {
		.kind = kind,
		.makes_account = kind == INVITE_ACCOUNT,
		.by = STR(""),
		.name = STR(""),
		.uses = (uint64_t)uses,
	};

	if (m == NULL || (arg != NULL && !name_of(c, arg, &want.name)))
		return;
	want.expires = clock_real() + ms;
	invite_make(m, &want, on_made, c);
}

static int64_t
keep_of(struct cmd *c)
{
	struct host *h = host_find(cmd_str(c, "host"));
	struct mod *m = h != NULL ? cmd_mod(c, h->jid.full) : NULL;
	const struct invites_options *o = m != NULL ? mod_options(m) : NULL;

	return o != NULL ? (int64_t)o->keep_ms : (int64_t)DAYS(7);
}

static void
run_generate(struct cmd *c)
{
	make(c, INVITE_ACCOUNT, NULL, 1, keep_of(c));
}

static void
run_generate_with_username(struct cmd *c)
{
	make(c, INVITE_ACCOUNT, "username", 1, keep_of(c));
}

static void
run_invite(struct cmd *c)
{
	int64_t uses = cmd_int(c, "uses"), days = cmd_int(c, "days");

	if (uses < 1 || uses > USES_MAX || days < 0 || days > DAYS_MAX)
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "1 to %d uses, and 1 to %d days (0: as configured)",
		    USES_MAX, DAYS_MAX);
	else
		make(c, INVITE_ACCOUNT, NULL, uses,
		    days == 0 ? keep_of(c) : days * (int64_t)DAYS(1));
}

static void
reset(struct cmd *c, const char *arg)
{
	struct host *h = host_find(cmd_str(c, "host"));
	struct mod *m = h != NULL ? cmd_mod(c, h->jid.full) : NULL;
	const struct invites_options *o = m != NULL ? mod_options(m) : NULL;

	make(c, INVITE_RESET, arg, 1,
	    o != NULL ? (int64_t)o->reset_ms : (int64_t)DAYS(1));
}

static void
run_reset_token(struct cmd *c)
{
	reset(c, "username");
}

static void
run_reset_link(struct cmd *c)
{
	reset(c, "user");
}

/* ---- lists --------------------------------------------------------------- */

static void
on_listed(void *ctx, int err, const struct kv_item *items, size_t count)
{
	static const char *const types[] = { "account_only", "roster_only",
		"reset" };
	struct cmd *c = (struct cmd *)ctx;
	struct arena *a = cmd_arena(c);
	json_t *list;

	if (err < 0) {
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
		return;
	}
	list = json_array();
	for (size_t i = 0; i < count; i++) {
		struct invite inv =
		    invite_read(a, items[i].key, items[i].value);
		struct str made = clock_format(a, inv.created, false);
		struct str ends = clock_format(a, inv.expires, false);
		bool is_valid = inv.uses > 0 && inv.expires > clock_real();

		json_array_append_new(list,
		    json_pack("{s:s%, s:s, s:s%, s:s%, s:s, s:s%, s:s%, s:s%, "
			      "s:I}",
			"id", inv.id.p, inv.id.n, "valid",
			is_valid ? "true" : "false", "created_at", made.p,
			made.n, "expires", ends.p, ends.n, "type",
			inv.kind == INVITE_CONTACT && inv.makes_account
			    ? "account_and_roster"
			    : types[inv.kind],
			"inviter", inv.by.p, inv.by.n, "invitee", inv.used_by.p,
			inv.used_by.n, "account_name", inv.name.p, inv.name.n,
			"uses", (json_int_t)inv.uses));
	}
	cmd_result(c, list);
}

static void
run_list(struct cmd *c)
{
	struct mod *m = mod_of(c);

	if (m != NULL)
		kv_list(mod_host(m)->jid.full, STORE, STR_NONE, false,
		    INVITES_MAX * 2, on_listed, c);
}

static void
on_deleted(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err == ERR_ABSENT)
		cmd_fail(c, CMD_NOT_FOUND, 0, "There is no such invitation");
	else
		cmd_on_done(c, err);
}

static void
run_delete(struct cmd *c)
{
	struct mod *m = mod_of(c);

	if (m != NULL)
		invite_delete(m, cmd_str(c, "id"), on_deleted, c);
}

static void
run_delete_by_token(struct cmd *c)
{
	struct mod *m = mod_of(c);

	if (m != NULL)
		invite_delete(m, invite_id(cmd_arena(c), cmd_str(c, "token")),
		    on_deleted, c);
}

static void
run_expire_by_token(struct cmd *c)
{
	struct mod *m = mod_of(c);

	if (m != NULL)
		invite_expire(m, invite_id(cmd_arena(c), cmd_str(c, "token")),
		    on_deleted, c);
}

static void
on_expired(void *ctx, int err, uint64_t count)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err < 0)
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
	else
		cmd_result(c, json_integer((json_int_t)count));
}

static void
run_expire_all(struct cmd *c)
{
	struct mod *m = mod_of(c);
	struct str name;
	struct jid jid;

	if (m == NULL || !name_of(c, "username", &name))
		return;
	jid = jid_make(cmd_arena(c), name, mod_host(m)->jid.domain, STR_NONE);
	invite_sweep(m, jid.bare, on_expired, c);
}

/* One host after the other. */
struct cleanup {
	struct cmd *cmd;
	size_t next; /* of the hosts */
	uint64_t count;
};

static void cleanup_go_on(struct cleanup *u);

static void
on_cleaned(void *ctx, int err, uint64_t count)
{
	struct cleanup *u = (struct cleanup *)ctx;

	u->count += count;
	if (err < 0)
		on_expired(u->cmd, err, 0);
	else
		cleanup_go_on(u);
}

static void
cleanup_go_on(struct cleanup *u)
{
	while (u->next < host_count()) {
		struct host *h = host_at(u->next++);
		struct mod *m = mod_find(h, "invites");

		if (m != NULL) {
			invite_sweep(m, STR_NONE, on_cleaned, u);
			return;
		}
	}
	on_expired(u->cmd, 0, u->count);
}

static void
run_cleanup(struct cmd *c)
{
	struct cleanup *u = arena_new_of(cmd_arena(c), struct cleanup);

	u->cmd = c;
	cleanup_go_on(u);
}

#define INVITE_RESULT "{invite_uri:string, landing_page:string}"

const struct command invites_commands[] = {
	{ .name = "invite",
	    .tag = "accounts",
	    .help = "Invite somebody to make an account: once, or uses times, "
		    "within that many days (0: as configured)",
	    .args = { ARG("host", "string"),
		{ .name = "uses", .type = "integer", .fallback = "1" },
		{ .name = "days", .type = "integer", .fallback = "0" } },
	    .result_name = "invite",
	    .result = INVITE_RESULT,
	    .run = run_invite },
	{ .name = "generate_invite",
	    .tag = "accounts",
	    .help = "Invite somebody to make an account, once",
	    .args = { ARG("host", "string") },
	    .result_name = "invite",
	    .result = INVITE_RESULT,
	    .run = run_generate },
	{ .name = "generate_invite_with_username",
	    .tag = "accounts",
	    .help = "Invite somebody to make an account of that name, which "
		    "is kept for him",
	    .args = { ARG("username", "string"), ARG("host", "string") },
	    .result_name = "invite",
	    .result = INVITE_RESULT,
	    .run = run_generate_with_username },
	{ .name = "generate_reset_token",
	    .tag = "accounts",
	    .help = "Make a link by which the user sets a new password, once",
	    .args = { ARG("username", "string"), ARG("host", "string") },
	    .result_name = "invite",
	    .result = INVITE_RESULT,
	    .run = run_reset_token },
	{ .name = "password_reset_link",
	    .tag = "accounts",
	    .help = "Make a link by which the user sets a new password, once",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "invite",
	    .result = INVITE_RESULT,
	    .run = run_reset_link },
	{ .name = "list_invites",
	    .tag = "accounts",
	    .help = "List invitations, used ones too until they are over; the "
		    "tokens themselves are not kept",
	    .args = { ARG("host", "string") },
	    .result_name = "invites",
	    .result = "[{id:string, valid:atom, created_at:string, "
		      "expires:string, type:atom, inviter:string, "
		      "invitee:string, account_name:string, uses:integer}]",
	    .run = run_list },
	{ .name = "delete_invite",
	    .tag = "accounts",
	    .help = "Have an invitation hold no longer, by its id in the list",
	    .args = { ARG("host", "string"), ARG("id", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_delete },
	{ .name = "delete_invite_by_token",
	    .tag = "purge",
	    .help = "Have an invitation hold no longer, by its token",
	    .args = { ARG("host", "string"), ARG("token", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_delete_by_token },
	{ .name = "expire_invite_by_token",
	    .tag = "purge",
	    .help = "Have an invitation expire now, by its token; it is listed "
		    "until expired ones are cleaned up",
	    .args = { ARG("host", "string"), ARG("token", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_expire_by_token },
	{ .name = "expire_invite_tokens",
	    .tag = "purge",
	    .help = "Have all invitations that a user made expire now",
	    .args = { ARG("username", "string"), ARG("host", "string") },
	    .result_name = "num_expired",
	    .result = "integer",
	    .run = run_expire_all },
	{ .name = "cleanup_expired_invite_tokens",
	    .tag = "purge",
	    .help = "Delete invitations that have expired, of all hosts",
	    .result_name = "num_deleted",
	    .result = "integer",
	    .run = run_cleanup },
	COMMANDS_END,
};
