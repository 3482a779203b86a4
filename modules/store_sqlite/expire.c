/* SPDX-License-Identifier: MIT */
/*
 * Taking rows out of archives in slices: those too old, those of archives
 * that were cleared; and giving the space back.
 */
#include "modules/store_sqlite/archive.h"

#include "modules/store_sqlite/tail.h"

#define ROWS_AT_ONCE 32

/* Deletes the first rows that `st` yields (seq and body). */
static int
rows_delete(struct db *db, sqlite3_stmt *st, int64_t key, size_t *count_r)
{
	struct arena *a = arena_new(0);
	int64_t seq[ROWS_AT_ONCE];
	size_t n = 0;
	int ret, err = 0;

	while ((ret = db_step(db, st)) > 0 && n < ROWS_AT_ONCE) {
		struct str body = column_text(a, st, 1);

		seq[n] = sqlite3_column_int64(st, 0);
		err = search_forget(db, seq[n++], key, body);
		if (err < 0)
			break;
	}
	if (ret > 0)
		db_reset(st);
	for (size_t i = 0; ret >= 0 && err == 0 && i < n; i++)
		err = row_delete(db, seq[i]);
	arena_free(&a);
	*count_r = n;
	return ret < 0 ? ret : err;
}

/* ---- those too old ----------------------------------------------------- */

/*
 * The archive of a host at `key` or after it, or 0. With the address of an
 * account or a room for the host, it is that one only.
 */
static int
owner_next(struct db *db, struct str host, int64_t key, int64_t *key_r)
{
	bool is_one = str_find(host, '@') < host.n;
	sqlite3_stmt *st = db_prepare(
	    db, is_one ? "SELECT key FROM archive_owner"
			 " WHERE owner = ?1 AND key >= ?2"
		       : "SELECT key FROM archive_owner INDEXED BY archive_host"
			 " WHERE host = ?1 AND key >= ?2 ORDER BY key LIMIT 1");

	bind_text(st, 1, host);
	if (st != NULL)
		sqlite3_bind_int64(st, 2, key);
	return db_number(db, st, 0, key_r);
}

static int
old_delete(
    struct db *db, int64_t key, const struct uuid *before, size_t *count_r)
{
	sqlite3_stmt *st = db_prepare(db,
	    "SELECT a.seq, a.body FROM archive_by_id i CROSS JOIN archive a"
	    " ON a.seq = i.seq WHERE i.owner = ?1 AND i.id < ?2"
	    " ORDER BY i.id LIMIT ?3");

	if (st != NULL) {
		sqlite3_bind_int64(st, 1, key);
		sqlite3_bind_int(st, 3, ROWS_AT_ONCE);
	}
	bind_id(st, 2, before);
	return rows_delete(db, st, key, count_r);
}

/* Between slices, req->limit holds the archive that is next. */
int
archive_expire_slice(struct db *db, struct store_req *req, uint64_t until)
{
	char text[UUID_LEN + 1];
	struct uuid before;
	int64_t key;
	size_t n;
	int err;

	if (req->before <= 0 || req_is_aborted(req))
		return 1;
	uuid7_min(req->before, text);
	if (!uuid_parse(str_c(text), &before))
		return 1;
	err = search_merge(db, until);
	if (err <= 0)
		return err;
	err = tail_merge_before(db, &before, until);
	if (err <= 0)
		return err;
	do {
		err = owner_next(db, req->owner, (int64_t)req->limit, &key);
		if (err < 0)
			return err;
		if (key == 0) {
			db->has_slack |= req->count > 0;
			return 1;
		}
		err = old_delete(db, key, &before, &n);
		if (err < 0)
			return err;
		req->count += n;
		req->limit = (size_t)(n < ROWS_AT_ONCE ? key + 1 : key);
	} while (clock_mono() < until && !req_is_aborted(req));
	return 0;
}

/* ---- those of cleared archives ----------------------------------------- */

static int
owner_delete(struct db *db, int64_t key)
{
	sqlite3_stmt *st =
	    db_prepare(db, "DELETE FROM archive_owner WHERE key = ?1");

	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	return db_run(db, st);
}

static int
dead_delete(struct db *db, int64_t key, size_t *count_r)
{
	sqlite3_stmt *st =
	    db_prepare(db, "SELECT a.seq, a.body FROM archive_by_id i"
			   " CROSS JOIN archive a ON a.seq = i.seq"
			   " WHERE i.owner = ?1 ORDER BY i.id LIMIT ?2");

	if (st != NULL) {
		sqlite3_bind_int64(st, 1, key);
		sqlite3_bind_int(st, 2, ROWS_AT_ONCE);
	}
	return rows_delete(db, st, key, count_r);
}

int
archive_purge_slice(struct db *db, uint64_t until)
{
	int64_t key;
	size_t n;
	int err = search_merge(db, until);

	if (err <= 0)
		return err;
	do {
		err = db_number(db,
		    db_prepare(db, "SELECT key FROM archive_owner"
				   " WHERE owner IS NULL LIMIT 1"),
		    0, &key);
		if (err < 0)
			return err;
		if (key == 0) {
			db->has_dead = false;
			db->has_slack = true;
			return 1;
		}
		err = dead_delete(db, key, &n);
		if (err == 0 && n < ROWS_AT_ONCE)
			err = owner_delete(db, key);
		if (err < 0)
			return err;
	} while (clock_mono() < until);
	return 0;
}

/* ---- space ------------------------------------------------------------- */

static int
slack_find(struct db *db)
{
	int64_t pages, unused;
	int err = db_number(db, db_prepare(db, "PRAGMA page_count"), 0, &pages);

	if (err == 0)
		err = db_number(
		    db, db_prepare(db, "PRAGMA freelist_count"), 0, &unused);
	if (err == 0)
		db->has_slack = unused > 256 && unused > pages / 8;
	return err;
}

/* An eighth stays, for what comes next. */
int
archive_vacuum_slice(struct db *db, uint64_t until)
{
	const char *sql = "PRAGMA incremental_vacuum(16)";
	int err;

	do {
		err = slack_find(db);
		if (err < 0 || !db->has_slack)
			return err < 0 ? err : 1;
		err = db_exec(db, sql);
	} while (err == 0 && clock_mono() < until);
	return err;
}
