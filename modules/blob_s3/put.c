/* SPDX-License-Identifier: MIT */
/*
 * Blobs that come by way of us: first it is noted that one is coming, then the
 * bytes go to the bucket, then it is noted that they are there. What a crash
 * leaves between is found later by what was noted (removal.c).
 */
#include "modules/blob_s3/s3.h"

#include <pthread.h>

/* No transfer takes that long. */
#define COMING_MS DAYS(2)

/* Tokens of what is coming, on any loop. */
static struct {
	pthread_mutex_t lock;
	struct map tokens;
} claims = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct blob_put {
	struct arena *arena; /* it lives in it */
	struct mod *mod;
	struct str token;
	struct record record;
	struct transfer *transfer;
	struct str bytes;
	bool has_claim, is_noted, is_last, is_there;
	bool is_asked; /* done is to be called */
	int err;
	blob_done_fn *done;
	void *ctx;
	struct deferred later;
};

static bool
claim(struct blob_put *p)
{
	pthread_mutex_lock(&claims.lock);
	if (map_get(&claims.tokens, p->token) == NULL) {
		map_set(&claims.tokens, p->token, p);
		p->has_claim = true;
	}
	pthread_mutex_unlock(&claims.lock);
	return p->has_claim;
}

static void
claim_end(struct blob_put *p)
{
	if (!p->has_claim)
		return;
	pthread_mutex_lock(&claims.lock);
	map_del(&claims.tokens, p->token);
	if (claims.tokens.count == 0)
		map_fini(&claims.tokens);
	pthread_mutex_unlock(&claims.lock);
	p->has_claim = false;
}

bool
s3_is_claimed(struct str token)
{
	bool is_claimed;

	pthread_mutex_lock(&claims.lock);
	is_claimed = map_get(&claims.tokens, token) != NULL;
	pthread_mutex_unlock(&claims.lock);
	return is_claimed;
}

struct blob_put *
s3_put_begin(struct mod *m, struct str token, const struct blob_meta *meta)
{
	struct arena *a = arena_new(0);
	struct blob_put *p = arena_new_of(a, struct blob_put);

	p->arena = a;
	p->mod = m;
	p->token = str_dup(a, token);
	p->record.state = RECORD_COMING;
	p->record.until = clock_real() + (int64_t)COMING_MS;
	p->record.meta = *meta;
	p->record.meta.owner = str_dup(a, meta->owner);
	p->record.meta.name = str_dup(a, meta->name);
	p->record.meta.type = str_dup(a, meta->type);
	mod_hold(m);
	return p;
}

static void
on_later(struct deferred *d)
{
	struct blob_put *p = CONTAINER_OF(d, struct blob_put, later);

	if (!p->is_asked)
		return;
	p->is_asked = false;
	p->done(p->ctx, p->err);
}

/* That is what this write, or the next, came to. */
static void
answer(struct blob_put *p, int err)
{
	p->err = err;
	if (p->is_asked)
		loop_defer(&p->later, on_later);
}

static void
on_there(void *ctx, int err)
{
	struct blob_put *p = ctx;

	p->is_there = err == 0;
	answer(p, err);
}

static void
on_sent(void *ctx, unsigned status, int64_t length)
{
	struct blob_put *p = ctx;
	struct store_write *w;

	(void)length;
	p->transfer = NULL;
	if (status < 200 || status > 299 || !p->is_last) {
		answer(p, ERR_STORE);
		return;
	}
	p->record.state = RECORD_THERE;
	p->record.until = 0;
	w = store_write_new(mod_host(p->mod)->jid.full);
	record_put(w, p->mod, p->token, &p->record);
	store_commit(&w, on_there, p);
}

static void
on_wanted(void *ctx)
{
	struct blob_put *p = ctx;

	/* After the last, it is the bucket's answer that counts. */
	if (!p->is_last)
		answer(p, 0);
}

static void
send_begin(struct blob_put *p)
{
	struct s3 *s = mod_state(p->mod);
	const struct blob_meta *b = &p->record.meta;
	struct s3_request r = {
		.method = "PUT",
		.header = { { "content-length",
				str_printf(p->arena, "%llu",
				    (unsigned long long)b->size) },
		    { "content-type", b->type } },
		.header_count = 2,
	};
	struct str url;

	if (!address_of(p->arena, s, OURS, p->token, &r) ||
	    str_is_none(url = address_now(p->arena, s, &r, 3600))) {
		log_error(mod_log(p->mod),
		    "it has no endpoint, no bucket or no keys");
		answer(p, ERR_STORE);
		return;
	}
	p->transfer = transfer_new(s, "PUT", url, on_sent, p);
	transfer_upload(p->transfer, b->size, b->type);
	transfer_write(p->transfer, p->bytes, on_wanted, p);
	transfer_start(p->transfer);
}

static void
on_noted(void *ctx, int err)
{
	struct blob_put *p = ctx;

	p->is_noted = err == 0;
	if (err < 0)
		answer(p, err);
	else
		send_begin(p);
}

static void
on_record(void *ctx, int err, struct str value)
{
	struct blob_put *p = ctx;
	struct store_write *w;
	struct record r;

	if (err < 0 && err != ERR_ABSENT) {
		answer(p, err);
	} else if (err == 0 &&
		   (!record_read(value, &r) || r.state != RECORD_COMING)) {
		answer(p, ERR_EXISTS);
	} else {
		w = store_write_new(mod_host(p->mod)->jid.full);
		record_put(w, p->mod, p->token, &p->record);
		store_commit(&w, on_noted, p);
	}
}

void
s3_put_write(struct blob_put *p, struct str bytes, bool is_last,
    blob_done_fn *done, void *ctx)
{
	p->bytes = bytes;
	p->is_last = is_last;
	p->done = done;
	p->ctx = ctx;
	p->is_asked = true;
	if (p->err < 0)
		answer(p, p->err);
	else if (p->transfer != NULL)
		transfer_write(p->transfer, bytes, on_wanted, p);
	else if (!claim(p))
		answer(p, ERR_CLOSED); /* it is coming, not there */
	else
		kv_get(mod_host(p->mod)->jid.full, RECORDS, p->token, on_record,
		    p);
}

static void
on_ended(void *ctx, int err)
{
	struct blob_put *p = ctx;
	struct arena *a = p->arena;

	(void)err;
	claim_end(p);
	loop_undefer(&p->later);
	p->done(p->ctx, 0);
	mod_release(p->mod);
	arena_free(&a);
}

static void
on_end_later(struct deferred *d)
{
	on_ended(CONTAINER_OF(d, struct blob_put, later), 0);
}

void
s3_put_end(struct blob_put **put, blob_done_fn *done, void *ctx)
{
	struct blob_put *p = *put;

	*put = NULL;
	p->done = done;
	p->ctx = ctx;
	p->is_asked = false;
	if (p->transfer != NULL)
		transfer_drop(&p->transfer);
	loop_undefer(&p->later);
	/* The bucket may have it, though we did not hear. */
	if (p->is_noted && !p->is_there)
		s3_remove(p->mod, &p->token, 1, on_ended, p);
	else
		loop_defer(&p->later, on_end_later);
}
