/* SPDX-License-Identifier: MIT */
/*
 * XEP-0133: Service Administration. Each row says what its form asks for, and
 * which of the server's commands that makes. Lists that are edited are those
 * beside the configuration's, which has the last word.
 */
#include "modules/admin/admin.h"

#include <stdio.h>

/* Accounts in one form. */
#define ACCOUNTS_MAX 100
#define WORDS_MAX 4
#define FIELDS_MAX 4
/* Of a list in an answer. */
#define LIST_MAX 1000

struct field {
	const char *var, *type, *label;
	bool is_optional;
};

/* What becomes of the command's result. */
enum show {
	SHOW_NOTHING,
	SHOW_NUMBER,
	SHOW_NAMES, /* of the host: list of local parts */
	SHOW_JIDS,
	SHOW_BUSY, /* of connected_users_info: those who are about, or not */
	SHOW_AWAY,
	SHOW_BUSY_NUMBER,
	SHOW_AWAY_NUMBER,
	SHOW_ROSTER,
	SHOW_LAST,
	SHOW_STATS, /* of user_sessions_info, and then of get_roster_count */
};

struct operation {
	const char *node, *name, *command;
	/*
	 * Its arguments: "user" and "host" of the account in the form,
	 * "resource" of it, "@" our domain, "$var" a field, or just text.
	 */
	const char *words[WORDS_MAX];
	struct field fields[FIELDS_MAX];
	enum show show;
	const char *var; /* of the field with what is shown */
	/* The command whose list of texts fills the form's field first. */
	const char *current;
};

#define FIELD(var_, type_, label_) \
	{ \
		.var = (var_), .type = (type_), .label = (label_) \
	}
#define OPTIONAL(var_, type_, label_) \
	{ \
		.var = (var_), .type = (type_), .label = (label_), \
		.is_optional = true \
	}
#define ACCOUNT FIELD("accountjid", "jid-single", "Address of the account")
#define ACCOUNTS FIELD("accountjids", "jid-multi", "Addresses of the accounts")
#define PASSWORD(var, label) FIELD(var, "text-private", label)
#define TEXT(var, label) FIELD(var, "text-multi", label)
#define SUBJECT OPTIONAL("subject", "text-single", "Subject")
#define MAX_ITEMS OPTIONAL("max_items", "list-single", "How many at most")
#define DELAY OPTIONAL("delay", "list-single", "Seconds until then")
#define FAREWELL \
	OPTIONAL("announcement", "text-multi", "What to tell those online")

static const struct operation operations[] = {
	{ .node = "add-user",
	    .name = "Add User",
	    .command = "register",
	    .words = { "user", "host", "$password" },
	    .fields = { ACCOUNT, PASSWORD("password", "Password"),
		PASSWORD("password-verify", "Password again") } },
	{ .node = "delete-user",
	    .name = "Delete User",
	    .command = "unregister",
	    .words = { "user", "host" },
	    .fields = { ACCOUNTS } },
	{ .node = "disable-user",
	    .name = "Disable User",
	    .command = "ban_account",
	    .words = { "user", "host", "Disabled by an administrator" },
	    .fields = { ACCOUNTS } },
	{ .node = "reenable-user",
	    .name = "Re-Enable User",
	    .command = "unban_account",
	    .words = { "user", "host" },
	    .fields = { ACCOUNTS } },
	{ .node = "end-user-session",
	    .name = "End User Session",
	    .command = "kick_user",
	    .words = { "user", "host" },
	    .fields = { ACCOUNTS } },
	{ .node = "change-user-password",
	    .name = "Change User Password",
	    .command = "change_password",
	    .words = { "user", "host", "$password" },
	    .fields = { ACCOUNT, PASSWORD("password", "New password") } },
	{ .node = "get-user-roster",
	    .name = "Get User Roster",
	    .command = "get_roster",
	    .words = { "user", "host" },
	    .fields = { ACCOUNT },
	    .show = SHOW_ROSTER },
	{ .node = "get-user-lastlogin",
	    .name = "Get User Last Login Time",
	    .command = "get_last",
	    .words = { "user", "host" },
	    .fields = { ACCOUNT },
	    .show = SHOW_LAST,
	    .var = "lastlogin" },
	{ .node = "user-stats",
	    .name = "Get User Statistics",
	    .command = "user_sessions_info",
	    .words = { "user", "host" },
	    .fields = { ACCOUNT },
	    .show = SHOW_STATS },
	{ .node = "edit-blacklist",
	    .name = "Edit Blacklist",
	    .command = "set_blocked_peers",
	    .words = { "$blacklistjids" },
	    .fields = { OPTIONAL("blacklistjids", "jid-multi",
		"Addresses elsewhere that we do not talk to") },
	    .current = "list_blocked_peers" },
	{ .node = "edit-whitelist",
	    .name = "Edit Whitelist",
	    .command = "set_allowed_peers",
	    .words = { "$whitelistjids" },
	    .fields = { OPTIONAL("whitelistjids", "jid-multi",
		"The only addresses elsewhere that we talk to; none: all") },
	    .current = "list_allowed_peers" },
	{ .node = "edit-admin",
	    .name = "Edit Admin List",
	    .command = "set_admins",
	    .words = { "$adminjids" },
	    .fields = { OPTIONAL("adminjids", "jid-multi",
		"Administrators beside those of the configuration") },
	    .current = "list_admins" },
	{ .node = "get-registered-users-num",
	    .name = "Get Number of Registered Users",
	    .command = "stats_host",
	    .words = { "registeredusers", "@" },
	    .show = SHOW_NUMBER,
	    .var = "registeredusersnum" },
	{ .node = "get-disabled-users-num",
	    .name = "Get Number of Disabled Users",
	    .command = "count_banned",
	    .words = { "@" },
	    .show = SHOW_NUMBER,
	    .var = "disabledusersnum" },
	{ .node = "get-online-users-num",
	    .name = "Get Number of Online Users",
	    .command = "stats_host",
	    .words = { "onlineusers", "@" },
	    .show = SHOW_NUMBER,
	    .var = "onlineusersnum" },
	{ .node = "get-active-users-num",
	    .name = "Get Number of Active Users",
	    .command = "connected_users_info",
	    .show = SHOW_BUSY_NUMBER,
	    .var = "activeusersnum" },
	{ .node = "get-idle-users-num",
	    .name = "Get Number of Idle Users",
	    .command = "connected_users_info",
	    .show = SHOW_AWAY_NUMBER,
	    .var = "idleusersnum" },
	{ .node = "get-registered-users-list",
	    .name = "Get List of Registered Users",
	    .command = "registered_users",
	    .words = { "@" },
	    .fields = { MAX_ITEMS },
	    .show = SHOW_NAMES,
	    .var = "registereduserjids" },
	{ .node = "get-disabled-users-list",
	    .name = "Get List of Disabled Users",
	    .command = "list_banned",
	    .words = { "@" },
	    .fields = { MAX_ITEMS },
	    .show = SHOW_JIDS,
	    .var = "disableduserjids" },
	{ .node = "get-online-users-list",
	    .name = "Get List of Online Users",
	    .command = "connected_users_vhost",
	    .words = { "@" },
	    .fields = { MAX_ITEMS },
	    .show = SHOW_JIDS,
	    .var = "onlineuserjids" },
	{ .node = "get-active-users",
	    .name = "Get List of Active Users",
	    .command = "connected_users_info",
	    .fields = { MAX_ITEMS },
	    .show = SHOW_BUSY,
	    .var = "activeuserjids" },
	{ .node = "get-idle-users",
	    .name = "Get List of Idle Users",
	    .command = "connected_users_info",
	    .fields = { MAX_ITEMS },
	    .show = SHOW_AWAY,
	    .var = "idleuserjids" },
	{ .node = "announce",
	    .name = "Send Announcement to Online Users",
	    .command = "announce_send_online",
	    .words = { "@", "$subject", "$announcement" },
	    .fields = { SUBJECT, TEXT("announcement", "Announcement") } },
	{ .node = "announce-all",
	    .name = "Send Announcement to All Users",
	    .command = "announce_send_all",
	    .words = { "@", "$subject", "$announcement" },
	    .fields = { SUBJECT, TEXT("announcement", "Announcement") } },
	{ .node = "set-motd",
	    .name = "Set Message of the Day",
	    .command = "announce_motd_set_online",
	    .words = { "@", "$subject", "$motd" },
	    .fields = { SUBJECT, TEXT("motd", "Message of the day") } },
	{ .node = "edit-motd",
	    .name = "Edit Message of the Day",
	    .command = "announce_motd_update",
	    .words = { "@", "$subject", "$motd" },
	    .fields = { SUBJECT, TEXT("motd", "Message of the day") } },
	{ .node = "delete-motd",
	    .name = "Delete Message of the Day",
	    .command = "announce_motd_delete",
	    .words = { "@" } },
	{ .node = "set-welcome",
	    .name = "Set Welcome Message",
	    .command = "announce_welcome_set",
	    .words = { "@", "$subject", "$welcome" },
	    .fields = { SUBJECT, TEXT("welcome", "Welcome message") } },
	{ .node = "delete-welcome",
	    .name = "Delete Welcome Message",
	    .command = "announce_welcome_delete",
	    .words = { "@" } },
	{ .node = "restart",
	    .name = "Restart Service",
	    .command = "restart_kindly",
	    .words = { "$delay", "$announcement" },
	    .fields = { DELAY, FAREWELL } },
	{ .node = "shutdown",
	    .name = "Shut Down Service",
	    .command = "stop_kindly",
	    .words = { "$delay", "$announcement" },
	    .fields = { DELAY, FAREWELL } },
};

void
service_each(void (*fn)(void *ctx, const struct adhoc_command *row), void *ctx)
{
	char node[128];

	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		struct adhoc_command row = {
			.node = node,
			.name = operations[i].name,
			.run = service_run,
		};

		snprintf(node, sizeof(node), ADMIN "#%s", operations[i].node);
		fn(ctx, &row);
	}
}

struct job {
	struct adhoc_call *call;
	const struct operation *op;
	struct jid *accounts;
	size_t count, at;
	struct buf failures;  /* a line each */
	enum qname condition; /* of the last one */
	json_t *sessions;     /* for SHOW_STATS */
};

static const struct operation *
operation_of(const struct adhoc_call *call)
{
	const char *name = call->command->node + strlen(ADMIN "#");

	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		if (strcmp(operations[i].node, name) == 0)
			return &operations[i];
	}
	return NULL;
}

/* ---- the form ---------------------------------------------------------- */

static const char *const delays[] = { "0", "30", "60", "90", "120", "180",
	"240", "300", "600", "900", "1800", "3600" };
static const char *const limits[] = { "25", "50", "75", "100", "150", "200",
	"1000" };

static void
add_options(struct elem *field, const char *const *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		form_add_option(field, values[i], str_c(values[i]));
}

static struct str
text_of(struct arena *a, const json_t *value)
{
	if (json_is_integer(value))
		return str_printf(
		    a, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	if (!json_is_string(value))
		return STR("");
	return str_dup(
	    a, str_mem(json_string_value(value), json_string_length(value)));
}

static bool
has_form(const struct operation *op)
{
	return op->fields[0].var != NULL;
}

/* `current` is a list of texts, or NULL. */
static void
send_form(
    struct adhoc_call *call, const struct operation *op, const json_t *current)
{
	struct elem *form =
	    form_add(adhoc_stage(call, 1 << ADHOC_COMPLETE), "form", ADMIN);

	elem_add_text(form, EL_FORM_TITLE, str_c(op->name));
	for (size_t i = 0; i < FIELDS_MAX && op->fields[i].var != NULL; i++) {
		const struct field *f = &op->fields[i];
		struct elem *e =
		    form_add_field(form, f->type, f->var, f->label, STR_NONE);

		if (strcmp(f->var, "delay") == 0)
			add_options(e, delays, ARRAY_LEN(delays));
		if (strcmp(f->var, "max_items") == 0)
			add_options(e, limits, ARRAY_LEN(limits));
		for (size_t k = 0; i == 0 && k < json_array_size(current); k++)
			form_add_value(e,
			    text_of(call->arena, json_array_get(current, k)));
		if (!f->is_optional)
			elem_add(e, EL_FORM_REQUIRED);
	}
	adhoc_send(call);
}

static void
on_current(void *ctx, const struct cmd_outcome *o)
{
	struct adhoc_call *call = ctx;

	if (o->what == CMD_DONE)
		send_form(call, operation_of(call), o->value);
	else
		adhoc_refuse(call, admin_condition(o), EL_NONE);
}

/* ---- what was filled in ------------------------------------------------ */

/* All values of a field, a line each. */
static struct str
lines_of(struct arena *a, const struct elem *form, const char *var)
{
	const struct elem *field = form_field(form, var), *e;
	struct buf b = { 0 };
	struct str text;

	if (field == NULL)
		return STR_NONE;
	for (e = elem_child(field, EL_FORM_VALUE); e != NULL;
	     e = elem_next(e, EL_FORM_VALUE)) {
		if (b.n > 0)
			buf_add_c(&b, '\n');
		buf_add_str(&b, elem_text(e));
	}
	text = str_dup(a, buf_str(&b));
	buf_fini(&b);
	return text;
}

static bool
is_complete(const struct adhoc_call *call, const struct operation *op)
{
	struct str again;

	for (size_t i = 0; i < FIELDS_MAX && op->fields[i].var != NULL; i++) {
		if (!op->fields[i].is_optional &&
		    lines_of(call->arena, call->form, op->fields[i].var).n == 0)
			return false;
	}
	again = form_value(call->form, "password-verify");
	return str_is_none(again) ||
	       str_eq_secret(again, form_value(call->form, "password"));
}

static bool
asks_for_accounts(const struct operation *op)
{
	return has_form(op) &&
	       strncmp(op->fields[0].var, "accountjid", 10) == 0;
}

/* Those of the form; false if one is no address of an account here. */
static bool
read_accounts(struct job *j)
{
	struct arena *a = j->call->arena;
	struct str rest = lines_of(a, j->call->form, j->op->fields[0].var);

	j->accounts = arena_alloc(a, ACCOUNTS_MAX * sizeof(*j->accounts));
	while (rest.n > 0) {
		struct jid *jid = &j->accounts[j->count];
		struct str line = str_trim(str_cut(&rest, '\n'));

		if (line.n == 0)
			continue;
		if (j->count == ACCOUNTS_MAX || jid_parse(a, line, jid) < 0 ||
		    str_is_none(jid->local) || host_find(jid->domain) == NULL)
			return false;
		j->count++;
	}
	return j->count > 0;
}

static struct str
word_of(const struct job *j, const char *word)
{
	const struct jid *jid =
	    j->accounts != NULL ? &j->accounts[j->at] : NULL;
	struct str text;

	if (jid != NULL && strcmp(word, "user") == 0)
		return jid->local;
	if (jid != NULL && strcmp(word, "host") == 0)
		return jid->domain;
	if (strcmp(word, "@") == 0)
		return j->call->at->domain;
	if (word[0] != '$')
		return str_c(word);
	text = lines_of(j->call->arena, j->call->form, word + 1);
	if (text.n == 0 && strcmp(word, "$delay") == 0)
		return STR("0");
	return str_is_none(text) ? STR("") : text;
}

/* ---- what came of it --------------------------------------------------- */

static struct str
member(struct arena *a, const json_t *value, const char *name)
{
	return text_of(a, json_object_get(value, name));
}

static void
add_account(const struct job *j, struct elem *form)
{
	if (j->accounts != NULL)
		form_add_field(form, "jid-single", "accountjid", NULL,
		    j->accounts[0].bare);
}

static size_t
limit_of(const struct job *j)
{
	uint64_t n;

	if (!str_to_u64(form_value(j->call->form, "max_items"), &n))
		return LIST_MAX;
	return (size_t)MIN(n, LIST_MAX);
}

static void
show_list(const struct job *j, struct elem *form, const json_t *value)
{
	struct arena *a = j->call->arena;
	struct elem *field = form_add_field(
	    form, "text-multi", j->op->var, j->op->name, STR_NONE);
	size_t limit = limit_of(j);

	for (size_t i = 0; i < json_array_size(value) && i < limit; i++) {
		struct str text = text_of(a, json_array_get(value, i));

		if (j->op->show == SHOW_NAMES)
			text = str_printf(a, STR_FMT "@" STR_FMT, STR_ARG(text),
			    STR_ARG(j->call->at->domain));
		form_add_value(field, text);
	}
}

/* By this one of his sessions, is he not away? */
static bool
is_busy(struct arena *a, const json_t *info)
{
	struct str status = member(a, info, "status");

	return !str_is(status, "away") && !str_is(status, "xa");
}

/*
 * Sessions by account: who is about with one of them is about. Each account is
 * looked at once, where it first appears.
 */
static void
show_about(const struct job *j, struct elem *form, const json_t *value)
{
	bool wants_busy =
	    j->op->show == SHOW_BUSY || j->op->show == SHOW_BUSY_NUMBER;
	bool wants_number =
	    j->op->show == SHOW_BUSY_NUMBER || j->op->show == SHOW_AWAY_NUMBER;
	struct arena *a = j->call->arena;
	size_t limit = limit_of(j), n = 0;
	struct elem *field =
	    form_add_field(form, wants_number ? NULL : "text-multi", j->op->var,
		j->op->name, STR_NONE);
	struct map busy = { 0 }, seen = { 0 };

	for (size_t i = 0; i < json_array_size(value); i++) {
		const json_t *info = json_array_get(value, i);
		struct jid jid = jid_of(member(a, info, "jid"));

		if (is_busy(a, info))
			map_set(&busy, jid.bare, j->call);
	}
	for (size_t i = 0; i < json_array_size(value); i++) {
		struct jid jid =
		    jid_of(member(a, json_array_get(value, i), "jid"));
		bool is_about = map_get(&busy, jid.bare) != NULL;

		if (!str_eq(jid.domain, j->call->at->domain) ||
		    is_about != wants_busy ||
		    map_set(&seen, jid.bare, j->call) != NULL)
			continue;
		if (!wants_number && n < limit)
			form_add_value(field, jid.bare);
		n++;
	}
	map_fini(&busy);
	map_fini(&seen);
	if (wants_number)
		form_add_value(field, str_printf(a, "%zu", n));
}

/* As in section 4.8, the form has the account, and the roster is beside it. */
static void
show_roster(const struct job *j, struct elem *form, const json_t *value)
{
	struct arena *a = j->call->arena;
	struct elem *query = elem_add(form, EL_ROSTER);

	for (size_t i = 0; i < json_array_size(value); i++) {
		const json_t *row = json_array_get(value, i);
		const json_t *groups = json_object_get(row, "groups");
		struct elem *item = elem_add(query, EL_ROSTER_ITEM);
		struct str nick = member(a, row, "nick");

		elem_set(item, AT_JID, member(a, row, "jid"));
		if (nick.n > 0)
			elem_set(item, AT_NAME, nick);
		elem_set(item, AT_SUBSCRIPTION, member(a, row, "subscription"));
		for (size_t k = 0; k < json_array_size(groups); k++)
			elem_add_text(item, EL_ROSTER_GROUP,
			    text_of(a, json_array_get(groups, k)));
	}
}

/* How many stanzas and logins there are by time is counted for nobody. */
static void
show_stats(const struct job *j, struct elem *form, const json_t *count)
{
	static const struct {
		const char *var, *label, *member;
	} lists[] = {
		{ "ipaddresses", "IP addresses", "ip" },
		{ "onlineresources", "Resources online", "resource" },
	};
	struct arena *a = j->call->arena;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct elem *field = form_add_field(
		    form, "text-multi", lists[i].var, lists[i].label, STR_NONE);

		for (size_t k = 0; k < json_array_size(j->sessions); k++)
			form_add_value(
			    field, member(a, json_array_get(j->sessions, k),
				       lists[i].member));
	}
	form_add_field(form, NULL, "rostersize", "Contacts", text_of(a, count));
}

static void
show(const struct job *j, struct elem *command, const struct cmd_outcome *o)
{
	struct arena *a = j->call->arena;
	struct elem *form;

	if (j->op->show == SHOW_NOTHING) {
		adhoc_note(command, "info", STR("Done"));
		return;
	}
	form = form_add(command, "result", ADMIN);
	add_account(j, form);
	switch (j->op->show) {
	case SHOW_NUMBER:
		form_add_field(
		    form, NULL, j->op->var, j->op->name, text_of(a, o->value));
		break;
	case SHOW_LAST:
		form_add_field(form, NULL, j->op->var, "Last login",
		    member(a, o->value, "timestamp"));
		form_add_field(form, NULL, "status", "Status",
		    member(a, o->value, "status"));
		break;
	case SHOW_STATS:
		show_stats(j, form, o->value);
		break;
	case SHOW_ROSTER:
		show_roster(j, form, o->value);
		break;
	case SHOW_NAMES:
	case SHOW_JIDS:
		show_list(j, form, o->value);
		break;
	default:
		show_about(j, form, o->value);
		break;
	}
}

/* ---- one account after the other --------------------------------------- */

static void step(struct job *j);

static void
job_fail(struct job *j, const struct cmd_outcome *o)
{
	struct buf text = { 0 };

	cmd_outcome_text(o, &text);
	if (j->failures.n > 0)
		buf_add_c(&j->failures, '\n');
	if (j->accounts != NULL)
		buf_printf(&j->failures, STR_FMT ": ",
		    STR_ARG(j->accounts[j->at].bare));
	buf_add_str(&j->failures, str_trim(buf_str(&text)));
	buf_fini(&text);
	j->condition = admin_condition(o);
}

static void
job_end(struct job *j, const struct cmd_outcome *o)
{
	struct str failures = str_dup(j->call->arena, buf_str(&j->failures));
	struct elem *command;

	buf_fini(&j->failures);
	if (failures.n == 0) {
		command = adhoc_done(j->call);
		show(j, command, o);
		json_decref(j->sessions);
		adhoc_send(j->call);
		return;
	}
	json_decref(j->sessions);
	/* Nothing was done at all: an error. */
	if (j->count <= 1) {
		adhoc_refuse(j->call, j->condition, EL_NONE);
		return;
	}
	command = adhoc_done(j->call);
	adhoc_note(command, "error", failures);
	adhoc_send(j->call);
}

static void
on_outcome(void *ctx, const struct cmd_outcome *o)
{
	struct job *j = ctx;

	if (o->what != CMD_DONE ||
	    (o->value != NULL && j->op->show == SHOW_NOTHING &&
		json_is_integer(o->value) && json_integer_value(o->value) != 0))
		job_fail(j, o);
	else if (j->op->show == SHOW_STATS && j->sessions == NULL) {
		struct str words[] = { j->accounts[0].local,
			j->accounts[0].domain };

		j->sessions = json_incref((json_t *)(uintptr_t)o->value);
		admin_start(
		    j->call, "get_roster_count", words, 2, on_outcome, j);
		return;
	}
	if (++j->at < j->count) {
		step(j);
		return;
	}
	job_end(j, o);
}

static void
step(struct job *j)
{
	const struct jid *jid =
	    j->accounts != NULL ? &j->accounts[j->at] : NULL;
	struct str words[WORDS_MAX];
	size_t n = 0;

	/* One session of his, if it is named. */
	if (jid != NULL && !str_is_none(jid->resource) &&
	    strcmp(j->op->command, "kick_user") == 0) {
		words[n++] = jid->local;
		words[n++] = jid->domain;
		words[n++] = jid->resource;
		words[n++] = STR("Ended by an administrator");
		admin_start(j->call, "kick_session", words, n, on_outcome, j);
		return;
	}
	for (; n < WORDS_MAX && j->op->words[n] != NULL; n++)
		words[n] = word_of(j, j->op->words[n]);
	admin_start(j->call, j->op->command, words, n, on_outcome, j);
}

void
service_run(struct adhoc_call *call)
{
	const struct operation *op = operation_of(call);
	struct job *j = arena_new_of(call->arena, struct job);

	j->call = call;
	j->op = op;
	if (op->current != NULL && call->action == ADHOC_EXECUTE)
		admin_start(call, op->current, NULL, 0, on_current, call);
	else if (has_form(op) && call->action == ADHOC_EXECUTE)
		send_form(call, op, NULL);
	else if (!is_complete(call, op) ||
		 (asks_for_accounts(op) && !read_accounts(j)))
		adhoc_refuse(call, EL_BAD_REQUEST, EL_COMMAND_BAD_PAYLOAD);
	else
		step(j);
}
