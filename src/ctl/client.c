/* SPDX-License-Identifier: MIT */
/* HTTP/1.0 over the server's socket: a request, and all until the end. */
#include "base/err.h"
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Longer than a command may take. */
#define PATIENCE_S 75
#define REPLY_MAX ((size_t)1 << 30)

/* A long path goes by its open folder, as the server has it. */
static int
make_address(const char *path, struct sockaddr_un *addr, int *dirfd_r)
{
	const char *slash = strrchr(path, '/');
	char dir[4096];
	int n;

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*dirfd_r = -1;
	if (strlen(path) < sizeof(addr->sun_path)) {
		memcpy(addr->sun_path, path, strlen(path));
		return 0;
	}
	if (slash == NULL || slash - path >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - path), path);
	*dirfd_r = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dirfd_r < 0)
		return -errno;
	n = snprintf(addr->sun_path, sizeof(addr->sun_path),
	    "/proc/self/fd/%d/%s", *dirfd_r, slash + 1);
	return n < (int)sizeof(addr->sun_path) ? 0 : -ENAMETOOLONG;
}

/* A connected socket, or -errno. */
static int
open_socket(const char *path)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un addr;
	int dirfd, fd = -1;
	int ret = make_address(path, &addr, &dirfd);

	if (ret == 0) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ret = fd < 0 ? -errno : 0;
	}
	if (ret == 0 &&
	    connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		ret = -errno;
	if (dirfd >= 0)
		close(dirfd);
	if (ret < 0) {
		if (fd >= 0)
			close(fd);
		return ret;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static int
send_all(int fd, struct str bytes)
{
	while (bytes.n > 0) {
		ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes = str_skip(bytes, (size_t)n);
	}
	return 0;
}

static int
receive_all(int fd, struct buf *in)
{
	for (;;) {
		ssize_t n;

		buf_reserve(in, 16384);
		n = recv(fd, in->p + in->n, 16384, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return ERR_TIMEOUT;
		if (n < 0)
			return in->n > 0 ? 0 : -errno;
		if (n == 0)
			return 0;
		in->n += (size_t)n;
		if (in->n > REPLY_MAX)
			return ERR_LIMIT;
	}
}

/*
 * The status line and the headers; the body is what follows them, as much as
 * was promised: a list that ends early would pass for a whole one.
 */
static int
parse_reply(struct str text, struct reply *reply)
{
	struct str line = str_cut(&text, '\n');
	uint64_t n, length = 0;

	str_cut(&line, ' ');
	if (!str_to_u64(str_cut(&line, ' '), &n) || n < 100 || n > 999)
		return ERR_INVALID;
	reply->status = (unsigned)n;
	reply->exit = -1;
	reply->missing = STR_NONE;
	while (!str_is_none(text)) {
		struct str value = str_trim(str_cut(&text, '\n'));
		struct str name = str_cut(&value, ':');

		if (str_is_empty(name)) {
			reply->body = str_is_none(text) ? STR("") : text;
			return reply->body.n < length ? ERR_CLOSED : 0;
		}
		if (str_eq_nocase(name, STR("content-length")) &&
		    !str_to_u64(str_trim(value), &length))
			return ERR_INVALID;
		if (str_eq_nocase(name, STR("status-code")) &&
		    str_to_u64(str_trim(value), &n) && n < 256)
			reply->exit = (int)n;
		if (str_eq_nocase(name, STR("missing-secret")))
			reply->missing = str_trim(value);
	}
	return ERR_INVALID;
}

static struct str
make_request(const struct ctl *ctl, const char *path, struct str body)
{
	return str_printf(ctl->arena,
	    "POST %s%s%s HTTP/1.0\r\n"
	    "Host: localhost\r\n"
	    "Accept: %s\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: %zu\r\n"
	    "\r\n"
	    "%.*s",
	    path, ctl->version != NULL ? "/v" : "",
	    ctl->version != NULL ? ctl->version : "",
	    ctl->wants_json ? "application/json" : "text/plain", body.n,
	    STR_ARG(body));
}

int
client_post(const struct ctl *ctl, const char *path, struct str body,
    struct reply *reply_r)
{
	int fd = open_socket(ctl->socket);
	struct buf in = { 0 };
	int ret;

	if (fd < 0)
		return fd;
	ret = send_all(fd, make_request(ctl, path, body));
	if (ret == 0)
		ret = receive_all(fd, &in);
	close(fd);
	if (ret == 0 && in.n == 0)
		ret = -ECONNRESET;
	if (ret == 0)
		ret = parse_reply(str_dup(ctl->arena, buf_str(&in)), reply_r);
	buf_fini(&in);
	return ret;
}
