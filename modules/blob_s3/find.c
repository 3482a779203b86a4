/* SPDX-License-Identifier: MIT */
/*
 * Addresses for others: to fetch what is there, to put what is announced. That
 * to fetch is the same for an hour, say, so that caches know it again.
 */
#include "modules/blob_s3/s3.h"

#define DAY_S 86400

struct find {
	struct arena *arena;
	struct mod *mod;
	struct str token;
	const char *method;
	struct record record;
	blob_found_fn *done;
	void *ctx;
};

static void
find_end(struct find *f, int err)
{
	struct arena *a = f->arena;

	if (err < 0)
		f->done(f->ctx, err, NULL);
	arena_free(&a);
}

static struct str
link_make(struct find *f)
{
	struct s3 *s = mod_state(f->mod);
	const struct s3_options *o = mod_options(f->mod);
	const struct blob_meta *b = &f->record.meta;
	int64_t now = clock_real() / 1000, end = b->end / 1000;
	int64_t step = (int64_t)(o->link_ms / 1000), from = now - now % step;
	struct s3_keys keys;
	struct s3_request r = {
		.method = f->method,
		.query = { { "response-cache-control",
			       str_printf(f->arena,
				   "public, max-age=%lld, immutable",
				   (long long)MIN(end - now, DAY_S)) },
		    { "response-content-disposition",
			blob_disposition(f->arena, b) },
		    { "response-content-type", b->type } },
		.query_count = 3,
		.time_s = from,
		.good_s = (uint64_t)MIN(2 * step, end - from),
	};

	if (end <= now || !keys_get(s, &keys) ||
	    !address_of(f->arena, s, PUBLIC, f->token, &r))
		return STR_NONE;
	return s3_presign(f->arena, &keys, &r);
}

static void
find_answer(struct find *f)
{
	struct blob_found found = {
		.meta = f->record.meta,
		.fd = -1,
		.is_open = record_is_open(f->mod, &f->record),
	};

	if (found.meta.end / 1000 <= clock_real() / 1000) {
		find_end(f, ERR_ABSENT);
		return;
	}
	found.url = link_make(f);
	if (str_is_none(found.url)) {
		log_error(mod_log(f->mod),
		    "it has no endpoint, no bucket or no keys");
		find_end(f, ERR_STORE);
		return;
	}
	f->done(f->ctx, 0, &found);
	find_end(f, 0);
}

/* Was it put? --------------------------------------------------------------*/

static void
on_settled(void *ctx, int err)
{
	struct find *f = ctx;

	if (err < 0)
		find_end(f, err);
	else if (f->record.state == RECORD_THERE)
		find_answer(f);
	else
		find_end(f, ERR_ABSENT);
}

static void
on_wrong_removed(void *ctx, int err)
{
	find_end(ctx, err < 0 ? err : ERR_ABSENT);
}

static void
on_looked(void *ctx, unsigned status, int64_t length)
{
	struct find *f = ctx;
	struct str host = mod_host(f->mod)->jid.full;
	struct store_write *w;

	if (status != 200 && status != 404) {
		find_end(f, ERR_STORE);
		return;
	}
	if (status == 200 && length < 0) {
		log_error(mod_log(f->mod), "the bucket names no length");
		find_end(f, ERR_STORE);
		return;
	}
	if (status == 200 && (uint64_t)length != f->record.meta.size) {
		s3_remove(f->mod, &f->token, 1, on_wrong_removed, f);
		return;
	}
	w = store_write_new(host);
	if (status == 200) {
		f->record.state = RECORD_THERE;
		f->record.until = 0;
		record_put(w, f->mod, f->token, &f->record);
	} else {
		kv_del(w, host, RECORDS, f->token);
	}
	store_commit(&w, on_settled, f);
}

static void
look(struct find *f)
{
	struct s3 *s = mod_state(f->mod);
	struct s3_request r = { .method = "HEAD" };
	struct str url;

	if (!address_of(f->arena, s, OURS, f->token, &r) ||
	    str_is_none(url = address_now(f->arena, s, &r, 300)))
		find_end(f, ERR_STORE);
	else
		transfer_start(transfer_new(s, "HEAD", url, on_looked, f));
}

static void
on_record(void *ctx, int err, struct str value)
{
	struct find *f = ctx;
	struct str own = err == 0 ? str_dup(f->arena, value) : STR_NONE;

	if (err < 0)
		find_end(f, err);
	else if (!record_read(own, &f->record) ||
		 f->record.state == RECORD_COMING ||
		 f->record.state == RECORD_REMOVED)
		find_end(f, ERR_ABSENT);
	else if (f->record.state == RECORD_DIRECT &&
		 !record_is_open(f->mod, &f->record))
		look(f);
	else
		find_answer(f);
}

void
s3_find(struct mod *m, struct str token, const char *method,
    blob_found_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct find *f = arena_new_of(a, struct find);

	f->arena = a;
	f->mod = m;
	f->token = str_dup(a, token);
	f->method = method;
	f->done = done;
	f->ctx = ctx;
	kv_get(mod_host(m)->jid.full, RECORDS, f->token, on_record, f);
}

/* To be put by others ------------------------------------------------------*/

struct offer {
	struct arena *arena;
	struct str url;
	blob_url_fn *done;
	void *ctx;
};

bool
s3_offers(struct mod *m)
{
	const struct s3_options *o = mod_options(m);

	return o->is_direct;
}

static void
on_offered(void *ctx, int err)
{
	struct offer *f = ctx;
	struct arena *a = f->arena;

	f->done(f->ctx, str_is_none(f->url) ? ERR_STORE : err, f->url);
	arena_free(&a);
}

void
s3_offer(struct mod *m, struct str token, const struct blob_meta *meta,
    bool has_type, int64_t until, blob_url_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct offer *f = arena_new_of(a, struct offer);
	struct s3 *s = mod_state(m);
	struct record record = { RECORD_DIRECT, until, *meta };
	struct s3_request r = {
		.method = "PUT",
		.header = { { "content-length",
				str_printf(a, "%llu",
				    (unsigned long long)meta->size) },
		    { "content-type", meta->type } },
		.header_count = has_type ? 2 : 1,
	};
	struct store_write *w = store_write_new(mod_host(m)->jid.full);

	f->arena = a;
	f->done = done;
	f->ctx = ctx;
	f->url = STR_NONE;
	if (address_of(a, s, PUBLIC, token, &r))
		f->url = address_now(
		    a, s, &r, (uint64_t)MAX((until - clock_real()) / 1000, 1));
	if (!str_is_none(f->url))
		record_put(w, m, token, &record);
	else
		log_error(
		    mod_log(m), "it has no endpoint, no bucket or no keys");
	store_commit(&w, on_offered, f);
}
