/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection: one request after the other. While one is being
 * answered nothing is read, so what a client can make us hold is one head,
 * one body and one answer.
 */
#include "base/clock.h"
#include "base/log.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/mods.h"
#include "http/request.h"

/* Of one worker. */
#define CONNECTIONS_MAX 10000
#define BODIES_MAX (64 * 1024 * 1024)
/* A body, or an answer, that does not get on by this in a while is dropped. */
#define LEAST_BYTES 4096
#define ANSWER_MS SECONDS(30)

enum web_state {
	WEB_HEAD,   /* waits for a request, or reads its head */
	WEB_BODY,   /* reads a body */
	WEB_BUSY,   /* a handler works on it */
	WEB_ANSWER, /* the answer is leaving */
	WEB_END,    /* closes; what comes is nothing to us */
	WEB_TAKEN,  /* somebody else's now */
};

struct web {
	struct conn *conn;
	struct http_req *req;	/* NULL in WEB_HEAD and after */
	struct file_send *file; /* the body of an answer under way */
	struct buf in;		/* of a head */
	struct buf pending;	/* what came too early */
	struct timer timer;
	enum web_state state;
	uint64_t body_left, body_seen;
	uint64_t last_left; /* of the answer, when it was looked at last */
	size_t reserved;    /* of BODIES_MAX */
	bool is_local;
	bool is_inside; /* in web_input(), which goes on by itself */
};

static __thread unsigned connections;
static __thread size_t bodies;

static void web_input(struct web *w, const char *p, size_t n);

/* Requests ----------------------------------------------------------------*/

struct str
http_method(const struct http_req *r)
{
	return r->method;
}

struct str
http_path(const struct http_req *r)
{
	return r->path;
}

struct str
http_rest(const struct http_req *r)
{
	return str_skip(r->path, strlen(r->route->path));
}

struct str
http_body(const struct http_req *r)
{
	return buf_str(&r->body);
}

uint64_t
http_length(const struct http_req *r)
{
	return r->length;
}

struct arena *
http_arena(const struct http_req *r)
{
	return r->arena;
}

struct mod *
http_mod(const struct http_req *r)
{
	return r->mod;
}

struct host *
http_host(const struct http_req *r)
{
	return r->host;
}

const struct addr *
http_peer(const struct http_req *r)
{
	static const struct addr none;

	return r->web != NULL ? conn_peer(r->web->conn) : &none;
}

bool
http_is_tls(const struct http_req *r)
{
	return r->web != NULL && conn_is_tls(r->web->conn);
}

bool
http_is_local(const struct http_req *r)
{
	return r->web != NULL && r->web->is_local;
}

static struct http_req *
req_new(struct web *w)
{
	struct arena *a = arena_new(0);
	struct http_req *r = arena_new_of(a, struct http_req);

	r->arena = a;
	r->web = w;
	return r;
}

void
req_free(struct http_req *r)
{
	struct arena *a = r->arena;

	if (r->mod != NULL)
		mod_release(r->mod);
	buf_fini(&r->body);
	arena_free(&a);
}

/* Life --------------------------------------------------------------------*/

struct conn *
web_conn(struct web *w)
{
	return w->conn;
}

bool
web_is_midway(const struct web *w)
{
	return w->body_left > 0;
}

static void
body_unreserve(struct web *w)
{
	bodies -= w->reserved;
	w->reserved = 0;
}

static void
req_end(struct web *w)
{
	body_unreserve(w);
	if (w->file != NULL)
		file_send_detach(w->file);
	w->file = NULL;
	if (w->req != NULL)
		req_free(w->req);
	w->req = NULL;
}

/* The handler may still be at work on it: then it frees it by answering. */
static void
req_forsake(struct web *w)
{
	struct http_req *r = w->req;

	if (r == NULL || !r->is_running || r->is_answered) {
		req_end(w);
		return;
	}
	w->req = NULL;
	body_unreserve(w);
	r->web = NULL;
	if (r->sink != NULL && w->body_left > 0)
		r->sink->gone(r->sink_ctx);
}

static void
web_free(struct web *w)
{
	timer_stop(&w->timer);
	buf_fini(&w->in);
	buf_fini(&w->pending);
	connections--;
	xfree(w);
}

static void
on_closed(void *ctx, int err)
{
	struct web *w = (struct web *)ctx;

	req_forsake(w);
	web_free(w);
}

/* Says no more than was said. */
static void
web_close(struct web *w)
{
	w->state = WEB_END;
	timer_stop(&w->timer);
	conn_resume(w->conn);
	conn_close(w->conn);
}

void
web_abort(struct web *w)
{
	w->state = WEB_END;
	timer_stop(&w->timer);
	conn_abort(w->conn);
}

/* Patience ----------------------------------------------------------------*/

static void
refuse(struct web *w, unsigned status)
{
	struct http_req *r = w->req;

	if (r == NULL)
		r = w->req = req_new(w);
	r->is_last = true;
	r->is_running = true;
	http_answer_text(r, status, status_text(status));
}

static void
on_answer_timer(struct timer *t)
{
	struct web *w = CONTAINER_OF(t, struct web, timer);
	uint64_t left = conn_queued(w->conn);

	if (w->file != NULL)
		left += file_send_left(w->file);
	if (left > 0 && left == w->last_left) {
		web_abort(w);
		return;
	}
	w->last_left = left;
	timer_start(&w->timer, ANSWER_MS, on_answer_timer);
}

static uint64_t
patience(void)
{
	return conf_now()->limits.negotiation_ms;
}

static void
on_head_timer(struct timer *t)
{
	struct web *w = CONTAINER_OF(t, struct web, timer);

	if (w->in.n > 0)
		refuse(w, 408);
	else
		web_close(w);
}

static void
on_body_timer(struct timer *t)
{
	struct web *w = CONTAINER_OF(t, struct web, timer);
	struct http_req *r = w->req;

	if (w->body_seen >= LEAST_BYTES) {
		w->body_seen = 0;
		timer_start(&w->timer, patience(), on_body_timer);
	} else if (r->sink == NULL) {
		refuse(w, 408);
	} else {
		const struct http_sink *sink = r->sink;

		r->sink = NULL;
		w->state = WEB_BUSY;
		sink->gone(r->sink_ctx);
	}
}

/* Routes ------------------------------------------------------------------*/

struct search {
	struct http_req *r;
	unsigned status;
	size_t depth; /* of the route's path that was found; 0: none */
};

static bool
route_fits(const struct http_route *route, struct str path)
{
	struct str own = str_c(route->path);

	if (own.n > 1 && own.p[own.n - 1] == '/')
		return str_has_prefix(path, own);
	return str_eq(path, own);
}

/* Of several that fit, the one with the longest path serves. */
static void
routes_look(struct search *s, struct mod *m, const struct http_route *routes)
{
	struct http_req *r = s->r;

	for (; routes != NULL && routes->path != NULL; routes++) {
		size_t depth = strlen(routes->path);

		if (!route_fits(routes, r->path) || depth <= s->depth)
			continue;
		if (routes->method == NULL ||
		    str_is(r->method, routes->method) ||
		    (str_is(r->method, "HEAD") &&
			strcmp(routes->method, "GET") == 0)) {
			r->route = routes;
			r->mod = m;
			s->depth = depth;
		}
		s->status = 405;
	}
}

static bool
on_module(void *ctx, struct mod *m, const struct http_route *routes)
{
	routes_look((struct search *)ctx, m, routes);
	return false;
}

/* The host that is meant; an unknown name is as good as none. */
static struct host *
host_of(struct http_req *r)
{
	struct str name = http_head(r, "host"), rest = name;
	struct host *host = NULL;
	struct mod *service;
	struct str prepared;

	if (name.n > 0 && name.p[0] != '[')
		name = str_cut(&rest, ':');
	if (name.n > 0 && jid_prep_domain(r->arena, name, &prepared) == 0) {
		host = host_find(prepared);
		service = host == NULL ? service_find(prepared) : NULL;
		if (service != NULL)
			host = mod_host(service);
	}
	return host != NULL ? host : host_at(0);
}

static unsigned
route_find(struct web *w, struct http_req *r)
{
	struct search s = { r, 404, 0 };

	r->host = host_of(r);
	if (w->is_local)
		routes_look(&s, NULL, http_admin_routes);
	routes_look(&s, NULL, http_public_routes);
	mod_each_http(r->host, on_module, &s);
	return s.depth > 0 ? 0 : s.status;
}

/* From head to handler ----------------------------------------------------*/

static void
run(struct web *w)
{
	struct http_req *r = w->req;

	timer_stop(&w->timer);
	w->state = WEB_BUSY;
	r->is_running = true;
	r->route->fn(r);
}

static bool
wants_continue(const struct http_req *r)
{
	struct str expect = http_head(r, "expect");

	return !r->is_old && str_eq_nocase(expect, STR("100-continue"));
}

/* The body is expected; of a streamed route, by its handler. */
static void
body_begin(struct web *w)
{
	struct http_req *r = w->req;

	w->state = WEB_BODY;
	w->body_left = r->length;
	w->body_seen = 0;
	timer_start(&w->timer, patience(), on_body_timer);
	if (r->route->is_streamed) {
		r->is_running = true;
		r->route->fn(r);
		if (w->state != WEB_BODY)
			return;
		must(r->is_answered || r->sink != NULL);
	}
	if (wants_continue(r))
		conn_send(w->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

static unsigned
body_admit(struct web *w)
{
	struct http_req *r = w->req;

	if (r->route->is_streamed)
		return 0;
	if (r->length > HTTP_BODY_MAX)
		return 413;
	if (bodies + r->length > BODIES_MAX)
		return 503;
	w->reserved = (size_t)r->length;
	bodies += w->reserved;
	return 0;
}

static void
request_begin(struct web *w)
{
	struct http_req *r = w->req;
	unsigned status = route_find(w, r);

	if (status == 0)
		status = body_admit(w);
	if (status != 0) {
		w->body_left = r->length;
		r->mod = NULL;
		refuse(w, status);
		return;
	}
	if (r->mod != NULL)
		mod_hold(r->mod);
	w->body_left = r->length;
	if (r->route->admit != NULL) {
		w->state = WEB_BUSY;
		r->is_running = true;
		if (!r->route->admit(r))
			return;
		r->is_running = false;
	}
	if (r->length > 0)
		body_begin(w);
	else
		run(w);
}

/* Takes what is of a head; how many bytes that was. */
static size_t
head_input(struct web *w, const char *p, size_t n)
{
	size_t had = w->in.n, used;
	const char *end;
	unsigned status;

	/* An empty line before a request is overlooked (RFC 9112, 2.2). */
	if (had == 0 && n >= 2 && p[0] == '\r' && p[1] == '\n')
		return 2;
	buf_add(&w->in, p, MIN(n, HEAD_MAX + 1 - had));
	end = (const char *)memmem(w->in.p + (had > 3 ? had - 3 : 0),
	    w->in.n - (had > 3 ? had - 3 : 0), "\r\n\r\n", 4);
	if (end == NULL) {
		used = w->in.n - had;
		if (w->in.n > HEAD_MAX)
			refuse(w, 431);
		return used;
	}
	used = (size_t)(end + 4 - w->in.p) - had;
	w->in.n = had + used;
	w->req = req_new(w);
	status = head_parse(w->req, buf_str(&w->in));
	buf_fini(&w->in);
	w->in = (struct buf){ 0 };
	if (status == 0 && n > used &&
	    http_has_word(http_head(w->req, "connection"), "upgrade"))
		status = 400;
	if (status != 0)
		refuse(w, status);
	else
		request_begin(w);
	return used;
}

static size_t
body_input(struct web *w, const char *p, size_t n)
{
	struct http_req *r = w->req;

	n = (size_t)MIN((uint64_t)n, w->body_left);
	w->body_left -= n;
	w->body_seen += n;
	if (r->sink != NULL)
		r->sink->data(r->sink_ctx, p, n);
	else
		buf_add(&r->body, p, n);
	if (w->state != WEB_BODY || w->body_left > 0)
		return n;
	if (r->sink == NULL) {
		run(w);
		return n;
	}
	timer_stop(&w->timer);
	w->state = WEB_BUSY;
	r->sink->end(r->sink_ctx);
	return n;
}

static void
input_some(struct web *w, const char *p, size_t n)
{
	while (n > 0) {
		size_t used;

		if (w->state == WEB_HEAD) {
			used = head_input(w, p, n);
		} else if (w->state == WEB_BODY) {
			used = body_input(w, p, n);
		} else if (w->state == WEB_END || w->state == WEB_TAKEN) {
			return;
		} else {
			buf_add(&w->pending, p, n);
			conn_pause(w->conn);
			return;
		}
		p += used;
		n -= used;
	}
}

static void
head_expect(struct web *w)
{
	w->state = WEB_HEAD;
	timer_start(&w->timer, patience(), on_head_timer);
}

/* The answer has left, as good as: what is next? */
static void
answer_end(struct web *w)
{
	bool is_last = w->req->is_last;

	req_end(w);
	if (is_last)
		web_close(w);
	else
		head_expect(w);
}

static bool
answer_is_out(const struct web *w)
{
	return w->state == WEB_ANSWER && w->file == NULL &&
	       conn_queued(w->conn) <= CONN_HIGH_MARK;
}

/* A peer that sends many requests at once is served in a loop, not deeper. */
static void
web_input(struct web *w, const char *p, size_t n)
{
	w->is_inside = true;
	input_some(w, p, n);
	while (answer_is_out(w)) {
		struct buf pending = w->pending;

		w->pending = (struct buf){ 0 };
		answer_end(w);
		if (w->state == WEB_HEAD && pending.n == 0)
			conn_resume(w->conn);
		input_some(w, pending.p, pending.n);
		buf_fini(&pending);
	}
	w->is_inside = false;
	if (w->state == WEB_TAKEN)
		web_free(w);
}

static void
web_go_on(struct web *w)
{
	if (!w->is_inside)
		web_input(w, NULL, 0);
}

void
web_answered(struct web *w)
{
	if (w->file != NULL)
		file_send_detach(w->file);
	w->file = NULL;
	if (w->state != WEB_END) {
		w->state = WEB_ANSWER;
		w->last_left = 0;
		timer_start(&w->timer, ANSWER_MS, on_answer_timer);
	}
	web_go_on(w);
}

void
web_send_file(struct web *w, struct file_send *f)
{
	w->file = f;
	w->state = WEB_ANSWER;
	w->last_left = 0;
	timer_start(&w->timer, ANSWER_MS, on_answer_timer);
	file_send_attach(f, w);
	file_send_go(f);
}

/* Streams -----------------------------------------------------------------*/

void
http_receive(struct http_req *r, const struct http_sink *sink, void *ctx)
{
	r->sink = sink;
	r->sink_ctx = ctx;
}

void
http_pause(struct http_req *r)
{
	if (r->web != NULL && r->web->state == WEB_BODY)
		conn_pause(r->web->conn);
}

void
http_resume(struct http_req *r)
{
	if (r->web != NULL && r->web->state == WEB_BODY)
		conn_resume(r->web->conn);
}

struct conn *
http_take(struct http_req *r, struct str headers)
{
	struct web *w = r->web;
	struct conn *c = w->conn;

	must(w->state == WEB_BUSY && w->is_inside);
	conn_send(c, STR("HTTP/1.1 101 Switching Protocols\r\n"));
	conn_send(c, headers);
	conn_send(c, STR("\r\n"));
	req_end(w);
	timer_stop(&w->timer);
	w->state = WEB_TAKEN;
	return c;
}

/* Events ------------------------------------------------------------------*/

static void
on_data(void *ctx, const char *p, size_t n)
{
	web_input((struct web *)ctx, p, n);
}

static void
on_drained(void *ctx)
{
	struct web *w = (struct web *)ctx;

	if (w->state != WEB_ANSWER)
		return;
	if (w->file != NULL)
		file_send_go(w->file);
	else
		web_go_on(w);
}

static const struct conn_events events = {
	.data = on_data,
	.drained = on_drained,
	.closed = on_closed,
};

void
web_new(struct conn *c, bool is_local)
{
	struct web *w = (struct web *)xzalloc(sizeof(*w));

	w->conn = c;
	w->is_local = is_local;
	conn_set_owner(c, &events, w);
	connections++;
	head_expect(w);
	if (connections > CONNECTIONS_MAX && !is_local)
		refuse(w, 503);
}

void
http_accept(struct conn *c)
{
	web_new(c, false);
}
