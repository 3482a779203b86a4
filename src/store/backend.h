/* SPDX-License-Identifier: MIT */
/*
 * What a storage backend implements: it is handed requests, carries them out
 * wherever it likes, and gives them back. A request owns its arena, which
 * holds its arguments and, later, its results; so it may cross threads.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "base/list.h"
#include "net/loop.h"
#include "store/parts.h"
#include "store/store.h"

enum store_op {
	STORE_ACCOUNT_GET,
	STORE_ACCOUNT_LIST,
	STORE_ACCOUNT_COUNT,
	STORE_KV_GET,
	STORE_KV_LIST,
	STORE_KV_COUNT,
	STORE_KV_STORES, /* of an owner, after `key` (or none) */
	STORE_KV_OWNERS,
	STORE_ARCHIVE_FIND,
	STORE_ARCHIVE_ENDS,
	STORE_ARCHIVE_COUNT,
	STORE_ARCHIVE_EXPIRE, /* a write in a request of its own */
	STORE_WRITE,
	/*
	 * For copying a whole store: in order, after `key` (or none), at most
	 * `limit` names. Hosts that have accounts, names of keyed stores,
	 * owners that have an archive.
	 */
	STORE_HOSTS,
	STORE_STORES,
	STORE_ARCHIVE_OWNERS,
};

enum store_change_op {
	CHANGE_KV_PUT,
	CHANGE_KV_DEL,
	CHANGE_KV_CLEAR,
	CHANGE_ACCOUNT_CREATE,
	CHANGE_ACCOUNT_UPDATE,
	CHANGE_ACCOUNT_LAST,
	CHANGE_ACCOUNT_DELETE,
	CHANGE_ARCHIVE_APPEND,
	CHANGE_ARCHIVE_REPLACE,
	CHANGE_ARCHIVE_CLEAR,
};

struct store_change {
	struct store_change *next;
	enum store_change_op op;
	struct str owner, store, key, value;
	union {
		struct account_row row;	  /* the account changes */
		struct archive_item item; /* the archive changes */
	};
};

struct store_req {
	struct list node;    /* for the backend's queues */
	struct arena *arena; /* the request itself lives in it */
	struct loop *loop;   /* who asked */
	enum store_op op;
	/* A write of its loop and owner comes before it, not yet answered. */
	bool is_behind;
	struct str owner, store, key; /* host in `owner` for host-wide ones */
	bool is_reverse;
	size_t limit;
	int64_t before;
	const atomic_bool *is_aborted; /* or NULL: see archive_expire() */
	struct archive_filter filter;
	struct store_change *changes, **changes_tail; /* STORE_WRITE */

	/* Results, for the callback. */
	int err;
	uint64_t count;
	struct str value;
	struct kv_item *items;
	struct str *names;
	size_t item_count;
	struct account_row *row;
	struct archive_page page;

	/* Instead of `cb`, on the loop that asked. */
	void (*answered)(struct store_req *req);

	/* Of the front; not the backend's business. */
	struct store_line *line;
	size_t *counter; /* of the line, that counts it */
	unsigned epoch;	 /* of the desk, when it was asked */
	size_t bytes;
	union {
		store_done_fn *done;
		store_account_fn *account;
		store_names_fn *names;
		store_count_fn *count;
		store_value_fn *value;
		store_items_fn *items;
		archive_page_fn *page;
	} cb;
	void *ctx;
};

struct store_config {
	const char *data_dir;
	const char *path; /* SQLite: relative to data_dir */
	const char *dsn;  /* PostgreSQL */
};

struct store_backend {
	const char *name; /* "sqlite": database.driver */
	/*
	 * Opens and migrates, before the loops run; may block. On failure
	 * *why_r, from `a`, says what and where.
	 */
	int (*open)(struct arena *a, const struct store_config *config,
	    const char **why_r);
	/* Carries out what was submitted, then closes; may block. */
	void (*close)(void);
	/*
	 * Takes a request, on the loop of req->loop; answers it later by
	 * store_answer(), from any thread, exactly once.
	 */
	void (*submit)(struct store_req *req);
	/* Writes a consistent copy of the database to a file; may block. */
	int (*backup)(struct arena *a, const char *path, const char **why_r);
};

/* Called by a backend's module when it is loaded and unloaded. */
API void store_register(const struct store_backend *backend);
API void store_unregister(const struct store_backend *backend);

/* For the main program: a registered backend, or NULL. */
const struct store_backend *store_backend_find(const char *name);

/* Hands the request back to who asked. */
API void store_answer(struct store_req *req);

/* For main, before the loops run: opens the backend of that name. */
int store_open(struct arena *a, const char *driver,
    const struct store_config *config, const char **why_r);
/*
 * For main, between loops_stop() and loops_free(): what was submitted is
 * carried out, but nobody is called back any more.
 */
void store_close(void);
/* May block: for loop_work(). */
int store_backup(struct arena *a, const char *path, const char **why_r);

/* For slices of what can be aborted. */
static inline bool
req_is_aborted(const struct store_req *req)
{
	return req->is_aborted != NULL && atomic_load(req->is_aborted);
}

#endif
