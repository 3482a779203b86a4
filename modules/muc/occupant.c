/* SPDX-License-Identifier: MIT */
/* Who is in a room, found by his address and by his nickname. */
#include "modules/muc/muc.h"

static struct muc *
muc_of(const struct room *r)
{
	return mod_state(r->mod);
}

struct occupant *
occupant_by_jid(const struct room *r, struct str full)
{
	return map_get(&r->by_jid, full);
}

struct occupant *
occupant_by_nick(const struct room *r, struct str nick)
{
	return map_get(&r->by_nick, nick);
}

struct jid
occupant_jid(const struct occupant *o)
{
	return jid_of(o->jid);
}

struct str
occupant_bare(const struct occupant *o)
{
	return str_sub(o->jid, 0, o->bare_len);
}

struct jid
occupant_address(struct arena *a, const struct occupant *o)
{
	return jid_make(a, o->room->jid.local, o->room->jid.domain, o->nick);
}

size_t
room_size(const struct room *r)
{
	return r->by_jid.count;
}

/*
 * XEP-0421: by the account and a secret of the room. Two keyed hashes make
 * 128 bits, which tell nothing to who does not have the keys.
 */
struct str
occupant_id(struct arena *a, const struct room *r, struct str bare)
{
	uint64_t key[4];

	memcpy(key, r->config.secret, sizeof(key));
	return str_printf(a, "%016llx%016llx",
	    (unsigned long long)str_hash_keyed(bare, key),
	    (unsigned long long)str_hash_keyed(bare, key + 2));
}

/* ---- coming and going -------------------------------------------------- */

static struct occupant *
alloc(struct room *r, struct str full, uint32_t bare_len, struct str nick)
{
	struct occupant *o = xzalloc(sizeof(*o) + full.n + nick.n);

	memcpy(o->text, full.p, full.n);
	memcpy(o->text + full.n, nick.p, nick.n);
	o->room = r;
	o->jid = str_mem(o->text, full.n);
	o->nick = str_mem(o->text + full.n, nick.n);
	o->bare_len = bare_len;
	o->ring = o;
	return o;
}

static void
link_in(struct occupant *o)
{
	struct room *r = o->room;
	struct occupant *head = occupant_by_nick(r, o->nick);

	if (head != NULL) {
		o->ring = head->ring;
		head->ring = o;
	}
	map_set(&r->by_jid, o->jid, o);
	/* The key must live as long as the entry. */
	map_set(&r->by_nick, o->nick, o);
}

static void
link_out(struct occupant *o)
{
	struct room *r = o->room;
	struct occupant *before = o;

	map_del(&r->by_jid, o->jid);
	while (before->ring != o)
		before = before->ring;
	if (before == o) {
		map_del(&r->by_nick, o->nick);
		return;
	}
	before->ring = o->ring;
	if (occupant_by_nick(r, o->nick) == o) {
		map_del(&r->by_nick, o->nick);
		map_set(&r->by_nick, before->nick, before);
	}
	o->ring = o;
}

struct occupant *
occupant_new(struct room *r, const struct jid *jid, struct str nick,
    enum aff aff, enum role role)
{
	struct occupant *o = alloc(r, jid->full, (uint32_t)jid->bare.n, nick);

	o->aff = (uint8_t)aff;
	o->role = (uint8_t)role;
	o->tokens = o->words = -1;
	link_in(o);
	list_add(&r->occupants, &o->node);
	list_del(&r->idle_node);
	muc_of(r)->occupants++;
	return o;
}

void
occupant_free(struct occupant *o)
{
	link_out(o);
	list_del(&o->node);
	muc_of(o->room)->occupants--;
	str_free(&o->presence);
	xfree(o);
}

struct occupant *
occupant_rename(struct occupant *o, struct str nick)
{
	struct occupant *n = alloc(o->room, o->jid, o->bare_len, nick);

	n->presence = o->presence;
	n->role = o->role;
	n->aff = o->aff;
	n->is_late = o->is_late;
	n->tokens = o->tokens;
	n->words = o->words;
	n->filled = o->filled;
	n->worded = o->worded;
	/* In its place among the others. */
	list_insert(&o->node, o->node.next, &n->node);
	link_out(o);
	list_del(&o->node);
	xfree(o);
	link_in(n);
	return n;
}

/* Its presence is the nickname's now. */
void
occupant_heard(struct occupant *o)
{
	struct room *r = o->room;

	if (occupant_by_nick(r, o->nick) == o)
		return;
	map_del(&r->by_nick, o->nick);
	map_set(&r->by_nick, o->nick, o);
}

bool
rate_take(float *tokens, uint64_t *filled, const struct rate *rate)
{
	uint64_t now = loop_now();
	float full = (float)rate->count;

	if (rate->count == 0)
		return true;
	if (*tokens < 0)
		*tokens = full;
	else
		*tokens += full * (float)(now - *filled) / (float)rate->per_ms;
	if (*tokens > full)
		*tokens = full;
	*filled = now;
	if (*tokens < 1)
		return false;
	*tokens -= 1;
	return true;
}
