/* SPDX-License-Identifier: MIT */
/*
 * New connections whose PROXY header, TLS handshake or first byte is awaited,
 * within the listener's deadline. The owner hears of a connection when all that
 * is done.
 */
#include "base/err.h"
#include "net/conn_impl.h"
#include "net/listener_impl.h"
#include "net/proxy.h"

struct pending {
	struct list node; /* in its sock's list; unlinked once that is closed */
	struct sock *sock;
	struct conn *c;
	struct timer deadline;
	size_t n;
	char header[PROXY_HEADER_MAX]; /* what came of it */
};

static void
pending_free(struct pending *p)
{
	timer_stop(&p->deadline);
	list_del(&p->node);
	xfree(p);
}

static void
on_closed(void *ctx, int err)
{
	pending_free((struct pending *)ctx);
}

static void
on_deadline(struct timer *t)
{
	conn_fail(CONTAINER_OF(t, struct pending, deadline)->c, ERR_TIMEOUT);
}

/* It must have an owner then, and may not have left for another loop yet. */
static void
sock_accepted(struct sock *s, struct conn *c)
{
	const struct listener_config *config = s->config;

	c->events = NULL;
	config->accepted(config->ctx, c);
	must(c->events != NULL && !(c->flags & CONN_MOVING));
}

/* The owner's from now on. */
static void
pending_done(struct pending *p)
{
	struct sock *s = p->sock;
	struct conn *c = p->c;

	pending_free(p);
	sock_accepted(s, c);
}

/* Sorting ------------------------------------------------------------------ */

/* What each handshake of TLS begins with. */
#define TLS_FIRST 0x16

static void pending_tls(struct pending *p);

static void
pending_sorted(struct pending *p, const char *bytes, size_t n)
{
	const struct listener_config *config = p->sock->config;
	struct conn *c = p->c;

	pending_free(p);
	c->events = NULL;
	config->sorted(config->ctx, c, bytes[0]);
	must(c->events != NULL && !(c->flags & CONN_MOVING));
	conn_deliver(c, bytes, n);
}

static void
on_first(void *ctx, const char *bytes, size_t n)
{
	struct pending *p = (struct pending *)ctx;
	struct conn *c = p->c;

	if (n == 0)
		return;
	if (c->tls != NULL || bytes[0] != TLS_FIRST) {
		pending_sorted(p, bytes, n);
		return;
	}
	pending_tls(p);
	if (!(c->flags & CONN_DEAD))
		conn_input(c, bytes, n);
}

static const struct conn_events sort_events = {
	.data = on_first,
	.closed = on_closed,
};

/* Nothing stands before what the peer says: who is to hear it? */
static void
pending_clear(struct pending *p)
{
	if (p->sock->config->sorted != NULL)
		conn_set_owner(p->c, &sort_events, p);
	else
		pending_done(p);
}

/* TLS ---------------------------------------------------------------------- */

static void
on_early_data(void *ctx, const char *p, size_t n)
{
	/* `secured` comes before any data. */
	must(n == 0);
}

static void
on_secured(void *ctx)
{
	pending_clear((struct pending *)ctx);
}

static const struct conn_events tls_events = {
	.data = on_early_data,
	.secured = on_secured,
	.closed = on_closed,
};

static void
pending_tls(struct pending *p)
{
	conn_set_owner(p->c, &tls_events, p);
	conn_tls_start(p->c, p->sock->config->role, true);
}

/* PROXY -------------------------------------------------------------------- */

/* The header is read: `rest` came with it and is for who comes next. */
static void
header_done(struct pending *p, const struct addr *src, struct str rest)
{
	struct conn *c = p->c;

	if (src->len > 0)
		c->peer = *src;
	if (p->sock->config->is_direct_tls)
		pending_tls(p);
	else
		pending_clear(p);
	if (rest.n > 0 && !(c->flags & CONN_DEAD))
		conn_input(c, rest.p, rest.n);
}

static void
on_header(void *ctx, const char *bytes, size_t n)
{
	struct pending *p = (struct pending *)ctx;
	size_t had = p->n, part = MIN(n, sizeof(p->header) - p->n);
	struct addr src;
	int len;

	memcpy(p->header + p->n, bytes, part);
	p->n += part;
	len = proxy_parse(p->header, p->n, &src);
	if (len > 0)
		header_done(
		    p, &src, str_skip(str_mem(bytes, n), (size_t)len - had));
	else if (len < 0 || p->n == sizeof(p->header))
		conn_fail(p->c, ERR_INVALID);
}

static const struct conn_events proxy_events = {
	.data = on_header,
	.closed = on_closed,
};

static bool
is_proxied(const struct listener_config *config, const struct addr *peer)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		if (addr_in_net(peer, &config->proxies[i]))
			return true;
	return false;
}

void
pending_start(struct sock *s, struct conn *c)
{
	const struct listener_config *config = s->config;
	bool has_header = is_proxied(config, &c->peer);
	struct pending *p;

	if (!has_header && !config->is_direct_tls && config->sorted == NULL) {
		sock_accepted(s, c);
		return;
	}
	p = (struct pending *)xzalloc(sizeof(*p));
	p->sock = s;
	p->c = c;
	list_add(&s->pending, &p->node);
	timer_start(&p->deadline, config->deadline_ms, on_deadline);
	if (has_header)
		conn_set_owner(c, &proxy_events, p);
	else if (config->is_direct_tls)
		pending_tls(p);
	else
		pending_clear(p);
}

void
pending_drop_all(struct sock *s)
{
	struct pending *p;

	while ((p = LIST_FIRST(&s->pending, struct pending, node)) != NULL) {
		list_del(&p->node);
		conn_fail(p->c, ERR_CLOSED);
	}
}
