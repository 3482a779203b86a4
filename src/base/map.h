/* SPDX-License-Identifier: MIT */
/*
 * Hash maps from counted strings to pointers. The map borrows its keys:
 * keep them in the value, so that they live as long. Values are never NULL.
 * One thread at a time.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/base.h"
#include "base/str.h"

struct map_slot {
	struct str key;
	void *value;
	uint32_t hash;
};

struct map {
	struct map_slot *slots; /* open addressing, a power of two */
	uint32_t cap;
	uint32_t count;
	uint32_t used; /* slots with an entry or the mark of a removed one */
};

/* {0} is an empty map, and takes no memory. */
API void map_fini(struct map *m);
API void *map_get(const struct map *m, struct str key);
/* Sets or replaces key and value; answers the value that was there, or NULL. */
API void *map_set(struct map *m, struct str key, void *value);
/* Removes; answers the value that was there, or NULL. */
API void *map_del(struct map *m, struct str key);
/*
 * Walks in no order: for (size_t i = 0; (v = map_next(m, &i)) != NULL;).
 * The map may lose the entry just answered meanwhile, and no other.
 */
API void *map_next(const struct map *m, size_t *pos);

#endif
