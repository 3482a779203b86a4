/* SPDX-License-Identifier: MIT */
/* The admin socket. */
#include "base/err.h"
#include "core/daemon.h"
#include "http/request.h"
#include "http/unix_socket.h"
#include "net/loop.h"

static struct unix_socket *admin_socket;

static void
on_accepted(void *ctx, int fd)
{
	web_new(conn_new(fd, NULL), true);
}

/* On every loop; the first is ours. */
static void
on_open(void *arg)
{
	if (loop_index(loop_self()) == 0)
		unix_socket_start(admin_socket, on_accepted, NULL);
}

static void
on_close(void *arg)
{
	if (loop_index(loop_self()) == 0)
		unix_socket_close(&admin_socket);
}

int
http_open(struct arena *a, const char *path, const char **why_r)
{
	int err = unix_socket_new(a, path, &admin_socket, why_r);

	if (err == 0)
		loops_call(on_open, NULL);
	return err;
}

/* What is being answered goes on until the loops end. */
void
http_close(void)
{
	loops_call(on_close, NULL);
}
