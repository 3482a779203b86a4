/* SPDX-License-Identifier: MIT */
/*
 * What every file of Rookery may use: sizes, checks, allocation.
 *
 * Allocation cannot fail here: out of memory aborts, with a line in the log.
 * So whatever a peer can make grow has a cap that is checked before.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Marks what modules may call; everything else is hidden in the daemon. */
#define API __attribute__((visibility("default")))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Aborts with the place and the text: for our own bugs, never for input. */
API _Noreturn void must_failed(const char *what, const char *file, int line);
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))

/* The heap. None of these returns NULL; xfree clears the pointer's owner. */
API void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
API void *xzalloc(size_t size) __attribute__((malloc, returns_nonnull));
API void *xrealloc(void *ptr, size_t size) __attribute__((returns_nonnull));
API char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
API void xfree(void *ptr);
/*
 * Gives what is free back to the system. It may take some time, in which
 * others wait who allocate: not for a loop.
 */
API void heap_trim(void);

#endif
