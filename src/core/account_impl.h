/* SPDX-License-Identifier: MIT */
/* Accounts from the inside, for the files of the core that carry stanzas. */
#ifndef CORE_ACCOUNT_IMPL_H
#define CORE_ACCOUNT_IMPL_H

#include "core/account.h"
#include "core/session.h"

/* Stanzas that may wait in one lane; more are refused. */
#define LANE_MAX 10000

/* Empty; `first` is what is done with each stanza in its turn. */
void lane_init(struct lane *lane, struct account *acct,
    enum verdict (*first)(struct account *acct, struct stanza *st));
/* Takes the stanza over: it goes on now, or waits for its turn. */
void lane_put(struct lane *lane, struct stanza *st);
/* Goes on with what waits, if nothing is held. */
void lane_drain(struct lane *lane);
/* All that waits is refused with this condition. */
void lane_refuse(struct lane *lane, enum qname condition);
static inline bool
lane_is_idle(const struct lane *lane)
{
	return !hold_is_on(&lane->hold) && !lane->is_running &&
	       list_is_empty(&lane->waiting);
}

/* The account of a local address, loading or absent too; on its home loop. */
struct account *account_at(const struct jid *to, struct host *host);
/* What is in memory, in whatever state; or NULL. */
struct account *account_lookup(struct str bare);
/* Something it was kept for may be gone: it may become idle. */
void account_settle(struct account *acct);
/* It has just been created: what was known of its absence is forgotten. */
void account_made(const struct jid *bare);
/*
 * Makes the row of an account that another backend has taken a password for,
 * if there is none yet: one without keys. As account_register().
 */
void account_adopt(const struct jid *bare, account_done_fn *done, void *ctx);
/* Out of all look-ups at once; freed when nothing holds it any more. */
void account_detach(struct account *acct);
bool account_is_available(const struct account *acct);
/* Drops everything of the calling worker; when it ends. */
void accounts_stop(void);
/* Those of the calling worker that are only kept in case, for clear_cache. */
void accounts_drop_idle(void);

/* Sessions that are sent something at once. */
enum choice {
	CHOOSE_WILLING, /* available, priority not negative */
	CHOOSE_AVAILABLE,
	CHOOSE_ROSTER, /* available, or interested in the roster */
};
/* How many, and which; the array is in the arena. */
size_t sessions_choose(struct account *acct, enum choice which, struct arena *a,
    struct session ***chosen_r);
/* Sends the same to all, rendered once. Takes the stanza over. */
void sessions_send(struct session **to, size_t n, struct stanza *st);

/* The first steps of the lanes. */
enum verdict deliver_first(struct account *acct, struct stanza *st);
enum verdict journey_first(struct account *acct, struct stanza *st);

#endif
