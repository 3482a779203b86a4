/* SPDX-License-Identifier: MIT */
/*
 * So many of something by one name in a time; as one worker sees it. {0} is an
 * empty table. Bounded: names that were not seen for longest are forgotten.
 */
#ifndef CORE_KEY_RATE_H
#define CORE_KEY_RATE_H

#include "base/map.h"
#include "core/option.h"

/* When `recent` is half of the bound, it becomes `older`, which goes. */
struct key_rate {
	struct map recent, older;
};

enum rate_state {
	RATE_FINE,
	RATE_ENDS, /* this is the first that is too many */
	RATE_OVER,
};

/* Counts one. Without a rate all is fine. */
API enum rate_state key_rate_take(
    struct key_rate *r, const struct rate *rate, struct str key);
/* Would one more be too many? Counts nothing. */
API bool key_rate_is_full(
    const struct key_rate *r, const struct rate *rate, struct str key);
API void key_rate_fini(struct key_rate *r);

#endif
