/* SPDX-License-Identifier: MIT */
#include "net/outq.h"

/* Wires of up to so many bytes are copied: cheaper than a piece of iovec. */
#define COPY_MAX 512
/* But not when the peer is slow and much waits: then they are shared. */
#define COPY_QUEUE_MAX 8192

#define SPARES_MAX 128
#define SPARE_SIZE 1024
#define SPARE_SIZE_MAX 8192
/* Bytes that are out and in the way of a buffer that never empties. */
#define COMPACT_MIN 32768

struct outq_wires {
	uint32_t first; /* those before are out */
	uint32_t count;
	uint32_t cap;
	uint32_t out; /* bytes of the first that are out */
	struct {
		size_t at; /* place in the buffer that it goes before */
		struct wire *wire;
	} item[];
};

static _Thread_local struct buf spares[SPARES_MAX];
static _Thread_local unsigned spare_count;

void
outq_thread_done(void)
{
	while (spare_count > 0)
		buf_fini(&spares[--spare_count]);
}

struct buf *
outq_buf(struct outq *q)
{
	if (q->bytes.p == NULL) {
		if (spare_count > 0)
			q->bytes = spares[--spare_count];
		else
			buf_reserve(&q->bytes, SPARE_SIZE);
	}
	return &q->bytes;
}

static void
buf_spare(struct buf *b)
{
	if (b->p == NULL)
		return;
	if (spare_count == SPARES_MAX || b->cap > SPARE_SIZE_MAX) {
		buf_fini(b);
		return;
	}
	buf_clear(b);
	spares[spare_count++] = *b;
	*b = (struct buf){ 0 };
}

static struct outq_wires *
wires_grow(struct outq_wires *w)
{
	uint32_t cap = w != NULL ? w->cap * 2 : 8;
	bool is_new = w == NULL;

	w = (struct outq_wires *)xrealloc(
	    w, sizeof(*w) + cap * sizeof(w->item[0]));
	if (is_new)
		w->first = w->count = w->out = 0;
	w->cap = cap;
	return w;
}

static void
wires_compact(struct outq_wires *w)
{
	w->count -= w->first;
	memmove(w->item, w->item + w->first, w->count * sizeof(w->item[0]));
	w->first = 0;
}

void
outq_wire(struct outq *q, struct wire *w)
{
	struct outq_wires *ws = q->wires;

	if (w->n == 0)
		return;
	if (w->n <= COPY_MAX && outq_size(q) < COPY_QUEUE_MAX) {
		buf_add(outq_buf(q), w->p, w->n);
		return;
	}
	if (ws != NULL && ws->count == ws->cap && ws->first >= ws->cap / 2)
		wires_compact(ws);
	if (ws == NULL || ws->count == ws->cap)
		q->wires = ws = wires_grow(ws);
	ws->item[ws->count].at = q->bytes.n;
	ws->item[ws->count++].wire = wire_ref(w);
	q->wire_bytes += w->n;
}

static int
piece_add(struct iovec *pieces, int count, char *p, size_t n)
{
	if (n == 0)
		return count;
	pieces[count] = (struct iovec){ p, n };
	return count + 1;
}

int
outq_pieces(const struct outq *q, struct iovec *pieces_r, int max)
{
	const struct outq_wires *ws = q->wires;
	size_t at = q->head;
	int count = 0;

	for (uint32_t i = ws != NULL ? ws->first : 0;
	     ws != NULL && i < ws->count && count + 1 < max; i++) {
		struct wire *w = ws->item[i].wire;
		uint32_t out = i == ws->first ? ws->out : 0;

		count = piece_add(
		    pieces_r, count, q->bytes.p + at, ws->item[i].at - at);
		at = ws->item[i].at;
		count = piece_add(pieces_r, count, w->p + out, w->n - out);
		if (i + 1 < ws->count && count + 1 >= max)
			return count;
	}
	if (count < max)
		count = piece_add(
		    pieces_r, count, q->bytes.p + at, q->bytes.n - at);
	return count;
}

static void
outq_compact(struct outq *q)
{
	if (q->head < COMPACT_MIN || q->head < q->bytes.n / 2)
		return;
	buf_shift(&q->bytes, q->head);
	if (q->wires != NULL)
		for (uint32_t i = q->wires->first; i < q->wires->count; i++)
			q->wires->item[i].at -= q->head;
	q->head = 0;
}

/* Of the first wire; answers how many of the `n` bytes were its. */
static size_t
wire_drop(struct outq *q, size_t n)
{
	struct outq_wires *ws = q->wires;
	struct wire **w = &ws->item[ws->first].wire;

	n = MIN(n, (size_t)(*w)->n - ws->out);
	ws->out += (uint32_t)n;
	q->wire_bytes -= (uint32_t)n;
	if (ws->out == (*w)->n) {
		wire_unref(w);
		ws->first++;
		ws->out = 0;
	}
	return n;
}

void
outq_drop(struct outq *q, size_t n)
{
	struct outq_wires *ws = q->wires;

	must(n <= outq_size(q));
	if (n == outq_size(q)) {
		outq_fini(q);
		return;
	}
	while (n > 0) {
		bool has_wire = ws != NULL && ws->first < ws->count;
		size_t end = has_wire ? ws->item[ws->first].at : q->bytes.n;
		size_t part = MIN(n, end - q->head);

		q->head += (uint32_t)part;
		n -= part;
		if (n > 0)
			n -= wire_drop(q, n);
	}
	outq_compact(q);
}

void
outq_fini(struct outq *q)
{
	struct outq_wires *ws = q->wires;

	if (ws != NULL)
		for (uint32_t i = ws->first; i < ws->count; i++)
			wire_unref(&ws->item[i].wire);
	xfree(ws);
	buf_spare(&q->bytes);
	*q = (struct outq){ 0 };
}
