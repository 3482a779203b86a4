/* SPDX-License-Identifier: MIT */
/*
 * Sessions: a bound resource of an account, on the account's home loop.
 * A session with stream management outlives its stream for a while: then it
 * is detached, keeps what is not acknowledged, and may be resumed.
 */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include "base/buf.h"
#include "core/account.h"

struct flush;
struct sm;
struct stream;

/* How a client is connected, in ejabberd's words. */
enum session_via { VIA_C2S, VIA_C2S_TLS, VIA_WEBSOCKET, VIA_HTTP_BIND };

struct session {
	struct list node; /* in account->sessions */
	struct account *account;
	struct jid jid;		 /* full; the text is the session's own */
	struct stream *stream;	 /* NULL while detached */
	struct sm *sm;		 /* NULL without stream management */
	struct flush *flush;	 /* of the spool to it, under way; or NULL */
	struct stanza *presence; /* the last available broadcast, or NULL */
	struct list directed;	 /* addresses that got directed presence */
	int64_t since;		 /* clock_real() of bind */
	int64_t copies_since; /* it gets carbons since then; 0: it does not */
	void **slots;	      /* modules' state: see slots.c */
	int8_t priority;      /* of the available presence */
	bool is_interested;   /* has asked for the roster */
	uint8_t filters;      /* how many want HOOK_SESSION_SEND for it */
	bool reads_archive;   /* its client catches up from the archive */
	bool is_closing;      /* out of all look-ups already */
	bool had_initial;     /* initial presence has been sent once */
	bool is_overflowing;  /* too much is queued: it will be detached */
	enum session_via via;
	struct str lang;       /* xml:lang of its stream, or none */
	struct str client;     /* of its user agent (XEP-0388), or none */
	struct list loop_node; /* in the loop's sessions */
};

static inline bool
session_is_available(const struct session *s)
{
	return s->presence != NULL && !s->is_closing;
}

static inline bool
session_is_detached(const struct session *s)
{
	return s->stream == NULL;
}

/* A module's state in the session, as account_slot(). */
API void *session_slot(struct session *s, struct mod *m);
API void *session_slot_peek(const struct session *s, struct mod *m);

/*
 * Sends a stanza to the session's client, or into its queue while it is
 * detached. Takes the stanza over. Runs HOOK_SESSION_SEND first.
 */
API void session_send(struct session *s, struct stanza *st);
/*
 * Sends stanza bytes as rendered by stream content rules (one whole stanza,
 * standalone enough for jabber:client streams). Used for fan-out: the wire
 * is shared, not copied. `st` describes it for hooks; it stays the caller's.
 */
API void session_send_wire(
    struct session *s, struct wire *w, const struct stanza *st);
/*
 * May bytes be sent to it as they are? Not while something holds back or looks
 * at what it is sent.
 */
API bool session_takes_bytes(const struct session *s);
/*
 * Ends the session: the client gets the stream error (EL_NONE: none) with
 * text (or NULL), others get unavailable presence. Frees it, in a later turn.
 */
API void session_close(
    struct session *s, enum qname stream_error, const char *text);
/*
 * Its client does not answer any more: as if the link had been lost. With
 * stream management it may be resumed, otherwise it ends.
 */
API void session_link_dead(struct session *s);
/* Milliseconds since its client was last heard of (any byte). */
API uint64_t session_silence(const struct session *s);
/* The peer's address as text, "" while it is not connected. */
API const char *session_ip(const struct session *s);
API uint16_t session_port(const struct session *s);

/* Has it sent its presence directly to this address, or its bare one? */
API bool session_shows_to(const struct session *s, const struct jid *jid);
/*
 * Ends the presence that it has sent directly to those that fit: they get
 * unavailable presence, and are forgotten.
 */
API void session_withdraw(struct session *s,
    bool (*fits)(void *ctx, const struct jid *jid), void *ctx);

/*
 * What was sent to its client, or is queued for it, and is not acknowledged:
 * oldest first. The stanzas are lent for the call. Nothing without stream
 * management.
 */
API void session_each_unacked(struct session *s,
    void (*fn)(void *ctx, const struct stanza *st), void *ctx);

/* All sessions of the calling loop: for counts and lists. */
API void session_each(void (*fn)(void *ctx, struct session *s), void *ctx);
API size_t session_count(void);

#endif
