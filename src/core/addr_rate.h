/* SPDX-License-Identifier: MIT */
/*
 * So many of something from one address in a time; as one worker sees it.
 * {0} is an empty one. Bounded, as key_rate.h is.
 */
#ifndef CORE_ADDR_RATE_H
#define CORE_ADDR_RATE_H

#include "core/key_rate.h"
#include "net/addr.h"

struct addr_rate {
	struct key_rate addresses;
};

/* Counts one; false when there were too many. No peer, no rate: never. */
API bool addr_rate_take(
    struct addr_rate *r, const struct rate *rate, const struct addr *peer);
/* Would one more be too many? Counts nothing. */
API bool addr_rate_is_full(const struct addr_rate *r, const struct rate *rate,
    const struct addr *peer);
API void addr_rate_fini(struct addr_rate *r);

#endif
