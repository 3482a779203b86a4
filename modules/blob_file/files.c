/* SPDX-License-Identifier: MIT */
/* Files and folders; on threads that may block. */
#include "modules/blob_file/blob_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "rookery-upload 2"

const char *
file_path(struct arena *a, const char *folder, struct str token)
{
	return arena_printf(
	    a, "%s/%.2s/" STR_FMT, folder, token.p, STR_ARG(token));
}

static int
sync_folder_of(const char *path)
{
	char folder[4096];
	const char *slash = strrchr(path, '/');
	int fd, err;

	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Each folder on the way that is not there; they are durable, too. */
static int
folders_make(const char *path)
{
	char part[4096];

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (const char *p = strchr(path + 1, '/'); p != NULL;
	     p = strchr(p + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (mkdir(part, 0700) == 0)
			sync_folder_of(part);
		else if (errno != EEXIST)
			return -errno;
	}
	return 0;
}

int
file_create(const char *path)
{
	int err = folders_make(path);
	int fd;

	if (err < 0)
		return err;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	/* cppcheck-suppress resourceLeak; it is the caller's */
	return fd < 0 ? -errno : fd;
}

/* Its time of change says when it is to go. */
int
file_publish(int fd, const char *temporary, const char *path, int64_t end)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
		{ .tv_sec = (time_t)(end / 1000),
		    .tv_nsec = end % 1000 * 1000000 } };
	int err = folders_make(path);

	if (err < 0)
		return err;
	if (futimens(fd, times) < 0 || fsync(fd) < 0 ||
	    link(temporary, path) < 0)
		return -errno;
	unlink(temporary);
	return sync_folder_of(path);
}

int
file_remove(const char *path)
{
	if (unlink(path) == 0)
		return sync_folder_of(path);
	return errno == ENOENT ? 0 : -errno;
}

int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

/* Each text on a line of its own; none can hold a line's end. */
bool
page_write(int fd, const struct blob_meta *meta)
{
	char page[PAGE] = { 0 };
	int n = snprintf(page, sizeof(page),
	    MAGIC "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n%llu\n%lld\n",
	    STR_ARG(meta->owner), STR_ARG(meta->name), STR_ARG(meta->type),
	    (unsigned long long)meta->size, (long long)meta->end);

	return n > 0 && n < (int)sizeof(page) &&
	       write(fd, page, sizeof(page)) == (ssize_t)sizeof(page);
}

static bool
page_read(struct arena *a, int fd, struct blob_meta *meta)
{
	char *page = arena_bytes(a, PAGE);
	struct str rest = str_mem(page, PAGE);

	if (pread(fd, page, PAGE, 0) != PAGE ||
	    !str_is(str_cut(&rest, '\n'), MAGIC))
		return false;
	meta->owner = str_cut(&rest, '\n');
	meta->name = str_cut(&rest, '\n');
	meta->type = str_cut(&rest, '\n');
	return str_to_u64(str_cut(&rest, '\n'), &meta->size) &&
	       str_to_i64(str_cut(&rest, '\n'), &meta->end);
}

int
file_open(struct arena *a, const char *path, struct blob_meta *meta_r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int err = -EIO;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    page_read(a, fd, meta_r) &&
	    (uint64_t)st.st_size == meta_r->size + PAGE)
		return fd;
	close(fd);
	return err;
}
