/* SPDX-License-Identifier: MIT */
/* Rooms in memory: found, loaded, kept as long as something holds them. */
#include "modules/muc/muc.h"

static struct muc *
muc_of(const struct room *r)
{
	return mod_state(r->mod);
}

const struct muc_options *
room_options(const struct room *r)
{
	return mod_options(r->mod);
}

static void
room_init_lists(struct room *r)
{
	list_init(&r->waiting);
	list_init(&r->occupants);
	list_init(&r->joins);
	list_init(&r->calls);
	list_init(&r->past);
	list_init(&r->hats);
	list_init(&r->changes);
	list_init(&r->late_node);
	list_init(&r->idle_node);
}

static struct room *
room_new(struct mod *m, const struct jid *bare)
{
	struct muc *muc = mod_state(m);
	struct room *r = xzalloc(sizeof(*r));

	r->jid = jid_of(str_heap(bare->bare));
	r->mod = m;
	r->active = clock_real();
	room_init_lists(r);
	config_init(&r->config, mod_options(m));
	map_set(&muc->rooms, r->jid.full, r);
	return r;
}

struct room *
room_peek(struct mod *m, struct str bare)
{
	struct muc *muc = mod_state(m);

	return map_get(&muc->rooms, bare);
}

struct room *
room_get(struct mod *m, const struct jid *bare)
{
	struct room *r = room_peek(m, bare->bare);

	if (r != NULL)
		return r;
	r = room_new(m, bare);
	room_load(r);
	return r;
}

static void
room_clear(struct room *r)
{
	struct past *p;

	affs_clear(r);
	subs_clear(r);
	hats_clear(r);
	mav_clear(r);
	LIST_EACH(p, &r->past, struct past, node)
	past_free(p);
	r->past_count = 0;
	str_free(&r->subject);
	config_fini(&r->config);
}

void
room_free(struct room *r)
{
	struct muc *muc = muc_of(r);
	struct str text = r->jid.full;

	if (map_get(&muc->rooms, text) == r)
		map_del(&muc->rooms, text);
	if (muc->is_stopped && muc->rooms.count == 0)
		map_fini(&muc->rooms);
	room_clear(r);
	map_fini(&r->by_jid);
	map_fini(&r->by_nick);
	xfree(r->said);
	list_del(&r->late_node);
	list_del(&r->idle_node);
	str_free(&text);
	xfree(r);
}

/* ---- how long it stays ------------------------------------------------- */

#define IDLE_MS SECONDS(30)

static void
on_sweep(struct timer *t)
{
	struct muc *muc = CONTAINER_OF(t, struct muc, sweep);
	uint64_t now = loop_now();
	struct room *r;

	while ((r = LIST_FIRST(&muc->idle, struct room, idle_node)) != NULL) {
		if (now - r->idle_since < IDLE_MS) {
			timer_start(t, IDLE_MS, on_sweep);
			return;
		}
		room_free(r);
	}
}

/* Soon to be dropped, but whoever looked at it may look again. */
static void
room_idle(struct room *r)
{
	struct muc *muc = muc_of(r);

	list_del(&r->idle_node);
	list_add(&muc->idle, &r->idle_node);
	r->idle_since = loop_now();
	if (!timer_is_running(&muc->sweep))
		timer_start(&muc->sweep, IDLE_MS, on_sweep);
}

void
room_settle(struct room *r)
{
	if (r->is_loading || r->holds > 0 || !list_is_empty(&r->waiting) ||
	    !list_is_empty(&r->occupants) || !list_is_empty(&r->joins) ||
	    !list_is_empty(&r->calls))
		return;
	if (muc_of(r)->is_stopped) {
		room_free(r);
	} else if (!r->is_there) {
		room_free(r);
	} else if (!r->config.is_persistent) {
		r->holds++;
		room_erase(r, NULL, NULL);
		room_release(r);
	} else {
		room_idle(r);
	}
}

void
room_hold(struct room *r)
{
	list_del(&r->idle_node);
	r->holds++;
}

void
room_release(struct room *r)
{
	must(r->holds > 0);
	r->holds--;
	room_settle(r);
}

/* ---- stanzas for it ---------------------------------------------------- */

static void
presence_for(struct room *r, struct stanza *st)
{
	struct occupant *o = occupant_by_jid(r, st->from.full);
	bool is_join = elem_child(st->root, EL_MUC) != NULL;

	switch (st->type) {
	case PRESENCE_AVAILABLE:
		if (jid_is_bare(&st->to))
			room_refuse(r, st, EL_JID_MALFORMED, NULL,
			    "A nickname is needed");
		else if (o == NULL && !is_join)
			not_in_room(r, st);
		else if (is_join &&
			 (o == NULL || str_eq(o->nick, st->to.resource)))
			join_room(r, st);
		else if (!str_eq(o->nick, st->to.resource))
			change_nick(o, st);
		else
			change_presence(o, st);
		return;
	case PRESENCE_UNAVAILABLE:
		if (o != NULL)
			leave_room(o, st);
		break;
	case PRESENCE_ERROR:
		if (o != NULL)
			remove_client(o);
		break;
	default:
		break;
	}
	stanza_free(&st);
}

/* The errors by which a client turns out to be gone (section 17.3.2). */
static bool
is_delivery_error(const struct stanza *st)
{
	static const enum qname gone[] = { EL_GONE, EL_ITEM_NOT_FOUND,
		EL_RECIPIENT_UNAVAILABLE, EL_REDIRECT, EL_JID_MALFORMED,
		EL_REMOTE_SERVER_NOT_FOUND, EL_REMOTE_SERVER_TIMEOUT,
		EL_SERVICE_UNAVAILABLE };
	const struct elem *error = elem_child(st->root, EL_ERROR);

	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		if (elem_child(error, gone[i]) != NULL)
			return true;
	return false;
}

static void
message_for(struct room *r, struct stanza *st)
{
	struct occupant *o;

	if (st->type == MESSAGE_ERROR) {
		o = occupant_by_jid(r, st->from.full);
		if (o != NULL && is_delivery_error(st))
			remove_client(o);
		stanza_free(&st);
	} else if (jid_is_bare(&st->to)) {
		message_to_room(r, st);
	} else {
		message_to_occupant(r, st);
	}
}

static void
room_handle(struct room *r, struct stanza *st)
{
	struct join *j;

	list_del(&r->idle_node);
	if (!list_is_empty(&r->joins) &&
	    (j = join_find(r, st->from.full)) != NULL) {
		join_wait(j, st);
		return;
	}
	switch (st->kind) {
	case STANZA_PRESENCE:
		presence_for(r, st);
		break;
	case STANZA_MESSAGE:
		message_for(r, st);
		break;
	case STANZA_IQ:
		if (jid_is_bare(&st->to))
			iq_to_room(r, st);
		else
			iq_to_occupant(r, st);
		break;
	}
}

void
room_put(struct room *r, struct stanza *st)
{
	if (!r->is_loading && list_is_empty(&r->waiting)) {
		r->holds++;
		room_handle(r, st);
		room_release(r);
		return;
	}
	if (r->waiting_count >= WAITING_MAX) {
		stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
		return;
	}
	list_add(&r->waiting, &st->node);
	r->waiting_count++;
}

/* ---- others that wait for the load ------------------------------------- */

struct call {
	struct list node;
	void (*fn)(void *ctx, struct room *r);
	void *ctx;
};

void
room_call(struct mod *m, const struct jid *bare,
    void (*fn)(void *ctx, struct room *r), void *ctx)
{
	struct room *r = room_get(m, bare);
	struct call *call;

	if (!r->is_loading) {
		room_hold(r);
		fn(ctx, r);
		room_release(r);
		return;
	}
	call = xzalloc(sizeof(*call));
	call->fn = fn;
	call->ctx = ctx;
	list_add(&r->calls, &call->node);
}

void
room_loaded(struct room *r, int err)
{
	struct stanza *st;
	struct call *call;

	r->is_loading = false;
	r->holds++;
	while ((call = LIST_FIRST(&r->calls, struct call, node)) != NULL) {
		list_del(&call->node);
		call->fn(call->ctx, err < 0 ? NULL : r);
		xfree(call);
	}
	while ((st = LIST_FIRST(&r->waiting, struct stanza, node)) != NULL) {
		list_del(&st->node);
		r->waiting_count--;
		if (err < 0)
			stanza_refuse(st, EL_INTERNAL_SERVER_ERROR);
		else
			room_handle(r, st);
	}
	if (err < 0)
		r->is_there = false;
	room_release(r);
}

/* ---- it begins, it ends ------------------------------------------------ */

/* What a room of that name had before must not come back to light. */
void
room_create(struct room *r, const struct jid *owner)
{
	struct store_write *w = store_write_new(r->jid.full);

	kv_clear(w, r->jid.full, STR_NONE);
	archive_clear(w, r->jid.full, STR_NONE);
	r->is_there = true;
	r->is_locked = false;
	random_bytes(r->config.secret, sizeof(r->config.secret));
	r->config.created = clock_real();
	if (owner != NULL)
		aff_set(r, owner->bare, AFF_OWNER, STR_NONE, STR_NONE);
	if (r->config.is_persistent)
		save_all(r, w);
	store_commit(&w, NULL, NULL);
	log_info(mod_log(r->mod), "room " STR_FMT " created%s" STR_FMT,
	    STR_ARG(r->jid.full), owner != NULL ? " by " : "",
	    STR_ARG(owner != NULL ? owner->bare : STR_NONE));
}

void
room_erase(struct room *r, store_done_fn *done, void *ctx)
{
	struct store_write *w = store_write_new(r->jid.full);

	kv_clear(w, r->jid.full, STR_NONE);
	archive_clear(w, r->jid.full, STR_NONE);
	affs_unlist(r, w);
	subs_unlist(r, w);
	kv_del(w, mod_service(r->mod)->full, STORE_PUBLIC, r->jid.local);
	store_commit(&w, done, ctx);
	r->is_there = r->is_stored = false;
	room_clear(r);
	config_init(&r->config, room_options(r));
	log_info(mod_log(r->mod), "room " STR_FMT " destroyed",
	    STR_ARG(r->jid.full));
}

enum verdict
room_refuse(const struct room *r, struct stanza *st, enum qname condition,
    const char *type, const char *text)
{
	struct elem *error;

	if (!stanza_make_error(st, condition, text, EL_NONE)) {
		stanza_free(&st);
		return STANZA_DONE;
	}
	error = elem_child(st->root, EL_ERROR);
	/* A stanza sent back may have had one of its own. */
	while (elem_next(error, EL_ERROR) != NULL)
		error = elem_next(error, EL_ERROR);
	elem_set_copy(error, AT_BY, r->jid.full);
	/* By this clients know that it is about a room. */
	if (st->kind == STANZA_PRESENCE)
		elem_prepend(st->root, elem_new(st->arena, EL_MUC));
	if (type != NULL)
		elem_set(error, AT_TYPE, str_c(type));
	router_send(st);
	return STANZA_DONE;
}
