/* SPDX-License-Identifier: MIT */
/*
 * What an account has in rooms, listed or removed before it goes: rooms that
 * it alone owns, affiliations, subscriptions, registered nicknames. That it
 * is banned somewhere stays, or who comes back under his name would be in.
 *
 * Rooms that are only in memory are asked for at each worker; the others are
 * looked through in the store, without loading those that don't know it.
 */
#include "modules/muc/sub.h"

#define PAGE 200

struct found {
	struct list node;
	struct jid room;
};

struct quest {
	struct belongings *of;
	struct arena *arena; /* it lives in it */
	struct jid who;
	struct loop *home; /* of the account */
	struct list *parts;
	struct arena **arenas;
	struct list found;
	struct map known; /* rooms that were found */
	struct str *page;
	size_t page_count, page_at;
	size_t host;	    /* whose subscriptions and nicknames are next */
	struct str service; /* of that one */
	struct str prefix;  /* of keys of its subscriptions */
	struct host *room_host;
	struct found *at;
	struct room *room;
	bool are_to_go;
	const char *kind;
	int err;
};

static void
quest_end(struct quest *q, int err)
{
	struct belongings *of = q->of;
	struct arena *a = q->arena;

	map_fini(&q->known);
	arena_free(&a);
	belongings_release(of, err);
}

static struct mod *
service_at(size_t host)
{
	struct mod *m = mod_find(host_at(host), "muc");

	return m != NULL && mod_service(m) != NULL ? m : NULL;
}

static struct host *
host_of(struct str service)
{
	for (size_t i = 0; i < host_count(); i++) {
		struct mod *m = service_at(i);

		if (m != NULL && str_eq(mod_service(m)->full, service))
			return host_at(i);
	}
	return NULL;
}

static void
find(struct quest *q, struct str room)
{
	struct found *f;

	if (map_get(&q->known, room) != NULL)
		return;
	f = arena_new_of(q->arena, struct found);
	f->room = jid_of(str_dup(q->arena, room));
	list_add(&q->found, &f->node);
	map_set(&q->known, f->room.full, f);
}

/* ---- visits ------------------------------------------------------------ */

static void visit(struct quest *q);

/* Back at the account's home. */
static void
visited(void *msg)
{
	struct quest *q = (struct quest *)msg;
	struct list *next = q->at->node.next;

	if (q->kind != NULL)
		belongings_add(q->of, q->kind, q->at->room.full, 1);
	q->at =
	    next == &q->found ? NULL : CONTAINER_OF(next, struct found, node);
	visit(q);
}

static void
visit_end(struct quest *q, int err)
{
	if (err < 0)
		q->err = err;
	loop_post(q->home, visited, q);
}

static void
on_left(void *ctx, int err)
{
	struct quest *q = (struct quest *)ctx;
	struct room *r = q->room;

	visit_end(q, err);
	room_release(r);
}

/* Its affiliation goes before its subscription, which may go with that. */
static void
leave(struct quest *q, struct room *r, bool has_affiliation)
{
	struct store_write *w = room_write(r);
	struct sub *s;

	room_hold(r);
	q->room = r;
	if (has_affiliation)
		aff_change(r,
		    &(struct change){ .jid = q->who,
			.aff = AFF_NONE,
			.nick = STR_NONE,
			.reason = STR_NONE },
		    w);
	s = sub_find(r, q->who.bare);
	if (s != NULL)
		sub_remove(r, s, w);
	if (w != NULL)
		store_commit(&w, on_left, q);
	else
		on_left(q, 0);
}

static void
destroy(struct quest *q, struct room *r)
{
	struct elem *e = elem_new(q->arena, EL_MUC_USER_DESTROY);

	room_hold(r);
	q->room = r;
	subs_tell_end(r, e);
	room_destroy(r, e, on_left, q);
}

static void
on_room(void *ctx, struct room *r)
{
	struct quest *q = (struct quest *)ctx;
	const struct affiliation *a;
	bool has, owns, is_subscribed;

	q->kind = NULL;
	if (r == NULL || !r->is_there) {
		visit_end(q, r == NULL ? ERR_STORE : 0);
		return;
	}
	a = aff_find(r, q->who.bare);
	has = a != NULL && a->aff != AFF_OUTCAST;
	owns = has && a->aff == AFF_OWNER && r->owners == 1;
	is_subscribed = sub_find(r, q->who.bare) != NULL;
	if (owns)
		q->kind = "room";
	else if (has)
		q->kind = "room-affiliation";
	else if (is_subscribed)
		q->kind = "room-subscription";
	if (!q->are_to_go || q->kind == NULL)
		visit_end(q, 0);
	else if (owns)
		destroy(q, r);
	else
		leave(q, r, has);
}

static void
at_home(void *msg)
{
	struct quest *q = (struct quest *)msg;
	struct mod *m = mod_find(q->room_host, "muc");

	q->kind = NULL;
	if (m == NULL)
		visit_end(q, ERR_STORE);
	else
		room_call(m, &q->at->room, on_room, q);
}

static void
visit(struct quest *q)
{
	if (q->at == NULL) {
		quest_end(q, q->err);
		return;
	}
	q->room_host = host_of(q->at->room.domain);
	if (q->room_host == NULL) {
		visit_end(q, 0);
		return;
	}
	loop_post(account_home(q->at->room.bare), at_home, q);
}

/* ---- subscriptions and nicknames, by service ---------------------------- */

static void services_next(struct quest *q);

static void
on_nick_gone(void *ctx, int err)
{
	struct quest *q = (struct quest *)ctx;

	if (err < 0 && err != ERR_ABSENT)
		q->err = err;
	services_next(q);
}

static void
nick_of(struct quest *q)
{
	struct mod *m = service_at(q->host - 1);
	struct str nick =
	    m != NULL ? nick_registered(m, q->who.bare) : STR_NONE;

	if (nick.n == 0) {
		services_next(q);
		return;
	}
	belongings_add(q->of, "room-nick", nick, 1);
	if (q->are_to_go)
		nick_register(m, q->who.bare, STR_NONE, on_nick_gone, q);
	else
		services_next(q);
}

static void
on_subs(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct quest *q = (struct quest *)ctx;
	bool is_more = err == 0 && count == PAGE;

	if (err < 0) {
		quest_end(q, err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!str_has_prefix(items[i].key, q->prefix)) {
			is_more = false;
			break;
		}
		find(q, str_printf(q->arena, STR_FMT "@" STR_FMT,
			    STR_ARG(str_skip(items[i].key, q->prefix.n)),
			    STR_ARG(q->service)));
	}
	if (is_more)
		kv_list(q->service, STORE_SUB_ROOMS, items[count - 1].key,
		    false, PAGE, on_subs, q);
	else
		nick_of(q);
}

static void
services_next(struct quest *q)
{
	while (q->host < host_count()) {
		struct mod *m = service_at(q->host++);

		if (m == NULL)
			continue;
		q->service = str_dup(q->arena, mod_service(m)->full);
		kv_list(q->service, STORE_SUB_ROOMS, q->prefix, false, PAGE,
		    on_subs, q);
		return;
	}
	q->at = LIST_FIRST(&q->found, struct found, node);
	visit(q);
}

/* ---- rooms in the store ------------------------------------------------- */

static void on_rooms(void *ctx, int err, const struct str *names, size_t count);

static void look(struct quest *q);

static void
on_affiliation(void *ctx, int err, struct str value)
{
	struct quest *q = (struct quest *)ctx;

	if (err < 0 && err != ERR_ABSENT) {
		quest_end(q, err);
		return;
	}
	if (err == 0)
		find(q, q->page[q->page_at]);
	q->page_at++;
	look(q);
}

static void
look(struct quest *q)
{
	struct str last;

	if (q->page_at < q->page_count) {
		kv_get(q->page[q->page_at], STORE_AFFS, q->who.bare,
		    on_affiliation, q);
		return;
	}
	if (q->page_count < PAGE) {
		services_next(q);
		return;
	}
	last = q->page[q->page_count - 1];
	kv_owners(STORE_ROOM, last, PAGE, on_rooms, q);
}

static void
on_rooms(void *ctx, int err, const struct str *names, size_t count)
{
	struct quest *q = (struct quest *)ctx;

	if (err < 0) {
		quest_end(q, err);
		return;
	}
	q->page =
	    (struct str *)arena_alloc(q->arena, (count + 1) * sizeof(*names));
	for (size_t i = 0; i < count; i++)
		q->page[i] = str_dup(q->arena, names[i]);
	q->page_count = count;
	q->page_at = 0;
	look(q);
}

/* ---- rooms in memory ---------------------------------------------------- */

static void
collect_of(struct quest *q, struct mod *m, unsigned worker)
{
	struct muc *muc = mod_state(m);
	struct arena *a = q->arenas[worker];
	const struct room *r;

	for (size_t i = 0; (r = map_next(&muc->rooms, &i)) != NULL;) {
		struct found *f;

		if (!r->is_there || r->is_stored ||
		    (aff_find(r, q->who.bare) == NULL &&
			sub_find(r, q->who.bare) == NULL))
			continue;
		f = arena_new_of(a, struct found);
		f->room = jid_of(str_dup(a, r->jid.full));
		list_add(&q->parts[worker], &f->node);
	}
}

static void
collect(void *ctx, unsigned worker)
{
	struct quest *q = (struct quest *)ctx;

	q->arenas[worker] = arena_new(0);
	list_init(&q->parts[worker]);
	for (size_t i = 0; i < host_count(); i++)
		if (service_at(i) != NULL)
			collect_of(q, service_at(i), worker);
}

static void
on_collected(void *ctx)
{
	struct quest *q = (struct quest *)ctx;
	const struct found *f;

	for (unsigned i = 0; i < loop_count(); i++) {
		LIST_EACH(f, &q->parts[i], struct found, node)
		find(q, f->room.full);
		arena_free(&q->arenas[i]);
	}
	kv_owners(STORE_ROOM, STR_NONE, PAGE, on_rooms, q);
}

void
on_belongings(struct mod *m, struct belongings *b)
{
	struct arena *a = arena_new(0);
	struct quest *q = arena_new_of(a, struct quest);

	q->arena = a;
	q->of = b;
	q->are_to_go = belongings_are_to_go(b);
	q->home = loop_self();
	q->who = jid_dup(a, &belongings_account(b)->jid);
	q->prefix = str_printf(a, STR_FMT " ", STR_ARG(q->who.bare));
	q->parts =
	    (struct list *)arena_zalloc(a, loop_count() * sizeof(*q->parts));
	q->arenas = (struct arena **)arena_zalloc(
	    a, loop_count() * sizeof(struct arena *));
	list_init(&q->found);
	belongings_hold(b);
	worker_gather(collect, on_collected, q);
}
