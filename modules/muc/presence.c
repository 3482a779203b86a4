/* SPDX-License-Identifier: MIT */
/*
 * Presence as a room tells it: who sees what of whom. The same presence goes
 * to all who may see real addresses, and without them to all others; only an
 * occupant's own differs.
 */
#include "modules/muc/muc.h"

#define PRESENCE_MAX 8192

void
add_status(struct elem *x, unsigned code)
{
	elem_set_uint(elem_add(x, EL_MUC_USER_STATUS), AT_CODE, code);
}

bool
may_see_jids(const struct room *r, const struct occupant *o)
{
	return r->config.whois == 1 || o->role == ROLE_MODERATOR;
}

static bool
is_shown(const struct occupant *o)
{
	return o->room->config.broadcast & 1u << o->role;
}

/* ---- what a client says ------------------------------------------------ */

/* Ours alone to say (section 17.4.2), or of no use to others. */
static bool
is_ours(const struct elem *e)
{
	switch (elem_ns(e)) {
	case NS_MUC:
	case NS_MUC_USER:
	case NS_OCCUPANT_ID:
	case NS_HATS:
	case NS_DELAY:
	case NS_SID:
	case NS_MAV:
		return true;
	default:
		return false;
	}
}

static void
copy_payload(struct elem *to, const struct elem *from, bool without_status)
{
	const struct elem *e = elem_child(from, EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY))
		if (!is_ours(e) &&
		    !(without_status && elem_name(e) == EL_STATUS))
			elem_add_copy(to, e);
}

static bool
hides_status(const struct occupant *o)
{
	return o->role == ROLE_VISITOR && !o->room->config.may_visitor_status;
}

bool
presence_keep(struct occupant *o, const struct elem *presence)
{
	struct arena *a = arena_new(0);
	struct elem *kept = elem_new(a, EL_PRESENCE);
	struct str text = STR_NONE;
	bool fits = true;

	copy_payload(kept, presence, hides_status(o));
	if (elem_first_node(kept) != NULL) {
		text = xml_text(a, kept);
		fits = text.n <= PRESENCE_MAX;
	}
	if (fits) {
		str_free(&o->presence);
		o->presence = text.n > 0 ? str_heap(text) : STR_NONE;
	}
	arena_free(&a);
	return fits;
}

static void
add_kept(struct elem *root, const struct occupant *o)
{
	struct arena *a = elem_arena(root);
	struct elem *kept;

	if (str_is_none(o->presence))
		return;
	kept = xml_parse(a, str_dup(a, o->presence), NULL, NS_CLIENT, NULL);
	for (struct elem *e = elem_child(kept, EL_ANY), *next; e != NULL;
	     e = next) {
		next = elem_next(e, EL_ANY);
		elem_append(root, e);
	}
}

/* ---- what the room says ------------------------------------------------ */

static void
add_item(struct elem *x, const struct note *n, bool with_jid)
{
	struct arena *a = elem_arena(x);
	struct elem *item = elem_add(x, EL_MUC_USER_ITEM);
	bool is_out = n->is_gone && str_is_none(n->new_nick);

	elem_set(item, AT_AFFILIATION, str_c(aff_names[n->o->aff]));
	elem_set(
	    item, AT_ROLE, str_c(role_names[is_out ? ROLE_NONE : n->o->role]));
	if (with_jid)
		elem_set_copy(item, AT_JID, n->o->jid);
	if (!str_is_none(n->new_nick))
		elem_set_copy(item, AT_NICK, n->new_nick);
	if (n->actor != NULL)
		elem_set_copy(
		    elem_add(item, EL_MUC_USER_ACTOR), AT_NICK, n->actor->nick);
	if (n->reason.n > 0)
		elem_add_text(item, EL_MUC_USER_REASON, str_dup(a, n->reason));
}

static struct stanza *
render(const struct note *n, bool with_jid, bool is_own)
{
	struct room *r = n->o->room;
	struct stanza *st = stanza_new(EL_PRESENCE);
	struct jid from = occupant_address(st->arena, n->o);
	struct elem *x, *id;

	stanza_set_from(st, &from);
	if (n->is_gone)
		stanza_set_type(st, PRESENCE_UNAVAILABLE);
	if (n->payload != NULL)
		copy_payload(st->root, n->payload, hides_status(n->o));
	else if (!n->is_gone)
		add_kept(st->root, n->o);
	x = elem_add(st->root, EL_MUC_USER);
	if (n->version > 0)
		mav_add(x, r, n->version);
	else if (n->tells_version)
		mav_add_now(x, r);
	add_item(x, n, with_jid);
	if (n->destroy != NULL)
		elem_add_copy(x, n->destroy);
	for (size_t i = 0; i < CODES_MAX && n->codes[i] != 0; i++)
		add_status(x, n->codes[i]);
	if (is_own) {
		add_status(x, 110);
		for (size_t i = 0; i < CODES_MAX && n->own_codes[i]; i++)
			add_status(x, n->own_codes[i]);
	}
	id = elem_add(st->root, EL_OCCUPANT_ID);
	elem_set(id, AT_ID, occupant_id(st->arena, r, occupant_bare(n->o)));
	if (!n->is_gone)
		hats_add(r, st->root, occupant_bare(n->o));
	return st;
}

void
note_tell_own(const struct note *n, const struct occupant *session)
{
	struct stanza *st = render(n, true, true);
	struct jid to = occupant_jid(session);

	stanza_set_to(st, &to);
	router_send(st);
}

static void
add_to(struct fanout **f, const struct note *n, const struct occupant *to,
    bool with_jid)
{
	struct jid jid = occupant_jid(to);

	if (*f == NULL)
		*f = fanout_new(render(n, with_jid, false));
	fanout_add(*f, &jid);
}

static void
tell_subscribers(const struct note *n)
{
	struct room *r = n->o->room;
	struct stanza *st;

	if (r->subs.count == 0)
		return;
	st = render(n, r->config.whois == 1, false);
	subs_tell(r, SUB_PRESENCE, st);
	stanza_free(&st);
}

void
note_tell_others(const struct note *n)
{
	struct room *r = n->o->room;
	struct fanout *open = NULL, *closed = NULL;
	struct occupant *o;

	if (!is_shown(n->o) && !n->was_shown)
		return;
	LIST_EACH(o, &r->occupants, struct occupant, node)
	{
		bool sees = may_see_jids(r, o);

		if (o == n->o || is_same_nick(o, n->o))
			continue;
		add_to(sees ? &open : &closed, n, o, sees);
	}
	if (open != NULL)
		fanout_send(&open);
	if (closed != NULL)
		fanout_send(&closed);
	tell_subscribers(n);
}

void
note_tell(const struct note *n)
{
	note_tell_others(n);
	for (struct occupant *s = n->o; s != NULL; s = ring_next(n->o, s))
		note_tell_own(n, s);
}

void
presence_show_all(struct occupant *to)
{
	struct room *r = to->room;
	bool sees = may_see_jids(r, to);
	struct jid jid = occupant_jid(to);
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	{
		struct note n = { .o = o };
		struct stanza *st;

		if (is_same_nick(o, to) || !is_shown(o) ||
		    occupant_by_nick(r, o->nick) != o)
			continue;
		st = render(&n, sees, false);
		stanza_set_to(st, &jid);
		router_send(st);
	}
}

/* ---- messages of the room ---------------------------------------------- */

void
room_spread(struct room *r, struct stanza *st, bool only_seers)
{
	struct fanout *f = fanout_new(st);
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	{
		struct jid to = occupant_jid(o);

		if (!only_seers || may_see_jids(r, o))
			fanout_add(f, &to);
	}
	fanout_send(&f);
}

void
room_tell_codes(struct room *r, const uint16_t *codes)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *x;

	stanza_set_type(st, MESSAGE_GROUPCHAT);
	stanza_set_from(st, &r->jid);
	x = elem_add(st->root, EL_MUC_USER);
	for (; *codes != 0; codes++)
		add_status(x, *codes);
	subs_tell(r, SUB_CONFIG, st);
	room_spread(r, st, false);
}

/* XEP-0486, XEP-0153: the room's own picture, in presence of the room. */
void
avatar_tell(struct room *r, const struct occupant *to)
{
	struct stanza *st;
	struct elem *x;

	if (to != NULL && str_is_none(r->config.avatar))
		return;
	st = stanza_new(EL_PRESENCE);
	stanza_set_from(st, &r->jid);
	x = elem_add(st->root, EL_VCARD_UPDATE);
	elem_add_text(
	    x, EL_VCARD_UPDATE_PHOTO, str_dup(st->arena, r->config.avatar));
	if (to == NULL) {
		room_spread(r, st, false);
	} else {
		struct jid jid = occupant_jid(to);

		stanza_set_to(st, &jid);
		router_send(st);
	}
}
