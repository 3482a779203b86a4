/* SPDX-License-Identifier: MIT */
/* Connections that we begin. */
#include "base/err.h"
#include "net/conn.h"
#include "net/loop_impl.h"

#include <errno.h>
#include <unistd.h>

struct connecting {
	uv_poll_t poll;
	struct timer timer;
	struct addr to;
	conn_done_fn *done; /* NULL: nobody waits any more */
	void *ctx;
	int fd;
	int err;
	bool is_over;
};

static void
report(struct connecting *k)
{
	conn_done_fn *done = k->done;
	struct conn *c = NULL;
	int fd = k->fd, err = k->err;
	void *ctx = k->ctx;
	struct addr to = k->to;

	xfree(k);
	if (err < 0 || done == NULL) {
		if (fd >= 0)
			close(fd);
	} else {
		c = conn_new(fd, &to);
	}
	if (done != NULL)
		done(ctx, c, err);
}

static void
on_closed(uv_handle_t *handle)
{
	report((struct connecting *)handle->data);
}

/* The handle leaves the descriptor before another one takes it up. */
static void
over(struct connecting *k, int err)
{
	if (k->is_over)
		return;
	k->is_over = true;
	k->err = err;
	timer_stop(&k->timer);
	uv_close((uv_handle_t *)&k->poll, on_closed);
}

static void
on_writable(uv_poll_t *poll, int status, int events)
{
	struct connecting *k = (struct connecting *)poll->data;
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	over(k, err != 0 ? -err : status < 0 ? status : 0);
}

static void
on_timeout(struct timer *t)
{
	over(CONTAINER_OF(t, struct connecting, timer), -ETIMEDOUT);
}

static void
on_no_socket(void *msg)
{
	report((struct connecting *)msg);
}

struct connecting *
conn_connect(
    const struct addr *to, uint64_t timeout_ms, conn_done_fn *done, void *ctx)
{
	struct connecting *k = (struct connecting *)xzalloc(sizeof(*k));
	int family = to->ss.sa.sa_family;

	k->to = *to;
	k->done = done;
	k->ctx = ctx;
	k->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->fd < 0) {
		k->err = -errno;
		k->is_over = true;
		loop_post(loop_self(), on_no_socket, k);
		return k;
	}
	must(uv_poll_init((uv_loop_t *)loop_uv(loop_self()), &k->poll, k->fd) ==
	     0);
	k->poll.data = k;
	if (connect(k->fd, &to->ss.sa, to->len) < 0 && errno != EINPROGRESS) {
		over(k, -errno);
		return k;
	}
	uv_poll_start(&k->poll, UV_WRITABLE, on_writable);
	timer_start(&k->timer, timeout_ms, on_timeout);
	return k;
}

void
conn_connect_stop(struct connecting **k)
{
	struct connecting *gone = *k;

	*k = NULL;
	if (gone == NULL)
		return;
	gone->done = NULL;
	over(gone, ERR_CLOSED);
}
