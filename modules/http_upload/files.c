/* SPDX-License-Identifier: MIT */
/* Files and folders of uploads; on threads that may block. */
#include "modules/http_upload/upload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "rookery-upload 2"
#define LOOK_MS HOURS(1)
/* No upload takes that long. */
#define UNFINISHED_MS DAYS(2)

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

void
file_remove(const char *path)
{
	if (unlink(path) == 0)
		sync_folder_of(path);
}

/* Each text on a line of its own; none can hold a line's end. */
bool
page_write(int fd, const struct slot *s, int64_t end)
{
	char page[PAGE] = { 0 };
	int n = snprintf(page, sizeof(page),
	    MAGIC "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n%llu\n%lld\n",
	    STR_ARG(s->owner), STR_ARG(s->name), STR_ARG(s->type),
	    (unsigned long long)s->size, (long long)end);

	return n > 0 && n < (int)sizeof(page) &&
	       write(fd, page, sizeof(page)) == (ssize_t)sizeof(page);
}

static bool
page_read(struct arena *a, int fd, struct slot *s, int64_t *end_r)
{
	char *page = arena_bytes(a, PAGE);
	struct str rest = str_mem(page, PAGE);

	if (pread(fd, page, PAGE, 0) != PAGE ||
	    !str_is(str_cut(&rest, '\n'), MAGIC))
		return false;
	s->owner = str_cut(&rest, '\n');
	s->name = str_cut(&rest, '\n');
	s->type = str_cut(&rest, '\n');
	return str_to_u64(str_cut(&rest, '\n'), &s->size) &&
	       str_to_i64(str_cut(&rest, '\n'), end_r);
}

int
file_open(struct arena *a, const char *path, struct slot *s, int64_t *end_r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    page_read(a, fd, s, end_r) &&
	    (uint64_t)st.st_size == s->size + PAGE)
		return fd;
	close(fd);
	return -EIO;
}

/* Expiry ------------------------------------------------------------------*/

struct sweep {
	struct mod *mod;
	char *folder;
	int64_t now;
	unsigned removed;
};

static bool
is_over(const struct stat *st, int64_t before)
{
	return S_ISREG(st->st_mode) && (int64_t)st->st_mtim.tv_sec * 1000 +
					       st->st_mtim.tv_nsec / 1000000 <
					   before;
}

/* A folder of files. */
static void
sweep_files(struct sweep *s, const char *folder, int64_t before)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	struct stat st;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' &&
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			0 &&
		    is_over(&st, before) &&
		    unlinkat(dirfd(dir), e->d_name, 0) == 0)
			s->removed++;
	if (dir != NULL)
		closedir(dir);
}

static void
sweep_work(void *arg)
{
	struct sweep *s = arg;
	DIR *dir = opendir(s->folder);
	struct dirent *e;
	char path[4096];

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", s->folder,
			e->d_name) < (int)sizeof(path))
			sweep_files(s, path,
			    strcmp(e->d_name, "tmp") == 0
				? s->now - (int64_t)UNFINISHED_MS
				: s->now);
	}
	if (dir != NULL)
		closedir(dir);
}

static void
sweep_done(void *arg)
{
	struct sweep *s = arg;
	struct upload *u = mod_state(s->mod);

	if (s->removed > 0)
		log_info(mod_log(s->mod), "removed %u old files", s->removed);
	u->is_expiring = false;
	xfree(s->folder);
	xfree(s);
}

static void
on_expiry(struct timer *t)
{
	struct upload *u = CONTAINER_OF(t, struct upload, expiry);
	const struct upload_options *o = mod_options(u->mod);
	struct arena *a = arena_new(0);
	struct sweep *s;

	timer_start(t, MIN(o->keep_ms / 2 + 1, LOOK_MS), on_expiry);
	index_prune(u->mod);
	if (!u->is_expiring) {
		s = (struct sweep *)xzalloc(sizeof(*s));
		s->mod = u->mod;
		s->folder = xstrdup(host_folder(a, mod_host(u->mod), KIND));
		s->now = clock_real();
		u->is_expiring = true;
		loop_work(sweep_work, sweep_done, s);
	}
	arena_free(&a);
}

void
expiry_start(struct mod *m)
{
	struct upload *u = mod_state(m);
	const struct upload_options *o = mod_options(m);

	if (loop_index(loop_self()) == 0)
		timer_start(
		    &u->expiry, MIN(o->keep_ms / 2 + 1, LOOK_MS), on_expiry);
}
