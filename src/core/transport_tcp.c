/* SPDX-License-Identifier: MIT */
/* Streams over TCP, with or without TLS: a thin coat over a conn. */
#include "core/metrics.h"
#include "core/stream.h"

struct tcp_move {
	void (*arrived)(void *ctx);
	void *ctx;
};

struct tcp {
	struct transport base;
	struct conn *conn;
	struct tcp_move *move;
};

static struct tcp *
tcp_of(struct transport *t)
{
	return CONTAINER_OF(t, struct tcp, base);
}

/* The coat is the transport: `base` comes first. */
static struct conn *
conn_of(const struct transport *t)
{
	return ((const struct tcp *)(const void *)t)->conn;
}

static void
on_data(void *ctx, const char *p, size_t n)
{
	struct tcp *t = (struct tcp *)ctx;

	metric_add(METRIC_BYTES_IN, n);
	if (t->base.stream != NULL)
		stream_input(t->base.stream, p, n);
}

static void
on_secured(void *ctx)
{
	struct tcp *t = (struct tcp *)ctx;

	if (t->base.stream != NULL)
		stream_secured(t->base.stream);
}

static void
on_drained(void *ctx)
{
	struct tcp *t = (struct tcp *)ctx;

	if (t->base.stream != NULL)
		stream_drained(t->base.stream);
}

static void
on_closed(void *ctx, int err)
{
	struct tcp *t = (struct tcp *)ctx;

	if (t->base.stream != NULL)
		stream_gone(t->base.stream, err);
	xfree(t);
}

static const struct conn_events events = {
	.data = on_data,
	.secured = on_secured,
	.drained = on_drained,
	.closed = on_closed,
};

static struct buf *
tcp_begin(struct transport *t)
{
	return conn_out(conn_of(t));
}

static void
tcp_end(struct transport *t)
{
	conn_touched(conn_of(t));
}

static void
tcp_send_wire(struct transport *t, struct wire *w)
{
	conn_send_wire(conn_of(t), w);
}

static size_t
tcp_queued(const struct transport *t)
{
	return conn_queued(conn_of(t));
}

static void
tcp_start_tls(struct transport *t)
{
	conn_start_tls(conn_of(t), TLS_C2S);
}

static void
tcp_pause(struct transport *t)
{
	conn_pause(conn_of(t));
}

static void
tcp_resume(struct transport *t)
{
	conn_resume(conn_of(t));
}

static void
tcp_set_rate(struct transport *t, uint32_t bytes_per_s)
{
	conn_set_rate(conn_of(t), bytes_per_s);
}

static void
on_arrived(void *ctx)
{
	struct tcp *t = (struct tcp *)ctx;
	struct tcp_move move = *t->move;

	xfree(t->move);
	t->move = NULL;
	move.arrived(move.ctx);
}

static void
tcp_move(struct transport *base, struct loop *to, void (*arrived)(void *ctx),
    void *ctx)
{
	struct tcp *t = tcp_of(base);

	t->move = (struct tcp_move *)xmalloc(sizeof(*t->move));
	*t->move = (struct tcp_move){ arrived, ctx };
	conn_move(t->conn, to, on_arrived);
}

static void
tcp_close(struct transport *t)
{
	conn_close(conn_of(t));
}

static bool
tcp_is_tls(const struct transport *t)
{
	return conn_is_tls(conn_of(t));
}

static int
tcp_binding(const struct transport *t, enum tls_binding kind, struct arena *a,
    struct str *bytes_r)
{
	return conn_tls_binding(conn_of(t), kind, a, bytes_r);
}

static const struct addr *
tcp_peer(const struct transport *t)
{
	return conn_peer(conn_of(t));
}

static struct conn *
tcp_conn(const struct transport *t)
{
	return conn_of(t);
}

static const struct transport_ops ops = {
	.name = "tcp",
	.can_move = true,
	.begin = tcp_begin,
	.end = tcp_end,
	.send_wire = tcp_send_wire,
	.queued = tcp_queued,
	.start_tls = tcp_start_tls,
	.pause = tcp_pause,
	.resume = tcp_resume,
	.set_rate = tcp_set_rate,
	.move = tcp_move,
	.close = tcp_close,
	.is_tls = tcp_is_tls,
	.binding = tcp_binding,
	.peer = tcp_peer,
	.conn = tcp_conn,
};

struct transport *
transport_tcp(struct conn *c)
{
	struct tcp *t = (struct tcp *)xzalloc(sizeof(*t));

	t->base.ops = &ops;
	t->conn = c;
	conn_set_owner(c, &events, t);
	return &t->base;
}
