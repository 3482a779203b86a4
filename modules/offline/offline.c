/* SPDX-License-Identifier: MIT */
/*
 * XEP-0160: messages for those who are offline are kept in the spool, and
 * handed over as soon as a session is there to take them: also what an
 * earlier session, whose link was lost, had not acknowledged.
 */
#include "core/module.h"

#include "xep/0160-offline.h"

/* `ctx` is the message, kept until it is safe. */
static void
on_kept(void *ctx, int err)
{
	struct stanza *st = ctx;

	if (err < 0 && receipt_claim(st->receipt))
		stanza_refuse(st, EL_INTERNAL_SERVER_ERROR);
	else
		stanza_free(&st);
}

static enum verdict
on_offline(struct mod *m, struct stanza *st)
{
	struct account *acct = account_peek(st->to.bare);

	if (acct == NULL)
		return STANZA_PASS;
	/* XEP-0085: it is over, and its sender needs no error. */
	if (offline_is_chat_state(st->root) && !offline_is_worth(st->root)) {
		stanza_free(&st);
		return STANZA_DONE;
	}
	if (!offline_is_worth(st->root))
		return STANZA_PASS;
	/* The sender's receipt waits in the spool; no error goes back twice. */
	if (spool_put(acct, st, on_kept, st) < 0)
		return stanza_refuse_with(st, EL_SERVICE_UNAVAILABLE,
		    "The recipient's offline queue is full", EL_NONE);
	metric_add(METRIC_SPOOLED, 1);
	return STANZA_DONE;
}

/* Section 3: only to a resource that does not ask for silence. */
static void
on_available(struct mod *m, struct session *s)
{
	if (s->priority >= 0 && spool_count(s->account) > 0)
		spool_flush(s->account, s);
}

/* ---- commands ---------------------------------------------------------- */

static void
count_of(void *ctx, int err, struct account *acct)
{
	struct cmd *c = ctx;

	if (acct == NULL)
		cmd_fail(c, CMD_NOT_FOUND, 0, "%s", err_text(err));
	else
		cmd_result(c, json_integer((json_int_t)spool_count(acct)));
}

static void
get_offline_count(struct cmd *c)
{
	struct jid *jid = arena_new_of(cmd_arena(c), struct jid);

	if (cmd_account(c, "user", "host", jid))
		account_call(jid, count_of, c);
}

static const struct command commands[] = {
	{
	    .name = "get_offline_count",
	    .tag = "offline",
	    .help = "Get the number of unread offline messages",
	    .args = { { .name = "user", .type = "string" },
		{ .name = "host", .type = "string", .old_name = "server" } },
	    .result_name = "value",
	    .result = "integer",
	    .run = get_offline_count,
	    .is_for_user = true,
	},
	COMMANDS_END,
};

/* ---- the table --------------------------------------------------------- */

static const struct hook hooks[] = {
	{ HOOK_MESSAGE_OFFLINE, LATE, .stanza = on_offline },
	{ HOOK_SESSION_AVAILABLE, LATE, .session = on_available },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_HOST | TO_ACCOUNT, STR_INIT("msgoffline") },
	FEATURES_END,
};

MODULE(offline) = {
	.summary = "keep messages for those who are offline",
	.hooks = hooks,
	.features = features,
	.commands = commands,
};
