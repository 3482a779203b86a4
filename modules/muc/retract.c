/* SPDX-License-Identifier: MIT */
/*
 * Retraction (XEP-0424) and moderation (XEP-0425): what was taken back is
 * replaced in the archive by a tombstone.
 */
#include "modules/muc/muc.h"

struct removal {
	struct room *room;
	struct stanza *iq;     /* of a moderator, or NULL */
	struct str id;	       /* of what is removed */
	struct str author;     /* occupant id that it must be of, or none */
	struct str retraction; /* id of the retracting message */
	struct str moderator;  /* occupant id */
	struct str by, reason;
	struct arena *arena; /* this lives in it */
};

/* Queries of the archive that waited for it to be changed. */
static void
read_on(struct room *r)
{
	struct stanza *iq;

	if (r->readers.next == NULL)
		return;
	while ((iq = LIST_FIRST(&r->readers, struct stanza, node)) != NULL) {
		list_del(&iq->node);
		on_mam(r, iq);
		room_release(r);
	}
}

static void
removal_end(struct removal *x)
{
	struct room *r = x->room;
	struct arena *a = x->arena;

	arena_free(&a);
	if (--r->removals == 0)
		read_on(r);
	room_release(r);
}

static struct removal *
removal_new(struct room *r)
{
	struct arena *a = arena_new(0);
	struct removal *x = arena_new_of(a, struct removal);

	x->arena = a;
	x->room = r;
	r->removals++;
	room_hold(r);
	return x;
}

/* ---- the tombstone ----------------------------------------------------- */

static void
add_moderated(struct elem *parent, const struct removal *x)
{
	struct elem *e = elem_add(parent, EL_MODERATED), *id;

	if (!str_is_none(x->by))
		elem_set_copy(e, AT_BY, x->by);
	if (!str_is_none(x->moderator)) {
		id = elem_add(e, EL_OCCUPANT_ID);
		elem_set_copy(id, AT_ID, x->moderator);
	}
	if (x->reason.n > 0)
		elem_add_text(parent, EL_RETRACT_REASON,
		    str_dup(elem_arena(parent), x->reason));
}

/* Of the message nothing stays but who, when, and that it was. */
static struct str
tombstone(const struct removal *x, struct elem *message)
{
	struct arena *a = x->arena;
	struct elem *e = elem_first_node(message), *next, *retracted;

	for (; e != NULL; e = next) {
		next = elem_next_node(e);
		if (elem_name(e) != EL_OCCUPANT_ID &&
		    elem_name(e) != EL_MUC_USER)
			elem_remove(e);
	}
	retracted = elem_add(message, EL_RETRACTED);
	elem_set(retracted, AT_STAMP, clock_format(a, clock_real(), false));
	if (!str_is_none(x->retraction))
		elem_set(retracted, AT_ID, x->retraction);
	if (x->iq != NULL)
		add_moderated(retracted, x);
	return xml_text(a, message);
}

static void
on_replaced(void *ctx, int err)
{
	struct removal *x = ctx;

	if (x->iq != NULL && err < 0)
		room_refuse(
		    x->room, x->iq, EL_INTERNAL_SERVER_ERROR, NULL, NULL);
	else if (x->iq != NULL)
		stanza_reply(x->iq);
	else if (err < 0)
		log_error(mod_log(x->room->mod),
		    "room " STR_FMT ": a retracted message stays: %s",
		    STR_ARG(x->room->jid.full), err_text(err));
	removal_end(x);
}

static void
replace(struct removal *x, struct elem *message)
{
	struct str owner = x->room->jid.full;
	struct store_write *w = store_write_new(owner);

	archive_replace(w, owner, x->id, tombstone(x, message));
	store_commit(&w, on_replaced, x);
}

/* ---- by the author ----------------------------------------------------- */

static bool
is_by(const struct elem *message, struct str author)
{
	return str_eq(
	    elem_attr(elem_child(message, EL_OCCUPANT_ID), AT_ID), author);
}

static struct elem *
message_of(struct removal *x, int err, const struct archive_page *page)
{
	if (err < 0 || page->count != 1)
		return NULL;
	return xml_parse(x->arena, str_dup(x->arena, page->items[0].xml), NULL,
	    NS_CLIENT, NULL);
}

static void
on_own(void *ctx, int err, const struct archive_page *page)
{
	struct removal *x = ctx;
	struct elem *message = message_of(x, err, page);

	if (message != NULL && is_by(message, x->author) &&
	    elem_child(message, EL_RETRACTED) == NULL)
		replace(x, message);
	else
		removal_end(x);
}

static void
find(struct removal *x, archive_page_fn *found)
{
	struct archive_filter filter = {
		.ids = &x->id, .id_count = 1, .limit = 1
	};

	archive_find(x->room->jid.full, &filter, found, x);
}

/* What is kept in memory only. */
static void
drop_past(struct room *r, struct str id, struct str author)
{
	struct past *p;

	LIST_EACH(p, &r->past, struct past, node)
	{
		struct arena *a;
		struct elem *e;
		bool is_his;

		if (!str_eq(p->id, id))
			continue;
		a = arena_new(0);
		e = xml_parse(a, str_dup(a, p->xml), NULL, NS_CLIENT, NULL);
		is_his = str_is_none(author) || is_by(e, author);
		arena_free(&a);
		if (is_his)
			past_drop(r, id);
		return;
	}
}

void
on_retraction(
    struct room *r, const struct occupant *from, const struct elem *message)
{
	struct str id = elem_attr(elem_child(message, EL_RETRACT), AT_ID);
	struct removal *x;

	if (id.n == 0 || id.n > 128)
		return;
	x = removal_new(r);
	x->id = str_dup(x->arena, id);
	x->author = occupant_id(x->arena, r, occupant_bare(from));
	x->retraction = str_dup(x->arena, elem_attr(message, AT_ID));
	drop_past(r, id, x->author);
	if (r->config.is_archived)
		find(x, on_own);
	else
		removal_end(x);
}

/* ---- by a moderator ---------------------------------------------------- */

static void
tell_moderated(const struct removal *x)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	char *id = arena_bytes(st->arena, UUID_LEN + 1);
	struct elem *retract;

	uuid7(id);
	stanza_set_type(st, MESSAGE_GROUPCHAT);
	elem_set(st->root, AT_ID, str_mem(id, UUID_LEN));
	retract = elem_add(st->root, EL_RETRACT);
	elem_set_copy(retract, AT_ID, x->id);
	add_moderated(retract, x);
	message_spread(x->room, NULL, st);
}

static void
on_other(void *ctx, int err, const struct archive_page *page)
{
	struct removal *x = ctx;
	struct elem *message = message_of(x, err, page);

	if (message != NULL && elem_child(message, EL_RETRACTED) == NULL) {
		tell_moderated(x);
		replace(x, message);
		return;
	}
	room_refuse(x->room, x->iq,
	    err < 0 && err != ERR_ABSENT ? EL_INTERNAL_SERVER_ERROR
					 : EL_ITEM_NOT_FOUND,
	    NULL, "There is no such message");
	removal_end(x);
}

static void
moderate(struct room *r, const struct occupant *o, struct stanza *iq)
{
	struct elem *e = stanza_payload(iq);
	struct removal *x = removal_new(r);
	struct jid by = occupant_address(x->arena, o);

	x->iq = iq;
	x->id = str_dup(x->arena, elem_attr(e, AT_ID));
	x->by = by.full;
	x->moderator = occupant_id(x->arena, r, occupant_bare(o));
	x->reason = str_dup(x->arena, elem_child_text(e, EL_MODERATE_REASON));
	if (r->config.is_archived) {
		find(x, on_other);
		return;
	}
	drop_past(r, x->id, STR_NONE);
	tell_moderated(x);
	stanza_reply(iq);
	removal_end(x);
}

enum verdict
on_moderate(struct room *r, struct stanza *iq)
{
	const struct occupant *o = occupant_by_jid(r, iq->from.full);
	const struct elem *e = stanza_payload(iq);
	struct str id = elem_attr(e, AT_ID);

	if (o == NULL || o->role != ROLE_MODERATOR)
		return room_refuse(r, iq, EL_FORBIDDEN, NULL,
		    "Only moderators may remove messages of others");
	if (iq->type != IQ_SET || id.n == 0 || id.n > 128 ||
	    elem_child_text(e, EL_MODERATE_REASON).n > REASON_MAX)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	if (elem_child(e, EL_RETRACT) == NULL)
		return room_refuse(r, iq, EL_FEATURE_NOT_IMPLEMENTED, NULL,
		    "Messages can only be retracted");
	moderate(r, o, iq);
	return STANZA_DONE;
}
