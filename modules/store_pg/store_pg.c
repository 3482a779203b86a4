/* SPDX-License-Identifier: MIT */
/*
 * Storage in PostgreSQL, for servers that are more than one process or more
 * than one disk. The parts of it are described in pg.h.
 */
#include "modules/store_pg/pg.h"

static int
store_pg_load(struct arena *a, const char **why_r)
{
	store_register(&pg_backend);
	return 0;
}

static void
store_pg_unload(void)
{
	store_unregister(&pg_backend);
}

static void
store_pg_start(struct mod *m)
{
	desk_start(loop_self());
}

MODULE(store_pg) = {
	.summary = "keep accounts, values and archives in PostgreSQL",
	.is_global = true,
	.load = store_pg_load,
	.unload = store_pg_unload,
	.start = store_pg_start,
};
