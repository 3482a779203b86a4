/* SPDX-License-Identifier: MIT */
/* The command account_contents: what `unregister` would remove. */
#include "base/err.h"
#include "core/account.h"
#include "core/belongings.h"
#include "core/commands.h"
#include "net/loop.h"
#include "store/store.h"

/* An account's stores; there is one for each node of its PEP. */
#define STORES_MAX 10000

struct contents {
	struct cmd *c;
	struct jid jid;
	json_t *list;
	struct str *names; /* of stores */
	size_t count, at;
	struct account *acct; /* pinned */
};

static void
add(json_t *list, const char *kind, struct str name, uint64_t amount)
{
	json_array_append_new(
	    list, json_pack("{s:s, s:s%, s:I}", "kind", kind, "name", name.p,
		      name.n, "amount", (json_int_t)amount));
}

static void
contents_end(struct contents *k, int err)
{
	account_unpin(k->acct);
	if (err == 0) {
		cmd_result(k->c, k->list);
		return;
	}
	json_decref(k->list);
	cmd_fail(k->c, CMD_FAILED, 0, "%s", err_text(err));
}

static void
on_belongings(void *ctx, int err, json_t *list)
{
	struct contents *k = (struct contents *)ctx;

	json_array_extend(k->list, list);
	json_decref(list);
	contents_end(k, err);
}

static void
on_archived(void *ctx, int err, uint64_t count)
{
	struct contents *k = (struct contents *)ctx;

	if (err < 0) {
		contents_end(k, err);
		return;
	}
	if (count > 0)
		add(k->list, "archive", STR("messages"), count);
	belongings_begin(k->acct, false, on_belongings, k);
}

static void
on_counted(void *ctx, int err, uint64_t count)
{
	struct contents *k = (struct contents *)ctx;

	if (err < 0) {
		contents_end(k, err);
		return;
	}
	add(k->list, "values", k->names[k->at++], count);
	if (k->at < k->count)
		kv_count(k->jid.bare, k->names[k->at], on_counted, k);
	else
		archive_count(k->jid.bare, on_archived, k);
}

static void
on_stores(void *ctx, int err, const struct str *names, size_t count)
{
	struct contents *k = (struct contents *)ctx;
	struct arena *a = cmd_arena(k->c);

	if (err < 0) {
		contents_end(k, err);
		return;
	}
	k->names = (struct str *)arena_alloc(a, (count + 1) * sizeof(*names));
	for (size_t i = 0; i < count; i++)
		k->names[i] = str_dup(a, names[i]);
	k->count = count;
	if (count > 0)
		kv_count(k->jid.bare, k->names[0], on_counted, k);
	else
		archive_count(k->jid.bare, on_archived, k);
}

static void
on_account(struct cmd *c, struct account *acct)
{
	struct contents *k;

	if (acct == NULL) {
		cmd_fail(c, CMD_NOT_FOUND, 0, "unregistered_user");
		return;
	}
	k = arena_new_of(cmd_arena(c), struct contents);
	k->c = c;
	k->jid = acct->jid;
	k->acct = acct;
	k->list = json_array();
	account_pin(acct);
	kv_stores(k->jid.bare, STR_NONE, STORES_MAX, on_stores, k);
}

static void
run_contents(struct cmd *c)
{
	command_at_home(c, on_account);
}

const struct command commands_contents[] = {
	{ .name = "account_contents",
	    .tag = "accounts",
	    .help = "List what an account has, and what unregister would "
		    "remove: its keyed values, archive, uploads and rooms "
		    "(those that it alone owns go with it)",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "contents",
	    .result = "[{kind:string, name:string, amount:integer}]",
	    .run = run_contents },
	COMMANDS_END,
};
