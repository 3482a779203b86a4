/* SPDX-License-Identifier: MIT */
/*
 * Commands that send stanzas. They are done when all that the stanza caused
 * is durable: who got an answer can rely on it.
 */
#include "base/random.h"
#include "core/account.h"
#include "core/commands.h"
#include "core/conf.h"
#include "core/journey.h"
#include "core/router.h"
#include "core/session.h"
#include "xml/parser.h"

static void
on_told(void *ctx, uint32_t seq, bool is_kept)
{
	struct cmd *c = (struct cmd *)ctx;

	if (is_kept)
		cmd_ok(c, NULL);
	else
		cmd_fail(c, CMD_BAD_ARG, 0, "the message could not be kept");
}

static bool
jid_arg(struct cmd *c, const char *arg, struct jid *jid_r)
{
	if (jid_parse(cmd_arena(c), cmd_str(c, arg), jid_r) == 0)
		return true;
	cmd_fail(c, CMD_BAD_ARG, 0, "Invalid JID in '%s'", arg);
	return false;
}

static void
route(struct cmd *c, struct stanza *st)
{
	st->receipt = receipt_new(on_told, c, 0);
	router_send(st);
}

/* send_message ------------------------------------------------------------*/

static bool
type_parse(struct str text, enum stanza_type *type_r)
{
	static const struct {
		const char *name;
		enum stanza_type type;
	} types[] = {
		{ "", MESSAGE_NORMAL },
		{ "normal", MESSAGE_NORMAL },
		{ "chat", MESSAGE_CHAT },
		{ "headline", MESSAGE_HEADLINE },
		{ "groupchat", MESSAGE_GROUPCHAT },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (str_is(text, types[i].name)) {
			*type_r = types[i].type;
			return true;
		}
	}
	return false;
}

static void
add_text(struct stanza *st, qname_t name, struct str text)
{
	if (!str_is_empty(text))
		elem_add_text(st->root, name, str_dup(st->arena, text));
}

static void
run_send_message(struct cmd *c)
{
	enum stanza_type type;
	struct jid from, to;
	struct stanza *st;

	if (!type_parse(cmd_str(c, "type"), &type)) {
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "type: normal, chat, headline or groupchat");
		return;
	}
	if (!jid_arg(c, "from", &from) || !jid_arg(c, "to", &to))
		return;
	st = stanza_new(EL_MESSAGE);
	stanza_set_type(st, type);
	stanza_set_from(st, &from);
	stanza_set_to(st, &to);
	elem_set(st->root, AT_ID, random_token(st->arena, 12));
	add_text(st, EL_SUBJECT, cmd_str(c, "subject"));
	add_text(st, EL_BODY, cmd_str(c, "body"));
	route(c, st);
}

/* Stanzas as text ---------------------------------------------------------*/

/* The element, in an arena of its own; NULL, and the command has failed. */
static struct elem *
element_arg(struct cmd *c, const char *arg)
{
	const struct xml_limits limits = {
		.bytes =
		    (uint32_t)MIN(conf_now()->limits.stanza_size, UINT32_MAX),
		.depth = 64,
		.elements = 10000,
		.attributes = 100,
	};
	struct arena *a = arena_new(0);
	struct elem *e =
	    xml_parse(a, cmd_str(c, arg), &limits, NS_CLIENT, NULL);

	if (e == NULL) {
		arena_free(&a);
		cmd_fail(c, CMD_BAD_ARG, 0, "The stanza is not good XML");
		return NULL;
	}
	if (elem_name(e) != EL_MESSAGE && elem_name(e) != EL_PRESENCE &&
	    elem_name(e) != EL_IQ) {
		arena_free(&a);
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "A stanza is a message, a presence or an iq");
		return NULL;
	}
	return e;
}

static void
run_send_stanza(struct cmd *c)
{
	enum qname why = EL_NONE;
	struct stanza *st;
	struct jid from, to;
	struct elem *e;

	if (!jid_arg(c, "from", &from) || !jid_arg(c, "to", &to))
		return;
	e = element_arg(c, "stanza");
	if (e == NULL)
		return;
	elem_set_copy(e, AT_FROM, from.full);
	elem_set_copy(e, AT_TO, to.full);
	if (stanza_of(e, &st, &why) < 0) {
		stanza_free(&st);
		cmd_fail(c, CMD_BAD_ARG, 0, "The stanza is not valid: %.*s",
		    STR_ARG(names_elem_local((qname_t)why)));
		return;
	}
	route(c, st);
}

/* As if the session's client had sent it. */
static void
on_account_to_speak(struct cmd *c, struct account *acct)
{
	struct session *s = NULL;
	struct str resource;
	struct elem *e;

	if (acct != NULL && jid_prep_resource(cmd_arena(c),
				cmd_str(c, "resource"), &resource) == 0)
		s = account_session(acct, resource);
	if (s == NULL) {
		cmd_fail(c, CMD_BAD_ARG, 0, "User is offline");
		return;
	}
	e = element_arg(c, "stanza");
	if (e == NULL)
		return;
	elem_set(e, AT_FROM, STR_NONE);
	session_input(s, e, receipt_new(on_told, c, 0));
}

static void
run_send_stanza_c2s(struct cmd *c)
{
	command_at_home(c, on_account_to_speak);
}

const struct command commands_stanza[] = {
	{ .name = "send_message",
	    .tag = "stanza",
	    .help = "Send a message to a local or remote address; type: "
		    "normal, chat, headline or groupchat",
	    .args = { ARG("type", "string"), ARG("from", "string"),
		ARG("to", "string"), ARG("subject", "string"),
		ARG("body", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_send_message },
	{ .name = "send_stanza",
	    .tag = "stanza",
	    .help = "Send a stanza",
	    .args = { ARG("from", "string"), ARG("to", "string"),
		ARG("stanza", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_send_stanza },
	{ .name = "send_stanza_c2s",
	    .tag = "stanza",
	    .help = "Send a stanza from an existing session",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("resource", "string"), ARG("stanza", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_send_stanza_c2s },
	COMMANDS_END,
};
