/* SPDX-License-Identifier: MIT */
/*
 * Verified capabilities are kept with the host, so that after a restart it is
 * known at once who is interested in what. Anybody can make hashes that are
 * right, so their number and size are bounded: when there are too many, a new
 * one takes the place of its neighbour. At worst a client is asked again.
 */
#include "core/pubsub_impl.h"

#include "core/conf.h"

#define STORE STR("caps")
#define KNOWN_SIZE 8192

void
caps_find(
    const struct host *host, struct str key, store_value_fn *found, void *ctx)
{
	kv_get(host->jid.bare, STORE, key, found, ctx);
}

/* On the heap. */
struct keep {
	struct str owner; /* lives as long as the host: for good */
	struct str key, text;
};

static void
put(struct keep *k, struct str victim)
{
	struct store_write *w = store_write_new(k->owner);

	if (victim.n > 0)
		kv_del(w, k->owner, STORE, victim);
	kv_put(w, k->owner, STORE, k->key, k->text);
	store_commit(&w, NULL, NULL);
	str_free(&k->key);
	str_free(&k->text);
	xfree(k);
}

/* The next in order goes, the last one's next being the last but one. */
static void
on_before(void *ctx, int err, const struct kv_item *items, size_t count)
{
	put(ctx, err == 0 && count > 0 ? items[0].key : STR_NONE);
}

static void
on_after(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct keep *k = ctx;

	if (err == 0 && count > 0)
		put(k, items[0].key);
	else
		kv_list(k->owner, STORE, k->key, true, 1, on_before, k);
}

static void
on_count(void *ctx, int err, uint64_t count)
{
	struct keep *k = ctx;

	if (err == 0 && count >= conf_now()->limits.capabilities)
		kv_list(k->owner, STORE, k->key, false, 1, on_after, k);
	else
		put(k, STR_NONE);
}

void
caps_store(const struct host *host, struct str key, struct str text)
{
	struct keep *k;

	if (text.n > KNOWN_SIZE)
		return;
	k = xzalloc(sizeof(*k));
	k->owner = host->jid.bare;
	k->key = str_heap(key);
	k->text = str_heap(text);
	kv_count(k->owner, STORE, on_count, k);
}
