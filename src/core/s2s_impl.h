/* SPDX-License-Identifier: MIT */
/* What streams between servers are made of; for s2s*.c. */
#ifndef CORE_S2S_IMPL_H
#define CORE_S2S_IMPL_H

#include "core/s2s.h"
#include "jid/jid.h"
#include "net/conn.h"
#include "net/dns.h"
#include "xml/parser.h"
#include "xml/writer.h"

#define S2S_ID_MAX 64

/* ---- s2s.c: what both directions share ---- */

struct s2s_stream;

struct s2s_ops {
	void (*open)(struct s2s_stream *s, const struct elem *root);
	/* The element's arena is the callee's. */
	void (*element)(struct s2s_stream *s, struct elem *e);
	void (*secured)(struct s2s_stream *s);
	/* The connection is gone; the stream's memory is the callee's. */
	void (*gone)(struct s2s_stream *s, int err);
	/* In order, and at once: whatever it is about. */
	void (*close)(struct s2s_stream *s);
};

struct s2s_sm;

/* A stream over a connection; embedded in one direction or the other. */
struct s2s_stream {
	struct list node; /* of s2s_streams() */
	const struct s2s_ops *ops;
	struct conn *conn;
	struct xml_stream xml;
	struct str local, remote; /* domains; on the heap */
	char id[S2S_ID_MAX + 1];  /* the receiving server's */
	uint64_t since;		  /* loop_now() when it was up */
	const char *how;	  /* it came up: "EXTERNAL", "dialback" */
	uint64_t heard;		  /* loop_now() when it was last of use */
	struct timer timer;
	struct log_ctx log;
	char ip[ADDR_TEXT_MAX];
	struct buf held;   /* what came while it moved to another loop */
	struct s2s_sm *sm; /* stream management, once it is on */
	uint64_t peer_max; /* bytes of a stanza that the peer takes; 0: any */
	uint64_t peer_idle_ms; /* after which it may close; 0: never */
	bool has_header;       /* ours has been sent */
	bool was_ended;	       /* in order, by one side or the other */
	bool is_moving;
	bool is_paused; /* too much of it is at work */
	bool is_closing;
	bool is_restarted;
	bool is_starting_tls;
	bool is_up; /* stanzas may pass */
};

/* Takes the connection over, and hears of it from now on. */
void s2s_stream_init(
    struct s2s_stream *s, struct conn *c, const struct s2s_ops *ops);
void s2s_stream_fini(struct s2s_stream *s);
/* Domains, once they are known; copied. */
void s2s_stream_name(struct s2s_stream *s, struct str local, struct str remote);
/* After login the limits of stanzas are others. */
void s2s_stream_up(struct s2s_stream *s);
/* Those of the calling loop; who makes one adds it. */
struct list *s2s_streams(enum s2s_way way);
/* A new stream is due on the same connection. */
void s2s_stream_restart(struct s2s_stream *s);
void s2s_send_header(struct s2s_stream *s, bool has_id);
void s2s_send_elem(struct s2s_stream *s, const struct elem *e);
/*
 * Sends a stanza, which it takes over; refuses it when too much is queued or
 * it is more than the peer takes. Not on one that is closing.
 */
void s2s_put(struct s2s_stream *s, struct stanza *st);
/*
 * A stanza of the peer's, whose element's arena it takes over. It must come
 * from a domain for which speaks_for(), and go to `local`, or any domain of
 * ours if that is none; else the stream fails.
 */
void s2s_take(struct s2s_stream *s, struct elem *e,
    bool (*speaks_for)(struct s2s_stream *s, struct str domain),
    struct str local);
/* Begins to read again what came during a move. */
void s2s_stream_arrived(struct s2s_stream *s);
/* When it is idle and closes: ours, or the peer's if that is sooner. */
uint64_t s2s_idle_ms(const struct s2s_stream *s);
/* Limits (XEP-0478): adds ours to an element, and reads the peer's. */
void s2s_add_limits(struct elem *parent, bool is_up);
void s2s_read_limits(struct s2s_stream *s, const struct elem *parent);
/* Ends it; EL_NONE: without an error. */
void s2s_fail(struct s2s_stream *s, enum qname condition, const char *text);
/* EL_NONE, or what is wrong with a header. */
enum qname s2s_check_header(const struct elem *root);
/* Is it one of our hosts, or of a service? Any number of threads. */
/* An element of dialback; `type` and `key` may be none. */
void s2s_send_dialback(struct s2s_stream *s, enum qname name, struct str from,
    struct str to, struct str id, struct str type, struct str key);
struct str s2s_secret(void);

/* ---- s2s_policy.c: with whom, and on which terms ---- */

/* In the order of strictness; of a domain, by the configuration. */
enum s2s_terms { S2S_TERMS_PLAIN, S2S_TERMS_DIALBACK, S2S_TERMS_CERTIFICATE };
enum s2s_terms s2s_terms(struct str domain);
/* Neither denied nor left out. */
bool s2s_is_allowed(struct str domain);
/* Does it talk to this one there? */
bool s2s_is_welcome(const struct jid *who);
/* May this address do one more of it? Per worker. */
enum s2s_cost { S2S_COST_STREAM, S2S_COST_KEY };
bool s2s_may_spend(const struct addr *from, enum s2s_cost what);

/* ---- s2s_sm.c: stream management (XEP-0198), both ways ---- */

/*
 * What one session counts and keeps, on a loop; it outlives a stream that
 * breaks, and may be taken up by the next.
 */
struct s2s_sm *s2s_sm_new(struct s2s_stream *s, bool is_resumable);
/* Unlinks it from its stream, and gives back what was not acknowledged. */
void s2s_sm_free(struct s2s_sm **sm, enum qname condition, const char *text);
/* At the end of a loop: nobody is told, and nothing acknowledged. */
void s2s_sm_drop(struct s2s_sm **sm);
/* Its stream is gone. */
void s2s_sm_detach(struct s2s_sm *sm);
/*
 * Another stream takes it up, whose peer has h of our stanzas. False: it can't
 * have; nothing has been done.
 */
bool s2s_sm_attach(struct s2s_sm *sm, struct s2s_stream *s, uint32_t h);
/* The peer counts h; false if it can't. */
bool s2s_sm_acked(struct s2s_sm *sm, uint32_t h);
/* Sends all that is not acknowledged (again). */
void s2s_sm_resend(struct s2s_sm *sm);
/* Moves what is not acknowledged to another one. */
void s2s_sm_inherit(struct s2s_sm *to, struct s2s_sm *from);
/* A stanza is on its way; taken over. */
void s2s_sm_sent(struct s2s_sm *sm, struct stanza *st);
bool s2s_sm_is_full(const struct s2s_sm *sm);
size_t s2s_sm_count(const struct s2s_sm *sm);
/* One has come: its receipt. */
struct receipt *s2s_sm_came(struct s2s_sm *sm);
/* Of what has come, as far as its effects are durable. */
uint32_t s2s_sm_handled(const struct s2s_sm *sm);
/* <r/> and <a/>; false for another element. */
bool s2s_sm_on_nonza(struct s2s_stream *s, const struct elem *e);
/* Before the stream ends in order: the count. */
void s2s_sm_last(struct s2s_sm *sm);
struct str s2s_sm_id(const struct s2s_sm *sm);
void s2s_sm_set_id(struct s2s_sm *sm, struct str id);
/* For a resumption: ready() when nothing is at work any more, in time. */
/* False: it is being resumed already. */
bool s2s_sm_settle(struct s2s_sm *sm, void (*ready)(void *ctx), void *ctx);
/* An incoming session without a stream, kept for its peer for a while. */
void s2s_sm_keep(struct s2s_sm *sm);
/* One with this id, of these domains, with or without a stream; or NULL. */
struct s2s_sm *s2s_sm_find(struct str id, struct str local, struct str remote);
struct s2s_stream *s2s_sm_stream(const struct s2s_sm *sm);
void s2s_sms_stop(void);
void s2s_send_sm(struct s2s_stream *s, enum qname name, struct str id,
    int64_t h, bool resume);
void s2s_send_sm_failed(struct s2s_stream *s, enum qname condition, int64_t h);

/* ---- s2s_dial.c: from a domain to a connection ---- */

struct dial;
/* With c NULL: there is no more to be tried, because of err. */
typedef void dial_fn(void *ctx, struct conn *c, bool is_direct, int err);
/* `tell`, if it is not NULL, hears what comes of each step. */
struct dial *dial_start(struct str domain, dial_fn *fn, void *ctx,
    void (*tell)(void *ctx, const char *text));
/* The domain in ASCII. */
const char *dial_name(const struct dial *d);
/* The connection was of no use: the next one. */
void dial_next(struct dial *d);
void dial_free(struct dial **d);
/* At the end of the calling loop. */
void dials_stop(void);

/* ---- s2s_out.c: an outgoing stream ---- */

struct s2s_out;
/*
 * How it went, at most one of each: up; or down, with the condition for
 * stanzas. It frees itself after `down`, which is not called any more after
 * out_forget().
 */
struct out_user {
	void (*up)(void *ctx);
	void (*down)(void *ctx, enum qname condition, const char *text);
	/* The answer to a verification, if it is for one. */
	void (*verified)(void *ctx, bool is_valid);
	/* For who wants to know all: each step, in words. May be NULL. */
	void (*step)(void *ctx, const char *text);
	bool is_probe; /* no more than a look: no SM, and one way */
};
struct s2s_out *out_start(struct str local, struct str remote,
    const struct out_user *user, void *ctx, struct s2s_sm *sm);
/* It is to ask whether a key is good, and nothing else. */
struct s2s_out *out_verify(struct str local, struct str remote, struct str id,
    struct str key, const struct out_user *user, void *ctx);
struct s2s_stream *out_stream(struct s2s_out *o);
/* Does it bring the peer's stanzas, too? */
bool out_has_bidi(const struct s2s_out *o);
/* The old session is lost, but the peer told what it had of it. */
bool out_may_resend(const struct s2s_out *o);
void out_forget(struct s2s_out **o);

/* ---- s2s_link.c ---- */

void links_stop(void);
/* A stream of the peer's that carried the link's stanzas, too, is gone. */
void link_lost(struct s2s_stream *s);

/* ---- s2s_in.c ---- */

/* One that may carry our stanzas back (XEP-0288), or NULL. */
struct s2s_stream *in_find_bidi(struct str local, struct str remote);

#endif
