/* SPDX-License-Identifier: MIT */
/*
 * The client's files. They are many, and big: those that were made smaller
 * (NAME.gz beside NAME) go out so, and browsers ask again by their tag.
 */
#include "modules/webchat/webchat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define REST_MAX 200

struct file {
	struct http_req *req;
	const char *path, *type;
	bool may_gzip, is_gzip;
	int fd;
	struct stat st;
};

const char *
webchat_folder(struct arena *a, const struct mod *m)
{
	const struct webchat_options *o = mod_options(m);

	return o->dir.n > 0 ? str_dup_c(a, o->dir)
			    : arena_printf(a, "%s/webchat", installed_dir());
}

/* What a name's end says; NULL: nothing that we serve. */
static const char *
type_of(struct str name)
{
	static const struct {
		const char *end, *type;
	} types[] = {
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".json", "application/json" },
		{ ".svg", "image/svg+xml" },
		{ ".png", "image/png" },
		{ ".ico", "image/x-icon" },
		{ ".ttf", "font/ttf" },
		{ ".woff2", "font/woff2" },
		{ ".ogg", "audio/ogg" },
		{ ".mp3", "audio/mpeg" },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_has_suffix(name, str_c(types[i].end)))
			return types[i].type;
	return NULL;
}

/* Plain names and folders, none that is hidden or leads upwards. */
static bool
is_plain(struct str path)
{
	bool is_first = true;

	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];

		if (c == '/' ? is_first : c == '.' && is_first)
			return false;
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && strchr("-_./", c) == NULL)
			return false;
		is_first = c == '/';
	}
	return !is_first && path.n <= REST_MAX;
}

static int
regular_open(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
		close(fd);
		return -1;
	}
	/* cppcheck-suppress resourceLeak; it is the caller's */
	return fd;
}

/* On a thread of the pool. */
static void
file_work(void *arg)
{
	struct file *f = arg;
	struct arena *a = http_arena(f->req);

	f->fd = -1;
	if (f->may_gzip)
		f->fd = regular_open(arena_printf(a, "%s.gz", f->path), &f->st);
	f->is_gzip = f->fd >= 0;
	if (f->fd < 0)
		f->fd = regular_open(f->path, &f->st);
}

static const char *
etag_of(const struct file *f)
{
	return arena_printf(http_arena(f->req), "\"%llx-%llx%s\"",
	    (unsigned long long)f->st.st_ctim.tv_sec * 1000 +
		(unsigned long long)f->st.st_ctim.tv_nsec / 1000000,
	    (unsigned long long)f->st.st_size, f->is_gzip ? "-gz" : "");
}

static void
file_done(void *arg)
{
	struct file *f = arg;
	struct http_req *r = f->req;
	const char *etag;
	struct str if_none = http_head(r, "if-none-match");

	if (f->fd < 0) {
		http_answer_text(r, 404, "There is no such file.");
		return;
	}
	etag = etag_of(f);
	http_header(r, "etag", etag);
	http_header(r, "vary", "accept-encoding");
	http_header(r, "cache-control", "public, max-age=3600");
	/* What is drawn here draws, and does nothing else. */
	http_header(r, "content-security-policy",
	    "default-src 'none'; style-src 'unsafe-inline'; sandbox");
	if (http_has_word(if_none, etag) || str_is(if_none, "*")) {
		close(f->fd);
		http_answer(r, 304, NULL, STR_NONE);
		return;
	}
	if (f->is_gzip)
		http_header(r, "content-encoding", "gzip");
	http_answer_file(r, 200, f->type, f->fd, 0, (uint64_t)f->st.st_size);
}

void
webchat_file(struct http_req *r)
{
	struct arena *a = http_arena(r);
	struct str rest = http_rest(r);
	/* Converse.js puts a slash after ours. */
	struct str name = str_skip(rest, str_has_prefix(rest, STR("/")));
	struct file *f = arena_new_of(a, struct file);

	f->req = r;
	f->type = type_of(name);
	if (f->type == NULL || !is_plain(name)) {
		http_answer_text(r, 404, "There is no such file.");
		return;
	}
	f->path = arena_printf(
	    a, "%s/" STR_FMT, webchat_folder(a, http_mod(r)), STR_ARG(name));
	f->may_gzip = http_has_word(http_head(r, "accept-encoding"), "gzip");
	loop_work(file_work, file_done, f);
}
