/* SPDX-License-Identifier: MIT */
/*
 * HTTP for modules: requests in, answers out. Routes are data; src/http
 * serves them, on the loop that the connection came to.
 *
 * A request comes to its route's handler once it is whole; of a streamed
 * route, once its head is there. The handler, or whatever it started, answers
 * it exactly once, on the request's loop, now or later; what it lends lives
 * until then, and the module instance as well. Whether the client is still
 * there need not be known.
 */
#ifndef CORE_WEB_H
#define CORE_WEB_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/conn.h"

/* Of one request: more gets 413, unless the route is streamed. */
#define HTTP_BODY_MAX (1024 * 1024)

struct host;
struct http_req;
struct mod;

struct http_route {
	const char *method; /* "POST"; NULL: any, the handler looks */
	const char *path;   /* "/api/" is all below it, "/metrics" just that */
	void (*fn)(struct http_req *r);
	/* Asked before a body is taken; false: it has answered. Or NULL. */
	bool (*admit)(struct http_req *r);
	bool is_streamed; /* the handler takes the body as it comes */
};

#define HTTP_ROUTES_END \
	{ \
		.path = NULL \
	}

/* What was asked. Paths are decoded; `rest` is after the route's own. */
API struct str http_method(const struct http_req *r);
API struct str http_path(const struct http_req *r);
API struct str http_rest(const struct http_req *r);
API struct str http_body(const struct http_req *r);
/* A header by its name in small letters, or none. */
API struct str http_head(const struct http_req *r, const char *name);
/* As announced. */
API uint64_t http_length(const struct http_req *r);
/* An argument of the query, by its place: false when there are no more. */
API bool http_arg(const struct http_req *r, size_t i, struct str *name_r,
    struct str *value_r);
/* Has the list in the header's value that word, whatever its case? */
API bool http_has_word(struct str value, const char *word);
API struct arena *http_arena(const struct http_req *r);
API struct mod *http_mod(const struct http_req *r);
/* The one of ours that was named, or the first. */
API struct host *http_host(const struct http_req *r);
API const struct addr *http_peer(const struct http_req *r);
API bool http_is_tls(const struct http_req *r);
/* By TLS, or by way of a proxy on this machine that says so? */
API bool http_is_secure(const struct http_req *r);
/*
 * An address of ours, for who asks: "ws" or "http", an "s" if it is secure,
 * the host and port by which it was asked, and the path. None: it was asked
 * by no usable name.
 */
API struct str http_url(
    const struct http_req *r, const char *scheme, const char *path);
/* On the admin socket. */
API bool http_is_local(const struct http_req *r);

/* A header of the answer; both are kept. Before it is answered. */
API void http_header(struct http_req *r, const char *name, const char *value);
/* Answers: copies the body. `type` is kept. The request is gone after it. */
API void http_answer(
    struct http_req *r, unsigned status, const char *type, struct str body);
/* A line of text. */
API void http_answer_text(
    struct http_req *r, unsigned status, const char *text);
/* With so many bytes of a file, which it closes. */
API void http_answer_file(struct http_req *r, unsigned status, const char *type,
    int fd, uint64_t offset, uint64_t length);

/*
 * For streamed routes, in their handler: the body goes there. `end`: that was
 * all. `gone`: there will be no more, but the request is still to be answered.
 */
struct http_sink {
	void (*data)(void *ctx, const char *p, size_t n);
	void (*end)(void *ctx);
	void (*gone)(void *ctx);
};
API void http_receive(
    struct http_req *r, const struct http_sink *sink, void *ctx);
/* Stops and starts reading the body, as conn_pause(). */
API void http_pause(struct http_req *r);
API void http_resume(struct http_req *r);

/*
 * Answers 101 with these headers ("name: value\r\n"...) and gives the
 * connection away, in the handler. The request is gone after it.
 */
API struct conn *http_take(struct http_req *r, struct str headers);

struct app_token;
/*
 * Does it come with a token of the host (Authorization: Bearer)? done(r,
 * status, token) comes on this loop: 200, 401 or 503; failures come late. The
 * token lives until it returns.
 */
typedef void http_bearer_fn(
    struct http_req *r, unsigned status, const struct app_token *t);
API void http_bearer(struct http_req *r, http_bearer_fn *done);

/*
 * XMPP over BOSH (XEP-0124): answers the request, now or later. Sessions
 * outlive the caller, who lends the terms for the call.
 */
struct bosh_conf {
	uint64_t wait_ms, inactivity_ms, pause_ms; /* at most */
	uint64_t sessions; /* begun from one address, on each worker */
	bool allow_without_tls;
};
API void bosh_handle(struct http_req *r, const struct bosh_conf *conf);

#endif
