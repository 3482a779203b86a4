/* SPDX-License-Identifier: MIT */
/* XEP-0390: the capability hashes of a disco#info answer. */
#ifndef XEP_0390_CAPS_H
#define XEP_0390_CAPS_H

#include "xml/elem.h"

/* Do we know the hash function of that name (XEP-0300)? */
API bool caps2_knows(struct str algo);
/*
 * The hash, in Base64, over what a disco#info <query/> says (section 4.1).
 * None when it has what must not be in it, or we don't know the function.
 */
API struct str caps2_hash(
    struct arena *a, const struct elem *query, struct str algo);

#endif
