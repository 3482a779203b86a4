/* SPDX-License-Identifier: MIT */
/*
 * Blobs that go: objects first, then what is noted of them. Where somebody else
 * may still put one, by an address that we can't take back, it is noted that it
 * is removed, and at the end of that time the object goes once more.
 */
#include "modules/blob_s3/s3.h"

#define AT_ONCE 8
#define PAGE_ITEMS 200

struct removal {
	struct arena *arena;
	struct mod *mod;
	struct str *token;
	bool *is_gone;
	struct record *record;
	size_t count, next, running;
	int err;
	blob_done_fn *done;
	void *ctx;
};

/* One of them. */
struct going {
	struct removal *removal;
	size_t at;
};

static void removal_go(struct removal *r);

static void
on_removed(void *ctx, int err)
{
	struct removal *r = ctx;
	struct arena *a = r->arena;

	r->done(r->ctx, err < 0 ? err : r->err);
	mod_release(r->mod);
	arena_free(&a);
}

static void
removal_note(struct removal *r)
{
	struct str host = mod_host(r->mod)->jid.full;
	struct store_write *w = store_write_new(host);

	for (size_t i = 0; i < r->count; i++)
		if (r->is_gone[i] && record_is_open(r->mod, &r->record[i]))
			record_put(w, r->mod, r->token[i], &r->record[i]);
		else if (r->is_gone[i])
			kv_del(w, host, RECORDS, r->token[i]);
	store_commit(&w, on_removed, r);
}

static void
on_gone(void *ctx, unsigned status, int64_t length)
{
	struct going *g = ctx;
	struct removal *r = g->removal;

	(void)length;
	if ((status >= 200 && status < 300) || status == 404)
		r->is_gone[g->at] = true;
	else
		r->err = ERR_STORE;
	r->running--;
	removal_go(r);
}

/* Of whose it was, nothing is kept. */
static void
record_bury(struct record *k, struct str value)
{
	static const struct str none = STR_INIT("");

	if (record_read(value, k) && k->state == RECORD_DIRECT)
		k->state = RECORD_REMOVED;
	k->meta =
	    (struct blob_meta){ .owner = none, .name = none, .type = none };
}

static void
on_record(void *ctx, int err, struct str value)
{
	struct going *g = ctx;
	struct removal *r = g->removal;
	struct s3 *s = mod_state(r->mod);
	struct s3_request q = { .method = "DELETE" };
	struct str url;

	if (err == 0)
		record_bury(&r->record[g->at], value);
	if ((err < 0 && err != ERR_ABSENT) ||
	    !address_of(r->arena, s, OURS, r->token[g->at], &q) ||
	    str_is_none(url = address_now(r->arena, s, &q, 300)))
		on_gone(g, 0, -1);
	else
		transfer_start(transfer_new(s, "DELETE", url, on_gone, g));
}

static void
removal_begin(struct removal *r, size_t at)
{
	struct going *g = arena_new_of(r->arena, struct going);

	g->removal = r;
	g->at = at;
	r->running++;
	kv_get(mod_host(r->mod)->jid.full, RECORDS, r->token[at], on_record, g);
}

static void
removal_go(struct removal *r)
{
	while (r->running < AT_ONCE && r->next < r->count)
		removal_begin(r, r->next++);
	if (r->running == 0)
		removal_note(r);
}

void
s3_remove(struct mod *m, const struct str *tokens, size_t count,
    blob_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct removal *r = arena_new_of(a, struct removal);

	r->arena = a;
	r->mod = m;
	mod_hold(m);
	r->token = (struct str *)arena_zalloc(a, (count + 1) * sizeof(*tokens));
	r->is_gone = (bool *)arena_zalloc(a, count + 1);
	r->record =
	    (struct record *)arena_zalloc(a, (count + 1) * sizeof(*r->record));
	r->count = count;
	for (size_t i = 0; i < count; i++)
		r->token[i] = str_dup(a, tokens[i]);
	r->done = done;
	r->ctx = ctx;
	removal_go(r);
}

/* Those past their end, page by page ----------------------------------------*/

struct expiry {
	struct arena *arena;
	struct mod *mod;
	struct str after;
	size_t count;
	bool is_at_end;
};

static void expiry_next(struct expiry *e);

static void
on_page_done(void *ctx, int err)
{
	struct expiry *e = ctx;
	struct s3 *s = mod_state(e->mod);
	struct arena *a = e->arena;

	if (err == 0 && e->count > 0)
		log_info(mod_log(e->mod), "removed %zu old files", e->count);
	if (err == 0 && !e->is_at_end && !s->is_stopped) {
		expiry_next(e);
		return;
	}
	s->is_expiring = false;
	mod_release(e->mod);
	str_free(&e->after);
	arena_free(&a);
}

static bool
is_over(struct mod *m, const struct kv_item *item, int64_t now)
{
	struct record r;

	if (!record_read(item->value, &r))
		return true;
	if (r.state == RECORD_REMOVED)
		return !record_is_open(m, &r);
	return r.meta.end <= now ||
	       (r.state == RECORD_COMING && r.until < now &&
		   !s3_is_claimed(item->key));
}

static void
on_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct expiry *e = ctx;
	struct str old[PAGE_ITEMS];
	int64_t now = clock_real();

	e->is_at_end = err < 0 || count < PAGE_ITEMS;
	e->count = 0;
	for (size_t i = 0; err == 0 && i < count; i++)
		if (is_over(e->mod, &items[i], now))
			old[e->count++] = items[i].key;
	if (err == 0 && count > 0) {
		str_free(&e->after);
		e->after = str_heap(items[count - 1].key);
	}
	if (e->count > 0)
		s3_remove(e->mod, old, e->count, on_page_done, e);
	else
		on_page_done(e, err);
}

static void
expiry_next(struct expiry *e)
{
	kv_list(mod_host(e->mod)->jid.full, RECORDS,
	    e->after.n > 0 ? e->after : STR_NONE, false, PAGE_ITEMS, on_page,
	    e);
}

void
s3_expire(struct mod *m)
{
	struct s3 *s = mod_state(m);
	struct arena *a;
	struct expiry *e;

	if (s->is_expiring || s->is_stopped)
		return;
	s->is_expiring = true;
	a = arena_new(0);
	e = arena_new_of(a, struct expiry);
	e->arena = a;
	e->mod = m;
	mod_hold(m);
	expiry_next(e);
}
