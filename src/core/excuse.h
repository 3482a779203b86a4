/* SPDX-License-Identifier: MIT */
/*
 * What it takes to tell the sender of a message, when the message itself is
 * gone, that it could not be kept.
 */
#ifndef CORE_EXCUSE_H
#define CORE_EXCUSE_H

#include "core/stanza.h"

struct excuse;

/* With a receipt of the message's own, which it holds (not taken). */
API struct excuse *excuse_new(const struct stanza *st);
/* The same with another receipt than the message has; or with none. */
struct excuse *excuse_of(const struct stanza *st, struct receipt *r);
/*
 * Frees it. The message is kept (0), or its sender gets an error with the
 * text: then the count of what he sent goes on when he has been told. Were it
 * held up instead, nothing that comes later could be acknowledged, and all of
 * it would be sent once more.
 */
API void excuse_end(struct excuse **x, int err, const char *text);

#endif
