/* SPDX-License-Identifier: MIT */
/* Answers: JSON, and problem documents (RFC 9457). */
#include "modules/api/api.h"

#include <stdio.h>

#define JSON "application/json"
#define PROBLEM "application/problem+json"

static int
add_bytes(const char *p, size_t n, void *ctx)
{
	buf_add((struct buf *)ctx, p, n);
	return 0;
}

void
json_text(struct buf *out, const json_t *value)
{
	json_dump_callback(value, add_bytes, out, JSON_COMPACT);
}

json_t *
json_of(struct str s)
{
	json_t *v = str_is_none(s) ? NULL : json_stringn(s.p, s.n);

	return v != NULL ? v : json_null();
}

json_t *
json_time(struct arena *a, int64_t when)
{
	return json_of(clock_format(a, when, true));
}

/* On the way back ----------------------------------------------------------*/

static void
leave(struct call *c)
{
	struct api *api = api_state(c->mod);
	struct arena *a = c->arena;

	api->calls--;
	json_decref(c->body);
	arena_free(&a);
}

static void
on_back(void *msg)
{
	struct call *c = msg;
	struct http_req *r = c->req;

	if (c->status >= 500)
		log_warn(mod_log(c->mod), "%s %s by " STR_FMT ": %u",
		    c->route->method, c->route->path, STR_ARG(c->app),
		    c->status);
	else
		log_info(mod_log(c->mod), "%s by " STR_FMT ": %u",
		    c->route != NULL ? c->route->id : "a call", STR_ARG(c->app),
		    c->status);
	http_header(r, "cache-control", "no-store");
	http_header(r, "x-content-type-options", "nosniff");
	if (c->is_kept)
		http_header(r, "idempotency-replayed", "true");
	if (c->allow != NULL)
		http_header(
		    r, "allow", str_dup_c(http_arena(r), str_c(c->allow)));
	if (c->status == 401)
		http_header(r, "www-authenticate", "Bearer realm=\"rookery\"");
	if (c->status == 429 || c->status == 503)
		http_header(r, "retry-after", "10");
	http_answer(r, c->status, c->type, c->text);
	leave(c);
}

void
call_end(struct call *c)
{
	if (loop_self() == c->loop)
		on_back(c);
	else
		loop_post(c->loop, on_back, c);
}

/* The ends of those who run ------------------------------------------------*/

static void
finish(struct call *c, unsigned status, const char *type, struct str text)
{
	c->status = status;
	c->type = type;
	c->text = str_dup(c->arena, text);
	if (!str_is_none(c->key) && !c->is_kept)
		once_end(c);
	else
		call_end(c);
}

void
call_json(struct call *c, json_t *value)
{
	struct buf out = { 0 };

	json_text(&out, value);
	json_decref(value);
	finish(c, c->route->status, JSON, buf_str(&out));
	buf_fini(&out);
}

void
call_empty(struct call *c)
{
	finish(c, 204, JSON, STR(""));
}

static const char *
title_of(unsigned status)
{
	switch (status) {
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 422:
		return "Unprocessable Content";
	case 429:
		return "Too Many Requests";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

void
call_problem(
    struct call *c, unsigned status, const char *slug, const char *fmt, ...)
{
	struct buf out = { 0 };
	const char *type, *detail;
	json_t *v;
	va_list ap;

	va_start(ap, fmt);
	detail = arena_vprintf(c->arena, fmt, ap);
	va_end(ap);
	type = arena_printf(c->arena, "urn:rookery:problem:%s", slug);
	v = json_pack("{s:s, s:s, s:i, s:s}", "type", type, "title",
	    title_of(status), "status", (int)status, "detail",
	    str_is_utf8(str_c(detail)) ? detail : "It is not UTF-8.");
	json_text(&out, v);
	json_decref(v);
	finish(c, status, PROBLEM, buf_str(&out));
	buf_fini(&out);
}

void
call_error(struct call *c, int err, const char *what)
{
	if (err == ERR_ABSENT)
		call_problem(c, 404, "not-found", "There is no such %s.", what);
	else
		call_problem(c, 503, "unavailable",
		    "The store does not answer. Try again later.");
}
