/* SPDX-License-Identifier: MIT */
/*
 * Dispatch. For each host and hook point there is a flat array of handlers,
 * in their order; it is made anew whenever instances come or go.
 */
#include "core/mods.h"

#include <stdlib.h>

/* ---- running ---- */

static const struct chain no_chain;

static const struct chain *
chain_of(enum hook_point point, const struct host *host)
{
	if (worker == NULL || host == NULL)
		return &no_chain;
	return &worker->hosts[host->index].chain[point];
}

/*
 * Where to go on behind the handler with this key. It may have gone with its
 * module; then what follows is what ranks behind it.
 */
static size_t
chain_place(const struct chain *c, uint16_t key)
{
	size_t i;

	if (key == 0)
		return 0;
	for (i = 0; i < c->count; i++) {
		if (c->item[i].key == key)
			return i + 1;
	}
	for (i = 0; i < c->count; i++) {
		if (c->item[i].key >> 10 > key >> 10)
			return i;
	}
	return c->count;
}

/* The stage is 0 while a handler runs: it may send the stanza elsewhere. */
enum verdict
hook_stanza(enum hook_point point, const struct host *host, struct stanza *st)
{
	const struct chain *c = chain_of(point, host);
	size_t i;

	if (c->count == 0) {
		st->stage = 0;
		return STANZA_PASS;
	}
	i = chain_place(c, st->stage);
	st->stage = 0;
	for (; i < c->count; i++) {
		const struct handler *h = &c->item[i];
		enum verdict v = h->hook->stanza(h->mod, st);

		if (v == STANZA_HELD)
			st->stage = h->key;
		if (v != STANZA_PASS)
			return v;
	}
	return STANZA_PASS;
}

bool
hook_skips(
    enum hook_point point, const struct host *host, const struct stanza *st)
{
	const struct chain *c = chain_of(point, host);

	for (size_t i = 0; i < c->count; i++) {
		const struct handler *h = &c->item[i];

		if (h->hook->skips == NULL || !h->hook->skips(h->mod, st))
			return false;
	}
	return true;
}

static const struct host *
session_host(const struct session *s)
{
	return s->account->host;
}

void
hook_session(enum hook_point point, struct session *s)
{
	const struct chain *c = chain_of(point, session_host(s));

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->session(c->item[i].mod, s);
}

enum verdict
hook_session_send(struct session *s, struct stanza *st)
{
	const struct chain *c = chain_of(HOOK_SESSION_SEND, session_host(s));

	for (size_t i = 0; i < c->count; i++) {
		const struct handler *h = &c->item[i];
		enum verdict v = h->hook->send(h->mod, s, st);

		if (v != STANZA_PASS)
			return v;
	}
	return STANZA_PASS;
}

enum verdict
hook_session_nonza(struct session *s, struct elem *e)
{
	const struct chain *c = chain_of(HOOK_SESSION_NONZA, session_host(s));

	for (size_t i = 0; i < c->count; i++) {
		const struct handler *h = &c->item[i];
		enum verdict v = h->hook->nonza(h->mod, s, e);

		if (v != STANZA_PASS)
			return v;
	}
	return STANZA_PASS;
}

void
hook_presence(struct session *s, struct elem *presence)
{
	const struct chain *c =
	    chain_of(HOOK_PRESENCE_BROADCAST, session_host(s));

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->presence(c->item[i].mod, s, presence);
}

static bool
allow(enum hook_point point, struct account *acct, const struct jid *contact)
{
	const struct chain *c = chain_of(point, acct->host);

	for (size_t i = 0; i < c->count; i++) {
		const struct handler *h = &c->item[i];

		if (h->hook->contact(h->mod, acct, contact) != STANZA_PASS)
			return false;
	}
	return true;
}

bool
hook_presence_allow(struct account *acct, const struct jid *to)
{
	return allow(HOOK_PRESENCE_ALLOW, acct, to);
}

bool
hook_spool_allow(struct account *acct, const struct jid *from)
{
	return allow(HOOK_SPOOL_ALLOW, acct, from);
}

void
hook_account(enum hook_point point, struct account *acct)
{
	const struct chain *c = chain_of(point, acct->host);

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->account(c->item[i].mod, acct);
}

void
hook_belongings(struct belongings *b)
{
	const struct chain *c =
	    chain_of(HOOK_ACCOUNT_BELONGINGS, belongings_account(b)->host);

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->belongings(c->item[i].mod, b);
}

void
hook_roster(struct account *acct, const struct roster_item *item)
{
	const struct chain *c = chain_of(HOOK_ROSTER_CHANGED, acct->host);

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->roster(c->item[i].mod, acct, item);
}

void
hook_features(enum hook_point point, struct stream *s, struct elem *features)
{
	const struct chain *c = chain_of(point, stream_host(s));

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->features(c->item[i].mod, s, features);
}

void
hook_login(struct login *l, const struct host *host)
{
	const struct chain *c = chain_of(HOOK_BIND_PREPARE, host);

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->login(c->item[i].mod, l);
}

void
hook_bind(struct session *s, const struct elem *bind, struct elem *bound)
{
	const struct chain *c = chain_of(HOOK_BIND_REQUEST, session_host(s));

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->bind(c->item[i].mod, s, bind, bound);
}

enum verdict
hook_stream_iq(struct stream *s, struct stanza *iq)
{
	const struct chain *c = chain_of(HOOK_STREAM_IQ, stream_host(s));

	for (size_t i = 0; i < c->count; i++) {
		const struct handler *h = &c->item[i];
		enum verdict v = h->hook->stream_iq(h->mod, s, iq);

		if (v != STANZA_PASS)
			return v;
	}
	return STANZA_PASS;
}

void
hook_disco(enum hook_point point, const struct host *host, struct elem *query,
    const struct stanza *iq)
{
	const struct chain *c = chain_of(point, host);

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->disco(c->item[i].mod, query, iq);
}

void
hook_component(const struct host *host, const struct jid *domain)
{
	const struct chain *c = chain_of(HOOK_COMPONENT_UP, host);

	for (size_t i = 0; i < c->count; i++)
		c->item[i].hook->component(c->item[i].mod, domain);
}

bool
hook_has(enum hook_point point, const struct host *host)
{
	return chain_of(point, host)->count > 0;
}

/* ---- iq routes ---- */

static size_t
payload_hash(uint16_t payload)
{
	return payload * 0x9e3779b1u >> 16;
}

static const struct route_slot *
slot_of(const struct host_mods *h, uint16_t payload)
{
	size_t i = payload_hash(payload);

	for (;; i++) {
		const struct route_slot *s = &h->slot[i & h->slot_mask];

		if (s->count == 0)
			return NULL;
		if (s->payload == payload)
			return s;
	}
}

/* Routes that fit, from behind the one with the stanza's stage. */
static enum verdict
routes_run(const struct route *routes, size_t count, int where,
    struct stanza *iq, uint16_t *behind)
{
	for (size_t i = 0; i < count; i++) {
		const struct route *r = &routes[i];
		enum verdict v;

		if (*behind != 0) {
			if (*behind == r->key)
				*behind = 0;
			continue;
		}
		if ((r->row->types & (int)iq->type) == 0 ||
		    (r->row->where & where) == 0)
			continue;
		v = r->row->fn(r->mod, iq);
		if (v == STANZA_HELD)
			iq->stage = r->key;
		if (v != STANZA_PASS)
			return v;
	}
	return STANZA_PASS;
}

enum verdict
iq_route_run(const struct host *host, enum iq_where where, struct stanza *iq)
{
	const struct elem *payload = stanza_payload(iq);
	const struct route_slot *slot;
	const struct host_mods *h;
	enum verdict v = STANZA_PASS;
	int fits = where == TO_SELF ? TO_SELF | TO_ACCOUNT : (int)where;
	uint16_t behind = iq->stage;

	iq->stage = 0;
	if (worker == NULL || host == NULL || payload == NULL)
		return STANZA_PASS;
	h = worker_host(worker, host);
	slot = h->slot != NULL ? slot_of(h, elem_name(payload)) : NULL;
	if (slot != NULL)
		v = routes_run(
		    h->route + slot->first, slot->count, fits, iq, &behind);
	if (v == STANZA_PASS && h->any_count > 0)
		v = routes_run(
		    h->route + h->any_first, h->any_count, fits, iq, &behind);
	return v;
}

/* ---- arranging ---- */

static int
mod_compare(const void *a, const void *b)
{
	const struct mod *const *m = (const struct mod *const *)a;
	const struct mod *const *o = (const struct mod *const *)b;

	return strcmp((*m)->loaded->name, (*o)->loaded->name);
}

static void
host_sort(struct worker *w, struct host_mods *h)
{
	const struct host_mods *global = worker_host(w, NULL);
	size_t n = 0;

	h->sorted = (struct mod **)arena_alloc(
	    w->arena, (w->top + 1) * sizeof(*h->sorted));
	for (size_t i = 1; i <= w->top; i++) {
		struct mod *m = h->mod[i] != NULL ? h->mod[i] : global->mod[i];

		if (m != NULL && m->is_on)
			h->sorted[n++] = m;
	}
	h->sorted_count = n;
	qsort(h->sorted, n, sizeof(*h->sorted), mod_compare);
}

/* Rank in the upper bits, then the module, then the place in its table. */
static uint16_t
handler_key(enum hook_rank rank, const struct mod *m, unsigned place)
{
	return (
	    uint16_t)((rank + 1) << 10 | m->loaded->index << 2 | (place & 3));
}

static size_t
chain_add(struct handler *items, size_t n, struct mod *m, enum hook_point point,
    enum hook_rank rank)
{
	unsigned place = 0;

	for (const struct hook *k = m->table->hooks;
	     k != NULL && k->point != HOOK_COUNT; k++) {
		if (k->point != point || k->rank != rank)
			continue;
		items[n++] =
		    (struct handler){ k, m, handler_key(rank, m, place++) };
	}
	return n;
}

static size_t
point_count(const struct host_mods *h, enum hook_point point)
{
	size_t n = 0;

	for (size_t i = 0; i < h->sorted_count; i++) {
		const struct hook *k = h->sorted[i]->table->hooks;

		for (; k != NULL && k->point != HOOK_COUNT; k++)
			n += k->point == point;
	}
	return n;
}

static void
chain_arrange(struct worker *w, struct host_mods *h, enum hook_point point)
{
	size_t count = point_count(h, point), n = 0;
	struct handler *items;

	h->chain[point] = no_chain;
	if (count == 0)
		return;
	items = (struct handler *)arena_alloc(w->arena, count * sizeof(*items));
	for (int rank = FIRST; rank <= LAST; rank++) {
		for (size_t i = 0; i < h->sorted_count; i++)
			n = chain_add(items, n, h->sorted[i], point,
			    (enum hook_rank)rank);
	}
	h->chain[point] = (struct chain){ items, n };
}

/* By payload; those of one payload stay in the order of module and table. */
static int
route_compare(const void *a, const void *b)
{
	const struct route *r = (const struct route *)a;
	const struct route *s = (const struct route *)b;

	if (r->row->payload != s->row->payload)
		return r->row->payload < s->row->payload ? -1 : 1;
	return (int)r->order - (int)s->order;
}

static struct route *
routes_collect(struct worker *w, struct host_mods *h, size_t *count_r)
{
	struct route *routes = NULL;
	size_t n = 0;

	for (size_t i = 0; i < h->sorted_count; i++) {
		struct mod *m = h->sorted[i];
		const struct iq_route *r = m->table->iq;

		for (unsigned row = 0; r != NULL && r->types != 0; r++) {
			routes = (struct route *)arena_grow(w->arena, routes,
			    n * sizeof(*routes), (n + 1) * sizeof(*routes));
			routes[n] = (struct route){ r, m,
				(uint16_t)(m->loaded->index << 8 | row++),
				(uint16_t)n };
			n++;
		}
	}
	*count_r = n;
	return routes;
}

static void
slot_put(struct host_mods *h, uint16_t payload, size_t first, size_t count)
{
	size_t i = payload_hash(payload);

	while (h->slot[i & h->slot_mask].count != 0)
		i++;
	h->slot[i & h->slot_mask] =
	    (struct route_slot){ payload, (uint16_t)first, (uint16_t)count };
}

static void
routes_arrange(struct worker *w, struct host_mods *h)
{
	size_t count, end, cap = 4;
	struct route *routes = routes_collect(w, h, &count);

	h->route = routes;
	h->slot = NULL;
	h->any_count = 0;
	if (count == 0)
		return;
	qsort(routes, count, sizeof(*routes), route_compare);
	while (cap < 2 * count)
		cap *= 2;
	h->slot =
	    (struct route_slot *)arena_zalloc(w->arena, cap * sizeof(*h->slot));
	h->slot_mask = cap - 1;

	for (size_t i = 0; i < count; i = end) {
		enum qname payload = routes[i].row->payload;

		for (end = i;
		     end < count && routes[end].row->payload == payload;)
			end++;
		if (payload == EL_ANY) {
			h->any_first = i;
			h->any_count = end - i;
		} else {
			slot_put(h, (uint16_t)payload, i, end - i);
		}
	}
}

void
worker_arrange(struct worker *w)
{
	arena_free(&w->arena);
	w->arena = arena_new(0);
	for (size_t i = 0; i < host_count(); i++) {
		struct host_mods *h = &w->hosts[i];

		host_sort(w, h);
		for (int point = 0; point < HOOK_COUNT; point++)
			chain_arrange(w, h, (enum hook_point)point);
		routes_arrange(w, h);
	}
}
