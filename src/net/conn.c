/* SPDX-License-Identifier: MIT */
#include "net/conn.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/conn_impl.h"
#include "net/crowd.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* Reads in one go, before other connections have their turn. */
#define READ_ROUNDS 2
/* The least that a limited connection reads, against tiny reads. */
#define READ_MIN 256
#define PIECES_MAX 64
#define KEEP_PROBES 3
/* How long closing may take to write, and then to hear the peer's end. */
#define CLOSE_MS SECONDS(5)
#define LINGER_MS SECONDS(1)
/* A limited connection may be so far ahead, and goes on when it is less. */
#define BURST_US 2000000u
#define BURST_EASED_US 1750000u

struct conn_move {
	struct loop *to;
	void (*arrived)(void *ctx);
};

static void on_timer(struct timer *t);
static void on_flush(struct deferred *d);
static void on_poll(uv_poll_t *poll, int status, int events);

/* What it waits for -------------------------------------------------------- */

/* While it closes, what comes is read and thrown away. */
static int
conn_wants(const struct conn *c)
{
	int events = 0;

	if (c->flags & (CONN_DEAD | CONN_MOVING))
		return 0;
	if (!(c->flags & CONN_EOF) &&
	    ((c->flags & CONN_CLOSING) ||
		(c->flags & (CONN_OWNED | CONN_HELD)) == CONN_OWNED))
		events |= UV_READABLE;
	if (c->flags & CONN_FULL)
		events |= UV_WRITABLE;
	return events;
}

static void
conn_poll(struct conn *c, int events)
{
	if (events == c->polled)
		return;
	c->polled = (uint8_t)events;
	if (events == 0)
		uv_poll_stop(&c->poll);
	else
		uv_poll_start(&c->poll, events, on_poll);
}

/*
 * Changing what epoll waits for is two system calls. So we only ever add here;
 * on_poll() takes away when an event comes that is not wanted.
 */
void
conn_listen(struct conn *c)
{
	int events = conn_wants(c);

	if (events & ~c->polled)
		conn_poll(c, events);
}

/* Something that kept it from reading is over. */
static void
conn_go_on(struct conn *c)
{
	if (c->flags & (CONN_DEAD | CONN_MOVING))
		return;
	conn_listen(c);
	if (c->tls != NULL && conn_tls_has_kept(c))
		loop_defer(&c->flush, on_flush);
}

/* Life --------------------------------------------------------------------- */

struct conn *
conn_adopt(int fd, const struct addr *peer)
{
	struct loop *l = loop_self();
	struct conn *c = (struct conn *)xzalloc(sizeof(*c));

	must(l != NULL);
	if (l->scratch == NULL)
		l->scratch =
		    (struct conn_scratch *)xzalloc(sizeof(*l->scratch));
	c->loop = l;
	c->fd = fd;
	c->since = loop_now();
	if (peer != NULL)
		c->peer = *peer;
	list_add(&l->conns, &c->node);
	crowd_came();
	must(uv_poll_init(&l->uv, &c->poll, fd) == 0);
	return c;
}

struct conn *
conn_new(int fd, const struct addr *peer)
{
	int on = 1;

	/* Not for Unix sockets; that they refuse is no harm. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	return conn_adopt(fd, peer);
}

static void
conn_gone(struct conn *c)
{
	list_del(&c->node);
	close(c->fd);
	c->fd = -1;
	outq_fini(&c->out);
	if (c->events != NULL)
		c->events->closed(c->ctx, c->err);
	conn_tls_free(c);
	crowd_went(c->loop);
	xfree(c);
}

static void on_arrival(void *msg);

static void
on_poll_closed(uv_handle_t *handle)
{
	struct conn *c = CONTAINER_OF(handle, struct conn, poll);

	if (c->move == NULL) {
		conn_gone(c);
		return;
	}
	list_del(&c->node);
	loop_post(c->move->to, on_arrival, c);
}

static void
conn_stop(struct conn *c)
{
	timer_stop(&c->timer);
	loop_undefer(&c->flush);
	c->polled = 0;
	uv_close((uv_handle_t *)&c->poll, on_poll_closed);
}

void
conn_fail(struct conn *c, int err)
{
	if (c->flags & CONN_DEAD)
		return;
	must(!(c->flags & CONN_MOVING));
	c->flags |= CONN_DEAD;
	c->err = err;
	conn_stop(c);
}

void
conn_set_owner(struct conn *c, const struct conn_events *events, void *ctx)
{
	c->events = events;
	c->ctx = ctx;
	c->flags |= CONN_OWNED;
	conn_listen(c);
}

/* Input -------------------------------------------------------------------- */

/* How many bytes its allowance lets it read now. */
static size_t
read_limit(const struct conn *c)
{
	uint64_t now, ahead;
	size_t limit;

	if (c->rate == 0 || (c->flags & CONN_CLOSING))
		return SCRATCH_IN;
	now = loop_now() * 1000;
	ahead = c->full_at > now ? c->full_at - now : 0;
	limit = ahead < BURST_US
		    ? (size_t)((BURST_US - ahead) * c->rate / 1000000)
		    : 0;
	return MIN(MAX(limit, READ_MIN), SCRATCH_IN);
}

void
conn_slow(struct conn *c, uint64_t ms)
{
	c->flags |= CONN_SLOWED;
	timer_start(&c->timer, ms, on_timer);
}

static void
conn_count(struct conn *c, size_t n)
{
	uint64_t now;

	if (c->rate == 0 || (c->flags & CONN_CLOSING))
		return;
	now = loop_now() * 1000;
	c->full_at = MAX(c->full_at, now) + n * UINT64_C(1000000) / c->rate;
	if (c->full_at - now <= BURST_US)
		return;
	conn_slow(c, (c->full_at - now - BURST_EASED_US) / 1000);
}

void
conn_set_rate(struct conn *c, uint32_t bytes_per_s)
{
	c->rate = bytes_per_s;
	c->full_at = 0;
	if (c->flags & CONN_SLOWED) {
		c->flags &= (uint16_t)~CONN_SLOWED;
		timer_stop(&c->timer);
		conn_go_on(c);
	}
}

void
conn_set_patience(struct conn *c, uint64_t ms)
{
	int s = (int)MAX(ms / 1000, 1);
	int probe = MAX(s / KEEP_PROBES, 1);
	const int values[][2] = { { TCP_USER_TIMEOUT, (int)ms },
		{ TCP_KEEPIDLE, s }, { TCP_KEEPINTVL, probe },
		{ TCP_KEEPCNT, KEEP_PROBES } };

	/* Where a kernel lacks one, we do without. */
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		(void)setsockopt(c->fd, IPPROTO_TCP, values[i][0],
		    &values[i][1], sizeof(values[i][1]));
}

void
conn_input(struct conn *c, const char *p, size_t n)
{
	if (c->flags & CONN_CLOSING)
		return;
	if (c->tls != NULL)
		conn_tls_input(c, p, n);
	else
		c->events->data(c->ctx, p, n);
}

void
conn_deliver(struct conn *c, const char *p, size_t n)
{
	if (!(c->flags & (CONN_CLOSING | CONN_DEAD)))
		c->events->data(c->ctx, p, n);
}

/* What is queued still goes out, as far as it can within the bound. */
void
conn_eof(struct conn *c)
{
	if (c->flags & (CONN_DEAD | CONN_EOF))
		return;
	c->flags |= CONN_EOF;
	if (c->flags & CONN_FIN)
		conn_fail(c, 0);
	else if (!(c->flags & CONN_MOVING))
		conn_close(c);
}

static void
conn_stall(struct conn *c)
{
	c->flags |= CONN_STALLED;
	list_del(&c->node);
	list_add(&c->loop->stalled, &c->node);
}

static void
conn_read(struct conn *c)
{
	char *in = c->loop->scratch->in;

	if (!(c->flags & CONN_CLOSING) && loops_are_congested())
		conn_stall(c);
	for (int i = 0; i < READ_ROUNDS; i++) {
		size_t want = read_limit(c);
		ssize_t n;

		if (!(conn_wants(c) & UV_READABLE))
			return;
		n = recv(c->fd, in, want, 0);
		if (n == 0) {
			conn_eof(c);
			return;
		}
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				conn_fail(c, -errno);
			return;
		}
		conn_count(c, (size_t)n);
		conn_input(c, in, (size_t)n);
		if ((size_t)n < want)
			return;
	}
}

void
conns_unstall(struct loop *l)
{
	struct conn *c;

	while ((c = LIST_FIRST(&l->stalled, struct conn, node)) != NULL) {
		list_del(&c->node);
		list_add(&l->conns, &c->node);
		c->flags &= (uint16_t)~CONN_STALLED;
		conn_go_on(c);
	}
}

void
conn_pause(struct conn *c)
{
	c->flags |= CONN_PAUSED;
}

void
conn_resume(struct conn *c)
{
	c->flags &= (uint16_t)~CONN_PAUSED;
	conn_go_on(c);
}

/* Output ------------------------------------------------------------------- */

struct buf *
conn_out(struct conn *c)
{
	must(!(c->flags & CONN_MOVING));
	if (c->flags & (CONN_CLOSING | CONN_DEAD)) {
		struct buf *junk = &c->loop->scratch->junk;

		if (junk->cap > SCRATCH_IN)
			buf_fini(junk);
		buf_clear(junk);
		return junk;
	}
	return outq_buf(&c->out);
}

void
conn_touched(struct conn *c)
{
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	if (outq_size(&c->out) > CONN_HIGH_MARK)
		c->flags |= CONN_HIGH;
	if (!(c->flags & CONN_FULL))
		loop_defer(&c->flush, on_flush);
}

void
conn_send(struct conn *c, struct str bytes)
{
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	buf_add_str(conn_out(c), bytes);
	conn_touched(c);
}

void
conn_send_wire(struct conn *c, struct wire *w)
{
	must(!(c->flags & CONN_MOVING));
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	outq_wire(&c->out, w);
	conn_touched(c);
}

size_t
conn_queued(const struct conn *c)
{
	return outq_size(&c->out) + (c->tls != NULL ? conn_tls_queued(c) : 0);
}

static ssize_t
conn_wrote(struct conn *c, ssize_t n, size_t total)
{
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
			conn_fail(c, -errno);
			return -1;
		}
		n = 0;
	}
	if ((size_t)n < total)
		c->flags |= CONN_FULL;
	return n;
}

ssize_t
conn_write(struct conn *c, const char *p, size_t n)
{
	return conn_wrote(c, send(c->fd, p, n, MSG_NOSIGNAL), n);
}

static void
conn_plain_flush(struct conn *c)
{
	struct iovec pieces[PIECES_MAX];
	struct msghdr msg = { .msg_iov = pieces };

	while (!(c->flags & (CONN_FULL | CONN_DEAD)) && outq_size(&c->out)) {
		size_t total = 0;
		ssize_t n;
		int count = outq_pieces(&c->out, pieces, PIECES_MAX);

		for (int i = 0; i < count; i++)
			total += pieces[i].iov_len;
		msg.msg_iovlen = (size_t)count;
		n = count == 1 ? send(c->fd, pieces[0].iov_base,
				     pieces[0].iov_len, MSG_NOSIGNAL)
			       : sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		n = conn_wrote(c, n, total);
		if (n > 0)
			outq_drop(&c->out, (size_t)n);
	}
}

/* All is out: say so, and wait a little for the peer to say the same. */
static void
conn_finish(struct conn *c)
{
	if (c->tls != NULL) {
		conn_tls_end(c);
		if ((c->flags & CONN_DEAD) || conn_tls_queued(c) > 0)
			return;
	}
	if (c->flags & CONN_EOF) {
		conn_fail(c, 0);
		return;
	}
	c->flags |= CONN_FIN;
	shutdown(c->fd, SHUT_WR);
	timer_start(&c->timer, LINGER_MS, on_timer);
}

static void
conn_flush(struct conn *c)
{
	if (c->tls != NULL)
		conn_tls_flush(c);
	else
		conn_plain_flush(c);
	if (c->flags & CONN_DEAD)
		return;

	if ((c->flags & (CONN_CLOSING | CONN_FIN)) == CONN_CLOSING &&
	    !(c->flags & CONN_FULL))
		conn_finish(c);
	if ((c->flags & (CONN_HIGH | CONN_CLOSING)) == CONN_HIGH &&
	    conn_queued(c) < CONN_HIGH_MARK / 2) {
		c->flags &= (uint16_t)~CONN_HIGH;
		if (c->events->drained != NULL)
			c->events->drained(c->ctx);
	}
}

static void
on_flush(struct deferred *d)
{
	struct conn *c = CONTAINER_OF(d, struct conn, flush);

	if (c->flags & (CONN_DEAD | CONN_MOVING))
		return;
	if (c->tls != NULL)
		conn_tls_go_on(c);
	if (!(c->flags & (CONN_DEAD | CONN_MOVING | CONN_FULL)))
		conn_flush(c);
	conn_listen(c);
}

/* Events ------------------------------------------------------------------- */

/* libuv stops the handle when the socket has an error: read what it is. */
static void
conn_error(struct conn *c)
{
	int err = 0;
	socklen_t n = sizeof(err);

	c->polled = 0;
	conn_read(c);
	if (c->flags & (CONN_DEAD | CONN_MOVING))
		return;
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n);
	conn_fail(c, err != 0 ? -err : ERR_CLOSED);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct conn *c = CONTAINER_OF(poll, struct conn, poll);

	if (status < 0) {
		conn_error(c);
		return;
	}
	if (events & UV_WRITABLE) {
		c->flags &= (uint16_t)~CONN_FULL;
		conn_flush(c);
	}
	if (events & UV_READABLE)
		conn_read(c);
	if (!(c->flags & (CONN_DEAD | CONN_MOVING)))
		conn_poll(c, conn_wants(c));
}

static void
on_timer(struct timer *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, timer);

	if (c->flags & CONN_CLOSING) {
		conn_fail(c, c->flags & CONN_FIN ? 0 : ERR_TIMEOUT);
		return;
	}
	c->flags &= (uint16_t)~CONN_SLOWED;
	conn_go_on(c);
}

/* Ends --------------------------------------------------------------------- */

void
conn_close(struct conn *c)
{
	must(!(c->flags & CONN_MOVING));
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	c->flags |= CONN_CLOSING;
	c->flags &= (uint16_t)~CONN_SLOWED;
	timer_start(&c->timer, CLOSE_MS, on_timer);
	loop_defer(&c->flush, on_flush);
}

void
conn_abort(struct conn *c)
{
	conn_fail(c, ERR_CLOSED);
}

void
conn_abort_all(void)
{
	struct loop *l = loop_self();
	struct conn *c;

	LIST_EACH(c, &l->conns, struct conn, node)
	if (!(c->flags & CONN_MOVING))
		conn_fail(c, ERR_CLOSED);
	LIST_EACH(c, &l->stalled, struct conn, node)
	if (!(c->flags & CONN_MOVING))
		conn_fail(c, ERR_CLOSED);
}

void
conns_thread_done(struct loop *l)
{
	outq_thread_done();
	if (l->scratch == NULL)
		return;
	buf_fini(&l->scratch->sealed);
	buf_fini(&l->scratch->junk);
	xfree(l->scratch);
	l->scratch = NULL;
}

void
conn_start_tls(struct conn *c, enum tls_role role)
{
	must(!(c->flags & CONN_MOVING) && c->tls == NULL);
	if (!(c->flags & (CONN_CLOSING | CONN_DEAD)))
		conn_tls_start(c, role, false);
}

/* Moves -------------------------------------------------------------------- */

void
conn_move(struct conn *c, struct loop *to, void (*arrived)(void *ctx))
{
	struct conn_move *move = (struct conn_move *)xmalloc(sizeof(*move));

	must(!(c->flags & CONN_MOVING) && c->loop == loop_self());
	*move = (struct conn_move){ to, arrived };
	c->move = move;
	c->flags |= CONN_MOVING;
	/* A dead one has begun to stop; it is told of at the other end. */
	if (!(c->flags & CONN_DEAD))
		conn_stop(c);
}

/* It was about to do what conn_stop() has put an end to. */
static void
conn_settle(struct conn *c)
{
	c->flags &= (uint16_t)~CONN_STALLED;
	if (c->flags & CONN_CLOSING)
		timer_start(&c->timer, CLOSE_MS, on_timer);
	else if (c->flags & CONN_EOF)
		conn_close(c);
	else if (c->flags & CONN_SLOWED)
		timer_start(&c->timer, 1, on_timer);
	loop_defer(&c->flush, on_flush);
	conn_listen(c);
}

static void
on_arrival(void *msg)
{
	struct conn *c = (struct conn *)msg;
	struct conn_move move = *c->move;
	bool was_dead = c->flags & CONN_DEAD;

	xfree(c->move);
	c->move = NULL;
	c->loop = move.to;
	c->flags &= (uint16_t)~CONN_MOVING;
	if (c->loop->scratch == NULL)
		c->loop->scratch =
		    (struct conn_scratch *)xzalloc(sizeof(*c->loop->scratch));
	list_add(&c->loop->conns, &c->node);
	if (was_dead) {
		move.arrived(c->ctx);
		conn_gone(c);
		return;
	}
	must(uv_poll_init(&c->loop->uv, &c->poll, c->fd) == 0);
	conn_settle(c);
	move.arrived(c->ctx);
}

/* What is known of it ------------------------------------------------------ */

const struct addr *
conn_peer(const struct conn *c)
{
	return &c->peer;
}

uint64_t
conn_since(const struct conn *c)
{
	return c->since;
}

/* Seldom asked for, so not kept; valid until the thread asks again. */
const struct addr *
conn_local(const struct conn *c)
{
	static _Thread_local struct addr local;

	memset(&local, 0, sizeof(local));
	local.len = sizeof(local.ss);
	if (getsockname(c->fd, &local.ss.sa, &local.len) != 0 ||
	    (local.ss.sa.sa_family != AF_INET &&
		local.ss.sa.sa_family != AF_INET6))
		local.len = 0;
	return &local;
}
