/* SPDX-License-Identifier: MIT */
/* Removes files that are past their end, and what never came to one. */
#include "modules/blob_file/blob_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing takes that long to come. */
#define UNFINISHED_MS DAYS(2)

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
	struct files *f = mod_state(s->mod);

	if (s->removed > 0)
		log_info(mod_log(s->mod), "removed %u old files", s->removed);
	f->is_expiring = false;
	xfree(s->folder);
	xfree(s);
}

void
files_expire(struct mod *m)
{
	struct files *f = mod_state(m);
	struct arena *a;
	struct sweep *s;

	if (f->is_expiring)
		return;
	a = arena_new(0);
	s = (struct sweep *)xzalloc(sizeof(*s));
	s->mod = m;
	s->folder = xstrdup(host_folder(a, mod_host(m), KIND));
	s->now = clock_real();
	f->is_expiring = true;
	loop_work(sweep_work, sweep_done, s);
	arena_free(&a);
}
