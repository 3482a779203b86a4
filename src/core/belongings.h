/* SPDX-License-Identifier: MIT */
/*
 * What an account has outside of its keyed values and its archive: files,
 * rooms, subscriptions. HOOK_ACCOUNT_BELONGINGS asks each module to list what
 * it knows of, or, before the account is removed, to remove it. All at the
 * account's home, which stays in memory meanwhile.
 */
#ifndef CORE_BELONGINGS_H
#define CORE_BELONGINGS_H

#include "base/str.h"

#include <jansson.h>

/* Lines of a list; what is beyond is only removed. */
#define BELONGINGS_MAX 20000

struct account;
struct belongings;

/* Whose they are. */
API struct account *belongings_account(const struct belongings *b);
/* Are they to go? Else they are to be listed. */
API bool belongings_are_to_go(const struct belongings *b);
/* One for the list; `amount` is its size, in whatever it is counted. */
API void belongings_add(
    struct belongings *b, const char *kind, struct str name, uint64_t amount);
/* For who answers later; each hold needs its release. err < 0: it failed. */
API void belongings_hold(struct belongings *b);
API void belongings_release(struct belongings *b, int err);

/*
 * For the core: asks the modules. done(ctx, err, list) comes on this loop, at
 * once or later; the list is the callee's, of {kind, name, amount}.
 */
typedef void belongings_fn(void *ctx, int err, json_t *list);
void belongings_begin(
    struct account *acct, bool are_to_go, belongings_fn *done, void *ctx);

#endif
