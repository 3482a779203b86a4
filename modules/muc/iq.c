/* SPDX-License-Identifier: MIT */
/* Requests to a room, and by way of it to an occupant (section 17.4.4). */
#include "modules/muc/muc.h"

/* ---- to the room ------------------------------------------------------- */

static enum verdict
on_ping(struct room *r, struct stanza *iq)
{
	return iq->type == IQ_GET ? stanza_reply(iq)
				  : stanza_refuse(iq, EL_BAD_REQUEST);
}

static const struct {
	enum qname payload;
	enum verdict (*fn)(struct room *r, struct stanza *iq);
	bool needs_room;
} routes[] = {
	{ EL_DISCO_INFO, on_disco_info, true },
	{ EL_DISCO_ITEMS, on_disco_items, true },
	{ EL_MUC_ADMIN, on_admin, true },
	{ EL_MUC_OWNER, on_owner, true },
	{ EL_REGISTER, on_register, true },
	{ EL_MAM_QUERY, on_mam, true },
	{ EL_MAM_METADATA, on_mam, true },
	{ EL_VCARD, on_vcard, true },
	{ EL_MODERATE, on_moderate, true },
	{ EL_PING, on_ping, true },
	{ EL_MUCSUB_SUBSCRIBE, on_subscribe, true },
	{ EL_MUCSUB_UNSUBSCRIBE, on_unsubscribe, true },
	{ EL_MUCSUB_SUBSCRIPTIONS, on_subscribers, true },
};

void
iq_to_room(struct room *r, struct stanza *iq)
{
	enum qname payload = elem_name(stanza_payload(iq));

	if (iq->type & (IQ_RESULT | IQ_ERROR)) {
		stanza_free(&iq);
		return;
	}
	if (!r->is_there) {
		room_refuse(
		    r, iq, EL_ITEM_NOT_FOUND, NULL, "There is no such room");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (routes[i].payload == payload) {
			routes[i].fn(r, iq);
			return;
		}
	if (str_is(elem_ns_uri(stanza_payload(iq)),
		"http://jabber.org/protocol/commands"))
		on_hats(r, iq);
	else
		room_refuse(r, iq, EL_SERVICE_UNAVAILABLE, NULL, NULL);
}

/* ---- to an occupant ---------------------------------------------------- */

/*
 * The answer comes from the real address to the asker's nickname. So that it
 * finds the right one of his clients, and is told as coming from the right
 * nickname, the id carries both: "hash of the asker:length of nick:nick:id".
 */
static struct str
mark_id(struct arena *a, const struct occupant *from, struct str nick,
    struct str id)
{
	return str_printf(a, "%016llx:%zu:" STR_FMT ":" STR_FMT,
	    (unsigned long long)str_hash(from->jid), nick.n, STR_ARG(nick),
	    STR_ARG(id));
}

static bool
unmark_id(
    struct str text, struct str *hash_r, struct str *nick_r, struct str *id_r)
{
	struct str rest = text, len;
	uint64_t n;

	*hash_r = str_cut(&rest, ':');
	len = str_cut(&rest, ':');
	if (hash_r->n != 16 || !str_to_u64(len, &n) || n >= rest.n ||
	    rest.p[n] != ':')
		return false;
	*nick_r = str_sub(rest, 0, n);
	*id_r = str_skip(rest, n + 1);
	return id_r->n > 0;
}

static struct occupant *
by_hash(struct occupant *head, struct str hash)
{
	char text[17];

	for (struct occupant *s = head; s != NULL; s = ring_next(head, s)) {
		snprintf(text, sizeof(text), "%016llx",
		    (unsigned long long)str_hash(s->jid));
		if (str_is(hash, text))
			return s;
	}
	return NULL;
}

static bool
is_for_account(const struct stanza *iq)
{
	struct str ns = elem_ns_uri(stanza_payload(iq));

	return elem_name(stanza_payload(iq)) == EL_VCARD ||
	       str_is(ns, "http://jabber.org/protocol/pubsub");
}

static void
forward(struct occupant *o, struct occupant *to, struct stanza *iq)
{
	struct arena *a = iq->arena;
	struct jid from = occupant_address(a, o), jid = occupant_jid(to);

	if (is_for_account(iq))
		jid = jid_to_bare(&jid);
	elem_set(iq->root, AT_ID, mark_id(a, o, to->nick, stanza_id(iq)));
	stanza_set_from(iq, &from);
	stanza_set_to(iq, &jid);
	iq->is_from_local = false;
	router_send(iq);
}

/* An answer comes back. */
static void
bring_back(struct room *r, struct stanza *iq)
{
	struct str hash, nick, id;
	struct occupant *o = occupant_by_nick(r, iq->to.resource), *from;
	struct jid jid;

	if (o == NULL || !unmark_id(stanza_id(iq), &hash, &nick, &id) ||
	    (o = by_hash(o, hash)) == NULL ||
	    (from = occupant_by_nick(r, nick)) == NULL ||
	    !str_eq(occupant_bare(from), iq->from.bare)) {
		stanza_free(&iq);
		return;
	}
	elem_set_copy(iq->root, AT_ID, id);
	jid = occupant_address(iq->arena, from);
	stanza_set_from(iq, &jid);
	jid = occupant_jid(o);
	stanza_set_to(iq, &jid);
	router_send(iq);
}

/* XEP-0410: a ping to oneself asks whether one is still in. */
static bool
is_self_ping(const struct occupant *o, const struct stanza *iq)
{
	return iq->type == IQ_GET && elem_name(stanza_payload(iq)) == EL_PING &&
	       str_eq(o->nick, iq->to.resource);
}

/* Section 6.6 has its own error for who asks that from outside. */
static bool
is_disco(const struct stanza *iq)
{
	enum qname name = elem_name(stanza_payload(iq));

	return name == EL_DISCO_INFO || name == EL_DISCO_ITEMS;
}

void
iq_to_occupant(struct room *r, struct stanza *iq)
{
	struct occupant *o = occupant_by_jid(r, iq->from.full);
	struct occupant *to = occupant_by_nick(r, iq->to.resource);

	if (iq->type & (IQ_RESULT | IQ_ERROR))
		bring_back(r, iq);
	else if (o == NULL)
		room_refuse(r, iq,
		    is_disco(iq) ? EL_BAD_REQUEST : EL_NOT_ACCEPTABLE, "cancel",
		    "You are not in the room");
	else if (is_self_ping(o, iq))
		stanza_reply(iq);
	else if (to == NULL)
		room_refuse(r, iq, EL_ITEM_NOT_FOUND, NULL, NULL);
	else if (!r->config.may_query && o->role != ROLE_MODERATOR)
		room_refuse(r, iq, EL_NOT_ALLOWED, NULL,
		    "Requests to occupants are not allowed here");
	else if (elem_name(stanza_payload(iq)) == EL_ROSTER)
		room_refuse(r, iq, EL_FORBIDDEN, NULL, NULL);
	else
		forward(o, to, iq);
}
