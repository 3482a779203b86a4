/* SPDX-License-Identifier: MIT */
/*
 * Where streams and the router meet. What a session's client sends goes into
 * session_input(); what became of a session's presence when it ends is
 * told by session_ended(). Both run on the home's loop.
 */
#ifndef CORE_JOURNEY_H
#define CORE_JOURNEY_H

#include "core/session.h"

/*
 * A message, presence or iq from the session's client, after bind. Takes the
 * element (the root of an arena of its own) and the receipt over; the
 * receipt is NULL unless the client counts. May close the session.
 */
void session_input(struct session *s, struct elem *e, struct receipt *r);

/*
 * The session has ended and is out of its account's list: who had its
 * presence, broadcast or directed, is told that it is unavailable. Frees
 * s->presence and s->directed.
 */
void session_ended(struct session *s);

#endif
