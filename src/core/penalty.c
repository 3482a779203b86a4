/* SPDX-License-Identifier: MIT */
#include "core/penalty.h"

#include "base/list.h"
#include "base/map.h"

#define ADDRESSES_MAX 4096
/* Each failure is forgotten after this time. */
#define FORGET_MS 60000
#define FIRST_MS 100

struct penalty {
	struct list node; /* the latest is last */
	uint64_t at;	  /* of the last failure */
	unsigned failures;
	char key[ADDR_TEXT_MAX];
};

static __thread struct map by_address;
static __thread struct list by_time;

static void
penalty_free(struct penalty *p)
{
	map_del(&by_address, str_c(p->key));
	list_del(&p->node);
	xfree(p);
}

static struct penalty *
penalty_of(const struct addr *from)
{
	char key[ADDR_TEXT_MAX];
	struct penalty *p;

	addr_limit_key(from, key);
	p = (struct penalty *)map_get(&by_address, str_c(key));
	if (p != NULL)
		return p;
	if (by_time.next == NULL)
		list_init(&by_time);
	if (by_address.count >= ADDRESSES_MAX)
		penalty_free(LIST_FIRST(&by_time, struct penalty, node));
	p = (struct penalty *)xzalloc(sizeof(*p));
	memcpy(p->key, key, sizeof(key));
	map_set(&by_address, str_c(p->key), p);
	return p;
}

/* 0 for the first, then 100 ms, 200, 400... */
static uint64_t
delay_of(unsigned failures)
{
	if (failures <= 1)
		return 0;
	if (failures > 7)
		return PENALTY_MAX_MS;
	return MIN(FIRST_MS << (failures - 2), PENALTY_MAX_MS);
}

uint64_t
penalty_add(const struct addr *from, uint64_t now)
{
	struct penalty *p = penalty_of(from);
	uint64_t past = now > p->at ? (now - p->at) / FORGET_MS : 0;

	p->failures -= (unsigned)MIN(past, p->failures);
	if (p->failures < 64)
		p->failures++;
	p->at = now;
	list_del(&p->node);
	list_add(&by_time, &p->node);
	return delay_of(p->failures);
}

size_t
penalty_count(void)
{
	return by_address.count;
}

void
penalty_thread_done(void)
{
	struct penalty *p;

	if (by_time.next == NULL)
		return;
	LIST_EACH(p, &by_time, struct penalty, node)
	penalty_free(p);
	map_fini(&by_address);
}
