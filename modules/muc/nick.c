/* SPDX-License-Identifier: MIT */
/* Changes of nickname and of availability (sections 7.6, 7.7). */
#include "modules/muc/muc.h"

#define TELL_MS 1000

static bool
take(struct occupant *o)
{
	return rate_take(
	    &o->tokens, &o->filled, &room_options(o->room)->presence_rate);
}

/* ---- nickname ---------------------------------------------------------- */

static void
tell_rename(struct occupant *o, struct str nick)
{
	note_tell(&(struct note){
	    .o = o, .is_gone = true, .new_nick = nick, .codes = { 303 } });
}

/* He alone of several clients goes to another name, or back to it. */
static void
rename_one(struct occupant *o, struct stanza *st)
{
	struct str nick = st->to.resource;
	struct occupant *old = o->ring != o ? o->ring : NULL;
	struct note gone = {
		.o = o, .is_gone = true, .new_nick = nick, .codes = { 303 }
	};

	if (old == NULL)
		tell_rename(o, nick);
	else
		note_tell_own(&gone, o);
	o = occupant_rename(o, nick);
	presence_keep(o, st->root);
	note_tell(&(struct note){ .o = o });
	if (old != NULL)
		note_tell(&(struct note){
		    .o = occupant_by_nick(old->room, old->nick) });
}

void
change_nick(struct occupant *o, struct stanza *st)
{
	struct room *r = o->room;
	const char *text;
	enum qname why = nick_check(r, &st->from, st->to.resource, &text);

	if (o->role == ROLE_VISITOR && !r->config.may_visitor_nick) {
		room_refuse(r, st, EL_NOT_ACCEPTABLE, "cancel",
		    "Visitors may not change their nickname");
	} else if (why != EL_NONE) {
		room_refuse(r, st, why, "cancel", text);
	} else if (!take(o)) {
		room_refuse(r, st, EL_RESOURCE_CONSTRAINT, NULL,
		    "You change your nickname too often");
	} else {
		rename_one(o, st);
		stanza_free(&st);
	}
}

/* ---- availability ------------------------------------------------------ */

static void
tell_late(struct room *r)
{
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	{
		if (!o->is_late)
			continue;
		o->is_late = false;
		if (occupant_by_nick(r, o->nick) == o)
			note_tell(&(struct note){ .o = o });
	}
}

static void
on_tell(struct timer *t)
{
	struct muc *muc = CONTAINER_OF(t, struct muc, tell);
	struct room *r;

	while ((r = LIST_FIRST(&muc->late, struct room, late_node)) != NULL) {
		list_del(&r->late_node);
		tell_late(r);
	}
}

/* Too often: the last of what he says in a second is told at its end. */
static void
put_off(struct occupant *o)
{
	struct muc *muc = mod_state(o->room->mod);

	o->is_late = true;
	if (!list_is_linked(&o->room->late_node))
		list_add(&muc->late, &o->room->late_node);
	if (!timer_is_running(&muc->tell))
		timer_start(&muc->tell, TELL_MS, on_tell);
}

void
change_presence(struct occupant *o, struct stanza *st)
{
	if (!presence_keep(o, st->root)) {
		room_refuse(o->room, st, EL_POLICY_VIOLATION, NULL,
		    "The presence is too big");
		return;
	}
	occupant_heard(o);
	if (o->is_late || !take(o))
		put_off(o);
	else
		note_tell(&(struct note){ .o = o });
	stanza_free(&st);
}
