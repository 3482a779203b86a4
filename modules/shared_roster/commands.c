/* SPDX-License-Identifier: MIT */
/* ejabberd's commands about shared groups; each runs on the lead, in turn. */
#include "modules/shared_roster/shared_roster.h"

#define ARG(name_, type_) \
	{ \
		.name = (name_), .type = (type_) \
	}

static void
start_at(struct cmd *c, const char *host_arg,
    bool (*run)(struct mod *m, struct op *op))
{
	struct host *host = cmd_host(c, host_arg);
	struct op *op;

	if (host == NULL)
		return;
	if (cmd_mod(c, host->jid.full) == NULL) {
		cmd_fail(c, CMD_NOT_FOUND, 0, "shared_roster is not on there");
		return;
	}
	op = arena_new_of(cmd_arena(c), struct op);
	op->arena = cmd_arena(c);
	op->cmd = c;
	op->host = host;
	op->run = run;
	shared_post(op);
}

/* Its group; NULL, and the command has failed. */
static struct group *
group_of(struct mod *m, struct op *op)
{
	const struct shared *s = mod_state(m);
	struct group *g = table_find(&s->table, cmd_str(op->cmd, "group"));

	if (g == NULL)
		cmd_fail(op->cmd, CMD_NOT_FOUND, 0, "There is no such group");
	return g;
}

/* The same, unless it is the directory's. */
static struct group *
own_group(struct mod *m, struct op *op)
{
	struct group *g = group_of(m, op);

	if (g == NULL || g->source.n == 0)
		return g;
	cmd_fail(op->cmd, CMD_CONFLICT, 0,
	    "The group is one of the source " STR_FMT, STR_ARG(g->source));
	return NULL;
}

static json_t *
text_json(struct str text)
{
	return json_stringn(text.n > 0 ? text.p : "", text.n);
}

/* ---- making ------------------------------------------------------------ */

static bool
is_text(struct cmd *c, const char *arg)
{
	if (cmd_str(c, arg).n <= TEXT_MAX)
		return true;
	cmd_fail(c, CMD_BAD_ARG, 0, "%s: up to %d bytes", arg, TEXT_MAX);
	return false;
}

static json_t *
new_or_old(struct mod *m, struct op *op)
{
	const struct shared_options *o = mod_options(m);
	const struct shared *s = mod_state(m);
	struct str id = cmd_str(op->cmd, "group");
	const struct group *g = table_find(&s->table, id);

	if (g != NULL)
		return own_group(m, op) != NULL ? group_json(g) : NULL;
	if (id.n == 0 || id.n > ID_MAX || id.p[0] == '@') {
		cmd_fail(op->cmd, CMD_BAD_ARG, 0,
		    "group: 1 to %d bytes, and no @ at the beginning", ID_MAX);
		return NULL;
	}
	if (s->table.groups.count >= o->groups_max) {
		cmd_fail(op->cmd, CMD_FAILED, 0,
		    "There are %zu groups already: see "
		    "modules.shared_roster.groups",
		    (size_t)s->table.groups.count);
		return NULL;
	}
	return json_pack("{s:s%, s:s, s:[], s:{}}", "label", id.p, id.n,
	    "description", "", "display", "members");
}

static bool
run_add(struct mod *m, struct op *op)
{
	json_t *j = new_or_old(m, op);

	if (j != NULL)
		op_change(op, cmd_str(op->cmd, "group"), j);
	return j != NULL;
}

static void
cmd_add(struct cmd *c)
{
	start_at(c, "host", run_add);
}

/* Version 0 has one text, with ";" between. */
static json_t *
display_of(struct cmd *c)
{
	const json_t *list = cmd_json(c, "display");
	json_t *display = json_array();
	struct str rest, one;

	for (size_t i = 0; i < json_array_size(list); i++)
		json_array_append(display, json_array_get(list, i));
	if (list != NULL)
		return display;
	rest = cmd_str(c, "display");
	while (!str_is_none(rest)) {
		one = str_trim(str_cut(&rest, ';'));
		if (one.n > 0)
			json_array_append_new(display, text_json(one));
	}
	return display;
}

static bool
run_create(struct mod *m, struct op *op)
{
	struct cmd *c = op->cmd;
	struct str label = cmd_str(c, "label");
	json_t *display, *j;

	if (!is_text(c, "label") || !is_text(c, "description"))
		return false;
	j = new_or_old(m, op);
	if (j == NULL)
		return false;
	display = display_of(c);
	if (json_array_size(display) > DISPLAY_MAX) {
		json_decref(display);
		json_decref(j);
		cmd_fail(c, CMD_BAD_ARG, 0, "display: up to %d", DISPLAY_MAX);
		return false;
	}
	if (label.n > 0)
		json_object_set_new(j, "label", text_json(label));
	json_object_set_new(
	    j, "description", text_json(cmd_str(c, "description")));
	json_object_set_new(j, "display", display);
	op_change(op, cmd_str(c, "group"), j);
	return true;
}

static void
cmd_create(struct cmd *c)
{
	start_at(c, "host", run_create);
}

static bool
run_delete(struct mod *m, struct op *op)
{
	if (own_group(m, op) == NULL)
		return false;
	op_change(op, cmd_str(op->cmd, "group"), NULL);
	return true;
}

static void
cmd_delete(struct cmd *c)
{
	start_at(c, "host", run_delete);
}

static bool
run_set_info(struct mod *m, struct op *op)
{
	struct cmd *c = op->cmd;
	struct str key = cmd_str(c, "key");
	struct group *g = own_group(m, op);
	json_t *j;

	if (g == NULL || !is_text(c, "value"))
		return false;
	if (!str_is(key, "label") && !str_is(key, "description")) {
		cmd_fail(c, CMD_BAD_ARG, 0, "key: label or description");
		return false;
	}
	j = group_json(g);
	json_object_set_new(
	    j, str_dup_c(op->arena, key), text_json(cmd_str(c, "value")));
	op_change(op, g->id, j);
	return true;
}

static void
cmd_set_info(struct cmd *c)
{
	start_at(c, "host", run_set_info);
}

/* ---- who is displayed -------------------------------------------------- */

/* The text at its place of the array, or the end. */
static size_t
index_of(const json_t *list, struct str text)
{
	size_t i = 0;

	while (i < json_array_size(list) &&
	       !str_is(text, json_string_value(json_array_get(list, i))))
		i++;
	return i;
}

static bool
run_add_displayed(struct mod *m, struct op *op)
{
	struct group *g = group_of(m, op);
	struct str id = cmd_str(op->cmd, "add");
	json_t *j, *display;

	if (g == NULL)
		return false;
	if (id.n == 0 || id.n > ID_MAX || g->display_count >= DISPLAY_MAX) {
		cmd_fail(op->cmd, CMD_BAD_ARG, 0,
		    "add: 1 to %d bytes, and %d groups at most", ID_MAX,
		    DISPLAY_MAX);
		return false;
	}
	j = group_json(g);
	display = json_object_get(j, "display");
	if (index_of(display, id) == json_array_size(display))
		json_array_append_new(display, text_json(id));
	op_change(op, g->id, j);
	return true;
}

static void
cmd_add_displayed(struct cmd *c)
{
	start_at(c, "host", run_add_displayed);
}

static bool
run_del_displayed(struct mod *m, struct op *op)
{
	struct group *g = group_of(m, op);
	json_t *j, *display;

	if (g == NULL)
		return false;
	j = group_json(g);
	display = json_object_get(j, "display");
	json_array_remove(display, index_of(display, cmd_str(op->cmd, "del")));
	op_change(op, g->id, j);
	return true;
}

static void
cmd_del_displayed(struct cmd *c)
{
	start_at(c, "host", run_del_displayed);
}

/* ---- members ----------------------------------------------------------- */

/* In the op: who; "@all@" is everybody. */
static bool
read_user(struct op *op)
{
	struct cmd *c = op->cmd;
	struct host *host = cmd_host(c, "host");

	if (host == NULL)
		return false;
	if (host != op->host) {
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "A group has members of its own host only");
		return false;
	}
	op->user = cmd_str(c, "user");
	if (str_is(op->user, "@all@"))
		return true;
	if (jid_prep_local(op->arena, op->user, &op->user) == 0 &&
	    op->user.n > 0) {
		op->user = str_dup(op->arena, op->user);
		return true;
	}
	cmd_fail(c, CMD_BAD_ARG, 0, "The user name is not valid");
	return false;
}

static bool
run_user_add(struct mod *m, struct op *op)
{
	const struct shared_options *o = mod_options(m);
	struct group *g = own_group(m, op);
	json_t *j, *members;

	if (g == NULL || !read_user(op))
		return false;
	j = group_json(g);
	members = json_object_get(j, "members");
	if (str_is(op->user, "@all@"))
		json_object_set_new(j, "all", json_true());
	else if (json_object_get(members, op->user.p) == NULL)
		json_object_set_new(members, op->user.p, json_string(""));
	if (json_object_size(members) > o->members_max) {
		json_decref(j);
		cmd_fail(op->cmd, CMD_FAILED, 0,
		    "The group has %zu members already: see "
		    "modules.shared_roster.members",
		    g->member_count);
		return false;
	}
	op_change(op, g->id, j);
	return true;
}

static void
cmd_user_add(struct cmd *c)
{
	start_at(c, "grouphost", run_user_add);
}

static bool
run_user_del(struct mod *m, struct op *op)
{
	struct group *g = own_group(m, op);
	json_t *j;

	if (g == NULL || !read_user(op))
		return false;
	j = group_json(g);
	if (str_is(op->user, "@all@"))
		json_object_del(j, "all");
	else
		json_object_del(json_object_get(j, "members"), op->user.p);
	op_change(op, g->id, j);
	return true;
}

static void
cmd_user_del(struct cmd *c)
{
	start_at(c, "grouphost", run_user_del);
}

/* ---- reading ----------------------------------------------------------- */

static int
by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static json_t *
sorted(struct str *text, size_t count)
{
	json_t *list = json_array();

	if (count > 0)
		qsort(text, count, sizeof(*text), by_text);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, text_json(text[i]));
	return list;
}

static bool
run_list(struct mod *m, struct op *op)
{
	const struct shared *s = mod_state(m);
	struct str *id =
	    arena_alloc(op->arena, s->table.groups.count * sizeof(*id) + 1);
	struct group *g;
	size_t n = 0;

	for (size_t i = 0; (g = map_next(&s->table.groups, &i)) != NULL;)
		id[n++] = g->id;
	cmd_result(op->cmd, sorted(id, n));
	return false;
}

static void
cmd_list(struct cmd *c)
{
	start_at(c, "host", run_list);
}

static bool
run_get_members(struct mod *m, struct op *op)
{
	const struct group *g = group_of(m, op);
	struct str *jid;
	size_t n = 0;

	if (g == NULL)
		return false;
	jid = arena_alloc(op->arena, (g->member_count + 1) * sizeof(*jid));
	if (g->has_all)
		jid[n++] = STR("@all@");
	for (size_t i = 0; i < g->member_count; i++)
		jid[n++] = jid_make(op->arena, g->member[i].user,
		    op->host->jid.domain, STR_NONE)
			       .full;
	cmd_result(op->cmd, sorted(jid, n));
	return false;
}

static void
cmd_get_members(struct cmd *c)
{
	start_at(c, "host", run_get_members);
}

static bool
run_get_displayed(struct mod *m, struct op *op)
{
	const struct group *g = group_of(m, op);
	json_t *list;

	if (g == NULL)
		return false;
	list = json_array();
	for (size_t i = 0; i < g->display_count; i++)
		json_array_append_new(list, text_json(g->display[i]));
	cmd_result(op->cmd, list);
	return false;
}

static void
cmd_get_displayed(struct cmd *c)
{
	start_at(c, "host", run_get_displayed);
}

static void
add_info(json_t *list, const char *key, struct str value)
{
	json_array_append_new(
	    list, json_pack("{s:s, s:s%}", "key", key, "value",
		      value.n > 0 ? value.p : "", value.n));
}

static bool
run_get_info(struct mod *m, struct op *op)
{
	const struct group *g = group_of(m, op);
	struct buf shown = { 0 };
	json_t *list;

	if (g == NULL)
		return false;
	list = json_array();
	add_info(list, "label", g->label);
	add_info(list, "description", g->description);
	for (size_t i = 0; i < g->display_count; i++)
		buf_printf(&shown, "%s" STR_FMT, i > 0 ? ";" : "",
		    STR_ARG(g->display[i]));
	add_info(list, "displayed_groups", buf_str(&shown));
	buf_fini(&shown);
	if (g->has_all)
		add_info(list, "all_users", STR("true"));
	if (g->source.n > 0)
		add_info(list, "source", g->source);
	cmd_result(op->cmd, list);
	return false;
}

static void
cmd_get_info(struct cmd *c)
{
	start_at(c, "host", run_get_info);
}

#define GROUP ARG("group", "string"), ARG("host", "string")
#define USER \
	ARG("user", "string"), ARG("host", "string"), ARG("group", "string"), \
	    ARG("grouphost", "string")
#define ROW(name_, help_, run_, ...) \
	{ \
		.name = (name_), .tag = "shared_roster_group", \
		.help = (help_), .args = { __VA_ARGS__ }, \
		.result_name = "res", .result = "rescode", .run = (run_) \
	}
#define READS(name_, help_, name_r_, result_, run_, ...) \
	{ \
		.name = (name_), .tag = "shared_roster_group", \
		.help = (help_), .args = { __VA_ARGS__ }, \
		.result_name = (name_r_), .result = (result_), .run = (run_) \
	}

const struct command shared_commands[] = {
	ROW("srg_add", "Add a shared group, without details", cmd_add, GROUP),
	{
	    .name = "srg_create",
	    .tag = "shared_roster_group",
	    .help = "Add a shared group; display: group1,group2, or itself",
	    .args = { GROUP,
		{ .name = "label", .type = "string", .old_name = "name" },
		ARG("description", "string"),
		ARG("display", "[group:string]") },
	    .result_name = "res",
	    .result = "rescode",
	    .version = 1,
	    .run = cmd_create,
	},
	{
	    .name = "srg_create",
	    .tag = "shared_roster_group",
	    .help = "Add a shared group; display: group1;group2, or itself",
	    .args = { GROUP,
		{ .name = "label", .type = "string", .old_name = "name" },
		ARG("description", "string"), ARG("display", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = cmd_create,
	},
	ROW("srg_delete", "Delete a shared group", cmd_delete, GROUP),
	ROW("srg_set_info", "Set the label or description of a shared group",
	    cmd_set_info, GROUP, ARG("key", "string"), ARG("value", "string")),
	ROW("srg_add_displayed",
	    "Let the members of a shared group see those of another",
	    cmd_add_displayed, GROUP, ARG("add", "string")),
	ROW("srg_del_displayed",
	    "Let the members of a shared group not see those of another",
	    cmd_del_displayed, GROUP, ARG("del", "string")),
	ROW("srg_user_add",
	    "Add a user to a shared group; user: @all@ for all there are",
	    cmd_user_add, USER),
	ROW("srg_user_del", "Take a user out of a shared group", cmd_user_del,
	    USER),
	READS("srg_list", "List the shared groups of a host", "groups",
	    "[id:string]", cmd_list, ARG("host", "string")),
	READS("srg_get_members", "List the members of a shared group",
	    "members", "[member:string]", cmd_get_members, GROUP),
	READS("srg_get_displayed",
	    "List the groups that the members of a shared group see", "display",
	    "[group:string]", cmd_get_displayed, GROUP),
	READS("srg_get_info", "Tell what there is about a shared group",
	    "informations", "[{key:string, value:string}]", cmd_get_info,
	    GROUP),
	COMMANDS_END,
};
