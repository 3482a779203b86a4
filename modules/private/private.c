/* SPDX-License-Identifier: MIT */
/*
 * XEP-0049: Private XML Storage. One keyed value for each name of element,
 * for the account itself only.
 */
#include "core/module.h"

#define STORE STR("private")

struct private_options {
	uint64_t max_items;
	uint64_t max_size;
};

static struct str
key_of(struct arena *a, const struct elem *e)
{
	struct str ns = elem_ns_uri(e), local = elem_local(e);

	return str_printf(a, STR_FMT " " STR_FMT, STR_ARG(ns), STR_ARG(local));
}

/* A namespace of its own is required (XEP-0049 section 2). */
static bool
is_storable(const struct elem *e)
{
	return elem_ns_uri(e).n > 0 && elem_ns(e) != NS_PRIVATE &&
	       elem_ns(e) != NS_CLIENT;
}

/* ---- get --------------------------------------------------------------- */

/* `ctx` is the iq. What was never stored is answered empty. */
static void
on_value(void *ctx, int err, struct str value)
{
	struct stanza *iq = ctx;
	struct elem *asked = elem_child(stanza_payload(iq), EL_ANY);
	struct elem *found = NULL, *query;

	if (err < 0 && err != ERR_ABSENT) {
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	if (err == 0)
		found = xml_parse(
		    iq->arena, str_dup(iq->arena, value), NULL, NS_NONE, NULL);
	if (found == NULL)
		found = elem_new_named(
		    iq->arena, elem_ns_uri(asked), elem_local(asked));
	query = elem_add(stanza_result(iq), EL_PRIVATE);
	elem_append(query, found);
	stanza_send_back(iq);
}

static enum verdict
on_get(struct mod *m, struct stanza *iq)
{
	struct elem *asked = elem_child(stanza_payload(iq), EL_ANY);

	if (asked == NULL || elem_next(asked, EL_ANY) != NULL)
		return stanza_refuse(iq, EL_BAD_REQUEST);
	if (!is_storable(asked))
		return stanza_refuse(iq, EL_NOT_ACCEPTABLE);
	kv_get(iq->from.bare, STORE, key_of(iq->arena, asked), on_value, iq);
	return STANZA_DONE;
}

/* ---- set --------------------------------------------------------------- */

/* An empty element takes no room, and is removed. */
static bool
is_removal(const struct elem *e)
{
	return elem_first_node(e) == NULL;
}

static void
store_all(struct stanza *iq)
{
	struct store_write *w = store_write_new(iq->from.bare);
	struct elem *e = elem_child(stanza_payload(iq), EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY)) {
		struct str key = key_of(iq->arena, e);

		if (is_removal(e))
			kv_del(w, iq->from.bare, STORE, key);
		else
			kv_put(w, iq->from.bare, STORE, key,
			    xml_text(iq->arena, e));
	}
	store_commit(&w, stanza_on_done, iq);
}

/* One set; in the arena of its iq. */
struct set {
	struct list node;
	struct mod *mod;      /* NULL: it went while the store was asked */
	struct account *acct; /* pinned */
	struct stanza *iq;
	uint64_t count;	   /* of what there will be */
	struct elem *next; /* to be looked at */
};

/*
 * In the account's slot: sets go one after the other, since each has to count
 * what those before it have stored. The first is under way.
 */
struct private
{
	struct list sets;
};

static void begin(struct set *set);

/* What it has written is seen by whatever asks the store now. */
static void
end(struct set *set, qname_t error)
{
	struct private *p = account_slot(set->acct, set->mod);
	struct account *acct = set->acct;

	list_del(&set->node);
	if (error == EL_NONE)
		store_all(set->iq);
	else
		stanza_refuse(set->iq, error);
	if (!list_is_empty(&p->sets))
		begin(LIST_FIRST(&p->sets, struct set, node));
	account_unpin(acct);
}

static void
drop(struct set *set)
{
	struct account *acct = set->acct;

	stanza_refuse(set->iq, EL_SERVICE_UNAVAILABLE);
	account_unpin(acct);
}

static void
private_free(struct mod *m, void *state)
{
	struct private *p = state;
	struct set *set, *first;

	if (p->sets.next == NULL || list_is_empty(&p->sets))
		return;
	first = LIST_FIRST(&p->sets, struct set, node);
	first->mod = NULL;
	list_del(&first->node);
	LIST_EACH(set, &p->sets, struct set, node)
	{
		list_del(&set->node);
		drop(set);
	}
}

static void on_old(void *ctx, int err, struct str value);

/* Does it take more room than there is? What is there already takes none. */
static void
look(struct set *set)
{
	const struct private_options *o = mod_options(set->mod);

	while (set->next != NULL && is_removal(set->next))
		set->next = elem_next(set->next, EL_ANY);
	if (set->next == NULL)
		end(set, set->count > o->max_items ? EL_RESOURCE_CONSTRAINT
						   : EL_NONE);
	else
		kv_get(set->iq->from.bare, STORE,
		    key_of(set->iq->arena, set->next), on_old, set);
}

static void
on_old(void *ctx, int err, struct str value)
{
	struct set *set = ctx;

	if (set->mod == NULL) {
		drop(set);
		return;
	}
	if (err < 0 && err != ERR_ABSENT) {
		end(set, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	if (err == ERR_ABSENT)
		set->count++;
	set->next = elem_next(set->next, EL_ANY);
	look(set);
}

static void
on_count(void *ctx, int err, uint64_t count)
{
	struct set *set = ctx;
	const struct elem *payload = stanza_payload(set->iq);
	const struct private_options *o;

	if (set->mod == NULL) {
		drop(set);
		return;
	}
	o = mod_options(set->mod);
	set->count = count;
	set->next = elem_child(payload, EL_ANY);
	if (err < 0)
		end(set, EL_INTERNAL_SERVER_ERROR);
	else if (count + elem_count(payload, EL_ANY) <= o->max_items)
		end(set, EL_NONE);
	else
		look(set);
}

static void
begin(struct set *set)
{
	kv_count(set->iq->from.bare, STORE, on_count, set);
}

static void
add(struct mod *m, struct stanza *iq)
{
	struct set *set = arena_new_of(iq->arena, struct set);
	struct private *p;

	set->mod = m;
	set->iq = iq;
	set->acct = iq_account(iq);
	account_pin(set->acct);
	p = account_slot(set->acct, m);
	if (p->sets.next == NULL)
		list_init(&p->sets);
	list_add(&p->sets, &set->node);
	if (p->sets.next == &set->node)
		begin(set);
}

static enum verdict
on_set(struct mod *m, struct stanza *iq)
{
	const struct private_options *o = mod_options(m);
	struct elem *e = elem_child(stanza_payload(iq), EL_ANY);

	if (e == NULL)
		return stanza_refuse(iq, EL_BAD_REQUEST);
	for (; e != NULL; e = elem_next(e, EL_ANY)) {
		if (!is_storable(e))
			return stanza_refuse(iq, EL_NOT_ACCEPTABLE);
		if (xml_text(iq->arena, e).n > o->max_size)
			return stanza_refuse(iq, EL_RESOURCE_CONSTRAINT);
	}
	add(m, iq);
	return STANZA_DONE;
}

/* ---- commands ---------------------------------------------------------- */

static void
get_value(void *ctx, int err, struct str value)
{
	struct cmd *c = ctx;

	if (err == ERR_ABSENT) {
		struct str *empty = cmd_ctx(c);

		cmd_result(c, json_stringn(empty->p, empty->n));
	} else if (err < 0) {
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
	} else {
		cmd_result(c, json_stringn(value.p, value.n));
	}
}

static void
private_get(struct cmd *c)
{
	struct arena *a = cmd_arena(c);
	struct str *empty = arena_new_of(a, struct str);
	struct jid owner;
	struct elem *e;

	if (!cmd_account(c, "user", "host", &owner))
		return;
	e = elem_new_named(a, cmd_str(c, "ns"), cmd_str(c, "element"));
	*empty = xml_text(a, e);
	cmd_set_ctx(c, empty);
	kv_get(owner.bare, STORE, key_of(a, e), get_value, c);
}

struct setting {
	struct jid owner;
	struct elem *e;
};

static void
put_value(struct cmd *c, struct account *acct)
{
	struct arena *a = cmd_arena(c);
	const struct setting *s = cmd_ctx(c);
	struct str owner = s->owner.bare;
	struct store_write *w = store_write_new(owner);

	kv_put(w, owner, STORE, key_of(a, s->e), xml_text(a, s->e));
	store_commit(&w, cmd_on_done, c);
}

static void
private_set(struct cmd *c)
{
	struct arena *a = cmd_arena(c);
	struct setting *s = arena_new_of(a, struct setting);

	if (!cmd_account(c, "user", "host", &s->owner))
		return;
	s->e = xml_parse(a, cmd_str(c, "element"), NULL, NS_NONE, NULL);
	if (s->e == NULL || !is_storable(s->e)) {
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "The element is not XML in a namespace of its own");
		return;
	}
	cmd_set_ctx(c, s);
	cmd_if_account(c, &s->owner, put_value);
}

static const struct command commands[] = {
	{
	    .name = "private_get",
	    .tag = "private",
	    .help = "Get some information from a user private storage",
	    .args = { { .name = "user", .type = "string" },
		{ .name = "host", .type = "string" },
		{ .name = "element", .type = "string" },
		{ .name = "ns", .type = "string" } },
	    .result_name = "res",
	    .result = "string",
	    .run = private_get,
	},
	{
	    .name = "private_set",
	    .tag = "private",
	    .help = "Set to the user private storage",
	    .args = { { .name = "user", .type = "string" },
		{ .name = "host", .type = "string" },
		{ .name = "element", .type = "string" } },
	    .result_name = "res",
	    .result = "rescode",
	    .run = private_set,
	},
	COMMANDS_END,
};

/* ---- the table --------------------------------------------------------- */

static const struct option options[] = {
	OPT_UINT("max_items", struct private_options, max_items, "1000", 1,
	    1000000, "elements that an account may store"),
	OPT_SIZE("max_size", struct private_options, max_size, "128KiB", 1024,
	    1 << 24, "size of one of them"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_SELF, EL_PRIVATE, on_get },
	{ IQ_SET, TO_SELF, EL_PRIVATE, on_set },
	ROUTES_END,
};

static const struct feature features[] = {
	{ TO_HOST | TO_ACCOUNT, STR_INIT("jabber:iq:private") },
	FEATURES_END,
};

MODULE(private) = {
	.summary = "keep XML for clients, private to their account",
	.options_size = sizeof(struct private_options),
	.account_size = sizeof(struct private),
	.options = options,
	.iq = routes,
	.features = features,
	.commands = commands,
	.account_free = private_free,
};
