/* SPDX-License-Identifier: MIT */
/*
 * Who may log in: SCRAM keys or a check of the password, from the backends
 * that the configuration names, in order. Calls back on the calling loop.
 */
#ifndef CORE_AUTH_H
#define CORE_AUTH_H

#include "core/host.h"
#include "jid/jid.h"
#include "store/store.h"

/*
 * The account's row, of which the SCRAM keys are used; err is 0, ERR_ABSENT
 * or ERR_STORE. A banned account has `ban` set.
 */
API void auth_account(
    const struct jid *bare, store_account_fn *done, void *ctx);
/*
 * 0, ERR_DENIED (wrong, or no such account), ERR_STORE, ERR_LIMIT (too many at
 * once); the hashing runs off the loop.
 */
API void auth_check_password(const struct jid *bare, struct str password,
    store_done_fn *done, void *ctx);

/*
 * For logins that show no password: is there still such an account? Where
 * others than the store know it they are asked (and what they said is
 * remembered for auth.cache_lifetime); if none of them can tell, it is taken to
 * be. 0, ERR_ABSENT, ERR_DENIED (it is banned), ERR_STORE, ERR_LIMIT. From any
 * loop; auth_account_stands(): on the account's home.
 */
void auth_stands(const struct jid *bare, store_done_fn *done, void *ctx);
struct account;
void auth_account_stands(struct account *acct, store_done_fn *done, void *ctx);

/*
 * Keys of a password that was prepared by jid_saslprep(), for all hashes on
 * offer, with fresh salts; `iterations` is conf's auth.scram_iterations, read
 * before on the loop. Costs tens of milliseconds: on a thread of the pool.
 */
API void auth_make_keys(struct arena *a, struct str password,
    uint32_t iterations, struct account_row *row);

struct scram_hash;
/*
 * What an unknown user of that name is shown (with iterations by
 * rounds_shown()): a salt that is always the same, and keys that no password
 * has.
 */
void auth_fake_keys(struct arena *a, const struct host *host, struct str name,
    const struct scram_hash *h, uint32_t iterations, struct scram_keys *keys_r);

#endif
