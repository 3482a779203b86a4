/* SPDX-License-Identifier: MIT */
/* Subscribers of a room: who they are, what is kept of them, requests. */
#include "modules/muc/sub.h"

#define NODE_PREFIX "urn:xmpp:mucsub:nodes:"

const char *const sub_node_names[SUB_NODES] = { NODE_PREFIX "messages",
	NODE_PREFIX "presence", NODE_PREFIX "affiliations",
	NODE_PREFIX "subscribers", NODE_PREFIX "config", NODE_PREFIX "subject",
	NODE_PREFIX "system" };

unsigned
sub_node_bit(struct str name)
{
	for (unsigned i = 0; i < SUB_NODES; i++)
		if (str_is(name, sub_node_names[i]))
			return 1u << i;
	return 0;
}

/* ---- in memory --------------------------------------------------------- */

struct sub *
sub_find(const struct room *r, struct str bare)
{
	return map_get(&r->subs, bare);
}

struct sub *
sub_by_nick(const struct room *r, struct str nick)
{
	return map_get(&r->sub_nicks, nick);
}

static void
sub_drop(struct room *r, struct sub *s)
{
	if (s == NULL)
		return;
	map_del(&r->subs, s->jid);
	if (map_get(&r->sub_nicks, s->nick) == s)
		map_del(&r->sub_nicks, s->nick);
	xfree(s);
}

static struct sub *
sub_set(struct room *r, struct str bare, struct str nick, unsigned nodes)
{
	struct sub *s = xzalloc(sizeof(*s) + bare.n + nick.n);

	memcpy(s->text, bare.p, bare.n);
	memcpy(s->text + bare.n, nick.p, nick.n);
	s->jid = str_mem(s->text, bare.n);
	s->nick = str_mem(s->text + bare.n, nick.n);
	s->nodes = (uint8_t)nodes;
	sub_drop(r, sub_find(r, bare));
	map_set(&r->subs, s->jid, s);
	map_set(&r->sub_nicks, s->nick, s);
	return s;
}

void
subs_clear(struct room *r)
{
	struct sub *s;

	for (size_t i = 0; (s = map_next(&r->subs, &i)) != NULL;)
		xfree(s);
	map_fini(&r->subs);
	map_fini(&r->sub_nicks);
}

/* ---- as elements ------------------------------------------------------- */

static void
add_nodes(struct elem *e, unsigned nodes)
{
	for (unsigned i = 0; i < SUB_NODES; i++)
		if (nodes & 1u << i)
			elem_set(elem_add(e, EL_MUCSUB_EVENT), AT_NODE,
			    str_c(sub_node_names[i]));
}

static struct elem *
sub_dump(struct arena *a, const struct sub *s, struct str jid)
{
	struct elem *e = elem_new(a, EL_MUCSUB_SUBSCRIPTION);

	elem_set_copy(e, AT_JID, jid);
	elem_set_copy(e, AT_NICK, s->nick);
	add_nodes(e, s->nodes);
	return e;
}

/* Names that we do not know are passed over, as ejabberd does. */
bool
sub_nodes_read(const struct elem *e, unsigned *nodes_r)
{
	*nodes_r = 0;
	for (e = elem_child(e, EL_MUCSUB_EVENT); e != NULL;
	     e = elem_next(e, EL_MUCSUB_EVENT))
		*nodes_r |= sub_node_bit(elem_attr(e, AT_NODE));
	return *nodes_r != 0;
}

/* ---- in the store ------------------------------------------------------ */

void
sub_load(struct room *r, const struct elem *e)
{
	struct str jid = elem_attr(e, AT_JID), nick = elem_attr(e, AT_NICK);
	unsigned nodes;

	if (jid.n > 0 && nick.n > 0 && sub_nodes_read(e, &nodes))
		sub_set(r, jid, nick, nodes);
}

static void
sub_save(struct room *r, const struct sub *s, struct store_write *w)
{
	struct arena *a;

	if (w == NULL)
		return;
	a = store_write_arena(w);
	kv_put(w, r->jid.full, STORE_SUBS, s->jid,
	    xml_text(a, sub_dump(a, s, s->jid)));
	kv_put(w, mod_service(r->mod)->full, STORE_SUB_ROOMS,
	    index_key(a, s->jid, r->jid.local),
	    xml_text(a, sub_dump(a, s, r->jid.full)));
}

void
subs_unlist(struct room *r, struct store_write *w)
{
	const struct sub *s;

	for (size_t i = 0; (s = map_next(&r->subs, &i)) != NULL;)
		kv_del(w, mod_service(r->mod)->full, STORE_SUB_ROOMS,
		    index_key(store_write_arena(w), s->jid, r->jid.local));
}

/* ---- coming and going -------------------------------------------------- */

/* To the other subscribers: who has come, who has gone. */
static void
tell(struct room *r, const struct sub *s, enum qname what)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *e = elem_add(st->root, what);

	stanza_set_from(st, &r->jid);
	elem_set_copy(e, AT_NICK, s->nick);
	if (r->config.whois == 1)
		elem_set_copy(e, AT_JID, s->jid);
	subs_tell(r, SUB_SUBSCRIBERS, st);
	stanza_free(&st);
}

void
sub_add(struct room *r, struct str bare, struct str nick, unsigned nodes,
    struct store_write *w)
{
	bool is_new = sub_find(r, bare) == NULL;
	struct sub *s = sub_set(r, bare, nick, nodes);

	sub_save(r, s, w);
	if (is_new)
		tell(r, s, EL_MUCSUB_SUBSCRIBE);
}

void
sub_remove(struct room *r, struct sub *s, struct store_write *w)
{
	if (w != NULL) {
		kv_del(w, r->jid.full, STORE_SUBS, s->jid);
		kv_del(w, mod_service(r->mod)->full, STORE_SUB_ROOMS,
		    index_key(store_write_arena(w), s->jid, r->jid.local));
	}
	tell(r, s, EL_MUCSUB_UNSUBSCRIBE);
	sub_drop(r, s);
}

static bool
may_stay(const struct room *r, const struct jid *who)
{
	enum aff right = right_of(r, who);

	return r->config.may_subscribe && right != AFF_OUTCAST &&
	       !rtbl_bans(r, who) &&
	       (!r->config.is_members_only || right >= AFF_MEMBER);
}

void
subs_prune(struct room *r, struct store_write *w)
{
	struct sub *s;

	for (size_t i = 0; (s = map_next(&r->subs, &i)) != NULL;) {
		struct jid jid = jid_of(s->jid);

		if (!may_stay(r, &jid))
			sub_remove(r, s, w);
	}
}

/* ---- may he? ----------------------------------------------------------- */

enum qname
sub_check(const struct room *r, const struct jid *who, struct str nick,
    const char **text_r)
{
	*text_r = "Subscriptions are not allowed";
	if (!r->config.may_subscribe || !r->config.is_persistent)
		return EL_NOT_ALLOWED;
	*text_r = "You are banned from this room";
	if (right_of(r, who) == AFF_OUTCAST || rtbl_bans(r, who))
		return EL_FORBIDDEN;
	*text_r = "This room is for members only";
	if (!may_stay(r, who))
		return EL_REGISTRATION_REQUIRED;
	*text_r = "There are too many subscribers";
	if (sub_find(r, who->bare) == NULL &&
	    r->subs.count >= room_options(r)->max_affiliations)
		return EL_RESOURCE_CONSTRAINT;
	return nick_check(r, who, nick, text_r);
}

static bool
has_password(const struct room *r, const struct stanza *iq)
{
	return !r->config.has_password || right_of(r, &iq->from) >= AFF_OWNER ||
	       str_eq_secret(elem_attr(stanza_payload(iq), AT_PASSWORD),
		   r->config.password);
}

static bool
is_moderator(const struct room *r, const struct jid *who)
{
	const struct occupant *o = occupant_by_jid(r, who->full);

	return right_of(r, who) >= AFF_ADMIN ||
	       (o != NULL && o->role == ROLE_MODERATOR);
}

/* ---- requests ---------------------------------------------------------- */

/* Whom it is about: the asker, or by a moderator's will another. */
static enum qname
subject_of(const struct room *r, struct stanza *iq, struct jid *who_r)
{
	struct str jid = elem_attr(stanza_payload(iq), AT_JID);

	*who_r = jid_to_bare(&iq->from);
	if (str_is_none(jid))
		return EL_NONE;
	if (!is_moderator(r, &iq->from))
		return EL_FORBIDDEN;
	if (jid_parse(iq->arena, jid, who_r) < 0)
		return EL_JID_MALFORMED;
	*who_r = jid_to_bare(who_r);
	return EL_NONE;
}

struct asked {
	struct room *room;
	struct stanza *iq;
	unsigned nodes;
};

static void
on_subscribed(void *ctx, int err)
{
	struct asked *q = ctx;
	struct room *r = q->room;
	struct stanza *iq = q->iq;
	struct elem *e;

	if (err < 0) {
		room_refuse(r, iq, EL_INTERNAL_SERVER_ERROR, NULL, NULL);
	} else {
		e = elem_add(stanza_result(iq), EL_MUCSUB_SUBSCRIBE);
		add_nodes(e, q->nodes);
		stanza_send_back(iq);
	}
	room_release(r);
}

static enum verdict
subscribe(struct room *r, struct stanza *iq, struct str bare, struct str nick,
    unsigned nodes)
{
	struct asked *q = arena_new_of(iq->arena, struct asked);
	struct store_write *w = store_write_new(r->jid.full);

	q->room = r;
	q->iq = iq;
	q->nodes = nodes;
	sub_add(r, bare, nick, nodes, w);
	room_hold(r);
	store_commit(&w, on_subscribed, q);
	return STANZA_DONE;
}

enum verdict
on_subscribe(struct room *r, struct stanza *iq)
{
	const struct elem *e = stanza_payload(iq);
	struct str nick = elem_attr(e, AT_NICK);
	const char *text = NULL;
	unsigned nodes;
	enum qname why;
	struct jid who;

	if (iq->type != IQ_SET || nick.n == 0)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	if (jid_prep_resource(iq->arena, nick, &nick) < 0)
		return room_refuse(r, iq, EL_JID_MALFORMED, NULL, NULL);
	why = subject_of(r, iq, &who);
	if (why == EL_NONE)
		why = sub_check(r, &who, nick, &text);
	if (why != EL_NONE)
		return room_refuse(r, iq, why, NULL, text);
	if (!has_password(r, iq))
		return room_refuse(r, iq, EL_NOT_AUTHORIZED, NULL,
		    "This room needs a password");
	if (!sub_nodes_read(e, &nodes))
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL,
		    "Name what you want to hear of");
	return subscribe(r, iq, who.bare, nick, nodes);
}

enum verdict
on_unsubscribe(struct room *r, struct stanza *iq)
{
	struct store_write *w;
	enum qname why;
	struct sub *s;
	struct jid who;

	if (iq->type != IQ_SET)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	why = subject_of(r, iq, &who);
	if (why != EL_NONE)
		return room_refuse(r, iq, why, NULL, NULL);
	s = sub_find(r, who.bare);
	if (s == NULL)
		return stanza_reply(iq);
	w = room_write(r);
	sub_remove(r, s, w);
	room_commit(r, w, iq);
	return STANZA_DONE;
}

enum verdict
on_subscribers(struct room *r, struct stanza *iq)
{
	struct elem *list = elem_new(iq->arena, EL_MUCSUB_SUBSCRIPTIONS);
	const struct sub *s;

	if (iq->type != IQ_GET)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	if (!is_moderator(r, &iq->from))
		return room_refuse(r, iq, EL_FORBIDDEN, NULL,
		    "Only moderators see who has subscribed");
	for (size_t i = 0; (s = map_next(&r->subs, &i)) != NULL;)
		elem_append(list, sub_dump(iq->arena, s, s->jid));
	elem_append(stanza_result(iq), list);
	return stanza_send_back(iq);
}

/* ---- to the service: one's own ----------------------------------------- */

#define LIST_MAX 500

static void
on_rooms(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct stanza *iq = ctx;
	struct arena *a = iq->arena;
	struct str prefix = index_key(a, iq->from.bare, STR(""));
	struct elem *list = elem_new(a, EL_MUCSUB_SUBSCRIPTIONS), *e;

	if (err < 0) {
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!str_has_prefix(items[i].key, prefix))
			break;
		e = xml_parse(
		    a, str_dup(a, items[i].value), NULL, NS_CLIENT, NULL);
		if (e != NULL)
			elem_append(list, e);
	}
	elem_append(stanza_result(iq), list);
	stanza_send_back(iq);
}

enum verdict
service_subscriptions(struct mod *m, struct stanza *iq)
{
	kv_list(str_dup(iq->arena, mod_service(m)->full), STORE_SUB_ROOMS,
	    index_key(iq->arena, iq->from.bare, STR("")), false, LIST_MAX,
	    on_rooms, iq);
	return STANZA_DONE;
}
