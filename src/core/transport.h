/* SPDX-License-Identifier: MIT */
/*
 * What carries a stream: TCP, a WebSocket, BOSH. The stream writes stanzas
 * into the transport's buffer; the transport feeds what it reads to the
 * stream.
 */
#ifndef CORE_TRANSPORT_H
#define CORE_TRANSPORT_H

#include "base/buf.h"
#include "net/conn.h"

struct stream;
struct transport;

struct transport_ops {
	const char *name; /* "tcp", "websocket", "bosh" */
	bool is_framed;	  /* <open/> instead of <stream:stream> (RFC 7395) */
	bool can_move;	  /* to the home of its account */
	/* What it sends may be lost; it tells by stream_confirmed(). */
	bool tells_arrival;
	/* The buffer to append one whole stanza (or header) to, then end. */
	struct buf *(*begin)(struct transport *t);
	void (*end)(struct transport *t);
	/* One whole stanza that is shared with others. */
	void (*send_wire)(struct transport *t, struct wire *w);
	size_t (*queued)(const struct transport *t);
	void (*start_tls)(struct transport *t); /* NULL: has no STARTTLS */
	void (*pause)(struct transport *t);
	void (*resume)(struct transport *t);
	void (*set_rate)(struct transport *t, uint32_t bytes_per_s);
	/* As conn_move(); NULL unless can_move. */
	void (*move)(struct transport *t, struct loop *to,
	    void (*arrived)(void *ctx), void *ctx);
	/* Flushes and closes. stream_gone() follows, in a later turn. */
	void (*close)(struct transport *t);
	bool (*is_tls)(const struct transport *t);
	/* As conn_tls_binding(): of the TLS underneath, or ERR_ABSENT. */
	int (*binding)(const struct transport *t, enum tls_binding kind,
	    struct arena *a, struct str *bytes_r);
	const struct addr *(*peer)(const struct transport *t);
	/* The conn, for logs of TLS details; NULL if there is none. */
	struct conn *(*conn)(const struct transport *t);
};

struct transport {
	const struct transport_ops *ops;
	struct stream *stream;
};

/* For TCP: makes a transport that owns the conn. */
struct transport *transport_tcp(struct conn *c);
/*
 * Begins a stream over a WebSocket, once the answer to the upgrade has been
 * sent. websocket_accept: what that answer makes of the client's key.
 */
API void websocket_start(struct conn *c);
API const char *websocket_accept(struct arena *a, struct str key);

#endif
