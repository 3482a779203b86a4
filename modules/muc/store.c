/* SPDX-License-Identifier: MIT */
/* What of a room is kept in the store, and how it comes back. */
#include "modules/muc/sub.h"

#define PAGE 1000

/* ---- loading ----------------------------------------------------------- */

static struct elem *
parse(struct arena *a, struct str text)
{
	return xml_parse(a, str_dup(a, text), NULL, NS_CLIENT, NULL);
}

static void
load_aff(struct room *r, const struct kv_item *item)
{
	struct arena *a = arena_new(0);
	struct elem *e = parse(a, item->value);
	struct affiliation *row;
	enum aff aff;

	if (e != NULL && aff_parse(elem_attr(e, AT_AFFILIATION), &aff)) {
		row = aff_set(r, item->key, aff, elem_attr(e, AT_NICK),
		    elem_child_text(e, EL_MUC_ADMIN_REASON));
		if (row != NULL &&
		    clock_parse(elem_attr(e, AT_STAMP), &row->left) < 0)
			row->left = 0;
	}
	arena_free(&a);
}

static void
on_subs(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct room *r = ctx;
	struct arena *a = arena_new(0);

	for (size_t i = 0; err == 0 && i < count; i++)
		sub_load(r, parse(a, items[i].value));
	arena_free(&a);
	if (err == 0 && count == PAGE)
		kv_list(r->jid.full, STORE_SUBS, items[count - 1].key, false,
		    PAGE, on_subs, r);
	else
		room_loaded(r, err);
}

static void
on_affs(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct room *r = ctx;

	if (err == 0)
		for (size_t i = 0; i < count; i++)
			load_aff(r, &items[i]);
	if (err == 0 && count == PAGE)
		kv_list(r->jid.full, STORE_AFFS, items[count - 1].key, false,
		    PAGE, on_affs, r);
	else if (err == 0 && r->config.may_subscribe)
		kv_list(
		    r->jid.full, STORE_SUBS, STR_NONE, false, PAGE, on_subs, r);
	else
		room_loaded(r, err);
}

static void
load_subject(struct room *r, const struct elem *message)
{
	const struct elem *delay = elem_child(message, EL_DELAY);

	if (clock_parse(elem_attr(delay, AT_STAMP), &r->subject_time) < 0)
		r->subject_time = clock_real();
}

static void
load_value(struct room *r, const struct kv_item *item)
{
	struct arena *a = arena_new(0);
	struct elem *e = parse(a, item->value);

	if (e == NULL) {
		log_error(mod_log(r->mod), "room " STR_FMT ": bad " STR_FMT,
		    STR_ARG(r->jid.full), STR_ARG(item->key));
	} else if (str_eq(item->key, KEY_CONFIG)) {
		config_load(&r->config, e);
		r->config.is_persistent = true;
		r->is_there = r->is_stored = true;
	} else if (str_eq(item->key, KEY_SUBJECT)) {
		str_free(&r->subject);
		r->subject = str_heap(item->value);
		load_subject(r, e);
	} else if (str_eq(item->key, KEY_CHANGES)) {
		mav_load(r, e);
	} else if (str_eq(item->key, KEY_HATS)) {
		hats_load(r, e);
	}
	arena_free(&a);
}

static void
on_values(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct room *r = ctx;

	for (size_t i = 0; err == 0 && i < count; i++)
		load_value(r, &items[i]);
	if (err == 0 && r->is_there)
		kv_list(
		    r->jid.full, STORE_AFFS, STR_NONE, false, PAGE, on_affs, r);
	else
		room_loaded(r, err);
}

void
room_load(struct room *r)
{
	r->is_loading = true;
	kv_list(r->jid.full, STORE_ROOM, STR_NONE, false, 10, on_values, r);
}

/* ---- saving ------------------------------------------------------------ */

struct store_write *
room_write(struct room *r)
{
	return r->config.is_persistent ? store_write_new(r->jid.full) : NULL;
}

/* Who looks for rooms finds those that are listed here, without loading. */
static void
save_listing(struct room *r, struct store_write *w, bool is_listed)
{
	struct str service = mod_service(r->mod)->full;

	if (is_listed)
		kv_put(w, service, STORE_PUBLIC, r->jid.local,
		    r->config.name.n > 0 ? r->config.name : r->jid.local);
	else
		kv_del(w, service, STORE_PUBLIC, r->jid.local);
}

void
save_config(struct room *r, struct store_write *w)
{
	struct arena *a;

	if (w == NULL)
		return;
	a = store_write_arena(w);
	kv_put(w, r->jid.full, STORE_ROOM, KEY_CONFIG,
	    xml_text(a, config_dump(a, &r->config)));
	save_listing(r, w, r->config.is_public);
	r->is_stored = true;
}

void
save_subject(struct room *r, struct store_write *w)
{
	if (w == NULL)
		return;
	if (str_is_none(r->subject))
		kv_del(w, r->jid.full, STORE_ROOM, KEY_SUBJECT);
	else
		kv_put(w, r->jid.full, STORE_ROOM, KEY_SUBJECT, r->subject);
}

void
save_hats(struct room *r, struct store_write *w)
{
	struct arena *a;

	if (w == NULL)
		return;
	a = store_write_arena(w);
	if (list_is_empty(&r->hats))
		kv_del(w, r->jid.full, STORE_ROOM, KEY_HATS);
	else
		kv_put(w, r->jid.full, STORE_ROOM, KEY_HATS,
		    xml_text(a, hats_dump(a, r)));
}

struct str
index_key(struct arena *a, struct str bare, struct str local)
{
	return str_printf(
	    a, STR_FMT " " STR_FMT, STR_ARG(bare), STR_ARG(local));
}

void
save_aff(struct room *r, struct store_write *w, const struct affiliation *a)
{
	struct str listed = str_c(aff_names[a->aff]);
	struct arena *arena;
	struct elem *e;

	if (w == NULL)
		return;
	arena = store_write_arena(w);
	e = elem_new(arena, EL_MUC_ADMIN_ITEM);
	elem_set(e, AT_AFFILIATION, str_c(aff_names[a->aff]));
	if (a->nick.n > 0)
		elem_set(e, AT_NICK, a->nick);
	if (a->reason.n > 0)
		elem_add_text(e, EL_MUC_ADMIN_REASON, a->reason);
	if (a->left > 0) {
		struct str stamp = clock_format(arena, a->left, true);

		elem_set(e, AT_STAMP, stamp);
		listed = str_printf(arena, STR_FMT " " STR_FMT, STR_ARG(listed),
		    STR_ARG(stamp));
	}
	kv_put(w, r->jid.full, STORE_AFFS, a->jid, xml_text(arena, e));
	kv_put(w, mod_service(r->mod)->full, STORE_AFF_ROOMS,
	    index_key(arena, a->jid, r->jid.local), listed);
}

void
save_no_aff(struct room *r, struct store_write *w, struct str bare)
{
	if (w == NULL)
		return;
	kv_del(w, r->jid.full, STORE_AFFS, bare);
	kv_del(w, mod_service(r->mod)->full, STORE_AFF_ROOMS,
	    index_key(store_write_arena(w), bare, r->jid.local));
}

void
affs_unlist(struct room *r, struct store_write *w)
{
	const struct affiliation *a;

	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		kv_del(w, mod_service(r->mod)->full, STORE_AFF_ROOMS,
		    index_key(store_write_arena(w), a->jid, r->jid.local));
}

void
save_changes(struct room *r, struct store_write *w)
{
	struct arena *a;

	if (w == NULL)
		return;
	a = store_write_arena(w);
	kv_put(w, r->jid.full, STORE_ROOM, KEY_CHANGES,
	    xml_text(a, mav_dump(a, r)));
}

void
save_all(struct room *r, struct store_write *w)
{
	struct affiliation *a;

	save_config(r, w);
	save_subject(r, w);
	save_hats(r, w);
	save_changes(r, w);
	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		save_aff(r, w, a);
}

void
save_nothing(struct room *r, struct store_write *w)
{
	kv_clear(w, r->jid.full, STORE_ROOM);
	kv_clear(w, r->jid.full, STORE_AFFS);
	kv_clear(w, r->jid.full, STORE_SUBS);
	affs_unlist(r, w);
	subs_unlist(r, w);
	subs_clear(r);
	save_listing(r, w, false);
	r->is_stored = false;
}

/* ---- and then the answer ----------------------------------------------- */

struct commit {
	struct room *room;
	struct stanza *iq;
};

static void
on_committed(void *ctx, int err)
{
	struct commit *c = ctx;
	struct room *r = c->room;

	if (err < 0)
		room_refuse(r, c->iq, EL_INTERNAL_SERVER_ERROR, NULL, NULL);
	else
		stanza_reply(c->iq);
	room_release(r);
}

void
room_commit(struct room *r, struct store_write *w, struct stanza *iq)
{
	struct commit *c;

	if (w == NULL) {
		stanza_reply(iq);
		return;
	}
	c = arena_new_of(iq->arena, struct commit);
	c->room = r;
	c->iq = iq;
	room_hold(r);
	store_commit(&w, on_committed, c);
}
