/* SPDX-License-Identifier: MIT */
/* Messages to all occupants and to one of them (sections 7.4, 7.5, 8.1). */
#include "modules/muc/sub.h"

#define SUBJECT_MAX 4096

/* ---- what is kept ------------------------------------------------------ */

/* What says nothing by itself, or nothing that lasts. */
static bool
is_idle_talk(const struct elem *e)
{
	switch (elem_ns(e)) {
	case NS_CHATSTATES:
	case NS_HINTS:
	case NS_DELAY:
	case NS_SID:
	case NS_OCCUPANT_ID:
	case NS_MUC_USER:
		return true;
	default:
		return elem_name(e) == EL_THREAD;
	}
}

bool
message_is_kept(const struct elem *message)
{
	const struct elem *e = elem_child(message, EL_ANY);

	if (elem_child(message, EL_HINT_NO_STORE) != NULL ||
	    elem_child(message, EL_HINT_NO_PERMANENT_STORE) != NULL)
		return false;
	if (elem_child(message, EL_HINT_STORE) != NULL)
		return true;
	while (e != NULL && is_idle_talk(e))
		e = elem_next(e, EL_ANY);
	return e != NULL;
}

struct keeping {
	struct room *room;
	struct receipt *receipt;
};

static void
on_kept(void *ctx, int err)
{
	struct keeping *k = ctx;

	if (err < 0) {
		log_error(mod_log(k->room->mod),
		    "room " STR_FMT ": a message is lost: %s",
		    STR_ARG(k->room->jid.full), err_text(err));
		receipt_fail(&k->receipt);
	} else {
		receipt_done(&k->receipt);
	}
	room_release(k->room);
	xfree(k);
}

static void
archive(struct room *r, struct stanza *st, struct str id, struct str xml)
{
	struct archive_item item = {
		.id = id, .with = st->from.full, .xml = xml
	};
	struct store_write *w = store_write_new(r->jid.full);
	struct keeping *k = xzalloc(sizeof(*k));

	item.body = elem_child_text(st->root, EL_BODY);
	item.origin_id = elem_attr(elem_child(st->root, EL_ORIGIN_ID), AT_ID);
	if (item.origin_id.n == 0)
		item.origin_id = stanza_id(st);
	archive_append(w, r->jid.full, &item);
	k->room = r;
	k->receipt = receipt_ref(st->receipt);
	room_hold(r);
	store_commit(&w, on_kept, k);
}

static void
remember(struct room *r, struct str id, struct str xml)
{
	struct past *p;

	if (r->config.history == 0)
		return;
	p = past_new(id, xml);
	list_add(&r->past, &p->node);
	if (r->past_count < r->config.history)
		r->past_count++;
	else
		past_free(LIST_FIRST(&r->past, struct past, node));
}

/* Who said it, for those who may know and read it later (XEP-0313, 7.1). */
static void
add_author(struct elem *message, const struct occupant *o)
{
	struct elem *item =
	    elem_add(elem_add(message, EL_MUC_USER), EL_MUC_USER_ITEM);

	elem_set(item, AT_AFFILIATION, str_c(aff_names[o->aff]));
	elem_set(item, AT_ROLE, str_c(role_names[o->role]));
	elem_set_copy(item, AT_JID, o->jid);
}

/* From now on the archive has addresses that may have to be hidden. */
static void
note_open(struct room *r)
{
	struct store_write *w;

	if (r->config.was_open)
		return;
	r->config.was_open = true;
	w = room_write(r);
	save_config(r, w);
	if (w != NULL)
		store_commit(&w, NULL, NULL);
}

/* Answers its id in the room. */
static struct str
keep(struct room *r, const struct occupant *o, struct stanza *st)
{
	char *id = arena_bytes(st->arena, UUID_LEN + 1);
	struct str key, xml;
	struct jid none = { 0 };

	uuid7(id);
	key = str_mem(id, UUID_LEN);
	stanza_set_to(st, &none);
	if (r->config.whois == 1 && o != NULL) {
		note_open(r);
		add_author(st->root, o);
	}
	xml = xml_text(st->arena, st->root);
	if (r->config.is_archived)
		archive(r, st, key, xml);
	else
		remember(r, key, xml);
	joins_note(r, key, xml);
	if (r->config.whois == 1 && o != NULL)
		elem_remove(elem_child(st->root, EL_MUC_USER));
	return key;
}

/* ---- how much is said -------------------------------------------------- */

struct tally {
	uint32_t hour;	     /* since 1970 */
	uint32_t counts[25]; /* of messages in that hour, and before */
};

static void
count_said(struct room *r)
{
	uint32_t hour = (uint32_t)(clock_real() / (int64_t)HOURS(1));
	struct tally *s = r->said;

	/* What is said in the millisecond in which somebody left is later. */
	r->active = r->spoken = MAX(clock_real(), r->left + 1);
	if (s == NULL)
		r->said = s = xzalloc(sizeof(*s));
	if (hour - s->hour >= ARRAY_LEN(s->counts))
		memset(s->counts, 0, sizeof(s->counts));
	else
		for (; s->hour != hour; s->hour++) {
			memmove(s->counts + 1, s->counts,
			    sizeof(s->counts) - sizeof(s->counts[0]));
			s->counts[0] = 0;
		}
	s->hour = hour;
	s->counts[0]++;
}

double
room_activity(const struct room *r)
{
	uint32_t hour = (uint32_t)(clock_real() / (int64_t)HOURS(1));
	uint32_t sum = 0, age;

	if (r->said == NULL)
		return 0;
	age = hour - r->said->hour;
	for (uint32_t i = 0; i + age < ARRAY_LEN(r->said->counts); i++)
		if (i + age > 0)
			sum += r->said->counts[i];
	return sum / 24.0;
}

/* ---- to all ------------------------------------------------------------ */

/* What only we may say. */
static void
strip_forged(struct room *r, struct elem *message)
{
	struct elem *e = elem_child(message, EL_ANY), *next;

	for (; e != NULL; e = next) {
		next = elem_next(e, EL_ANY);
		if (elem_ns(e) == NS_OCCUPANT_ID || elem_ns(e) == NS_MUC_USER ||
		    elem_ns(e) == NS_HATS || elem_name(e) == EL_RETRACTED ||
		    (elem_name(e) == EL_STANZA_ID &&
			str_eq(elem_attr(e, AT_BY), r->jid.full)) ||
		    (elem_name(e) == EL_RETRACT &&
			elem_child_in(e, NS_MODERATE) != NULL))
			elem_remove(e);
	}
}

static bool
is_subject(const struct elem *message)
{
	return elem_child(message, EL_SUBJECT) != NULL &&
	       elem_child(message, EL_BODY) == NULL &&
	       elem_child(message, EL_THREAD) == NULL;
}

void
message_spread(struct room *r, struct occupant *o, struct stanza *st)
{
	struct jid from = r->jid;
	struct elem *e;
	struct str id;

	if (o != NULL) {
		from = occupant_address(st->arena, o);
		e = elem_add(st->root, EL_OCCUPANT_ID);
		elem_set(e, AT_ID, occupant_id(st->arena, r, occupant_bare(o)));
	}
	stanza_set_from(st, &from);
	if (message_is_kept(st->root)) {
		id = keep(r, o, st);
		e = elem_add(st->root, EL_STANZA_ID);
		elem_set(e, AT_BY, r->jid.full);
		elem_set(e, AT_ID, id);
		if (elem_child(st->root, EL_BODY) != NULL)
			count_said(r);
		indicators_tell(r);
		members_tell(r, st);
	}
	subs_tell(r, is_subject(st->root) ? SUB_SUBJECT : SUB_MESSAGES, st);
	/* It is kept, or not: delivery makes no difference. */
	receipt_done(&st->receipt);
	room_spread(r, st, false);
}

/* ---- the subject ------------------------------------------------------- */

static bool
may_set_subject(const struct occupant *o)
{
	return o->role == ROLE_MODERATOR ||
	       (o->role == ROLE_PARTICIPANT &&
		   o->room->config.may_change_subject);
}

/* As it is shown to those who come later. */
static struct str
render_subject(struct room *r, const struct occupant *o, struct stanza *st)
{
	struct stanza *kept = stanza_new(EL_MESSAGE);
	struct jid from = occupant_address(kept->arena, o);
	const struct elem *e = elem_child(st->root, EL_SUBJECT);
	struct str text;

	stanza_set_type(kept, MESSAGE_GROUPCHAT);
	stanza_set_from(kept, &from);
	elem_set_copy(kept->root, AT_ID, stanza_id(st));
	for (; e != NULL; e = elem_next(e, EL_SUBJECT))
		elem_add_copy(kept->root, e);
	stanza_delay(kept, r->jid.full, r->subject_time);
	text = str_heap(xml_text(kept->arena, kept->root));
	stanza_free(&kept);
	return text;
}

static void
on_receipt(void *ctx, int err)
{
	struct receipt *receipt = ctx;

	if (err < 0)
		receipt_fail(&receipt);
	else
		receipt_done(&receipt);
}

static void
set_subject(struct room *r, struct occupant *o, struct stanza *st)
{
	struct store_write *w;

	if (!may_set_subject(o)) {
		room_refuse(r, st, EL_FORBIDDEN, NULL,
		    "You may not change the subject");
		return;
	}
	if (elem_child_text(st->root, EL_SUBJECT).n > SUBJECT_MAX) {
		room_refuse(r, st, EL_POLICY_VIOLATION, NULL,
		    "The subject is too long");
		return;
	}
	r->subject_time = clock_real();
	str_free(&r->subject);
	r->subject = render_subject(r, o, st);
	w = room_write(r);
	save_subject(r, w);
	if (w != NULL)
		store_commit(&w, on_receipt, receipt_ref(st->receipt));
	message_spread(r, o, st);
}

/* ---- may he speak? ----------------------------------------------------- */

static bool
may_send(struct room *r, struct occupant *o)
{
	return rate_take(&o->words, &o->worded, &room_options(r)->message_rate);
}

/* A subscriber may speak without being there. */
static void
speak_from_outside(struct room *r, struct sub *s, struct stanza *st)
{
	struct str bare = str_dup(st->arena, s->jid);
	enum aff aff = aff_of(r, &st->from);
	struct occupant o = { .room = r,
		.jid = str_dup(st->arena, st->from.full),
		.nick = str_dup(st->arena, s->nick),
		.bare_len = (uint32_t)bare.n,
		.aff = (uint8_t)aff,
		.role = (uint8_t)role_by_default(r, aff) };

	o.ring = &o;
	if (o.role < ROLE_PARTICIPANT || is_subject(st->root)) {
		room_refuse(r, st, EL_FORBIDDEN, NULL,
		    "From outside only those with voice may speak");
	} else if (!rate_take(
		       &s->words, &s->worded, &room_options(r)->message_rate)) {
		room_refuse(r, st, EL_RESOURCE_CONSTRAINT, NULL,
		    "You are sending too much");
	} else {
		strip_forged(r, st->root);
		on_retraction(r, &o, st->root);
		message_spread(r, &o, st);
	}
}

/* Any of the account's clients that is in the room, or NULL. */
static struct occupant *
occupant_of_account(const struct room *r, struct str bare)
{
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	if (str_eq(occupant_bare(o), bare))
		return o;
	return NULL;
}

/* What he would be called, if he came; none if that is another's name. */
static struct str
nick_of_account(struct room *r, const struct jid *jid)
{
	const struct affiliation *a = aff_find(r, jid->bare);
	struct str nick = a != NULL ? a->nick : STR_NONE;

	if (nick.n == 0)
		nick = nick_registered(r->mod, jid->bare);
	if (nick.n == 0)
		nick = jid->local;
	if (nick_check(r, jid, nick, &(const char *){ NULL }) != EL_NONE ||
	    occupant_by_nick(r, nick) != NULL)
		return STR_NONE;
	return nick;
}

/*
 * From an application, for an account that need not be there. Who might enter
 * and speak may speak (section 7.4 leaves that to the service).
 */
static void
say_by_app(struct room *r, struct stanza *st)
{
	struct occupant *o = occupant_of_account(r, st->from.bare);
	struct jid jid = jid_to_bare(&st->from);
	struct occupant absent = { .room = r, .jid = jid.bare };

	absent.ring = &absent;
	if (o == NULL) {
		absent.bare_len = (uint32_t)jid.bare.n;
		absent.aff = (uint8_t)right_of(r, &jid);
		absent.role = (uint8_t)role_by_default(r, (enum aff)absent.aff);
		absent.nick = nick_of_account(r, &jid);
		o = &absent;
	}
	if (o->role < ROLE_PARTICIPANT ||
	    (o->aff < AFF_MEMBER && o == &absent &&
		(r->config.is_members_only || r->config.has_password))) {
		room_refuse(
		    r, st, EL_FORBIDDEN, NULL, "You may not speak here");
	} else if (o->nick.n == 0) {
		room_refuse(r, st, EL_CONFLICT, NULL,
		    "Your nickname is somebody else's here");
	} else {
		strip_forged(r, st->root);
		message_spread(r, o, st);
	}
}

static void
groupchat(struct room *r, struct stanza *st)
{
	struct occupant *o = occupant_by_jid(r, st->from.full);

	if (o == NULL && st->is_by_app) {
		say_by_app(r, st);
	} else if (o == NULL && sub_find(r, st->from.bare) != NULL) {
		speak_from_outside(r, sub_find(r, st->from.bare), st);
	} else if (o == NULL) {
		room_refuse(r, st, EL_NOT_ACCEPTABLE, "cancel",
		    "Only occupants may send messages to the room");
	} else if (o->role < ROLE_PARTICIPANT && !is_subject(st->root)) {
		room_refuse(
		    r, st, EL_FORBIDDEN, NULL, "Visitors may not speak here");
	} else if (!may_send(r, o)) {
		room_refuse(r, st, EL_RESOURCE_CONSTRAINT, NULL,
		    "You are sending too much");
	} else {
		strip_forged(r, st->root);
		if (is_subject(st->root)) {
			set_subject(r, o, st);
			return;
		}
		on_retraction(r, o, st->root);
		message_spread(r, o, st);
	}
}

void
message_to_room(struct room *r, struct stanza *st)
{
	if (!r->is_there)
		room_refuse(
		    r, st, EL_ITEM_NOT_FOUND, NULL, "There is no such room");
	else if (st->type == MESSAGE_GROUPCHAT)
		groupchat(r, st);
	else if (!take_invite(r, st) && !take_request(r, st) &&
		 !take_approval(r, st))
		room_refuse(r, st,
		    occupant_by_jid(r, st->from.full) != NULL
			? EL_BAD_REQUEST
			: EL_NOT_ACCEPTABLE,
		    NULL, "Messages to a room are of type 'groupchat'");
}

/* ---- to one ------------------------------------------------------------ */

static bool
may_whisper(const struct occupant *o, const struct occupant *to)
{
	switch (o->room->config.allow_pm) {
	case PM_ANYONE:
		return true;
	case PM_PARTICIPANTS:
		return o->role >= ROLE_PARTICIPANT;
	case PM_MODERATORS:
		return o->role == ROLE_MODERATOR || to->role == ROLE_MODERATOR;
	default:
		return false;
	}
}

/* All clients of the nick get it. */
static void
whisper(struct occupant *o, struct occupant *to, struct stanza *st)
{
	struct jid from = occupant_address(st->arena, o), jid;
	struct elem *e;

	strip_forged(o->room, st->root);
	elem_add(st->root, EL_MUC_USER);
	e = elem_add(st->root, EL_OCCUPANT_ID);
	elem_set(e, AT_ID, occupant_id(st->arena, o->room, occupant_bare(o)));
	stanza_set_from(st, &from);
	st->is_from_local = false;
	for (struct occupant *s = ring_next(to, to); s != NULL;
	     s = ring_next(to, s)) {
		struct stanza *copy = stanza_copy(st);

		jid = occupant_jid(s);
		stanza_set_to(copy, &jid);
		router_send(copy);
	}
	jid = occupant_jid(to);
	stanza_set_to(st, &jid);
	router_send(st);
}

void
message_to_occupant(struct room *r, struct stanza *st)
{
	struct occupant *o = occupant_by_jid(r, st->from.full);
	struct occupant *to = occupant_by_nick(r, st->to.resource);

	if (!r->is_there)
		room_refuse(r, st, EL_ITEM_NOT_FOUND, NULL, NULL);
	else if (st->type == MESSAGE_GROUPCHAT)
		room_refuse(r, st, EL_BAD_REQUEST, NULL,
		    "Private messages are not of type 'groupchat'");
	else if (o == NULL)
		room_refuse(r, st, EL_NOT_ACCEPTABLE, "cancel",
		    "Only occupants may send private messages");
	else if (to == NULL)
		room_refuse(r, st, EL_ITEM_NOT_FOUND, NULL, NULL);
	else if (!may_whisper(o, to))
		room_refuse(r, st, EL_FORBIDDEN, NULL,
		    "Private messages are not allowed here");
	else if (!may_send(r, o))
		room_refuse(r, st, EL_RESOURCE_CONSTRAINT, NULL,
		    "You are sending too much");
	else
		whisper(o, to, st);
}
