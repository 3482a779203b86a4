/* SPDX-License-Identifier: MIT */
/*
 * ejabberd's commands about many rooms. They are collected first: those that
 * are in memory only by asking each worker, the others from the store; then
 * they are visited at their homes, one after the other.
 */
#include "modules/muc/commands.h"

#include <regex.h>

#define PAGE 1000

struct name {
	struct list node;
	struct jid jid;
};

struct walk {
	struct cmd *c;
	struct arena *arena;
	struct str service; /* none: all */
	struct list *parts; /* names, by worker */
	struct arena **arenas;
	struct list names;
	json_t *result;
	struct loop *loop;
	/* Decides about a room; answers by walk_next(). */
	void (*visit)(struct walk *w, struct room *r);
	void (*end)(struct walk *w);
	struct name *at;
	struct host *host;
	struct room *room;
	bool destroys, is_silent;
	int64_t before;
	uint64_t count;
	regex_t regex;
	bool has_regex;
};

/* ---- collecting -------------------------------------------------------- */

static void
add_name(struct arena *a, struct list *names, struct str jid)
{
	struct name *n = arena_new_of(a, struct name);

	n->jid = jid_of(str_dup(a, jid));
	list_add(names, &n->node);
}

static bool
is_meant(const struct walk *w, struct str domain)
{
	return str_is_none(w->service) || str_eq(w->service, domain);
}

static void
collect_of(struct walk *w, struct mod *m, unsigned worker)
{
	struct muc *muc = mod_state(m);
	const struct room *r;

	if (mod_service(m) == NULL || !is_meant(w, mod_service(m)->full))
		return;
	for (size_t i = 0; (r = map_next(&muc->rooms, &i)) != NULL;)
		if (r->is_there && !r->is_stored)
			add_name(
			    w->arenas[worker], &w->parts[worker], r->jid.full);
}

static void
collect(void *ctx, unsigned worker)
{
	struct walk *w = ctx;

	w->arenas[worker] = arena_new(0);
	list_init(&w->parts[worker]);
	for (size_t i = 0; i < host_count(); i++) {
		struct mod *m = mod_find(host_at(i), "muc");

		if (m != NULL)
			collect_of(w, m, worker);
	}
}

static void walk_go(struct walk *w);

static void
on_owners(void *ctx, int err, const struct str *names, size_t count)
{
	struct walk *w = ctx;

	if (err < 0) {
		cmd_fail(w->c, CMD_FAILED, 0, "%s", err_text(err));
		json_decref(w->result);
		if (w->has_regex)
			regfree(&w->regex);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (is_meant(w, jid_of(names[i]).domain))
			add_name(w->arena, &w->names, names[i]);
	if (count == PAGE)
		kv_owners(STORE_ROOM, names[count - 1], PAGE, on_owners, w);
	else
		walk_go(w);
}

static void
on_collected(void *ctx)
{
	struct walk *w = ctx;
	struct name *n;

	for (unsigned i = 0; i < loop_count(); i++) {
		LIST_EACH(n, &w->parts[i], struct name, node)
		add_name(w->arena, &w->names, n->jid.full);
		arena_free(&w->arenas[i]);
	}
	kv_owners(STORE_ROOM, STR_NONE, PAGE, on_owners, w);
}

static struct walk *
walk_new(struct cmd *c)
{
	struct arena *a = cmd_arena(c);
	struct walk *w = arena_new_of(a, struct walk);
	struct str service = cmd_str(c, "service");

	if (!str_is(service, "global")) {
		if (jid_prep_domain(a, service, &w->service) < 0) {
			cmd_fail(c, CMD_BAD_ARG, 0, "Invalid 'service'");
			return NULL;
		}
		if (cmd_service_host(c, w->service) == NULL)
			return NULL;
	}
	w->c = c;
	w->arena = a;
	w->loop = loop_self();
	w->result = json_array();
	w->parts = arena_zalloc(a, loop_count() * sizeof(*w->parts));
	w->arenas = arena_zalloc(a, loop_count() * sizeof(*w->arenas));
	list_init(&w->names);
	return w;
}

/* ---- visiting ---------------------------------------------------------- */

static void
walk_end(struct walk *w)
{
	if (w->has_regex)
		regfree(&w->regex);
	if (w->end != NULL) {
		json_decref(w->result);
		w->end(w);
	} else {
		cmd_result(w->c, w->result);
	}
}

static void walk_visit(struct walk *w);

static void
on_next(void *msg)
{
	struct walk *w = msg;

	w->at = w->at->node.next == &w->names
		    ? NULL
		    : CONTAINER_OF(w->at->node.next, struct name, node);
	walk_visit(w);
}

/* From the room's home. */
static void
walk_next(struct walk *w)
{
	loop_post(w->loop, on_next, w);
}

static void
on_room(void *ctx, struct room *r)
{
	struct walk *w = ctx;

	if (r == NULL || !r->is_there)
		walk_next(w);
	else
		w->visit(w, r);
}

static void
at_home(void *msg)
{
	struct walk *w = msg;
	struct mod *m = mod_find(w->host, "muc");

	if (m == NULL)
		walk_next(w);
	else
		room_call(m, &w->at->jid, on_room, w);
}

static struct host *
host_of(struct walk *w, struct str service)
{
	for (size_t i = 0; i < host_count(); i++) {
		struct mod *m = mod_find(host_at(i), "muc");

		if (m != NULL && mod_service(m) != NULL &&
		    str_eq(mod_service(m)->full, service))
			return host_at(i);
	}
	return NULL;
}

static void
walk_visit(struct walk *w)
{
	while (w->at != NULL) {
		w->host = host_of(w, w->at->jid.domain);
		if (w->host != NULL) {
			loop_post(account_home(w->at->jid.bare), at_home, w);
			return;
		}
		/* Of a service that is not on any more. */
		w->at = w->at->node.next == &w->names
			    ? NULL
			    : CONTAINER_OF(w->at->node.next, struct name, node);
	}
	walk_end(w);
}

static void
add_to_result(struct walk *w, struct str jid)
{
	w->count++;
	json_array_append_new(w->result, json_stringn(jid.p, jid.n));
}

static void
walk_go(struct walk *w)
{
	struct name *n;

	if (w->visit != NULL) {
		w->at = LIST_FIRST(&w->names, struct name, node);
		walk_visit(w);
		return;
	}
	LIST_EACH(n, &w->names, struct name, node)
	add_to_result(w, n->jid.full);
	walk_end(w);
}

static void
walk(struct cmd *c, void (*visit)(struct walk *w, struct room *r),
    void (*end)(struct walk *w), bool destroys)
{
	struct walk *w = walk_new(c);

	if (w == NULL)
		return;
	w->visit = visit;
	w->end = end;
	w->destroys = destroys;
	worker_gather(collect, on_collected, w);
}

/* ---- lists of rooms ---------------------------------------------------- */

void
run_muc_online_rooms(struct cmd *c)
{
	walk(c, NULL, NULL, false);
}

static void
end_count(struct walk *w)
{
	cmd_result(w->c, json_integer((json_int_t)w->count));
}

void
run_muc_online_rooms_count(struct cmd *c)
{
	walk(c, NULL, end_count, false);
}

static void
visit_regex(struct walk *w, struct room *r)
{
	const char *name = str_dup_c(w->arena, r->jid.full);

	if (regexec(&w->regex, name, 0, NULL, 0) == 0)
		json_array_append_new(w->result,
		    json_pack("{s:s, s:s, s:i}", "jid", name, "public",
			r->config.is_public ? "true" : "false", "participants",
			(int)room_size(r)));
	walk_next(w);
}

void
run_muc_online_rooms_by_regex(struct cmd *c)
{
	struct walk *w;
	const char *text = str_dup_c(cmd_arena(c), cmd_str(c, "regex"));

	w = walk_new(c);
	if (w == NULL)
		return;
	if (regcomp(&w->regex, text, REG_EXTENDED | REG_NOSUB) != 0) {
		json_decref(w->result);
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid regular expression");
		return;
	}
	w->has_regex = true;
	w->visit = visit_regex;
	worker_gather(collect, on_collected, w);
}

/* ---- rooms that nobody needs ------------------------------------------- */

static void
on_gone(void *ctx, int err)
{
	walk_next(ctx);
}

static void
take(struct walk *w, struct room *r)
{
	struct elem *e;

	add_to_result(w, r->jid.full);
	if (!w->destroys) {
		walk_next(w);
		return;
	}
	e = elem_new(w->arena, EL_MUC_USER_DESTROY);
	if (!w->is_silent)
		subs_tell_end(r, e);
	room_destroy(r, e, on_gone, w);
}

static void
visit_empty(struct walk *w, struct room *r)
{
	if (list_is_empty(&r->occupants))
		take(w, r);
	else
		walk_next(w);
}

static void
end_destroyed(struct walk *w)
{
	const char *text = arena_printf(
	    w->arena, "Destroyed rooms: %llu", (unsigned long long)w->count);

	cmd_ok(w->c, text);
}

void
run_rooms_empty_list(struct cmd *c)
{
	walk(c, visit_empty, NULL, false);
}

void
run_rooms_empty_destroy(struct cmd *c)
{
	walk(c, visit_empty, end_destroyed, true);
}

static void
on_ends(void *ctx, int err, const struct archive_page *page)
{
	struct walk *w = ctx;
	struct room *r = w->room;
	int64_t last = 0;

	if (err == 0 && page->count > 0)
		uuid7_time(page->items[page->count - 1].id, &last);
	if (err == 0 && last < w->before && list_is_empty(&r->occupants))
		take(w, r);
	else
		walk_next(w);
	room_release(r);
}

static void
visit_unused(struct walk *w, struct room *r)
{
	if (!list_is_empty(&r->occupants) || r->config.created >= w->before) {
		walk_next(w);
		return;
	}
	w->room = r;
	room_hold(r);
	archive_ends(r->jid.full, on_ends, w);
}

static void
unused(struct cmd *c, bool destroys, bool is_silent)
{
	struct walk *w;
	int64_t before;

	if (!cmd_days_ago(c, &before))
		return;
	w = walk_new(c);
	if (w == NULL)
		return;
	w->before = before;
	w->visit = visit_unused;
	w->destroys = destroys;
	w->is_silent = is_silent;
	worker_gather(collect, on_collected, w);
}

void
run_rooms_unused_list(struct cmd *c)
{
	unused(c, false, false);
}

void
run_rooms_unused_destroy(struct cmd *c)
{
	unused(c, true, false);
}

void
run_rooms_unused_destroy_skip_notifications(struct cmd *c)
{
	unused(c, true, true);
}

/* ---- rooms of a user --------------------------------------------------- */

static bool
is_in(const struct room *r, struct str bare)
{
	const struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	if (str_eq(occupant_bare(o), bare))
		return true;
	return false;
}

static json_t *
user_rooms(const struct cmd *c)
{
	const struct jid *jid = cmd_ctx(c);
	json_t *list = json_array();

	for (size_t i = 0; i < host_count(); i++) {
		struct mod *m = mod_find(host_at(i), "muc");
		struct muc *muc = m != NULL ? mod_state(m) : NULL;
		const struct room *r;

		for (size_t k = 0;
		     muc != NULL && (r = map_next(&muc->rooms, &k)) != NULL;)
			if (is_in(r, jid->bare))
				json_array_append_new(list,
				    json_stringn(r->jid.full.p, r->jid.full.n));
	}
	return list;
}

void
run_get_user_rooms(struct cmd *c)
{
	struct jid *jid = arena_new_of(cmd_arena(c), struct jid);

	if (!cmd_account(c, "user", "host", jid))
		return;
	cmd_set_ctx(c, jid);
	cmd_gather(c, user_rooms, NULL);
}

/* ---- registered nicknames ---------------------------------------------- */

static struct mod *
service_mod(struct cmd *c)
{
	struct str service;
	struct host *h;

	if (jid_prep_domain(cmd_arena(c), cmd_str(c, "service"), &service) <
	    0) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid 'service'");
		return NULL;
	}
	h = cmd_service_host(c, service);
	return h != NULL ? mod_find(h, "muc") : NULL;
}

static void
on_registered(void *ctx, int err)
{
	struct cmd *c = ctx;

	if (err == ERR_EXISTS)
		cmd_fail(c, CMD_CONFLICT, 0, "The nickname is registered");
	else if (err == ERR_ABSENT)
		cmd_fail(c, CMD_NOT_FOUND, 0, "No nickname is registered");
	else
		cmd_on_done(c, err);
}

static void
register_nick(struct cmd *c, struct str nick)
{
	struct mod *m = service_mod(c);
	struct jid jid;

	if (m != NULL && cmd_account(c, "user", "host", &jid))
		nick_register(m, jid.bare, nick, on_registered, c);
}

void
run_muc_register_nick(struct cmd *c)
{
	struct str nick;

	if (jid_prep_resource(cmd_arena(c), cmd_str(c, "nick"), &nick) < 0 ||
	    nick.n == 0 || nick.n > NICK_MAX)
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid nickname");
	else
		register_nick(c, nick);
}

void
run_muc_unregister_nick(struct cmd *c)
{
	register_nick(c, STR_NONE);
}

void
run_muc_get_registered_nick(struct cmd *c)
{
	struct mod *m = service_mod(c);
	struct str nick;
	struct jid jid;

	if (m == NULL || !cmd_account(c, "user", "host", &jid))
		return;
	nick = nick_registered(m, jid.bare);
	if (nick.n == 0)
		cmd_fail(c, CMD_NOT_FOUND, 0, "No nickname is registered");
	else
		cmd_result(c, json_stringn(nick.p, nick.n));
}

static void
on_nicks(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct cmd *c = ctx;
	struct walk *w = cmd_ctx(c);

	if (err < 0) {
		json_decref(w->result);
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct jid jid = jid_of(items[i].key);

		json_array_append_new(w->result,
		    json_pack("{s:s%, s:s%, s:s%}", "user", jid.local.p,
			jid.local.n, "host", jid.domain.p, jid.domain.n, "nick",
			items[i].value.p, items[i].value.n));
	}
	if (count == PAGE)
		kv_list(w->service, STORE_NICKS, items[count - 1].key, false,
		    PAGE, on_nicks, c);
	else
		cmd_result(c, w->result);
}

void
run_muc_get_registered_nicks(struct cmd *c)
{
	struct walk *w = walk_new(c);

	if (w == NULL)
		return;
	if (str_is_none(w->service)) {
		json_decref(w->result);
		cmd_fail(c, CMD_BAD_ARG, 0, "Name one service");
		return;
	}
	cmd_set_ctx(c, w);
	kv_list(w->service, STORE_NICKS, STR_NONE, false, PAGE, on_nicks, c);
}
