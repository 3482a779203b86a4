/* SPDX-License-Identifier: MIT */
/* What the files about archives share. */
#ifndef STORE_SQLITE_ARCHIVE_H
#define STORE_SQLITE_ARCHIVE_H

#include "modules/store_sqlite/sqlite.h"

#define ID_LEN 16

void bind_id(sqlite3_stmt *st, int i, const struct uuid *id);

/* The row alone: see search_forget(). */
int row_delete(struct db *db, int64_t seq);

#endif
