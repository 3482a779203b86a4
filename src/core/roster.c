/* SPDX-License-Identifier: MIT */
/* Rosters in memory: loading, look-ups, changes from outside the protocol. */
#include "core/roster.h"

#include "base/err.h"
#include "base/log.h"
#include "base/random.h"
#include "core/account_impl.h"
#include "core/hooks.h"
#include "core/roster_impl.h"
#include "store/store.h"

#define PAGE 500

struct roster_entry *
roster_entry(const struct account *acct, struct str jid)
{
	return map_get(&acct->roster->map, jid);
}

const struct roster_item *
roster_find(const struct account *acct, struct str bare)
{
	const struct roster_entry *e = roster_entry(acct, bare);

	return e != NULL ? &e->item : NULL;
}

const struct roster_item *
roster_next(const struct account *acct, size_t *pos)
{
	const struct roster_entry *e = map_next(&acct->roster->map, pos);

	return e != NULL ? &e->item : NULL;
}

void
roster_tally(struct roster *r, const struct roster_entry *e, int by)
{
	size_t one = (size_t)by;

	if (e == NULL)
		return;
	r->count += e->item.is_in_roster ? one : 0;
	r->own += e->item.is_own ? one : 0;
	r->lent += e->item.shared != ROSTER_NONE && !e->item.is_own ? one : 0;
}

size_t
roster_count(const struct account *acct)
{
	return acct->roster->count;
}

/* From the store ---------------------------------------------------------- */

/* "INSTANCE-NUMBER", as roster_version() writes it. */
static void
take_version(struct roster *r, struct str text)
{
	size_t n = text.n;
	uint64_t version;

	while (n > 0 && text.p[n - 1] != '-')
		n--;
	if (n < 2 || n > sizeof(r->instance) ||
	    !str_to_u64(str_skip(text, n), &version))
		return;
	memcpy(r->instance, text.p, n - 1);
	r->instance[n - 1] = '\0';
	r->version = r->durable = version;
}

static void
take_item(struct account *acct, const struct kv_item *kv)
{
	struct roster *r = acct->roster;
	struct arena *a = arena_new(0);
	struct roster_item item;
	struct roster_entry *e, *old;

	if (roster_item_parse(a, kv->value, &item) < 0) {
		log_error(NULL,
		    "roster of " STR_FMT ": cannot read the item " STR_FMT,
		    STR_ARG(acct->jid.bare), STR_ARG(kv->key));
		arena_free(&a);
		return;
	}
	e = roster_entry_new(&item);
	old = map_set(&r->map, e->item.jid.full, e);
	roster_tally(r, old, -1);
	xfree(old);
	roster_tally(r, e, 1);
	arena_free(&a);
}

static void
complete(struct roster *r)
{
	struct arena *a;

	if (r->instance[0] == '\0') {
		a = arena_new(0);
		memcpy(r->instance, random_token(a, 9).p, 12);
		arena_free(&a);
	}
	r->log_first = r->version + 1;
}

static void
on_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct account *acct = ctx;

	for (size_t i = 0; i < count; i++) {
		if (str_is(items[i].key, ROSTER_VERSION_KEY))
			take_version(acct->roster, items[i].value);
		else
			take_item(acct, &items[i]);
	}
	if (err == 0 && count == PAGE) {
		kv_list(acct->jid.bare, STR("roster"), items[count - 1].key,
		    false, PAGE, on_page, acct);
		return;
	}
	complete(acct->roster);
	if (err == 0 && hook_has(HOOK_ROSTER_LOADED, acct->host))
		hook_account(HOOK_ROSTER_LOADED, acct);
	else if (err == 0 && acct->roster->map.count > acct->roster->own)
		roster_unshare(acct);
	account_load_release(acct, err);
}

void
roster_load(struct account *acct)
{
	acct->roster = xzalloc(sizeof(*acct->roster));
	list_init(&acct->roster->pending);
	account_load_hold(acct);
	kv_list(acct->jid.bare, STR("roster"), STR_NONE, false, PAGE, on_page,
	    acct);
}

void
roster_free(struct roster **r)
{
	struct roster_entry *e;

	if (*r == NULL)
		return;
	for (size_t i = 0; (e = map_next(&(*r)->map, &i)) != NULL;)
		xfree(e);
	map_fini(&(*r)->map);
	for (size_t i = 0; (*r)->log != NULL && i < ROSTER_LOG; i++)
		str_free(&(*r)->log[i]);
	xfree((*r)->log);
	xfree(*r);
	*r = NULL;
}

/* Changes from outside the protocol --------------------------------------- */

int
roster_put(struct account *acct, const struct roster_item *item,
    account_done_fn *done, void *ctx)
{
	const struct roster_item *cur = roster_find(acct, item->jid.full);
	struct roster_item next = *item;

	next.is_in_roster = true;
	/* A request that is not answered by this goes on waiting. */
	next.is_pending_in =
	    cur != NULL && cur->is_pending_in && !(item->sub & ROSTER_FROM);
	next.request = next.is_pending_in ? cur->request : STR_NONE;
	return roster_change(acct, &next, true, done, ctx);
}

int
roster_remove(
    struct account *acct, struct str bare, account_done_fn *done, void *ctx)
{
	const struct roster_item *cur = roster_find(acct, bare);
	struct roster_item none = { 0 };

	if (cur == NULL)
		return ERR_ABSENT;
	if (cur->shared != ROSTER_NONE && !cur->is_own)
		return ERR_DENIED;
	none.jid = cur->jid;
	return roster_change(acct, &none, false, done, ctx);
}
