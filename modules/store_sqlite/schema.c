/* SPDX-License-Identifier: MIT */
/*
 * The tables, as numbered steps from nothing to now. A step that has been
 * released is never changed: what comes later is a step of its own.
 */
#include "modules/store_sqlite/sqlite.h"

/* In the file's header: whose database it is ("Rook"). */
#define APPLICATION_ID 0x526f6f6b

/* Texts compare by bytes. Times are milliseconds since 1970. */
static const char accounts_and_values[] =
    "CREATE TABLE account("
    " jid TEXT PRIMARY KEY, host TEXT NOT NULL, local TEXT NOT NULL,"
    " first_name TEXT, last_name TEXT, email TEXT,"
    " created INTEGER NOT NULL, ban TEXT,"
    " last_seen INTEGER NOT NULL, last_status TEXT) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX account_host ON account(host, local);"
    /* SCRAM keys, never a password. */
    "CREATE TABLE account_key("
    " jid TEXT NOT NULL, mechanism TEXT NOT NULL, salt BLOB NOT NULL,"
    " iterations INTEGER NOT NULL, stored_key BLOB NOT NULL,"
    " server_key BLOB NOT NULL,"
    " PRIMARY KEY(jid, mechanism)) WITHOUT ROWID;"
    "CREATE TABLE kv("
    " owner TEXT NOT NULL, store TEXT NOT NULL, key TEXT NOT NULL,"
    " value BLOB NOT NULL,"
    " PRIMARY KEY(owner, store, key)) WITHOUT ROWID;"
    "CREATE INDEX kv_store ON kv(store, owner);"
    "CREATE VIEW chat_user AS SELECT"
    " jid AS user_id, first_name, last_name, email AS email_addr"
    " FROM account;";

/*
 * Rows are appended, so the archive has a rowid, never used twice. An
 * owner's key stands for its JID, as all indices hold it. To clear an
 * archive is to take the owner's name away; the rows go later, bit by bit.
 * Ids are the 16 bytes of a UUIDv7: ordered by time, and `ts` is that time.
 */
static const char archive[] =
    "CREATE TABLE archive_owner("
    " key INTEGER PRIMARY KEY, owner TEXT UNIQUE, host TEXT NOT NULL);"
    "CREATE INDEX archive_host ON archive_owner(host, key);"
    "CREATE TABLE archive("
    " seq INTEGER PRIMARY KEY, owner INTEGER NOT NULL, id BLOB NOT NULL,"
    " ts INTEGER NOT NULL, with_bare TEXT NOT NULL, with_resource TEXT,"
    " is_outgoing INTEGER NOT NULL, xml TEXT NOT NULL, body TEXT,"
    " origin_id TEXT, media_url TEXT, media_type TEXT, media_id TEXT);"
    "CREATE UNIQUE INDEX archive_id ON archive(owner, id);"
    "CREATE INDEX archive_with ON archive(owner, with_bare, id);"
    "CREATE INDEX archive_media ON archive(owner, id)"
    " WHERE media_url IS NOT NULL;"
    /*
     * A message between two accounts here is in the archives of both: the
     * sender's is shown, and the recipient's if the sender keeps none.
     */
    "CREATE VIEW chat_message AS SELECT"
    " lower(substr(hex(a.id), 1, 8) || '-' || substr(hex(a.id), 9, 4) ||"
    " '-' || substr(hex(a.id), 13, 4) || '-' || substr(hex(a.id), 17, 4) ||"
    " '-' || substr(hex(a.id), 21)) AS message_id,"
    " CASE WHEN a.is_outgoing THEN o.owner ELSE a.with_bare END"
    " AS from_user_id,"
    " CASE WHEN a.is_outgoing THEN a.with_bare ELSE o.owner END"
    " AS to_user_id,"
    " a.body AS message,"
    " CASE WHEN a.media_type LIKE 'image/%' THEN a.media_url END"
    " AS photo_url,"
    " CASE WHEN a.media_type LIKE 'image/%' THEN a.media_id END"
    " AS photo_id,"
    " CASE WHEN a.media_type LIKE 'video/%' THEN a.media_url END"
    " AS video_url,"
    " CASE WHEN a.media_type LIKE 'video/%' THEN a.media_id END"
    " AS video_id,"
    " strftime('%Y-%m-%dT%H:%M:%fZ', a.ts / 1000.0, 'unixepoch')"
    " AS timestamp"
    " FROM archive_owner o JOIN archive a ON a.owner = o.key"
    " WHERE o.owner IS NOT NULL"
    " AND (a.body IS NOT NULL OR a.media_url IS NOT NULL)"
    " AND (a.is_outgoing OR a.with_bare = o.owner"
    " OR NOT EXISTS(SELECT 1 FROM account WHERE jid = o.owner)"
    " OR NOT EXISTS(SELECT 1 FROM archive_owner s"
    " WHERE s.owner = a.with_bare));";

/*
 * Words of bodies, found by owner ("o" and its key) and word. It is brought
 * up to date when the writer is idle or somebody searches: rows up to
 * `high` are in.
 */
static const char search[] =
    "CREATE VIRTUAL TABLE archive_fts USING fts5(owner, body, content='',"
    " tokenize='unicode61 remove_diacritics 2');"
    /* Merging goes by slices too: see search_merge(). */
    "INSERT INTO archive_fts(archive_fts, rank) VALUES('automerge', 0);"
    "INSERT INTO archive_fts(archive_fts, rank) VALUES('crisismerge', 64);"
    "CREATE TABLE archive_index("
    " one INTEGER PRIMARY KEY CHECK(one = 1), high INTEGER NOT NULL);"
    "INSERT INTO archive_index VALUES(1, 0);";

/* A message by the id that its sender gave it, to retract it. */
static const char origin[] =
    "CREATE INDEX archive_origin ON archive(owner, origin_id, id)"
    " WHERE origin_id IS NOT NULL;";

/*
 * Indices that the writer keeps itself, as it enters rows into them later,
 * many at a time: those up to `entered` are in.
 */
static const char indices[] =
    "DROP INDEX archive_id; DROP INDEX archive_with;"
    "DROP INDEX archive_media; DROP INDEX archive_origin;"
    "CREATE TABLE archive_by_id("
    " owner INTEGER NOT NULL, id BLOB NOT NULL, seq INTEGER NOT NULL,"
    " PRIMARY KEY(owner, id)) WITHOUT ROWID;"
    "CREATE TABLE archive_by_with("
    " owner INTEGER NOT NULL, with_bare TEXT NOT NULL, id BLOB NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY(owner, with_bare, id)) WITHOUT ROWID;"
    "CREATE TABLE archive_by_origin("
    " owner INTEGER NOT NULL, origin_id TEXT NOT NULL, id BLOB NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY(owner, origin_id, id)) WITHOUT ROWID;"
    "CREATE TABLE archive_by_media("
    " owner INTEGER NOT NULL, id BLOB NOT NULL, seq INTEGER NOT NULL,"
    " PRIMARY KEY(owner, id)) WITHOUT ROWID;"
    "INSERT INTO archive_by_id SELECT owner, id, seq FROM archive"
    " ORDER BY owner, id;"
    "INSERT INTO archive_by_with SELECT owner, with_bare, id, seq"
    " FROM archive ORDER BY owner, with_bare, id;"
    "INSERT INTO archive_by_origin SELECT owner, origin_id, id, seq"
    " FROM archive WHERE origin_id IS NOT NULL ORDER BY owner, origin_id, id;"
    "INSERT INTO archive_by_media SELECT owner, id, seq"
    " FROM archive WHERE media_url IS NOT NULL ORDER BY owner, id;"
    "CREATE TRIGGER archive_delete AFTER DELETE ON archive BEGIN"
    " DELETE FROM archive_by_id WHERE owner = old.owner AND id = old.id;"
    " DELETE FROM archive_by_with WHERE owner = old.owner"
    " AND with_bare = old.with_bare AND id = old.id;"
    " DELETE FROM archive_by_origin WHERE owner = old.owner"
    " AND origin_id = old.origin_id AND id = old.id;"
    " DELETE FROM archive_by_media WHERE owner = old.owner"
    " AND id = old.id;"
    " END;"
    "ALTER TABLE archive_index ADD COLUMN entered INTEGER NOT NULL DEFAULT 0;"
    "UPDATE archive_index SET entered ="
    " (SELECT coalesce(max(seq), 0) FROM archive);";

static const char *const steps[] = { accounts_and_values, archive, search,
	origin, indices };

_Static_assert(ARRAY_LEN(steps) == SCHEMA_VERSION, "one step a version");

static int
number(sqlite3 *h, const char *sql, int *n_r)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(h, sql, -1, &st, NULL);

	*n_r = 0;
	if (rc == SQLITE_OK) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW) {
			*n_r = sqlite3_column_int(st, 0);
			rc = SQLITE_OK;
		}
	}
	sqlite3_finalize(st);
	return rc;
}

static int
exec(sqlite3 *h, const char *sql)
{
	return sqlite3_exec(h, sql, NULL, NULL, NULL);
}

/* Is it ours, and which version? A new file is version 0. */
static int
version_get(sqlite3 *h, int *version_r, struct arena *a, const char **why_r)
{
	const char *path = sqlite3_db_filename(h, "main");
	int id, tables;

	if (number(h, "PRAGMA user_version", version_r) != SQLITE_OK ||
	    number(h, "PRAGMA application_id", &id) != SQLITE_OK ||
	    number(h, "SELECT count(*) FROM sqlite_master", &tables) !=
		SQLITE_OK) {
		*why_r =
		    arena_printf(a, "database %s: %s", path, sqlite3_errmsg(h));
		return ERR_STORE;
	}
	if (id != APPLICATION_ID && (id != 0 || tables != 0)) {
		*why_r = arena_printf(
		    a, "database %s: not a database of Rookery", path);
		return ERR_STORE;
	}
	if (*version_r > SCHEMA_VERSION) {
		*why_r = arena_printf(a,
		    "database %s: its tables have version %d, but this "
		    "program knows only up to %d: use the newer one",
		    path, *version_r, SCHEMA_VERSION);
		return ERR_STORE;
	}
	return 0;
}

static int
step_run(sqlite3 *h, int version, struct arena *a, const char **why_r)
{
	const char *sql =
	    arena_printf(a, "PRAGMA application_id=%d; PRAGMA user_version=%d",
		APPLICATION_ID, version);

	if (exec(h, steps[version - 1]) == SQLITE_OK &&
	    exec(h, sql) == SQLITE_OK)
		return 0;
	*why_r = arena_printf(a, "database %s: to version %d: %s",
	    sqlite3_db_filename(h, "main"), version, sqlite3_errmsg(h));
	return ERR_STORE;
}

int
schema_migrate(sqlite3 *h, int to, struct arena *a, const char **why_r)
{
	int version, from, err;

	if (exec(h, "BEGIN EXCLUSIVE") != SQLITE_OK) {
		*why_r = arena_printf(a, "database %s: %s",
		    sqlite3_db_filename(h, "main"), sqlite3_errmsg(h));
		return ERR_STORE;
	}

	err = version_get(h, &from, a, why_r);
	for (version = from; err == 0 && version < to;)
		err = step_run(h, ++version, a, why_r);
	if (err == 0 && exec(h, "COMMIT") != SQLITE_OK) {
		*why_r = arena_printf(a, "database %s: %s",
		    sqlite3_db_filename(h, "main"), sqlite3_errmsg(h));
		err = ERR_STORE;
	}
	if (err != 0)
		exec(h, "ROLLBACK");
	else if (from != 0 && from < to)
		log_notice(&sqlite_log, "tables brought from version %d to %d",
		    from, to);
	return err;
}
