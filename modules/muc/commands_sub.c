/* SPDX-License-Identifier: MIT */
/* ejabberd's commands about subscriptions to rooms. */
#include "modules/muc/commands.h"
#include "modules/muc/sub.h"

#define PAGE 500
#define USERS_MAX 1000

static json_t *
json_nodes(unsigned nodes)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < SUB_NODES; i++)
		if (nodes & 1u << i)
			json_array_append_new(
			    list, json_string(sub_node_names[i]));
	return list;
}

/* False, and the command has failed, when one is unknown, or there is none. */
static bool
read_nodes(struct cmd *c, unsigned *nodes_r)
{
	const json_t *node, *nodes = cmd_json(c, "nodes");
	size_t i;

	*nodes_r = 0;
	json_array_foreach(nodes, i, node)
	{
		unsigned bit = sub_node_bit(str_c(json_string_value(node)));

		if (bit == 0) {
			cmd_fail(c, CMD_BAD_ARG, 0, "Invalid node: %s",
			    json_string_value(node));
			return false;
		}
		*nodes_r |= bit;
	}
	if (*nodes_r == 0)
		cmd_fail(c, CMD_BAD_ARG, 0, "Nodes must be set");
	return *nodes_r != 0;
}

/* NULL, or why not. */
static const char *
subscribe(struct cmd *c, struct room *r, const struct jid *who, struct str nick,
    struct store_write *w)
{
	const unsigned *nodes = cmd_ctx(c);
	const char *text;

	if (jid_prep_resource(cmd_arena(c), nick, &nick) < 0 || nick.n == 0)
		return "Invalid nickname";
	if (sub_check(r, who, nick, &text) != EL_NONE)
		return text;
	sub_add(r, who->bare, nick, *nodes, w);
	return NULL;
}

/* ---- one --------------------------------------------------------------- */

static void
on_subscribed(void *ctx, int err)
{
	struct cmd *c = ctx;
	const unsigned *nodes = cmd_ctx(c);

	if (err < 0)
		cmd_on_done(c, err);
	else
		cmd_result(c, json_nodes(*nodes));
}

static bool
account_of(struct cmd *c, struct jid *jid_r)
{
	struct arena *a = cmd_arena(c);
	struct str user, host;

	if (jid_prep_local(a, cmd_str(c, "user"), &user) < 0 || user.n == 0 ||
	    jid_prep_domain(a, cmd_str(c, "host"), &host) < 0) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid user or host");
		return false;
	}
	*jid_r = jid_make(a, user, host, STR_NONE);
	return true;
}

static void
on_subscribe_room(struct cmd *c, struct room *r)
{
	struct store_write *w;
	const char *why;
	struct jid who;

	if (!account_of(c, &who))
		return;
	w = store_write_new(r->jid.full);
	why = subscribe(c, r, &who, cmd_str(c, "nick"), w);
	if (why != NULL) {
		store_write_drop(&w);
		cmd_fail(c, CMD_BAD_ARG, 0, "%s", why);
	} else {
		store_commit(&w, on_subscribed, c);
	}
}

void
run_subscribe_room(struct cmd *c)
{
	unsigned *nodes = arena_new_of(cmd_arena(c), unsigned);

	if (!read_nodes(c, nodes))
		return;
	cmd_set_ctx(c, nodes);
	cmd_at_room(c, on_subscribe_room);
}

static void
on_unsubscribe_room(struct cmd *c, struct room *r)
{
	struct store_write *w;
	struct jid who;
	struct sub *s;

	if (!account_of(c, &who))
		return;
	s = sub_find(r, who.bare);
	if (s == NULL) {
		cmd_ok(c, NULL);
		return;
	}
	w = store_write_new(r->jid.full);
	sub_remove(r, s, w);
	store_commit(&w, cmd_on_done, c);
}

void
run_unsubscribe_room(struct cmd *c)
{
	cmd_at_room(c, on_unsubscribe_room);
}

/* ---- many -------------------------------------------------------------- */

static const char *
subscribe_user(
    struct cmd *c, struct room *r, const json_t *user, struct store_write *w)
{
	struct arena *a = cmd_arena(c);
	struct str text[3], local, domain;
	static const char *const keys[] = { "user", "host", "nick" };
	struct jid who;

	for (size_t i = 0; i < 3; i++)
		text[i] =
		    str_c(json_string_value(json_object_get(user, keys[i])));
	if (jid_prep_local(a, text[0], &local) < 0 || local.n == 0 ||
	    jid_prep_domain(a, text[1], &domain) < 0)
		return "Invalid user or host";
	who = jid_make(a, local, domain, STR_NONE);
	return subscribe(c, r, &who, text[2], w);
}

/* Up to the first that is refused, as ejabberd does. */
static void
on_subscribe_many(struct cmd *c, struct room *r)
{
	struct store_write *w = store_write_new(r->jid.full);
	const json_t *user, *users = cmd_json(c, "users");
	const char *why;
	size_t i;

	json_array_foreach(users, i, user)
	{
		why = subscribe_user(c, r, user, w);
		if (why == NULL)
			continue;
		store_commit(&w, NULL, NULL);
		cmd_fail(c, CMD_BAD_ARG, 0, "%s", why);
		return;
	}
	store_commit(&w, cmd_on_done, c);
}

void
run_subscribe_room_many(struct cmd *c)
{
	unsigned *nodes = arena_new_of(cmd_arena(c), unsigned);

	if (json_array_size(cmd_json(c, "users")) > USERS_MAX) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Too many users");
		return;
	}
	if (!read_nodes(c, nodes))
		return;
	cmd_set_ctx(c, nodes);
	cmd_at_room(c, on_subscribe_many);
}

/* ---- lists ------------------------------------------------------------- */

static void
on_get_subscribers(struct cmd *c, struct room *r)
{
	json_t *list = json_array();
	const struct sub *s;

	for (size_t i = 0; (s = map_next(&r->subs, &i)) != NULL;)
		json_array_append_new(list, json_stringn(s->jid.p, s->jid.n));
	cmd_result(c, list);
}

void
run_get_subscribers(struct cmd *c)
{
	cmd_at_room(c, on_get_subscribers);
}

/* Of one service after the other. */
struct search {
	struct cmd *c;
	struct jid jid;
	size_t host; /* index of the next */
	struct str service, prefix;
	json_t *result;
};

static void
add_found(struct search *s, struct str xml)
{
	struct arena *a = cmd_arena(s->c);
	struct elem *e = xml_parse(a, str_dup(a, xml), NULL, NS_CLIENT, NULL);
	struct str jid = elem_attr(e, AT_JID), nick = elem_attr(e, AT_NICK);
	unsigned nodes;

	if (e != NULL && sub_nodes_read(e, &nodes))
		json_array_append_new(
		    s->result, json_pack("{s:s%, s:s%, s:o}", "roomjid", jid.p,
				   jid.n, "usernick", nick.p, nick.n, "nodes",
				   json_nodes(nodes)));
}

static void search_next(struct search *s);

static void
on_found(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct search *s = ctx;

	if (err < 0) {
		json_decref(s->result);
		cmd_fail(s->c, CMD_FAILED, 0, "%s", err_text(err));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!str_has_prefix(items[i].key, s->prefix)) {
			search_next(s);
			return;
		}
		add_found(s, items[i].value);
	}
	if (count == PAGE)
		kv_list(s->service, STORE_SUB_ROOMS, items[count - 1].key,
		    false, PAGE, on_found, s);
	else
		search_next(s);
}

static void
search_next(struct search *s)
{
	while (s->host < host_count()) {
		struct mod *m = mod_find(host_at(s->host++), "muc");

		if (m == NULL || mod_service(m) == NULL)
			continue;
		s->service = str_dup(cmd_arena(s->c), mod_service(m)->full);
		kv_list(s->service, STORE_SUB_ROOMS, s->prefix, false, PAGE,
		    on_found, s);
		return;
	}
	cmd_result(s->c, s->result);
}

void
run_get_user_subscriptions(struct cmd *c)
{
	struct search *s = arena_new_of(cmd_arena(c), struct search);

	if (!cmd_account(c, "user", "host", &s->jid))
		return;
	s->c = c;
	s->result = json_array();
	s->prefix = index_key(cmd_arena(c), s->jid.bare, STR(""));
	search_next(s);
}
