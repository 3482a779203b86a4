/* SPDX-License-Identifier: MIT */
/*
 * Rosters (RFC 6121 section 2) of loaded accounts: in memory at home, each
 * change written to the store before it is pushed.
 */
#ifndef CORE_ROSTER_H
#define CORE_ROSTER_H

#include "core/account.h"
#include "core/option.h"

enum roster_sub {
	ROSTER_NONE = 0,
	ROSTER_TO = 1,
	ROSTER_FROM = 2,
	ROSTER_BOTH = 3,
};

struct roster_item {
	struct jid jid;	 /* usually bare */
	struct str name; /* or none */
	struct str_list groups;
	enum roster_sub sub;
	bool is_asking;	    /* ask='subscribe': pending out */
	bool is_approved;   /* pre-approved */
	bool is_pending_in; /* asked us; not shown in the roster alone */
	bool is_in_roster;  /* false: only a pending request is known */
	struct str request; /* the subscribe stanza to be shown again */
};

/* NULL if it has no such item. */
API const struct roster_item *roster_find(
    const struct account *acct, struct str bare);
/* Walks: for (size_t i = 0; (it = roster_next(acct, &i)) != NULL;). */
API const struct roster_item *roster_next(
    const struct account *acct, size_t *pos);
API size_t roster_count(const struct account *acct);
/* Adds it to a query as it is pushed: as removed if it is in no roster. */
API void roster_item_add(struct elem *query, const struct roster_item *item);
API const char *roster_sub_name(enum roster_sub sub);

/*
 * Changes from outside the protocol (commands, shared groups): writes, pushes
 * to interested sessions, and sends no presence. ERR_LIMIT: roster is full.
 */
API int roster_put(struct account *acct, const struct roster_item *item,
    account_done_fn *done, void *ctx);
API int roster_remove(
    struct account *acct, struct str bare, account_done_fn *done, void *ctx);

#endif
