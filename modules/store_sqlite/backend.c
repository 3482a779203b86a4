/* SPDX-License-Identifier: MIT */
/* Opening, closing and backing up; taking requests from the loops. */
#include "modules/store_sqlite/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOPS_MAX 1024

/* What a loop's turn has asked so far. */
struct batch {
	struct deferred deferred;
	struct list writes, reads;
};

/* Each touched by its loop alone, and by close when all have ended. */
static struct batch *batches[LOOPS_MAX];
static char *db_path;
static int lock_fd = -1;

/* ---- opening and closing ----------------------------------------------- */

/* Makes the folders above a file that are not there. */
static int
folders_make(struct arena *a, const char *path, const char **why_r)
{
	char *p = arena_bytes(a, strlen(path) + 1);

	memcpy(p, path, strlen(path) + 1);
	for (char *s = strchr(p + 1, '/'); s != NULL; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (mkdir(p, 0700) < 0 && errno != EEXIST) {
			int err = -errno;

			*why_r =
			    arena_printf(a, "folder %s: %s", p, err_text(err));
			return err;
		}
		*s = '/';
	}
	return 0;
}

static const char *
path_of(struct arena *a, const struct store_config *config)
{
	const char *path = config->path, *dir = config->data_dir;

	if (path == NULL || *path == '\0')
		path = "rookery.db";
	if (*path == '/' || dir == NULL || *dir == '\0')
		return path;
	return arena_printf(a, "%s/%s", dir, path);
}

/*
 * One process at a time, as the writer counts on being alone. Not on the
 * database itself: SQLite has locks of its own there.
 */
static int
lock_take(struct arena *a, const char *path, const char **why_r)
{
	const char *name = arena_printf(a, "%s-lock", path);
	int err = 0;

	lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock_fd < 0) {
		err = -errno;
		*why_r =
		    arena_printf(a, "database %s: %s", path, err_text(err));
	} else if (flock(lock_fd, LOCK_EX | LOCK_NB) < 0) {
		err = -errno;
		*why_r = arena_printf(a, "database %s: %s", path,
		    errno == EWOULDBLOCK ? "another process is using it"
					 : err_text(err));
	}
	return err;
}

static void
lock_drop(void)
{
	if (lock_fd >= 0)
		close(lock_fd);
	lock_fd = -1;
}

static int
migrate(struct db *db, struct arena *a, const char **why_r)
{
	int err = schema_migrate(db->h, SCHEMA_VERSION, a, why_r);

	if (err < 0)
		return err;
	err = archive_state(db);
	if (err == 0)
		err = tail_load(db);
	if (err < 0)
		*why_r = arena_printf(a, "database %s: %s",
		    sqlite3_db_filename(db->h, "main"), sqlite3_errmsg(db->h));
	return err;
}

static int
backend_open(
    struct arena *a, const struct store_config *config, const char **why_r)
{
	const char *path = path_of(a, config);
	struct db db;
	int err;

	/* Its count of memory in use is a lock that all threads share. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	err = folders_make(a, path, why_r);
	if (err == 0)
		err = lock_take(a, path, why_r);
	if (err == 0)
		err = db_open(&db, path, true, a, why_r);
	if (err == 0) {
		err = migrate(&db, a, why_r);
		if (err < 0)
			db_close(&db);
	}
	if (err < 0) {
		lock_drop();
		return err;
	}

	db_path = xstrdup(path);
	readers_start(path);
	writer_start(&db, path);
	return 0;
}

static void
backend_close(void)
{
	for (size_t i = 0; i < LOOPS_MAX; i++) {
		struct batch *b = batches[i];

		if (b == NULL)
			continue;
		writer_push(&b->writes);
		readers_push(&b->reads);
		xfree(b);
		batches[i] = NULL;
	}
	writer_stop();
	readers_stop();
	lock_drop();
	xfree(db_path);
	db_path = NULL;
}

/* ---- requests ---------------------------------------------------------- */

static void
on_turn_end(struct deferred *d)
{
	struct batch *b = CONTAINER_OF(d, struct batch, deferred);

	if (!list_is_empty(&b->writes))
		writer_push(&b->writes);
	if (!list_is_empty(&b->reads))
		readers_push(&b->reads);
}

static struct batch *
batch_of(const struct loop *loop)
{
	unsigned i = loop_index(loop);
	struct batch *b;

	must(i < LOOPS_MAX);
	b = batches[i];
	if (b == NULL) {
		b = batches[i] = xzalloc(sizeof(*b));
		list_init(&b->writes);
		list_init(&b->reads);
	}
	return b;
}

bool
is_archive_read(const struct store_req *req)
{
	return req->op == STORE_ARCHIVE_FIND || req->op == STORE_ARCHIVE_ENDS ||
	       req->op == STORE_ARCHIVE_COUNT;
}

/*
 * The writer keeps the indices: that of words, and those that may not have
 * the newest rows yet.
 */
static bool
is_for_writer(const struct store_req *req)
{
	return req->op == STORE_WRITE || req->op == STORE_ARCHIVE_EXPIRE ||
	       req->is_behind || !str_is_empty(req->filter.text) ||
	       (is_archive_read(req) && tail_has(req->owner));
}

static void
backend_submit(struct store_req *req)
{
	struct batch *b = batch_of(req->loop);

	list_add(is_for_writer(req) ? &b->writes : &b->reads, &req->node);
	loop_defer(&b->deferred, on_turn_end);
}

/* ---- backup ------------------------------------------------------------ */

/* In one step, from one snapshot; the writer goes on meanwhile. */
static int
copy_run(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");

	if (b == NULL)
		return sqlite3_errcode(to);
	sqlite3_backup_step(b, -1);
	return sqlite3_backup_finish(b);
}

static int
copy_make(
    struct db *from, const char *path, struct arena *a, const char **why_r)
{
	sqlite3 *to = NULL;
	int rc;

	rc = sqlite3_open_v2(
	    path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(
		    to, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = copy_run(from->h, to);
	/* So that the copy is one file. */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(
		    to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		*why_r =
		    arena_printf(a, "backup %s: %s", path, sqlite3_errmsg(to));
	sqlite3_close(to);
	return rc == SQLITE_OK ? 0 : ERR_STORE;
}

static bool
is_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 &&
	       sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static int
fail_errno(struct arena *a, const char *path, const char **why_r)
{
	int err = -errno;

	*why_r = arena_printf(a, "backup %s: %s", path, err_text(err));
	return err;
}

/* Under another name first: a copy that is there is whole. */
static int
backend_backup(struct arena *a, const char *path, const char **why_r)
{
	const char *part = arena_printf(a, "%s.part", path);
	struct db from;
	int fd, err;

	if (is_same_file(path, db_path)) {
		*why_r = arena_printf(
		    a, "backup %s: this is the database itself", path);
		return ERR_INVALID;
	}
	unlink(part);
	fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_errno(a, part, why_r);
	close(fd);

	err = db_open(&from, db_path, false, a, why_r);
	if (err == 0) {
		err = copy_make(&from, part, a, why_r);
		db_close(&from);
	}
	if (err == 0 && rename(part, path) < 0)
		err = fail_errno(a, path, why_r);
	if (err < 0)
		unlink(part);
	return err;
}

const struct store_backend sqlite_backend = {
	.name = "sqlite",
	.open = backend_open,
	.close = backend_close,
	.submit = backend_submit,
	.backup = backend_backup,
};
