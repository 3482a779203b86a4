/* SPDX-License-Identifier: MIT */
/*
 * Stream management (XEP-0198) of a session: counts both ways, keeps what
 * the client has not acknowledged, and lets the session outlive its stream.
 * On the account's home loop, like the session.
 */
#ifndef CORE_SM_H
#define CORE_SM_H

#include "core/spool_internal.h"
#include "core/stream_internal.h"

#define SM_ID_BYTES 16
#define SM_ID_LEN 22

/* ---- inbound: stanzas whose effects are durable (sm_in.c) ---- */

/*
 * Outlives its session while receipts are out. `durable` is what may be
 * acknowledged: all stanzas up to it have had their effects kept.
 */
struct sm_in {
	/* The count has moved on. NULL: nobody wants to know any more. */
	void (*moved)(void *ctx);
	void *ctx;
	uint32_t seq; /* stanzas that have come */
	uint32_t durable;
	uint32_t out;	/* receipts out */
	bool is_failed; /* one was not kept: it goes no further */
	uint64_t *done; /* ring of bits, by number */
	uint32_t cap;	/* bits, a power of two; 0: none yet */
};

/* Counts what comes in, from a number on. */
struct sm_in *sm_in_new(void (*moved)(void *ctx), void *ctx, uint32_t from);
/* Nobody wants to know; it is freed with the last receipt. */
void sm_in_drop(struct sm_in **in);
/* Counts one stanza; its receipt, or NULL when it can't matter any more. */
struct receipt *sm_in_next(struct sm_in *in);
static inline uint32_t
sm_in_pending(const struct sm_in *in)
{
	return in->seq - in->durable;
}

/* ---- outbound: what the client has not acknowledged ---- */

struct sm_item {
	struct list node;
	struct wire *wire;
	struct receipt *receipt; /* of who sent it, until it is safe */
	struct parcel *parcel;	 /* or NULL: in this queue alone */
	int64_t received;
	uint64_t sent; /* loop_now() */
	uint8_t kind;
	bool is_worth;	  /* a message to be kept for the client */
	bool is_late;	  /* it came from the spool, and is stamped */
	bool is_archived; /* it is in the archive: no error to the sender */
	bool is_copied;	  /* other sessions got carbons of it */
};

struct sm {
	struct session *session;
	struct sm_in *in;
	struct list queue; /* of sm_item */
	uint32_t count;	   /* in the queue */
	uint32_t acked;	   /* by the client, as it counts */
	size_t bytes;	   /* in the queue */
	size_t held_bytes; /* of items with a receipt that are not spooled */
	uint32_t since_ask;
	bool is_asked; /* an <r/> is out */
	/*
	 * The client knows nothing of it: it is the transport that tells what
	 * has arrived. Only what is sent is counted.
	 */
	bool is_silent;
	bool is_paused; /* too many stanzas wait for their effects */
	bool owes;	/* an <a/>, when `durable` reaches owed_at */
	bool owes_more; /* and another, for what has come since */
	uint32_t owed_at, owed_last;
	/* loop_now(), or 0: answer at the latest, spool, ack, resume. */
	uint64_t answer_due, spool_due, ack_due, expiry_due, resume_due;
	uint64_t asked; /* the <r/> that ack_due is about, in loop_now() */
	struct timer timer;
	struct stream *resumer; /* waits for what was pending */
	uint32_t resume_ms;
	char id[SM_ID_LEN + 1]; /* "" when it can't be resumed */
};

/* <enable/>: the session counts from now on, once <enabled/> is out. */
void sm_enable(struct session *s, const struct elem *enable);
/* For a session by a transport that tells what has arrived. */
void sm_watch(struct session *s);
/* That, as a child of `parent`. */
void sm_add_enabled(const struct sm *sm, struct elem *parent);
/* Any other element of the protocol. */
void sm_on_nonza(struct session *s, const struct elem *e);
/* Frees it, after sm_end(). */
void sm_free(struct sm **sm);

/* Does the client count? */
static inline bool
sm_counts(const struct sm *sm)
{
	return sm != NULL && !sm->is_silent;
}

static inline bool
sm_can_resume(const struct sm *sm)
{
	return sm != NULL && sm->id[0] != '\0';
}

/*
 * A stanza is on its way to the client, in these bytes (a reference that is
 * taken over). `p` as in sm_item, with a reference that is taken over too.
 * The stanza's receipt is taken from it.
 */
void sm_sent(struct sm *sm, struct wire *w, const struct stanza *st,
    struct receipt **receipt, struct parcel *p);
/* Counts a stanza that has come; its receipt, or NULL. */
struct receipt *sm_receipt(struct sm *sm);
/* Before the stream ends: the count so far, if an answer is owed. */
void sm_last_answer(struct sm *sm);
/*
 * Puts what is worth it, and unacknowledged, into the spool: all of it, or
 * only that for which senders wait.
 */
void sm_spool(struct sm *sm, bool is_all);
bool sm_has_parcel(const struct sm *sm, const struct parcel *p);

/* The link is lost; the session waits to be resumed. */
void sm_detach(struct sm *sm);
/*
 * <resume/> found it. Answers, now or when what came before is durable, and
 * hands the stream over to the session; false if h is impossible, and the
 * stream has been failed.
 */
bool sm_resume(struct sm *sm, struct stream *s, uint32_t h);
void sm_resume_now(struct sm *sm);
/* For the stream that waited: it is gone. */
void sm_resumer_gone(struct sm *sm);

/* Why a session with stream management ends. */
enum sm_end {
	END_FOR_GOOD,
	END_REPLACED, /* the same client has come back */
	END_SHUTDOWN,
};

/*
 * What was not acknowledged goes to the account's other sessions, unless one
 * had it, or into the spool, or back to its sender. For a client that has come
 * back, and at shutdown, it always goes into the spool.
 */
void sm_end(struct sm *sm, enum sm_end how);

/* ---- between sm*.c ---- */

/* Starts the timer for whatever is due first. */
void sm_arm(struct sm *sm);
void sm_answer_if_due(struct sm *sm);
/* The same, for struct sm_in. */
void sm_on_moved(void *ctx);
/* Spools one; its receipt is settled, unless that is impossible. */
int sm_item_spool(struct sm *sm, struct sm_item *item);
/* The stanza of an item, as if it had just come; NULL if that fails. */
struct stanza *sm_item_stanza(struct sm *sm, struct sm_item *item);
void sm_item_free(struct sm *sm, struct sm_item *item);
/* <failed/> with a condition, and h unless it is not known (-1). */
struct elem *sm_failed(struct arena *a, enum qname condition, int64_t h);
void sm_send_failed(struct stream *s, enum qname condition, int64_t h);
/* The client acknowledges: false if it can't have counted so far. */
bool sm_acked(struct sm *sm, uint32_t h);
/*
 * Less than what it has acknowledged before, and what is gone here: it went
 * back to an older state of its own.
 */
bool sm_is_behind(const struct sm *sm, uint32_t h);
/* Fails the stream for such a count. */
void sm_fail_count(struct sm *sm, struct stream *s, uint32_t h);
/* Sends all that is in the queue again. */
void sm_resend(struct sm *sm);
void sm_ask(struct sm *sm);

/*
 * The last sessions that ended on this loop and can't be resumed any more:
 * what they had counted is told with <failed/>, so that their clients need
 * not send again what we have.
 */
void sm_memory_put(const struct sm *sm);
bool sm_memory_get(struct str id, struct str bare, uint32_t *h_r);

#endif
