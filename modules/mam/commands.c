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

/* ---- old messages ------------------------------------------------------ */

#define DOMAINS_MAX 256

/* Domain after domain: hosts, services or both. */
struct expiry {
	struct str domain[DOMAINS_MAX];
	size_t count, next;
	int64_t before;
	uint64_t deleted;
	struct cmd *cmd;     /* who waits; NULL: it runs in the background */
	struct arena *arena; /* its own, in the background */
};

/* The one that runs in the background, or the last. */
static struct cmd_job background = { .what = "deletion of old messages" };

static void
add_domain(void *ctx, const struct jid *domain)
{
	struct expiry *e = ctx;

	if (e->count < DOMAINS_MAX)
		e->domain[e->count++] = domain->full;
}

static void
add_host(struct expiry *e, const struct host *host, struct str type)
{
	if (!str_is(type, "groupchat"))
		add_domain(e, &host->jid);
	if (!str_is(type, "chat"))
		mod_each_service(host, add_domain, e);
}

static void
on_expired(void *ctx, int err, uint64_t count)
{
	struct expiry *e = ctx;
	struct cmd *c = e->cmd;

	e->deleted += count;
	if (c == NULL)
		background.count = e->deleted;
	if (c == NULL && atomic_load(&background.is_aborted))
		e->next = e->count;
	if (err == 0 && e->next < e->count) {
		archive_expire(e->domain[e->next++], e->before,
		    c == NULL ? &background.is_aborted : NULL, on_expired, e);
	} else if (c == NULL) {
		cmd_job_end(&background, err);
		arena_free(&e->arena);
	} else if (err < 0) {
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
	} else {
		cmd_ok(c, NULL);
	}
}

/* NULL: the arguments are wrong, and the command has failed. */
static struct expiry *
expiry_of(struct cmd *c, struct arena *a)
{
	struct str type = cmd_str(c, "type");
	struct expiry *e = arena_new_of(a, struct expiry);

	if (!str_is(type, "chat") && !str_is(type, "groupchat") &&
	    !str_is(type, "all")) {
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "The type is 'chat', 'groupchat' or 'all'");
		return NULL;
	}
	return cmd_days_ago(c, &e->before) ? e : NULL;
}

static void
delete_old_mam_messages(struct cmd *c)
{
	struct expiry *e = expiry_of(c, cmd_arena(c));

	if (e == NULL)
		return;
	e->cmd = c;
	for (size_t i = 0; i < host_count(); i++)
		add_host(e, host_at(i), cmd_str(c, "type"));
	on_expired(e, 0, 0);
}

/*
 * The store deletes in slices that hold nobody up, as fast as it can: so
 * the size of a batch and the rate are of no consequence here.
 */
static void
delete_old_mam_messages_batch(struct cmd *c)
{
	struct host *host = cmd_host(c, "host");
	struct arena *a;
	struct expiry *e;

	if (host == NULL)
		return;
	a = arena_new(sizeof(*e) + 256);
	e = expiry_of(c, a);
	if (e == NULL) {
		arena_free(&a);
		return;
	}
	e->arena = a;
	add_host(e, host, cmd_str(c, "type"));
	if (cmd_job_begin(c, &background))
		on_expired(e, 0, 0);
	else
		arena_free(&a);
}

static void
delete_old_mam_messages_status(struct cmd *c)
{
	cmd_job_tell(c, &background);
}

/* The store stops with the slice that it is at. */
static void
abort_delete_old_mam_messages(struct cmd *c)
{
	if (cmd_host(c, "host") != NULL)
		cmd_job_abort(c, &background);
}

/* ---- a limit for one account ------------------------------------------- */

struct limit {
	struct jid jid;
	int64_t days;
};

static void
put_limit(struct cmd *c, struct account *acct)
{
	const struct limit *l = cmd_ctx(c);
	struct str owner = l->jid.bare;
	struct store_write *w = store_write_new(owner);

	if (l->days == 0)
		kv_del(w, owner, STR("mam-retention"), STR("days"));
	else
		kv_put(w, owner, STR("mam-retention"), STR("days"),
		    str_printf(cmd_arena(c), "%lld", (long long)l->days));
	store_commit(&w, cmd_on_done, c);
}

static void
set_mam_retention(struct cmd *c)
{
	struct limit *l = arena_new_of(cmd_arena(c), struct limit);

	if (!cmd_account(c, "user", "host", &l->jid) || !cmd_days(c, &l->days))
		return;
	cmd_set_ctx(c, l);
	cmd_if_account(c, &l->jid, put_limit);
}

static void
on_retention(void *ctx, int err, struct str value)
{
	uint64_t days = 0;

	if (err < 0 && err != ERR_ABSENT) {
		cmd_fail(ctx, CMD_FAILED, 0, "%s", err_text(err));
		return;
	}
	if (err == 0)
		str_to_u64(value, &days);
	cmd_result(ctx, json_integer((json_int_t)days));
}

static void
get_mam_retention(struct cmd *c)
{
	struct jid jid;

	if (cmd_account(c, "user", "host", &jid))
		kv_get(jid.bare, STR("mam-retention"), STR("days"),
		    on_retention, c);
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
	    .name = "delete_old_mam_messages_batch",
	    .tag = "mam",
	    .help = "Delete MAM messages older than DAYS in the background",
	    .args = { { .name = "host", .type = "string" },
		{ .name = "type", .type = "string" },
		{ .name = "days", .type = "integer" },
		{ .name = "batch_size", .type = "integer" },
		{ .name = "rate", .type = "integer" } },
	    .result_name = "res",
	    .result = "restuple",
	    .run = delete_old_mam_messages_batch,
	},
	{
	    .name = "abort_delete_old_mam_messages",
	    .tag = "mam",
	    .help = "Abort the deletion of old messages in the background",
	    .args = { { .name = "host", .type = "string" } },
	    .result_name = "status",
	    .result = "string",
	    .run = abort_delete_old_mam_messages,
	},
	{
	    .name = "delete_old_mam_messages_status",
	    .tag = "mam",
	    .help = "Status of the deletion of old messages",
	    .args = { { .name = "host", .type = "string" } },
	    .result_name = "status",
	    .result = "string",
	    .run = delete_old_mam_messages_status,
	},
	{
	    .name = "set_mam_retention",
	    .tag = "mam",
	    .help = "Keep the messages of an account for DAYS only; 0: as its "
		    "host",
	    .args = { USER, { .name = "days", .type = "integer" } },
	    .result_name = "res",
	    .result = "rescode",
	    .run = set_mam_retention,
	},
	{
	    .name = "get_mam_retention",
	    .tag = "mam",
	    .help = "For how many days the messages of an account are kept",
	    .args = { USER },
	    .result_name = "days",
	    .result = "integer",
	    .run = get_mam_retention,
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
