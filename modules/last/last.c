/* SPDX-License-Identifier: MIT */
/*
 * XEP-0012: Last Activity of accounts. For those who may see the presence of
 * the account, and for itself; nor do others ask its clients.
 */
#include "core/module.h"

/* May the sender of the iq see the account's presence? */
static bool
may_see(const struct stanza *iq)
{
	const struct account *acct = iq_account(iq);
	const struct roster_item *item;

	if (str_eq(iq->from.bare, iq->to.bare))
		return true;
	item = acct != NULL ? roster_find(acct, iq->from.bare) : NULL;
	return item != NULL && (item->sub & ROSTER_FROM);
}

/* Also while a link is lost: it is shown as available all that time. */
static bool
is_here(const struct account *acct)
{
	return acct != NULL && !list_is_empty(&acct->sessions);
}

/* `ctx` is the iq. */
static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct stanza *iq = ctx;
	struct elem *query;
	int64_t since;

	if (err < 0) {
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	since = row->last_seen != 0 ? row->last_seen : row->created;
	query = elem_add(stanza_result(iq), EL_LAST);
	elem_set_uint(
	    query, AT_SECONDS, (uint64_t)MAX(clock_real() - since, 0) / 1000);
	if (row->last_status.n > 0)
		elem_set_text(query, str_dup(iq->arena, row->last_status));
	stanza_send_back(iq);
}

static enum verdict
on_last(struct mod *m, struct stanza *iq)
{
	const struct account *acct = iq_account(iq);
	struct elem *query;

	if (!may_see(iq))
		return stanza_refuse(iq, EL_FORBIDDEN);
	if (is_here(acct)) {
		query = elem_add(stanza_result(iq), EL_LAST);
		elem_set_uint(query, AT_SECONDS, 0);
		return stanza_send_back(iq);
	}
	store_account_get(iq->to.bare, on_row, iq);
	return STANZA_DONE;
}

/* Of those who got its presence directly, rooms above all, the client knows. */
static enum verdict
on_deliver(struct mod *m, struct stanza *iq)
{
	const struct session *s;

	if (iq->type != IQ_GET || jid_is_bare(&iq->to) ||
	    elem_name(stanza_payload(iq)) != EL_LAST || may_see(iq))
		return STANZA_PASS;
	s = account_session(iq_account(iq), iq->to.resource);
	if (s != NULL && session_shows_to(s, &iq->from))
		return STANZA_PASS;
	return stanza_refuse(iq, EL_FORBIDDEN);
}

/* ---- commands ---------------------------------------------------------- */

static void
answer_last(struct cmd *c, int64_t when, struct str status)
{
	struct arena *a = cmd_arena(c);
	struct str stamp = clock_format(a, when / 1000 * 1000, false);

	cmd_result(c, json_pack("{s:s%, s:s%}", "timestamp", stamp.p, stamp.n,
			  "status", status.n > 0 ? status.p : "", status.n));
}

static void
last_row(void *ctx, int err, const struct account_row *row)
{
	struct cmd *c = ctx;

	if (err == ERR_ABSENT || (row != NULL && row->last_seen == 0))
		answer_last(c, clock_real(), STR("NOT FOUND"));
	else if (err < 0)
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
	else
		answer_last(c, row->last_seen, row->last_status);
}

static void
last_account(void *ctx, int err, struct account *acct)
{
	struct cmd *c = ctx;
	struct jid *jid = cmd_ctx(c);

	if (is_here(acct))
		answer_last(c, clock_real(), STR("ONLINE"));
	else
		store_account_get(jid->bare, last_row, c);
}

static void
get_last(struct cmd *c)
{
	struct jid *jid = arena_new_of(cmd_arena(c), struct jid);

	if (!cmd_account(c, "user", "host", jid))
		return;
	cmd_set_ctx(c, jid);
	account_call(jid, last_account, c);
}

static void
put_last(struct cmd *c, struct account *acct)
{
	const struct jid *jid = cmd_ctx(c);
	struct store_write *w = store_write_new(jid->bare);

	account_set_last(
	    w, jid->bare, cmd_int(c, "timestamp") * 1000, cmd_str(c, "status"));
	store_commit(&w, cmd_on_done, c);
}

static void
set_last(struct cmd *c)
{
	struct jid *jid = arena_new_of(cmd_arena(c), struct jid);

	if (!cmd_account(c, "user", "host", jid))
		return;
	cmd_set_ctx(c, jid);
	cmd_if_account(c, jid, put_last);
}

static const struct command commands[] = {
	{
	    .name = "get_last",
	    .tag = "last",
	    .help = "Get last activity information",
	    .args = { { .name = "user", .type = "string" },
		{ .name = "host", .type = "string" } },
	    .result_name = "last_activity",
	    .result = "{timestamp:string, status:string}",
	    .run = get_last,
	},
	{
	    .name = "set_last",
	    .tag = "last",
	    .help = "Set last activity information",
	    .args = { { .name = "user", .type = "string" },
		{ .name = "host", .type = "string" },
		{ .name = "timestamp", .type = "integer" },
		{ .name = "status", .type = "string" } },
	    .result_name = "res",
	    .result = "rescode",
	    .run = set_last,
	},
	COMMANDS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_ACCOUNT, EL_LAST, on_last },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_IQ_DELIVER, NORMAL, .stanza = on_deliver },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_ACCOUNT, STR_INIT("jabber:iq:last") },
	FEATURES_END,
};

MODULE(last) = {
	.summary = "tell contacts when an account was last online",
	.hooks = hooks,
	.iq = routes,
	.features = features,
	.commands = commands,
};
