/* SPDX-License-Identifier: MIT */
#include "core/pubsub_config.h"

#include "base/err.h"
#include "xep/0004-forms.h"

#define TEXT_MAX 1024
#define LIST_MAX 16384

enum row_type {
	ROW_TEXT,   /* struct str */
	ROW_LIST,   /* struct str, a line for each value */
	ROW_BOOL,   /* bool */
	ROW_UINT,   /* uint32_t, "max" allowed */
	ROW_CHOICE, /* unsigned */
	ROW_FIXED,  /* nothing: it can have this one value only */
};

struct row {
	const char *var;
	enum row_type type;
	size_t offset;
	const char *const *choices; /* or the fixed value, as the first */
	const char *label;
	const char *pep, *service; /* defaults; NULL: none */
};

static const char *const access_names[] = { "open", "presence", "roster",
	"authorize", "whitelist", NULL };
static const char *const publish_names[] = { "publishers", "subscribers",
	"open", NULL };
static const char *const send_last_names[] = { "never", "on_sub",
	"on_sub_and_presence", NULL };
static const char *const message_names[] = { "headline", "normal", "chat",
	NULL };
static const char *const reply_names[] = { "none", "owner", "publisher", NULL };
static const char *const full_names[] = { "retract-oldest", "discard-oldest",
	"reject", NULL };
static const char *const leaf[] = { "leaf", NULL };

#define AT_(field) offsetof(struct pubsub_config, field)

static const struct row rows[] = {
	{ "pubsub#title", ROW_TEXT, AT_(title), NULL, "A name for the node",
	    NULL, NULL },
	{ "pubsub#description", ROW_TEXT, AT_(description), NULL,
	    "A description of the node", NULL, NULL },
	{ "pubsub#type", ROW_TEXT, AT_(type), NULL,
	    "The namespace of the payloads", NULL, NULL },
	{ "pubsub#access_model", ROW_CHOICE, AT_(access), access_names,
	    "Who may subscribe and retrieve items", "presence", "open" },
	{ "pubsub#roster_groups_allowed", ROW_LIST, AT_(groups), NULL,
	    "The roster groups allowed to subscribe", NULL, NULL },
	{ "pubsub#publish_model", ROW_CHOICE, AT_(publish), publish_names,
	    "Who may publish", "publishers", "publishers" },
	{ "pubsub#max_items", ROW_UINT, AT_(max_items), NULL,
	    "How many items are kept", "1", "max" },
	{ "pubsub#publish_node_full", ROW_CHOICE, AT_(full), full_names,
	    "What happens when the node is full", "retract-oldest",
	    "retract-oldest" },
	{ "pubsub#persist_items", ROW_BOOL, AT_(persist), NULL,
	    "Whether items are kept", "1", "1" },
	{ "pubsub#item_expire", ROW_UINT, AT_(item_expire), NULL,
	    "Seconds after which items are removed", "max", "max" },
	{ "pubsub#max_payload_size", ROW_UINT, AT_(max_payload), NULL,
	    "The largest payload in bytes", "max", "max" },
	{ "pubsub#deliver_notifications", ROW_BOOL, AT_(notify), NULL,
	    "Whether subscribers are notified", "1", "1" },
	{ "pubsub#deliver_payloads", ROW_BOOL, AT_(payloads), NULL,
	    "Whether notifications have the payload", "1", "1" },
	{ "pubsub#notify_retract", ROW_BOOL, AT_(notify_retract), NULL,
	    "Whether subscribers are told when items are removed", "1", "1" },
	{ "pubsub#notify_delete", ROW_BOOL, AT_(notify_delete), NULL,
	    "Whether subscribers are told when the node is deleted", "1", "1" },
	{ "pubsub#notify_config", ROW_BOOL, AT_(notify_config), NULL,
	    "Whether subscribers are told of a new configuration", "0", "0" },
	{ "pubsub#notify_sub", ROW_BOOL, AT_(notify_sub), NULL,
	    "Whether owners are told of new subscribers", "0", "0" },
	{ "pubsub#send_last_published_item", ROW_CHOICE, AT_(send_last),
	    send_last_names, "When the last item is sent",
	    "on_sub_and_presence", "on_sub" },
	{ "pubsub#notification_type", ROW_CHOICE, AT_(message), message_names,
	    "The type of notifications", "headline", "headline" },
	{ "pubsub#itemreply", ROW_CHOICE, AT_(reply), reply_names,
	    "Whose address the items bear", "none", "none" },
	{ "pubsub#subscribe", ROW_BOOL, AT_(subscribe), NULL,
	    "Whether to allow subscriptions", "1", "1" },
	{ "pubsub#presence_based_delivery", ROW_BOOL, AT_(by_presence), NULL,
	    "Whether to notify those who are available only, by headlines", "0",
	    "0" },
	{ "pubsub#purge_offline", ROW_BOOL, AT_(purge_offline), NULL,
	    "Whether items are removed when the publisher goes offline", "0",
	    NULL },
	{ "pubsub#node_type", ROW_FIXED, 0, leaf, NULL, NULL, NULL },
};

/* Not of a service, which knows of no roster and no presence. */
static bool
is_pep_only(const struct row *row)
{
	return row->type == ROW_LIST ||
	       (row->pep != NULL && row->service == NULL);
}

/* What differs for nodes that are known by name (or by its beginning). */
static const struct known {
	const char *name;
	bool is_prefix;
	const char *access, *max_items, *send_last;
} known_nodes[] = {
	{ "storage:bookmarks", false, "whitelist", "1", "never" },
	{ "urn:xmpp:bookmarks:1", false, "whitelist", "max", "never" },
	{ "urn:xmpp:mds:displayed:0", false, "whitelist", "max", "never" },
	/* What is in the vCard as well, which everybody reads (XEP-0398). */
	{ "urn:xmpp:avatar:", true, "open", "1", "on_sub_and_presence" },
	{ "urn:xmpp:vcard4", false, "open", "1", "on_sub_and_presence" },
	/* Keys are for everybody who wants to write (XEP-0384, 4.6). */
	{ "eu.siacs.conversations.axolotl.", true, "open", "1",
	    "on_sub_and_presence" },
	{ "urn:xmpp:omemo:2:devices", false, "open", "1",
	    "on_sub_and_presence" },
	{ "urn:xmpp:omemo:2:bundles", false, "open", "max", "never" },
};

static const struct row *
row_find(struct str var)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_is(var, rows[i].var))
			return &rows[i];
	return NULL;
}

static void *
place(struct pubsub_config *c, const struct row *row)
{
	return (char *)c + row->offset;
}

static const void *
place_of(const struct pubsub_config *c, const struct row *row)
{
	return (const char *)c + row->offset;
}

/* ---- reading ----------------------------------------------------------- */

static int
set_text(struct str *at, struct str value, size_t max)
{
	if (value.n > max)
		return ERR_INVALID;
	str_free(at);
	if (value.n > 0)
		*at = str_heap(value);
	return 0;
}

static int
set_bool(bool *at, struct str value)
{
	bool is_true = str_is(value, "1") || str_is(value, "true");

	if (!is_true && !str_is(value, "0") && !str_is(value, "false"))
		return ERR_INVALID;
	*at = is_true;
	return 0;
}

static int
set_uint(uint32_t *at, struct str value)
{
	uint64_t number;

	if (str_is(value, "max")) {
		*at = PUBSUB_MAX;
		return 0;
	}
	if (!str_to_u64(value, &number) || number >= PUBSUB_MAX)
		return ERR_INVALID;
	*at = (uint32_t)number;
	return 0;
}

static int
set_choice(unsigned *at, struct str value, const char *const *choices)
{
	for (unsigned i = 0; choices[i] != NULL; i++)
		if (str_is(value, choices[i])) {
			*at = i;
			return 0;
		}
	return ERR_INVALID;
}

static int
set_value(struct pubsub_config *c, const struct row *row, struct str value)
{
	switch (row->type) {
	case ROW_TEXT:
		return set_text(place(c, row), value, TEXT_MAX);
	case ROW_LIST:
		return set_text(place(c, row), value, LIST_MAX);
	case ROW_BOOL:
		return set_bool(place(c, row), value);
	case ROW_UINT:
		return set_uint(place(c, row), value);
	case ROW_CHOICE:
		return set_choice(place(c, row), value, row->choices);
	case ROW_FIXED:
		return str_is(value, row->choices[0]) ? 0 : ERR_INVALID;
	}
	return ERR_INVALID;
}

static struct str
lines_of(const struct elem *field)
{
	struct elem *value = elem_child(field, EL_FORM_VALUE);
	struct arena *a = elem_arena(field);
	struct str all = STR("");

	for (; value != NULL; value = elem_next(value, EL_FORM_VALUE)) {
		if (all.n > LIST_MAX)
			break;
		all = str_printf(a, STR_FMT "%s" STR_FMT, STR_ARG(all),
		    all.n > 0 ? "\n" : "", STR_ARG(elem_text(value)));
	}
	return all;
}

static int
check(const struct pubsub_config *c, const struct pubsub_bounds *bounds)
{
	if (!bounds->is_pep &&
	    (c->access == ACCESS_PRESENCE || c->access == ACCESS_ROSTER))
		return ERR_DENIED;
	if (!bounds->is_pep && c->purge_offline)
		return ERR_INVALID;
	if (c->max_items != PUBSUB_MAX && c->max_items > bounds->max_items)
		return ERR_INVALID;
	if (c->max_payload != PUBSUB_MAX &&
	    c->max_payload > bounds->max_payload)
		return ERR_INVALID;
	return 0;
}

int
pubsub_config_read(struct pubsub_config *c, const struct elem *form,
    const struct pubsub_bounds *bounds, bool is_strict)
{
	struct elem *field = elem_child(form, EL_FORM_FIELD);

	for (; field != NULL; field = elem_next(field, EL_FORM_FIELD)) {
		struct str var = elem_attr(field, AT_VAR);
		const struct row *row = row_find(var);
		struct str value;

		if (str_is(var, "FORM_TYPE"))
			continue;
		if (row == NULL) {
			if (is_strict)
				return ERR_ABSENT;
			continue;
		}
		value = row->type == ROW_LIST
			    ? lines_of(field)
			    : elem_child_text(field, EL_FORM_VALUE);
		if (set_value(c, row, value) < 0)
			return ERR_INVALID;
	}
	return check(c, bounds);
}

static void
set_default(struct pubsub_config *c, const char *var, const char *value)
{
	must(set_value(c, row_find(str_c(var)), str_c(value)) == 0);
}

static void
init_known(struct pubsub_config *c, struct str node)
{
	for (size_t i = 0; i < ARRAY_LEN(known_nodes); i++) {
		const struct known *k = &known_nodes[i];

		if (k->is_prefix ? !str_has_prefix(node, str_c(k->name))
				 : !str_is(node, k->name))
			continue;
		set_default(c, "pubsub#access_model", k->access);
		set_default(c, "pubsub#max_items", k->max_items);
		set_default(c, "pubsub#send_last_published_item", k->send_last);
	}
}

void
pubsub_config_init(struct pubsub_config *c, const struct pubsub_bounds *bounds,
    struct str node)
{
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *value =
		    bounds->is_pep ? rows[i].pep : rows[i].service;

		if (value != NULL)
			must(set_value(c, &rows[i], str_c(value)) == 0);
	}
	if (bounds->is_pep)
		init_known(c, node);
}

void
pubsub_config_fini(struct pubsub_config *c)
{
	str_free(&c->title);
	str_free(&c->description);
	str_free(&c->type);
	str_free(&c->groups);
}

static struct str
copy_text(struct str text)
{
	return text.n > 0 ? str_heap(text) : STR_NONE;
}

struct pubsub_config
pubsub_config_copy(const struct pubsub_config *c)
{
	struct pubsub_config copy = *c;

	copy.title = copy_text(c->title);
	copy.description = copy_text(c->description);
	copy.type = copy_text(c->type);
	copy.groups = copy_text(c->groups);
	return copy;
}

static bool
is_equal(const struct row *row, const struct pubsub_config *x,
    const struct pubsub_config *y)
{
	const void *a = place_of(x, row), *b = place_of(y, row);

	switch (row->type) {
	case ROW_TEXT:
	case ROW_LIST:
		return str_eq(*(const struct str *)a, *(const struct str *)b);
	case ROW_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case ROW_UINT:
		return *(const uint32_t *)a == *(const uint32_t *)b;
	case ROW_CHOICE:
		return *(const unsigned *)a == *(const unsigned *)b;
	case ROW_FIXED:
		break;
	}
	return true;
}

bool
pubsub_config_meets(const struct pubsub_config *c, const struct elem *form,
    const struct pubsub_bounds *bounds)
{
	struct pubsub_config wanted = pubsub_config_copy(c);
	bool is_met = pubsub_config_read(&wanted, form, bounds, true) == 0;

	for (size_t i = 0; is_met && i < ARRAY_LEN(rows); i++)
		is_met = is_equal(&rows[i], c, &wanted);
	/* "max" and the most there can be are the same. */
	if (!is_met && c->max_items != wanted.max_items &&
	    pubsub_config_items(c, bounds) ==
		pubsub_config_items(&wanted, bounds)) {
		struct pubsub_config same = *c;

		same.max_items = wanted.max_items;
		pubsub_config_fini(&wanted);
		return pubsub_config_meets(&same, form, bounds);
	}
	pubsub_config_fini(&wanted);
	return is_met;
}

/* ---- writing ----------------------------------------------------------- */

static const char *const field_types[] = {
	[ROW_TEXT] = "text-single",
	[ROW_LIST] = "text-multi",
	[ROW_BOOL] = "boolean",
	[ROW_UINT] = "text-single",
	[ROW_CHOICE] = "list-single",
};

static struct str
value_of(struct arena *a, const struct pubsub_config *c, const struct row *row)
{
	const void *at = place_of(c, row);
	uint32_t number;

	switch (row->type) {
	case ROW_TEXT:
		return str_dup(a, *(const struct str *)at);
	case ROW_BOOL:
		return *(const bool *)at ? STR("1") : STR("0");
	case ROW_UINT:
		number = *(const uint32_t *)at;
		return number == PUBSUB_MAX ? STR("max")
					    : str_printf(a, "%u", number);
	case ROW_CHOICE:
		return str_c(row->choices[*(const unsigned *)at]);
	case ROW_LIST:
	case ROW_FIXED:
		break;
	}
	return STR_NONE;
}

static void
add_lines(struct elem *field, struct str lines)
{
	struct str rest = str_dup(elem_arena(field), lines);

	while (rest.n > 0)
		form_add_value(field, str_cut(&rest, '\n'));
}

static bool
is_offered(const struct row *row, unsigned choice, bool is_pep)
{
	return is_pep || row->choices != access_names ||
	       (choice != ACCESS_PRESENCE && choice != ACCESS_ROSTER);
}

static void
add_field(struct elem *form, const struct pubsub_config *c,
    const struct row *row, bool is_form, bool is_pep)
{
	struct elem *field;

	field = form_add_field(form, is_form ? field_types[row->type] : NULL,
	    row->var, is_form ? row->label : NULL,
	    value_of(elem_arena(form), c, row));
	if (row->type == ROW_LIST)
		add_lines(field, *(const struct str *)place_of(c, row));
	if (row->type != ROW_CHOICE || !is_form)
		return;
	for (unsigned i = 0; row->choices[i] != NULL; i++)
		if (is_offered(row, i, is_pep))
			form_add_option(field, NULL, str_c(row->choices[i]));
}

struct elem *
pubsub_config_form(struct elem *parent, const char *type,
    const struct pubsub_config *c, const struct pubsub_bounds *bounds)
{
	struct elem *form = form_add(parent, type, PUBSUB_NODE_CONFIG);
	bool is_form = strcmp(type, "form") == 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].type == ROW_FIXED ||
		    (is_pep_only(&rows[i]) && !bounds->is_pep))
			continue;
		add_field(form, c, &rows[i], is_form, bounds->is_pep);
	}
	return form;
}

uint32_t
pubsub_config_items(
    const struct pubsub_config *c, const struct pubsub_bounds *bounds)
{
	return MIN(c->max_items, bounds->max_items);
}

const char *
pubsub_access_name(unsigned access)
{
	return access_names[access];
}

const char *
pubsub_publish_name(unsigned publish)
{
	return publish_names[publish];
}
