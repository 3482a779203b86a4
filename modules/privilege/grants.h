/* SPDX-License-Identifier: MIT */
/* What the configuration lets each component do (XEP-0356). */
#ifndef PRIVILEGE_GRANTS_H
#define PRIVILEGE_GRANTS_H

#include "core/module.h"

struct grants {
	struct str_list roster_get, roster_set, message, presence;
	struct str_list iq; /* "DOMAIN get|set|both NAMESPACE" */
};

bool grants_list(const struct str_list *list, struct str domain);
/* May the domain send iqs of that type and namespace for users? */
bool grants_iq(const struct grants *g, struct str domain, enum stanza_type type,
    struct str ns);
/* <privilege/> with all that the domain may do; false: nothing. */
bool grants_write(
    const struct grants *g, struct str domain, struct elem *privilege);
/* A line in the log for each row that grants nothing. */
void grants_check(const struct grants *g, const struct log_ctx *log);

#endif
