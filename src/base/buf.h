/* SPDX-License-Identifier: MIT */
/*
 * Growing byte buffers on the heap, and wires: immutable, reference-counted
 * bytes that any thread may hold, for output that goes to many.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"
#include "base/str.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
};

/* {0} is an empty buffer. buf_fini frees; buf_clear keeps the memory. */
API void buf_fini(struct buf *b);
API void buf_clear(struct buf *b);
API void buf_reserve(struct buf *b, size_t more);
API void buf_add(struct buf *b, const void *p, size_t n);
API void buf_add_str(struct buf *b, struct str s);
API void buf_add_c(struct buf *b, char c);
API void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Gives back what is not used. */
API void buf_fit(struct buf *b);
/* Drops the first `n` bytes. */
API void buf_shift(struct buf *b, size_t n);

static inline struct str
buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}

/* Counted atomically. Never changed once it has been shared. */
struct wire {
	uint32_t refs;
	uint32_t n;
	char p[];
};

/* New ones, with one reference that is the caller's: of these bytes... */
API struct wire *wire_new(struct str bytes);
/* ...and of several parts joined. */
API struct wire *wire_join(const struct str *parts, size_t count);
API struct wire *wire_ref(struct wire *w);
/* Drops one reference and clears the pointer; NULL is fine. */
API void wire_unref(struct wire **w);

static inline struct str
wire_str(const struct wire *w)
{
	return (struct str){ w->p, w->n };
}

#endif
