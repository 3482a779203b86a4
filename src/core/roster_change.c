/* SPDX-License-Identifier: MIT */
/* Changes of rosters, and who is told of them. */
#include "base/err.h"
#include "core/account_impl.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/roster_impl.h"
#include "core/router.h"
#include "store/store.h"

/* A change that is on its way to the store, or what waits behind one. */
struct change {
	struct list node; /* in the roster's `pending` */
	struct arena *arena;
	struct account *acct; /* pinned */
	struct roster_item item;
	struct roster_entry *before; /* to go back to; NULL: there was none */
	uint64_t number;
	uint64_t version; /* 0: clients do not see this change */
	bool is_nothing;  /* it only waits for those before it */
	int err;	  /* of what has failed already */
	account_done_fn *done;
	void *ctx;
};

/* Pushes ------------------------------------------------------------------ */

static void
push_to(struct session *s, const struct roster_item *item, uint64_t version)
{
	struct roster *r = s->account->roster;
	struct stanza *st = stanza_new(EL_IQ);
	struct elem *query = elem_add(st->root, EL_ROSTER);

	stanza_set_type(st, IQ_SET);
	stanza_set_to(st, &s->jid);
	stanza_set_from(st, &s->account->jid);
	elem_set(st->root, AT_ID,
	    str_printf(st->arena, "push-%llu", (unsigned long long)version));
	elem_set(query, AT_VER, roster_version(st->arena, r, version));
	roster_item_add(query, item);
	router_send(st);
}

static void
push_all(struct change *c)
{
	struct session **to;
	size_t n = sessions_choose(c->acct, CHOOSE_ROSTER, c->arena, &to);

	for (size_t i = 0; i < n; i++)
		if (to[i]->is_interested && !to[i]->is_closing)
			push_to(to[i], &c->item, c->version);
}

/* Versions ---------------------------------------------------------------- */

struct str
roster_version(struct arena *a, const struct roster *r, uint64_t version)
{
	return str_printf(
	    a, "%s-%llu", r->instance, (unsigned long long)version);
}

static void
log_change(struct roster *r, struct str jid)
{
	struct str *slot;

	if (r->log == NULL)
		r->log = xzalloc(ROSTER_LOG * sizeof(*r->log));
	slot = &r->log[r->version % ROSTER_LOG];
	str_free(slot);
	*slot = str_heap(jid);
	if (r->version - r->log_first >= ROSTER_LOG)
		r->log_first = r->version - ROSTER_LOG + 1;
}

/* Is the contact changed once more by a later version? */
static bool
is_changed_later(const struct roster *r, uint64_t version)
{
	struct str jid = r->log[version % ROSTER_LOG];

	for (uint64_t v = version + 1; v <= r->durable; v++)
		if (str_eq(r->log[v % ROSTER_LOG], jid))
			return true;
	return false;
}

static void
push_current(struct session *s, uint64_t version)
{
	struct roster *r = s->account->roster;
	struct roster_item gone = { 0 };
	struct roster_entry *e;

	gone.jid = jid_of(r->log[version % ROSTER_LOG]);
	e = map_get(&r->map, gone.jid.full);
	push_to(s, e != NULL ? &e->item : &gone, version);
}

bool
roster_knows(const struct roster *r, struct str text, uint64_t *version_r)
{
	size_t n = strlen(r->instance);

	if (text.n <= n + 1 ||
	    !str_eq(str_sub(text, 0, n), str_mem(r->instance, n)) ||
	    text.p[n] != '-' || !str_to_u64(str_skip(text, n + 1), version_r))
		return false;
	return *version_r <= r->durable && *version_r + 1 >= r->log_first;
}

void
roster_catch_up(struct session *s, uint64_t version)
{
	struct roster *r = s->account->roster;

	for (uint64_t v = version + 1; v <= r->durable; v++)
		if (!is_changed_later(r, v))
			push_current(s, v);
}

/* Changes ----------------------------------------------------------------- */

static bool
groups_are_equal(const struct str_list *a, const struct str_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!str_eq(a->item[i], b->item[i]))
			return false;
	return true;
}

/* Do both look the same to clients? */
static bool
is_same(const struct roster_item *a, const struct roster_item *b)
{
	if (!a->is_in_roster && !b->is_in_roster)
		return true;
	return a->is_in_roster == b->is_in_roster && a->sub == b->sub &&
	       a->is_asking == b->is_asking &&
	       a->is_approved == b->is_approved && str_eq(a->name, b->name) &&
	       groups_are_equal(&a->groups, &b->groups);
}

/* Puts the entry in the place of what is there; answers that. */
static struct roster_entry *
replace(struct roster *r, struct str jid, struct roster_entry *e)
{
	struct roster_entry *old;

	if (e != NULL)
		old = map_set(&r->map, e->item.jid.full, e);
	else
		old = map_del(&r->map, jid);
	roster_tally(r, old, -1);
	roster_tally(r, e, 1);
	return old;
}

static bool
has_room(const struct roster *r, const struct roster_entry *cur,
    const struct roster_item *next)
{
	uint64_t max = conf_now()->limits.roster_items;

	if (next->is_in_roster && (cur == NULL || !cur->item.is_in_roster))
		return r->own < max;
	/* Requests from strangers have as much room of their own. */
	if (next->is_pending_in && cur == NULL)
		return r->map.count - r->lent < 2 * max;
	return true;
}

/* Nothing has come after it, so that it can be taken back. */
static void
take_back(struct change *c)
{
	struct roster *r = c->acct->roster;
	struct roster_entry *cur = map_get(&r->map, c->item.jid.full);
	bool is_latest = cur != NULL ? cur->change == c->number
				     : roster_item_is_void(&c->item);

	if (!is_latest)
		return;
	xfree(replace(r, c->item.jid.full, c->before));
	c->before = NULL;
}

static void
change_end(struct change *c, int err)
{
	struct account *acct = c->acct;

	list_del(&c->node);
	if (c->done != NULL)
		c->done(c->ctx, err);
	if (err == 0 && c->version > 0)
		push_all(c);
	if (err == 0 && !c->is_nothing)
		hook_roster(acct, &c->item);
	xfree(c->before);
	arena_free(&c->arena);
	account_unpin(acct);
}

static void
on_kept(void *ctx, int err)
{
	struct change *c = ctx;
	struct account *acct = c->acct;
	struct roster *r = acct->roster;

	if (err < 0)
		take_back(c);
	else if (c->version > r->durable)
		r->durable = c->version;
	account_pin(acct);
	change_end(c, err);
	while ((c = LIST_FIRST(&r->pending, struct change, node)) != NULL &&
	       c->is_nothing)
		change_end(c, c->err);
	account_unpin(acct);
}

static void
keep(struct change *c)
{
	struct str owner = c->acct->jid.bare, jid = c->item.jid.full;
	struct store_write *w = store_write_new(owner);
	struct arena *a = store_write_arena(w);

	if (roster_item_is_void(&c->item))
		kv_del(w, owner, STR("roster"), jid);
	else
		kv_put(w, owner, STR("roster"), jid,
		    roster_item_text(a, &c->item));
	if (c->version > 0)
		kv_put(w, owner, STR("roster"), STR(ROSTER_VERSION_KEY),
		    roster_version(a, c->acct->roster, c->version));
	store_commit(&w, on_kept, c);
}

static struct change *
change_new(struct account *acct, account_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct change *c = arena_new_of(a, struct change);

	c->arena = a;
	c->acct = acct;
	c->done = done;
	c->ctx = ctx;
	account_pin(acct);
	list_add(&acct->roster->pending, &c->node);
	return c;
}

void
roster_wait(struct account *acct, int err, account_done_fn *done, void *ctx)
{
	struct change *c;

	if (list_is_empty(&acct->roster->pending)) {
		done(ctx, err);
		return;
	}
	c = change_new(acct, done, ctx);
	c->is_nothing = true;
	c->err = err;
}

/* `c->item` is what is to be. */
static void
carry_out(struct change *c, struct roster_entry *cur, bool is_pushed)
{
	struct roster *r = c->acct->roster;
	const struct roster_item *next = &c->item;
	struct roster_item none = { 0 };
	struct roster_entry *e = NULL;

	c->number = ++r->changes;
	if (is_pushed || !is_same(cur != NULL ? &cur->item : &none, next)) {
		c->version = ++r->version;
		log_change(r, next->jid.full);
	}
	if (!roster_item_is_void(next)) {
		e = roster_entry_new(next);
		e->change = c->number;
		e->is_deaf = cur != NULL && cur->is_deaf;
	}
	c->before = replace(r, c->item.jid.full, e);
	keep(c);
}

int
roster_change(struct account *acct, const struct roster_item *next,
    bool is_pushed, account_done_fn *done, void *ctx)
{
	struct roster *r = acct->roster;
	struct roster_entry *cur = map_get(&r->map, next->jid.full);
	struct change *c;

	if (!has_room(r, cur, next))
		return ERR_LIMIT;
	c = change_new(acct, done, ctx);
	c->item = roster_item_copy(c->arena, next);
	roster_item_inherit(
	    c->arena, &c->item, cur != NULL ? &cur->item : NULL);
	carry_out(c, cur, is_pushed);
	return 0;
}

void
roster_change_shared(struct account *acct, const struct roster_item *next,
    account_done_fn *done, void *ctx)
{
	struct change *c = change_new(acct, done, ctx);

	c->item = roster_item_copy(c->arena, next);
	carry_out(c, map_get(&acct->roster->map, next->jid.full), false);
}
