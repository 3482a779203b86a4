/* SPDX-License-Identifier: MIT */
/*
 * The index of words. It follows the archive: rows up to index_high are in
 * it. Owner and body of a row are needed again to take it out, as the index
 * keeps no copy of them.
 */
#include "modules/store_sqlite/archive.h"

#define ROWS_AT_ONCE 32
#define WORDS_MAX 32
/* Pages of the index that are merged at once. */
#define MERGE_PAGES "32"

static const char *
owner_word(int64_t owner, char text[24])
{
	char *p = text + 23;
	uint64_t n = (uint64_t)owner;

	*p = '\0';
	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	*--p = 'o';
	return p;
}

static int
word_change(
    struct db *db, const char *sql, int64_t seq, int64_t owner, struct str body)
{
	sqlite3_stmt *st = db_prepare(db, sql);
	char text[24];

	if (st != NULL)
		sqlite3_bind_int64(st, 1, seq);
	bind_text(st, 2, str_c(owner_word(owner, text)));
	bind_text(st, 3, body);
	return db_run(db, st);
}

int
search_forget(struct db *db, int64_t seq, int64_t owner, struct str body)
{
	if (seq > db->index_high || str_is_none(body))
		return 0;
	return word_change(db,
	    "INSERT INTO archive_fts(archive_fts, rowid, owner, body)"
	    " VALUES('delete', ?1, ?2, ?3)",
	    seq, owner, body);
}

/* Adds a few rows; *count_r says how many were looked at. */
static int
rows_add(struct db *db, struct arena *a, size_t *count_r)
{
	sqlite3_stmt *st =
	    db_prepare(db, "SELECT seq, owner, body FROM archive WHERE seq > ?1"
			   " ORDER BY seq LIMIT ?2");
	int64_t high = db->index_high;
	int ret, err = 0;

	if (st != NULL) {
		sqlite3_bind_int64(st, 1, high);
		sqlite3_bind_int(st, 2, ROWS_AT_ONCE);
	}
	*count_r = 0;
	while ((ret = db_step(db, st)) > 0) {
		struct str body = column_text(a, st, 2);

		++*count_r;
		high = sqlite3_column_int64(st, 0);
		if (str_is_none(body))
			continue;
		err = word_change(db,
		    "INSERT INTO archive_fts(rowid, owner, body)"
		    " VALUES(?1, ?2, ?3)",
		    high, sqlite3_column_int64(st, 1), body);
		if (err < 0) {
			db_reset(st);
			return err;
		}
	}
	if (ret < 0)
		return ret;
	db->index_high = *count_r < ROWS_AT_ONCE ? db->seq_high : high;
	return 0;
}

/*
 * Each commit that changes the index adds a segment to it. They are merged
 * here, before more are made, as left alone the index does it when it likes,
 * in the midst of a commit.
 */
int
search_merge(struct db *db, uint64_t until)
{
	int before, err;

	do {
		before = sqlite3_total_changes(db->h);
		err = db_run(db,
		    db_prepare(db, "INSERT INTO archive_fts(archive_fts, rank)"
				   " VALUES('merge', " MERGE_PAGES ")"));
		if (err < 0)
			return err;
		/* So it tells that there was nothing to do. */
		if (sqlite3_total_changes(db->h) - before < 2)
			return 1;
	} while (clock_mono() < until);
	return 0;
}

int
search_index_slice(struct db *db, uint64_t until)
{
	struct arena *a;
	sqlite3_stmt *st;
	size_t count = 0;
	int err = search_merge(db, until);

	if (err <= 0)
		return err;
	a = arena_new(0);
	err = 0;
	while (err == 0 && db->index_high < db->seq_high) {
		err = rows_add(db, a, &count);
		arena_reset(a);
		if (clock_mono() >= until)
			break;
	}
	arena_free(&a);
	if (err < 0)
		return err;

	st = db_prepare(db, "UPDATE archive_index SET high = ?1");
	if (st != NULL)
		sqlite3_bind_int64(st, 1, db->index_high);
	err = db_run(db, st);
	return err < 0 ? err : db->index_high >= db->seq_high;
}

/* ---- queries ----------------------------------------------------------- */

/* Quoted, a term has no syntax; a star at its end finds beginnings. */
static void
term_add(struct buf *b, struct str term)
{
	bool is_prefix = term.p[term.n - 1] == '*';

	buf_add_str(b, STR(" AND body:\""));
	for (size_t i = 0; i < term.n; i++) {
		if (term.p[i] != '"' && term.p[i] != '\0')
			buf_add_c(b, term.p[i]);
	}
	buf_add_c(b, '"');
	if (is_prefix)
		buf_add_c(b, '*');
}

struct str
search_query(struct arena *a, int64_t owner, struct str text)
{
	struct buf b = { 0 };
	struct str match = STR_NONE, term;
	char word[24];
	size_t n = 0;

	buf_printf(&b, "owner:%s", owner_word(owner, word));
	while (n < WORDS_MAX && search_term_next(&text, &term)) {
		term_add(&b, term);
		n++;
	}
	if (n > 0)
		match = str_dup(a, buf_str(&b));
	buf_fini(&b);
	return match;
}
