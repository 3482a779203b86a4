/* SPDX-License-Identifier: MIT */
#include "core/daemon_impl.h"

#include "base/err.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_LEN 32

static int lock_fd = -1;

static int
fail(struct arena *a, const char *path, const char *what, const char **why_r)
{
	int err = -errno;

	*why_r = arena_printf(a, "%s: %s: %s", path, what, err_text(err));
	return err;
}

static int
folder_make(struct arena *a, const char *path, const char **why_r)
{
	struct stat st;
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(a, path, "cannot make data_dir", why_r);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(a, path, "cannot open data_dir", why_r);
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid())
		privilege_give(fd);
	close(fd);
	return 0;
}

/* Says who holds it; only for people, and so not more than it can. */
static void
lock_sign(void)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(lock_fd, 0) < 0 ||
	    pwrite(lock_fd, text, (size_t)n, 0) != n)
		log_debug(&log_daemon, "cannot write to the lock file");
}

int
datadir_open(struct arena *a, const char *path, const char **why_r)
{
	const char *lock = arena_printf(a, "%s/rookery.lock", path);
	int err = folder_make(a, path, why_r);

	if (err < 0)
		return err;
	lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock_fd < 0)
		return fail(a, lock, "cannot open", why_r);
	if (flock(lock_fd, LOCK_EX | LOCK_NB) < 0) {
		*why_r = arena_printf(
		    a, "%s: another server uses this data_dir", path);
		close(lock_fd);
		lock_fd = -1;
		return ERR_EXISTS;
	}
	privilege_give(lock_fd);
	lock_sign();
	return 0;
}

void
datadir_close(void)
{
	if (lock_fd >= 0)
		close(lock_fd);
	lock_fd = -1;
}

/* Whole or not at all: it is written beside, then put in place. */
static int
secret_make(
    struct arena *a, const char *path, struct str *secret_r, const char **why_r)
{
	const char *made = arena_printf(a, "%s.new", path);
	char *bytes = arena_bytes(a, SECRET_LEN);
	int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool is_written;

	if (fd < 0)
		return fail(a, made, "cannot make", why_r);
	random_bytes(bytes, SECRET_LEN);
	is_written =
	    write(fd, bytes, SECRET_LEN) == SECRET_LEN && fsync(fd) == 0;
	if (is_written)
		privilege_give(fd);
	close(fd);
	if (!is_written || rename(made, path) < 0)
		return fail(a, path, "cannot write", why_r);
	*secret_r = str_mem(bytes, SECRET_LEN);
	return 0;
}

int
datadir_secret(
    struct arena *a, const char *dir, struct str *secret_r, const char **why_r)
{
	const char *path = arena_printf(a, "%s/secret", dir);
	char *bytes = arena_bytes(a, SECRET_LEN);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return secret_make(a, path, secret_r, why_r);
	if (fd < 0)
		return fail(a, path, "cannot open", why_r);
	n = read(fd, bytes, SECRET_LEN);
	close(fd);
	if (n != SECRET_LEN) {
		*why_r = arena_printf(a,
		    "%s: is damaged; when it is removed, a new one is made",
		    path);
		return ERR_INVALID;
	}
	*secret_r = str_mem(bytes, SECRET_LEN);
	return 0;
}
