/* SPDX-License-Identifier: MIT */
#include "core/addr_rate.h"

void
addr_rate_fini(struct addr_rate *r)
{
	key_rate_fini(&r->addresses);
}

bool
addr_rate_is_full(
    const struct addr_rate *r, const struct rate *rate, const struct addr *peer)
{
	char key[ADDR_TEXT_MAX];

	if (peer == NULL)
		return false;
	addr_limit_key(peer, key);
	return key_rate_is_full(&r->addresses, rate, str_c(key));
}

bool
addr_rate_take(
    struct addr_rate *r, const struct rate *rate, const struct addr *peer)
{
	char key[ADDR_TEXT_MAX];

	if (peer == NULL)
		return true;
	addr_limit_key(peer, key);
	return key_rate_take(&r->addresses, rate, str_c(key)) == RATE_FINE;
}
