/* SPDX-License-Identifier: MIT */
/* Of the core alone: stanzas as they come from our own clients. */
#ifndef CORE_STANZA_IMPL_H
#define CORE_STANZA_IMPL_H

#include "core/stanza.h"

/* As stanza_of(), from a sender that is known: what it says is overwritten. */
int stanza_of_session(struct elem *root, const struct jid *from,
    struct stanza **st_r, enum qname *condition_r);

/* A copy in an arena of just its size, for what is kept for long. */
struct stanza *stanza_compact(const struct stanza *st);

#endif
