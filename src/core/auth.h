/* SPDX-License-Identifier: MIT */
/*
 * Who may log in: SCRAM keys or a check of the password, from the backends
 * that the configuration names, in order. Calls back on the calling loop.
 */
#ifndef CORE_AUTH_H
#define CORE_AUTH_H

#include "jid/jid.h"
#include "store/store.h"

/*
 * The account's row, of which the SCRAM keys are used; err is 0, ERR_ABSENT
 * or ERR_STORE. A banned account has `ban` set.
 */
API void auth_account(
    const struct jid *bare, store_account_fn *done, void *ctx);
/* 0, ERR_DENIED, ERR_ABSENT, ERR_STORE; the hashing runs off the loop. */
API void auth_check_password(const struct jid *bare, struct str password,
    store_done_fn *done, void *ctx);

/*
 * Keys of a (SASLprep'ed) password for all hashes on offer, with fresh salts.
 * Costs tens of milliseconds: on a thread of the pool, not on a loop.
 */
API void auth_make_keys(
    struct arena *a, struct str password, struct account_row *row);

#endif
