/* SPDX-License-Identifier: MIT */
/*
 * The parts of the SQLite backend.
 *
 * One writer thread owns the connection that writes; it commits all that is
 * pending as one transaction. A few reader threads own a connection each.
 * Requests come from the loops in batches, one a turn. A request goes to the
 * writer if it writes, or if a write of its loop and owner is still under
 * way before it; all others go to whichever reader is free.
 */
#ifndef STORE_SQLITE_SQLITE_H
#define STORE_SQLITE_SQLITE_H

#include "core/module.h"

#include <sqlite3.h>

extern const struct store_backend sqlite_backend;
extern const struct log_ctx sqlite_log;

/* ---- connections ------------------------------------------------------- */

/* Touched by one thread at a time. */
struct db {
	sqlite3 *h;
	struct map stmts; /* prepared, by their text */

	/* Of the writer's connection only. */
	int64_t seq_high;   /* the newest row of the archive */
	int64_t index_high; /* rows up to here are in the search index */
	bool has_dead;	    /* cleared archives, whose rows are still there */
	bool has_slack;	    /* much of the file may be unused */
	struct owner_key *owners; /* of archives written to lately */
	struct tail *tail;	  /* rows that no index has: see tail.h */
	sqlite3_stmt *append;	  /* db_prepare()d */
};

/*
 * On failure *why_r, from `a`, names the file and the reason, and nothing
 * is left open. The writer creates what is not there.
 */
int db_open(struct db *db, const char *path, bool is_writer, struct arena *a,
    const char **why_r);
void db_close(struct db *db);

/* Runs statements that have no results; ERR_STORE, logged, on failure. */
int db_exec(struct db *db, const char *sql);
/* The statement, cached, ready to be bound; NULL, logged, on failure. */
sqlite3_stmt *db_prepare(struct db *db, const char *sql);
/*
 * 1: there is a row; 0: there is none (any more), and the statement has been
 * reset. Errors are logged, and reset it too: ERR_EXISTS or ERR_STORE.
 */
int db_step(struct db *db, sqlite3_stmt *st);
/* Ends a statement early. */
void db_reset(sqlite3_stmt *st);
/* Steps to the end: 0 or an error. */
int db_run(struct db *db, sqlite3_stmt *st);
/* The first column of the first row, or `none`; 0 or an error. */
int db_number(struct db *db, sqlite3_stmt *st, int64_t none, int64_t *number_r);
/* Logs why the last call failed, once a second at most. ERR_STORE. */
int db_fail(struct db *db, const char *what);

/* Values are borrowed until the statement is reset. */
void bind_text(sqlite3_stmt *st, int i, struct str s); /* none: NULL */
void bind_bytes(sqlite3_stmt *st, int i, struct str s);
struct str column_text(struct arena *a, sqlite3_stmt *st, int i);
struct str column_bytes(struct arena *a, sqlite3_stmt *st, int i);

/* What LIMIT takes. */
int64_t limit_of(size_t limit);
/*
 * Room for one more in a growing array of `count` in an arena, which has
 * *cap and begins as NULL with 0.
 */
void *array_room(
    struct arena *a, void *array, size_t count, size_t *cap, size_t size);

/* Makes or brings up to date the tables. */
#define SCHEMA_VERSION 5
int schema_migrate(sqlite3 *h, int to, struct arena *a, const char **why_r);

/* ---- what requests do -------------------------------------------------- */

/* Of one archive, that is. */
bool is_archive_read(const struct store_req *req);

/* Carries a read out; sets err and results of the request. */
void req_read(struct db *db, struct store_req *req);
/* One change of a write, inside a transaction. */
int change_apply(struct db *db, const struct store_change *c);

void account_read(struct db *db, struct store_req *req);
int account_apply(struct db *db, const struct store_change *c);
void kv_read(struct db *db, struct store_req *req);
int kv_apply(struct db *db, const struct store_change *c);

#define ARCHIVE_IDS_MAX 4096

/* STORE_ARCHIVE_OWNERS. */
void archive_owners(struct db *db, struct store_req *req);
void archive_read(struct db *db, struct store_req *req);
int archive_apply(struct db *db, const struct store_change *c);
/* Reads the state that struct db keeps for the writer, at the beginning. */
int archive_state(struct db *db);
/* To be called when what was written has been undone. */
void owners_forget(struct db *db);
/* The key of an owner's archive; 0 when it has none. */
int archive_owner(struct db *db, struct str owner, int64_t *key_r);

/*
 * Work in slices, each in a transaction of its own that has begun already
 * and is committed by the caller. They stop at `until` (clock_mono()).
 * 1: all is done; 0: there is more; or an error.
 */
int search_merge(struct db *db, uint64_t until);
int search_index_slice(struct db *db, uint64_t until);
int archive_expire_slice(struct db *db, struct store_req *req, uint64_t until);
int archive_purge_slice(struct db *db, uint64_t until);
int archive_vacuum_slice(struct db *db, uint64_t until);
/* Takes a row out of the search index, if it is in. */
int search_forget(struct db *db, int64_t seq, int64_t owner, struct str body);
/* The user's words as a query of the index; none if there are no words. */
struct str search_query(struct arena *a, int64_t owner, struct str text);

/* ---- threads ----------------------------------------------------------- */

/* `db` becomes the writer's. */
void writer_start(const struct db *db, const char *path);
/* Takes all of the list. From any thread. */
void writer_push(struct list *reqs);
/* Carries out what is queued, and ends the thread. */
void writer_stop(void);

/*
 * For the writer: watches its commits, and is to be asked between them. To
 * be stopped before the writer's connection is closed.
 */
void checkpoint_start(struct db *db, const char *path);
void checkpoint_consider(struct db *db);
void checkpoint_stop(void);

/* Threads start with the first read. */
void readers_start(const char *path);
void readers_push(struct list *reqs);
void readers_stop(void);

#endif
