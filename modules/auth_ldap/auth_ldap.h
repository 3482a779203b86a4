/* SPDX-License-Identifier: MIT */
/* The connection to a directory, for what asks it. On threads of the pool. */
#ifndef AUTH_LDAP_H
#define AUTH_LDAP_H

#include "core/module.h"

#include <ldap.h>

struct directory {
	struct str url, user_dn, base, filter, bind_dn, bind_password, ca_file;
	unsigned tls;
	uint64_t timeout_ms;
	bool can_change;
	struct str groups_base, groups_filter, group_attribute;
	struct str_list member_attributes;
	struct str users_filter, user_attribute;
	struct str_list name_attributes;
};

/* Says so in the question; ERR_CLOSED. */
int ldap_down(struct auth_ask *ask, const char *what, int code);
/* The connection that searches, kept in the question's state; or drops it. */
int link_get(struct auth_ask *ask, LDAP **ld_r);
void link_drop(struct auth_ask *ask);

/* groups.c: the answer to AUTH_GROUPS. */
int ldap_groups(struct auth_ask *ask);

#endif
