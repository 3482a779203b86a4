/* SPDX-License-Identifier: MIT */
/* What a connection is made of; for the files of net only. */
#ifndef NET_CONN_IMPL_H
#define NET_CONN_IMPL_H

#include "net/conn.h"
#include "net/loop_impl.h"
#include "net/outq.h"

enum conn_flag {
	CONN_OWNED = 1 << 0,   /* somebody hears of what is read */
	CONN_PAUSED = 1 << 1,  /* by the owner */
	CONN_STALLED = 1 << 2, /* by a congested mailbox */
	CONN_SLOWED = 1 << 3,  /* by its rate; the timer ends it */
	CONN_FULL = 1 << 4,    /* the kernel takes no more just now */
	CONN_HIGH = 1 << 5,    /* more than the high mark was queued */
	CONN_CLOSING = 1 << 6, /* writes out the rest; the timer bounds it */
	CONN_FIN = 1 << 7,     /* all is out and said so; waits for the peer */
	CONN_EOF = 1 << 8,     /* the peer has ended */
	CONN_DEAD = 1 << 9,    /* will call `closed` soon */
	CONN_MOVING = 1 << 10, /* between two loops */
};

/* When nothing may be delivered any more, even if it has been read. */
#define CONN_DEAF (CONN_PAUSED | CONN_CLOSING | CONN_DEAD | CONN_MOVING)
/* When nothing is to be read for delivery. */
#define CONN_HELD (CONN_DEAF | CONN_STALLED | CONN_SLOWED | CONN_EOF)

struct conn_tls;

struct conn {
	uv_poll_t poll;
	struct list node; /* in the loop's `conns` or `stalled` */
	struct loop *loop;
	const struct conn_events *events;
	void *ctx;
	struct deferred flush;
	struct timer timer; /* of CONN_SLOWED or CONN_CLOSING */
	struct outq out;    /* plain bytes */
	struct conn_tls *tls;
	struct conn_move *move;
	uint64_t since;	  /* loop_now() when it was accepted */
	uint64_t full_at; /* us; when its allowance is whole again */
	uint32_t rate;	  /* bytes a second; 0: no limit */
	int fd;
	int err;
	uint16_t flags;
	uint8_t polled; /* events of libuv that it waits for */
	struct addr peer;
};

#define SCRATCH_IN 65536
/* One read, and the record that an earlier one has begun. */
#define SCRATCH_PLAIN (SCRATCH_IN + 16384 + 512)
#define RECORD_MAX 16384

/* Buffers of a loop, used by one connection after the other. */
struct conn_scratch {
	struct buf sealed; /* records on their way to the kernel */
	struct buf junk;   /* what is written to a closed connection */
	char in[SCRATCH_IN];
	char plain[SCRATCH_PLAIN];
	char join[RECORD_MAX];
};

/* conn.c */

/* A conn over an accepted socket, whose options it has from the listener. */
struct conn *conn_adopt(int fd, const struct addr *peer);
/* The end, for whatever reason; `closed` is called later. */
void conn_fail(struct conn *c, int err);
/* The peer has ended its side. */
void conn_eof(struct conn *c);
/* Bytes as if they had just been read. */
void conn_input(struct conn *c, const char *p, size_t n);
/* Plain bytes that were delivered, for the owner that it has now. */
void conn_deliver(struct conn *c, const char *p, size_t n);
/*
 * Sends raw bytes; how many the kernel took (and CONN_FULL, unless all), or
 * -1 after conn_fail().
 */
ssize_t conn_write(struct conn *c, const char *p, size_t n);
/* Reads nothing for so long. */
void conn_slow(struct conn *c, uint64_t ms);
/* Waits for what it should wait for, but does not stop waiting. */
void conn_listen(struct conn *c);
/* All that wait for mailboxes to drain go on. */
void conns_unstall(struct loop *l);
void conns_thread_done(struct loop *l);

/* conn_tls.c; all but the first are for conns with TLS. */

/* `is_direct`: the peer must not ask for other protocols (ALPN). */
void conn_tls_start(struct conn *c, enum tls_role role, bool is_direct);
void conn_tls_input(struct conn *c, const char *p, size_t n);
/* Seals and sends what is queued, as far as the kernel takes it. */
void conn_tls_flush(struct conn *c);
/* Records, or an error, that were kept while nothing could be delivered. */
bool conn_tls_has_kept(const struct conn *c);
void conn_tls_go_on(struct conn *c);
/* Says that we end. */
void conn_tls_end(struct conn *c);
/* Sealed bytes that the kernel did not take. */
size_t conn_tls_queued(const struct conn *c);
void conn_tls_free(struct conn *c);

#endif
