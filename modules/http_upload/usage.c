/* SPDX-License-Identifier: MIT */
/*
 * What all accounts of a host have here: an index in the host's own store, by
 * owner and token, and the sum of it, which all workers count together. A file
 * counts from when it begins to come.
 */
#include "modules/http_upload/upload.h"

#include <pthread.h>
#include <stdatomic.h>

#define PAGE_ITEMS 500
/* Slots that are looked after together; then the walk waits for them. */
#define SETTLED_AT_ONCE 16

/* By the host's index; made and freed with the module. */
static struct usage {
	_Atomic uint64_t bytes;
	_Atomic bool is_counted;
} * usages;

static struct {
	pthread_mutex_t lock;
	struct map tokens;
} claims = { .lock = PTHREAD_MUTEX_INITIALIZER };

void
usage_init(void)
{
	usages = (struct usage *)xzalloc(host_count() * sizeof(*usages));
}

void
usage_fini(void)
{
	xfree(usages);
	usages = NULL;
}

bool
usage_has_room(const struct host *host, uint64_t bytes, uint64_t max)
{
	uint64_t has = atomic_load(&usages[host->index].bytes);

	return bytes <= max && has <= max - bytes;
}

bool
usage_take(const struct host *host, uint64_t bytes, uint64_t max)
{
	struct usage *u = &usages[host->index];
	uint64_t has = atomic_fetch_add(&u->bytes, bytes);

	if (bytes <= max && has <= max - bytes)
		return true;
	atomic_fetch_sub(&u->bytes, bytes);
	return false;
}

void
usage_give(const struct host *host, uint64_t bytes)
{
	struct usage *u = &usages[host->index];
	uint64_t has = atomic_load(&u->bytes);

	/* Two who remove the same at once both say so. */
	while (!atomic_compare_exchange_weak(
	    &u->bytes, &has, has - MIN(has, bytes)))
		;
}

bool
token_claim(struct str token)
{
	bool is_free;

	pthread_mutex_lock(&claims.lock);
	is_free = map_get(&claims.tokens, token) == NULL;
	if (is_free)
		map_set(&claims.tokens, token, &claims);
	pthread_mutex_unlock(&claims.lock);
	return is_free;
}

void
token_unclaim(struct str token)
{
	pthread_mutex_lock(&claims.lock);
	map_del(&claims.tokens, token);
	if (claims.tokens.count == 0)
		map_fini(&claims.tokens);
	pthread_mutex_unlock(&claims.lock);
}

struct str
index_key(struct arena *a, struct str owner, struct str token)
{
	return str_printf(
	    a, STR_FMT " " STR_FMT, STR_ARG(owner), STR_ARG(token));
}

struct str
index_note(struct arena *a, uint64_t size, int64_t end, int64_t until)
{
	return str_printf(a, "%llu %lld %lld", (unsigned long long)size,
	    (long long)end, (long long)until);
}

bool
index_read(struct str note, uint64_t *size_r, int64_t *end_r, int64_t *until_r)
{
	*until_r = 0;
	return str_to_u64(str_cut(&note, ' '), size_r) &&
	       str_to_i64(str_cut(&note, ' '), end_r) &&
	       (str_is_none(note) || str_to_i64(note, until_r));
}

/* Walks through the index --------------------------------------------------*/

struct walk {
	struct mod *mod;
	bool is_count; /* else it prunes */
	struct str after;
	struct store_write *write;
	uint64_t bytes; /* seen, or of what is being pruned */
	bool is_at_end;
	size_t settled; /* slots of this page */
	size_t waiting; /* until this page is done */
	int err;
};

static void walk_next(struct walk *w);

static void
walk_end(struct walk *w)
{
	struct upload *u = mod_state(w->mod);

	if (w->is_count)
		atomic_fetch_add(
		    &usages[mod_host(w->mod)->index].bytes, w->bytes);
	u->is_pruning = false;
	mod_release(w->mod);
	str_free(&w->after);
	xfree(w);
}

/* One of what the page waits for; pruning ends with its module. */
static void
page_done(void *ctx)
{
	struct walk *w = ctx;
	const struct upload *u = mod_state(w->mod);

	if (--w->waiting > 0)
		return;
	if (w->err < 0 || w->is_at_end || (u->is_stopped && !w->is_count))
		walk_end(w);
	else
		walk_next(w);
}

static void
on_pruned(void *ctx, int err)
{
	struct walk *w = ctx;

	if (err == 0)
		usage_give(mod_host(w->mod), w->bytes);
	w->bytes = 0;
	w->err = err;
	page_done(w);
}

static void
walk_item(struct walk *w, const struct kv_item *item, int64_t now)
{
	struct str host = mod_host(w->mod)->jid.full;
	uint64_t size = 0;
	int64_t end = 0, until = 0;
	bool is_good = index_read(item->value, &size, &end, &until);

	if (w->is_count) {
		w->bytes += size;
		return;
	}
	if (is_good && end > now) {
		if (until != 0 && until < now) {
			struct str token = item->key;
			struct str owner = str_cut(&token, ' ');

			w->settled++;
			w->waiting++;
			direct_settle(
			    w->mod, owner, token, size, end, page_done, w);
		}
		return;
	}
	if (w->write == NULL)
		w->write = store_write_new(host);
	kv_del(w->write, host, INDEX, item->key);
	w->bytes += size;
}

static void
on_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct walk *w = ctx;
	int64_t now = clock_real();
	size_t seen = 0;

	if (err < 0) {
		walk_end(w);
		return;
	}
	w->waiting = 1; /* for the write */
	w->settled = 0;
	while (seen < count && w->settled < SETTLED_AT_ONCE)
		walk_item(w, &items[seen++], now);
	w->is_at_end = seen == count && count < PAGE_ITEMS;
	if (seen > 0) {
		str_free(&w->after);
		w->after = str_heap(items[seen - 1].key);
	}
	if (w->write != NULL)
		store_commit(&w->write, on_pruned, w);
	else
		page_done(w);
}

static void
walk_next(struct walk *w)
{
	kv_list(mod_host(w->mod)->jid.full, INDEX,
	    w->after.n > 0 ? w->after : STR_NONE, false, PAGE_ITEMS, on_page,
	    w);
}

static void
walk_start(struct mod *m, bool is_count)
{
	struct upload *u = mod_state(m);
	struct walk *w;

	if (u->is_pruning)
		return;
	u->is_pruning = true;
	w = (struct walk *)xzalloc(sizeof(*w));
	w->mod = m;
	mod_hold(m);
	w->is_count = is_count;
	walk_next(w);
}

void
usage_start(struct mod *m)
{
	struct usage *u = &usages[mod_host(m)->index];

	if (loop_index(loop_self()) == 0 &&
	    !atomic_exchange(&u->is_counted, true))
		walk_start(m, true);
}

void
index_prune(struct mod *m)
{
	walk_start(m, false);
}
