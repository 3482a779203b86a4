/* SPDX-License-Identifier: MIT */
/*
 * What subscribers hear, and members who are not in the room if it is
 * configured so: the same stanza as the occupants, in a pubsub event.
 */
#include "modules/muc/sub.h"

/* ---- who is there hears it as an occupant ------------------------------ */

static void
mark_present(struct room *r)
{
	const struct occupant *o;

	r->mark++;
	LIST_EACH(o, &r->occupants, struct occupant, node)
	{
		struct str bare = occupant_bare(o);
		struct sub *s = sub_find(r, bare);
		struct affiliation *a = aff_find(r, bare);

		if (s != NULL)
			s->mark = r->mark;
		if (a != NULL)
			a->mark = r->mark;
	}
}

/* ---- the event --------------------------------------------------------- */

static struct stanza *
wrap(struct room *r, enum sub_node node, const struct stanza *inner)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *items =
			elem_add(elem_add(st->root, EL_EVENT), EL_EVENT_ITEMS),
		    *item = elem_add(items, EL_EVENT_ITEM), *copy;
	char *id = arena_bytes(st->arena, UUID_LEN + 1);
	bool is_kept =
	    inner->kind == STANZA_MESSAGE && message_is_kept(inner->root);

	uuid7(id);
	stanza_set_from(st, &r->jid);
	elem_set(st->root, AT_ID, str_mem(id, UUID_LEN));
	elem_set(items, AT_NODE, str_c(sub_node_names[node]));
	elem_set(item, AT_ID, str_mem(id, UUID_LEN));
	copy = elem_add_copy(item, inner->root);
	elem_set(copy, AT_TO, STR_NONE);
	/* Presence of yesterday is of no use to who comes tomorrow. */
	elem_add(st->root, is_kept ? EL_HINT_STORE : EL_HINT_NO_STORE);
	return st;
}

void
subs_tell(struct room *r, enum sub_node node, const struct stanza *inner)
{
	struct fanout *f = NULL;
	const struct sub *s;

	if (r->subs.count == 0)
		return;
	mark_present(r);
	for (size_t i = 0; (s = map_next(&r->subs, &i)) != NULL;) {
		struct jid to = jid_of(s->jid);

		if (s->mark == r->mark || !(s->nodes & 1u << node))
			continue;
		if (f == NULL)
			f = fanout_new(wrap(r, node, inner));
		fanout_add(f, &to);
	}
	if (f != NULL)
		fanout_send(&f);
}

void
subs_tell_end(struct room *r, const struct elem *destroy)
{
	struct stanza *st;

	if (r->subs.count == 0)
		return;
	st = stanza_new(EL_PRESENCE);
	stanza_set_type(st, PRESENCE_UNAVAILABLE);
	stanza_set_from(st, &r->jid);
	elem_add_copy(elem_add(st->root, EL_MUC_USER), destroy);
	subs_tell(r, SUB_CONFIG, st);
	stanza_free(&st);
}

/* ---- members who are not there ----------------------------------------- */

static bool
is_word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static bool
has_word(struct str text, struct str word)
{
	if (word.n == 0 || word.n > text.n)
		return false;
	for (size_t i = 0; i + word.n <= text.n; i++) {
		if (memcmp(text.p + i, word.p, word.n) != 0)
			continue;
		if ((i == 0 || !is_word_byte(text.p[i - 1])) &&
		    (i + word.n == text.n || !is_word_byte(text.p[i + word.n])))
			return true;
	}
	return false;
}

/* XEP-0372. */
static bool
is_referred_to(const struct elem *message, struct str bare)
{
	const struct elem *e = elem_child(message, EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY)) {
		struct str uri = elem_attr_named(e, STR("uri"));

		if (str_is(elem_ns_uri(e), "urn:xmpp:reference:0") &&
		    str_is(elem_local(e), "reference") &&
		    elem_attr_is(e, AT_TYPE, "mention") &&
		    str_has_prefix(uri, STR("xmpp:")) &&
		    str_eq(str_skip(uri, 5), bare))
			return true;
	}
	return false;
}

static bool
is_mentioned(const struct room *r, const struct affiliation *a,
    const struct elem *message)
{
	struct str nick = a->nick;

	if (nick.n == 0)
		nick = nick_registered(r->mod, a->jid);
	return has_word(elem_child_text(message, EL_BODY), nick) ||
	       is_referred_to(message, a->jid);
}

static bool
is_for_member(
    const struct room *r, const struct affiliation *a, const struct stanza *st)
{
	const struct sub *s = sub_find(r, a->jid);

	if (a->aff < AFF_MEMBER || a->mark == r->mark ||
	    (s != NULL && s->nodes & 1u << SUB_MESSAGES))
		return false;
	return r->config.notify == NOTIFY_ALWAYS ||
	       is_mentioned(r, a, st->root);
}

void
members_tell(struct room *r, const struct stanza *st)
{
	const struct affiliation *a;
	struct fanout *f = NULL;

	if (r->config.notify == NOTIFY_NONE)
		return;
	mark_present(r);
	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;) {
		struct jid to = jid_of(a->jid);

		if (str_is_none(to.local) || !is_for_member(r, a, st))
			continue;
		if (f == NULL)
			f = fanout_new(wrap(r, SUB_MESSAGES, st));
		fanout_add(f, &to);
	}
	if (f != NULL)
		fanout_send(&f);
}
