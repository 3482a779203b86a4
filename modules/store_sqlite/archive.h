/* SPDX-License-Identifier: MIT */
/* What the files about archives share. */
#ifndef STORE_SQLITE_ARCHIVE_H
#define STORE_SQLITE_ARCHIVE_H

#include "modules/store_sqlite/sqlite.h"

#define ID_LEN 16

/* A UUIDv7 as its bytes, which order as its text does. */
struct id {
	uint8_t b[ID_LEN];
};

/* False for what uuid7() would not have written. */
bool id_parse(struct str text, struct id *id_r);
struct str id_text(struct arena *a, const void *bytes);
void bind_id(sqlite3_stmt *st, int i, const struct id *id);

/* The row alone: see search_forget(). */
int row_delete(struct db *db, int64_t seq);

#endif
