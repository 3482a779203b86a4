/* SPDX-License-Identifier: MIT */
/*
 * Client streams (RFC 6120): header, features, STARTTLS, SASL, binding and
 * stream management; then every stanza goes to the session's journey.
 */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include "core/session.h"
#include "core/transport.h"
#include "xml/parser.h"

enum starttls_policy { STARTTLS_REQUIRED, STARTTLS_OPTIONAL, STARTTLS_NONE };

/* How a listener wants its streams. Lives as long as they do. */
struct stream_policy {
	enum starttls_policy starttls;
	bool is_direct_tls;
};

struct stream;

/* Takes the transport over; reading begins. On the transport's loop. */
API struct stream *stream_new(
    struct transport *t, const struct stream_policy *policy);
/* Bytes (or a frame) came in: for transports. */
API void stream_input(struct stream *s, const char *p, size_t n);
API void stream_secured(struct stream *s);
API void stream_drained(struct stream *s);
/*
 * For transports that tell what has arrived: the number of stanzas that were
 * sent, and the client has all up to that number.
 */
uint32_t stream_sent(const struct stream *s);
void stream_confirmed(struct stream *s, uint32_t sent);
/* The transport is gone; the stream ends, a session may be detached. */
API void stream_gone(struct stream *s, int err);

/* Ends the stream with an error (EL_SE_...; EL_NONE: just closes). */
API void stream_fail(struct stream *s, enum qname condition, const char *text);

/* For HOOK_STREAM_FEATURES and those that show streams. */
API struct host *stream_host(const struct stream *s);
API bool stream_is_tls(const struct stream *s);
API bool stream_is_authenticated(const struct stream *s);
API struct session *stream_session(const struct stream *s);
API const struct log_ctx *stream_log(const struct stream *s);
API const struct addr *stream_peer(const struct stream *s);
/* Sends a nonza or a stanza that does not count for stream management. */
API void stream_send_elem(struct stream *s, const struct elem *e);
/*
 * For HOOK_STREAM_IQ handlers that answer later: what the client sends
 * meanwhile waits, and the stream stays in memory, even when its connection
 * is gone (then what is sent to it is nothing). Each hold needs its release.
 */
API void stream_hold(struct stream *s);
API void stream_release(struct stream *s);

/*
 * What modules remember of a stream until it has logged in: one text, or none.
 */
API void stream_set_note(struct stream *s, struct str note);
API struct str stream_note(const struct stream *s);

/*
 * A login that binds a resource right away (XEP-0386), for HOOK_BIND_PREPARE:
 * its account, and <bound/>, to which may be added. While it is held, nothing
 * goes on; each hold needs its release.
 */
struct login;
API struct account *login_account(const struct login *l);
API struct elem *login_bound(const struct login *l);
API void login_hold(struct login *l);
API void login_release(struct login *l);

/* All streams of the calling loop that have not logged in, too. */
void stream_each(void (*fn)(void *ctx, struct stream *s), void *ctx);
/* The loop's streams are told `system-shutdown` and closed. */
void stream_shutdown_all(void);

#endif
