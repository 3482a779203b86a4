/* SPDX-License-Identifier: MIT */
/*
 * All accounts of a host, one after the other, for commands. Pages of names
 * come from the store; the next is asked for when the visitor is done with
 * the one before.
 */
#ifndef CORE_ACCOUNT_WALK_H
#define CORE_ACCOUNT_WALK_H

#include "core/command.h"
#include "core/host.h"
#include "store/store.h"

struct account_walk;

struct account_visitor {
	/* A page of names; goes on with account_walk_next(), later or now. */
	void (*page)(
	    struct account_walk *w, const struct str *names, size_t count);
	/* All have been seen, or the store failed. On the same loop. */
	void (*end)(void *ctx, int err);
};

/* `host` NULL: all hosts. Frees itself after `end`. */
API void account_walk(
    const struct host *host, const struct account_visitor *visitor, void *ctx);
API void account_walk_next(struct account_walk *w);
API void *account_walk_ctx(const struct account_walk *w);
API const struct host *account_walk_host(const struct account_walk *w);
/* The bare JID of one of the names, in `a`. */
API struct jid account_walk_jid(
    const struct account_walk *w, struct arena *a, struct str name);

/*
 * The same with the row of each account. `row` may be called in any order
 * within a page; rows that are gone meanwhile are left out.
 */
typedef void account_row_fn(
    void *ctx, const struct jid *jid, const struct account_row *row);
void account_walk_rows(const struct host *host, account_row_fn *row,
    void (*end)(void *ctx, int err), void *ctx);

#endif
