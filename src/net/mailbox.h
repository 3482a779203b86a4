/* SPDX-License-Identifier: MIT */
/*
 * A mailbox: closures that any thread puts in and one thread runs, in the
 * order in which each sender posted. Putting in takes no lock: senders push on
 * a stack, and the owner takes all of it at once and turns it over.
 */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include "base/base.h"

#include <stdatomic.h>

/* Too many waiting, and few enough again. */
#define MAILBOX_HIGH 8192
#define MAILBOX_LOW 2048

struct mail {
	struct mail *next;
	void (*fn)(void *msg);
	void *msg;
};

struct mailbox {
	/* For the senders. */
	struct mail *_Atomic head;
	atomic_uint count;
	atomic_bool is_congested;
	char pad[64]; /* so that they do not share a cache line */
	/* For the owner: taken and turned over already. */
	struct mail *ready;
	struct mail *self; /* what the owner's thread posted */
	struct mail **self_end;
};

/* An empty one; it needs no end, but must be empty then. */
void mailbox_init(struct mailbox *m);
/*
 * From any thread but the owner's. True: it was empty, wake the owner. Sets
 * *congested_r when this call took it over the high mark.
 */
bool mailbox_push(
    struct mailbox *m, void (*fn)(void *), void *msg, bool *congested_r);
/* From the owner's thread; nobody need be woken. */
void mailbox_push_self(struct mailbox *m, void (*fn)(void *), void *msg);
/*
 * Runs up to `max` closures of others; true when there are more to run. Sets
 * *eased_r when this call took it below the low mark again.
 */
bool mailbox_run(struct mailbox *m, unsigned max, bool *eased_r);
/* Runs the owner's own that are there now; true if there were any. */
bool mailbox_run_self(struct mailbox *m);
bool mailbox_is_empty(struct mailbox *m);
/* Frees the thread's spare nodes; call at the end of a thread. */
void mailbox_thread_done(void);

#endif
