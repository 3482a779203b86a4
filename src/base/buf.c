/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST 256

void
buf_fini(struct buf *b)
{
	xfree(b->p);
	*b = (struct buf){ 0 };
}

void
buf_clear(struct buf *b)
{
	b->n = 0;
}

void
buf_reserve(struct buf *b, size_t more)
{
	size_t cap = MAX(b->cap, BUF_FIRST);

	must(more < SIZE_MAX / 4 - b->n);
	if (b->p != NULL && b->cap - b->n >= more)
		return;
	while (cap - b->n < more)
		cap *= 2;
	b->p = (char *)xrealloc(b->p, cap);
	b->cap = cap;
}

void
buf_fit(struct buf *b)
{
	if (b->n == 0) {
		buf_fini(b);
		return;
	}
	b->p = (char *)xrealloc(b->p, b->n);
	b->cap = b->n;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	buf_reserve(b, n);
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

void
buf_add_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void
buf_add_c(struct buf *b, char c)
{
	buf_reserve(b, 1);
	b->p[b->n++] = c;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	buf_reserve(b, 128);
	va_start(ap, fmt);
	n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
	va_end(ap);
	must(n >= 0);
	if ((size_t)n >= b->cap - b->n) {
		buf_reserve(b, (size_t)n + 1);
		va_start(ap, fmt);
		vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
}

void
buf_shift(struct buf *b, size_t n)
{
	must(n <= b->n);
	b->n -= n;
	if (n > 0 && b->n > 0)
		memmove(b->p, b->p + n, b->n);
}

struct wire *
wire_new(struct str bytes)
{
	return wire_join(&bytes, 1);
}

struct wire *
wire_join(const struct str *parts, size_t count)
{
	struct wire *w;
	size_t n = 0;
	char *p;

	for (size_t i = 0; i < count; i++)
		n += parts[i].n;
	must(n <= UINT32_MAX);
	w = (struct wire *)xmalloc(sizeof(*w) + n);
	w->refs = 1;
	w->n = (uint32_t)n;
	p = w->p;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].n == 0)
			continue;
		memcpy(p, parts[i].p, parts[i].n);
		p += parts[i].n;
	}
	return w;
}

struct wire *
wire_ref(struct wire *w)
{
	__atomic_fetch_add(&w->refs, 1, __ATOMIC_RELAXED);
	return w;
}

void
wire_unref(struct wire **w)
{
	struct wire *gone = *w;

	*w = NULL;
	if (gone != NULL &&
	    __atomic_fetch_sub(&gone->refs, 1, __ATOMIC_ACQ_REL) == 1)
		xfree(gone);
}
