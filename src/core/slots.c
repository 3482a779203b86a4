/* SPDX-License-Identifier: MIT */
/*
 * Slots: what modules keep in accounts and sessions. An array of pointers by
 * module index, made with the first slot asked for; its place 0, which is no
 * module's, holds its length.
 */
#include "core/mods.h"

#define SLOTS_STEP 8

static size_t
slots_count(void *const *slots)
{
	return slots != NULL ? (size_t)(uintptr_t)slots[0] : 0;
}

static void *
slot_peek(void *const *slots, const struct mod *m)
{
	unsigned index = m->loaded->index;

	return index < slots_count(slots) ? slots[index] : NULL;
}

static void *
slot_get(void ***slots, const struct mod *m, size_t size)
{
	size_t count = slots_count(*slots), index = m->loaded->index, want;

	must(size > 0);
	if (index >= count) {
		want = (index / SLOTS_STEP + 1) * SLOTS_STEP;
		*slots = (void **)xrealloc(*slots, want * sizeof(**slots));
		memset(*slots + count, 0, (want - count) * sizeof(**slots));
		(*slots)[0] = (void *)(uintptr_t)want;
	}
	if ((*slots)[index] == NULL)
		(*slots)[index] = xzalloc(size);
	return (*slots)[index];
}

void *
account_slot(struct account *acct, struct mod *m)
{
	return slot_get(&acct->slots, m, m->table->account_size);
}

void *
account_slot_peek(const struct account *acct, struct mod *m)
{
	return slot_peek(acct->slots, m);
}

void *
session_slot(struct session *s, struct mod *m)
{
	return slot_get(&s->slots, m, m->table->session_size);
}

void *
session_slot_peek(const struct session *s, struct mod *m)
{
	return slot_peek(s->slots, m);
}

/* ---- freeing ---- */

static struct mod *
slot_owner(const struct host *host, size_t index)
{
	struct mod *m;

	if (worker == NULL)
		return NULL;
	m = worker_host(worker, host)->mod[index];
	return m != NULL ? m : worker_host(worker, NULL)->mod[index];
}

static void
slot_free(void **slot, struct mod *m, bool is_session)
{
	void (*fn)(struct mod *, void *) = NULL;

	if (m != NULL)
		fn = is_session ? m->table->session_free
				: m->table->account_free;
	if (fn != NULL)
		fn(m, *slot);
	xfree(*slot);
	*slot = NULL;
}

static void
slots_free(void ***slots, const struct host *host, bool is_session)
{
	size_t count = slots_count(*slots);

	for (size_t i = 1; i < count; i++) {
		if ((*slots)[i] != NULL)
			slot_free(
			    &(*slots)[i], slot_owner(host, i), is_session);
	}
	xfree(*slots);
	*slots = NULL;
}

void
slots_free_account(struct account *acct)
{
	slots_free(&acct->slots, acct->host, false);
}

void
slots_free_session(struct session *s)
{
	slots_free(&s->slots, s->account->host, true);
}

static void
unwanted_drop(void **slots, const struct host *host, bool is_session)
{
	size_t count = slots_count(slots);

	for (size_t i = 1; i < count; i++) {
		struct mod *m = slot_owner(host, i);

		if (slots[i] != NULL && m != NULL && !m->is_wanted)
			slot_free(&slots[i], m, is_session);
	}
}

static void
on_session(void *ctx, struct session *s)
{
	unwanted_drop(s->slots, s->account->host, true);
}

static void
on_account(void *ctx, struct account *acct)
{
	unwanted_drop(acct->slots, acct->host, false);
}

void
slots_drop_unwanted(void)
{
	session_each(on_session, NULL);
	account_each(on_account, NULL);
}
