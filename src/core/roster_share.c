/* SPDX-License-Identifier: MIT */
/*
 * What shared groups give to rosters. It is kept with the contact's item,
 * beside what the user has of his own, which is all that is left when a group
 * gives no more.
 */
#include "base/err.h"
#include "core/presence.h"
#include "core/roster_impl.h"

static bool
has_group(const struct str *groups, size_t count, struct str group)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(groups[i], group))
			return true;
	return false;
}

/* Those of `given` first, then the others but once each. */
static struct str_list
groups_join(struct arena *a, struct str_list given, struct str_list others)
{
	size_t n = given.count + others.count, count = given.count;
	struct str *groups = arena_alloc(a, n * sizeof(*groups) + 1);

	for (size_t i = 0; i < given.count; i++)
		groups[i] = given.item[i];
	for (size_t i = 0; i < others.count; i++)
		if (!has_group(groups, count, others.item[i]))
			groups[count++] = others.item[i];
	return (struct str_list){ groups, count };
}

void
roster_item_inherit(
    struct arena *a, struct roster_item *next, const struct roster_item *cur)
{
	enum roster_sub shared = cur != NULL ? cur->shared : ROSTER_NONE;
	struct str_list given = { 0 };

	next->shared = shared;
	next->own = next->sub;
	next->is_own = next->is_in_roster;
	next->shared_groups = 0;
	next->shared_name = STR_NONE;
	if (shared == ROSTER_NONE)
		return;
	given.item = cur->groups.item;
	given.count = next->shared_groups = cur->shared_groups;
	next->groups = groups_join(a, given, next->groups);
	next->shared_name = cur->shared_name;
	/* Halves that are given don't tell what would be there without. */
	next->own = (enum roster_sub)(
	    (cur->own & shared) | (next->sub & ~(unsigned)shared));
	next->sub = (enum roster_sub)(next->sub | shared);
	if (shared & ROSTER_TO) {
		next->is_in_roster = true;
		next->is_own = cur->is_own || next->own != ROSTER_NONE;
	}
}

/* ---- granting ---------------------------------------------------------- */

struct op {
	struct arena *arena; /* it lives in it */
	struct account *acct;
	struct jid contact;
	struct shown shown;
	bool is_shown; /* from now on */
	account_done_fn *done;
	void *ctx;
};

static void
on_kept(void *ctx, int err)
{
	struct op *op = ctx;

	if (err == 0) {
		presence_hide(op->acct, &op->shown, &op->contact);
		if (op->is_shown)
			presence_show_all(op->acct, &op->contact);
	}
	if (op->done != NULL)
		op->done(op->ctx, err);
	arena_free(&op->arena);
}

static struct roster_item
granted(struct arena *a, const struct roster_item *cur,
    const struct roster_grant *grant)
{
	struct roster_item next = *cur;
	struct str_list given = grant->groups, others = cur->groups;

	given.count = MIN(given.count, ROSTER_GRANT_GROUPS_MAX);
	others.item += cur->shared_groups;
	others.count -= cur->shared_groups;
	next.jid = grant->jid;
	next.shared = grant->sub;
	next.sub = (enum roster_sub)(cur->own | grant->sub);
	next.is_in_roster = cur->is_own || grant->sub & ROSTER_TO;
	next.groups = groups_join(a, given, others);
	next.shared_groups = given.count;
	next.is_asking = cur->is_asking && !(next.sub & ROSTER_TO);
	next.is_pending_in = cur->is_pending_in && !(next.sub & ROSTER_FROM);
	if (!next.is_pending_in)
		next.request = STR_NONE;
	if (str_is_empty(cur->name) || str_eq(cur->name, cur->shared_name))
		next.name = grant->name;
	next.shared_name = grant->name;
	return next;
}

static bool
is_the_same(const struct roster_item *a, const struct roster_item *b)
{
	if (a->shared != b->shared || a->sub != b->sub ||
	    a->groups.count != b->groups.count ||
	    a->shared_groups != b->shared_groups || !str_eq(a->name, b->name) ||
	    !str_eq(a->shared_name, b->shared_name))
		return false;
	for (size_t i = 0; i < a->groups.count; i++)
		if (!str_eq(a->groups.item[i], b->groups.item[i]))
			return false;
	return true;
}

void
roster_share(struct account *acct, const struct roster_grant *grant,
    account_done_fn *done, void *ctx)
{
	const struct roster_item *cur = roster_find(acct, grant->jid.full);
	struct roster_item none = { 0 }, next;
	struct arena *a = arena_new(0);
	struct op *op = arena_new_of(a, struct op);

	if (cur == NULL)
		cur = &none;
	next = granted(a, cur, grant);
	op->arena = a;
	op->acct = acct;
	op->contact = jid_dup(a, &grant->jid);
	op->done = done;
	op->ctx = ctx;
	if (is_the_same(cur, &next)) {
		if (done != NULL)
			roster_wait(acct, 0, on_kept, op);
		else
			arena_free(&op->arena);
		return;
	}
	op->is_shown = next.sub & ROSTER_FROM && !(cur->sub & ROSTER_FROM);
	if (cur->sub & ROSTER_FROM && !(next.sub & ROSTER_FROM))
		op->shown = presence_shown(acct, a);
	roster_change_shared(acct, &next, on_kept, op);
}

void
roster_unshare(struct account *acct)
{
	struct arena *a = arena_new(0);
	struct roster_grant *grants =
	    arena_alloc(a, (acct->roster->map.count + 1) * sizeof(*grants));
	const struct roster_item *item;
	size_t count = 0;

	/* A change of the map ends a walk: so they are noted first. */
	for (size_t i = 0; (item = roster_next(acct, &i)) != NULL;)
		if (item->shared != ROSTER_NONE)
			grants[count++] =
			    (struct roster_grant){ .jid =
						       jid_dup(a, &item->jid) };
	for (size_t i = 0; i < count; i++)
		roster_share(acct, &grants[i], NULL, NULL);
	arena_free(&a);
}
