/* SPDX-License-Identifier: MIT */
/* Commands about the presence of users. */
#include "base/clock.h"
#include "core/account.h"
#include "core/commands.h"
#include "core/host.h"
#include "core/journey.h"
#include "core/session.h"

static json_t *
text_of(struct str s)
{
	return json_stringn(s.p != NULL ? s.p : "", s.n);
}

static struct str
show_of(const struct session *s)
{
	struct str show = elem_child_text(s->presence->root, EL_SHOW);

	return str_is_empty(show) ? STR("available") : show;
}

static struct str
status_of(const struct session *s)
{
	return elem_child_text(s->presence->root, EL_STATUS);
}

/* Of one user -------------------------------------------------------------*/

static struct session *
top_session(struct account *acct)
{
	struct session *s, *top = NULL;

	LIST_EACH(s, &acct->sessions, struct session, node)
	if (session_is_available(s) &&
	    (top == NULL || s->priority > top->priority))
		top = s;
	return top;
}

static void
on_get_presence(struct cmd *c, struct account *acct)
{
	struct session *s = acct != NULL ? top_session(acct) : NULL;
	json_t *presence = json_object();
	struct jid jid;

	if (s != NULL) {
		json_object_set_new(presence, "jid", text_of(s->jid.full));
		json_object_set_new(presence, "show", text_of(show_of(s)));
		json_object_set_new(presence, "status", text_of(status_of(s)));
	} else {
		jid = *(struct jid *)cmd_ctx(c);
		json_object_set_new(presence, "jid", text_of(jid.bare));
		json_object_set_new(
		    presence, "show", json_string("unavailable"));
		json_object_set_new(presence, "status", json_string(""));
	}
	cmd_result(c, presence);
}

static void
on_presence_account(void *ctx, int err, struct account *acct)
{
	on_get_presence((struct cmd *)ctx, err < 0 ? NULL : acct);
}

static void
run_get_presence(struct cmd *c)
{
	struct jid *jid = arena_new_of(cmd_arena(c), struct jid);

	cmd_set_ctx(c, jid);
	if (cmd_account(c, "user", "host", jid))
		account_call(jid, on_presence_account, c);
}

/* Setting it --------------------------------------------------------------*/

static void
add_text(struct elem *e, qname_t name, struct str text)
{
	if (!str_is_empty(text))
		elem_add_text(e, name, str_dup(elem_arena(e), text));
}

/* What the session's client would have sent. */
static struct elem *
presence_of(struct cmd *c)
{
	struct elem *e = elem_new(arena_new(0), EL_PRESENCE);
	struct str type = cmd_str(c, "type"), show = cmd_str(c, "show");
	const json_t *priority = cmd_json(c, "priority");

	if (!str_is_empty(type) && !str_is(type, "available"))
		elem_set_copy(e, AT_TYPE, type);
	if (!str_is(show, "available"))
		add_text(e, EL_SHOW, show);
	add_text(e, EL_STATUS, cmd_str(c, "status"));
	if (json_is_integer(priority))
		elem_add_text(e, EL_PRIORITY,
		    str_printf(elem_arena(e), "%d",
			(int)json_integer_value(priority)));
	else
		add_text(e, EL_PRIORITY, cmd_str(c, "priority"));
	return e;
}

static void
on_set_presence(struct cmd *c, struct account *acct)
{
	struct session *s = NULL;
	struct str resource;

	if (acct != NULL && jid_prep_resource(cmd_arena(c),
				cmd_str(c, "resource"), &resource) == 0)
		s = account_session(acct, resource);
	if (s == NULL) {
		cmd_fail(c, CMD_BAD_ARG, 0, "User is offline");
		return;
	}
	session_input(s, presence_of(c), NULL);
	cmd_ok(c, NULL);
}

static bool
is_one_of(struct str text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (str_is(text, *words))
			return true;
	return false;
}

static bool
priority_is_good(const struct cmd *c)
{
	const json_t *priority = cmd_json(c, "priority");
	int64_t n;

	if (json_is_integer(priority))
		n = json_integer_value(priority);
	else if (!str_to_i64(cmd_str(c, "priority"), &n))
		return false;
	return n >= -128 && n <= 127;
}

static void
run_set_presence(struct cmd *c)
{
	static const char *const types[] = { "", "available", "unavailable",
		NULL };
	static const char *const shows[] = { "", "available", "away", "chat",
		"dnd", "xa", NULL };

	if (!is_one_of(cmd_str(c, "type"), types))
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid presence type");
	else if (!is_one_of(cmd_str(c, "show"), shows))
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid presence show");
	else if (!priority_is_good(c))
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid presence priority");
	else
		command_at_home(c, on_set_presence);
}

/* Who is away? ------------------------------------------------------------*/

struct walk {
	struct str status; /* "all": any */
	struct str host;   /* none: any */
	json_t *list;
	bool is_v0;
};

static json_t *
item_of(const struct session *s, bool is_v0)
{
	json_t *item = json_object();

	if (is_v0) {
		json_object_set_new(item, "user", text_of(s->jid.local));
		json_object_set_new(item, "host", text_of(s->jid.domain));
		json_object_set_new(item, "resource", text_of(s->jid.resource));
	} else {
		json_object_set_new(item, "jid", text_of(s->jid.full));
	}
	json_object_set_new(item, "priority", json_integer(s->priority));
	json_object_set_new(item, "status", text_of(status_of(s)));
	return item;
}

static void
on_session(void *ctx, struct session *s)
{
	struct walk *w = (struct walk *)ctx;

	if (!session_is_available(s) ||
	    (!str_is_none(w->host) && !str_eq(s->jid.domain, w->host)) ||
	    (!str_is(w->status, "all") && !str_eq(show_of(s), w->status)))
		return;
	json_array_append_new(w->list, item_of(s, w->is_v0));
}

static json_t *
list_part(const struct cmd *c, bool is_v0)
{
	const struct host *host = (const struct host *)cmd_ctx(c);
	struct walk w = {
		.status = cmd_str(c, "status"),
		.host = host != NULL ? host->jid.domain : STR_NONE,
		.list = json_array(),
		.is_v0 = is_v0,
	};

	session_each(on_session, &w);
	return w.list;
}

static json_t *
part(const struct cmd *c)
{
	return list_part(c, false);
}

static json_t *
part_v0(const struct cmd *c)
{
	return list_part(c, true);
}

static json_t *
count_part(const struct cmd *c)
{
	json_t *list = list_part(c, false);
	json_t *count = json_integer((json_int_t)json_array_size(list));

	json_decref(list);
	return count;
}

static void
gather_host(struct cmd *c, json_t *(*fn)(const struct cmd *c))
{
	struct host *host = cmd_host(c, "host");

	if (host == NULL)
		return;
	cmd_set_ctx(c, host);
	cmd_gather(c, fn, NULL);
}

static void
run_status_list(struct cmd *c)
{
	cmd_gather(c, part, NULL);
}

static void
run_status_list_v0(struct cmd *c)
{
	cmd_gather(c, part_v0, NULL);
}

static void
run_status_list_host(struct cmd *c)
{
	gather_host(c, part);
}

static void
run_status_list_host_v0(struct cmd *c)
{
	gather_host(c, part_v0);
}

static void
run_status_num(struct cmd *c)
{
	cmd_gather(c, count_part, NULL);
}

static void
run_status_num_host(struct cmd *c)
{
	gather_host(c, count_part);
}

#define LIST_V3 "[{jid:string, priority:integer, status:string}]"
#define LIST_V0 \
	"[{user:string, host:string, resource:string, priority:integer, " \
	"status:string}]"

const struct command commands_presence[] = {
	{ .name = "get_presence",
	    .tag = "session",
	    .help = "Get the presence of the resource with highest priority",
	    .args = { ARG("user", "string"),
		ARG_OLD("host", "string", "server") },
	    .result_name = "presence",
	    .result = "{jid:string, show:string, status:string}",
	    .run = run_get_presence },
	{ .name = "set_presence",
	    .tag = "session",
	    .help = "Set the presence of a session",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("resource", "string"), ARG("type", "string"),
		ARG("show", "string"), ARG("status", "string"),
		ARG("priority", "integer") },
	    .result_name = "res",
	    .result = "rescode",
	    .version = 1,
	    .run = run_set_presence },
	{ .name = "set_presence",
	    .tag = "session",
	    .help = "Set the presence of a session",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("resource", "string"), ARG("type", "string"),
		ARG("show", "string"), ARG("status", "string"),
		ARG("priority", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_set_presence },
	{ .name = "status_list",
	    .tag = "session",
	    .help = "List the sessions with that status: available, away, "
		    "chat, dnd, xa or all",
	    .args = { ARG("status", "string") },
	    .result_name = "users",
	    .result = LIST_V3,
	    .version = 3,
	    .run = run_status_list },
	{ .name = "status_list",
	    .tag = "session",
	    .help = "List the sessions with that status",
	    .args = { ARG("status", "string") },
	    .result_name = "users",
	    .result = LIST_V0,
	    .run = run_status_list_v0 },
	{ .name = "status_list_host",
	    .tag = "session",
	    .help = "List the sessions of a host with that status",
	    .args = { ARG("host", "string"), ARG("status", "string") },
	    .result_name = "users",
	    .result = LIST_V3,
	    .version = 3,
	    .run = run_status_list_host },
	{ .name = "status_list_host",
	    .tag = "session",
	    .help = "List the sessions of a host with that status",
	    .args = { ARG("host", "string"), ARG("status", "string") },
	    .result_name = "users",
	    .result = LIST_V0,
	    .run = run_status_list_host_v0 },
	{ .name = "status_num",
	    .tag = "session, statistics",
	    .help = "Get the number of sessions with that status",
	    .args = { ARG("status", "string") },
	    .result_name = "users",
	    .result = "integer",
	    .run = run_status_num },
	{ .name = "status_num_host",
	    .tag = "session, statistics",
	    .help = "Get the number of sessions of a host with that status",
	    .args = { ARG("host", "string"), ARG("status", "string") },
	    .result_name = "users",
	    .result = "integer",
	    .run = run_status_num_host },
	COMMANDS_END,
};
