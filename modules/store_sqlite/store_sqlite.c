/* SPDX-License-Identifier: MIT */
/*
 * Storage in a file of SQLite: the default, with nothing to set up. The
 * parts of it are described in sqlite.h.
 */
#include "modules/store_sqlite/sqlite.h"

static int
store_sqlite_load(struct arena *a, const char **why_r)
{
	/* Nobody asks for the statistics, for which all threads would queue. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	store_register(&sqlite_backend);
	return 0;
}

static void
store_sqlite_unload(void)
{
	store_unregister(&sqlite_backend);
}

MODULE(store_sqlite) = {
	.summary = "keep accounts, values and archives in an SQLite file",
	.is_global = true,
	.load = store_sqlite_load,
	.unload = store_sqlite_unload,
};
