/* SPDX-License-Identifier: MIT */
/*
 * The configuration of a room: one row an option, from which come the form
 * (section 10.2), its reading, what is stored, and ejabberd's names.
 */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"

#define FORM_TYPE "http://jabber.org/protocol/muc#roomconfig"

enum kind { BOOL, TEXT, NUMBER, CHOICE, ROLES };

struct row {
	const char *var;  /* in the form; NULL: only stored */
	const char *name; /* ejabberd's, and ours in the store */
	const char *label;
	enum kind kind;
	size_t offset;
	uint64_t max; /* of a number, or bytes of a text */
	const char *const *choices;
	bool is_secret;
};

static const char *const pm_names[] = { "anyone", "participants", "moderators",
	"none", NULL };
static const char *const notify_names[] = { "none", "mention", "always", NULL };
static const char *const whois_names[] = { "moderators", "anyone", NULL };

#define AT_FIELD(field) offsetof(struct config, field)

static const struct row rows[] = {
	{ "muc#roomconfig_roomname", "title", "Name of the room", TEXT,
	    AT_FIELD(name), 512, NULL, false },
	{ "muc#roomconfig_roomdesc", "description", "What it is about", TEXT,
	    AT_FIELD(desc), 4096, NULL, false },
	{ "muc#roomconfig_lang", "lang", "Language of the discussions", TEXT,
	    AT_FIELD(lang), 64, NULL, false },
	{ "muc#roomconfig_persistentroom", "persistent",
	    "Keep the room when nobody is in it", BOOL, AT_FIELD(is_persistent),
	    0, NULL, false },
	{ "muc#roomconfig_publicroom", "public",
	    "List the room where everybody finds it", BOOL, AT_FIELD(is_public),
	    0, NULL, false },
	{ "muc#roomconfig_membersonly", "members_only",
	    "Only members may enter", BOOL, AT_FIELD(is_members_only), 0, NULL,
	    false },
	{ "muc#roomconfig_passwordprotectedroom", "password_protected",
	    "A password is needed to enter", BOOL, AT_FIELD(has_password), 0,
	    NULL, false },
	{ "muc#roomconfig_roomsecret", "password", "The password", TEXT,
	    AT_FIELD(password), 1024, NULL, true },
	{ "muc#roomconfig_whois", "whois", "Who sees the real addresses",
	    CHOICE, AT_FIELD(whois), 0, whois_names, false },
	{ "muc#roomconfig_moderatedroom", "moderated",
	    "Only those with voice may speak", BOOL, AT_FIELD(is_moderated), 0,
	    NULL, false },
	{ "muc#roomconfig_changesubject", "allow_change_subj",
	    "Occupants may change the subject", BOOL,
	    AT_FIELD(may_change_subject), 0, NULL, false },
	{ "muc#roomconfig_allowinvites", "allow_user_invites",
	    "Members may invite others", BOOL, AT_FIELD(may_invite), 0, NULL,
	    false },
	{ "muc#roomconfig_allowpm", "allow_private_messages",
	    "Who may send private messages", CHOICE, AT_FIELD(allow_pm), 0,
	    pm_names, false },
	{ "muc#roomconfig_enablearchiving", "mam",
	    "Keep messages so that members can look them up", BOOL,
	    AT_FIELD(is_archived), 0, NULL, false },
	{ "muc#roomconfig_enablelogging", "logging",
	    "Tell everybody that the discussions are logged in public", BOOL,
	    AT_FIELD(is_logged), 0, NULL, false },
	{ "muc#maxhistoryfetch", "history_size",
	    "Most messages that are shown on entering", NUMBER,
	    AT_FIELD(history), 1000, NULL, false },
	{ "muc#roomconfig_maxusers", "max_users", "Most occupants", NUMBER,
	    AT_FIELD(max_users), 1000000, NULL, false },
	{ "muc#roomconfig_presencebroadcast", "presence_broadcast",
	    "Roles whose presence is shown to all", ROLES, AT_FIELD(broadcast),
	    0, role_names, false },
	{ "muc#roomconfig_getmemberlist", "member_list",
	    "Roles that may read the lists of members", ROLES,
	    AT_FIELD(member_list), 0, role_names, false },
	{ "muc#roomconfig_pubsub", "pubsub",
	    "Address of an associated publish-subscribe node", TEXT,
	    AT_FIELD(pubsub), 3071, NULL, false },
	{ "{urn:rookery:muc}register", "allow_register",
	    "Anybody may register a nickname and become a member", BOOL,
	    AT_FIELD(may_register), 0, NULL, false },
	{ "{urn:rookery:muc}approve", "approve_register",
	    "Admins decide who registers", BOOL, AT_FIELD(is_approving), 0,
	    NULL, false },
	{ "muc#roomconfig_allowvoicerequests", "allow_voice_requests",
	    "Visitors may ask for voice", BOOL, AT_FIELD(may_ask_voice), 0,
	    NULL, false },
	{ "{urn:rookery:muc}query", "allow_query_users",
	    "Occupants may send requests to each other", BOOL,
	    AT_FIELD(may_query), 0, NULL, false },
	{ "{urn:rookery:muc}visitor_nick", "allow_visitor_nickchange",
	    "Visitors may change their nickname", BOOL,
	    AT_FIELD(may_visitor_nick), 0, NULL, false },
	{ "{urn:rookery:muc}visitor_status", "allow_visitor_status",
	    "Visitors' status texts are shown", BOOL,
	    AT_FIELD(may_visitor_status), 0, NULL, false },
	{ "muc#roomconfig_allow_subscription", "allow_subscription",
	    "Anybody who may enter may subscribe instead (MUC/Sub)", BOOL,
	    AT_FIELD(may_subscribe), 0, NULL, false },
	{ "{urn:rookery:muc}notify", "notify",
	    "What members are told of while they are not here", CHOICE,
	    AT_FIELD(notify), 0, notify_names, false },
	{ NULL, "was_open", NULL, BOOL, AT_FIELD(was_open), 0, NULL, false },
	{ NULL, "avatar", NULL, TEXT, AT_FIELD(avatar), 40, NULL, false },
};

/* ---- values ------------------------------------------------------------ */

static void *
place(struct config *c, const struct row *row)
{
	return (char *)c + row->offset;
}

static const void *
place_of(const struct config *c, const struct row *row)
{
	return (const char *)c + row->offset;
}

void
config_init(struct config *c, const struct muc_options *o)
{
	memset(c, 0, sizeof(*c));
	c->history = (uint32_t)o->history;
	c->broadcast =
	    1u << ROLE_MODERATOR | 1u << ROLE_PARTICIPANT | 1u << ROLE_VISITOR;
	c->member_list = 1u << ROLE_MODERATOR;
	c->is_persistent = o->persistent;
	c->is_public = o->public;
	c->is_archived = o->archive;
	c->may_subscribe = o->subscription;
	c->notify = (uint8_t)o->notify;
	c->may_register = c->may_ask_voice = c->may_query = true;
	c->may_visitor_nick = c->may_visitor_status = true;
}

void
config_fini(struct config *c)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].kind == TEXT)
			str_free(place(c, &rows[i]));
}

void
config_copy(struct config *to, const struct config *from)
{
	*to = *from;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str *text;

		if (rows[i].kind != TEXT)
			continue;
		text = place(to, &rows[i]);
		if (!str_is_none(*text))
			*text = str_heap(*text);
	}
}

static bool
set_bool(bool *b, struct str value)
{
	if (str_is(value, "1") || str_is(value, "true"))
		*b = true;
	else if (str_is(value, "0") || str_is(value, "false"))
		*b = false;
	else
		return false;
	return true;
}

static bool
set_choice(const struct row *row, uint8_t *choice, struct str value)
{
	for (uint8_t i = 0; row->choices[i] != NULL; i++)
		if (str_is(value, row->choices[i])) {
			*choice = i;
			return true;
		}
	/* Words that others have for the same. */
	if (row->choices == pm_names && str_is(value, "nobody")) {
		*choice = PM_NONE;
		return true;
	}
	return false;
}

static bool
set_number(const struct row *row, uint32_t *number_r, struct str value)
{
	uint64_t number;

	if (str_is(value, "none") || value.n == 0) {
		*number_r = 0;
		return true;
	}
	if (!str_to_u64(value, &number) || number > row->max)
		return false;
	*number_r = (uint32_t)number;
	return true;
}

static bool
set_text(const struct row *row, struct str *text, struct str value)
{
	if (value.n > row->max)
		return false;
	str_free(text);
	*text = value.n > 0 ? str_heap(value) : STR_NONE;
	return true;
}

/* One role of a list. */
static bool
add_role(uint8_t *roles, struct str value)
{
	enum role role;

	if (str_is(value, "anyone"))
		*roles |= 7 << ROLE_VISITOR;
	else if (value.n > 0 && value.p[value.n - 1] == 's' &&
		 role_parse(str_sub(value, 0, value.n - 1), &role))
		*roles |= (uint8_t)(1 << role);
	else if (role_parse(value, &role))
		*roles |= (uint8_t)(1 << role);
	else
		return str_is(value, "none");
	*roles &= (uint8_t)~1;
	return true;
}

static bool
row_set(const struct row *row, struct config *c, struct str value)
{
	switch (row->kind) {
	case BOOL:
		return set_bool(place(c, row), value);
	case TEXT:
		return set_text(row, place(c, row), value);
	case NUMBER:
		return set_number(row, place(c, row), value);
	case CHOICE:
		return set_choice(row, place(c, row), value);
	case ROLES:
		return add_role(place(c, row), value);
	}
	return false;
}

static bool
row_read(const struct row *row, struct config *c, const struct elem *field)
{
	const struct elem *value = elem_child(field, EL_FORM_VALUE);

	if (row->kind != ROLES) {
		struct str text = elem_text(value);

		if (value == NULL && row->kind != TEXT)
			return true;
		return row_set(row, c, text);
	}
	*(uint8_t *)place(c, row) = 0;
	for (; value != NULL; value = elem_next(value, EL_FORM_VALUE))
		if (!row_set(row, c, elem_text(value)))
			return false;
	return true;
}

/* ---- the form ---------------------------------------------------------- */

const char *
config_read(struct config *c, const struct elem *form)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct elem *field;

		if (rows[i].var == NULL)
			continue;
		field = form_field(form, rows[i].var);
		if (field != NULL && !row_read(&rows[i], c, field))
			return rows[i].var;
	}
	/* A protection without a password would lock everybody out. */
	if (c->has_password && c->password.n == 0)
		return "muc#roomconfig_roomsecret";
	return NULL;
}

static const char *
type_of(const struct row *row)
{
	switch (row->kind) {
	case BOOL:
		return "boolean";
	case CHOICE:
		return "list-single";
	case ROLES:
		return "list-multi";
	default:
		return row->is_secret ? "text-private" : "text-single";
	}
}

static void
add_options(struct elem *field, const struct row *row)
{
	if (row->kind != CHOICE && row->kind != ROLES)
		return;
	for (unsigned i = row->kind == ROLES; row->choices[i] != NULL; i++)
		form_add_option(field, row->choices[i], str_c(row->choices[i]));
}

static struct str
number_text(struct arena *a, const void *at)
{
	return str_printf(a, "%u", *(const uint32_t *)at);
}

static void
add_values(struct elem *field, const struct row *row, const struct config *c)
{
	struct arena *a = elem_arena(field);
	const void *at = place_of(c, row);

	switch (row->kind) {
	case BOOL:
		form_add_value(field, *(const bool *)at ? STR("1") : STR("0"));
		break;
	case TEXT:
		form_add_value(field, str_dup(a, *(const struct str *)at));
		break;
	case NUMBER:
		form_add_value(field, number_text(a, at));
		break;
	case CHOICE:
		form_add_value(
		    field, str_c(row->choices[*(const uint8_t *)at]));
		break;
	case ROLES:
		for (unsigned i = 1; row->choices[i] != NULL; i++)
			if (*(const uint8_t *)at & 1u << i)
				form_add_value(field, str_c(row->choices[i]));
		break;
	}
}

void
config_form(const struct room *r, struct elem *query)
{
	struct arena *a = elem_arena(query);
	struct elem *form = form_add(query, "form", FORM_TYPE);

	elem_add_text(form, EL_FORM_TITLE,
	    str_printf(a, "Configuration of " STR_FMT, STR_ARG(r->jid.full)));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct elem *field;

		if (row->var == NULL)
			continue;
		field = form_add_field(
		    form, type_of(row), row->var, row->label, STR_NONE);
		add_options(field, row);
		add_values(field, row, &r->config);
	}
	officers_add(r, form);
}

/* ---- the store --------------------------------------------------------- */

struct elem *
config_dump(struct arena *a, const struct config *c)
{
	struct elem *form = elem_new(a, EL_FORM);

	elem_set(form, AT_TYPE, STR("submit"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		add_values(
		    form_add_field(form, NULL, rows[i].name, NULL, STR_NONE),
		    &rows[i], c);
	form_add_field(form, NULL, "secret", NULL,
	    str_hex(a, str_mem(c->secret, sizeof(c->secret))));
	form_add_field(form, NULL, "created", NULL,
	    str_printf(a, "%lld", (long long)c->created));
	return form;
}

static unsigned
hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10) & 15;
}

void
config_load(struct config *c, const struct elem *form)
{
	struct str secret = form_value(form, "secret");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct elem *field = form_field(form, rows[i].name);

		if (field != NULL)
			row_read(&rows[i], c, field);
	}
	if (secret.n == 2 * sizeof(c->secret))
		for (size_t i = 0; i < sizeof(c->secret); i++)
			c->secret[i] =
			    (unsigned char)(hex_digit(secret.p[2 * i]) << 4 |
					    hex_digit(secret.p[2 * i + 1]));
	str_to_i64(form_value(form, "created"), &c->created);
}

/* ---- ejabberd's names -------------------------------------------------- */

/* Names for the same in other words. */
static const struct {
	const char *name, *row, *yes, *no;
} others[] = {
	{ "anonymous", "whois", "moderators", "anyone" },
	{ "public_list", NULL, NULL, NULL },
	{ "members_by_default", "moderated", "false", "true" },
	{ "allowpm", "allow_private_messages", NULL, NULL },
};

static const struct row *
row_find(const char *name)
{
	for (size_t i = 0; name != NULL && i < ARRAY_LEN(rows); i++)
		if (rows[i].var != NULL && strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static bool
set_roles(const struct row *row, struct config *c, struct str value)
{
	struct str rest = value;

	*(uint8_t *)place(c, row) = 0;
	while (!str_is_none(rest))
		if (!add_role(place(c, row), str_trim(str_cut(&rest, ','))))
			return false;
	return true;
}

static bool
set_by_row(const struct row *row, struct config *c, struct str value)
{
	if (row->kind == ROLES)
		return set_roles(row, c, value);
	if (row->choices == pm_names && str_is(value, "true"))
		value = STR("anyone");
	if (row->choices == pm_names && str_is(value, "false"))
		value = STR("none");
	return row_set(row, c, value);
}

bool
config_set(struct config *c, struct str option, struct str value)
{
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		bool yes;

		if (!str_is(option, others[i].name))
			continue;
		if (others[i].row == NULL)
			return set_bool(&yes, value);
		if (others[i].yes == NULL)
			return set_by_row(row_find(others[i].row), c, value);
		if (!set_bool(&yes, value))
			return false;
		return row_set(row_find(others[i].row), c,
		    str_c(yes ? others[i].yes : others[i].no));
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].var != NULL && str_is(option, rows[i].name))
			return set_by_row(&rows[i], c, value);
	return false;
}

/* The value as one text. */
static struct str
text_of(struct arena *a, const struct row *row, const struct config *c)
{
	const void *at = place_of(c, row);
	struct str all = STR("");

	switch (row->kind) {
	case BOOL:
		return *(const bool *)at ? STR("true") : STR("false");
	case TEXT:
		return *(const struct str *)at;
	case NUMBER:
		return number_text(a, at);
	case CHOICE:
		return str_c(row->choices[*(const uint8_t *)at]);
	case ROLES:
		break;
	}
	for (unsigned i = 1; row->choices[i] != NULL; i++)
		if (*(const uint8_t *)at & 1u << i)
			all = str_printf(a, STR_FMT "%s%s", STR_ARG(all),
			    all.n > 0 ? "," : "", row->choices[i]);
	return all;
}

static void
add_pair(json_t *list, const char *name, struct str value)
{
	json_array_append_new(
	    list, json_pack("{s:s, s:s%}", "name", name, "value",
		      value.p != NULL ? value.p : "", value.n));
}

json_t *
config_json(struct arena *a, const struct config *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].var != NULL)
			add_pair(list, rows[i].name, text_of(a, &rows[i], c));
	add_pair(list, "anonymous", c->whois == 0 ? STR("true") : STR("false"));
	return list;
}
