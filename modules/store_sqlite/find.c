/* SPDX-License-Identifier: MIT */
/*
 * Reading archives. Every bound of a query (times, ids, pages) becomes part
 * of one range of ids, so a page is a short walk along an index from one of
 * its ends, wherever in the archive that is.
 */
#include "modules/store_sqlite/archive.h"

/* Ids from `low` to `high`, both included. */
struct range {
	struct uuid low, high;
	bool is_empty;
};

static int
id_cmp(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, ID_LEN);
}

/* The next id up or down; false when there is none. */
static bool
id_next(struct uuid *id)
{
	for (size_t i = ID_LEN; i-- > 0;) {
		if (++id->b[i] != 0)
			return true;
	}
	return false;
}

static bool
id_prev(struct uuid *id)
{
	for (size_t i = ID_LEN; i-- > 0;) {
		if (id->b[i]-- != 0)
			return true;
	}
	return false;
}

static void
range_from(struct range *r, const struct uuid *id)
{
	if (id_cmp(id, &r->low) > 0)
		r->low = *id;
}

static void
range_to(struct range *r, const struct uuid *id)
{
	if (id_cmp(id, &r->high) < 0)
		r->high = *id;
}

static void
range_after(struct range *r, struct uuid id)
{
	if (id_next(&id))
		range_from(r, &id);
	else
		r->is_empty = true;
}

static void
range_before(struct range *r, struct uuid id)
{
	if (id_prev(&id))
		range_to(r, &id);
	else
		r->is_empty = true;
}

static bool
range_is_empty(const struct range *r)
{
	return r->is_empty || id_cmp(&r->low, &r->high) > 0;
}

/* ---- bounds ------------------------------------------------------------ */

/* ERR_ABSENT unless the archive has it. */
static int
id_check(struct db *db, int64_t key, struct str text, struct uuid *id_r)
{
	sqlite3_stmt *st;
	int64_t n;
	int err;

	if (!uuid_parse(text, id_r))
		return ERR_ABSENT;
	st = db_prepare(
	    db, "SELECT 1 FROM archive_by_id WHERE owner = ?1 AND id = ?2");
	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	bind_id(st, 2, id_r);
	err = db_number(db, st, 0, &n);
	return err == 0 && n == 0 ? ERR_ABSENT : err;
}

static int
bound_after(struct db *db, int64_t key, struct str text, struct range *r)
{
	struct uuid id;
	int err;

	if (str_is_empty(text))
		return 0;
	err = id_check(db, key, text, &id);
	if (err == 0)
		range_after(r, id);
	return err;
}

static int
bound_before(struct db *db, int64_t key, struct str text, struct range *r)
{
	struct uuid id;
	int err;

	if (str_is_empty(text))
		return 0;
	err = id_check(db, key, text, &id);
	if (err == 0)
		range_before(r, id);
	return err;
}

static void
bound_times(const struct archive_filter *f, struct range *r)
{
	char text[UUID_LEN + 1];
	struct uuid id;

	memset(&r->low, 0, sizeof(r->low));
	memset(&r->high, 0xff, sizeof(r->high));
	r->is_empty = false;
	if (f->start > 0) {
		uuid7_min(f->start, text);
		if (uuid_parse(str_c(text), &id))
			range_from(r, &id);
	}
	if (f->end < 0)
		r->is_empty = true;
	if (f->end > 0) {
		uuid7_max(f->end, text);
		if (uuid_parse(str_c(text), &id))
			range_to(r, &id);
	}
}

/* ---- the query --------------------------------------------------------- */

struct query {
	struct db *db;
	struct store_req *req;
	int64_t key;
	struct str bare, resource; /* of `with` */
	struct uuid *ids;
	struct str match; /* for the search index, or none */
};

#define COLUMNS \
	"a.id, a.with_bare, a.with_resource, a.is_outgoing, a.xml, a.body," \
	" a.origin_id, a.media_url, a.media_type"

/*
 * What is walked along: `i`, which has the seq of the row `a`. The rest tells
 * which of the two is asked for what.
 */
struct walk {
	const char *table;
	char id; /* and owner */
	char with, origin, media;
};

static const struct walk by_words = { "(SELECT rowid AS seq FROM archive_fts "
				      "WHERE archive_fts MATCH ?6)",
	'a', 'a', 'a', 'a' },
			 by_id = { "archive_by_id", 'i', 'a', 'a', 'a' },
			 by_with = { "archive_by_with", 'i', 'i', 'a', 'a' },
			 by_origin = { "archive_by_origin", 'i', 'a', 'i',
				 'a' },
			 by_media = { "archive_by_media", 'i', 'a', 'a', 'i' };

static const struct walk *
walk_of(const struct query *q)
{
	if (!str_is_none(q->match))
		return &by_words;
	if (q->req->filter.id_count > 0)
		return &by_id;
	if (!str_is_empty(q->req->filter.origin_id))
		return &by_origin;
	if (!str_is_none(q->bare))
		return &by_with;
	return q->req->filter.has_media ? &by_media : &by_id;
}

/* The numbers of the query's parameters; ids come last. */
enum {
	P_OWNER = 1,
	P_LOW,
	P_HIGH,
	P_BARE,
	P_RESOURCE,
	P_MATCH,
	P_LIMIT,
	P_ORIGIN,
	P_IDS,
};

static void
sql_ids(const struct query *q, const struct walk *w, struct buf *b)
{
	if (q->req->filter.id_count == 0)
		return;
	buf_printf(b, " AND %c.id IN (", w->id);
	for (size_t i = 0; i < q->req->filter.id_count; i++)
		buf_printf(b, "%s?%zu", i == 0 ? "" : ",", P_IDS + i);
	buf_add_c(b, ')');
}

static void
sql_where(const struct query *q, const struct walk *w, struct buf *b)
{
	const struct archive_filter *f = &q->req->filter;

	buf_printf(b, " WHERE %c.owner = ?1 AND %c.id BETWEEN ?2 AND ?3", w->id,
	    w->id);
	if (!str_is_none(q->bare))
		buf_printf(b, " AND %c.with_bare = ?4", w->with);
	if (!str_is_none(q->resource))
		buf_add_str(b, STR(" AND a.with_resource = ?5"));
	if (!str_is_empty(f->origin_id))
		buf_printf(b, " AND %c.origin_id = ?8", w->origin);
	if (f->has_media && w->media == 'a')
		buf_add_str(b, STR(" AND a.media_url IS NOT NULL"));
	sql_ids(q, w, b);
}

#define SQL_JOIN " i CROSS JOIN archive a ON a.seq = i.seq"

static const char *
sql_done(const struct query *q, struct buf *b)
{
	const char *sql = str_dup_c(q->req->arena, buf_str(b));

	buf_fini(b);
	return sql;
}

static const char *
sql_page(const struct query *q)
{
	const struct walk *w = walk_of(q);
	struct buf b = { 0 };

	buf_printf(&b, "SELECT " COLUMNS " FROM %s" SQL_JOIN, w->table);
	sql_where(q, w, &b);
	buf_printf(&b, " ORDER BY %c.id%s LIMIT ?7", w->id,
	    q->req->filter.is_backwards ? " DESC" : "");
	return sql_done(q, &b);
}

/* Does a count look at the rows themselves? */
static bool
needs_rows(const struct query *q, const struct walk *w)
{
	return w->id == 'a' || !str_is_none(q->resource) ||
	       (!str_is_none(q->bare) && w->with == 'a') ||
	       (!str_is_empty(q->req->filter.origin_id) && w->origin == 'a') ||
	       (q->req->filter.has_media && w->media == 'a');
}

static const char *
sql_count(const struct query *q)
{
	const struct walk *w = walk_of(q);
	struct buf b = { 0 };

	buf_printf(&b, "SELECT count(*) FROM %s%s", w->table,
	    needs_rows(q, w) ? SQL_JOIN : " i");
	sql_where(q, w, &b);
	return sql_done(q, &b);
}

/* Those with ids are of many shapes, and not worth keeping. */
static sqlite3_stmt *
query_prepare(const struct query *q, const char *sql)
{
	sqlite3_stmt *st = NULL;

	if (q->req->filter.id_count == 0)
		return db_prepare(q->db, sql);
	if (sqlite3_prepare_v2(q->db->h, sql, -1, &st, NULL) != SQLITE_OK)
		db_fail(q->db, "archive query by ids");
	return st;
}

static void
query_done(const struct query *q, sqlite3_stmt *st)
{
	if (q->req->filter.id_count > 0)
		sqlite3_finalize(st);
}

static void
query_bind(const struct query *q, sqlite3_stmt *st, const struct range *r)
{
	if (st == NULL)
		return;
	sqlite3_bind_int64(st, P_OWNER, q->key);
	bind_id(st, P_LOW, &r->low);
	bind_id(st, P_HIGH, &r->high);
	if (!str_is_none(q->bare))
		bind_text(st, P_BARE, q->bare);
	if (!str_is_none(q->resource))
		bind_text(st, P_RESOURCE, q->resource);
	if (!str_is_none(q->match))
		bind_text(st, P_MATCH, q->match);
	if (!str_is_empty(q->req->filter.origin_id))
		bind_text(st, P_ORIGIN, q->req->filter.origin_id);
	for (size_t i = 0; i < q->req->filter.id_count; i++)
		bind_id(st, P_IDS + (int)i, &q->ids[i]);
}

static struct str
jid_join(struct arena *a, struct str bare, struct str resource)
{
	char *p = arena_bytes(a, bare.n + 1 + resource.n + 1);

	memcpy(p, bare.p, bare.n);
	p[bare.n] = '/';
	memcpy(p + bare.n + 1, resource.p, resource.n);
	p[bare.n + 1 + resource.n] = '\0';
	return str_mem(p, bare.n + 1 + resource.n);
}

static void
item_read(struct arena *a, sqlite3_stmt *st, struct archive_item *m)
{
	struct str bare = column_text(a, st, 1),
		   resource = column_text(a, st, 2);

	m->id = sqlite3_column_bytes(st, 0) == ID_LEN
		    ? uuid_text(a, sqlite3_column_blob(st, 0))
		    : STR("");
	m->with = str_is_none(resource) ? bare : jid_join(a, bare, resource);
	m->is_outgoing = sqlite3_column_int(st, 3) != 0;
	m->xml = column_text(a, st, 4);
	m->body = column_text(a, st, 5);
	m->origin_id = column_text(a, st, 6);
	m->media_url = column_text(a, st, 7);
	m->media_type = column_text(a, st, 8);
}

static void
items_reverse(struct archive_item *items, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct archive_item tmp = items[i];

		items[i] = items[n - 1 - i];
		items[n - 1 - i] = tmp;
	}
}

/* One more than asked for tells whether there is more. */
static int
query_page(struct query *q, const struct range *r)
{
	struct store_req *req = q->req;
	bool is_backwards = req->filter.is_backwards;
	size_t limit = (size_t)limit_of(req->filter.limit), n = 0, cap = 0;
	struct archive_item *items = NULL;
	sqlite3_stmt *st;
	int ret;

	st = query_prepare(q, sql_page(q));
	query_bind(q, st, r);
	if (st != NULL)
		sqlite3_bind_int64(st, P_LIMIT, (int64_t)limit + 1);
	req->page.is_complete = true;
	while ((ret = db_step(q->db, st)) > 0) {
		if (n == limit) {
			req->page.is_complete = false;
			db_reset(st);
			ret = 0;
			break;
		}
		items = array_room(req->arena, items, n, &cap, sizeof(*items));
		item_read(req->arena, st, &items[n++]);
	}
	query_done(q, st);
	if (is_backwards)
		items_reverse(items, n);
	req->page.items = items;
	req->page.count = n;
	return ret;
}

static int
query_total(struct query *q, const struct range *r)
{
	sqlite3_stmt *st = query_prepare(q, sql_count(q));
	int64_t n;
	int err;

	query_bind(q, st, r);
	err = db_number(q->db, st, 0, &n);
	query_done(q, st);
	q->req->page.total = (uint64_t)n;
	return err;
}

/* ---- requests ---------------------------------------------------------- */

static int
query_bounds(struct query *q, struct range *all, struct range *page)
{
	const struct archive_filter *f = &q->req->filter;
	int err;

	bound_times(f, all);
	err = bound_after(q->db, q->key, f->after_id, all);
	if (err == 0)
		err = bound_before(q->db, q->key, f->before_id, all);
	*page = *all;
	if (err == 0)
		err = bound_after(q->db, q->key, f->page_after, page);
	if (err == 0)
		err = bound_before(q->db, q->key, f->page_before, page);

	if (f->id_count > 0)
		q->ids =
		    arena_alloc(q->req->arena, f->id_count * sizeof(*q->ids));
	for (size_t i = 0; err == 0 && i < f->id_count; i++)
		err = id_check(q->db, q->key, f->ids[i], &q->ids[i]);
	return err;
}

static int
find(struct db *db, struct store_req *req)
{
	struct archive_filter *f = &req->filter;
	struct query q = { .db = db, .req = req };
	struct range all, page;
	int err;

	if (f->id_count > ARCHIVE_IDS_MAX)
		return ERR_LIMIT;
	err = archive_owner(db, req->owner, &q.key);
	if (err == 0)
		err = query_bounds(&q, &all, &page);
	if (err < 0)
		return err;

	req->page.is_complete = true;
	if (!str_is_empty(f->with)) {
		q.resource = f->with;
		q.bare = str_cut(&q.resource, '/');
	}
	if (!str_is_empty(f->text)) {
		q.match = search_query(req->arena, q.key, f->text);
		if (str_is_none(q.match))
			return 0;
	}
	if (q.key == 0)
		return 0;

	if (!range_is_empty(&page))
		err = query_page(&q, &page);
	if (err == 0 && f->want_total && !range_is_empty(&all))
		err = query_total(&q, &all);
	return err;
}

static int
ends(struct db *db, struct store_req *req)
{
	static const char *const sql[] = {
		"SELECT " COLUMNS " FROM archive_by_id" SQL_JOIN
		" WHERE i.owner = ?1 ORDER BY i.id LIMIT 1",
		"SELECT " COLUMNS " FROM archive_by_id" SQL_JOIN
		" WHERE i.owner = ?1 ORDER BY i.id DESC LIMIT 1",
	};
	struct archive_item *items =
	    arena_zalloc(req->arena, 2 * sizeof(*items));
	int64_t key;
	int ret = archive_owner(db, req->owner, &key);

	req->page.items = items;
	req->page.is_complete = true;
	for (size_t i = 0; ret >= 0 && key != 0 && i < 2; i++) {
		sqlite3_stmt *st = db_prepare(db, sql[i]);

		if (st != NULL)
			sqlite3_bind_int64(st, 1, key);
		ret = db_step(db, st);
		if (ret <= 0)
			return ret;
		item_read(req->arena, st, &items[i]);
		db_reset(st);
		if (i == 0 || !str_eq(items[0].id, items[1].id))
			req->page.count = i + 1;
	}
	return MIN(ret, 0);
}

static int
count(struct db *db, struct store_req *req)
{
	sqlite3_stmt *st;
	int64_t key, n;
	int err = archive_owner(db, req->owner, &key);

	if (err < 0 || key == 0)
		return err;
	st = db_prepare(
	    db, "SELECT count(*) FROM archive_by_id WHERE owner = ?1");
	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	err = db_number(db, st, 0, &n);
	req->count = (uint64_t)n;
	return err;
}

void
archive_read(struct db *db, struct store_req *req)
{
	switch (req->op) {
	case STORE_ARCHIVE_FIND:
		req->err = find(db, req);
		break;
	case STORE_ARCHIVE_ENDS:
		req->err = ends(db, req);
		break;
	default:
		req->err = count(db, req);
		break;
	}
}
