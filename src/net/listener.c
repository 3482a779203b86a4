/* SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/conn_impl.h"
#include "net/listener_impl.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define BACKLOG 4096
#define DEADLINE_MS SECONDS(30)
/* Connections taken in one go, before others have their turn. */
#define ACCEPT_BATCH 64
/* Out of files: how long to wait for some, and how often to say so. */
#define PAUSE_MS SECONDS(1)
#define COMPLAIN_MS MINUTES(1)

/* Keep-alive: ten minutes of silence, then five probes a minute apart. */
#define KEEP_IDLE_S 600
#define KEEP_PROBE_S 60
#define KEEP_PROBES 5
/* What was sent and not acknowledged for so long means a dead link. */
#define USER_TIMEOUT_MS 120000

/* All in the process, for "::" and "0.0.0.0" on the same port. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct listener *all;

/* Sockets ------------------------------------------------------------------ */

static bool
is_any(const struct addr *a)
{
	if (a->ss.sa.sa_family == AF_INET)
		return a->ss.in.sin_addr.s_addr == htonl(INADDR_ANY);
	return memcmp(&a->ss.in6.sin6_addr, &in6addr_any,
		   sizeof(in6addr_any)) == 0;
}

static void
option_set(int fd, int level, int name, int value)
{
	/* Where a kernel lacks one, we do without. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* Linux hands these on to each connection that is accepted. */
static void
options_set(int fd)
{
	option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
	option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_PROBE_S);
	option_set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES);
	option_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

/* A bound socket, or -errno. */
static int
socket_bind(const struct addr *a, bool is_shared)
{
	int family = a->ss.sa.sa_family, err;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (is_shared)
		option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (family == AF_INET6)
		option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any(a));
	if (bind(fd, &a->ss.sa, a->len) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Do we listen on the other family's "any" with this port ourselves? */
static bool
is_other_family_ours(const struct addr *a)
{
	bool found = false;

	pthread_mutex_lock(&all_lock);
	for (struct listener *l = all; l != NULL && !found; l = l->next) {
		const struct addr *b = &l->addr;

		found = is_any(a) && is_any(b) &&
			addr_port(a) == addr_port(b) &&
			a->ss.sa.sa_family != b->ss.sa.sa_family;
	}
	pthread_mutex_unlock(&all_lock);
	return found;
}

/*
 * Finds out, with a socket that does not share, whether the address is free:
 * SO_REUSEPORT would let two servers of a user run on one port unnoticed. Also
 * makes port 0 a real one.
 */
static int
address_probe(struct addr *a)
{
	int fd, err = 0;

	if (addr_port(a) != 0 && is_other_family_ours(a))
		return 0;
	fd = socket_bind(a, false);
	if (fd < 0)
		return fd;
	if (getsockname(fd, &a->ss.sa, &a->len) != 0)
		err = -errno;
	close(fd);
	return err;
}

/* "::" on a machine without IPv6. */
static void
address_to_v4(struct addr *a)
{
	uint16_t port = addr_port(a);

	must(addr_parse(STR("0.0.0.0"), port, a) == 0);
}

static int
address_settle(struct addr *a)
{
	bool may_fall_back = a->ss.sa.sa_family == AF_INET6 && is_any(a);
	int err = address_probe(a);

	if ((err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL) && may_fall_back) {
		address_to_v4(a);
		err = address_probe(a);
	}
	return err;
}

int
listener_probe(const struct addr *addr)
{
	struct addr a = *addr;

	return address_settle(&a);
}

static int
sockets_open(struct listener *l)
{
	struct addr *a = &l->addr;
	int err = address_settle(a);

	for (unsigned i = 0; i < l->count && err == 0; i++) {
		int fd = socket_bind(a, true);

		if (fd < 0) {
			err = fd;
			break;
		}
		l->socks[i].fd = fd;
		options_set(fd);
		if (listen(fd, l->config->backlog) != 0)
			err = -errno;
	}
	return err;
}

/* Accepting ---------------------------------------------------------------- */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void
on_pause_over(struct timer *t)
{
	struct sock *s = CONTAINER_OF(t, struct sock, pause);

	uv_poll_start(&s->poll, UV_READABLE, on_acceptable);
}

/* Those who wait are kept by the kernel meanwhile. */
static void
sock_pause(struct sock *s, int err)
{
	static _Thread_local uint64_t complain_at;

	if (loop_now() >= complain_at) {
		complain_at = loop_now() + COMPLAIN_MS;
		log_error(NULL, "cannot accept connections for now: %s",
		    err_text(-err));
	}
	uv_poll_stop(&s->poll);
	timer_start(&s->pause, PAUSE_MS, on_pause_over);
}

/* Answers false when that is enough for now. */
static bool
sock_accept(struct sock *s)
{
	struct addr peer;
	int fd;

	memset(&peer, 0, sizeof(peer));
	peer.len = sizeof(peer.ss);
	fd = accept4(
	    s->fd, &peer.ss.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		pending_start(s, conn_adopt(fd, &peer));
		return s->is_open;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		sock_pause(s, errno);
		return false;
	default: /* that one connection's trouble */
		return true;
	}
}

static void
on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct sock *s = CONTAINER_OF(poll, struct sock, poll);

	for (int i = 0; i < ACCEPT_BATCH && sock_accept(s); i++)
		;
}

/* Life --------------------------------------------------------------------- */

static struct listener_config *
config_dup(const struct listener_config *config)
{
	size_t size = config->proxy_count * sizeof(config->proxies[0]);
	struct listener_config *c =
	    (struct listener_config *)xmalloc(sizeof(*c));

	*c = *config;
	if (c->backlog == 0)
		c->backlog = BACKLOG;
	if (c->deadline_ms == 0)
		c->deadline_ms = DEADLINE_MS;
	c->proxies = NULL;
	if (size > 0)
		c->proxies = (struct addr_net *)memcpy(
		    xmalloc(size), config->proxies, size);
	return c;
}

static void
config_free(struct listener_config *c)
{
	xfree((void *)(uintptr_t)c->proxies);
	xfree(c);
}

static void
listener_unref(struct listener *l)
{
	bool is_last;

	pthread_mutex_lock(&l->lock);
	is_last = --l->refs == 0;
	pthread_mutex_unlock(&l->lock);
	if (!is_last)
		return;
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->told);
	config_free(l->config);
	xfree(l);
}

/* No `accepted` comes from this one any more. */
static void
sock_ended(struct sock *s)
{
	struct listener *l = s->listener;

	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->has_ended = true;
	pthread_mutex_lock(&l->lock);
	l->open--;
	pthread_cond_broadcast(&l->told);
	pthread_mutex_unlock(&l->lock);
}

static void
sock_start(void *msg)
{
	struct sock *s = (struct sock *)msg;
	bool is_closing;

	pthread_mutex_lock(&s->listener->lock);
	is_closing = s->listener->is_closing;
	pthread_mutex_unlock(&s->listener->lock);
	if (is_closing) {
		sock_ended(s);
		listener_unref(s->listener);
		return;
	}
	s->is_open = true;
	list_add(&s->loop->socks, &s->node);
	must(uv_poll_init(&s->loop->uv, &s->poll, s->fd) == 0);
	uv_poll_start(&s->poll, UV_READABLE, on_acceptable);
}

static void
on_sock_closed(uv_handle_t *handle)
{
	struct sock *s = CONTAINER_OF(handle, struct sock, poll);

	listener_unref(s->listener);
}

void
sock_close(struct sock *s)
{
	if (!s->is_open)
		return;
	s->is_open = false;
	timer_stop(&s->pause);
	pending_drop_all(s);
	list_del(&s->node);
	uv_close((uv_handle_t *)&s->poll, on_sock_closed);
	sock_ended(s);
}

void
socks_close_all(struct loop *l)
{
	struct sock *s;

	while ((s = LIST_FIRST(&l->socks, struct sock, node)) != NULL)
		sock_close(s);
}

static void
sock_stop(void *msg)
{
	struct sock *s = (struct sock *)msg;

	sock_close(s);
	listener_unref(s->listener);
}

static struct listener *
listener_new(const struct listener_config *config)
{
	unsigned count = loop_count();
	struct listener *l = (struct listener *)xzalloc(
	    sizeof(*l) + count * sizeof(l->socks[0]));

	l->config = config_dup(config);
	l->addr = config->addr;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->told, NULL);
	l->refs = 1;
	l->count = count;
	for (unsigned i = 0; i < count; i++) {
		l->socks[i].listener = l;
		l->socks[i].config = l->config;
		l->socks[i].loop = loop_at(i);
		l->socks[i].fd = -1;
		list_init(&l->socks[i].pending);
	}
	return l;
}

/* All sockets are bound before any loop accepts. */
static void
listener_start(struct listener *l)
{
	l->open = l->count;
	l->refs += l->count;
	pthread_mutex_lock(&all_lock);
	l->next = all;
	all = l;
	pthread_mutex_unlock(&all_lock);
	for (unsigned i = 0; i < l->count; i++)
		loop_post(l->socks[i].loop, sock_start, &l->socks[i]);
}

int
listener_open(struct arena *a, const struct listener_config *config,
    struct listener **listener_r, struct addr *bound_r, const char **why_r)
{
	struct listener *l = listener_new(config);
	int err = sockets_open(l);

	if (err != 0) {
		char ip[ADDR_TEXT_MAX];

		addr_ip(&config->addr, ip);
		*why_r = arena_printf(a, "cannot listen on %s port %u: %s", ip,
		    addr_port(&config->addr), err_text(err));
		for (unsigned i = 0; i < l->count; i++)
			if (l->socks[i].fd >= 0)
				close(l->socks[i].fd);
		listener_unref(l);
		return err;
	}
	if (bound_r != NULL)
		*bound_r = l->addr;
	*listener_r = l;
	listener_start(l);
	return 0;
}

/* Changes ------------------------------------------------------------------ */

static void
sock_change(void *msg)
{
	struct sock *s = (struct sock *)msg;
	struct listener *l = s->listener;

	pending_drop_all(s);
	s->config = l->config;
	pthread_mutex_lock(&l->lock);
	l->changing--;
	pthread_cond_broadcast(&l->told);
	pthread_mutex_unlock(&l->lock);
	listener_unref(l);
}

static void
socks_change(struct listener *l)
{
	pthread_mutex_lock(&l->lock);
	l->changing = l->count;
	l->refs += l->count;
	pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < l->count; i++)
		loop_post(l->socks[i].loop, sock_change, &l->socks[i]);
	pthread_mutex_lock(&l->lock);
	while (l->changing > 0)
		pthread_cond_wait(&l->told, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

void
listener_change(struct listener *l, const struct listener_config *config)
{
	struct listener_config *old = l->config;

	must(loop_self() == NULL);
	l->config = config_dup(config);
	if (loops_are_running())
		socks_change(l);
	else
		for (unsigned i = 0; i < l->count; i++)
			l->socks[i].config = l->config;
	config_free(old);
}

/* End ---------------------------------------------------------------------- */

static void
all_remove(struct listener *l)
{
	struct listener **at = &all;

	pthread_mutex_lock(&all_lock);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	pthread_mutex_unlock(&all_lock);
}

/* The loops do not run: the sockets can be closed from here. */
static void
socks_close_here(struct listener *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		if (l->socks[i].fd >= 0)
			close(l->socks[i].fd);
		l->socks[i].fd = -1;
	}
}

/* Waits for the other loops; a loop's own socket may even not have begun. */
static void
socks_stop(struct listener *l)
{
	struct loop *self = loop_self();
	unsigned left = 0;

	pthread_mutex_lock(&l->lock);
	l->refs += l->count;
	pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < l->count; i++) {
		if (l->socks[i].loop != self) {
			loop_post(l->socks[i].loop, sock_stop, &l->socks[i]);
			continue;
		}
		sock_stop(&l->socks[i]);
		left = l->socks[i].has_ended ? 0 : 1;
	}
	pthread_mutex_lock(&l->lock);
	while (l->open > left)
		pthread_cond_wait(&l->told, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

void
listener_close(struct listener **listener)
{
	struct listener *l = *listener;

	*listener = NULL;
	if (l == NULL)
		return;
	all_remove(l);
	pthread_mutex_lock(&l->lock);
	l->is_closing = true;
	pthread_mutex_unlock(&l->lock);
	if (loops_are_running())
		socks_stop(l);
	else
		socks_close_here(l);
	listener_unref(l);
}
