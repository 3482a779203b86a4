/* SPDX-License-Identifier: MIT */
#include "core/addr_rate.h"

#include "base/heap.h"
#include "net/loop.h"

#define ADDRESSES_MAX 10000

struct address {
	char key[ADDR_TEXT_MAX];
	uint64_t count;
	uint64_t since;
};

void
addr_rate_fini(struct addr_rate *r)
{
	struct address *a;

	for (size_t i = 0; (a = map_next(&r->addresses, &i)) != NULL;)
		xfree(a);
	map_fini(&r->addresses);
}

static bool
is_over(const struct address *a, const struct rate *rate)
{
	return loop_now() - a->since < rate->per_ms && a->count >= rate->count;
}

bool
addr_rate_is_full(
    const struct addr_rate *r, const struct rate *rate, const struct addr *peer)
{
	char key[ADDR_TEXT_MAX];
	const struct address *a;

	if (rate->count == 0 || peer == NULL)
		return false;
	addr_limit_key(peer, key);
	a = map_get(&r->addresses, str_c(key));
	return a != NULL && is_over(a, rate);
}

static struct address *
address_of(struct addr_rate *r, const struct addr *peer)
{
	char key[ADDR_TEXT_MAX];
	struct address *a;

	addr_limit_key(peer, key);
	a = map_get(&r->addresses, str_c(key));
	if (a != NULL)
		return a;
	if (r->addresses.count >= ADDRESSES_MAX)
		addr_rate_fini(r);
	a = xzalloc(sizeof(*a));
	memcpy(a->key, key, sizeof(key));
	map_set(&r->addresses, str_c(a->key), a);
	return a;
}

bool
addr_rate_take(
    struct addr_rate *r, const struct rate *rate, const struct addr *peer)
{
	struct address *a;

	if (rate->count == 0 || peer == NULL)
		return true;
	a = address_of(r, peer);
	if (a->count == 0 || loop_now() - a->since >= rate->per_ms) {
		a->since = loop_now();
		a->count = 0;
	}
	return a->count++ < rate->count;
}
