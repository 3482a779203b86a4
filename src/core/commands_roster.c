/* SPDX-License-Identifier: MIT */
/* Commands about rosters. */
#include "base/err.h"
#include "core/account.h"
#include "core/account_walk.h"
#include "core/commands.h"
#include "core/roster.h"

#include <fnmatch.h>

#define GROUPS_MAX 64

/* Items -------------------------------------------------------------------*/

static json_t *
text_of(struct str s)
{
	return json_stringn(s.p != NULL ? s.p : "", s.n);
}

/* What is pending, in ejabberd's words. */
static const char *
ask_name(const struct roster_item *item)
{
	if (item->is_asking)
		return item->is_pending_in ? "both" : "out";
	return item->is_pending_in ? "in" : "none";
}

static json_t *
contact_of(const struct roster_item *item)
{
	json_t *contact = json_object(), *groups = json_array();

	for (size_t i = 0; i < item->groups.count; i++)
		json_array_append_new(groups, text_of(item->groups.item[i]));
	json_object_set_new(contact, "jid", text_of(item->jid.full));
	json_object_set_new(contact, "nick", text_of(item->name));
	json_object_set_new(
	    contact, "subscription", json_string(roster_sub_name(item->sub)));
	json_object_set_new(contact, "pending", json_string(ask_name(item)));
	json_object_set_new(contact, "groups", groups);
	return contact;
}

static void
on_get_roster(struct cmd *c, struct account *acct)
{
	json_t *list = json_array();
	const struct roster_item *item;

	if (acct != NULL)
		for (size_t i = 0; (item = roster_next(acct, &i)) != NULL;)
			json_array_append_new(list, contact_of(item));
	cmd_result(c, list);
}

static void
run_get_roster(struct cmd *c)
{
	command_at_home(c, on_get_roster);
}

static void
on_get_roster_count(struct cmd *c, struct account *acct)
{
	size_t n = acct != NULL ? roster_count(acct) : 0;

	cmd_result(c, json_integer((json_int_t)n));
}

static void
run_get_roster_count(struct cmd *c)
{
	command_at_home(c, on_get_roster_count);
}

/* Changes -----------------------------------------------------------------*/

struct change {
	struct cmd *cmd;
	struct jid owner;
	struct roster_item item;
};

static void
on_changed(void *ctx, int err)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err == 0)
		cmd_ok(c, NULL);
	else if (err == ERR_LIMIT)
		cmd_fail(c, CMD_BAD_ARG, 0, "the roster is full");
	else
		cmd_fail(c, CMD_BAD_ARG, 0, "%s", err_text(err));
}

/* The contact that the arguments "user" and "host" name: any address. */
static bool
contact_jid(struct cmd *c, struct jid *jid_r)
{
	struct arena *a = cmd_arena(c);
	struct str user = cmd_str(c, "user"), host;
	struct str local = STR_NONE;

	if (jid_prep_domain(a, cmd_str(c, "host"), &host) < 0 ||
	    (user.n > 0 && jid_prep_local(a, user, &local) < 0)) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid JID of the contact");
		return false;
	}
	*jid_r = jid_make(a, local, host, STR_NONE);
	return true;
}

static struct change *
change_new(struct cmd *c)
{
	struct change *ch = arena_new_of(cmd_arena(c), struct change);

	ch->cmd = c;
	if (!cmd_account(c, "localuser", "localhost", &ch->owner) ||
	    !contact_jid(c, &ch->item.jid))
		return NULL;
	return ch;
}

/* What is pending stays, unless the subscription says otherwise. */
static void
item_keep(struct roster_item *item, const struct roster_item *old)
{
	item->is_asking = old->is_asking && (item->sub & ROSTER_TO) == 0;
	item->is_pending_in =
	    old->is_pending_in && (item->sub & ROSTER_FROM) == 0;
	item->is_approved = old->is_approved;
	item->request = item->is_pending_in ? old->request : STR_NONE;
}

static void
on_account_to_add(void *ctx, int err, struct account *acct)
{
	struct change *ch = (struct change *)ctx;
	const struct roster_item *old;

	if (err < 0 || acct == NULL) {
		on_changed(ch->cmd, err < 0 ? err : ERR_ABSENT);
		return;
	}
	old = roster_find(acct, ch->item.jid.bare);
	if (old != NULL)
		item_keep(&ch->item, old);
	err = roster_put(acct, &ch->item, on_changed, ch->cmd);
	if (err < 0)
		on_changed(ch->cmd, err);
}

static bool
sub_parse(struct str text, enum roster_sub *sub_r)
{
	for (int sub = ROSTER_NONE; sub <= ROSTER_BOTH; sub++) {
		*sub_r = (enum roster_sub)sub;
		if (str_is(text, roster_sub_name(*sub_r)))
			return true;
	}
	return false;
}

static void
add_group(struct str *groups, size_t *count, struct str group)
{
	if (group.n > 0 && *count < GROUPS_MAX)
		groups[(*count)++] = group;
}

/* "groups" is a list; version 0 had one text, with ";" between. */
static struct str_list
groups_of(struct cmd *c)
{
	struct str *groups = (struct str *)arena_alloc(
	    cmd_arena(c), GROUPS_MAX * sizeof(struct str));
	const json_t *list = cmd_json(c, "groups");
	struct str_list result = { .item = groups };
	struct str rest;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *text = json_array_get(list, i);

		add_group(groups, &result.count,
		    str_mem(json_string_value(text), json_string_length(text)));
	}
	if (list != NULL)
		return result;
	rest = cmd_str(c, "group");
	while (!str_is_none(rest))
		add_group(groups, &result.count, str_cut(&rest, ';'));
	return result;
}

static void
run_add_rosteritem(struct cmd *c)
{
	enum roster_sub sub;
	struct change *ch;

	if (!sub_parse(cmd_str(c, "subs"), &sub)) {
		cmd_fail(
		    c, CMD_BAD_ARG, 0, "subs: one of none, from, to, both");
		return;
	}
	ch = change_new(c);
	if (ch == NULL)
		return;
	ch->item.sub = sub;
	ch->item.name = cmd_str(c, "nick");
	ch->item.groups = groups_of(c);
	ch->item.is_in_roster = true;
	account_call(&ch->owner, on_account_to_add, ch);
}

static void
on_account_to_delete(void *ctx, int err, struct account *acct)
{
	struct change *ch = (struct change *)ctx;

	if (err == 0 && acct == NULL)
		err = ERR_ABSENT;
	if (err == 0)
		err =
		    roster_remove(acct, ch->item.jid.bare, on_changed, ch->cmd);
	if (err < 0)
		on_changed(ch->cmd, err);
}

static void
run_delete_rosteritem(struct cmd *c)
{
	struct change *ch = change_new(c);

	if (ch != NULL)
		account_call(&ch->owner, on_account_to_delete, ch);
}

/* process_rosteritems -----------------------------------------------------*/

/* All accounts are visited, a page at a time; each on its own loop. */
struct process {
	struct cmd *cmd;
	struct loop *loop;
	bool is_delete;
	struct str subs, asks;	    /* words with ":" between */
	struct str users, contacts; /* globs, the same */
	json_t *list;
	struct account_walk *walk;
	size_t waiting; /* accounts of this page, and one for the asking */
	int err;
};

struct visit {
	struct process *process;
	struct arena *arena; /* it lives in it */
	struct jid jid;
	json_t *list;
	size_t waiting; /* removals, and one for the look */
	int err;
};

static bool
word_fits(struct str words, const char *word)
{
	while (!str_is_none(words)) {
		struct str one = str_cut(&words, ':');

		if (str_is(one, "any") || str_is(one, word))
			return true;
	}
	return false;
}

static bool
glob_fits(struct str globs, struct str text)
{
	struct arena *a = arena_new(0);
	const char *subject = str_dup_c(a, text);
	bool fits = false;

	while (!str_is_none(globs) && !fits) {
		struct str one = str_cut(&globs, ':');

		fits = str_is(one, "any") ||
		       fnmatch(str_dup_c(a, one), subject, 0) == 0;
	}
	arena_free(&a);
	return fits;
}

static bool
item_fits(const struct process *p, const struct roster_item *item)
{
	return word_fits(p->subs, roster_sub_name(item->sub)) &&
	       word_fits(p->asks, ask_name(item)) &&
	       glob_fits(p->contacts, item->jid.bare);
}

static void
page_step(struct process *p)
{
	if (--p->waiting == 0)
		account_walk_next(p->walk);
}

static void
on_visited(void *msg)
{
	struct visit *v = (struct visit *)msg;
	struct process *p = v->process;
	struct arena *a = v->arena;

	json_array_extend(p->list, v->list);
	json_decref(v->list);
	if (v->err < 0)
		p->err = v->err;
	arena_free(&a);
	page_step(p);
}

static void
visit_step(void *ctx, int err)
{
	struct visit *v = (struct visit *)ctx;

	if (err < 0 && err != ERR_ABSENT)
		v->err = err;
	if (--v->waiting == 0)
		loop_post(v->process->loop, on_visited, v);
}

static void
visit_item(
    struct visit *v, struct account *acct, const struct roster_item *item)
{
	struct str bare = str_dup(v->arena, item->jid.bare);
	json_t *pair = json_object();
	int err;

	json_object_set_new(pair, "user", text_of(v->jid.bare));
	json_object_set_new(pair, "contact", text_of(bare));
	json_array_append_new(v->list, pair);
	if (!v->process->is_delete)
		return;
	v->waiting++;
	err = roster_remove(acct, bare, visit_step, v);
	if (err < 0)
		visit_step(v, err);
}

/* Removing changes what is walked: so the items are noted first. */
static void
visit_roster(struct visit *v, struct account *acct)
{
	struct arena *a = v->arena;
	const struct roster_item *item;
	size_t count = 0, n = roster_count(acct) + 1;
	struct str *fits;

	for (size_t i = 0; roster_next(acct, &i) != NULL;)
		n++;
	fits = (struct str *)arena_alloc(a, n * sizeof(struct str));
	for (size_t i = 0; (item = roster_next(acct, &i)) != NULL;)
		if (item_fits(v->process, item))
			fits[count++] = str_dup(a, item->jid.bare);
	for (size_t i = 0; i < count; i++) {
		item = roster_find(acct, fits[i]);
		if (item != NULL)
			visit_item(v, acct, item);
	}
}

static void
on_visit(void *ctx, int err, struct account *acct)
{
	struct visit *v = (struct visit *)ctx;

	if (err == 0 && acct != NULL)
		visit_roster(v, acct);
	visit_step(v, err);
}

static void
on_process_page(struct account_walk *w, const struct str *names, size_t count)
{
	struct process *p = (struct process *)account_walk_ctx(w);

	p->walk = w;
	p->waiting = count + 1;
	for (size_t i = 0; i < count; i++) {
		struct arena *a = arena_new(0);
		struct visit *v = arena_new_of(a, struct visit);

		v->process = p;
		v->arena = a;
		v->jid = account_walk_jid(w, a, names[i]);
		v->list = json_array();
		v->waiting = 1;
		if (glob_fits(p->users, v->jid.bare))
			account_call(&v->jid, on_visit, v);
		else
			on_visited(v);
	}
	page_step(p);
}

static void
on_process_end(void *ctx, int err)
{
	struct process *p = (struct process *)ctx;

	if (err == 0)
		err = p->err;
	if (err == 0) {
		cmd_result(p->cmd, p->list);
		return;
	}
	json_decref(p->list);
	cmd_fail(p->cmd, CMD_FAILED, 0, "%s", err_text(err));
}

/* Globs; "%" of SQL is "*". */
static struct str
globs_of(struct cmd *c, const char *arg)
{
	struct str text = str_dup(cmd_arena(c), cmd_str(c, arg));
	char *globs = arena_bytes(cmd_arena(c), text.n + 1);

	for (size_t i = 0; i <= text.n; i++)
		globs[i] = text.p[i] == '%' ? '*' : text.p[i];
	return str_mem(globs, text.n);
}

static void
run_process_rosteritems(struct cmd *c)
{
	static const struct account_visitor visitor = {
		.page = on_process_page,
		.end = on_process_end,
	};
	struct process *p = arena_new_of(cmd_arena(c), struct process);

	p->is_delete = str_is(cmd_str(c, "action"), "delete");
	if (!p->is_delete && !str_is(cmd_str(c, "action"), "list")) {
		cmd_fail(c, CMD_BAD_ARG, 0, "action: list or delete");
		return;
	}
	p->cmd = c;
	p->loop = loop_self();
	p->subs = cmd_str(c, "subs");
	p->asks = cmd_str(c, "asks");
	p->users = globs_of(c, "users");
	p->contacts = globs_of(c, "contacts");
	p->list = json_array();
	account_walk(NULL, &visitor, p);
}

#define LOCAL \
	ARG("localuser", "string"), \
	    ARG_OLD("localhost", "string", "localserver")
#define CONTACT ARG("user", "string"), ARG_OLD("host", "string", "server")

const struct command commands_roster[] = {
	{ .name = "get_roster",
	    .tag = "roster",
	    .help = "Get the contacts of a user",
	    .args = { CONTACT },
	    .result_name = "contacts",
	    .result = "[{jid:string, nick:string, subscription:string, "
		      "pending:string, groups:[group:string]}]",
	    .is_for_user = true,
	    .run = run_get_roster },
	{ .name = "get_roster_count",
	    .tag = "roster",
	    .help = "Get the number of contacts of a user",
	    .args = { CONTACT },
	    .result_name = "value",
	    .result = "integer",
	    .is_for_user = true,
	    .run = run_get_roster_count },
	{ .name = "add_rosteritem",
	    .tag = "roster",
	    .help = "Add an item to a user's roster; groups: group1,group2",
	    .args = { LOCAL, CONTACT, ARG("nick", "string"),
		ARG("groups", "[group:string]"), ARG("subs", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .version = 1,
	    .run = run_add_rosteritem },
	{ .name = "add_rosteritem",
	    .tag = "roster",
	    .help = "Add an item to a user's roster; group: group1;group2",
	    .args = { LOCAL, CONTACT, ARG("nick", "string"),
		ARG("group", "string"), ARG("subs", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_add_rosteritem },
	{ .name = "delete_rosteritem",
	    .tag = "roster",
	    .help = "Delete an item from a user's roster",
	    .args = { LOCAL, CONTACT },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_delete_rosteritem },
	{ .name = "process_rosteritems",
	    .tag = "roster",
	    .help = "List or delete roster items that match a filter: any, "
		    "or words (subs, asks) and patterns of addresses with "
		    "colons between",
	    .args = { ARG("action", "string"), ARG("subs", "string"),
		ARG("asks", "string"), ARG("users", "string"),
		ARG("contacts", "string") },
	    .result_name = "response",
	    .result = "[{user:string, contact:string}]",
	    .run = run_process_rosteritems },
	COMMANDS_END,
};
