/* SPDX-License-Identifier: MIT */
/* Commands about who is connected. */
#include "base/clock.h"
#include "base/err.h"
#include "core/account.h"
#include "core/commands.h"
#include "core/host.h"
#include "core/session.h"

/* What is said of a session -----------------------------------------------*/

static const char *
via_text(enum session_via via)
{
	switch (via) {
	case VIA_C2S_TLS:
		return "c2s_tls";
	case VIA_WEBSOCKET:
		return "websocket";
	case VIA_HTTP_BIND:
		return "http_bind";
	case VIA_C2S:
		break;
	}
	return "c2s";
}

static json_t *
text_of(struct str s)
{
	return json_stringn(s.p != NULL ? s.p : "", s.n);
}

/* "available", "away"...; of a session that sent no presence, "unavailable". */
static json_t *
show_of(const struct session *s)
{
	struct str show;

	if (s->presence == NULL)
		return json_string("unavailable");
	show = elem_child_text(s->presence->root, EL_SHOW);
	return str_is_empty(show) ? json_string("available") : text_of(show);
}

static json_t *
status_of(const struct session *s)
{
	if (s->presence == NULL)
		return json_string("");
	return text_of(elem_child_text(s->presence->root, EL_STATUS));
}

static json_t *
info_of(const struct session *s)
{
	json_t *info = json_object();
	int64_t uptime = (clock_real() - s->since) / 1000;

	json_object_set_new(info, "jid", text_of(s->jid.full));
	json_object_set_new(info, "connection", json_string(via_text(s->via)));
	json_object_set_new(info, "ip", json_string(session_ip(s)));
	json_object_set_new(info, "port", json_integer(session_port(s)));
	json_object_set_new(info, "priority",
	    json_integer(s->presence != NULL ? s->priority : -1));
	json_object_set_new(info, "node", json_string(command_node()));
	json_object_set_new(info, "uptime", json_integer(MAX(uptime, 0)));
	json_object_set_new(info, "status", show_of(s));
	json_object_set_new(info, "resource", text_of(s->jid.resource));
	json_object_set_new(info, "statustext", status_of(s));
	return info;
}

/* Over all workers --------------------------------------------------------*/

struct walk {
	struct str host; /* none: all */
	json_t *list;
	json_t *(*item)(const struct session *s);
};

static void
on_session(void *ctx, struct session *s)
{
	struct walk *w = (struct walk *)ctx;

	if (s->is_closing ||
	    (!str_is_none(w->host) && !str_eq(s->jid.domain, w->host)))
		return;
	json_array_append_new(w->list, w->item(s));
}

/* `host` is in the command's context, prepared, when it has one. */
static json_t *
list_part(const struct cmd *c, json_t *(*item)(const struct session *s))
{
	const struct host *host = (const struct host *)cmd_ctx(c);
	struct walk w = {
		.host = host != NULL ? host->jid.domain : STR_NONE,
		.list = json_array(),
		.item = item,
	};

	session_each(on_session, &w);
	return w.list;
}

static json_t *
jid_of_session(const struct session *s)
{
	return text_of(s->jid.full);
}

static json_t *
jids_part(const struct cmd *c)
{
	return list_part(c, jid_of_session);
}

static json_t *
infos_part(const struct cmd *c)
{
	return list_part(c, info_of);
}

static json_t *
count_part(const struct cmd *c)
{
	return json_integer((json_int_t)session_count());
}

static void
run_connected_users(struct cmd *c)
{
	cmd_gather(c, jids_part, NULL);
}

static void
run_connected_users_info(struct cmd *c)
{
	cmd_gather(c, infos_part, NULL);
}

static void
run_connected_users_number(struct cmd *c)
{
	cmd_gather(c, count_part, NULL);
}

static void
run_connected_users_vhost(struct cmd *c)
{
	struct host *host = cmd_host(c, "host");

	if (host == NULL)
		return;
	cmd_set_ctx(c, host);
	cmd_gather(c, jids_part, NULL);
}

/* Kicking many ---------------------------------------------------*/

#define KICKED "has been kicked"

struct kick {
	struct session **item;
	size_t count, room;
	const struct host *host; /* NULL: all */
};

static void
note_session(void *ctx, struct session *s)
{
	struct kick *k = (struct kick *)ctx;

	if (s->is_closing || (k->host != NULL && s->account->host != k->host))
		return;
	if (k->count == k->room) {
		k->room = MAX(k->room * 2, 64);
		k->item = (struct session **)xrealloc(
		    k->item, k->room * sizeof(struct session *));
	}
	k->item[k->count++] = s;
}

/* Closing changes what is walked: so they are noted first. */
size_t
command_kick(const struct host *host, enum qname why, const char *text)
{
	struct kick k = { .host = host };

	session_each(note_session, &k);
	for (size_t i = 0; i < k.count; i++)
		session_close(k.item[i], why, text);
	xfree(k.item);
	return k.count;
}

static json_t *
kick_part(const struct cmd *c)
{
	const struct host *host = (const struct host *)cmd_ctx(c);
	size_t n = command_kick(host, EL_SE_POLICY_VIOLATION, KICKED);

	return json_integer((json_int_t)n);
}

static void
run_kick_users(struct cmd *c)
{
	struct host *host = cmd_host(c, "host");

	if (host == NULL)
		return;
	cmd_set_ctx(c, host);
	cmd_gather(c, kick_part, NULL);
}

/* Of one account ----------------------------------------------------------*/

static json_t *
list_of(struct account *acct, json_t *(*item)(const struct session *s))
{
	json_t *list = json_array();
	struct session *s;

	if (acct != NULL)
		LIST_EACH(s, &acct->sessions, struct session, node)
	json_array_append_new(list, item(s));
	return list;
}

static json_t *
resource_of(const struct session *s)
{
	return text_of(s->jid.resource);
}

static void
on_num_resources(struct cmd *c, struct account *acct)
{
	json_t *list = list_of(acct, resource_of);

	cmd_result(c, json_integer((json_int_t)json_array_size(list)));
	json_decref(list);
}

static void
run_num_resources(struct cmd *c)
{
	command_at_home(c, on_num_resources);
}

/* The one of that number, from 1, in order of their names. */
static void
on_resource_num(struct cmd *c, struct account *acct)
{
	json_t *list = cmd_json_sorted(list_of(acct, resource_of));
	int64_t n = cmd_int(c, "num");

	if (n >= 1 && (uint64_t)n <= json_array_size(list))
		cmd_result(c, json_incref(json_array_get(list, (size_t)n - 1)));
	else
		cmd_fail(c, CMD_BAD_ARG, 0, "Wrong resource number: %lld",
		    (long long)n);
	json_decref(list);
}

static void
run_resource_num(struct cmd *c)
{
	command_at_home(c, on_resource_num);
}

static void
on_user_resources(struct cmd *c, struct account *acct)
{
	cmd_result(c, cmd_json_sorted(list_of(acct, resource_of)));
}

static void
run_user_resources(struct cmd *c)
{
	command_at_home(c, on_user_resources);
}

static void
on_user_sessions_info(struct cmd *c, struct account *acct)
{
	cmd_result(c, list_of(acct, info_of));
}

static void
run_user_sessions_info(struct cmd *c)
{
	command_at_home(c, on_user_sessions_info);
}

/* Kicking one -------------------------------------------------------------*/

static void
on_kick_session(struct cmd *c, struct account *acct)
{
	struct str resource;
	struct session *s = NULL;
	const char *why = str_dup_c(cmd_arena(c), cmd_str(c, "reason"));

	if (acct != NULL && jid_prep_resource(cmd_arena(c),
				cmd_str(c, "resource"), &resource) == 0)
		s = account_session(acct, resource);
	if (s != NULL)
		session_close(s, EL_SE_CONFLICT, why);
	cmd_ok(c, NULL);
}

static void
run_kick_session(struct cmd *c)
{
	command_at_home(c, on_kick_session);
}

static size_t
kick_account(struct account *acct)
{
	struct session *s;
	size_t n = 0;

	if (acct == NULL)
		return 0;
	LIST_EACH(s, &acct->sessions, struct session, node)
	{
		session_close(s, EL_SE_POLICY_VIOLATION, KICKED);
		n++;
	}
	return n;
}

static void
on_kick_user(struct cmd *c, struct account *acct)
{
	cmd_ok(c, arena_printf(cmd_arena(c), "Kicked sessions: %zu",
		      kick_account(acct)));
}

static void
run_kick_user(struct cmd *c)
{
	command_at_home(c, on_kick_user);
}

static void
on_kick_user_v0(struct cmd *c, struct account *acct)
{
	cmd_result(c, json_integer((json_int_t)kick_account(acct)));
}

static void
run_kick_user_v0(struct cmd *c)
{
	command_at_home(c, on_kick_user_v0);
}

#define SESSION_INFO \
	"connection:string, ip:string, port:integer, priority:integer, " \
	"node:string, uptime:integer, status:string, resource:string, " \
	"statustext:string}]"

const struct command commands_sessions[] = {
	{ .name = "connected_users",
	    .tag = "session",
	    .help = "List all established sessions",
	    .result_name = "connected_users",
	    .result = "[sessions:string]",
	    .run = run_connected_users },
	{ .name = "connected_users_info",
	    .tag = "session",
	    .help = "List all established sessions and their information",
	    .result_name = "connected_users_info",
	    .result = "[{jid:string, " SESSION_INFO,
	    .run = run_connected_users_info },
	{ .name = "connected_users_number",
	    .tag = "session, statistics",
	    .help = "Get the number of established sessions",
	    .result_name = "num_sessions",
	    .result = "integer",
	    .run = run_connected_users_number },
	{ .name = "connected_users_vhost",
	    .tag = "session",
	    .help = "List the established sessions of a host",
	    .args = { ARG("host", "string") },
	    .result_name = "connected_users_vhost",
	    .result = "[sessions:string]",
	    .run = run_connected_users_vhost },
	{ .name = "num_resources",
	    .tag = "session",
	    .help = "Get the number of resources of a user",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "resources",
	    .result = "integer",
	    .run = run_num_resources },
	{ .name = "resource_num",
	    .tag = "session",
	    .help = "Get the name of a user's resource by its number",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("num", "integer") },
	    .result_name = "resource",
	    .result = "string",
	    .run = run_resource_num },
	{ .name = "user_resources",
	    .tag = "session",
	    .help = "List a user's connected resources",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "resources",
	    .result = "[resource:string]",
	    .run = run_user_resources },
	{ .name = "user_sessions_info",
	    .tag = "session",
	    .help = "Get information about all sessions of a user",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "sessions_info",
	    .result = "[{" SESSION_INFO,
	    .run = run_user_sessions_info },
	{ .name = "kick_session",
	    .tag = "session",
	    .help = "Kick a user's session",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("resource", "string"), ARG("reason", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_kick_session },
	{ .name = "kick_user",
	    .tag = "session",
	    .help = "Kick all sessions of a user",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "res",
	    .result = "restuple",
	    .version = 2,
	    .run = run_kick_user },
	{ .name = "kick_user",
	    .tag = "session",
	    .help = "Kick all sessions of a user",
	    .args = { ARG("user", "string"), ARG("host", "string") },
	    .result_name = "num_resources",
	    .result = "integer",
	    .run = run_kick_user_v0 },
	{ .name = "kick_users",
	    .tag = "session",
	    .help = "Kick all sessions of a host",
	    .args = { ARG("host", "string") },
	    .result_name = "num_sessions",
	    .result = "integer",
	    .run = run_kick_users },
	COMMANDS_END,
};
