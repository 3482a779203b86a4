/* SPDX-License-Identifier: MIT */
/* Requests to the bucket: libcurl's, on the loop that asks. */
#include "modules/blob_s3/s3.h"

#include <uv.h>

#define CONNECTIONS_MAX 32
#define CONNECTIONS_IDLE 4
#define CONNECT_MS 10000L
/* Of what is said to an error. */
#define WORDS_MAX 1024

struct transfer {
	struct list node;
	struct arena *arena; /* it lives in it */
	struct s3 *s3;
	const char *method;
	CURL *easy;
	struct curl_slist *headers;
	transfer_fn *done;
	void *ctx;
	struct str piece; /* lent */
	uint64_t before;  /* so many went before it */
	struct str bytes; /* what of it is to be sent next */
	bool is_waiting;  /* for more of them; libcurl is paused */
	void (*wanted)(void *ctx);
	void *wanted_ctx;
	struct deferred wake, end;
	char words[WORDS_MAX];
	size_t words_n;
	char error[CURL_ERROR_SIZE];
};

/* Sockets and time --------------------------------------------------------*/

struct sock {
	uv_poll_t poll; /* first, as libuv hands this out */
	struct s3 *s3;
	curl_socket_t fd;
};

static void transfers_look(struct s3 *s);

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	struct sock *k = (struct sock *)poll;
	struct s3 *s = k->s3;
	int running, flags = 0;

	/* An answer may have come before the error: libcurl shall see both. */
	if (status < 0)
		flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(s->multi, k->fd, flags, &running);
	transfers_look(s);
}

static void
on_closed(uv_handle_t *handle)
{
	xfree(handle);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *sock)
{
	struct s3 *s = (struct s3 *)ctx;
	struct sock *k = (struct sock *)sock;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (k == NULL)
			return 0;
		curl_multi_assign(s->multi, fd, NULL);
		uv_poll_stop(&k->poll);
		uv_close((uv_handle_t *)&k->poll, on_closed);
		return 0;
	}
	if (k == NULL) {
		k = (struct sock *)xzalloc(sizeof(*k));
		k->s3 = s;
		k->fd = fd;
		must(uv_poll_init_socket(
			 (uv_loop_t *)loop_uv(loop_self()), &k->poll, fd) == 0);
		curl_multi_assign(s->multi, fd, k);
	}
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	uv_poll_start(&k->poll, events, on_ready);
	return 0;
}

static void
on_time(struct timer *t)
{
	struct s3 *s = CONTAINER_OF(t, struct s3, timer);
	int running;

	curl_multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	transfers_look(s);
}

static int
on_timeout(CURLM *multi, long ms, void *ctx)
{
	struct s3 *s = (struct s3 *)ctx;

	(void)multi;
	if (ms < 0)
		timer_stop(&s->timer);
	else
		timer_start(&s->timer, (uint64_t)ms, on_time);
	return 0;
}

static bool
multi_begin(struct s3 *s)
{
	if (s->is_stopped)
		return false;
	if (s->multi != NULL)
		return true;
	s->multi = curl_multi_init();
	if (s->multi == NULL)
		return false;
	curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
	curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
	curl_multi_setopt(
	    s->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
	curl_multi_setopt(
	    s->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_IDLE);
	return true;
}

/* What comes and goes -----------------------------------------------------*/

static size_t
on_words(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = (struct transfer *)ctx;
	size_t some = MIN(size * n, sizeof(t->words) - t->words_n);

	memcpy(t->words + t->words_n, p, some);
	t->words_n += some;
	return size * n;
}

static void
on_wake(struct deferred *d)
{
	struct transfer *t = CONTAINER_OF(d, struct transfer, wake);

	t->before += t->piece.n;
	t->piece = STR_NONE;
	t->wanted(t->wanted_ctx);
}

static size_t
on_read(char *to, size_t size, size_t n, void *ctx)
{
	struct transfer *t = (struct transfer *)ctx;
	size_t some = MIN(size * n, t->bytes.n);

	if (some == 0) {
		t->is_waiting = true;
		if (t->wanted != NULL)
			loop_defer(&t->wake, on_wake);
		return CURL_READFUNC_PAUSE;
	}
	memcpy(to, t->bytes.p, some);
	t->bytes = str_skip(t->bytes, some);
	return some;
}

/* The connection was kept, and is dead: libcurl tries another. */
static int
on_seek(void *ctx, curl_off_t offset, int origin)
{
	struct transfer *t = (struct transfer *)ctx;
	uint64_t at = (uint64_t)offset;

	if (origin != SEEK_SET || offset < 0 || at < t->before ||
	    at > t->before + t->piece.n)
		return CURL_SEEKFUNC_FAIL;
	t->bytes = str_skip(t->piece, (size_t)(at - t->before));
	return CURL_SEEKFUNC_OK;
}

void
transfer_write(
    struct transfer *t, struct str bytes, void (*wanted)(void *ctx), void *ctx)
{
	t->piece = t->bytes = bytes;
	t->wanted = wanted;
	t->wanted_ctx = ctx;
	if (t->is_waiting) {
		t->is_waiting = false;
		curl_easy_pause(t->easy, CURLPAUSE_CONT);
	}
}

/* Life --------------------------------------------------------------------*/

struct transfer *
transfer_new(struct s3 *s, const char *method, struct str url,
    transfer_fn *done, void *ctx)
{
	const struct s3_options *o =
	    (const struct s3_options *)mod_options(s->mod);
	struct arena *a = arena_new(0);
	struct transfer *t = arena_new_of(a, struct transfer);
	CURL *c = curl_easy_init();

	t->arena = a;
	t->s3 = s;
	t->method = method;
	t->done = done;
	t->ctx = ctx;
	t->easy = c;
	list_add(&s->transfers, &t->node);
	if (c == NULL)
		return t;
	curl_easy_setopt(c, CURLOPT_PRIVATE, t);
	curl_easy_setopt(c, CURLOPT_URL, str_dup_c(a, url));
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* What ends while a name is looked up does not wait for it. */
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
#endif
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(
	    c, CURLOPT_LOW_SPEED_TIME, (long)(o->timeout_ms / 1000));
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "rookery");
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_words);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	if (o->ca_file.n > 0)
		curl_easy_setopt(c, CURLOPT_CAINFO, str_dup_c(a, o->ca_file));
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	return t;
}

void
transfer_upload(struct transfer *t, uint64_t size, struct str type)
{
	CURL *c = t->easy;

	if (c == NULL)
		return;
	t->headers = curl_slist_append(t->headers,
	    arena_printf(t->arena, "Content-Type: " STR_FMT, STR_ARG(type)));
	t->headers = curl_slist_append(t->headers, "Expect:");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(c, CURLOPT_READDATA, t);
	curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(c, CURLOPT_SEEKDATA, t);
}

static void
transfer_free(struct transfer *t)
{
	struct arena *a = t->arena;

	loop_undefer(&t->wake);
	loop_undefer(&t->end);
	list_del(&t->node);
	if (t->easy != NULL) {
		if (t->s3->multi != NULL)
			curl_multi_remove_handle(t->s3->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	arena_free(&a);
}

static void
transfer_end(struct transfer *t, unsigned status, int64_t length)
{
	transfer_fn *done = t->done;
	void *ctx = t->ctx;

	transfer_free(t);
	done(ctx, status, length);
}

static void
on_never(struct deferred *d)
{
	transfer_end(CONTAINER_OF(d, struct transfer, end), 0, -1);
}

void
transfer_start(struct transfer *t)
{
	if (t->easy == NULL || !multi_begin(t->s3) ||
	    curl_multi_add_handle(t->s3->multi, t->easy) != CURLM_OK)
		loop_defer(&t->end, on_never);
}

void
transfer_drop(struct transfer **t)
{
	transfer_free(*t);
	*t = NULL;
}

/* What the server calls the error: "AccessDenied". */
static struct str
code_of(const struct transfer *t)
{
	static const struct str mark = STR_INIT("<Code>");
	struct str rest = str_mem(t->words, t->words_n);

	for (; rest.n > mark.n; rest = str_skip(rest, 1))
		if (str_has_prefix(rest, mark)) {
			rest = str_skip(rest, mark.n);
			return str_sub(str_cut(&rest, '<'), 0, 60);
		}
	return STR("no reason given");
}

static bool
is_expected(const struct transfer *t, unsigned status)
{
	return (status >= 200 && status < 300) ||
	       (status == 404 && strcmp(t->method, "PUT") != 0);
}

static void
transfer_ended(struct transfer *t, CURLcode code)
{
	long status = 0;
	curl_off_t length = -1;

	if (code == CURLE_OK)
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (code != CURLE_OK)
		log_error(mod_log(t->s3->mod), "%s to the bucket: %s",
		    t->method,
		    t->error[0] != '\0' ? t->error : curl_easy_strerror(code));
	else if (!is_expected(t, (unsigned)status))
		log_error(mod_log(t->s3->mod),
		    "%s to the bucket: status %ld (" STR_FMT ")", t->method,
		    status, STR_ARG(code_of(t)));
	transfer_end(t, (unsigned)status, (int64_t)length);
}

static void
transfers_look(struct s3 *s)
{
	CURLMsg *m;
	int left;

	while (s->multi != NULL &&
	       (m = curl_multi_info_read(s->multi, &left)) != NULL) {
		struct transfer *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		transfer_ended(t, m->data.result);
	}
}

void
transfers_stop(struct s3 *s)
{
	CURLM *multi = s->multi;

	s->is_stopped = true;
	while (!list_is_empty(&s->transfers))
		transfer_end(
		    LIST_FIRST(&s->transfers, struct transfer, node), 0, -1);
	if (multi != NULL)
		curl_multi_cleanup(multi);
	s->multi = NULL;
	timer_stop(&s->timer);
}
