/* SPDX-License-Identifier: MIT */
/* Keyed values. */
#include "modules/store_sqlite/sqlite.h"

/* ---- writes ------------------------------------------------------------ */

static int
put(struct db *db, const struct store_change *c)
{
	sqlite3_stmt *st = db_prepare(db,
	    "INSERT INTO kv(owner, store, key, value) VALUES(?1, ?2, ?3, ?4)"
	    " ON CONFLICT DO UPDATE SET value = excluded.value");

	bind_text(st, 1, c->owner);
	bind_text(st, 2, c->store);
	bind_text(st, 3, c->key);
	bind_bytes(st, 4, c->value);
	return db_run(db, st);
}

static int
del(struct db *db, const struct store_change *c)
{
	sqlite3_stmt *st = db_prepare(
	    db, "DELETE FROM kv WHERE owner = ?1 AND store = ?2 AND key = ?3");

	bind_text(st, 1, c->owner);
	bind_text(st, 2, c->store);
	bind_text(st, 3, c->key);
	return db_run(db, st);
}

static int
clear(struct db *db, const struct store_change *c)
{
	sqlite3_stmt *st = db_prepare(
	    db, str_is_none(c->store)
		    ? "DELETE FROM kv WHERE owner = ?1"
		    : "DELETE FROM kv WHERE owner = ?1 AND store = ?2");

	bind_text(st, 1, c->owner);
	if (!str_is_none(c->store))
		bind_text(st, 2, c->store);
	return db_run(db, st);
}

int
kv_apply(struct db *db, const struct store_change *c)
{
	switch (c->op) {
	case CHANGE_KV_PUT:
		return put(db, c);
	case CHANGE_KV_DEL:
		return del(db, c);
	default:
		return clear(db, c);
	}
}

/* ---- reads ------------------------------------------------------------- */

static int
get(struct db *db, struct store_req *req)
{
	sqlite3_stmt *st =
	    db_prepare(db, "SELECT value FROM kv"
			   " WHERE owner = ?1 AND store = ?2 AND key = ?3");
	int ret;

	bind_text(st, 1, req->owner);
	bind_text(st, 2, req->store);
	bind_text(st, 3, req->key);
	ret = db_step(db, st);
	if (ret <= 0)
		return ret == 0 ? ERR_ABSENT : ret;
	req->value = column_bytes(req->arena, st, 0);
	db_reset(st);
	return 0;
}

#define LIST_SQL "SELECT key, value FROM kv WHERE owner = ?1 AND store = ?2"
#define LIST_END " LIMIT ?4"

static const char *
list_sql(const struct store_req *req)
{
	bool is_all = str_is_none(req->key);

	if (req->is_reverse)
		return is_all ? LIST_SQL " ORDER BY key DESC" LIST_END
			      : LIST_SQL
			   " AND key < ?3 ORDER BY key DESC" LIST_END;
	return is_all ? LIST_SQL " ORDER BY key" LIST_END
		      : LIST_SQL " AND key > ?3 ORDER BY key" LIST_END;
}

static int
list(struct db *db, struct store_req *req)
{
	sqlite3_stmt *st = db_prepare(db, list_sql(req));
	size_t cap = 0;
	int ret;

	bind_text(st, 1, req->owner);
	bind_text(st, 2, req->store);
	if (!str_is_none(req->key))
		bind_text(st, 3, req->key);
	sqlite3_bind_int64(st, 4, limit_of(req->limit));
	while ((ret = db_step(db, st)) > 0) {
		req->items = array_room(req->arena, req->items, req->item_count,
		    &cap, sizeof(*req->items));
		req->items[req->item_count++] = (struct kv_item){
			.key = column_text(req->arena, st, 0),
			.value = column_bytes(req->arena, st, 1),
		};
	}
	return ret;
}

static int
count(struct db *db, struct store_req *req)
{
	sqlite3_stmt *st = db_prepare(
	    db, "SELECT count(*) FROM kv WHERE owner = ?1 AND store = ?2");
	int64_t n;
	int err;

	bind_text(st, 1, req->owner);
	bind_text(st, 2, req->store);
	err = db_number(db, st, 0, &n);
	req->count = (uint64_t)n;
	return err;
}

/* One seek for each name, however many rows have it. */
static int
names(struct db *db, struct store_req *req, struct str of, const char *first,
    const char *next)
{
	struct str last = req->key;
	size_t cap = 0;

	while (req->item_count < req->limit) {
		sqlite3_stmt *st =
		    db_prepare(db, str_is_none(last) ? first : next);
		int ret;

		if (!str_is_empty(of))
			bind_text(st, 1, of);
		if (!str_is_none(last))
			bind_text(st, 2, last);
		ret = db_step(db, st);
		if (ret < 0)
			return ret;
		last = column_text(req->arena, st, 0);
		db_reset(st);
		if (str_is_none(last))
			break;
		req->names = array_room(req->arena, req->names, req->item_count,
		    &cap, sizeof(*req->names));
		req->names[req->item_count++] = last;
	}
	return 0;
}

static int
owners(struct db *db, struct store_req *req)
{
	return names(db, req, req->store,
	    "SELECT min(owner) FROM kv WHERE store = ?1",
	    "SELECT min(owner) FROM kv WHERE store = ?1 AND owner > ?2");
}

static int
stores(struct db *db, struct store_req *req)
{
	return names(db, req, STR_NONE, "SELECT min(store) FROM kv",
	    "SELECT min(store) FROM kv WHERE store > ?2");
}

static int
stores_of_owner(struct db *db, struct store_req *req)
{
	return names(db, req, req->owner,
	    "SELECT min(store) FROM kv WHERE owner = ?1",
	    "SELECT min(store) FROM kv WHERE owner = ?1 AND store > ?2");
}

static int
hosts(struct db *db, struct store_req *req)
{
	return names(db, req, STR_NONE, "SELECT min(host) FROM account",
	    "SELECT min(host) FROM account WHERE host > ?2");
}

void
kv_read(struct db *db, struct store_req *req)
{
	switch (req->op) {
	case STORE_KV_GET:
		req->err = get(db, req);
		break;
	case STORE_KV_LIST:
		req->err = list(db, req);
		break;
	case STORE_KV_COUNT:
		req->err = count(db, req);
		break;
	case STORE_KV_STORES:
		req->err = stores_of_owner(db, req);
		break;
	case STORE_STORES:
		req->err = stores(db, req);
		break;
	case STORE_HOSTS:
		req->err = hosts(db, req);
		break;
	default:
		req->err = owners(db, req);
		break;
	}
}
