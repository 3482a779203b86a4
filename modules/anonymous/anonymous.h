/* SPDX-License-Identifier: MIT */
#ifndef MODULES_ANONYMOUS_H
#define MODULES_ANONYMOUS_H

#include "core/module.h"

struct anonymous_options {
	uint64_t max;	  /* guests at a time */
	struct rate rate; /* of new ones from an address */
	bool is_remote;	  /* may they talk to other servers? */
};

/* A guest's account, in its slot; in memory for as long as he stays. */
struct guest {
	struct mod *mod;	 /* NULL: the account is no guest's */
	struct account *account; /* pinned */
	struct timer timer;	 /* looks whether he has left */
	struct list node;	 /* of the module's */
	bool has_been;		 /* has had a session */
	bool is_going;
	uint64_t since; /* loop_now() */
};

/* Is it a guest's address, on this loop? */
bool guest_is(struct mod *m, const struct jid *jid);

/* limits.c: what guests may not do. */
extern const struct hook anonymous_hooks[];
extern const struct iq_route anonymous_routes[];
void anonymous_closed(struct mod *m, struct session *s);

#endif
