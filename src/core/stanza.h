/* SPDX-License-Identifier: MIT */
/*
 * Stanzas on their way: a tree in an arena of its own, with what the journey
 * needs to know. A stanza has one owner at a time, who passes it on (to the
 * router, a hook, another worker) or frees it.
 */
#ifndef CORE_STANZA_H
#define CORE_STANZA_H

#include "base/list.h"
#include "jid/jid.h"
#include "xml/elem.h"

/* What one stanza may be made of, whoever sends it, after the login. */
#define STANZA_DEPTH 100
#define STANZA_ELEMENTS 10000
#define STANZA_ATTRIBUTES 100

struct loop;
struct session;
struct wire;

enum stanza_kind {
	STANZA_MESSAGE = 1,
	STANZA_PRESENCE = 2,
	STANZA_IQ = 4,
};

/* Values are bits, so that tables can name several. */
enum stanza_type {
	MESSAGE_NORMAL = 1 << 0,
	MESSAGE_CHAT = 1 << 1,
	MESSAGE_GROUPCHAT = 1 << 2,
	MESSAGE_HEADLINE = 1 << 3,
	MESSAGE_ERROR = 1 << 4,
	PRESENCE_AVAILABLE = 1 << 5,
	PRESENCE_UNAVAILABLE = 1 << 6,
	PRESENCE_SUBSCRIBE = 1 << 7,
	PRESENCE_SUBSCRIBED = 1 << 8,
	PRESENCE_UNSUBSCRIBE = 1 << 9,
	PRESENCE_UNSUBSCRIBED = 1 << 10,
	PRESENCE_PROBE = 1 << 11,
	PRESENCE_ERROR = 1 << 12,
	IQ_GET = 1 << 13,
	IQ_SET = 1 << 14,
	IQ_RESULT = 1 << 15,
	IQ_ERROR = 1 << 16,
};
#define PRESENCE_SUBSCRIPTIONS \
	(PRESENCE_SUBSCRIBE | PRESENCE_SUBSCRIBED | PRESENCE_UNSUBSCRIBE | \
	    PRESENCE_UNSUBSCRIBED)

/* What a hook or a route made of a stanza. */
enum verdict {
	STANZA_PASS, /* not mine: go on */
	STANZA_DONE, /* answered, stored or dropped on purpose: now mine */
	STANZA_HELD, /* will go on later by stanza_resume() */
};

/*
 * Durability. Whoever sent a stanza under stream management is told of it
 * (<a h=''/>) only when all that the stanza caused is durable. A receipt is
 * shared by everything that must happen first: each takes a reference, and
 * drops it when it is done. Any thread may; the last one tells the session
 * that waits, on its own loop. NULL is a receipt for which nobody waits.
 */
struct receipt;
API struct receipt *receipt_ref(struct receipt *r);
API void receipt_done(struct receipt **r);
/* Drops it once this turn's output has been flushed to the sockets. */
API void receipt_done_after_flush(struct receipt **r);
/* It could not be kept: never acknowledge this stanza. */
API void receipt_fail(struct receipt **r);
/*
 * For who would tell the sender that it could not be kept: true once, as one
 * error is enough; always for NULL. From any loop.
 */
API bool receipt_claim(struct receipt *r);
/* For who waits: told(ctx) comes on the loop that made the receipt. */
API struct receipt *receipt_new(
    void (*told)(void *ctx, uint32_t seq, bool is_kept), void *ctx,
    uint32_t seq);

struct stanza {
	struct arena *arena; /* the stanza itself lives in it */
	struct elem *root;
	enum stanza_kind kind;
	enum stanza_type type;
	struct jid from; /* none only for what the server makes */
	struct jid to;
	struct receipt *receipt; /* a reference of its own, or NULL */
	int64_t received;	 /* clock_real(), for delay stamps */
	/* Marks for hooks; more may be added at the end. */
	bool is_from_local; /* sent by one of our own sessions */
	bool is_archived;   /* durable in the recipient's archive */
	bool is_carbon;	    /* a copy made by us */
	bool is_resent;	    /* comes late, once more; stamped if spooled */
	bool is_private;    /* not to be copied to other sessions */
	bool is_ours;	    /* an answer that the server made */
	bool is_copied;	    /* other sessions got carbons of it */
	bool is_part;	    /* of an answer whose end comes behind it */
	bool is_by_app;	    /* sent for its account by an application: without a
			 * session, so it need not have joined a room */
	struct str spool_key; /* its key in the spool, or none */

	struct str archive_id; /* its id in the sender's archive, or none */

	/* During HOOK_MESSAGE_ROUTED: the first session that gets it. */
	struct session *chosen;

	/* Of the core: its bytes, as shared by all that go to many. */
	struct wire *rendered;
	uint32_t edits; /* what elem_edits() was when they were true */
	/* Where it waits. */
	struct list node;
	uint16_t stage;
};

/*
 * Makes a stanza of an element (message, presence or iq) whose arena it
 * takes over. It sets kind and type (an unknown message type is normal, RFC
 * 6121 section 5.2.2) and parses from and to. ERR_INVALID: a bad address,
 * an iq without id or of no known type, presence of no known type; then
 * *why_r is the error condition to answer, and st_r is set all the same.
 */
API int stanza_of(
    struct elem *root, struct stanza **st_r, enum qname *condition_r);
/* A new one with a root of that name in a new arena. */
API struct stanza *stanza_new(enum qname root);
/* Sets addresses, in the struct and in the tree; copies them. */
API void stanza_set_from(struct stanza *st, const struct jid *from);
API void stanza_set_to(struct stanza *st, const struct jid *to);
API void stanza_set_type(struct stanza *st, enum stanza_type type);
/* With all texts; the copy shares the receipt (a reference of its own). */
API struct stanza *stanza_copy(const struct stanza *st);
/* Frees it and drops its receipt as done. */
API void stanza_free(struct stanza **st);
API const char *stanza_type_name(enum stanza_type type);

/* The only child element of an iq, or NULL. */
API struct elem *stanza_payload(const struct stanza *st);
API struct str stanza_id(const struct stanza *st);

/*
 * Answers. Each takes the stanza over (it is sent back to its sender with
 * the addresses turned round), returns STANZA_DONE, and does nothing but
 * free it when the stanza must not be answered (errors, results, presence
 * without a need: RFC 6120 section 8.3.1).
 *
 * stanza_refuse: `condition` is EL_FORBIDDEN, EL_ITEM_NOT_FOUND... of
 * rfc6120's stanza errors; the error type is the one that the RFC
 * recommends. stanza_refuse_with: with text, and an application-specific
 * condition (or EL_NONE).
 */
API enum verdict stanza_refuse(struct stanza *st, enum qname condition);
API enum verdict stanza_refuse_with(struct stanza *st, enum qname condition,
    const char *text, enum qname specific);
/*
 * Turns it into its error answer without sending it, for those who answer by
 * another way than the router. False when it must not be answered.
 */
API bool stanza_make_error(struct stanza *st, enum qname condition,
    const char *text, enum qname specific);
/*
 * Turns an iq into its result. `stanza_result` drops the payload and answers
 * the (empty) iq, to which the caller adds a child; stanza_send_back() then
 * sends it. stanza_reply: a result without payload, at once.
 */
API struct elem *stanza_result(struct stanza *st);
API enum verdict stanza_send_back(struct stanza *st);
API enum verdict stanza_reply(struct stanza *st);
/* A store_done_fn whose ctx is an iq: replies, or says that it failed. */
API void stanza_on_done(void *ctx, int err);

/*
 * A stanza that was HELD goes on: PASS continues with the next hook or the
 * router's error; DONE means the caller has answered or freed it already (only
 * the pointer is looked at then). On the loop where it was held, and never
 * before the handler has returned HELD.
 */
API void stanza_resume(struct stanza *st, enum verdict v);

/* Adds <delay/> (XEP-0203) of that time, from `by`. */
API void stanza_delay(struct stanza *st, struct str by, int64_t real_ms);

#endif
