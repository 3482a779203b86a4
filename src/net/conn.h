/* SPDX-License-Identifier: MIT */
/*
 * Connections: bytes over TCP, with or without TLS.
 *
 * A conn belongs to one loop, and may be moved to another. Input is read
 * into the loop's one shared buffer and lent to the owner for the call;
 * output is queued and flushed once at the end of the loop's turn with one
 * writev() or as few TLS records as fit. An idle connection holds no
 * buffers. The owner embeds nothing: it gets a pointer that is valid until
 * its `closed` has returned.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/buf.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"

struct conn;

/* Queued bytes above which `drained` will be called later. */
#define CONN_HIGH_MARK 65536

struct conn_events {
	/* Plain bytes (decrypted); lent for the call. */
	void (*data)(void *ctx, const char *p, size_t n);
	/* The TLS handshake is done. May be NULL. */
	void (*secured)(void *ctx);
	/*
	 * More than CONN_HIGH_MARK was queued, and less than half of it is
	 * again. May be NULL.
	 */
	void (*drained)(void *ctx);
	/*
	 * The connection is gone: err is 0 after the peer's orderly end or
	 * our own conn_close(), else why. The last call; never made from
	 * inside conn_send() or conn_close(), but from the loop.
	 */
	void (*closed)(void *ctx, int err);
};

/* Sets who hears of it from now on; a fresh conn reads nothing before. */
API void conn_set_owner(
    struct conn *c, const struct conn_events *events, void *ctx);

/*
 * Queues a copy, or a reference of its own. Silently nothing once it is
 * closing.
 */
API void conn_send(struct conn *c, struct str bytes);
API void conn_send_wire(struct conn *c, struct wire *w);
/*
 * The buffer that conn_send() appends to, for writers that make their output
 * in place: append, then call conn_touched().
 */
API struct buf *conn_out(struct conn *c);
API void conn_touched(struct conn *c);
/* Bytes that are queued and not yet taken by the kernel. */
API size_t conn_queued(const struct conn *c);

/* Writes out what is queued (5 s at most), ends TLS and closes. */
API void conn_close(struct conn *c);
/* Closes at once. */
API void conn_abort(struct conn *c);

/* Stop and start reading; the kernel's buffers then slow the peer. */
API void conn_pause(struct conn *c);
API void conn_resume(struct conn *c);
/*
 * At most this many bytes a second on average (0: no limit), with bursts of
 * twice as many: the reader is slowed, nothing is lost.
 */
API void conn_set_rate(struct conn *c, uint32_t bytes_per_s);

/*
 * The peer is dead, and the connection fails, when for so long it acknowledges
 * nothing of what was sent, or takes nothing; or, if nothing is under way, when
 * it does not answer probes for about as long again. By the kernel.
 */
void conn_set_patience(struct conn *c, uint64_t ms);

/*
 * Starts TLS as a server once what is queued is out. Plain bytes that have
 * arrived meanwhile are a protocol error: the conn is aborted.
 */
API void conn_start_tls(struct conn *c, enum tls_role role);

/*
 * Starts TLS as a client once what is queued is out. We show the certificate
 * that we have for `own` (ASCII, as is `server`); anybody's is taken: see
 * conn_tls_verify(). `is_direct`: no STARTTLS came before, so ALPN tells the
 * role's protocol.
 */
void conn_start_tls_client(struct conn *c, const char *server, struct str own,
    enum tls_role role, bool is_direct);

/*
 * Takes the connection, with its queues, from the calling thread's loop to
 * another one and calls arrived(ctx) there. Between the call and `arrived` the
 * owner must leave the conn alone; no event is delivered meanwhile. The
 * owner's ctx moves along.
 */
API void conn_move(struct conn *c, struct loop *to, void (*arrived)(void *ctx));

/*
 * Both ends. The peer is the one that a PROXY header told; `local` is valid
 * until the thread asks again, and its `len` may be 0.
 */
API const struct addr *conn_peer(const struct conn *c);
/* loop_now() when it was accepted, before PROXY header and handshake. */
API uint64_t conn_since(const struct conn *c);
API const struct addr *conn_local(const struct conn *c);
/* Is its handshake done? */
API bool conn_is_tls(const struct conn *c);
/* "TLSv1.3", and the server name that the peer asked for, or NULL. */
API const char *conn_tls_version(const struct conn *c);
API const char *conn_tls_cipher(const struct conn *c);
API const char *conn_tls_sni(const struct conn *c);
API const char *conn_tls_alpn(const struct conn *c);

/*
 * Is the peer, by its certificate and those whom we trust, the XMPP server of
 * this domain (DNS-ID, SRV-ID or xmppAddr)? 0; ERR_ABSENT without a
 * certificate; ERR_DENIED with *why_r, which is static. TLS_S2S only.
 */
int conn_tls_verify(
    const struct conn *c, struct str domain, const char **why_r);

/*
 * How many addresses of users (xmppAddr) the client's certificate is for, and
 * which, in the arena. ERR_ABSENT when it showed none, ERR_DENIED, with
 * *why_r, which is static, when nobody whom we trust vouches for it. It is
 * looked at once: what holds then holds for the connection.
 */
int conn_tls_client(const struct conn *c, struct arena *a, struct str *addrs_r,
    size_t max, const char **why_r);

/* For people: its names, its issuer, and how long it lasts. */
void conn_tls_describe_peer(const struct conn *c, char *text_r, size_t size);

enum tls_binding {
	TLS_EXPORTER,	      /* RFC 9266, TLS 1.3 (and 1.2 with EMS) */
	TLS_SERVER_END_POINT, /* RFC 5929 */
	TLS_UNIQUE,	      /* RFC 5929; for TLS 1.2 */
};
/*
 * Bytes of the channel binding, or ERR_ABSENT when it has none of the kind.
 * With NULL for `bytes_r` it only tells whether there is one, which is much
 * cheaper than to make it.
 */
API int conn_tls_binding(const struct conn *c, enum tls_binding kind,
    struct arena *a, struct str *bytes_r);

/*
 * Connects. done(ctx, c, err) comes in a later turn: with a fresh conn, which
 * needs conn_set_owner(), or NULL and why there is none.
 */
typedef void conn_done_fn(void *ctx, struct conn *c, int err);
struct connecting;
struct connecting *conn_connect(
    const struct addr *to, uint64_t timeout_ms, conn_done_fn *done, void *ctx);
/* `done` is not called any more. Not after it has been. */
void conn_connect_stop(struct connecting **k);

/* For tests and clients inside: a conn over a connected socket. */
struct conn *conn_new(int fd, const struct addr *peer);
/* Closes all of the calling loop's connections (at its end). */
void conn_abort_all(void);

#endif
