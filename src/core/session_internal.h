/* SPDX-License-Identifier: MIT */
/* Sessions as streams, stream management and the spool see them. */
#ifndef CORE_SESSION_INTERNAL_H
#define CORE_SESSION_INTERNAL_H

#include "core/session.h"

struct parcel;

/* Binds: a new session of the account, with the stream. */
struct session *session_new(
    struct account *acct, struct stream *st, struct str resource);
/* Another session takes its resource. */
void session_replace(struct session *s);

/* From the stream: what came; each takes the element. */
void session_on_stanza(struct session *s, struct elem *e);
void session_on_nonza(struct session *s, struct elem *e);
/* The client closes its stream: what should be told before ours is closed. */
void session_last_answer(struct session *s);
/* More can be sent, for what was put off. */
void session_drained(struct session *s);
/* See stream_sent(), stream_confirmed(). */
uint32_t session_sent(const struct session *s);
void session_confirmed(struct session *s, uint32_t sent);
/* The connection is gone, `why` or by the peer's end (NULL). */
void session_link_lost(struct session *s, const char *why);
/* The stream has been closed for good. */
void session_stream_ended(struct session *s, const char *why);
/* It waits no longer to be resumed. */
void session_expired(struct session *s, const char *why);

/* Resumption: its old stream, if any, goes; the new one is there; all sent. */
void session_take_off(struct session *s);
void session_attach(struct session *s, struct stream *st);
void session_resumed(struct session *s);

/* Sends past what holds live messages back; takes the stanza over. */
void session_send_now(struct session *s, struct stanza *st);
/* The same without hooks, for a known parcel (or NULL), taken over too. */
void session_send_parcel(
    struct session *s, struct stanza *st, struct parcel *p);
/* A message that could not be sent: spooled, given back or dropped. */
void session_keep_unsent(struct account *acct, struct stanza *st);
/* What it has not acknowledged is put into the spool, if it is worth it. */
void session_spool(struct session *s);
bool session_has_parcel(const struct session *s, const struct parcel *p);
/* Was it archived before the session began, whose client reads the archive? */
bool session_will_read(const struct session *s, const struct stanza *st);
/* Bytes on their way to the client. */
size_t session_queued(const struct session *s);

/* At shutdown: ends all of the loop's sessions, and says so. */
void sessions_shutdown(void);

#endif
