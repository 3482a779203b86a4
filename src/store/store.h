/* SPDX-License-Identifier: MIT */
/*
 * Storage: accounts, keyed values and archives, behind one backend.
 *
 * All calls are asynchronous: they copy their arguments, return at once and
 * call back on the loop that asked, in a later turn. Writes are collected in
 * a store_write, which is committed as a whole or not at all; the writes of
 * a loop's turn go to the disk together. When `done` hears 0, the write is
 * durable. What one loop asks about one owner happens in the order asked:
 * a read sees the writes submitted before it.
 *
 * Texts in results live until the callback returns. `ctx` is the caller's.
 * Errors: ERR_STORE (the backend failed, and logged why), ERR_EXISTS,
 * ERR_ABSENT, ERR_LIMIT (too much is waiting already).
 *
 * An owner is a bare JID (of an account, a room, a host).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/str.h"

#include <stdatomic.h>

/* Requests of the calling loop that have not been answered yet. */
API size_t store_waiting(void);
/* And the memory that they take. */
size_t store_waiting_bytes(void);
/*
 * For who must know that what the loop asked so far has been answered, though
 * more is asked all the time: a number that grows by one, at most, with each
 * call, if nothing waits that was asked before the last growth. Grown by two,
 * all that was asked before is answered.
 */
unsigned store_epoch(void);

/* ---- accounts ---------------------------------------------------------- */

/* SCRAM keys for one hash (RFC 5802): never the password. */
struct scram_keys {
	struct str mechanism; /* "SCRAM-SHA-256" */
	struct str salt;      /* bytes */
	uint32_t iterations;
	struct str stored_key; /* bytes */
	struct str server_key; /* bytes */
};

#define SCRAM_KEYS_MAX 4

struct account_row {
	struct str jid; /* bare */
	struct scram_keys keys[SCRAM_KEYS_MAX];
	size_t key_count;
	struct str first_name, last_name, email;
	int64_t created;	/* clock_real() milliseconds */
	struct str ban;		/* none, or details as JSON: may not log in */
	int64_t last_seen;	/* when the last session ended, or 0 */
	struct str last_status; /* text of its last unavailable presence */
};

typedef void store_done_fn(void *ctx, int err);
/* `row` is NULL unless err is 0. */
typedef void store_account_fn(
    void *ctx, int err, const struct account_row *row);

/* ERR_ABSENT when there is no such account. */
API void store_account_get(struct str jid, store_account_fn *done, void *ctx);

/* Local parts of a host's accounts in order, after `after` (or none). */
typedef void store_names_fn(
    void *ctx, int err, const struct str *names, size_t count);
API void store_account_list(struct str host, struct str after, size_t limit,
    store_names_fn *done, void *ctx);
typedef void store_count_fn(void *ctx, int err, uint64_t count);
API void store_account_count(struct str host, store_count_fn *done, void *ctx);

/* ---- keyed values ------------------------------------------------------ */

struct kv_item {
	struct str key;
	struct str value;
};

typedef void store_value_fn(void *ctx, int err, struct str value);
typedef void store_items_fn(
    void *ctx, int err, const struct kv_item *items, size_t count);

/* ERR_ABSENT when there is no such key. */
API void kv_get(struct str owner, struct str store, struct str key,
    store_value_fn *done, void *ctx);
/*
 * Items in order of their keys (bytes), those after `after` (or none), or
 * with `reverse` those before it, backwards. At most `limit`.
 */
API void kv_list(struct str owner, struct str store, struct str after,
    bool reverse, size_t limit, store_items_fn *done, void *ctx);
API void kv_count(
    struct str owner, struct str store, store_count_fn *done, void *ctx);
/* Names of the stores that the owner has, in order, after `after`. */
API void kv_stores(struct str owner, struct str after, size_t limit,
    store_names_fn *done, void *ctx);
/* Owners that have a store of this name, in order, after `after`. */
API void kv_owners(struct str store, struct str after, size_t limit,
    store_names_fn *done, void *ctx);

/* ---- archives ---------------------------------------------------------- */

struct archive_item {
	struct str id;	      /* a UUIDv7: order, time and name in one */
	struct str with;      /* the other side: full JID as in the stanza */
	bool is_outgoing;     /* sent by the owner */
	struct str xml;	      /* the stanza, standalone */
	struct str body;      /* plain text for search, or none */
	struct str origin_id; /* the sender's id (XEP-0359), or none */
	struct str media_url, media_type; /* first medium, or none */
};

/* All that is set must hold. XEP-0313 section 4, XEP-0059. */
struct archive_filter {
	struct str with;    /* bare: any resource; full: just that */
	int64_t start, end; /* milliseconds, 0: open */
	struct str after_id, before_id; /* outside bounds (exclusive) */
	const struct str *ids;		/* exactly these */
	size_t id_count;
	struct str text;      /* full text search */
	struct str origin_id; /* the sender's id (XEP-0424) */
	bool has_media;
	struct str page_after;	/* RSM <after/>: ERR_ABSENT if unknown */
	struct str page_before; /* RSM <before/>: likewise */
	bool is_backwards;	/* the last page of the range, not the first */
	size_t limit;
	bool want_total; /* count all that match */
};

struct archive_page {
	const struct archive_item *items; /* oldest first */
	size_t count;
	bool is_complete; /* nothing lies beyond, in the page's direction */
	uint64_t total;	  /* when asked for */
};

typedef void archive_page_fn(
    void *ctx, int err, const struct archive_page *page);

/*
 * The archive of `owner`. ERR_ABSENT when one of `ids`, `after_id`,
 * `before_id`, `page_after` or `page_before` is not in it. `total` counts
 * what matches the filter, whatever the page.
 */
API void archive_find(struct str owner, const struct archive_filter *filter,
    archive_page_fn *done, void *ctx);
/* The oldest and the newest item: a page of none, one or two. */
API void archive_ends(struct str owner, archive_page_fn *done, void *ctx);
API void archive_count(struct str owner, store_count_fn *done, void *ctx);
/*
 * Everything older than `before` (ms) in the archives of a host's accounts (or
 * of a service's rooms), or of one account or room when that is named. It is
 * done in slices, which end when *is_aborted is set, by any thread; `done` then
 * hears what was deleted so far. The flag lasts as long as that, or is NULL.
 */
API void archive_expire(struct str host, int64_t before,
    const atomic_bool *is_aborted, store_count_fn *done, void *ctx);

/* ---- writes ------------------------------------------------------------ */

struct store_write;

/* For this owner's ordering; other owners may be written too. */
API struct store_write *store_write_new(struct str owner);
/* Nothing happens; frees it. */
API void store_write_drop(struct store_write **w);
/*
 * Commits; done(ctx, 0) when it is durable. `done` may be NULL. Takes `*w`.
 */
API void store_commit(struct store_write **w, store_done_fn *done, void *ctx);
/* Scratch memory that lives as long as the write. */
API struct arena *store_write_arena(struct store_write *w);

/* Arguments are copied. */
API void kv_put(struct store_write *w, struct str owner, struct str store,
    struct str key, struct str value);
API void kv_del(
    struct store_write *w, struct str owner, struct str store, struct str key);
/* All keys of a store; with STR_NONE as store, all that the owner has. */
API void kv_clear(struct store_write *w, struct str owner, struct str store);
/* Fails the whole write with ERR_EXISTS if there is one. */
API void account_create(struct store_write *w, const struct account_row *row);
/*
 * Replaces what `row` has; ERR_ABSENT if there is no such account. Texts
 * that are none, zeros and an empty list of keys leave what is there; an
 * empty text removes it.
 */
API void account_update(struct store_write *w, const struct account_row *row);
/* Only these two columns; no error if there is no such account. */
API void account_set_last(struct store_write *w, struct str jid,
    int64_t last_seen, struct str last_status);
/* The row alone; callers clear keyed values and archive too. */
API void account_delete(struct store_write *w, struct str jid);
/* `item->id` is set by the caller (uuid7()). */
API void archive_append(
    struct store_write *w, struct str owner, const struct archive_item *item);
/* Replaces the stanza and its body by a tombstone (XEP-0424). */
API void archive_replace(
    struct store_write *w, struct str owner, struct str id, struct str xml);
/* All, or only what was exchanged with this bare JID. */
API void archive_clear(
    struct store_write *w, struct str owner, struct str with);

#endif
