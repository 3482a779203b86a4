/* SPDX-License-Identifier: MIT */
/*
 * Moving somebody by command: the statement on the old account, and, if the
 * new one is here too, its requests to all contacts.
 */
#include "modules/moved/moved.h"

#define TIMEOUT SECONDS(30)

/* In the command's arena, but for the contacts. */
struct job {
	struct cmd *cmd;
	struct jid old, to;
	struct arena *arena; /* of these: */
	struct jid *contacts;
	size_t count;
};

static void
job_end(struct job *j, const char *text)
{
	struct cmd *c = j->cmd;

	if (j->arena != NULL)
		arena_free(&j->arena);
	cmd_ok(c, text);
}

static void
job_fail(struct job *j, enum cmd_error kind, const char *why)
{
	struct cmd *c = j->cmd;

	if (j->arena != NULL)
		arena_free(&j->arena);
	cmd_fail(c, kind, 0, "%s", why);
}

static void
request(struct account *acct, const struct jid *to, const struct jid *old)
{
	struct stanza *st = stanza_new(EL_PRESENCE);
	struct jid copy = jid_dup(st->arena, to);

	stanza_set_type(st, PRESENCE_SUBSCRIBE);
	stanza_set_from(st, &acct->jid);
	stanza_set_to(st, &copy);
	elem_add_text(elem_add(st->root, EL_MOVED), EL_MOVED_OLD_JID,
	    str_dup(st->arena, old->full));
	account_speak(acct, st);
}

/* At the new account's home. */
static void
ask_contacts(void *ctx, int err, struct account *acct)
{
	struct job *j = ctx;

	if (acct == NULL) {
		job_fail(j, err < 0 ? CMD_FAILED : CMD_NOT_FOUND,
		    "The statement is published, but the new account is not "
		    "there to ask the contacts");
		return;
	}
	for (size_t i = 0; i < j->count; i++)
		if (!jid_eq(&j->contacts[i], &acct->jid))
			request(acct, &j->contacts[i], &j->old);
	job_end(j, arena_printf(cmd_arena(j->cmd),
		       "Published; %zu contacts are asked", j->count));
}

static void
on_published(void *ctx, struct stanza *answer)
{
	struct job *j = ctx;
	bool is_done = answer != NULL && answer->type == IQ_RESULT;

	stanza_free(&answer);
	if (!is_done)
		job_fail(j, CMD_FAILED, "The statement can't be published");
	else if (host_find(j->to.domain) == NULL)
		job_end(j, "Published; the new account asks the contacts");
	else
		account_call(&j->to, ask_contacts, j);
}

static void
publish(struct job *j, const struct account *acct)
{
	struct stanza *iq = stanza_new(EL_IQ);
	struct elem *publish, *item;

	stanza_set_type(iq, IQ_SET);
	stanza_set_from(iq, &acct->jid);
	stanza_set_to(iq, &acct->jid);
	publish = elem_add(elem_add(iq->root, EL_PUBSUB), EL_PUBLISH);
	elem_set(publish, AT_NODE, STR(MOVED_NODE));
	item = elem_add(publish, EL_PUBSUB_ITEM);
	elem_set(item, AT_ID, STR("current"));
	elem_add_text(elem_add(item, EL_MOVED), EL_MOVED_NEW_JID,
	    str_dup(iq->arena, j->to.full));
	iq_send(iq, TIMEOUT, on_published, j);
}

/* At the old account's home. */
static void
leave(void *ctx, int err, struct account *acct)
{
	struct job *j = ctx;
	const struct roster_item *item;

	if (acct == NULL) {
		job_fail(j,
		    err < 0 && err != ERR_ABSENT ? CMD_FAILED : CMD_NOT_FOUND,
		    "There is no such account");
		return;
	}
	j->arena = arena_new(0);
	j->contacts = arena_alloc(
	    j->arena, (roster_count(acct) + 1) * sizeof(*j->contacts));
	for (size_t i = 0; (item = roster_next(acct, &i)) != NULL;)
		if (item->is_in_roster && item->sub != ROSTER_NONE)
			j->contacts[j->count++] = jid_dup(j->arena, &item->jid);
	publish(j, acct);
}

static void
move_account(struct cmd *c)
{
	struct job *j = arena_new_of(cmd_arena(c), struct job);

	j->cmd = c;
	if (!cmd_account(c, "user", "host", &j->old))
		return;
	if (jid_parse(cmd_arena(c), cmd_str(c, "jid"), &j->to) < 0 ||
	    !jid_is_bare(&j->to) || str_is_none(j->to.local) ||
	    jid_eq(&j->to, &j->old)) {
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "The new address is none of another account");
		return;
	}
	account_call(&j->old, leave, j);
}

const struct command moved_commands[] = {
	{
	    .name = "move_account",
	    .tag = "accounts",
	    .help = "Say that an account has moved to another address, and "
		    "ask its contacts from there if it is here (XEP-0283)",
	    .args = { { .name = "user", .type = "string" },
		{ .name = "host", .type = "string" },
		{ .name = "jid", .type = "string" } },
	    .result_name = "res",
	    .result = "restuple",
	    .run = move_account,
	},
	COMMANDS_END,
};
