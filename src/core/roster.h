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
	/*
	 * What shared groups give: halves of the subscription, which are in
	 * `sub`, too; the first of the groups; and a name. It stays, whoever
	 * changes the rest. `own` and `is_own`: what there is without it.
	 */
	enum roster_sub shared;
	size_t shared_groups;
	struct str shared_name;
	enum roster_sub own;
	bool is_own;
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
/* ERR_DENIED: it is there by shared groups alone. */
API int roster_remove(
    struct account *acct, struct str bare, account_done_fn *done, void *ctx);

/* What shared groups give an account of one contact. */
struct roster_grant {
	struct jid jid;	     /* bare */
	enum roster_sub sub; /* NONE: nothing any more */
	struct str name;
	struct str_list groups; /* names that clients show */
};
#define ROSTER_GRANT_GROUPS_MAX 16

/*
 * Makes that so: writes, pushes, and shows or hides presence. It counts for no
 * limit of the roster's; whoever grants has one. Grants of a host where no
 * module has HOOK_ROSTER_LOADED end with the next load.
 */
API void roster_share(struct account *acct, const struct roster_grant *grant,
    account_done_fn *done, void *ctx);

#endif
