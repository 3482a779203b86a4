/* SPDX-License-Identifier: MIT */
/* Archives: what is written to them, and small reads. */
#include "modules/store_sqlite/archive.h"

#include "modules/store_sqlite/tail.h"

void
bind_id(sqlite3_stmt *st, int i, const struct uuid *id)
{
	bind_bytes(st, i, str_mem(id->b, ID_LEN));
}

/*
 * No seq is ever used twice, whatever was deleted or undone: what the tail, the
 * indices and the index of words know by it would be another's.
 */
int
archive_state(struct db *db)
{
	int64_t high, entered, dead;
	int err;

	err = db_number(
	    db, db_prepare(db, "SELECT max(seq) FROM archive"), 0, &high);
	if (err == 0)
		err = db_number(db,
		    db_prepare(db, "SELECT high FROM archive_index"), 0,
		    &db->index_high);
	if (err == 0)
		err = db_number(db,
		    db_prepare(db, "SELECT entered FROM archive_index"), 0,
		    &entered);
	if (err == 0)
		err = db_number(db,
		    db_prepare(
			db, "SELECT 1 FROM archive_owner WHERE owner IS NULL"),
		    0, &dead);
	if (err != 0)
		return err;
	db->seq_high = MAX(MAX(high, entered), db->index_high);
	db->has_dead = dead != 0;
	return 0;
}

int
archive_owner(struct db *db, struct str owner, int64_t *key_r)
{
	sqlite3_stmt *st =
	    db_prepare(db, "SELECT key FROM archive_owner WHERE owner = ?1");

	bind_text(st, 1, owner);
	return db_number(db, st, 0, key_r);
}

int
row_delete(struct db *db, int64_t seq)
{
	sqlite3_stmt *st = db_prepare(db, "DELETE FROM archive WHERE seq = ?1");

	if (st != NULL)
		sqlite3_bind_int64(st, 1, seq);
	tail_change(db, seq);
	return db_run(db, st);
}

/* ---- owners that are written to ---------------------------------------- */

/* Where an owner hashes to is room for one: a power of two. */
#define OWNERS_MAX 4096
#define OWNER_TEXT_MAX 119

struct owner_key {
	int64_t key; /* 0: there is none here */
	uint8_t n;
	char text[OWNER_TEXT_MAX];
};

void
owners_forget(struct db *db)
{
	xfree(db->owners);
	db->owners = NULL;
}

/* Where the owner is noted, or is to be; NULL if it is too long for that. */
static struct owner_key *
owner_slot(struct db *db, struct str owner)
{
	if (owner.n > OWNER_TEXT_MAX)
		return NULL;
	if (db->owners == NULL)
		db->owners = xzalloc(OWNERS_MAX * sizeof(*db->owners));
	return &db->owners[str_hash(owner) & (OWNERS_MAX - 1)];
}

static int
owner_add(struct db *db, struct str owner, int64_t *key_r)
{
	struct str host = owner;
	sqlite3_stmt *st = db_prepare(
	    db, "INSERT INTO archive_owner(owner, host) VALUES(?1, ?2)");
	int err;

	str_cut(&host, '@');
	bind_text(st, 1, owner);
	bind_text(st, 2, str_is_none(host) ? owner : host);
	err = db_run(db, st);
	*key_r = sqlite3_last_insert_rowid(db->h);
	return err;
}

/* The key of an archive that is to be written to. */
static int
owner_need(struct db *db, struct str owner, int64_t *key_r)
{
	struct owner_key *slot = owner_slot(db, owner);
	int err;

	if (slot != NULL && slot->key != 0 &&
	    str_eq(str_mem(slot->text, slot->n), owner)) {
		*key_r = slot->key;
		return 0;
	}
	err = archive_owner(db, owner, key_r);
	if (err == 0 && *key_r == 0)
		err = owner_add(db, owner, key_r);
	if (err == 0 && slot != NULL) {
		slot->key = *key_r;
		slot->n = (uint8_t)owner.n;
		memcpy(slot->text, owner.p, owner.n);
	}
	return err;
}

/* ---- writes ------------------------------------------------------------ */

static void
append_bind(
    struct db *db, sqlite3_stmt *st, int64_t key, const struct archive_item *m)
{
	struct str resource = m->with, bare = str_cut(&resource, '/');

	if (st == NULL)
		return;
	sqlite3_bind_int64(st, 1, db->seq_high);
	sqlite3_bind_int64(st, 2, key);
	bind_text(st, 5, bare);
	bind_text(st, 6, resource);
	sqlite3_bind_int(st, 7, m->is_outgoing);
	bind_text(st, 8, m->xml);
	bind_text(st, 9, m->body);
	bind_text(st, 10, m->origin_id);
	bind_text(st, 11, m->media_url);
	bind_text(st, 12, m->media_type);
	bind_text(st, 13, media_id(m->media_url));
}

static int
append(struct db *db, const struct store_change *c)
{
	const struct archive_item *m = &c->item;
	sqlite3_stmt *st;
	struct uuid id;
	size_t mark = tail_mark(db);
	int64_t key, ts;
	int err;

	if (uuid7_time(m->id, &ts) < 0 || !uuid_parse(m->id, &id))
		return ERR_INVALID;
	err = owner_need(db, c->owner, &key);
	if (err == 0)
		err = tail_add(db, c->owner, key, &id, m);
	if (err < 0)
		return err;

	db->seq_high++;
	if (db->append == NULL)
		db->append = db_prepare(db,
		    "INSERT INTO archive(seq, owner, id, ts, with_bare,"
		    " with_resource, is_outgoing, xml, body, origin_id,"
		    " media_url, media_type, media_id) VALUES(?1, ?2, ?3,"
		    " ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)");
	st = db->append;
	append_bind(db, st, key, m);
	bind_id(st, 3, &id);
	if (st != NULL)
		sqlite3_bind_int64(st, 4, ts);
	err = db_run(db, st);
	if (err < 0)
		tail_undo(db, mark);
	return err;
}

/* Finds a row and takes it out of the search index. */
static int
row_forget(struct db *db, struct arena *a, int64_t key, struct str id_str,
    int64_t *seq_r)
{
	sqlite3_stmt *st;
	struct str body;
	struct uuid id;
	int ret;

	if (key == 0 || !uuid_parse(id_str, &id))
		return ERR_ABSENT;
	st = db_prepare(db,
	    "SELECT seq, body FROM archive WHERE seq ="
	    " (SELECT seq FROM archive_by_id WHERE owner = ?1 AND id = ?2)");
	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	bind_id(st, 2, &id);
	ret = db_step(db, st);
	if (ret <= 0)
		return ret == 0 ? ERR_ABSENT : ret;
	*seq_r = sqlite3_column_int64(st, 0);
	body = column_text(a, st, 1);
	db_reset(st);
	return search_forget(db, *seq_r, key, body);
}

static int
media_forget(struct db *db, int64_t key, struct str id_str)
{
	sqlite3_stmt *st = db_prepare(
	    db, "DELETE FROM archive_by_media WHERE owner = ?1 AND id = ?2");
	struct uuid id;

	uuid_parse(id_str, &id);
	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	bind_id(st, 2, &id);
	return db_run(db, st);
}

static int
replace(struct db *db, const struct store_change *c)
{
	struct arena *a;
	sqlite3_stmt *st;
	int64_t key, seq = 0;
	int err;

	err = archive_owner(db, c->owner, &key);
	if (err == 0)
		err = tail_merge(db, c->owner);
	if (err < 0)
		return err;
	a = arena_new(0);
	err = row_forget(db, a, key, c->item.id, &seq);
	arena_free(&a);
	if (err == 0)
		err = media_forget(db, key, c->item.id);
	if (err < 0)
		return err;
	tail_change(db, seq);

	st = db_prepare(db,
	    "UPDATE archive SET xml = ?2, body = NULL, media_url = NULL,"
	    " media_type = NULL, media_id = NULL WHERE seq = ?1");
	bind_text(st, 2, c->item.xml);
	if (st != NULL)
		sqlite3_bind_int64(st, 1, seq);
	return db_run(db, st);
}

/* The name goes at once, the rows when there is time. */
static int
clear_all(struct db *db, int64_t key)
{
	sqlite3_stmt *st = db_prepare(
	    db, "UPDATE archive_owner SET owner = NULL WHERE key = ?1");

	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	db->has_dead = true;
	owners_forget(db);
	return db_run(db, st);
}

static int
clear_with(struct db *db, int64_t key, struct str with)
{
	struct str bare = str_cut(&with, '/'), body;
	sqlite3_stmt *st = db_prepare(db,
	    "SELECT a.seq, a.body FROM archive_by_with i CROSS JOIN archive a"
	    " ON a.seq = i.seq WHERE i.owner = ?1 AND i.with_bare = ?2");
	struct arena *a = arena_new(0);
	int err = 0, ret;

	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	bind_text(st, 2, bare);
	while ((ret = db_step(db, st)) > 0) {
		body = column_text(a, st, 1);
		tail_change(db, sqlite3_column_int64(st, 0));
		err = search_forget(db, sqlite3_column_int64(st, 0), key, body);
		arena_reset(a);
		if (err < 0) {
			db_reset(st);
			break;
		}
	}
	arena_free(&a);
	if (ret < 0 || err < 0)
		return MIN(ret, err);

	st = db_prepare(db,
	    "DELETE FROM archive WHERE seq IN (SELECT seq"
	    " FROM archive_by_with WHERE owner = ?1 AND with_bare = ?2)");
	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	bind_text(st, 2, bare);
	return db_run(db, st);
}

static int
clear(struct db *db, const struct store_change *c)
{
	int64_t key;
	int err = archive_owner(db, c->owner, &key);

	if (err == 0)
		err = tail_merge(db, c->owner);
	if (err < 0 || key == 0)
		return err;
	if (str_is_empty(c->item.with))
		return clear_all(db, key);
	return clear_with(db, key, c->item.with);
}

/* ---- owners ------------------------------------------------------------ */

/* In order, those that have not been cleared. */
static int
owners(struct db *db, struct store_req *req)
{
	sqlite3_stmt *st =
	    db_prepare(db, "SELECT owner FROM archive_owner WHERE owner > ?1"
			   " ORDER BY owner LIMIT ?2");
	size_t cap = 0;
	int ret;

	bind_text(st, 1, str_is_none(req->key) ? STR("") : req->key);
	if (st != NULL)
		sqlite3_bind_int64(st, 2, limit_of(req->limit));
	while ((ret = db_step(db, st)) > 0) {
		req->names = array_room(req->arena, req->names, req->item_count,
		    &cap, sizeof(*req->names));
		req->names[req->item_count++] = column_text(req->arena, st, 0);
	}
	return ret;
}

void
archive_owners(struct db *db, struct store_req *req)
{
	req->err = owners(db, req);
}

int
archive_apply(struct db *db, const struct store_change *c)
{
	switch (c->op) {
	case CHANGE_ARCHIVE_APPEND:
		return append(db, c);
	case CHANGE_ARCHIVE_REPLACE:
		return replace(db, c);
	default:
		return clear(db, c);
	}
}
