/* SPDX-License-Identifier: MIT */
/* BOSH's inside: what bosh.c and bosh_session.c share. */
#ifndef HTTP_BOSH_H
#define HTTP_BOSH_H

#include "base/arena.h"
#include "core/stream.h"
#include "core/web.h"

#define BOSH_HOLD_MAX 2
/* Requests of a session at a time. */
#define BOSH_REQUESTS_MAX (BOSH_HOLD_MAX + 1)

/*
 * A request on its way: made where it came in, it goes to the session's loop,
 * and is freed by the answer, there where it came in.
 */
struct bosh_ask {
	struct arena *arena;
	struct http_req *http;
	struct loop *from;
	struct bosh *session; /* once it has been found */
	struct str sid;
	uint64_t rid, ack, pause_ms;
	struct str *part; /* what is for the stream, each a document */
	size_t part_count, part_at;
	bool has_ack, has_pause, is_empty, is_last, is_safe;
	/* once it has been taken in */
	uint64_t since;
	bool is_held;
	struct wire *answer;
};

/* Answers from any loop; the ask is gone after it. Takes the wire. */
void bosh_answer(struct bosh_ask *ask, struct wire *answer);
/* With the end of a session, or of none. */
void bosh_refuse(struct bosh_ask *ask, const char *condition);

/* What the client asked for, within what is allowed. */
struct bosh_terms {
	struct addr peer;
	uint64_t wait_ms, inactivity_ms, pause_ms;
	unsigned hold;
	bool is_tls, is_safe, has_acks;
};

/*
 * bosh_session.c: a session with its first request, on the calling loop. It
 * says when it moves to another (both loops know it from then on), and when
 * it has ended, which is answered by bosh_free() where it lives.
 */
struct bosh *bosh_new(
    struct str sid, const struct bosh_terms *terms, struct bosh_ask *first);
void bosh_take(struct bosh *b, struct bosh_ask *ask);
void bosh_free(struct bosh *b);

/* bosh.c: on the loop where it began, and from any loop. */
void bosh_moved(struct str sid, struct loop *to);
void bosh_ended(struct str sid, struct loop *birth);

#endif
