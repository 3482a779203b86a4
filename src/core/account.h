/* SPDX-License-Identifier: MIT */
/*
 * Accounts as their home worker knows them: loaded from the store with the
 * first stanza or session, dropped some time after the last session is gone.
 * All of it belongs to the home's loop: home(jid) = hash of the bare JID
 * modulo the number of workers.
 */
#ifndef CORE_ACCOUNT_H
#define CORE_ACCOUNT_H

#include "base/list.h"
#include "core/hold.h"
#include "core/stanza.h"
#include "net/loop.h"

struct host;
struct mod;
struct roster;
struct session;
struct spool;

enum account_state {
	ACCOUNT_LOADING,
	ACCOUNT_READY,
	ACCOUNT_ABSENT, /* there is no such account */
};

/*
 * Stanzas that come to an account, or leave it, one after the other: what
 * follows a stanza that is held waits behind it. Of the core.
 */
struct lane {
	struct account *acct;
	struct hold hold;
	struct list waiting; /* stanzas */
	unsigned count;	     /* of them */
	bool is_running;
	/* What is done with each, and what with one that goes on. */
	enum verdict (*first)(struct account *acct, struct stanza *st);
	enum verdict (*next)(struct account *acct, struct stanza *st);
};

struct clients;

struct account {
	struct jid jid; /* bare; the text is the account's own */
	struct host *host;
	enum account_state state;
	struct list sessions;	 /* of struct session, bound or detached */
	struct roster *roster;	 /* loaded with the account */
	struct spool *spool;	 /* what is kept for it; of spool.c */
	struct clients *clients; /* when loaded; see client.h */
	void **slots;		 /* modules' state: see slots.c */
	unsigned pins;		 /* keeps it in memory */
	bool is_banned;
	bool has_keys;	 /* the store has them: it is our own */
	bool is_deleted; /* waits for its pins to go */

	/* Of account.c and lane.c. */
	struct lane in, out;
	struct list loaders; /* who waits for the load */
	unsigned loads;	     /* loads under way */
	unsigned passwords;  /* how many were set since it was loaded */
	int load_err;
	bool is_made;	  /* it was created while it was being looked up */
	bool is_asked;	  /* other backends know nothing of it */
	struct list idle; /* among those that may be dropped */
	uint64_t used;	  /* loop_now() when it became idle */
	struct str last_status; /* of its last unavailable presence; heap */
};

/* The loop of its home worker. */
API struct loop *account_home(struct str bare);

/*
 * Finds or loads the account, on its home loop, and calls back: at once when
 * it is there, else later. `acct` is NULL if there is none. err is ERR_STORE
 * when that could not be found out.
 */
typedef void account_fn(void *ctx, int err, struct account *acct);
API void account_get(const struct jid *bare, account_fn *found, void *ctx);
/* Only if it is in memory and ready; NULL otherwise. */
API struct account *account_peek(struct str bare);
/* As account_get, from any loop: runs `found` on the account's home. */
API void account_call(const struct jid *bare, account_fn *found, void *ctx);

/* All accounts in memory at the calling loop. */
API void account_each(void (*fn)(void *ctx, struct account *acct), void *ctx);

/* Keeps it in memory across a callback. */
API void account_pin(struct account *acct);
API void account_unpin(struct account *acct);

/* A module's state in the account, zeroed when first asked for. */
API void *account_slot(struct account *acct, struct mod *m);
/* NULL if it was never asked for. */
API void *account_slot_peek(const struct account *acct, struct mod *m);

/*
 * For HOOK_ACCOUNT_LOAD: the account is not ready until each hold is
 * released; err < 0 fails the load, and who waited is told ERR_STORE.
 */
API void account_load_hold(struct account *acct);
API void account_load_release(struct account *acct, int err);

/*
 * Sends a stanza as if a client of the account had: the hooks of what is sent
 * run, in order with its clients'. `from` is the bare JID, and `to` is set.
 * Takes the stanza over; on the account's home. Its receipt tells when all that
 * it caused is durable; what refuses it comes to the bare JID before that.
 */
API void account_speak(struct account *acct, struct stanza *st);
/* Sessions that stanzas can be delivered to at once (not detached). */
API unsigned account_online_count(const struct account *acct);
/* Of that resource, or NULL. */
API struct session *account_session(
    const struct account *acct, struct str resource);

/*
 * Creates an account with the password's keys; deletes one with everything
 * it owns. From any loop; `done` is called on the loop that asked, in a later
 * turn; after a removal that is just before the account's sessions are closed.
 * ERR_EXISTS, ERR_ABSENT, ERR_INVALID (the name or the password is not
 * allowed), ERR_STORE.
 */
typedef void account_done_fn(void *ctx, int err);
API void account_register(const struct jid *bare, struct str password,
    account_done_fn *done, void *ctx);
API void account_remove(
    const struct jid *bare, account_done_fn *done, void *ctx);
API void account_set_password(const struct jid *bare, struct str password,
    account_done_fn *done, void *ctx);
API void account_check_password(const struct jid *bare, struct str password,
    account_done_fn *done, void *ctx); /* 0, ERR_DENIED, ERR_STORE */
/* `details` none lifts the ban; sessions of a banned account are closed. */
API void account_ban(const struct jid *bare, struct str details,
    account_done_fn *done, void *ctx);

#endif
