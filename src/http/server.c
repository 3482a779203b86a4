/* SPDX-License-Identifier: MIT */
/*
 * libwebsockets does the protocol; connections are accepted by us and adopted
 * by it. It is told to keep few tables: by default they are as large as the
 * process may have descriptors.
 */
#include "base/err.h"
#include "base/log.h"
#include "core/daemon.h"
#include "http/http.h"
#include "http/unix_socket.h"
#include "net/loop.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <uv.h>

#define CONNECTIONS_MAX 256
#define HEADERS_MAX 4096
#define HEADER_POOL 16
/* To send a request, and to take the answer. */
#define PATIENCE_S 30
#define KEEPALIVE_S 5
/* Bytes of an answer that are handed over at once. */
#define CHUNK 16384
#define ANSWER_HEADERS_MAX 8
#define END_ROUNDS 10
#define END_TURNS 1000

struct http_req {
	struct arena *arena; /* the request itself lives in it */
	struct lws *wsi;     /* NULL: the client has gone */
	const struct http_route *route;
	struct str method, path, accept;
	struct buf body;
	size_t body_length; /* as announced */
	bool is_running;    /* the handler was called */
	bool is_answered;
	bool is_head_sent;
	bool is_last; /* closes the connection */

	unsigned status;
	const char *type;
	struct {
		const char *name, *value;
	} header[ANSWER_HEADERS_MAX];
	size_t header_count;
	struct buf out;
	size_t sent;
};

static struct {
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct unix_socket *socket;
	bool is_up;
} http;

static const struct log_ctx log_http = { .source = "http" };

/* Requests ----------------------------------------------------------------*/

static void
req_free(struct http_req *r)
{
	struct arena *a = r->arena;

	buf_fini(&r->body);
	buf_fini(&r->out);
	arena_free(&a);
}

struct str
http_method(const struct http_req *r)
{
	return r->method;
}

struct str
http_rest(const struct http_req *r)
{
	return str_skip(r->path, strlen(r->route->path));
}

struct str
http_accept(const struct http_req *r)
{
	return r->accept;
}

struct str
http_body(const struct http_req *r)
{
	return buf_str(&r->body);
}

struct arena *
http_arena(const struct http_req *r)
{
	return r->arena;
}

/* A header as it came, or none. */
static struct str
token(struct arena *a, struct lws *wsi, enum lws_token_indexes index)
{
	int n = lws_hdr_total_length(wsi, index);
	char *text;

	if (n <= 0)
		return STR_NONE;
	text = arena_bytes(a, (size_t)n + 1);
	n = lws_hdr_copy(wsi, text, n + 1, index);
	return n > 0 ? str_mem(text, (size_t)n) : STR_NONE;
}

/* Fragments are "name=value", decoded already. */
bool
http_arg(
    const struct http_req *r, size_t i, struct str *name_r, struct str *value_r)
{
	char *text = arena_bytes(r->arena, HEADERS_MAX);
	struct str rest;
	int n;

	if (r->wsi == NULL || r->is_answered)
		return false;
	n = lws_hdr_copy_fragment(
	    r->wsi, text, HEADERS_MAX, WSI_TOKEN_HTTP_URI_ARGS, (int)i);
	if (n <= 0)
		return false;
	rest = str_mem(text, (size_t)n);
	*name_r = str_cut(&rest, '=');
	*value_r = str_is_none(rest) ? STR("") : rest;
	return true;
}

void
http_header(struct http_req *r, const char *name, const char *value)
{
	must(r->header_count < ANSWER_HEADERS_MAX);
	r->header[r->header_count].name = name;
	r->header[r->header_count++].value = value;
}

void
http_answer(
    struct http_req *r, unsigned status, const char *type, struct str body)
{
	must(!r->is_answered);
	r->is_answered = true;
	if (r->wsi == NULL) {
		req_free(r);
		return;
	}
	r->status = status;
	r->type = type;
	buf_add_str(&r->out, body);
	lws_callback_on_writable(r->wsi);
}

/* An error of ours, after which the connection is of no use. */
static void
refuse(struct http_req *r, unsigned status, const char *text)
{
	r->is_last = true;
	r->is_running = true;
	http_answer(r, status, "text/plain", str_c(text));
}

/* Routes ------------------------------------------------------------------*/

static bool
route_fits(const struct http_route *route, struct str path)
{
	struct str own = str_c(route->path);

	if (own.p[own.n - 1] == '/')
		return str_has_prefix(path, own);
	return str_eq(path, own);
}

/* NULL with the status to answer. */
static const struct http_route *
route_find(const struct http_route *routes, struct str method, struct str path,
    unsigned *status_r)
{
	*status_r = 404;
	for (; routes->path != NULL; routes++) {
		if (!route_fits(routes, path))
			continue;
		if (routes->method == NULL || str_is(method, routes->method))
			return routes;
		*status_r = 405;
	}
	return NULL;
}

static void
run(struct http_req *r)
{
	if (r->is_running)
		return;
	r->is_running = true;
	lws_set_timeout(r->wsi, NO_PENDING_TIMEOUT, 0);
	r->route->fn(r);
}

static struct str
method_of(struct lws *wsi)
{
	static const struct {
		enum lws_token_indexes index;
		struct str name;
	} methods[] = {
		{ WSI_TOKEN_GET_URI, STR_INIT("GET") },
		{ WSI_TOKEN_POST_URI, STR_INIT("POST") },
		{ WSI_TOKEN_OPTIONS_URI, STR_INIT("OPTIONS") },
		{ WSI_TOKEN_PUT_URI, STR_INIT("PUT") },
		{ WSI_TOKEN_PATCH_URI, STR_INIT("PATCH") },
		{ WSI_TOKEN_DELETE_URI, STR_INIT("DELETE") },
		{ WSI_TOKEN_HEAD_URI, STR_INIT("HEAD") },
	};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (lws_hdr_total_length(wsi, methods[i].index) > 0)
			return methods[i].name;
	return STR("");
}

/* Does a body follow? Sets its length, or answers 411 and 413. */
static bool
expects_body(struct http_req *r)
{
	struct str text =
	    token(r->arena, r->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
	uint64_t n;

	if (str_is_none(text)) {
		if (str_is(r->method, "GET") || str_is(r->method, "HEAD") ||
		    str_is(r->method, "OPTIONS"))
			return false;
		refuse(r, 411, "Length Required");
		return false;
	}
	if (!str_to_u64(text, &n)) {
		refuse(r, 400, "Bad Request");
		return false;
	}
	if (n > HTTP_BODY_MAX) {
		refuse(r, 413, "Content Too Large");
		return false;
	}
	r->body_length = (size_t)n;
	return n > 0;
}

static struct http_req *
req_new(struct lws *wsi, const char *path)
{
	struct arena *a = arena_new(0);
	struct http_req *r = arena_new_of(a, struct http_req);

	r->arena = a;
	r->wsi = wsi;
	r->method = method_of(wsi);
	r->path = str_dup(a, str_c(path));
	r->accept = token(a, wsi, WSI_TOKEN_HTTP_ACCEPT);
	return r;
}

static void
on_request(struct http_req *r)
{
	unsigned status;

	r->route = route_find(http_admin_routes, r->method, r->path, &status);
	if (r->route == NULL) {
		refuse(r, status,
		    status == 404 ? "Not Found" : "Method Not Allowed");
		return;
	}
	if (!expects_body(r) && !r->is_running)
		run(r);
}

/* More than was announced is not ours. */
static void
on_body(struct http_req *r, const char *p, size_t n)
{
	if (r->is_running)
		return;
	buf_add(&r->body, p, MIN(n, r->body_length - r->body.n));
	if (r->body.n == r->body_length)
		run(r);
}

/* Answers -----------------------------------------------------------------*/

static int
put_header(struct lws *wsi, const char *name, const char *value,
    unsigned char **p, unsigned char *end)
{
	char label[64];

	snprintf(label, sizeof(label), "%s:", name);
	return lws_add_http_header_by_name(wsi, (unsigned char *)label,
	    (const unsigned char *)value, (int)strlen(value), p, end);
}

static int
send_head(struct http_req *r)
{
	unsigned char room[LWS_PRE + HEADERS_MAX];
	unsigned char *start = room + LWS_PRE, *p = start;
	unsigned char *end = room + sizeof(room);

	if (lws_add_http_common_headers(
		r->wsi, r->status, r->type, r->out.n, &p, end))
		return -1;
	for (size_t i = 0; i < r->header_count; i++)
		if (put_header(
			r->wsi, r->header[i].name, r->header[i].value, &p, end))
			return -1;
	if (r->is_last && put_header(r->wsi, "connection", "close", &p, end))
		return -1;
	r->is_head_sent = true;
	return lws_finalize_write_http_header(r->wsi, start, &p, end);
}

static int
send_chunk(struct http_req *r)
{
	unsigned char room[LWS_PRE + CHUNK];
	size_t n = MIN(r->out.n - r->sent, CHUNK);
	bool is_end = r->sent + n == r->out.n;

	memcpy(room + LWS_PRE, r->out.p + r->sent, n);
	r->sent += n;
	return lws_write(r->wsi, room + LWS_PRE, n,
	    is_end ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
}

/* The answer is on its way: the connection may bring the next request. */
static int
finish(struct lws *wsi, struct http_req **slot)
{
	struct http_req *r = *slot;
	bool is_last = r->is_last;

	*slot = NULL;
	req_free(r);
	return lws_http_transaction_completed(wsi) || is_last ? -1 : 0;
}

static int
on_writable(struct lws *wsi, struct http_req **slot)
{
	struct http_req *r = *slot;
	bool has_body = !str_is(r->method, "HEAD") && r->out.n > 0;

	if (!r->is_answered)
		return 0;
	lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, PATIENCE_S);
	if (!r->is_head_sent) {
		if (send_head(r) != 0)
			return -1;
		if (has_body)
			return lws_callback_on_writable(wsi) < 0 ? -1 : 0;
	} else if (send_chunk(r) < 0) {
		return -1;
	}
	if (has_body && r->sent < r->out.n)
		return lws_callback_on_writable(wsi) < 0 ? -1 : 0;
	return finish(wsi, slot);
}

static void
on_gone(struct http_req **slot)
{
	struct http_req *r = *slot;

	if (r == NULL)
		return;
	*slot = NULL;
	r->wsi = NULL;
	if (r->is_answered || !r->is_running)
		req_free(r);
}

static int
on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
    void *in, size_t len)
{
	struct http_req **slot = (struct http_req **)user;

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		on_gone(slot);
		*slot = req_new(wsi, (const char *)in);
		on_request(*slot);
		return 0;
	case LWS_CALLBACK_HTTP_BODY:
		if (*slot != NULL)
			on_body(*slot, (const char *)in, len);
		return 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return 0;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return *slot != NULL ? on_writable(wsi, slot) : 0;
	case LWS_CALLBACK_CLOSED_HTTP:
		if (slot != NULL)
			on_gone(slot);
		return 0;
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}

/* The server --------------------------------------------------------------*/

/* What peers do wrong is no matter for an administrator. */
static void
on_log(int level, const char *line)
{
	struct str text = str_trim(str_c(line));

	if (level == LLL_ERR && !http.is_up)
		log_error(&log_http, STR_FMT, STR_ARG(text));
	else
		log_debug(&log_http, STR_FMT, STR_ARG(text));
}

static void
on_accepted(void *ctx, int fd)
{
	lws_sock_file_fd_type desc = { .sockfd = fd };

	/* It closes the descriptor when it can't take it. */
	lws_adopt_descriptor_vhost(
	    http.vhost, LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP, desc, NULL, NULL);
}

static const struct lws_protocols protocols[] = {
	{ .name = "http",
	    .callback = on_event,
	    .per_session_data_size = sizeof(struct http_req *) },
	{ .name = NULL },
};

static bool
context_new(struct loop *l)
{
	void *loops[1] = { loop_uv(l) };
	struct lws_context_creation_info info = {
		.options =
		    LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.foreign_loops = loops,
		.pcontext = &http.context,
		.count_threads = 1,
		.fd_limit_per_thread = CONNECTIONS_MAX,
		.max_http_header_data = HEADERS_MAX,
		.max_http_header_pool = HEADER_POOL,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
	http.context = lws_create_context(&info);
	return http.context != NULL;
}

/* It listens nowhere: connections are brought to it. */
static bool
vhost_new(void)
{
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.vhost_name = "local",
		.protocols = protocols,
		.keepalive_timeout = KEEPALIVE_S,
		.timeout_secs = PATIENCE_S,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};

	http.vhost = lws_create_vhost(http.context, &info);
	return http.vhost != NULL;
}

/* On every loop; the first is ours. */
static void
on_open(void *arg)
{
	struct loop *l = loop_self();

	if (loop_index(l) != 0)
		return;
	http.is_up = context_new(l) && vhost_new();
	if (http.is_up)
		unix_socket_start(http.socket, on_accepted, NULL);
}

static void
count_closing(uv_handle_t *handle, void *arg)
{
	*(unsigned *)arg += uv_is_closing(handle) != 0;
}

static void
on_close(void *arg)
{
	if (loop_index(loop_self()) != 0)
		return;
	unix_socket_close(&http.socket);
	if (http.context != NULL)
		lws_context_destroy(http.context);
	http.vhost = NULL;
	http.is_up = false;
}

/* How many handles of the first loop are being closed. */
static void
on_look(void *arg)
{
	struct loop *l = loop_self();

	if (loop_index(l) != 0)
		return;
	*(unsigned *)arg = 0;
	uv_walk((uv_loop_t *)loop_uv(l), count_closing, arg);
}

int
http_open(struct arena *a, const char *path, const char **why_r)
{
	int ret = unix_socket_new(a, path, &http.socket, why_r);

	if (ret < 0)
		return ret;
	loops_call(on_open, NULL);
	if (http.is_up)
		return 0;
	http_close();
	*why_r = "libwebsockets does not start: is its event library for "
		 "libuv installed (libwebsockets-evlib-uv)?";
	return ERR_ABSENT;
}

/*
 * On a loop that is not its own, libwebsockets begins to end, and frees its
 * context (setting http.context to NULL) when it is called again. Its event
 * library, which is unloaded then, must have no handle left that is closing.
 */
void
http_close(void)
{
	unsigned closing;

	for (int i = 0; i < END_ROUNDS; i++) {
		loops_call(on_close, NULL);
		if (http.context == NULL)
			return;
		closing = 1;
		for (int turn = 0; turn < END_TURNS && closing > 0; turn++)
			loops_call(on_look, &closing);
	}
	log_info(&log_http, "libwebsockets did not end");
}
