/* SPDX-License-Identifier: MIT */
/*
 * Guests: whoever logs in by SASL ANONYMOUS (XEP-0175). A module makes the
 * accounts and takes them away; hosts where it is on offer the mechanism.
 */
#ifndef CORE_GUEST_H
#define CORE_GUEST_H

#include "jid/jid.h"

struct addr;
struct mod;

/* On the loop that asked, in a later turn. `bare` lives for the call. */
typedef void guest_fn(void *ctx, int err, const struct jid *bare);

/* What the module publishes as "guests". */
struct guests {
	const char *module; /* its name */
	/*
	 * Makes an account for one who comes from there. ERR_LIMIT: there
	 * are enough; ERR_STORE.
	 */
	void (*admit)(
	    struct mod *m, const struct addr *peer, guest_fn *done, void *ctx);
};

#endif
