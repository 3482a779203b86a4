/* SPDX-License-Identifier: MIT */
/*
 * With how many rounds of hashing the passwords of a host's accounts were kept:
 * an unknown user is shown some that an account may have. Of each combination
 * that occurs it is counted, and kept in the store, for how many passwords it
 * was taken, and names that are nobody's are spread over them in proportion,
 * by a keyed hash. What becomes more frequent draws names from what was there
 * before and moves no others, as passwords do that are set anew.
 */
#ifndef CORE_ROUNDS_H
#define CORE_ROUNDS_H

#include "base/str.h"
#include "store/store.h"

struct host;
struct module;
struct scram_hash;

typedef uint64_t rounds_t;

/* Those of all keys of an account, or 0: it has none. */
rounds_t rounds_of(const struct account_row *row);
/* For that hash; where it has no key, as for the others. */
uint32_t rounds_for(rounds_t all, const struct scram_hash *h);
/* What nobody of that name is shown. */
rounds_t rounds_shown(const struct host *host, struct str name);
/* False for a moment after the start, when the answer isn't known yet. */
bool rounds_are_read(const struct host *host);

/* The write sets a password, and these are its keys. On any loop. */
void rounds_count(const struct host *host, const struct account_row *row,
    struct store_write *w);
/* There is such an account: keeps it in mind if that is news. */
void rounds_meet(const struct host *host, const struct account_row *row);

/* A host's. */
struct rounds *rounds_new(void);
void rounds_free(struct rounds **r);
extern const struct module rounds_module;

#endif
