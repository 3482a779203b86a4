/* SPDX-License-Identifier: MIT */
/*
 * Files coming in: given to the storage piece by piece, one at a time, while
 * the next gathers; when enough has gathered, the client waits. The first piece
 * tells what it is. A file that is whole gets its note, then 201.
 */
#include "modules/http_upload/upload.h"

/* What is worth writing, and what may gather while a piece is written. */
#define GATHER_ENOUGH (64 * 1024)
#define GATHER_MAX (256 * 1024)

struct put {
	struct http_req *req;
	struct mod *mod;
	struct arena *arena; /* of the request */
	struct slot slot;
	const struct blob_backend *storage;
	struct blob_put *blob;
	int64_t end;		       /* when it is to go */
	char type[TYPE_MAX_BYTES + 1]; /* by its content */
	struct buf gather, piece;
	uint64_t come;
	bool is_looked, is_fine; /* at the type */
	bool is_working, is_ended, is_gone, is_paused;
	bool is_last; /* of what is being written */
	int err;
	bool has_claim;
	bool is_counted; /* it is there to stay */
};

static void put_go(struct put *p);

static void
put_fini(struct put *p)
{
	buf_fini(&p->gather);
	buf_fini(&p->piece);
}

static void
put_answer(struct put *p, unsigned status, const char *text)
{
	put_fini(p);
	if (p->has_claim)
		token_unclaim(p->slot.token);
	if (!p->is_counted)
		usage_give(mod_host(p->mod), p->slot.size);
	cors_headers(p->req);
	http_answer_text(p->req, status, text);
}

/* At its end --------------------------------------------------------------*/

/* Who asked for the place for a message has that sent. */
static void
tell_listener(struct put *p, store_done_fn *told)
{
	const struct upload_listener *l = mod_lookup("upload_listener");

	if (l != NULL)
		l->stored(
		    mod_host(p->mod), p->slot.owner, p->slot.token, told, p);
	else
		told(p, 0);
}

/* It was put before; perhaps the message could not be sent then. */
static void
on_told_again(void *ctx, int err)
{
	if (err < 0)
		put_answer(ctx, 503, "The store does not answer.");
	else
		put_answer(ctx, 409, "This slot has been used.");
}

static void
on_told(void *ctx, int err)
{
	struct put *p = ctx;

	if (err < 0) {
		put_answer(p, 503, "The store does not answer.");
		return;
	}
	log_info(mod_log(p->mod), STR_FMT " put a file of %llu bytes",
	    STR_ARG(p->slot.owner), (unsigned long long)p->slot.size);
	put_answer(p, 201, "Created");
}

static void
on_noted(void *ctx, int err)
{
	struct put *p = ctx;

	p->is_counted = err == 0;
	if (err < 0)
		on_told(p, err);
	else
		tell_listener(p, on_told);
}

static void
note_it(struct put *p)
{
	const struct slot *s = &p->slot;
	struct store_write *w = store_write_new(s->owner);

	kv_put(w, s->owner, STORE, s->token, note_make(p->arena, s, p->end));
	kv_put(w, mod_host(p->mod)->jid.full, INDEX,
	    index_key(p->arena, s->owner, s->token),
	    index_note(p->arena, s->size, p->end, 0));
	store_commit(&w, on_noted, p);
}

static void
on_removed(void *ctx, int err)
{
	(void)err;
	put_answer(ctx, 403, "There is no such slot, or account.");
}

/*
 * While a slot may be used its note is there, unless a file was put by it and
 * has been removed. A transfer may end later.
 */
static void
on_slot(void *ctx, int err, struct str note)
{
	struct put *p = ctx;

	(void)note;
	if (err == ERR_ABSENT && p->slot.until >= clock_real())
		storage_remove(p->mod, &p->slot.token, 1, on_removed, p);
	else if (err < 0 && err != ERR_ABSENT)
		on_told(p, err);
	else
		note_it(p);
}

static void
on_owner(void *ctx, int err, const struct account_row *row)
{
	struct put *p = ctx;

	/* It has gone meanwhile, and all that it had with it. */
	if (err == ERR_ABSENT)
		storage_remove(p->mod, &p->slot.token, 1, on_removed, p);
	else if (err < 0)
		on_told(p, err);
	else
		kv_get(p->slot.owner, STORE, p->slot.token, on_slot, p);
}

static void
on_indexed(void *ctx, int err, struct str note)
{
	struct put *p = ctx;

	(void)note;
	if (err == 0)
		tell_listener(p, on_told_again);
	else if (err == ERR_ABSENT)
		store_account_get(p->slot.owner, on_owner, p);
	else
		on_told(p, err);
}

/* The file is there; it may be from before a crash, and not noted yet. */
static void
put_note(struct put *p)
{
	p->has_claim = token_claim(p->slot.token);
	if (p->has_claim)
		kv_get(mod_host(p->mod)->jid.full, INDEX,
		    index_key(p->arena, p->slot.owner, p->slot.token),
		    on_indexed, p);
	else
		put_answer(p, 503, "This slot is being used.");
}

static void
put_refuse_type(struct put *p)
{
	log_info(mod_log(p->mod), STR_FMT " put what is of type '%s': refused",
	    STR_ARG(p->slot.owner), p->type);
	put_answer(p, 415, "Files of this kind are not taken.");
}

static void
put_conclude(struct put *p)
{
	if (p->is_looked && !p->is_fine)
		put_refuse_type(p);
	else if ((p->err == 0 && p->is_last) || p->err == ERR_EXISTS)
		put_note(p);
	else if (p->err == ERR_LIMIT)
		put_answer(p, 507, "There is no room left.");
	else if (p->err == ERR_CLOSED || p->err == ERR_STORE)
		put_answer(p, 503, "The file can't be kept now. Try again.");
	else if (p->err < 0)
		put_answer(p, 500, "The file could not be kept.");
	else
		put_answer(p, 408, "The file did not come.");
}

static void
on_put_ended(void *ctx, int err)
{
	(void)err;
	put_conclude(ctx);
}

static void
put_end(struct put *p)
{
	if (p->blob != NULL)
		p->storage->put_end(&p->blob, on_put_ended, p);
	else
		put_conclude(p);
}

/* Piece by piece ----------------------------------------------------------*/

static void
on_written(void *ctx, int err)
{
	struct put *p = ctx;

	p->is_working = false;
	p->err = err;
	buf_clear(&p->piece);
	if (p->is_last || err < 0)
		put_end(p);
	else if (p->gather.n > 0 || p->is_ended || p->is_gone)
		put_go(p);
}

/* False when the storage is not there. */
static bool
blob_begin(struct put *p)
{
	struct blob_meta meta = slot_meta(&p->slot, p->end);
	struct mod *at;

	p->storage = storage_of(p->mod, &at);
	if (p->storage != NULL)
		p->blob = p->storage->put_begin(at, p->slot.token, &meta);
	return p->storage != NULL;
}

static void
put_write(struct put *p)
{
	if (p->blob == NULL && !blob_begin(p)) {
		on_written(p, ERR_CLOSED);
		return;
	}
	p->storage->put_write(
	    p->blob, buf_str(&p->piece), p->is_last, on_written, p);
}

/* On a thread of the pool; the rest need not come if this is not taken. */
static void
look_work(void *arg)
{
	struct put *p = arg;

	p->is_fine = content_is_allowed(mod_options(p->mod),
	    str_sub(buf_str(&p->piece), 0, CONTENT_LOOK), p->type);
}

static void
look_done(void *arg)
{
	struct put *p = arg;

	p->is_looked = true;
	if (p->is_fine)
		put_write(p);
	else
		put_end(p);
}

/* Not inside the call that tells it. */
static void
on_gone_later(void *msg)
{
	put_end(msg);
}

/* One piece after the other. */
static void
put_go(struct put *p)
{
	struct buf spare = p->piece;

	if (p->is_working)
		return;
	p->piece = p->gather;
	p->gather = spare;
	p->is_working = true;
	p->is_last = p->is_ended;
	if (p->is_paused) {
		p->is_paused = false;
		http_resume(p->req);
	}
	if (p->is_gone)
		loop_post(loop_self(), on_gone_later, p);
	else if (!p->is_looked)
		loop_work(look_work, look_done, p);
	else
		put_write(p);
}

static void
on_data(void *ctx, const char *bytes, size_t n)
{
	struct put *p = ctx;

	buf_add(&p->gather, bytes, n);
	p->come += n;
	/* With the last of them on_end() follows, which says so. */
	if (p->come == p->slot.size)
		return;
	if (p->gather.n >= GATHER_MAX && p->is_working) {
		p->is_paused = true;
		http_pause(p->req);
	} else if (p->gather.n >= GATHER_ENOUGH) {
		put_go(p);
	}
}

static void
on_end(void *ctx)
{
	struct put *p = ctx;

	p->is_ended = true;
	put_go(p);
}

static void
on_gone(void *ctx)
{
	struct put *p = ctx;

	p->is_gone = true;
	put_go(p);
}

static const struct http_sink sink = {
	.data = on_data,
	.end = on_end,
	.gone = on_gone,
};

/* The type may be said again, but not another. */
static bool
type_fits(const struct http_req *r, const struct slot *s)
{
	struct str type = http_head(r, "content-type");

	return str_is_none(type) || str_eq_nocase(type, s->type);
}

static void
refuse(struct http_req *r, unsigned status, const char *text)
{
	log_info(mod_log(http_mod(r)), "an upload was refused: %s", text);
	cors_headers(r);
	http_answer_text(r, status, text);
}

static void
put_begin(struct http_req *r, const struct slot *s)
{
	struct arena *a = http_arena(r);
	struct put *p = arena_new_of(a, struct put);

	p->req = r;
	p->mod = http_mod(r);
	p->arena = a;
	p->slot = *s;
	p->end = slot_end(mod_options(p->mod), s);
	http_receive(r, &sink, p);
}

void
on_put(struct http_req *r)
{
	struct mod *m = http_mod(r);
	const struct upload_options *o = mod_options(m);
	struct slot s;

	if (!slot_of_request(r, &s))
		refuse(r, 403, "This is not an address that we gave.");
	else if (s.until < clock_real())
		refuse(r, 403, "This slot is too old.");
	else if (str_is_none(http_head(r, "content-length")))
		refuse(r, 411, "Length Required");
	else if (http_length(r) > s.size)
		refuse(r, 413, "The file is larger than was asked for.");
	else if (http_length(r) != s.size)
		refuse(r, 400, "The file is smaller than was asked for.");
	else if (!type_fits(r, &s))
		refuse(r, 415, "The type is not what was asked for.");
	else if (!usage_take(mod_host(m), s.size, o->host_quota))
		refuse(r, 413, "There is no room left for files.");
	else
		put_begin(r, &s);
}
