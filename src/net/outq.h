/* SPDX-License-Identifier: MIT */
/*
 * Output that waits to be written: copied bytes in one buffer, and wires
 * that are only referred to at their places in between. Empty, it owns no
 * memory. A queue belongs to one loop; emptied buffers are kept by the thread
 * for the next queue that needs one.
 */
#ifndef NET_OUTQ_H
#define NET_OUTQ_H

#include "base/buf.h"

#include <sys/uio.h>

struct outq_wires;

/* {0} is an empty queue. */
struct outq {
	struct buf bytes;
	struct outq_wires *wires; /* NULL without any */
	uint32_t head;		  /* bytes of the buffer that are out */
	uint32_t wire_bytes;	  /* of wires that are not */
};

/* The buffer to append to. */
struct buf *outq_buf(struct outq *q);
/* Takes a reference of its own, or a copy of few bytes. */
void outq_wire(struct outq *q, struct wire *w);

static inline size_t
outq_size(const struct outq *q)
{
	return q->bytes.n - q->head + q->wire_bytes;
}

/*
 * What is to go out first, as up to `max` pieces; their number. They are
 * valid until the queue is next changed.
 */
int outq_pieces(const struct outq *q, struct iovec *pieces_r, int max);
/* The first `n` bytes are out. An empty queue gives its memory back. */
void outq_drop(struct outq *q, size_t n);
void outq_fini(struct outq *q);

/* Frees the thread's spare buffers; call at the end of a thread. */
void outq_thread_done(void);

#endif
