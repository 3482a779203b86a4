/* SPDX-License-Identifier: MIT */
/*
 * Stanzas that a handler has HELD, and who waits for them. They are found by
 * the stanza's address, for the stanza may be gone by then.
 */
#ifndef CORE_HOLD_H
#define CORE_HOLD_H

#include "core/stanza.h"

/* Embedded in who waits; {0} is one that waits for nothing. */
struct hold {
	struct list node;
	const struct stanza *st;
	/* `st` is to be used only if v is STANZA_PASS. */
	void (*fn)(struct hold *h, struct stanza *st, enum verdict v);
};

/* fn is called by stanza_resume(), once. */
void hold_begin(struct hold *h, const struct stanza *st,
    void (*fn)(struct hold *h, struct stanza *st, enum verdict v));
/* Nobody waits any more; harmless when nobody did. */
void hold_end(struct hold *h);

static inline bool
hold_is_on(const struct hold *h)
{
	return h->st != NULL;
}

#endif
