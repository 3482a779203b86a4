/* SPDX-License-Identifier: MIT */
/*
 * Slots: what modules keep in accounts and sessions. An account uses but a
 * few of all the modules there are, so its slots are a short list: how many
 * there are, then for each the module's index and its state, NULL once that
 * has been freed.
 */
#include "core/mods.h"

#define INDEX(i) (2 * (i) + 1)
#define STATE(i) (2 * (i) + 2)

static size_t
slots_count(void *const *slots)
{
	return slots != NULL ? (size_t)(uintptr_t)slots[0] : 0;
}

static unsigned
slot_index(void *const *slots, size_t i)
{
	return (unsigned)(uintptr_t)slots[INDEX(i)];
}

/* A place whose state was freed, or the end. */
static size_t
slot_vacant(void *const *slots)
{
	size_t count = slots_count(slots), i = 0;

	while (i < count && slots[STATE(i)] != NULL)
		i++;
	return i;
}

/* Its place in the list, or the end. */
static size_t
slot_find(void *const *slots, unsigned index)
{
	size_t count = slots_count(slots), i = 0;

	while (i < count && slot_index(slots, i) != index)
		i++;
	return i;
}

static void *
slot_peek(void *const *slots, const struct mod *m)
{
	size_t i = slot_find(slots, m->loaded->index);

	return i < slots_count(slots) ? slots[STATE(i)] : NULL;
}

static void *
slot_get(void ***slots, const struct mod *m, size_t size)
{
	size_t count = slots_count(*slots);
	size_t i = slot_find(*slots, m->loaded->index);

	must(size > 0);
	if (i == count)
		i = slot_vacant(*slots);
	if (i == count) {
		*slots =
		    (void **)xrealloc(*slots, (STATE(i) + 1) * sizeof(**slots));
		(*slots)[0] = (void *)(uintptr_t)(i + 1);
		(*slots)[STATE(i)] = NULL;
	}
	if ((*slots)[STATE(i)] == NULL) {
		(*slots)[INDEX(i)] = (void *)(uintptr_t)m->loaded->index;
		(*slots)[STATE(i)] = xzalloc(size);
	}
	return (*slots)[STATE(i)];
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
slot_free(void ***slots, size_t i, struct mod *m, bool is_session)
{
	void *state = (*slots)[STATE(i)];
	void (*fn)(struct mod *, void *) = NULL;

	if (m != NULL)
		fn = is_session ? m->table->session_free
				: m->table->account_free;
	if (fn != NULL)
		fn(m, state);
	xfree(state);
	(*slots)[STATE(i)] = NULL;
}

static void
slots_free(void ***slots, const struct host *host, bool is_session)
{
	/* What a module does then may bring new ones. */
	for (size_t i = 0; i < slots_count(*slots); i++) {
		if ((*slots)[STATE(i)] != NULL)
			slot_free(slots, i,
			    slot_owner(host, slot_index(*slots, i)),
			    is_session);
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
unwanted_drop(void ***slots, const struct host *host, bool is_session)
{
	for (size_t i = 0; i < slots_count(*slots); i++) {
		struct mod *m = slot_owner(host, slot_index(*slots, i));

		if ((*slots)[STATE(i)] != NULL && m != NULL && !m->is_wanted)
			slot_free(slots, i, m, is_session);
	}
}

static void
on_session(void *ctx, struct session *s)
{
	unwanted_drop(&s->slots, s->account->host, true);
}

static void
on_account(void *ctx, struct account *acct)
{
	unwanted_drop(&acct->slots, acct->host, false);
}

void
slots_drop_unwanted(void)
{
	session_each(on_session, NULL);
	account_each(on_account, NULL);
}
