/* SPDX-License-Identifier: MIT */
/* Values in the texts that a directory reads. */
#ifndef AUTH_LDAP_ESCAPE_H
#define AUTH_LDAP_ESCAPE_H

#include "core/module.h"

/*
 * For filters (RFC 4515) and names (RFC 4514): the pattern with %u, %d and %j
 * replaced by user, host and JID, escaped so that each stays one value, and %%
 * by %. Lives in the arena.
 */
const char *ldap_fill(
    struct arena *a, struct str pattern, struct str user, struct str host);

#endif
