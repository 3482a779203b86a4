/* SPDX-License-Identifier: MIT */
/*
 * The newest rows of the archive, which are not in its indices yet.
 *
 * An append would touch a page of its owner's in each index: with many owners
 * that is most of what a message costs, as each page is written whole. So rows
 * go to the end of the table alone; the writer remembers them, and some ten
 * thousand later it enters them into the indices together, sorted, a page of
 * an owner once for all. Who reads an archive that has rows here has its rows
 * entered first. What is lost with the process is found again by looking at
 * the rows that came after the last one entered.
 *
 * All but tail_has() belongs to the writer.
 */
#ifndef STORE_SQLITE_TAIL_H
#define STORE_SQLITE_TAIL_H

#include "modules/store_sqlite/sqlite.h"

/* From any thread: may the owner's archive have rows that no index knows? */
bool tail_has(struct str owner);

/* Reads what was left the last time; 0 or an error. */
int tail_load(struct db *db);
void tail_free(struct db *db);

/*
 * A row with the next seq. ERR_EXISTS if the archive has that id, ERR_LIMIT if
 * too many wait. Texts are copied.
 */
int tail_add(struct db *db, struct str owner, int64_t key,
    const struct uuid *id, const struct archive_item *m);
/*
 * The row's media or the row itself are about to be taken away: when it is
 * entered (again), the table tells what has become of it.
 */
void tail_change(struct db *db, int64_t seq);

/* Within a transaction: enters the owner's rows. */
int tail_merge(struct db *db, struct str owner);
/*
 * In slices, see sqlite.h: enters everybody's rows, as long as one may be older
 * than `id`.
 */
int tail_merge_before(struct db *db, const struct uuid *id, uint64_t until);
/* Enters some: see sqlite.h. */
int tail_slice(struct db *db, uint64_t until);
/* Are there enough to enter them, though the writer is busy? */
bool tail_is_due(const struct db *db);
bool tail_is_empty(const struct db *db);

/* Rows so far; to be given to tail_undo() if what follows is undone. */
size_t tail_mark(const struct db *db);
void tail_undo(struct db *db, size_t mark);
/* The transaction is committed. */
void tail_commit(struct db *db);

#endif
