/* SPDX-License-Identifier: MIT */
/* ejabberd's commands about archives. */
#include "modules/mam/mam.h"

static void
on_count(void *ctx, int err, uint64_t count)
{
	struct cmd *c = ctx;

	if (err < 0)
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
	else
		cmd_result(c, json_integer((json_int_t)count));
}

static void
get_mam_count(struct cmd *c)
{
	struct jid jid;

	if (cmd_account(c, "user", "host", &jid))
		archive_count(jid.bare, on_count, c);
}

static void
clear(struct cmd *c, struct str with)
{
	struct store_write *w;
	struct jid jid;

	if (!cmd_account(c, "user", "host", &jid))
		return;
	w = store_write_new(jid.bare);
	archive_clear(w, jid.bare, with);
	store_commit(&w, cmd_on_done, c);
}

static void
remove_mam_for_user(struct cmd *c)
{
	clear(c, STR_NONE);
}

static void
remove_mam_for_user_with_peer(struct cmd *c)
{
	struct jid with;

	if (jid_parse(cmd_arena(c), cmd_str(c, "with"), &with) < 0)
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid JID");
	else
		clear(c, with.bare);
}

/* Host after host; `ctx` of the command is how far it has come. */
struct expiry {
	size_t next;
	int64_t before;
};

static void
on_expired(void *ctx, int err, uint64_t count)
{
	struct cmd *c = ctx;
	struct expiry *e = cmd_ctx(c);

	if (err < 0)
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
	else if (e->next == host_count())
		cmd_ok(c, NULL);
	else
		archive_expire(
		    host_at(e->next++)->jid.full, e->before, on_expired, c);
}

static void
delete_old_mam_messages(struct cmd *c)
{
	struct str type = cmd_str(c, "type");
	struct expiry *e = arena_new_of(cmd_arena(c), struct expiry);
	int64_t days = cmd_int(c, "days");

	if (!str_is(type, "chat") && !str_is(type, "all")) {
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "The type is 'chat' or 'all'; 'groupchat' comes with "
		    "rooms");
		return;
	}
	if (days < 0 || days > 36500) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid number of days");
		return;
	}
	e->before = clock_real() - (int64_t)DAYS(days);
	cmd_set_ctx(c, e);
	on_expired(c, 0, 0);
}

#define USER \
	{ .name = "user", .type = "string" }, \
	{ \
		.name = "host", .type = "string", .old_name = "server" \
	}

const struct command mam_commands[] = {
	{
	    .name = "delete_old_mam_messages",
	    .tag = "mam",
	    .help = "Delete MAM messages older than DAYS",
	    .args = { { .name = "type", .type = "string" },
		{ .name = "days", .type = "integer" } },
	    .result_name = "res",
	    .result = "rescode",
	    .run = delete_old_mam_messages,
	},
	{
	    .name = "get_mam_count",
	    .tag = "mam",
	    .help = "Get number of MAM messages in a local user archive",
	    .args = { USER },
	    .result_name = "value",
	    .result = "integer",
	    .run = get_mam_count,
	    .is_for_user = true,
	},
	{
	    .name = "remove_mam_for_user",
	    .tag = "mam",
	    .help = "Remove mam archive for user",
	    .args = { USER },
	    .result_name = "res",
	    .result = "restuple",
	    .run = remove_mam_for_user,
	},
	{
	    .name = "remove_mam_for_user_with_peer",
	    .tag = "mam",
	    .help = "Remove mam archive for user with peer",
	    .args = { USER, { .name = "with", .type = "string" } },
	    .result_name = "res",
	    .result = "restuple",
	    .run = remove_mam_for_user_with_peer,
	},
	COMMANDS_END,
};
