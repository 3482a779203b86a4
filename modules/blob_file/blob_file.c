/* SPDX-License-Identifier: MIT */
/*
 * Blobs as files of this machine. Each call is a piece of work on the pool; a
 * blob that comes is written to a temporary file, which gets its name, once,
 * when it is whole and on the disk.
 */
#include "modules/blob_file/blob_file.h"

#include <errno.h>
#include <unistd.h>

#define TEMPORARY_BYTES 24

/* Coming in ---------------------------------------------------------------*/

struct blob_put {
	struct arena *arena; /* it lives in it */
	struct mod *mod;
	struct blob_meta meta;
	const char *path, *temporary;
	int fd; /* -1: not yet, or gone */
	struct str bytes;
	bool is_last, is_published;
	int err;
	blob_done_fn *done;
	void *ctx;
};

static struct blob_put *
put_begin(struct mod *m, struct str token, const struct blob_meta *meta)
{
	struct arena *a = arena_new(0);
	struct blob_put *p = arena_new_of(a, struct blob_put);
	const char *folder = host_folder(a, mod_host(m), KIND);

	p->arena = a;
	p->mod = m;
	p->meta = *meta;
	p->meta.owner = str_dup(a, meta->owner);
	p->meta.name = str_dup(a, meta->name);
	p->meta.type = str_dup(a, meta->type);
	p->fd = -1;
	p->path = file_path(a, folder, token);
	/* Of nobody else's, so that two who put at once do not mix. */
	p->temporary = arena_printf(a, "%s/tmp/" STR_FMT, folder,
	    STR_ARG(random_token(a, TEMPORARY_BYTES)));
	mod_hold(m);
	return p;
}

static int
put_open(struct blob_put *p)
{
	int fd =
	    access(p->path, F_OK) == 0 ? -EEXIST : file_create(p->temporary);

	if (fd < 0)
		return fd;
	p->fd = fd;
	return page_write(fd, &p->meta) ? 0 : -ENOSPC;
}

static void
put_drop(struct blob_put *p)
{
	if (p->fd < 0)
		return;
	close(p->fd);
	p->fd = -1;
	if (!p->is_published)
		unlink(p->temporary);
}

static void
write_work(void *arg)
{
	struct blob_put *p = arg;

	if (p->err == 0 && p->fd < 0)
		p->err = put_open(p);
	if (p->err == 0)
		p->err = write_all(p->fd, p->bytes.p, p->bytes.n);
	if (p->err == 0 && p->is_last) {
		p->err =
		    file_publish(p->fd, p->temporary, p->path, p->meta.end);
		p->is_published = p->err == 0;
	}
	if (p->err < 0 || p->is_last)
		put_drop(p);
}

static void
write_done(void *arg)
{
	struct blob_put *p = arg;
	int err = p->err;

	if (err == -EEXIST)
		err = ERR_EXISTS;
	else if (err == -ENOSPC || err == -EDQUOT)
		err = ERR_LIMIT;
	if (p->err < 0 && p->err != -EEXIST)
		log_error(mod_log(p->mod), "cannot write an upload: %s",
		    err_text(p->err));
	p->done(p->ctx, err);
}

static void
put_write(struct blob_put *p, struct str bytes, bool is_last,
    blob_done_fn *done, void *ctx)
{
	p->bytes = bytes;
	p->is_last = is_last;
	p->done = done;
	p->ctx = ctx;
	loop_work(write_work, write_done, p);
}

static void
end_work(void *arg)
{
	put_drop(arg);
}

static void
end_done(void *arg)
{
	struct blob_put *p = arg;
	struct arena *a = p->arena;

	p->done(p->ctx, 0);
	mod_release(p->mod);
	arena_free(&a);
}

static void
put_end(struct blob_put **put, blob_done_fn *done, void *ctx)
{
	struct blob_put *p = *put;

	*put = NULL;
	p->done = done;
	p->ctx = ctx;
	if (p->fd < 0)
		loop_post(loop_self(), end_done, p);
	else
		loop_work(end_work, end_done, p);
}

/* Going out ---------------------------------------------------------------*/

struct find {
	struct arena *arena;
	const char *path;
	struct blob_found found;
	blob_found_fn *done;
	void *ctx;
};

static void
find_work(void *arg)
{
	struct find *f = arg;

	f->found.fd = file_open(f->arena, f->path, &f->found.meta);
}

static void
find_done(void *arg)
{
	struct find *f = arg;
	struct arena *a = f->arena;

	f->found.offset = PAGE;
	if (f->found.fd < 0)
		f->done(f->ctx, ERR_ABSENT, NULL);
	else
		f->done(f->ctx, 0, &f->found);
	arena_free(&a);
}

static void
find(struct mod *m, struct str token, const char *method, blob_found_fn *done,
    void *ctx)
{
	struct arena *a = arena_new(0);
	struct find *f = arena_new_of(a, struct find);

	f->arena = a;
	f->path = file_path(a, host_folder(a, mod_host(m), KIND), token);
	f->done = done;
	f->ctx = ctx;
	loop_work(find_work, find_done, f);
}

/* Going for good ----------------------------------------------------------*/

struct removal {
	struct arena *arena;
	struct mod *mod;
	const char **path;
	size_t count;
	int err;
	blob_done_fn *done;
	void *ctx;
};

static void
remove_work(void *arg)
{
	struct removal *r = arg;

	for (size_t i = 0; i < r->count; i++) {
		int err = file_remove(r->path[i]);

		r->err = err < 0 ? err : r->err;
	}
}

static void
remove_done(void *arg)
{
	struct removal *r = arg;
	struct arena *a = r->arena;

	if (r->err < 0)
		log_error(mod_log(r->mod), "cannot remove an upload: %s",
		    err_text(r->err));
	r->done(r->ctx, r->err);
	arena_free(&a);
}

static void
remove_all(struct mod *m, const struct str *tokens, size_t count,
    blob_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct removal *r = arena_new_of(a, struct removal);
	const char *folder = host_folder(a, mod_host(m), KIND);

	r->arena = a;
	r->mod = m;
	r->path = (const char **)arena_alloc(a, count * sizeof(*r->path));
	for (size_t i = 0; i < count; i++)
		r->path[r->count++] = file_path(a, folder, tokens[i]);
	r->done = done;
	r->ctx = ctx;
	loop_work(remove_work, remove_done, r);
}

/* The module --------------------------------------------------------------*/

static const struct blob_backend backend = {
	.put_begin = put_begin,
	.put_write = put_write,
	.put_end = put_end,
	.find = find,
	.remove = remove_all,
	.expire = files_expire,
};

static int
load(struct arena *a, const char **why_r)
{
	mod_publish("blob_file", &backend);
	return 0;
}

MODULE(blob_file) = {
	.summary = "keep uploaded files in the data folder",
	.state_size = sizeof(struct files),
	.load = load,
};
