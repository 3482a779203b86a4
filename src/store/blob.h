/* SPDX-License-Identifier: MIT */
/*
 * Blobs: large bytes under a token, kept by a backend: a module called
 * blob_NAME, which publishes one of these tables by that name. A blob never
 * changes, and goes at its end by itself (see expire).
 *
 * All calls come on the loop of the instance `m`, which must be the backend's
 * own, and call back on it, later; what they are given is copied, unless it
 * says lent. Errors: ERR_ABSENT, ERR_EXISTS, ERR_LIMIT (there
 * is no room), or anything else: it failed, and the backend has logged why.
 */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H

#include "base/arena.h"
#include "base/str.h"

struct mod;

/* Beside its bytes; each text fits on one line. */
struct blob_meta {
	struct str owner, name, type;
	uint64_t size;
	int64_t end; /* clock_real(): it is not to be had from then on */
};

/* Where the bytes are: one of the two. All of it is lent but the fd. */
struct blob_found {
	struct blob_meta meta;
	int fd; /* the callee's to close; -1: none */
	uint64_t offset;
	struct str url; /* there, for a while, by the method that was named */
	bool is_open;	/* see offer(): perhaps it has not come yet */
};

typedef void blob_done_fn(void *ctx, int err);
typedef void blob_url_fn(void *ctx, int err, struct str url);
typedef void blob_found_fn(void *ctx, int err, const struct blob_found *found);

/* One that is coming; the backend's. Its instance is held meanwhile. */
struct blob_put;

struct blob_backend {
	struct blob_put *(*put_begin)(
	    struct mod *m, struct str token, const struct blob_meta *meta);
	/*
	 * The next bytes, lent until it is done; one call at a time. With the
	 * last ones it is durable when done, or ERR_EXISTS: there was one.
	 */
	void (*put_write)(struct blob_put *p, struct str bytes, bool is_last,
	    blob_done_fn *done, void *ctx);
	/* Frees it; of what is not whole, nothing is left when done. */
	void (*put_end)(struct blob_put **p, blob_done_fn *done, void *ctx);
	/* `method` is GET or HEAD. */
	void (*find)(struct mod *m, struct str token, const char *method,
	    blob_found_fn *done, void *ctx);
	/* Durably; what is not there has been removed. */
	void (*remove)(struct mod *m, const struct str *tokens, size_t count,
	    blob_done_fn *done, void *ctx);
	/* Removes what is past its end, and what came to nothing. */
	void (*expire)(struct mod *m);
	/*
	 * An address by which somebody else may put just this, until then;
	 * find() says later whether that was done; until a put that began in
	 * time must have ended, it calls it open. Removed before, it goes again
	 * then. With `has_type` he has to name the type. NULL, or false of
	 * offers: this is not for others.
	 */
	bool (*offers)(struct mod *m);
	void (*offer)(struct mod *m, struct str token,
	    const struct blob_meta *meta, bool has_type, int64_t until,
	    blob_url_fn *done, void *ctx);
};

/*
 * Content-Disposition: its name, and whether a browser may show it in place;
 * what could run is for saving. Lives in the arena.
 */
API struct str blob_disposition(struct arena *a, const struct blob_meta *meta);

#endif
