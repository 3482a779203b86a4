/* SPDX-License-Identifier: MIT */
/* Of the core alone: stanzas as they come from our own clients. */
#ifndef CORE_STANZA_IMPL_H
#define CORE_STANZA_IMPL_H

#include "base/buf.h"
#include "core/stanza.h"
#include "xml/writer.h"

/* As stanza_of(), from a sender that is known: what it says is overwritten. */
int stanza_of_session(struct elem *root, const struct jid *from,
    struct stanza **st_r, enum qname *condition_r);

/* A copy in an arena of just its size, for what is kept for long. */
struct stanza *stanza_compact(const struct stanza *st);

/*
 * Stanzas that go to many are rendered once. stanza_render() makes the bytes
 * of one without its `to`; stanza_share() lets a copy of it use them as long as
 * its tree is not changed. stanza_write() writes it, from them if it can.
 */
struct wire *stanza_render(struct stanza *st);
void stanza_share(struct stanza *st, struct wire *rendered);
void stanza_write(
    struct buf *out, const struct stanza *st, enum xml_scope scope);

#endif
