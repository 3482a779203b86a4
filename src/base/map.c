/* SPDX-License-Identifier: MIT */
/*
 * Linear probing. A slot without a value is free, or marks a removed entry
 * (hash GONE); removing never moves other entries, so that a walk may remove.
 */
#include "base/map.h"

#define CAP_FIRST 2 /* many a map has one entry for all its life */
#define FREE 0
#define GONE 1

void
map_fini(struct map *m)
{
	xfree(m->slots);
	*m = (struct map){ 0 };
}

static uint32_t
key_hash(struct str key)
{
	return (uint32_t)str_hash(key);
}

/* The slot of that key, or NULL. */
static struct map_slot *
slot_find(const struct map *m, struct str key, uint32_t hash)
{
	size_t i = hash;

	if (m->count == 0)
		return NULL;
	for (;; i++) {
		struct map_slot *s = &m->slots[i & (m->cap - 1)];

		if (s->value == NULL && s->hash == FREE)
			return NULL;
		if (s->value != NULL && s->hash == hash && str_eq(s->key, key))
			return s;
	}
}

/* The first slot for that hash without a value. */
static struct map_slot *
slot_vacant(struct map *m, uint32_t hash)
{
	size_t i = hash;

	while (m->slots[i & (m->cap - 1)].value != NULL)
		i++;
	return &m->slots[i & (m->cap - 1)];
}

/* Room for one more: at most three quarters are taken, removed included. */
static void
map_make_room(struct map *m)
{
	struct map_slot *old = m->slots;
	uint32_t old_cap = m->cap, cap = CAP_FIRST;

	if ((m->used + 1) * 4 <= m->cap * 3)
		return;
	must(m->count < 1u << 29);
	while ((m->count + 1) * 2 > cap)
		cap *= 2;
	m->slots = (struct map_slot *)xzalloc(cap * sizeof(*m->slots));
	m->cap = cap;
	m->used = m->count;
	for (size_t i = 0; i < old_cap; i++) {
		if (old[i].value != NULL)
			*slot_vacant(m, old[i].hash) = old[i];
	}
	xfree(old);
}

void *
map_get(const struct map *m, struct str key)
{
	struct map_slot *s;

	if (m->count == 0)
		return NULL;
	s = slot_find(m, key, key_hash(key));
	return s != NULL ? s->value : NULL;
}

void *
map_set(struct map *m, struct str key, void *value)
{
	uint32_t hash = key_hash(key);
	struct map_slot *s = slot_find(m, key, hash);
	void *old;

	must(value != NULL);
	if (s != NULL) {
		old = s->value;
		s->key = key;
		s->value = value;
		return old;
	}
	map_make_room(m);
	s = slot_vacant(m, hash);
	if (s->hash == FREE)
		m->used++;
	*s = (struct map_slot){ key, value, hash };
	m->count++;
	return NULL;
}

void *
map_del(struct map *m, struct str key)
{
	struct map_slot *s = slot_find(m, key, key_hash(key)), *after;
	void *old;

	if (s == NULL)
		return NULL;
	old = s->value;
	after = &m->slots[(size_t)(s - m->slots + 1) & (m->cap - 1)];
	*s = (struct map_slot){ .hash = GONE };
	if (after->value == NULL && after->hash == FREE) {
		s->hash = FREE;
		m->used--;
	}
	m->count--;
	return old;
}

void *
map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->cap) {
		void *value = m->slots[(*pos)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}
