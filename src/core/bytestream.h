/* SPDX-License-Identifier: MIT */
/*
 * The relay of XEP-0065: two parties connect and name the same address, which
 * is a hash of theirs; when the one that asked for it activates it, bytes go
 * both ways. Both connections of an address live on the worker that the
 * address hashes to. All is bounded: connections that wait, for each address
 * of theirs and in all, for how long, and what is relayed.
 */
#ifndef CORE_BYTESTREAM_H
#define CORE_BYTESTREAM_H

#include "core/stanza.h"

struct conn;

/* For listeners, on any worker. */
void bytestream_accept(void *ctx, struct conn *c);
/* When a loop ends, after its connections. */
void bytestream_thread_done(void);

/* The port of the first listener of the kind; 0 if there is none. */
API unsigned bytestream_port(void);

struct bytestream_terms {
	uint64_t bytes; /* in both directions together, 0: no limit */
	uint32_t rate;	/* bytes a second in each direction, 0: no limit */
};
/*
 * Activates what is known by `sid` between the sender of the iq and `target`,
 * and answers the iq: with a result; not-allowed if not both are there;
 * item-not-found if nobody is.
 */
API enum verdict bytestream_activate(struct stanza *iq, struct str sid,
    const struct jid *target, const struct bytestream_terms *terms);

#endif
