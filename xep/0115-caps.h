/* SPDX-License-Identifier: MIT */
/* XEP-0115: the verification string of entity capabilities. */
#ifndef XEP_0115_CAPS_H
#define XEP_0115_CAPS_H

#include "xml/elem.h"

/*
 * The SHA-1 hash, in Base64, over what a disco#info <query/> says (section
 * 5.1). None when the answer is one that must not be trusted (section 5.4):
 * two equal identities, features or forms.
 */
API struct str caps_ver(struct arena *a, const struct elem *query);

#endif
