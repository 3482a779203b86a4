/* SPDX-License-Identifier: MIT */
/*
 * HTTP: requests in, answers out, over libwebsockets in a worker's loop.
 *
 * A request comes to its route's handler once it is whole. The handler, or
 * whatever it started, answers it exactly once, on the request's loop, now or
 * later; what it lends lives until then. Whether the client is still there
 * need not be known.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"

/* Of one request: more gets 413. Headers have 4 KiB. */
#define HTTP_BODY_MAX (1024 * 1024)

struct http_req;

struct http_route {
	const char *method; /* "POST"; NULL: any, the handler looks */
	const char *path;   /* "/api/" is all below it, "/metrics" just that */
	void (*fn)(struct http_req *r);
};

#define HTTP_ROUTES_END \
	{ \
		.path = NULL \
	}

/* What was asked. `rest` is the path after the route's own. */
struct str http_method(const struct http_req *r);
struct str http_rest(const struct http_req *r);
struct str http_accept(const struct http_req *r);
struct str http_body(const struct http_req *r);
/* An argument of the query, by its place: false when there are no more. */
bool http_arg(const struct http_req *r, size_t i, struct str *name_r,
    struct str *value_r);
struct arena *http_arena(const struct http_req *r);

/* A header of the answer; both are kept. Before http_answer(). */
void http_header(struct http_req *r, const char *name, const char *value);
/* Answers: copies the body. `type` is kept. The request is gone after it. */
void http_answer(
    struct http_req *r, unsigned status, const char *type, struct str body);

/*
 * Opens the admin socket (DATA_DIR/rookery.sock), for the owner of the process
 * only, and serves it on the first worker. On the main thread while the loops
 * run, as the user who owns data_dir, with data_dir locked. 0, or an error
 * with *why_r from `a`. http_close ends it, there too.
 */
int http_open(struct arena *a, const char *path, const char **why_r);
void http_close(void);

/* The routes of the socket: /api/ and /ctl/ (admin.c). */
extern const struct http_route http_admin_routes[];

#endif
