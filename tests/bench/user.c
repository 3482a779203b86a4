/* SPDX-License-Identifier: MIT */
/* The users' connections, with or without TLS, on one epoll. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define READ_MAX (4u << 20)
#define READ_STEP 262144

static const char *const step_names[] = { "none", "connect", "handshake",
	"features", "proceed", "challenge", "success", "features again", "bind",
	"session", "sm", "presence", "ready", "gone" };

struct user *users;
int ready_count, failed_count, dropped_count;
uint64_t bytes_in, bytes_out;
struct histogram login_time;
char tls_text[128] = "none", mechanism_text[32] = "";

static int ep;
static SSL_CTX *tls;
static struct user **dirty;
static int dirty_count;
static char *input; /* what one user's read and its rest go to */
static uint64_t give_up;

void
users_init(void)
{
	ep = epoll_create1(EPOLL_CLOEXEC);
	users = xzalloc((size_t)opt.users * sizeof(*users));
	dirty = xzalloc((size_t)opt.users * sizeof(struct user *));
	input = xmalloc(READ_MAX);
	give_up = now_ns() + (uint64_t)(opt.patience * 1e9);
	if (!opt.starttls && !opt.direct_tls)
		return;
	tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS |
				  SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
}

static void
user_close(struct user *u)
{
	SSL_free(u->ssl);
	u->ssl = NULL;
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
	u->step = STEP_GONE;
	buf_fini(&u->in);
	buf_fini(&u->out);
	u->out_at = 0;
	scram_free(&u->scram);
	ERR_clear_error();
}

void
user_fail(struct user *u, const char *why)
{
	static int shown;

	if (u->step == STEP_GONE)
		return;
	if (shown++ < 5)
		note("%s%d, at %s: %s", opt.prefix, u->index,
		    step_names[u->step], why);
	if (u->step == STEP_READY) {
		ready_count--;
		dropped_count++;
	} else {
		failed_count++;
	}
	user_close(u);
}

void
user_is_ready(struct user *u)
{
	u->step = STEP_READY;
	ready_count++;
	histogram_add(&login_time, now_ns() - u->started);
	scram_free(&u->scram);
	if (u->in.n == 0)
		buf_fini(&u->in);
}

/* ---- output */

static void
user_want_write(struct user *u, bool on)
{
	struct epoll_event e = { .data.ptr = u };

	if (u->wants_write == on)
		return;
	u->wants_write = on;
	e.events = EPOLLIN | (on ? EPOLLOUT : 0u);
	epoll_ctl(ep, EPOLL_CTL_MOD, u->fd, &e);
}

void
user_send(struct user *u, const char *p, size_t n)
{
	if (u->step == STEP_GONE)
		return;
	buf_add(&u->out, p, n);
	if (!u->is_dirty) {
		u->is_dirty = true;
		dirty[dirty_count++] = u;
	}
}

void
user_sendf(struct user *u, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(text))
		die("a stanza is too long");
	user_send(u, text, (size_t)n);
}

/* Bytes taken; 0 when nothing is taken now, or the user has failed. */
static size_t
user_write(struct user *u, const char *p, size_t n)
{
	ssize_t got;

	if (u->ssl != NULL) {
		got = SSL_write(u->ssl, p, (int)n);
		if (got > 0)
			return (size_t)got;
		got = SSL_get_error(u->ssl, (int)got);
		if (got == SSL_ERROR_WANT_WRITE)
			user_want_write(u, true);
		else if (got != SSL_ERROR_WANT_READ)
			user_fail(u, "cannot write TLS");
		return 0;
	}
	got = send(u->fd, p, n, MSG_NOSIGNAL);
	if (got >= 0)
		return (size_t)got;
	if (errno == EAGAIN)
		user_want_write(u, true);
	else
		user_fail(u, strerror(errno));
	return 0;
}

static void
user_flush(struct user *u)
{
	if (u->step == STEP_GONE || u->step == STEP_CONNECT ||
	    u->step == STEP_HANDSHAKE)
		return;
	while (u->out_at < u->out.n) {
		size_t n =
		    user_write(u, u->out.p + u->out_at, u->out.n - u->out_at);

		if (n == 0)
			return;
		bytes_out += n;
		u->out_at += n;
	}
	u->out_at = 0;
	buf_clear(&u->out);
	if (u->out.cap > 4096 || u->step != STEP_READY)
		buf_fini(&u->out);
	user_want_write(u, false);
}

void
users_flush(void)
{
	for (int i = 0; i < dirty_count; i++) {
		dirty[i]->is_dirty = false;
		user_flush(dirty[i]);
	}
	dirty_count = 0;
}

void
user_leave(struct user *u)
{
	user_send(u, "</stream:stream>", 16);
	user_flush(u);
	if (u->step != STEP_GONE)
		user_close(u);
}

/* ---- connecting */

void
user_connect(int i)
{
	struct user *u = &users[i];
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT };
	int one = 1;

	u->index = opt.first + i;
	u->started = now_ns();
	u->step = STEP_CONNECT;
	u->wants_write = true;
	u->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (u->fd < 0) {
		user_fail(u, strerror(errno));
		return;
	}
	setsockopt(u->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	from.sin_addr.s_addr =
	    htonl(INADDR_LOOPBACK + (unsigned)(i % opt.sources));
	setsockopt(
	    u->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	to.sin_port = htons((uint16_t)opt.port);
	inet_pton(AF_INET, opt.host, &to.sin_addr);
	if (bind(u->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    (connect(u->fd, (struct sockaddr *)&to, sizeof(to)) < 0 &&
		errno != EINPROGRESS)) {
		user_fail(u, strerror(errno));
		return;
	}
	e.data.ptr = u;
	epoll_ctl(ep, EPOLL_CTL_ADD, u->fd, &e);
}

static void
user_handshake(struct user *u)
{
	int got = SSL_do_handshake(u->ssl);
	char why[256];

	if (got == 1) {
		snprintf(tls_text, sizeof(tls_text), "%s %s",
		    SSL_get_version(u->ssl), SSL_get_cipher(u->ssl));
		user_want_write(u, false);
		signin_open(u, STEP_FEATURES);
		return;
	}
	got = SSL_get_error(u->ssl, got);
	if (got == SSL_ERROR_WANT_READ || got == SSL_ERROR_WANT_WRITE) {
		user_want_write(u, got == SSL_ERROR_WANT_WRITE);
		return;
	}
	ERR_error_string_n(ERR_get_error(), why, sizeof(why));
	user_fail(u, why);
}

void
user_start_tls(struct user *u)
{
	u->ssl = SSL_new(tls);
	SSL_set_fd(u->ssl, u->fd);
	SSL_set_tlsext_host_name(u->ssl, opt.domain);
	SSL_set_connect_state(u->ssl);
	u->step = STEP_HANDSHAKE;
}

static void
user_connected(struct user *u)
{
	socklen_t n = sizeof(int);
	int err = 0;

	getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &err, &n);
	if (err != 0) {
		user_fail(u, strerror(err));
	} else if (opt.direct_tls) {
		user_start_tls(u);
		user_handshake(u);
	} else {
		user_want_write(u, false);
		signin_open(u, STEP_FEATURES);
	}
}

/* ---- input */

/* A request: pings are answered, all else is refused. */
static void
user_answer(struct user *u, struct str iq)
{
	struct str id = scan_attr(iq, "id"), from = scan_attr(iq, "from");
	bool is_ping = scan_has(iq, "urn:xmpp:ping");

	user_sendf(u, "<iq type='%s' id='" STR_FMT "'",
	    is_ping ? "result" : "error", STR_ARG(id));
	if (!str_is_none(from))
		user_sendf(u, " to='" STR_FMT "'", STR_ARG(from));
	user_sendf(u, "%s",
	    is_ping ? "/>"
		    : "><error type='cancel'><service-unavailable "
		      "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
		      "</iq>");
}

static void
user_stanza(struct user *u, struct str s)
{
	if (scan_is(s, "r")) {
		user_sendf(u, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", u->sm_in);
		return;
	}
	if (scan_is(s, "a"))
		return;
	if (scan_is(s, "stream:error")) {
		note(STR_FMT, STR_ARG(s));
		user_fail(u, "stream error");
		return;
	}
	u->sm_in++;
	if (scan_is(s, "iq")) {
		struct str type = scan_attr(s, "type");

		if (str_is(type, "get") || str_is(type, "set")) {
			user_answer(u, s);
			return;
		}
	}
	if (opt.mode->stanza != NULL)
		opt.mode->stanza(u, s);
}

/* Takes what is complete; the rest waits in `in`. */
static void
user_input(struct user *u, struct str text)
{
	while (text.n > 0) {
		size_t n;
		enum unit unit = scan_unit(text, &n);

		if (unit == UNIT_MORE)
			break;
		if (unit == UNIT_CLOSE) {
			user_fail(u, "the server has closed the stream");
			return;
		}
		if (unit == UNIT_ELEMENT) {
			if (u->step == STEP_READY)
				user_stanza(u, str_sub(text, 0, n));
			else
				signin_element(u, str_sub(text, 0, n));
			if (u->step == STEP_GONE)
				return;
		}
		text = str_skip(text, n);
	}
	buf_clear(&u->in);
	buf_add_str(&u->in, text);
}

/* Bytes read behind those in `input`; 0 when there are none, or no more. */
static size_t
user_receive(struct user *u, size_t have)
{
	ssize_t got;

	if (have + READ_STEP > READ_MAX) {
		user_fail(u, "an element that is too large");
		return 0;
	}
	if (u->ssl != NULL) {
		got = SSL_read(u->ssl, input + have, READ_STEP);
		if (got > 0)
			return (size_t)got;
		got = SSL_get_error(u->ssl, (int)got);
		if (got != SSL_ERROR_WANT_READ && got != SSL_ERROR_WANT_WRITE)
			user_fail(u, "TLS has ended");
		return 0;
	}
	got = recv(u->fd, input + have, READ_STEP, 0);
	if (got > 0)
		return (size_t)got;
	if (got == 0)
		user_fail(u, "the server has closed the connection");
	else if (errno != EAGAIN && errno != EINTR)
		user_fail(u, strerror(errno));
	return 0;
}

static void
user_read(struct user *u)
{
	/* The rest of a TLS record is no event: read until there is none. */
	for (int i = 0; i < 64 && u->step != STEP_GONE; i++) {
		size_t have = u->in.n, got;

		if (have > 0)
			memcpy(input, u->in.p, have);
		got = user_receive(u, have);
		if (got == 0)
			return;
		bytes_in += got;
		user_input(u, str_mem(input, have + got));
		if (u->step == STEP_HANDSHAKE) {
			users_flush();
			user_handshake(u);
			return;
		}
		if (u->ssl == NULL)
			return;
	}
}

static void
user_event(struct user *u, uint32_t events)
{
	switch (u->step) {
	case STEP_NONE:
	case STEP_GONE:
		return;
	case STEP_CONNECT:
		user_connected(u);
		return;
	case STEP_HANDSHAKE:
		user_handshake(u);
		return;
	default:
		if ((events & EPOLLOUT) != 0)
			user_flush(u);
		if ((events & ~(uint32_t)EPOLLOUT) != 0 && u->step != STEP_GONE)
			user_read(u);
	}
}

void
users_turn(uint64_t ns)
{
	struct timespec wait = {
		.tv_sec = (time_t)(ns / NS),
		.tv_nsec = (long)(ns % NS),
	};
	struct epoll_event events[512];
	int n = epoll_pwait2(ep, events, ARRAY_LEN(events), &wait, NULL);

	for (int i = 0; i < n; i++)
		user_event(events[i].data.ptr, events[i].events);
	users_flush();
	if (now_ns() > give_up)
		die("given up: %d are in, %d failed, %llu sent, %llu received",
		    ready_count, failed_count, (unsigned long long)traffic.sent,
		    (unsigned long long)traffic.received);
}

void
users_spin(double seconds)
{
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), now;

	while ((now = now_ns()) < end)
		users_turn(MIN(end - now, NS / 20));
}
