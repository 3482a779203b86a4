/* SPDX-License-Identifier: MIT */
/* XEP-0030: what a disco#info <query/> says. */
#ifndef XEP_0030_DISCO_H
#define XEP_0030_DISCO_H

#include "xml/elem.h"

/* The name, unless it is none, is copied; the others are kept. */
API void disco_add_identity(struct elem *query, const char *category,
    const char *type, struct str name);
/* Texts are kept; the list is ended by NULL. */
API void disco_add_feature(struct elem *query, struct str var);
API void disco_add_features(struct elem *query, const char *const *vars);

#endif
