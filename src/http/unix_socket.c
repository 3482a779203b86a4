/* SPDX-License-Identifier: MIT */
#include "http/unix_socket.h"

#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define BACKLOG 512
#define BATCH 16
/* How long accepting rests when there are no descriptors left. */
#define REST_MS 100

struct unix_socket {
	uv_poll_t poll;
	struct timer rest;
	int fd;
	int dir; /* to remove the file by */
	bool is_started;
	char *name;
	void (*accepted)(void *ctx, int fd);
	void *ctx;
};

/*
 * The address of a name in a folder. The path of a deep folder does not fit in
 * one;
 * then it goes by the open folder, where the system shows those as files.
 */
static int
make_address(
    int dirfd, const char *dir, const char *name, struct sockaddr_un *addr)
{
	int n;

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "%s%s", dir, name);
	if (n < (int)sizeof(addr->sun_path))
		return 0;
	n = snprintf(addr->sun_path, sizeof(addr->sun_path),
	    "/proc/self/fd/%d/%s", dirfd, name);
	return n < (int)sizeof(addr->sun_path) ? 0 : -ENAMETOOLONG;
}

/* The mode is set before the name is there, where the system allows. */
static int
bind_and_listen(
    int fd, int dirfd, const char *name, const struct sockaddr_un *addr)
{
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fchmod(fd, S_IRUSR | S_IWUSR);
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return -errno;
	if (fchmodat(dirfd, name, S_IRUSR | S_IWUSR, 0) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

static int
open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* cppcheck-suppress resourceLeak; it is the caller's */
	return fd < 0 ? -errno : fd;
}

/* The listening socket, or -errno. */
static int
open_socket(int dirfd, const char *dir, const char *name)
{
	struct sockaddr_un addr;
	int fd, ret = make_address(dirfd, dir, name, &addr);

	if (ret < 0)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = bind_and_listen(fd, dirfd, name, &addr);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void
on_rested(struct timer *t)
{
	struct unix_socket *s = CONTAINER_OF(t, struct unix_socket, rest);

	uv_poll_start(&s->poll, UV_READABLE, on_readable);
}

static void
rest(struct unix_socket *s)
{
	uv_poll_stop(&s->poll);
	timer_start(&s->rest, REST_MS, on_rested);
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
	struct unix_socket *s = CONTAINER_OF(poll, struct unix_socket, poll);

	for (int i = 0; i < BATCH; i++) {
		int fd =
		    accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			s->accepted(s->ctx, fd);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			rest(s);
		return;
	}
}

int
unix_socket_new(struct arena *a, const char *path, struct unix_socket **s_r,
    const char **why_r)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	const char *dir =
	    slash != NULL ? arena_printf(a, "%.*s/", (int)(slash - path), path)
			  : "./";
	struct unix_socket *s;
	int dirfd = open_dir(dir);
	int fd = dirfd < 0 ? dirfd : open_socket(dirfd, dir, name);

	if (fd < 0) {
		*why_r =
		    arena_printf(a, "can't open %s: %s", path, err_text(fd));
		if (dirfd >= 0)
			close(dirfd);
		return fd;
	}
	s = (struct unix_socket *)xzalloc(sizeof(*s));
	s->fd = fd;
	s->dir = dirfd;
	s->name = xstrdup(name);
	*s_r = s;
	return 0;
}

void
unix_socket_start(
    struct unix_socket *s, void (*accepted)(void *ctx, int fd), void *ctx)
{
	uv_loop_t *uv = (uv_loop_t *)loop_uv(loop_self());

	s->accepted = accepted;
	s->ctx = ctx;
	s->is_started = true;
	must(uv_poll_init(uv, &s->poll, s->fd) == 0);
	must(uv_poll_start(&s->poll, UV_READABLE, on_readable) == 0);
}

static void
unix_socket_free(struct unix_socket *s)
{
	close(s->fd);
	close(s->dir);
	xfree(s->name);
	xfree(s);
}

static void
on_closed(uv_handle_t *handle)
{
	unix_socket_free(
	    CONTAINER_OF((uv_poll_t *)handle, struct unix_socket, poll));
}

void
unix_socket_close(struct unix_socket **slot)
{
	struct unix_socket *s = *slot;

	if (s == NULL)
		return;
	*slot = NULL;
	unlinkat(s->dir, s->name, 0);
	if (!s->is_started) {
		unix_socket_free(s);
		return;
	}
	timer_stop(&s->rest);
	uv_close((uv_handle_t *)&s->poll, on_closed);
}
