/* SPDX-License-Identifier: MIT */
/*
 * An arena is a list of chunks; its own struct lies in the first. Under the
 * address sanitizer nothing is cached and what was not handed out is
 * poisoned, so that stale pointers are found as with malloc.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(WITH_ASAN)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define CACHE_MAX 0
#else
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#define CACHE_MAX 64 /* first chunks a thread keeps */
#endif

#define CHUNK_FIRST 2048
#define CHUNK_MOST (64 * 1024) /* doubling stops here */
#define ALIGN alignof(max_align_t)

struct chunk {
	struct chunk *next; /* the one before it in time */
	size_t size;	    /* with this header */
	alignas(max_align_t) char data[];
};

struct arena {
	char *pos; /* in the latest chunk */
	char *end;
	struct chunk *latest;
	size_t closed; /* bytes handed out in the chunks before it */
	uint32_t touches;
};

static _Thread_local struct chunk *cache[CACHE_MAX + 1];
static _Thread_local unsigned cached;

static struct chunk *
chunk_new(size_t size)
{
	struct chunk *c;

	if (CACHE_MAX > 0 && size == CHUNK_FIRST && cached > 0)
		return cache[--cached];
	c = (struct chunk *)xmalloc(size);
	c->size = size;
	return c;
}

static void
chunk_free(struct chunk *c)
{
	UNPOISON(c, c->size);
	if (CACHE_MAX > 0 && c->size == CHUNK_FIRST && cached != CACHE_MAX)
		cache[cached++] = c;
	else
		xfree(c);
}

static char *
chunk_end(struct chunk *c)
{
	return (char *)c + c->size;
}

/* Where an arena's first allocation goes: after the arena itself. */
static char *
first_pos(struct arena *a)
{
	size_t n = (sizeof(*a) + ALIGN - 1) / ALIGN * ALIGN;

	return (char *)a + n;
}

static void
arena_start(struct arena *a, struct chunk *first)
{
	first->next = NULL;
	a->latest = first;
	a->pos = first_pos(a);
	a->end = chunk_end(first);
	a->closed = 0;
	a->touches = 0;
	POISON(a->pos, (size_t)(a->end - a->pos));
}

static struct arena *
arena_in(struct chunk *c)
{
	struct arena *a = (struct arena *)(void *)c->data;

	arena_start(a, c);
	return a;
}

/* What a chunk needs besides. */
#define EXTRA (sizeof(struct chunk) + sizeof(struct arena) + ALIGN)

struct arena *
arena_new(size_t hint)
{
	must(hint < SIZE_MAX / 2);
	if (hint > CHUNK_FIRST - EXTRA)
		return arena_in(chunk_new(hint + EXTRA));
	return arena_in(chunk_new(CHUNK_FIRST));
}

struct arena *
arena_new_small(size_t size)
{
	must(size < SIZE_MAX / 2);
	return arena_in(chunk_new(size + EXTRA));
}

void
arena_free(struct arena **a)
{
	struct chunk *c, *next;

	if (*a == NULL)
		return;
	c = (*a)->latest;
	/* First: the pointer may be in the arena itself. */
	*a = NULL;
	for (; c != NULL; c = next) {
		next = c->next;
		chunk_free(c);
	}
}

void
arena_reset(struct arena *a)
{
	struct chunk *c = a->latest;

	while (c->next != NULL) {
		struct chunk *next = c->next;

		chunk_free(c);
		c = next;
	}
	arena_start(a, c);
}

static size_t
latest_used(const struct arena *a)
{
	struct chunk *c = a->latest;

	if (c->next == NULL)
		return (size_t)(a->pos - c->data) -
		       (sizeof(*a) + ALIGN - 1) / ALIGN * ALIGN;
	return (size_t)(a->pos - c->data);
}

/* A new latest chunk with room for `size` bytes at least. */
static void
arena_extend(struct arena *a, size_t size)
{
	size_t want = MIN(a->latest->size * 2, CHUNK_MOST);
	struct chunk *c;

	must(size < SIZE_MAX / 2);
	want = MAX(want, size + sizeof(*c) + ALIGN);
	c = (struct chunk *)xmalloc(want);
	c->size = want;
	a->closed += latest_used(a);
	c->next = a->latest;
	a->latest = c;
	a->pos = c->data;
	a->end = chunk_end(c);
	POISON(a->pos, (size_t)(a->end - a->pos));
}

char *
arena_bytes(struct arena *a, size_t size)
{
	char *p;

	if (size > (size_t)(a->end - a->pos))
		arena_extend(a, size);
	p = a->pos;
	a->pos += size;
	UNPOISON(p, size);
	return p;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	size_t pad = -(uintptr_t)a->pos % ALIGN;

	if (pad > (size_t)(a->end - a->pos) ||
	    size > (size_t)(a->end - a->pos) - pad)
		arena_extend(a, size);
	else
		a->pos += pad;
	return arena_bytes(a, size);
}

void *
arena_zalloc(struct arena *a, size_t size)
{
	return memset(arena_alloc(a, size), 0, size);
}

void *
arena_grow(struct arena *a, void *ptr, size_t old, size_t size)
{
	char *p = (char *)ptr;
	void *copy;

	if (p != NULL && p + old == a->pos && size <= (size_t)(a->end - p)) {
		a->pos = p + size;
		if (size > old)
			UNPOISON(p + old, size - old);
		else
			POISON(a->pos, old - size);
		return p;
	}
	if (size <= old)
		return p;
	/* Room to grow on: what grows byte by byte is copied seldom. */
	if (size > (size_t)(a->end - a->pos) && p != NULL)
		arena_extend(a, size * 2);
	copy = arena_alloc(a, size);
	if (old > 0)
		memcpy(copy, p, old);
	return copy;
}

const char *
arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	char text[256], *p;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	must(n >= 0);
	p = arena_bytes(a, (size_t)n + 1);
	if ((size_t)n < sizeof(text))
		memcpy(p, text, (size_t)n + 1);
	else
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

const char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return text;
}

struct str
str_printf(struct arena *a, const char *fmt, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return str_c(text);
}

size_t
arena_used(const struct arena *a)
{
	return a->closed + latest_used(a);
}

void
arena_touch(struct arena *a)
{
	a->touches++;
}

uint32_t
arena_touches(const struct arena *a)
{
	return a->touches;
}

void
arena_thread_done(void)
{
	while (cached > 0)
		xfree(cache[--cached]);
}
