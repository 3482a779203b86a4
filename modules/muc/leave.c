/* SPDX-License-Identifier: MIT */
/* Leaving a room, by one's own will or by another's (sections 7.14, 8.2...). */
#include "modules/muc/muc.h"

/* The nick stays, with what its other client last said. */
static void
leave_ring(struct occupant *o, const struct note *n)
{
	struct occupant *other = o->ring;
	bool was_head = occupant_by_nick(o->room, o->nick) == o;

	note_tell_own(n, o);
	occupant_free(o);
	other = occupant_by_nick(other->room, other->nick);
	if (was_head && other != NULL)
		note_tell(&(struct note){ .o = other });
}

static void
go(struct occupant *o, struct note *n)
{
	n->o = o;
	n->is_gone = true;
	indicators_left(o->room, o);
	if (o->ring != o) {
		leave_ring(o, n);
		return;
	}
	note_tell_own(n, o);
	note_tell_others(n);
	occupant_free(o);
}

void
leave_room(struct occupant *o, struct stanza *st)
{
	go(o, &(struct note){ .payload = st->root });
}

void
remove_client(struct occupant *o)
{
	go(o, &(struct note){ .codes = { 333 } });
}

static void
remove_ring(struct occupant *o, const uint16_t *codes,
    const struct occupant *actor, struct str reason, uint64_t version)
{
	struct note n = { .o = o,
		.is_gone = true,
		.actor = actor,
		.reason = reason,
		.version = version };
	struct occupant *next;

	indicators_left(o->room, o);
	for (size_t i = 0; i < CODES_MAX && codes[i] != 0; i++)
		n.codes[i] = codes[i];
	note_tell(&n);
	while ((next = ring_next(o, o)) != NULL)
		occupant_free(next);
	occupant_free(o);
}

void
remove_nick(struct occupant *o, const uint16_t *codes,
    const struct occupant *actor, struct str reason)
{
	remove_ring(o, codes, actor, reason, 0);
}

void
remove_changed(
    struct occupant *o, const uint16_t *codes, const struct change *c)
{
	remove_ring(o, codes, c->actor, c->reason, o->room->version);
}

/* Section 7.2.15: he thinks that he is in the room. */
void
not_in_room(struct room *r, struct stanza *st)
{
	struct stanza *answer = stanza_new(EL_PRESENCE);
	struct elem *x, *item;

	stanza_set_type(answer, PRESENCE_UNAVAILABLE);
	stanza_set_from(answer, &st->to);
	stanza_set_to(answer, &st->from);
	x = elem_add(answer->root, EL_MUC_USER);
	item = elem_add(x, EL_MUC_USER_ITEM);
	elem_set(item, AT_AFFILIATION, STR("none"));
	elem_set(item, AT_ROLE, STR("none"));
	elem_add_text(
	    item, EL_MUC_USER_REASON, STR("You are not in the room."));
	add_status(x, 110);
	add_status(x, 307);
	add_status(x, 333);
	router_send(answer);
	stanza_free(&st);
}

/* Each is told only of himself (section 10.9). */
static void
evict(struct room *r, const struct elem *destroy, unsigned code)
{
	struct occupant *o;

	while ((o = LIST_FIRST(&r->occupants, struct occupant, node)) != NULL) {
		struct note n = { .o = o,
			.is_gone = true,
			.destroy = destroy,
			.codes = { (uint16_t)code } };

		if (destroy != NULL)
			o->aff = AFF_NONE;
		note_tell_own(&n, o);
		occupant_free(o);
	}
}

void
room_evict(struct room *r, const struct elem *destroy)
{
	evict(r, destroy, 0);
}

void
room_shut(struct room *r)
{
	evict(r, NULL, 332);
}
