/* SPDX-License-Identifier: MIT */
/*
 * A line is put together on the caller's stack and handed over with one
 * write. Lines are no longer than PIPE_BUF, so that a pipe takes them whole
 * or, when it is full, not at all: then they are counted and dropped.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/logline.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 8192 /* of a message before it is escaped */

int log_level_now = LOG_LEVEL_INFO;

static const struct {
	const char *name;
	int syslog; /* RFC 5424 severity */
} levels[] = {
	[LOG_LEVEL_NONE] = { "none", 7 },
	[LOG_LEVEL_EMERGENCY] = { "emergency", 0 },
	[LOG_LEVEL_ALERT] = { "alert", 1 },
	[LOG_LEVEL_CRITICAL] = { "critical", 2 },
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_WARNING] = { "warning", 4 },
	[LOG_LEVEL_NOTICE] = { "notice", 5 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

/* The target; under `lock`. */
static struct {
	pthread_mutex_t lock;
	enum { TO_STDERR, TO_SYSLOG, TO_FILE } kind;
	enum log_format format;
	int fd;		/* -1: the syslog socket is not connected */
	bool may_block; /* a pipe, terminal or socket */
	uint64_t lost;	/* lines since the last that was taken */
	char path[PATH_MAX];
} target = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.fd = STDERR_FILENO,
	.may_block = true,
};

void
log_set_level(enum log_level level)
{
	__atomic_store_n(&log_level_now, (int)level, __ATOMIC_RELAXED);
}

bool
log_level_parse(struct str name, enum log_level *level_r)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (str_is(name, levels[i].name)) {
			*level_r = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *
log_level_name(enum log_level level)
{
	return (size_t)level < ARRAY_LEN(levels) ? levels[level].name : "?";
}

void
log_field(struct log_ctx *ctx, const char *name, struct str value)
{
	size_t at = LOG_FIELDS;

	for (size_t i = LOG_FIELDS; i-- > 0;) {
		const char *there = ctx->field[i].name;

		if (there == NULL || strcmp(there, name) == 0)
			at = i;
		if (there != NULL && strcmp(there, name) == 0)
			break;
	}
	if (at == LOG_FIELDS)
		return;
	ctx->field[at].name = str_is_none(value) ? NULL : name;
	ctx->field[at].value = value;
}

/* Opens what `target.path` names; the descriptor, or -errno. */
static int
file_open(const char *path)
{
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, flags, 0640);

	/* cppcheck-suppress resourceLeak; it is the caller's */
	return fd >= 0 ? fd : -errno;
}

static bool
is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int
may_write(const char *path)
{
	return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? 0 : -errno;
}

static int
syslog_open(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX,
		.sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* Is it a pipe, terminal or socket, which may be full? */
static bool
fd_may_block(int fd)
{
	struct stat st;

	return fstat(fd, &st) != 0 || !S_ISREG(st.st_mode);
}

/* Takes over `fd`; under the lock. */
static void
target_set_fd(int fd)
{
	if (target.fd >= 0 && target.fd != STDERR_FILENO)
		close(target.fd);
	target.fd = fd;
	target.may_block = fd_may_block(fd);
}

static bool
is_file_name(const char *name)
{
	return strcmp(name, "stderr") != 0 && strcmp(name, "syslog") != 0;
}

int
log_can_open(const char *name)
{
	const char *base = strrchr(name, '/');
	char folder[sizeof(target.path)];

	if (!is_file_name(name))
		return 0;
	if (strlen(name) >= sizeof(target.path))
		return -ENAMETOOLONG;
	if (faccessat(AT_FDCWD, name, F_OK, AT_EACCESS) == 0)
		return is_folder(name) ? -EISDIR : may_write(name);
	if (base == NULL)
		return may_write(".");
	memcpy(folder, name, (size_t)(base - name) + 1);
	folder[base - name + 1] = '\0';
	return may_write(folder);
}

int
log_open(const char *name, enum log_format format)
{
	bool is_file = is_file_name(name);
	int fd = STDERR_FILENO;

	if (strlen(name) >= sizeof(target.path))
		return -ENAMETOOLONG;
	if (is_file)
		fd = file_open(name);
	else if (strcmp(name, "syslog") == 0)
		fd = syslog_open();
	if (fd < 0)
		return fd;

	pthread_mutex_lock(&target.lock);
	target_set_fd(fd);
	target.format = format;
	target.kind = is_file		    ? TO_FILE
		      : fd == STDERR_FILENO ? TO_STDERR
					    : TO_SYSLOG;
	memcpy(target.path, name, strlen(name) + 1);
	pthread_mutex_unlock(&target.lock);
	return 0;
}

int
log_reopen(void)
{
	int ret = 0;

	pthread_mutex_lock(&target.lock);
	if (target.kind == TO_FILE)
		ret = file_open(target.path);
	else if (target.kind == TO_SYSLOG)
		ret = syslog_open();
	if (ret > 0) {
		target_set_fd(ret);
		ret = 0;
	}
	pthread_mutex_unlock(&target.lock);
	return ret;
}

/* Would a whole line be taken now? */
static bool
target_is_ready(void)
{
	struct pollfd p = { .fd = target.fd, .events = POLLOUT };

	return !target.may_block ||
	       (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0);
}

static bool
target_write(struct str line)
{
	ssize_t n;

	if (!target_is_ready())
		return false;
	do
		n = write(target.fd, line.p, line.n);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)line.n;
}

/* One datagram in the manner of RFC 3164, as the local daemons read it. */
static bool
syslog_write(enum log_level level, struct str line)
{
	char text[LOGLINE_MAX + 64], when[32] = "";
	time_t now = (time_t)(clock_real() / 1000);
	struct tm tm;
	int n, flags = MSG_DONTWAIT | MSG_NOSIGNAL;

	if (localtime_r(&now, &tm) != NULL)
		strftime(when, sizeof(when), "%b %e %T", &tm);
	n = snprintf(text, sizeof(text), "<%d>%s rookeryd[%ld]: " STR_FMT,
	    3 << 3 | levels[level].syslog, when, (long)getpid(), STR_ARG(line));
	n = MIN(n, (int)sizeof(text) - 1);
	if (send(target.fd, text, (size_t)n, flags) == n)
		return true;
	/* The daemon may have been started anew. */
	if (errno == ECONNREFUSED || errno == ENOTCONN || errno == EBADF) {
		int fd = syslog_open();

		if (fd >= 0) {
			target_set_fd(fd);
			return send(fd, text, (size_t)n, flags) == n;
		}
	}
	return false;
}

static struct str
line_make(struct logline *l, enum log_level level, const struct log_ctx *ctx,
    struct str text)
{
	if (target.format == LOG_JSON)
		return logline_json(l, log_level_name(level), ctx, text);
	return logline_text(
	    l, log_level_name(level), ctx, text, target.kind != TO_SYSLOG);
}

static bool
line_write(enum log_level level, struct str line)
{
	if (target.kind == TO_SYSLOG) /* without the newline */
		return syslog_write(level, str_sub(line, 0, line.n - 1));
	return target_write(line);
}

/* Says how many lines were lost, before the first that passes again. */
static bool
report_lost(struct logline *l)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%llu lines of the log were lost",
	    (unsigned long long)target.lost);

	if (!line_write(LOG_LEVEL_WARNING, line_make(l, LOG_LEVEL_WARNING, NULL,
					       str_mem(text, (size_t)n))))
		return false;
	target.lost = 0;
	return true;
}

void
log_write(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...)
{
	char text[TEXT_MAX];
	struct logline line;
	int n, errno_then = errno;
	va_list ap;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = MAX(MIN(n, (int)sizeof(text) - 1), 0);

	pthread_mutex_lock(&target.lock);
	if ((target.lost > 0 && !report_lost(&line)) ||
	    !line_write(
		level, line_make(&line, level, ctx, str_mem(text, (size_t)n))))
		target.lost++;
	pthread_mutex_unlock(&target.lock);
	errno = errno_then;
}
