/* SPDX-License-Identifier: MIT */
/* Connections, statements, and the log of their failures. */
#include "modules/store_sqlite/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 5000
#define STMTS_MAX 256

const struct log_ctx sqlite_log = { .source = "sqlite" };

struct stmt {
	sqlite3_stmt *st;
	size_t n;
	char text[];
};

/* ---- failures ---------------------------------------------------------- */

int
db_fail(struct db *db, const char *what)
{
	static _Atomic uint64_t last;
	static atomic_uint skipped;
	uint64_t now = clock_mono(), before = atomic_load(&last);
	int os = sqlite3_system_errno(db->h);
	unsigned more;

	if ((before != 0 && now - before < SECONDS(1)) ||
	    !atomic_compare_exchange_strong(&last, &before, now)) {
		atomic_fetch_add(&skipped, 1);
		return ERR_STORE;
	}

	more = atomic_exchange(&skipped, 0);
	if (more > 0)
		log_error(&sqlite_log, "%u more failures", more);
	log_error(&sqlite_log, "%s: %s%s%s", what, sqlite3_errmsg(db->h),
	    os != 0 ? ": " : "", os != 0 ? err_text(-os) : "");
	return ERR_STORE;
}

/* ---- opening ----------------------------------------------------------- */

/* SQLite gives its other files the mode of the database. */
static int
file_create(const char *path, struct arena *a, const char **why_r)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		int err = -errno;

		*why_r =
		    arena_printf(a, "database %s: %s", path, err_text(err));
		return err;
	}
	close(fd);
	return 0;
}

static int
pragma(sqlite3 *h, const char *sql)
{
	return sqlite3_exec(h, sql, NULL, NULL, NULL);
}

static int
wal_enable(sqlite3 *h)
{
	sqlite3_stmt *st = NULL;
	int rc =
	    sqlite3_prepare_v2(h, "PRAGMA journal_mode=WAL", -1, &st, NULL);
	bool is_wal = false;

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(st);
		is_wal = rc == SQLITE_ROW &&
			 strcmp((const char *)sqlite3_column_text(st, 0),
			     "wal") == 0;
		rc = rc == SQLITE_ROW ? SQLITE_OK : rc;
	}
	sqlite3_finalize(st);
	if (rc == SQLITE_OK && !is_wal)
		rc = SQLITE_CANTOPEN;
	return rc;
}

/*
 * A reader's cache is emptied by every commit, so it is small: the kernel's is
 * behind it. The writer's takes memory as it is used. Each archive that is
 * written to has a page in each of three indices, and a cache without room for
 * those reads them again and again, and writes them several times a commit.
 * Before there are tables, so that space can be given back, comes auto_vacuum.
 */
static int
settings(sqlite3 *h, bool is_writer)
{
	int rc;

	sqlite3_extended_result_codes(h, 1);
	sqlite3_busy_timeout(h, BUSY_MS);
	rc = pragma(h, "PRAGMA cache_size=-256; PRAGMA mmap_size=0;"
		       "PRAGMA temp_store=MEMORY");
	if (rc == SQLITE_OK && is_writer)
		rc = pragma(h, "PRAGMA cache_size=-32768;"
			       "PRAGMA auto_vacuum=INCREMENTAL");
	if (rc == SQLITE_OK && is_writer)
		rc = wal_enable(h);
	if (rc == SQLITE_OK && is_writer)
		rc = pragma(h,
		    "PRAGMA synchronous=FULL; PRAGMA secure_delete=FAST;"
		    "PRAGMA journal_size_limit=67108864");
	if (rc == SQLITE_OK && !is_writer)
		rc = pragma(h, "PRAGMA query_only=ON");
	return rc;
}

int
db_open(struct db *db, const char *path, bool is_writer, struct arena *a,
    const char **why_r)
{
	int err, rc;

	*db = (struct db){ 0 };
	if (is_writer) {
		err = file_create(path, a, why_r);
		if (err < 0)
			return err;
	}

	rc = sqlite3_open_v2(
	    path, &db->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = settings(db->h, is_writer);
	if (rc == SQLITE_OK)
		return 0;

	*why_r = arena_printf(a, "database %s: %s", path,
	    db->h != NULL ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc));
	db_close(db);
	return ERR_STORE;
}

void
db_close(struct db *db)
{
	struct stmt *s;

	for (size_t i = 0; (s = map_next(&db->stmts, &i)) != NULL;) {
		map_del(&db->stmts, str_mem(s->text, s->n));
		sqlite3_finalize(s->st);
		xfree(s);
	}
	map_fini(&db->stmts);
	owners_forget(db);
	tail_free(db);
	sqlite3_close(db->h);
	db->h = NULL;
}

/* ---- statements -------------------------------------------------------- */

int
db_exec(struct db *db, const char *sql)
{
	return sqlite3_exec(db->h, sql, NULL, NULL, NULL) == SQLITE_OK
		   ? 0
		   : db_fail(db, sql);
}

sqlite3_stmt *
db_prepare(struct db *db, const char *sql)
{
	struct str text = str_c(sql);
	struct stmt *s = map_get(&db->stmts, text);
	sqlite3_stmt *st;

	if (s != NULL)
		return s->st;
	must(db->stmts.count < STMTS_MAX);
	if (sqlite3_prepare_v3(db->h, sql, (int)text.n + 1,
		SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK) {
		db_fail(db, sql);
		return NULL;
	}

	s = xmalloc(sizeof(*s) + text.n + 1);
	s->st = st;
	s->n = text.n;
	memcpy(s->text, sql, text.n + 1);
	map_set(&db->stmts, str_mem(s->text, s->n), s);
	return st;
}

void
db_reset(sqlite3_stmt *st)
{
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

int
db_step(struct db *db, sqlite3_stmt *st)
{
	int rc, err;

	if (st == NULL)
		return ERR_STORE;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return 1;

	if (rc == SQLITE_DONE)
		err = 0;
	else if (rc == SQLITE_CONSTRAINT_UNIQUE ||
		 rc == SQLITE_CONSTRAINT_PRIMARYKEY)
		err = ERR_EXISTS;
	else
		err = db_fail(db, sqlite3_sql(st));
	db_reset(st);
	return err;
}

int
db_run(struct db *db, sqlite3_stmt *st)
{
	int ret;

	while ((ret = db_step(db, st)) > 0)
		continue;
	return ret;
}

int
db_number(struct db *db, sqlite3_stmt *st, int64_t none, int64_t *number_r)
{
	int ret = db_step(db, st);

	*number_r = none;
	if (ret <= 0)
		return ret;
	if (sqlite3_column_type(st, 0) != SQLITE_NULL)
		*number_r = sqlite3_column_int64(st, 0);
	db_reset(st);
	return 0;
}

void
bind_text(sqlite3_stmt *st, int i, struct str s)
{
	if (st == NULL)
		return;
	if (str_is_none(s))
		sqlite3_bind_null(st, i);
	else
		sqlite3_bind_text64(
		    st, i, s.p, s.n, SQLITE_STATIC, SQLITE_UTF8);
}

void
bind_bytes(sqlite3_stmt *st, int i, struct str s)
{
	if (st == NULL)
		return;
	sqlite3_bind_blob64(st, i, s.p != NULL ? s.p : "", s.n, SQLITE_STATIC);
}

struct str
column_text(struct arena *a, sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_text(st, i);

	if (p == NULL)
		return STR_NONE;
	return str_dup(a, str_mem(p, (size_t)sqlite3_column_bytes(st, i)));
}

struct str
column_bytes(struct arena *a, sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_blob(st, i);
	size_t n = (size_t)sqlite3_column_bytes(st, i);

	return str_dup(a, n == 0 ? STR("") : str_mem(p, n));
}

int64_t
limit_of(size_t limit)
{
	return limit > INT32_MAX ? INT32_MAX : (int64_t)limit;
}

void *
array_room(struct arena *a, void *array, size_t count, size_t *cap, size_t size)
{
	size_t old = *cap;

	if (count < old)
		return array;
	*cap = old == 0 ? 8 : old * 2;
	if (old == 0)
		return arena_alloc(a, *cap * size);
	return arena_grow(a, array, old * size, *cap * size);
}
