/* SPDX-License-Identifier: MIT */
/*
 * A disk with troubles, for tests: preloaded (LD_PRELOAD) into the server, it
 * stands before every write and fsync of a file below FAULT_FOLDER. What it
 * does there is said by a file that the test shares with it, FAULT_CONTROL:
 * see tests/harness/disk.py.
 */
#include "control.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define SHOWN __attribute__((visibility("default")))
/* How the server ends at the call it was not to come back from. */
#define EXIT_STATUS 86
#define STALL_LOOK_NS 1000000

struct control {
	/* The test's: wait while `stall` is not 0; fail with `error`. */
	uint64_t stall, error;
	uint64_t exit_at; /* end at the call of this number, from 1 */
	/* Ours: the calls that came, and those that wait. */
	uint64_t calls, held;
};

static struct control nothing, *control = &nothing;
static const char *folder;
static size_t folder_len;

/* The next of this name: the C library's. */
#define REAL(name) (__extension__(__typeof__(&(name))) dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void
begin(void)
{
	void *p;

	folder = getenv("FAULT_FOLDER");
	if (folder == NULL)
		return;
	folder_len = strlen(folder);
	p = control_map("FAULT_CONTROL", sizeof(*control));
	if (p != NULL)
		control = p;
}

static bool
is_ours(int fd)
{
	char link[32], path[4096];
	ssize_t n;

	if (control == &nothing)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	return n > (ssize_t)folder_len && path[folder_len] == '/' &&
	       memcmp(path, folder, folder_len) == 0;
}

static void
wait_out(void)
{
	struct timespec pause = { 0, STALL_LOOK_NS };

	if (__atomic_load_n(&control->stall, __ATOMIC_ACQUIRE) == 0)
		return;
	__atomic_fetch_add(&control->held, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&control->stall, __ATOMIC_ACQUIRE) != 0)
		nanosleep(&pause, NULL);
	__atomic_fetch_sub(&control->held, 1, __ATOMIC_RELEASE);
}

/*
 * The errno to fail with, or 0. When it is time to end, half of what was to be
 * written is: a disk does not know where a write ends.
 */
static int
trouble(int fd, const void *half, size_t len, off_t at)
{
	uint64_t call;

	if (!is_ours(fd))
		return 0;
	call = __atomic_add_fetch(&control->calls, 1, __ATOMIC_ACQ_REL);
	wait_out();
	if (call == __atomic_load_n(&control->exit_at, __ATOMIC_ACQUIRE)) {
		if (len > 1 && at >= 0 &&
		    REAL(pwrite)(fd, half, len / 2, at) < 0)
			perror("half a write");
		_exit(EXIT_STATUS);
	}
	return (int)__atomic_load_n(&control->error, __ATOMIC_ACQUIRE);
}

static bool
fails(int err)
{
	if (err != 0)
		errno = err;
	return err != 0;
}

SHOWN ssize_t
write(int fd, const void *data, size_t len)
{
	if (fails(trouble(fd, NULL, 0, -1)))
		return -1;
	return REAL(write)(fd, data, len);
}

SHOWN ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	if (fails(trouble(fd, NULL, 0, -1)))
		return -1;
	return REAL(writev)(fd, parts, count);
}

SHOWN ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (fails(trouble(fd, data, len, at)))
		return -1;
	return REAL(pwrite)(fd, data, len, at);
}

SHOWN ssize_t
pwrite64(int fd, const void *data, size_t len, off64_t at)
{
	if (fails(trouble(fd, data, len, at)))
		return -1;
	return REAL(pwrite64)(fd, data, len, at);
}

SHOWN int
ftruncate(int fd, off_t len)
{
	if (fails(trouble(fd, NULL, 0, -1)))
		return -1;
	return REAL(ftruncate)(fd, len);
}

SHOWN int
ftruncate64(int fd, off64_t len)
{
	if (fails(trouble(fd, NULL, 0, -1)))
		return -1;
	return REAL(ftruncate64)(fd, len);
}

SHOWN int
fsync(int fd)
{
	if (fails(trouble(fd, NULL, 0, -1)))
		return -1;
	return REAL(fsync)(fd);
}

SHOWN int
fdatasync(int fd)
{
	if (fails(trouble(fd, NULL, 0, -1)))
		return -1;
	return REAL(fdatasync)(fd);
}
