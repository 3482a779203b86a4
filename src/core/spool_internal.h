/* SPDX-License-Identifier: MIT */
/*
 * Parcels: messages on their way to clients that count, as the sessions'
 * queues and the spool see them together.
 *
 * A message may be in the queues of several sessions of its account (each
 * got it when it came), in the spool, or both. It leaves the spool when all
 * that hold it directly have acknowledged it, or as soon as one session that
 * was given it later (a flush) has. Whoever ends without having acknowledged
 * it asks the parcel whether others have it, hold it still, or must get it.
 */
#ifndef CORE_SPOOL_INTERNAL_H
#define CORE_SPOOL_INTERNAL_H

#include "base/map.h"
#include "base/random.h"
#include "core/spool.h"

#define PARCEL_HAD_MAX 4

struct flush;

struct parcel {
	struct account *account; /* pinned by the sessions that hold it */
	unsigned refs;
	unsigned holders; /* queues in which it is not acknowledged */
	bool is_had;	  /* a client has it; by resource, the first of them: */
	uint8_t had_count;
	uint32_t had_by[PARCEL_HAD_MAX];
	bool is_stored; /* it is in the spool, or on its way there */
	bool is_durable;
	bool is_excused; /* its sender was told that it can't be kept */
	bool has_place;	 /* its key is older than what came behind it */
	int64_t received;
	char key[UUID_LEN + 1]; /* in the spool */
};

/* Counted; a new one is not in the spool. */
struct parcel *parcel_new(struct account *acct, int64_t received);
struct parcel *parcel_ref(struct parcel *p);
void parcel_unref(struct parcel **p);

/* It is in one more queue. */
void parcel_hold(struct parcel *p);
/* The session's client has it; it was in no queue, or it is acknowledged. */
void parcel_had(struct parcel *p, const struct session *s);
/* `was_late`: it came from a flush. */
void parcel_acked(struct parcel *p, const struct session *s, bool was_late);
/* Has a client of that resource had it? */
bool parcel_was_had_by(const struct parcel *p, const struct session *s);
/*
 * A queue lets go of it unacknowledged. True: nobody has it, so it must go
 * on, or stay in the spool. With `is_for_next` it stays there in any case,
 * for the same client's next session.
 */
bool parcel_let_go(struct parcel *p, bool is_for_next);

/*
 * Puts a parcel's message into the spool, unless it is there. Takes *r,
 * which is done when it is durable, or its sender has been told that it can't
 * be kept. On
 * ERR_LIMIT and ERR_ABSENT nothing happened, and *r is the caller's.
 */
int spool_keep(struct account *acct, struct parcel *p, struct stanza *st,
    struct receipt **r);
/* The parcel of a key in the spool, with a reference for the caller. */
struct parcel *spool_parcel(struct account *acct, struct str key);
/* Writes that wait for the end of the turn go to the store now. */
void spool_commit(struct account *acct);

/* ---- flushing; a session has one while messages of the spool are sent ---- */

/* The session has none of its own, so its live messages need not wait. */
bool flush_holds(const struct session *s, const struct stanza *st);
/* Takes a live message, to be sent when what is older has been. */
void flush_add(struct session *s, struct stanza *st);
/*
 * A message of the spool was written to a session that does not count: it
 * leaves the spool when the kernel has it.
 */
void flush_wrote(struct session *s, struct parcel *p);
/*
 * A query of the archive by the session: `go_on` is called when what came
 * before it has been sent, so that the client is not sent behind a page what
 * it found there. The query is freed if the session ends first. False if it
 * need not wait.
 */
bool flush_ask(
    struct session *s, struct stanza *iq, void (*go_on)(void *ctx), void *ctx);
/* The session lost its link; has it back; ends. */
void flush_stop(struct session *s);
void flush_resume(struct session *s);
void flush_end(struct session *s);

#endif
