/* SPDX-License-Identifier: MIT */
/* What the router knows of iqs that the server itself has sent. */
#ifndef CORE_IQ_IMPL_H
#define CORE_IQ_IMPL_H

#include "core/stanza.h"

/* Has this answer an id that iq_send() made? */
bool iq_is_ours(const struct stanza *st);
/*
 * Takes an answer over and brings it to who waits for it, on whatever loop;
 * one that nobody waits for, or from somebody else, is dropped.
 */
void iq_answered(struct stanza *st);
/* Forgets all that wait; when the worker ends. */
void iqs_stop(void);

#endif
