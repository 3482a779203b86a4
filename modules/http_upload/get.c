/* SPDX-License-Identifier: MIT */
/*
 * Files going out. Nothing of them runs in our origin: types are not guessed,
 * what browsers could execute is for saving, and a policy shuts the rest in a
 * sandbox. Files never change, so caches may keep them.
 */
#include "modules/http_upload/upload.h"

#include <unistd.h>

struct get {
	struct http_req *req;
	struct arena *arena;
	struct slot wanted;
	struct blob_found found;
};

void
cors_headers(struct http_req *r)
{
	http_header(r, "access-control-allow-origin", "*");
	http_header(
	    r, "access-control-allow-methods", "OPTIONS, HEAD, GET, PUT");
	http_header(r, "access-control-allow-headers", "Content-Type, Range");
	http_header(r, "access-control-max-age", "86400");
}

void
on_options(struct http_req *r)
{
	cors_headers(r);
	http_answer(r, 204, NULL, STR_NONE);
}

/* "bytes=A-B", "bytes=A-", "bytes=-N". False: to be taken for no range. */
static bool
range_parse(struct str text, uint64_t size, uint64_t *from_r, uint64_t *to_r)
{
	static const struct str unit = STR_INIT("bytes=");
	struct str rest = str_skip(text, unit.n), first;

	if (!str_has_prefix(text, unit) || str_find(rest, ',') < rest.n)
		return false;
	first = str_trim(str_cut(&rest, '-'));
	if (str_is_none(rest))
		return false;
	rest = str_trim(rest);
	*to_r = size - 1;
	if (first.n == 0) {
		if (!str_to_u64(rest, from_r))
			return false;
		/* The last so many bytes; of none, there are none. */
		*from_r = *from_r == 0 ? size : size - MIN(*from_r, size);
		return true;
	}
	if (!str_to_u64(first, from_r) ||
	    (rest.n > 0 && (!str_to_u64(rest, to_r) || *to_r < *from_r)))
		return false;
	*to_r = MIN(*to_r, size - 1);
	return true;
}

static void
file_headers(struct get *g, const char *etag)
{
	struct http_req *r = g->req;

	cors_headers(r);
	http_header(r, "etag", etag);
	http_header(r, "accept-ranges", "bytes");
	http_header(r, "content-disposition",
	    blob_disposition(g->arena, &g->found.meta).p);
	http_header(r, "x-content-type-options", "nosniff");
	http_header(
	    r, "content-security-policy", "default-src 'none'; sandbox");
	http_header(r, "cache-control",
	    arena_printf(g->arena, "public, max-age=%lld, immutable",
		(long long)MAX(
		    MIN((g->found.meta.end - clock_real()) / 1000, 86400), 0)));
}

static void
file_answer(struct get *g)
{
	struct http_req *r = g->req;
	const char *etag =
	    arena_printf(g->arena, "\"" STR_FMT "\"", STR_ARG(g->wanted.token));
	struct str range = http_head(r, "range");
	struct str if_range = http_head(r, "if-range");
	struct str if_none = http_head(r, "if-none-match");
	const char *type = str_dup_c(g->arena, g->found.meta.type);
	uint64_t size = g->found.meta.size, from = 0, to = size - 1, first,
		 last;
	unsigned status = 200;

	file_headers(g, etag);
	if (http_has_word(if_none, etag) || str_is(if_none, "*")) {
		close(g->found.fd);
		http_answer(r, 304, NULL, STR_NONE);
		return;
	}
	if (!str_is_none(range) &&
	    (str_is_none(if_range) || str_is(if_range, etag)) &&
	    range_parse(range, size, &first, &last)) {
		from = first;
		to = last;
		status = from < size ? 206 : 416;
		http_header(r, "content-range",
		    status == 206
			? arena_printf(g->arena, "bytes %llu-%llu/%llu",
			      (unsigned long long)from, (unsigned long long)to,
			      (unsigned long long)size)
			: arena_printf(g->arena, "bytes */%llu",
			      (unsigned long long)size));
	}
	if (status == 416) {
		close(g->found.fd);
		http_answer_text(r, 416, "There is no such part.");
		return;
	}
	http_answer_file(r, status, type, g->found.fd, g->found.offset + from,
	    to - from + 1);
}

static void
get_refuse(struct http_req *r, unsigned status, const char *text)
{
	cors_headers(r);
	http_answer_text(r, status, text);
}

/* It is had from there; each time anew, as it may be removed. */
static void
get_redirect(struct get *g)
{
	cors_headers(g->req);
	http_header(g->req, "location", str_dup_c(g->arena, g->found.url));
	http_header(g->req, "cache-control", "no-store");
	http_answer(g->req, 307, NULL, STR(""));
}

static void
on_found(void *ctx, int err, const struct blob_found *found)
{
	struct get *g = ctx;
	bool is_it;

	if (err < 0 && err != ERR_ABSENT) {
		get_refuse(g->req, 503, "The file can't be had now.");
		return;
	}
	is_it = err == 0 && str_eq(found->meta.name, g->wanted.name) &&
		found->meta.end > clock_real();
	if (err == 0)
		g->found = *found;
	if (is_it && found->fd >= 0) {
		file_answer(g);
	} else if (is_it) {
		get_redirect(g);
	} else {
		if (err == 0 && found->fd >= 0)
			close(found->fd);
		get_refuse(g->req, 404, "There is no such file.");
	}
}

void
on_get(struct http_req *r)
{
	struct arena *a = http_arena(r);
	struct get *g = arena_new_of(a, struct get);
	const struct blob_backend *b;
	struct mod *at;

	g->req = r;
	g->arena = a;
	if (!slot_of_path(r, &g->wanted)) {
		get_refuse(r, 404, "There is no such file.");
		return;
	}
	b = storage_of(http_mod(r), &at);
	if (b == NULL)
		get_refuse(r, 503, "The file can't be had now.");
	else
		b->find(at, g->wanted.token,
		    str_is(http_method(r), "HEAD") ? "HEAD" : "GET", on_found,
		    g);
}
