/* SPDX-License-Identifier: MIT */
/*
 * Administration in the client: ad-hoc commands (XEP-0050) at the host, for its
 * administrators. Those of Service Administration (XEP-0133), and all that
 * rookeryctl has, with forms that are made from the table of commands.
 */
#include "modules/admin/admin.h"

#define COMMANDS_NODE "http://jabber.org/protocol/commands"

struct state {
	struct arena *arena; /* of the rows */
	struct adhoc_command *rows;
	size_t count;
	struct adhoc *adhoc;
};

/* Those of other servers are as good as the server that vouches for them. */
static bool
may(void *ctx, const struct stanza *iq)
{
	struct jid bare = jid_to_bare(&iq->from);

	return host_find(iq->from.domain) != NULL && host_is_admin(&bare);
}

enum qname
admin_condition(const struct cmd_outcome *o)
{
	if (o->what != CMD_REFUSED)
		return o->what == CMD_UNKNOWN ? EL_ITEM_NOT_FOUND
					      : EL_BAD_REQUEST;
	switch (o->kind) {
	case CMD_CONFLICT:
		return EL_CONFLICT;
	case CMD_NOT_FOUND:
		return EL_ITEM_NOT_FOUND;
	case CMD_BAD_ARG:
		return EL_NOT_ACCEPTABLE;
	case CMD_DENIED:
		return EL_FORBIDDEN;
	case CMD_FAILED:
		break;
	}
	return EL_INTERNAL_SERVER_ERROR;
}

void
admin_start(struct adhoc_call *call, const char *command,
    const struct str *words, size_t count, cmd_done_fn *done, void *ctx)
{
	json_t *args = json_array();
	struct cmd_call c = {
		.name = str_c(command),
		.version = COMMAND_VERSION_NEWEST,
		.args = args,
		.is_words = true,
		.origin = str_printf(
		    call->arena, "adhoc " STR_FMT, STR_ARG(call->who->bare))
			      .p,
	};

	for (size_t i = 0; i < count; i++)
		json_array_append_new(args,
		    json_stringn(words[i].n > 0 ? words[i].p : "", words[i].n));
	cmd_start(&c, done, ctx);
	json_decref(args);
}

void
admin_add_lines(struct elem *field, struct str text)
{
	while (text.n > 0)
		form_add_value(field, str_cut(&text, '\n'));
}

/* ---- the rows ---------------------------------------------------------- */

static void
row_add(void *ctx, const struct adhoc_command *row)
{
	struct state *s = ctx;

	/* Not in the arena: the texts between would leave a copy for each. */
	if ((s->count & (s->count - 1)) == 0)
		s->rows = xrealloc(
		    s->rows, (s->count > 0 ? s->count * 2 : 1) * sizeof(*row));
	s->rows[s->count] = *row;
	if (row->node != NULL)
		s->rows[s->count].node =
		    arena_printf(s->arena, "%s", row->node);
	s->rows[s->count].may = may;
	s->count++;
}

/* Texts of a module's commands may go with it. */
static void
on_command(void *ctx, const struct cmd_def *def)
{
	struct state *s = ctx;
	struct adhoc_command row = {
		.node = str_printf(s->arena, API_NODE "%s", def->row->name).p,
		.name = arena_printf(s->arena, "%s", def->row->name),
		.run = api_run,
	};

	row_add(s, &row);
}

static void
admin_go(struct mod *m)
{
	struct state *s = mod_state(m);
	static const struct adhoc_command end = ADHOC_END;

	s->arena = arena_new(0);
	s->rows = NULL;
	s->count = 0;
	service_each(row_add, s);
	commands_each(on_command, s);
	row_add(s, &end);
	s->adhoc = adhoc_new(s->rows, m);
}

static void
admin_stop(struct mod *m)
{
	struct state *s = mod_state(m);

	adhoc_free(&s->adhoc);
	xfree(s->rows);
	arena_free(&s->arena);
}

/* ---- requests ---------------------------------------------------------- */

/* What users may have at the host, too: invitations, and lists of those. */
static bool
is_of_others(struct mod *m, const struct stanza *iq)
{
	const struct elem *e = stanza_payload(iq);
	struct str node = elem_attr(e, AT_NODE);

	if (mod_find(mod_host(m), "invites") == NULL)
		return false;
	return str_has_prefix(node, STR("urn:xmpp:invite#")) ||
	       (str_is(node, COMMANDS_NODE) && !may(m, iq));
}

static enum verdict
on_iq(struct mod *m, struct stanza *iq)
{
	struct state *s = mod_state(m);

	if (!adhoc_is_for(s->adhoc, iq))
		return STANZA_PASS;
	if (is_of_others(m, iq))
		return STANZA_PASS;
	return may(m, iq) ? adhoc_iq(s->adhoc, iq)
			  : stanza_refuse(iq, EL_FORBIDDEN);
}

static const struct iq_route routes[] = {
	{ IQ_SET, TO_HOST, EL_COMMAND, on_iq },
	{ IQ_GET, TO_HOST, EL_DISCO_INFO, on_iq },
	{ IQ_GET, TO_HOST, EL_DISCO_ITEMS, on_iq },
	ROUTES_END,
};

static const struct feature features[] = {
	{ TO_HOST, STR_INIT(COMMANDS_NODE) },
	FEATURES_END,
};

MODULE(admin) = {
	.summary = "let administrators do everything from their clients",
	.state_size = sizeof(struct state),
	.iq = routes,
	.features = features,
	.start = admin_go,
	.stop = admin_stop,
};
