/* SPDX-License-Identifier: MIT */
/*
 * Rosters from the inside. An account's roster is changed in memory at once
 * and in the store right after; what depends on the change (results, pushes,
 * subscription stanzas) waits until it is durable.
 */
#ifndef CORE_ROSTER_IMPL_H
#define CORE_ROSTER_IMPL_H

#include "base/map.h"
#include "core/roster.h"
#include "core/session.h"

/* Changes remembered for clients that know an older version. */
#define ROSTER_LOG 64
#define ROSTER_NAME_MAX 1023
#define ROSTER_GROUPS_MAX 64
/* Requests whose XML is longer are kept without what is in them. */
#define ROSTER_REQUEST_MAX (64 * 1024)

/* One block of memory, texts included. */
struct roster_entry {
	struct roster_item item;
	uint64_t change; /* number of the change that made it */
	bool is_deaf;	 /* it answered our presence with an error */
	char text[];
};

struct roster {
	struct map map;	   /* by JID, of struct roster_entry */
	size_t count;	   /* of those that are in the roster */
	size_t own;	   /* of those that are so without shared groups */
	size_t lent;	   /* of those that are known by shared groups alone */
	uint64_t version;  /* of what is in memory */
	uint64_t durable;  /* of what is in the store, too: clients get this */
	char instance[24]; /* of this series of versions; "" until loaded */
	/* The latest changes that clients see, by version modulo its size. */
	struct str *log;    /* JIDs; heap; NULL before the first */
	uint64_t log_first; /* the oldest version that is in it */
	uint64_t changes;
	struct list pending; /* changes on their way to the store */
};

/* Loads it, holding the account's load. Frees it. */
void roster_load(struct account *acct);
void roster_free(struct roster **r);

/* Counts the entry in (1) or out (-1); it may be NULL. */
void roster_tally(struct roster *r, const struct roster_entry *e, int by);

/* In any state, also if only a request is pending; or NULL. */
struct roster_entry *roster_entry(const struct account *acct, struct str bare);

/* roster_item.c: items and their forms. */

struct roster_entry *roster_entry_new(const struct roster_item *item);
struct roster_item roster_item_copy(
    struct arena *a, const struct roster_item *item);
/* As the store keeps it, and back: ERR_INVALID if it cannot be read. */
struct str roster_item_text(struct arena *a, const struct roster_item *item);
int roster_item_parse(
    struct arena *a, struct str text, struct roster_item *item_r);
/*
 * A client's <item/> of a roster set: address, name and groups. *condition_r
 * says what is wrong with it.
 */
int roster_item_of(struct arena *a, const struct elem *e,
    struct roster_item *item_r, enum qname *condition_r);
/* Is there anything about this contact that must be kept? */
bool roster_item_is_void(const struct roster_item *item);

/* In the store beside the items, under a key that is no JID. */
#define ROSTER_VERSION_KEY "@version"

/*
 * roster_change.c. Makes `next` the truth about its contact. When that is
 * durable (or has failed: then the change is taken back), `done` is called,
 * and the sessions that are interested get a push, if they can see the
 * change or `is_pushed` is set. ERR_LIMIT when the roster is full; then
 * nothing happens.
 */
int roster_change(struct account *acct, const struct roster_item *next,
    bool is_pushed, account_done_fn *done, void *ctx);
/* The same by shared groups, which say what they give in `next` itself. */
void roster_change_shared(struct account *acct, const struct roster_item *next,
    account_done_fn *done, void *ctx);
/* roster_share.c: takes over what they give in `cur` (or NULL). */
void roster_item_inherit(
    struct arena *a, struct roster_item *next, const struct roster_item *cur);
/* Withdraws all that they gave. */
void roster_unshare(struct account *acct);
/* Calls done(ctx, err) when all changes before have been answered. */
void roster_wait(
    struct account *acct, int err, account_done_fn *done, void *ctx);
/* The version as clients see it. */
struct str roster_version(
    struct arena *a, const struct roster *r, uint64_t version);
/* Is it a version of this roster from which one can catch up? */
bool roster_knows(const struct roster *r, struct str text, uint64_t *version_r);
/* Sends a session what has changed since then. */
void roster_catch_up(struct session *s, uint64_t version);

#endif
