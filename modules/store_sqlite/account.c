/* SPDX-License-Identifier: MIT */
/* Accounts: a row each, and their SCRAM keys. */
#include "modules/store_sqlite/sqlite.h"

/* ---- writes ------------------------------------------------------------ */

/* An empty text and none are the same in a column. */
static void
bind_filled(sqlite3_stmt *st, int i, struct str s)
{
	bind_text(st, i, str_is_empty(s) ? STR_NONE : s);
}

static int
keys_replace(struct db *db, const struct account_row *row)
{
	sqlite3_stmt *st =
	    db_prepare(db, "DELETE FROM account_key WHERE jid = ?1");
	int err;

	bind_text(st, 1, row->jid);
	err = db_run(db, st);
	for (size_t i = 0; err == 0 && i < row->key_count; i++) {
		const struct scram_keys *k = &row->keys[i];

		st = db_prepare(db,
		    "INSERT INTO account_key"
		    "(jid, mechanism, salt, iterations, stored_key, server_key)"
		    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
		bind_text(st, 1, row->jid);
		bind_text(st, 2, k->mechanism);
		bind_bytes(st, 3, k->salt);
		sqlite3_bind_int64(st, 4, k->iterations);
		bind_bytes(st, 5, k->stored_key);
		bind_bytes(st, 6, k->server_key);
		err = db_run(db, st);
	}
	return err;
}

static int
create(struct db *db, const struct account_row *row)
{
	struct str host = row->jid, local = str_cut(&host, '@');
	sqlite3_stmt *st;
	int err;

	if (str_is_empty(host) || str_is_empty(local))
		return ERR_INVALID;

	st = db_prepare(db,
	    "INSERT INTO account(jid, host, local, first_name, last_name,"
	    " email, created, ban, last_seen, last_status)"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
	bind_text(st, 1, row->jid);
	bind_text(st, 2, host);
	bind_text(st, 3, local);
	bind_filled(st, 4, row->first_name);
	bind_filled(st, 5, row->last_name);
	bind_filled(st, 6, row->email);
	sqlite3_bind_int64(st, 7, row->created);
	bind_filled(st, 8, row->ban);
	sqlite3_bind_int64(st, 9, row->last_seen);
	bind_filled(st, 10, row->last_status);
	err = db_run(db, st);
	return err == 0 ? keys_replace(db, row) : err;
}

static int
update(struct db *db, const struct account_row *row)
{
	sqlite3_stmt *st = db_prepare(db,
	    "UPDATE account SET"
	    " first_name = nullif(coalesce(?2, first_name), ''),"
	    " last_name = nullif(coalesce(?3, last_name), ''),"
	    " email = nullif(coalesce(?4, email), ''),"
	    " ban = nullif(coalesce(?5, ban), ''),"
	    " last_status = nullif(coalesce(?6, last_status), ''),"
	    " created = CASE ?7 WHEN 0 THEN created ELSE ?7 END,"
	    " last_seen = CASE ?8 WHEN 0 THEN last_seen ELSE ?8 END"
	    " WHERE jid = ?1");
	int err;

	bind_text(st, 1, row->jid);
	bind_text(st, 2, row->first_name);
	bind_text(st, 3, row->last_name);
	bind_text(st, 4, row->email);
	bind_text(st, 5, row->ban);
	bind_text(st, 6, row->last_status);
	sqlite3_bind_int64(st, 7, row->created);
	sqlite3_bind_int64(st, 8, row->last_seen);
	err = db_run(db, st);
	if (err == 0 && sqlite3_changes(db->h) == 0)
		err = ERR_ABSENT;
	if (err == 0 && row->key_count > 0)
		err = keys_replace(db, row);
	return err;
}

static int
set_last(struct db *db, const struct store_change *c)
{
	sqlite3_stmt *st =
	    db_prepare(db, "UPDATE account SET last_seen = ?2, last_status = ?3"
			   " WHERE jid = ?1");

	bind_text(st, 1, c->owner);
	sqlite3_bind_int64(st, 2, c->row.last_seen);
	bind_filled(st, 3, c->row.last_status);
	return db_run(db, st);
}

static int delete (struct db *db, struct str jid)
{
	sqlite3_stmt *st =
	    db_prepare(db, "DELETE FROM account_key WHERE jid = ?1");
	int err;

	bind_text(st, 1, jid);
	err = db_run(db, st);
	if (err < 0)
		return err;
	st = db_prepare(db, "DELETE FROM account WHERE jid = ?1");
	bind_text(st, 1, jid);
	return db_run(db, st);
}

int
account_apply(struct db *db, const struct store_change *c)
{
	switch (c->op) {
	case CHANGE_ACCOUNT_CREATE:
		return create(db, &c->row);
	case CHANGE_ACCOUNT_UPDATE:
		return update(db, &c->row);
	case CHANGE_ACCOUNT_LAST:
		return set_last(db, c);
	default:
		return delete (db, c->owner);
	}
}

/* ---- reads ------------------------------------------------------------- */

static int
keys_get(struct db *db, struct arena *a, struct account_row *row)
{
	sqlite3_stmt *st = db_prepare(db,
	    "SELECT mechanism, salt, iterations, stored_key, server_key"
	    " FROM account_key WHERE jid = ?1 ORDER BY mechanism");
	int ret;

	bind_text(st, 1, row->jid);
	while ((ret = db_step(db, st)) > 0) {
		if (row->key_count == SCRAM_KEYS_MAX) {
			db_reset(st);
			return 0;
		}
		row->keys[row->key_count++] = (struct scram_keys){
			.mechanism = column_text(a, st, 0),
			.salt = column_bytes(a, st, 1),
			.iterations = (uint32_t)sqlite3_column_int64(st, 2),
			.stored_key = column_bytes(a, st, 3),
			.server_key = column_bytes(a, st, 4),
		};
	}
	return ret;
}

static int
get(struct db *db, struct store_req *req)
{
	struct arena *a = req->arena;
	sqlite3_stmt *st = db_prepare(db,
	    "SELECT first_name, last_name, email, created, ban, last_seen,"
	    " last_status FROM account WHERE jid = ?1");
	struct account_row *row;
	int ret;

	bind_text(st, 1, req->owner);
	ret = db_step(db, st);
	if (ret <= 0)
		return ret == 0 ? ERR_ABSENT : ret;

	row = arena_new_of(a, struct account_row);
	row->jid = req->owner;
	row->first_name = column_text(a, st, 0);
	row->last_name = column_text(a, st, 1);
	row->email = column_text(a, st, 2);
	row->created = sqlite3_column_int64(st, 3);
	row->ban = column_text(a, st, 4);
	row->last_seen = sqlite3_column_int64(st, 5);
	row->last_status = column_text(a, st, 6);
	db_reset(st);
	req->row = row;
	return keys_get(db, a, row);
}

static int
list(struct db *db, struct store_req *req)
{
	sqlite3_stmt *st = db_prepare(db,
	    "SELECT local FROM account WHERE host = ?1 AND local > ?2"
	    " ORDER BY local LIMIT ?3");
	size_t cap = 0;
	int ret;

	bind_text(st, 1, req->owner);
	bind_text(st, 2, str_is_none(req->key) ? STR("") : req->key);
	sqlite3_bind_int64(st, 3, limit_of(req->limit));
	while ((ret = db_step(db, st)) > 0) {
		req->names = array_room(req->arena, req->names, req->item_count,
		    &cap, sizeof(*req->names));
		req->names[req->item_count++] = column_text(req->arena, st, 0);
	}
	return ret;
}

static int
count(struct db *db, struct store_req *req)
{
	sqlite3_stmt *st =
	    db_prepare(db, "SELECT count(*) FROM account WHERE host = ?1");
	int64_t n;
	int err;

	bind_text(st, 1, req->owner);
	err = db_number(db, st, 0, &n);
	req->count = (uint64_t)n;
	return err;
}

void
account_read(struct db *db, struct store_req *req)
{
	switch (req->op) {
	case STORE_ACCOUNT_GET:
		req->err = get(db, req);
		break;
	case STORE_ACCOUNT_LIST:
		req->err = list(db, req);
		break;
	default:
		req->err = count(db, req);
		break;
	}
}
