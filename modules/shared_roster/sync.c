/* SPDX-License-Identifier: MIT */
/* Rosters are made to say what the groups say, as accounts are loaded. */
#include "modules/shared_roster/shared_roster.h"

/* Accounts in memory: so much each time, so that nobody has to wait. */
#define BATCH 500 /* grants */
#define PAUSE_MS 1

/* How many grants it looked at. */
static size_t
account_sync(struct mod *m, struct account *acct)
{
	const struct shared *s = mod_state(m);
	struct arena *a = arena_new(0);
	struct map grants =
	    table_grants(&s->table, a, mod_host(m), acct->jid.local);
	const struct roster_item *item;
	struct roster_grant *grant;
	size_t count;

	for (size_t i = 0; (item = roster_next(acct, &i)) != NULL;) {
		if (item->shared == ROSTER_NONE ||
		    map_get(&grants, item->jid.full) != NULL)
			continue;
		grant = arena_new_of(a, struct roster_grant);
		grant->jid = jid_dup(a, &item->jid);
		map_set(&grants, grant->jid.full, grant);
	}
	for (size_t i = 0; (grant = map_next(&grants, &i)) != NULL;)
		roster_share(acct, grant, NULL, NULL);
	count = grants.count;
	map_fini(&grants);
	arena_free(&a);
	return count;
}

void
shared_on_roster(struct mod *m, struct account *acct)
{
	const struct shared *s = mod_state(m);

	/* Until the groups are known, what was given stays. */
	if (s->is_ready && table_is_whole(&s->table))
		account_sync(m, acct);
}

static void
on_todo(struct timer *t)
{
	struct shared *s = CONTAINER_OF(t, struct shared, todo_timer);
	struct account *acct;
	struct mod *m;

	for (size_t n = 0; n < BATCH && s->todo_left > 0; n++) {
		const struct jid *jid = &s->todo[s->todo_next];

		s->todo_next = (s->todo_next + 1) % s->todo_count;
		s->todo_left--;
		acct = account_peek(jid->bare);
		m = acct != NULL ? mod_find(acct->host, "shared_roster") : NULL;
		if (m == NULL)
			continue;
		account_pin(acct);
		n += account_sync(m, acct);
		account_unpin(acct);
	}
	if (s->todo_left > 0)
		timer_start(t, PAUSE_MS, on_todo);
	else
		arena_free(&s->todo_arena);
}

struct noting {
	struct mod *m;
	size_t count;
};

static void
count_one(void *ctx, struct account *acct)
{
	struct noting *n = ctx;

	n->count += acct->host == mod_host(n->m);
}

static void
note_one(void *ctx, struct account *acct)
{
	struct noting *n = ctx;
	struct shared *s = mod_state(n->m);

	if (acct->host == mod_host(n->m))
		s->todo[s->todo_count++] = jid_dup(s->todo_arena, &acct->jid);
}

void
shared_sync(struct mod *m)
{
	struct shared *s = mod_state(m);
	struct noting n = { m, 0 };

	shared_sync_stop(m);
	/* It will be called again when all is known. */
	if (!table_is_whole(&s->table))
		return;
	account_each(count_one, &n);
	if (n.count == 0)
		return;
	s->todo_arena = arena_new(0);
	s->todo = arena_alloc(s->todo_arena, n.count * sizeof(*s->todo));
	account_each(note_one, &n);
	/* From where it was, or many changes would keep the last waiting. */
	s->todo_next %= s->todo_count;
	s->todo_left = s->todo_count;
	timer_start(&s->todo_timer, 0, on_todo);
}

void
shared_sync_stop(struct mod *m)
{
	struct shared *s = mod_state(m);

	timer_stop(&s->todo_timer);
	arena_free(&s->todo_arena);
	s->todo_count = s->todo_left = 0;
}
