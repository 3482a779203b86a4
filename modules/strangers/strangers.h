/* SPDX-License-Identifier: MIT */
/* What the files of the module share. */
#ifndef MODULES_STRANGERS_STRANGERS_H
#define MODULES_STRANGERS_STRANGERS_H

#include "core/module.h"

enum bodies { BODIES_TAKE, BODIES_REFUSE };

struct strangers_options {
	struct rate sender_messages, domain_messages, account_messages;
	struct rate sender_requests, domain_requests, account_requests;
	unsigned bodies; /* enum bodies */
	bool counts_local;
	uint64_t offline_max, known_max;
	struct str rtbl_service;
	struct str_list rtbl_nodes;
	uint64_t rtbl_max;
};

/* In each account; at its home. */
struct acquaintances {
	struct map known; /* of struct known *, whom it has written to */
	uint64_t kept;	  /* messages of strangers in the spool, at most */
};

/* HOOK_ACCOUNT_LOAD, and `account_free` of the module. */
void known_load(struct mod *m, struct account *acct);
void known_free(struct mod *m, void *state);
/* Has the account written to this bare JID? */
bool known_has(struct mod *m, const struct account *acct, struct str bare);
/* It has, now: remembers, and forgets another if there are too many. */
void known_add(struct mod *m, struct account *acct, struct str bare);
/* One more message of strangers will be kept: false when that is too many. */
bool known_keep(struct mod *m, struct account *acct);

#endif
