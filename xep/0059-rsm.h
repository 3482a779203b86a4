/* SPDX-License-Identifier: MIT */
/* XEP-0059: Result Set Management, asked and answered. */
#ifndef XEP_0059_RSM_H
#define XEP_0059_RSM_H

#include "xml/elem.h"

struct rsm {
	bool is_there; /* there was a <set/> */
	bool has_max;
	uint64_t max;	   /* 0 with has_max: only the count is wanted */
	struct str after;  /* none if absent */
	struct str before; /* none if absent; "" asks for the last page */
};

/*
 * Reads the <set/> among the children. ERR_INVALID when its numbers are none,
 * or it asks for a page by index, which we do not offer.
 */
API int rsm_read(const struct elem *parent, struct rsm *rsm_r);
/*
 * Adds a <set/>: the first and last item of the page (none: an empty page)
 * and the count, unless that is negative. Texts are kept.
 */
API struct elem *rsm_add(
    struct elem *parent, struct str first, struct str last, int64_t count);

#endif
