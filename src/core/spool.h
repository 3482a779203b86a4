/* SPDX-License-Identifier: MIT */
/*
 * The spool: messages that are the server's to keep until a client has
 * them. One kv store ("spool") by account; keys are UUIDv7, so that their
 * order is that of arrival. It serves offline messages (the offline module
 * decides which) and what a detached or silent session has not acknowledged.
 * On the account's home loop only.
 */
#ifndef CORE_SPOOL_H
#define CORE_SPOOL_H

#include "core/account.h"
#include "store/store.h"

/*
 * Keeps a copy of the message, with a delay stamp of the time it came. The
 * key is known at once (st->spool_key, in the stanza's arena); the
 * stanza's receipt is held until it is durable. `done` may be NULL.
 * ERR_LIMIT when the account's bound is reached: nothing is kept then.
 */
API int spool_put(
    struct account *acct, struct stanza *st, account_done_fn *done, void *ctx);
/* It has reached a client. */
API void spool_del(struct account *acct, struct str key);
/*
 * Sends all that is kept to one session, in order, each once: what an
 * earlier session has in flight is sent too, for it did not acknowledge it.
 * Items are deleted when the session has them. Returns at once.
 */
API void spool_flush(struct account *acct, struct session *s);
/* Number of messages kept; known once the account has been loaded. */
API size_t spool_count(const struct account *acct);

/*
 * Deletes what came before that time (milliseconds since 1970), whoever
 * waits for it; then done(ctx, err, number). The account is kept meanwhile.
 */
void spool_expire(
    struct account *acct, int64_t before, store_count_fn *done, void *ctx);

/*
 * For the loader of accounts: learns the number, holding the load by
 * account_load_hold(); and lets go of it when the account is dropped.
 */
void spool_account_load(struct account *acct);
void spool_account_unload(struct account *acct);

#endif
