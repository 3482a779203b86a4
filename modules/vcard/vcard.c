/* SPDX-License-Identifier: MIT */
/*
 * XEP-0054: vcard-temp. Everybody may read an account's card, it alone may
 * write it. An account without a card and no account at all are answered
 * alike to others (section 3.3).
 */
#include "core/module.h"

#define STORE STR("vcard")
#define KEY STR("vcard")

struct vcard_options {
	uint64_t max_size;
};

/* `ctx` is the iq. */
static void
on_value(void *ctx, int err, struct str value)
{
	struct stanza *iq = ctx;
	bool is_own = str_eq(iq->from.bare, iq->to.bare);
	struct elem *card = NULL, *result;

	if (err == 0)
		card = xml_parse(
		    iq->arena, str_dup(iq->arena, value), NULL, NS_NONE, NULL);
	if (card == NULL && err != ERR_ABSENT) {
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
	} else if (card == NULL && !is_own) {
		stanza_refuse(iq, EL_SERVICE_UNAVAILABLE);
	} else {
		result = stanza_result(iq);
		if (card != NULL)
			elem_append(result, card);
		else
			elem_add(result, EL_VCARD);
		stanza_send_back(iq);
	}
}

static enum verdict
on_get(struct mod *m, struct stanza *iq)
{
	kv_get(iq->to.bare, STORE, KEY, on_value, iq);
	return STANZA_DONE;
}

static enum verdict
on_set(struct mod *m, struct stanza *iq)
{
	const struct vcard_options *o = mod_options(m);
	struct str card = xml_text(iq->arena, stanza_payload(iq));
	struct store_write *w;

	if (card.n > o->max_size)
		return stanza_refuse(iq, EL_RESOURCE_CONSTRAINT);
	w = store_write_new(iq->from.bare);
	kv_put(w, iq->from.bare, STORE, KEY, card);
	store_commit(&w, stanza_on_done, iq);
	return STANZA_DONE;
}

/* Another's card is nobody else's to set. */
static enum verdict
on_set_other(struct mod *m, struct stanza *iq)
{
	return stanza_refuse(iq, EL_FORBIDDEN);
}

/* ---- commands ---------------------------------------------------------- */

struct edit {
	struct jid jid;
	struct str name, subname;
	bool is_multi;		/* all that there are are wanted */
	const json_t *contents; /* a text, or a list of texts */
};

static struct elem *
child_named(struct elem *e, struct str local)
{
	struct elem *child = elem_child(e, EL_ANY);

	while (child != NULL && !str_eq(elem_local(child), local))
		child = elem_next(child, EL_ANY);
	return child;
}

static struct elem *
next_named(struct elem *e, struct str local)
{
	do
		e = elem_next(e, EL_ANY);
	while (e != NULL && !str_eq(elem_local(e), local));
	return e;
}

static json_t *
text_of(const struct elem *e)
{
	struct str text = elem_text(e);

	return json_stringn(text.p != NULL ? text.p : "", text.n);
}

static json_t *
texts_from(struct elem *e, struct str local)
{
	json_t *list = json_array();

	for (; e != NULL; e = next_named(e, local))
		json_array_append_new(list, text_of(e));
	return list;
}

static void
show_value(void *ctx, int err, struct str value)
{
	struct cmd *c = ctx;
	struct edit *edit = cmd_ctx(c);
	struct elem *card = NULL, *e;

	if (err == 0)
		card = xml_parse(cmd_arena(c), str_dup(cmd_arena(c), value),
		    NULL, NS_NONE, NULL);
	if (card == NULL) {
		cmd_fail(c, err == ERR_ABSENT ? CMD_NOT_FOUND : CMD_FAILED, 0,
		    err == ERR_ABSENT ? "The account has no vCard" : "%s",
		    err_text(err));
		return;
	}
	e = child_named(card, edit->name);
	if (!str_is_none(edit->subname))
		e = child_named(e, edit->subname);
	if (e == NULL) {
		cmd_fail(c, CMD_NOT_FOUND, 0, "The vCard has no such field");
		return;
	}
	cmd_result(
	    c, edit->is_multi ? texts_from(e, edit->subname) : text_of(e));
}

static struct edit *
edit_of(struct cmd *c, bool has_subname)
{
	struct edit *edit = arena_new_of(cmd_arena(c), struct edit);

	if (!cmd_account(c, "user", "host", &edit->jid))
		return NULL;
	edit->name = cmd_str(c, "name");
	if (has_subname)
		edit->subname = cmd_str(c, "subname");
	cmd_set_ctx(c, edit);
	return edit;
}

static void
get_vcard(struct cmd *c)
{
	struct edit *edit = edit_of(c, false);

	if (edit != NULL)
		kv_get(edit->jid.bare, STORE, KEY, show_value, c);
}

static void
get_vcard2(struct cmd *c)
{
	struct edit *edit = edit_of(c, true);

	if (edit != NULL)
		kv_get(edit->jid.bare, STORE, KEY, show_value, c);
}

static void
get_vcard2_multi(struct cmd *c)
{
	struct edit *edit = edit_of(c, true);

	if (edit == NULL)
		return;
	edit->is_multi = true;
	kv_get(edit->jid.bare, STORE, KEY, show_value, c);
}

static void
add_text(struct elem *at, struct str name, const json_t *text)
{
	struct elem *e = elem_add_named(at, names_ns_uri(NS_VCARD), name);

	elem_set_text(
	    e, str_mem(json_string_value(text), json_string_length(text)));
}

/* Takes away what the field had, and puts the new texts there. */
static void
edit_card(struct edit *edit, struct elem *card)
{
	struct elem *at = card, *old;
	struct str name = edit->name;

	if (!str_is_none(edit->subname)) {
		at = child_named(card, edit->name);
		if (at == NULL)
			at = elem_add_named(
			    card, names_ns_uri(NS_VCARD), edit->name);
		name = edit->subname;
	}
	while ((old = child_named(at, name)) != NULL)
		elem_remove(old);
	if (json_is_string(edit->contents))
		add_text(at, name, edit->contents);
	for (size_t i = 0; i < json_array_size(edit->contents); i++)
		add_text(at, name, json_array_get(edit->contents, i));
}

static void
edit_value(void *ctx, int err, struct str value)
{
	struct cmd *c = ctx;
	struct edit *edit = cmd_ctx(c);
	struct arena *a = cmd_arena(c);
	struct elem *card = NULL;
	struct store_write *w;

	if (err == 0)
		card = xml_parse(a, str_dup(a, value), NULL, NS_NONE, NULL);
	else if (err == ERR_ABSENT)
		card = elem_new(a, EL_VCARD);
	if (card == NULL) {
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
		return;
	}
	edit_card(edit, card);
	w = store_write_new(edit->jid.bare);
	kv_put(w, edit->jid.bare, STORE, KEY, xml_text(a, card));
	store_commit(&w, cmd_on_done, c);
}

static bool
is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'A' && s.p[i] <= 'Z') || s.p[i] == '-'))
			return false;
	return s.n > 0;
}

static void
begin_edit(struct cmd *c, struct account *acct)
{
	const struct edit *edit = cmd_ctx(c);

	kv_get(edit->jid.bare, STORE, KEY, edit_value, c);
}

static void
set_fields(struct cmd *c, struct edit *edit, const char *arg)
{
	edit->contents = cmd_json(c, arg);
	if (is_name(edit->name) &&
	    (str_is_none(edit->subname) || is_name(edit->subname)))
		cmd_if_account(c, &edit->jid, begin_edit);
	else
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid field name");
}

static void
set_vcard(struct cmd *c)
{
	struct edit *edit = edit_of(c, false);

	if (edit != NULL)
		set_fields(c, edit, "content");
}

static void
set_vcard2(struct cmd *c)
{
	struct edit *edit = edit_of(c, true);

	if (edit != NULL)
		set_fields(c, edit, "content");
}

static void
set_vcard2_multi(struct cmd *c)
{
	struct edit *edit = edit_of(c, true);

	if (edit != NULL)
		set_fields(c, edit, "contents");
}

static void
set_nickname(struct cmd *c)
{
	struct edit *edit = arena_new_of(cmd_arena(c), struct edit);

	if (!cmd_account(c, "user", "host", &edit->jid))
		return;
	edit->name = STR("NICKNAME");
	cmd_set_ctx(c, edit);
	set_fields(c, edit, "nickname");
}

#define USER \
	{ .name = "user", .type = "string" }, \
	{ \
		.name = "host", .type = "string" \
	}
#define TEXT_ARG(name_) \
	{ \
		.name = (name_), .type = "string" \
	}

static const struct command commands[] = {
	{
	    .name = "get_vcard",
	    .tag = "vcard",
	    .help = "Get content from a vCard field",
	    .args = { USER, TEXT_ARG("name") },
	    .result_name = "content",
	    .result = "string",
	    .run = get_vcard,
	},
	{
	    .name = "get_vcard2",
	    .tag = "vcard",
	    .help = "Get content from a vCard subfield",
	    .args = { USER, TEXT_ARG("name"), TEXT_ARG("subname") },
	    .result_name = "content",
	    .result = "string",
	    .run = get_vcard2,
	},
	{
	    .name = "get_vcard2_multi",
	    .tag = "vcard",
	    .help = "Get multiple contents from a vCard field",
	    .args = { USER, TEXT_ARG("name"), TEXT_ARG("subname") },
	    .result_name = "contents",
	    .result = "[value:string]",
	    .run = get_vcard2_multi,
	},
	{
	    .name = "set_vcard",
	    .tag = "vcard",
	    .help = "Set content in a vCard field",
	    .args = { USER, TEXT_ARG("name"), TEXT_ARG("content") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = set_vcard,
	},
	{
	    .name = "set_vcard2",
	    .tag = "vcard",
	    .help = "Set content in a vCard subfield",
	    .args = { USER, TEXT_ARG("name"), TEXT_ARG("subname"),
		TEXT_ARG("content") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = set_vcard2,
	},
	{
	    .name = "set_vcard2_multi",
	    .tag = "vcard",
	    .help = "Set multiple contents in a vCard subfield",
	    .args = { USER, TEXT_ARG("name"), TEXT_ARG("subname"),
		{ .name = "contents", .type = "[value:string]" } },
	    .result_name = "res",
	    .result = "rescode",
	    .run = set_vcard2_multi,
	},
	{
	    .name = "set_nickname",
	    .tag = "vcard",
	    .help = "Set nickname in a user's vCard",
	    .args = { USER, TEXT_ARG("nickname") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = set_nickname,
	},
	COMMANDS_END,
};

/* ---- the table --------------------------------------------------------- */

static const struct option options[] = {
	OPT_SIZE("max_size", struct vcard_options, max_size, "128KiB", 1024,
	    1 << 24, "size of a card, with its picture"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_ACCOUNT, EL_VCARD, on_get },
	{ IQ_SET, TO_SELF, EL_VCARD, on_set },
	{ IQ_SET, TO_ACCOUNT, EL_VCARD, on_set_other },
	ROUTES_END,
};

static const struct feature features[] = {
	{ TO_HOST | TO_ACCOUNT, STR_INIT("vcard-temp") },
	FEATURES_END,
};

MODULE(vcard) = {
	.summary = "keep a card with name, picture and address for accounts",
	.options_size = sizeof(struct vcard_options),
	.options = options,
	.iq = routes,
	.features = features,
	.commands = commands,
};
