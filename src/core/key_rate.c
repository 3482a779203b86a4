/* SPDX-License-Identifier: MIT */
#include "core/key_rate.h"

#include "base/heap.h"
#include "net/loop.h"

#define RECENT_MAX 10000

struct counted {
	uint64_t since;
	uint64_t count;
	size_t n;
	char key[];
};

static void
map_drop(struct map *m)
{
	struct counted *c;

	for (size_t i = 0; (c = map_next(m, &i)) != NULL;)
		xfree(c);
	map_fini(m);
}

void
key_rate_fini(struct key_rate *r)
{
	map_drop(&r->recent);
	map_drop(&r->older);
}

static bool
is_running(const struct counted *c, const struct rate *rate)
{
	return loop_now() - c->since < rate->per_ms;
}

bool
key_rate_is_full(
    const struct key_rate *r, const struct rate *rate, struct str key)
{
	const struct counted *c = map_get(&r->recent, key);

	if (c == NULL)
		c = map_get(&r->older, key);
	return rate->count > 0 && c != NULL && is_running(c, rate) &&
	       c->count >= rate->count;
}

static void
recent_add(struct key_rate *r, struct counted *c)
{
	if (r->recent.count >= RECENT_MAX) {
		map_drop(&r->older);
		r->older = r->recent;
		r->recent = (struct map){ 0 };
	}
	map_set(&r->recent, str_mem(c->key, c->n), c);
}

static struct counted *
counted_of(struct key_rate *r, struct str key)
{
	struct counted *c = map_get(&r->recent, key);

	if (c != NULL)
		return c;
	c = map_del(&r->older, key);
	if (c == NULL) {
		c = xzalloc(sizeof(*c) + key.n);
		c->since = loop_now();
		c->n = key.n;
		memcpy(c->key, key.p, key.n);
	}
	recent_add(r, c);
	return c;
}

enum rate_state
key_rate_take(struct key_rate *r, const struct rate *rate, struct str key)
{
	struct counted *c;

	if (rate->count == 0)
		return RATE_FINE;
	c = counted_of(r, key);
	if (!is_running(c, rate)) {
		c->since = loop_now();
		c->count = 0;
	}
	c->count++;
	if (c->count <= rate->count)
		return RATE_FINE;
	return c->count == (uint64_t)rate->count + 1 ? RATE_ENDS : RATE_OVER;
}
