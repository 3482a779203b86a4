/* SPDX-License-Identifier: MIT */
/* The SQLite backend, for the tests that any backend is to pass. */
#include "modules/store_sqlite/sqlite.h"
#include "store_rig.h"

#include <stdio.h>
#include <stdlib.h>

static bool
begin(void)
{
	return true;
}

static void
end(void)
{
}

static void
config_fill(struct arena *a, const char *dir, struct store_config *config)
{
}

/* A second connection, as an integrator's. */
static int64_t
number(const char *dir, const char *sql)
{
	char path[300];
	sqlite3 *h;
	sqlite3_stmt *st = NULL;
	int64_t n;

	snprintf(path, sizeof(path), "%s/rookery.db", dir);
	must(sqlite3_open(path, &h) == SQLITE_OK);
	sqlite3_busy_timeout(h, 10000);
	if (sqlite3_prepare_v2(h, sql, -1, &st, NULL) != SQLITE_OK)
		fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(h)), abort();
	n = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_finalize(st);
	sqlite3_close(h);
	return n;
}

static void
check(const char *dir)
{
	number(dir, "PRAGMA integrity_check(1)");
	must(number(dir, "SELECT count(*) FROM archive_fts"
			 " WHERE rowid NOT IN (SELECT seq FROM archive)") == 0);
}

const struct rig_kind rig_kind = {
	.backend = &sqlite_backend,
	.is_embedded = true,
	.begin = begin,
	.end = end,
	.config = config_fill,
	.number = number,
	.check = check,
};
