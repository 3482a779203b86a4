/* SPDX-License-Identifier: MIT */
/*
 * Lists that administrators edit while the server runs, beside those of its
 * configuration: addresses elsewhere with which it does not talk, the only ones
 * with which it does, and more administrators. They hold for all hosts, and are
 * kept in the store, by the first of them. Reading is for any thread.
 */
#ifndef CORE_EDITED_H
#define CORE_EDITED_H

#include "base/arena.h"
#include "core/module.h"
#include "jid/jid.h"

enum edited {
	EDITED_BLOCKED,
	EDITED_ALLOWED,
	EDITED_ADMINS,
	EDITED_COUNT,
};

/*
 * Have all been read since the start? Until then who is on them is not known.
 * So it is at first, and at least until edited_started(): all workers have.
 */
bool edited_is_read(void);
void edited_started(void);

/* Is anything on it? Costs next to nothing. */
bool edited_is_empty(enum edited list);
/* Just this text. */
bool edited_has(enum edited list, struct str text);
/* The JID, or its bare form, its domain's resource, or its domain. */
bool edited_fits(enum edited list, const struct jid *jid);
/* Is there an entry of that domain, or at it? */
bool edited_has_domain(enum edited list, struct str domain);
/* Copies of all, sorted. */
size_t edited_all(enum edited list, struct arena *a, struct str **jids_r);

/* Forgets all, at the end. */
void edited_fini(void);

extern const struct module edited_module;
extern const struct command commands_edited[];

#endif
