/* SPDX-License-Identifier: MIT */
/* What streams between servers are made of; for s2s*.c. */
#ifndef CORE_S2S_IMPL_H
#define CORE_S2S_IMPL_H

#include "core/s2s.h"
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
};

/* A stream over a connection; embedded in one direction or the other. */
struct s2s_stream {
	struct list node; /* of the loop's */
	const struct s2s_ops *ops;
	struct conn *conn;
	struct xml_stream xml;
	struct str local, remote; /* domains; on the heap */
	char id[S2S_ID_MAX + 1];  /* the receiving server's */
	uint64_t heard;		  /* loop_now() when it was last of use */
	struct timer timer;
	struct log_ctx log;
	char ip[ADDR_TEXT_MAX];
	bool has_header; /* ours has been sent */
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
/* A new stream is due on the same connection. */
void s2s_stream_restart(struct s2s_stream *s);
void s2s_send_header(struct s2s_stream *s, bool has_id);
void s2s_send_elem(struct s2s_stream *s, const struct elem *e);
/* Ends it; EL_NONE: without an error. */
void s2s_fail(struct s2s_stream *s, enum qname condition, const char *text);
/* EL_NONE, or what is wrong with a header. */
enum qname s2s_check_header(const struct elem *root);
/* Is it one of our hosts, or of a service? Any number of threads. */
bool s2s_is_ours(struct str domain);
/* An element of dialback; `type` and `key` may be none. */
void s2s_send_dialback(struct s2s_stream *s, enum qname name, struct str from,
    struct str to, struct str id, struct str type, struct str key);
struct str s2s_secret(void);

/* ---- s2s_dial.c: from a domain to a connection ---- */

struct dial;
/* With c NULL: there is no more to be tried, because of err. */
typedef void dial_fn(void *ctx, struct conn *c, bool is_direct, int err);
struct dial *dial_start(struct str domain, dial_fn *fn, void *ctx);
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
	void (*down)(void *ctx, enum qname condition);
	/* The answer to a verification, if it is for one. */
	void (*verified)(void *ctx, bool is_valid);
};
struct s2s_out *out_start(struct str local, struct str remote,
    const struct out_user *user, void *ctx);
/* It is to ask whether a key is good, and nothing else. */
struct s2s_out *out_verify(struct str local, struct str remote, struct str id,
    struct str key, const struct out_user *user, void *ctx);
/* False when too much is queued. Takes nothing over. */
bool out_write(struct s2s_out *o, const struct stanza *st);
void out_forget(struct s2s_out **o);
size_t outs_up(void);
void outs_close_all(void);

/* ---- s2s_link.c ---- */

void links_stop(void);

/* ---- s2s_in.c ---- */

size_t ins_up(void);
void ins_close_all(void);

#endif
