/* SPDX-License-Identifier: MIT */
/*
 * Arenas: memory that is taken piece by piece and given back in one go.
 *
 * Nothing in an arena is freed alone, and no allocation fails. An arena may
 * pass from thread to thread, but only one thread may use it at a time. The
 * first chunk comes from a small cache of the thread, so that an arena per
 * stanza costs next to nothing.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/base.h"
#include "base/str.h"

#include <stdarg.h>

struct arena;

/* `hint`: bytes expected, 0 for the usual chunk (2 KiB). */
API struct arena *arena_new(size_t hint);
/* One with room for `size` bytes and no more at first: for what is kept. */
API struct arena *arena_new_small(size_t size);
/* Frees all that was allocated and clears the pointer; NULL is fine. */
API void arena_free(struct arena **a);
/* Empties the arena and keeps its first chunk. */
API void arena_reset(struct arena *a);
/* Aligned for any object; arena_zalloc clears it. */
API void *arena_alloc(struct arena *a, size_t size);
API void *arena_zalloc(struct arena *a, size_t size);
/* Bytes without alignment, for text. */
API char *arena_bytes(struct arena *a, size_t size);
#define arena_new_of(a, type) ((type *)arena_zalloc((a), sizeof(type)))
/* Grows the arena's most recent allocation in place, or copies it. */
API void *arena_grow(struct arena *a, void *ptr, size_t old, size_t size);
/* Formatted text, ended by NUL. */
API const char *arena_printf(struct arena *a, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
API struct str str_printf(struct arena *a, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
API const char *arena_vprintf(struct arena *a, const char *fmt, va_list ap);
/* Bytes handed out and not yet given back, for limits and tests. */
API size_t arena_used(const struct arena *a);

/*
 * A number that goes up with each touch: who has derived something from what
 * is in the arena, and keeps it, learns so whether it is out of date.
 */
void arena_touch(struct arena *a);
uint32_t arena_touches(const struct arena *a);

/* Gives the thread's cached chunks back; call at the end of a thread. */
API void arena_thread_done(void);

#endif
