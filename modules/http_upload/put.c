/* SPDX-License-Identifier: MIT */
/*
 * Files coming in: written piece by piece to a temporary file on the pool, one
 * piece at a time, while the next gathers; when enough has gathered, the
 * client waits. A file that is whole gets its name, then its note, then 201.
 */
#include "modules/http_upload/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* What is worth writing, and what may gather while a piece is written. */
#define GATHER_ENOUGH (64 * 1024)
#define GATHER_MAX (256 * 1024)

struct put {
	struct http_req *req;
	struct mod *mod;
	struct arena *arena; /* of the request */
	struct slot slot;
	const char *path, *temporary;
	int64_t end;		       /* when it is to go */
	int fd;			       /* -1: not yet, or gone */
	char type[TYPE_MAX_BYTES + 1]; /* by its content */
	struct buf gather, piece;
	bool is_working, is_ended, is_gone, is_paused;
	/* What the work under way is to do at its end, and has done. */
	bool is_last, is_dropping, is_published;
	bool is_counted; /* it is there to stay */
	int err;
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
	if (!p->is_counted)
		usage_give(mod_host(p->mod), p->slot.size);
	cors_headers(p->req);
	http_answer_text(p->req, status, text);
}

/* The pool's part ----------------------------------------------------------*/

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int
put_open(struct put *p)
{
	int fd =
	    access(p->path, F_OK) == 0 ? -EEXIST : file_create(p->temporary);

	if (fd < 0)
		return fd;
	p->fd = fd;
	return page_write(fd, &p->slot, p->end) ? 0 : -ENOSPC;
}

/* The first piece tells what it is; the rest need not come then. */
static int
put_look(struct put *p)
{
	const struct upload_options *o = mod_options(p->mod);

	return content_is_allowed(
		   o, str_sub(buf_str(&p->piece), 0, CONTENT_LOOK), p->type)
		   ? 0
		   : -EMEDIUMTYPE;
}

static void
put_drop(struct put *p)
{
	if (p->fd < 0)
		return;
	close(p->fd);
	p->fd = -1;
	unlink(p->temporary);
}

static void
put_work(void *arg)
{
	struct put *p = arg;

	if (p->is_dropping) {
		put_drop(p);
		return;
	}
	if (p->err == 0 && p->fd < 0) {
		p->err = put_look(p);
		if (p->err == 0)
			p->err = put_open(p);
	}
	if (p->err == 0)
		p->err = write_all(p->fd, p->piece.p, p->piece.n);
	if (p->err == 0 && p->is_last) {
		p->err = file_publish(p->fd, p->temporary, p->path, p->end);
		p->is_published = p->err == 0;
	}
	if (p->err < 0 || p->is_last)
		put_drop(p);
}

/* The loop's part ----------------------------------------------------------*/

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
	p->is_counted = true;
	log_info(mod_log(p->mod), STR_FMT " put a file of %llu bytes",
	    STR_ARG(p->slot.owner), (unsigned long long)p->slot.size);
	put_answer(p, 201, "Created");
}

static void
on_noted(void *ctx, int err)
{
	if (err < 0)
		on_told(ctx, err);
	else
		tell_listener(ctx, on_told);
}

static void
note_it(struct put *p)
{
	const struct slot *s = &p->slot;
	struct store_write *w = store_write_new(s->owner);

	kv_put(w, s->owner, STORE, s->token, note_make(p->arena, s, p->end));
	kv_put(w, mod_host(p->mod)->jid.full, INDEX,
	    index_key(p->arena, s->owner, s->token),
	    index_note(p->arena, s->size, p->end));
	store_commit(&w, on_noted, p);
}

/* The account has gone meanwhile, and all that it had with it. */
static void
removal_work(void *arg)
{
	struct put *p = arg;

	file_remove(p->path);
}

static void
removal_done(void *arg)
{
	put_answer(arg, 403, "There is no such account.");
}

static void
on_owner(void *ctx, int err, const struct account_row *row)
{
	struct put *p = ctx;

	if (err == ERR_ABSENT)
		loop_work(removal_work, removal_done, p);
	else if (err < 0)
		on_told(p, err);
	else
		note_it(p);
}

static void
put_refuse_type(struct put *p)
{
	log_info(mod_log(p->mod), STR_FMT " put what is of type '%s': refused",
	    STR_ARG(p->slot.owner), p->type);
	put_answer(p, 415, "Files of this kind are not taken.");
}

static void
put_end(struct put *p)
{
	if (p->err == -EMEDIUMTYPE) {
		put_refuse_type(p);
		return;
	}
	if (p->err < 0 && p->err != -EEXIST)
		log_error(mod_log(p->mod), "cannot write an upload: %s",
		    err_text(p->err));
	if (p->is_published)
		store_account_get(p->slot.owner, on_owner, p);
	else if (p->err == -EEXIST)
		tell_listener(p, on_told_again);
	else if (p->err == -ENOSPC || p->err == -EDQUOT)
		put_answer(p, 507, "There is no room left.");
	else if (p->err < 0)
		put_answer(p, 500, "The file could not be kept.");
	else
		put_answer(p, 408, "The file did not come.");
}

static void
put_worked(void *arg)
{
	struct put *p = arg;

	p->is_working = false;
	buf_clear(&p->piece);
	if (p->is_last || p->is_dropping || p->err < 0)
		put_end(p);
	else if (p->gather.n > 0 || p->is_ended || p->is_gone)
		put_go(p);
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
	p->is_dropping = p->is_gone;
	if (p->is_paused) {
		p->is_paused = false;
		http_resume(p->req);
	}
	loop_work(put_work, put_worked, p);
}

static void
on_data(void *ctx, const char *bytes, size_t n)
{
	struct put *p = ctx;

	buf_add(&p->gather, bytes, n);
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
	const char *folder = host_folder(a, mod_host(http_mod(r)), KIND);

	p->req = r;
	p->mod = http_mod(r);
	p->arena = a;
	p->slot = *s;
	p->fd = -1;
	p->end = slot_end(mod_options(p->mod), s);
	p->path = file_path(a, folder, s->token);
	/* Of nobody else's, so that two who put at once do not mix. */
	p->temporary = arena_printf(a, "%s/tmp/" STR_FMT, folder,
	    STR_ARG(random_token(a, TOKEN_BYTES)));
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
