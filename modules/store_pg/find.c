/* SPDX-License-Identifier: MIT */
/*
 * Reading archives. Every bound of a query (times, ids, pages) becomes part
 * of one range of ids, so a page is a short walk along an index from one of
 * its ends, wherever in the archive that is; and partitions outside of the
 * range are not looked at. Ids that must be there are checked by a query
 * sent along with it.
 */
#include "modules/store_pg/pg.h"

#define IDS_MAX 4096

enum part { PART_CHECK, PART_PAGE, PART_TOTAL, PART_FIRST, PART_LAST };

/* Ids from `low` to `high`, both included. */
struct range {
	struct uuid low, high;
	bool is_empty;
};

static int
id_cmp(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
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

/* From the next id on, up to the one before. */
static void
range_after(struct range *r, struct uuid id)
{
	for (size_t i = sizeof(id.b); i-- > 0;) {
		if (++id.b[i] != 0) {
			range_from(r, &id);
			return;
		}
	}
	r->is_empty = true;
}

static void
range_before(struct range *r, struct uuid id)
{
	for (size_t i = sizeof(id.b); i-- > 0;) {
		if (id.b[i]-- != 0) {
			range_to(r, &id);
			return;
		}
	}
	r->is_empty = true;
}

static bool
range_is_empty(const struct range *r)
{
	return r->is_empty || id_cmp(&r->low, &r->high) > 0;
}

static void
range_times(const struct archive_filter *f, struct range *r)
{
	char text[UUID_LEN + 1];
	struct uuid id;

	memset(&r->low, 0, sizeof(r->low));
	memset(&r->high, 0xff, sizeof(r->high));
	r->is_empty = f->end < 0;
	if (f->start > 0) {
		uuid7_min(f->start, text);
		if (uuid_parse(str_c(text), &id))
			range_from(r, &id);
	}
	if (f->end > 0) {
		uuid7_max(f->end, text);
		if (uuid_parse(str_c(text), &id))
			range_to(r, &id);
	}
}

/* ---- bounds ------------------------------------------------------------ */

struct bounds {
	struct range all, page;
	struct uuid *known; /* must be in the archive */
	size_t known_count;
	struct uuid *ids; /* the filter's, at the end of `known` */
};

static int
known_add(struct bounds *b, struct str text, struct uuid *id_r)
{
	if (!uuid_parse(text, id_r))
		return ERR_ABSENT;
	b->known[b->known_count++] = *id_r;
	return 0;
}

static int
bounds_of(struct arena *a, const struct archive_filter *f, struct bounds *b)
{
	const struct str bound[] = { f->after_id, f->before_id, f->page_after,
		f->page_before };
	struct uuid id;

	if (f->id_count > IDS_MAX)
		return ERR_LIMIT;
	b->known = arena_alloc(a, (f->id_count + 4) * sizeof(*b->known));
	b->known_count = 0;
	range_times(f, &b->all);
	for (size_t i = 0; i < ARRAY_LEN(bound); i++) {
		struct range *r = i < 2 ? &b->all : &b->page;

		if (i == 2)
			b->page = b->all;
		if (str_is_empty(bound[i]))
			continue;
		if (known_add(b, bound[i], &id) < 0)
			return ERR_ABSENT;
		if (i % 2 == 0)
			range_after(r, id);
		else
			range_before(r, id);
	}
	b->ids = b->known + b->known_count;
	for (size_t i = 0; i < f->id_count; i++) {
		if (known_add(b, f->ids[i], &id) < 0)
			return ERR_ABSENT;
	}
	return 0;
}

/* ---- the query --------------------------------------------------------- */

#define OWNER "(SELECT key FROM archive_owner WHERE owner = $1)"
#define COLUMNS \
	"a.id, a.with_bare, a.with_resource, a.is_outgoing, a.xml, a.body," \
	" a.origin_id, a.media_url, a.media_type"

static int
check_send(struct link *l, struct job *job, const struct bounds *b)
{
	struct query q;

	query_init(&q,
	    "SELECT 1 FROM unnest($2) u(id) WHERE NOT EXISTS(SELECT 1"
	    " FROM archive a WHERE a.owner = " OWNER
	    " AND a.id = u.id) LIMIT 1");
	query_text(&q, job->req->owner);
	query_ids(&q, job->req->arena, b->known, b->known_count);
	return link_query(l, job, PART_CHECK, &q);
}

/* All that is asked of a row, but its words. */
static void
where_add(struct buf *sql, struct query *q, struct arena *a,
    const struct archive_filter *f, const struct bounds *b,
    const struct range *r)
{
	struct str resource = f->with, bare = str_cut(&resource, '/');

	buf_printf(sql, " a.id >= $%d", query_id(q, &r->low));
	buf_printf(sql, " AND a.id <= $%d", query_id(q, &r->high));
	if (!str_is_empty(f->with))
		buf_printf(sql, " AND a.with_bare = $%d", query_text(q, bare));
	if (!str_is_empty(f->with) && !str_is_none(resource))
		buf_printf(
		    sql, " AND a.with_resource = $%d", query_text(q, resource));
	if (!str_is_empty(f->origin_id))
		buf_printf(
		    sql, " AND a.origin_id = $%d", query_text(q, f->origin_id));
	if (f->has_media)
		buf_add_str(sql, STR(" AND a.media_url IS NOT NULL"));
	if (f->id_count > 0)
		buf_printf(sql, " AND a.id = ANY($%d)",
		    query_ids(q, a, b->ids, f->id_count));
}

/*
 * A search finds ids by the index of words first, which is never the order
 * of pages; the rows are fetched for the page alone.
 */
static void
hits_add(struct buf *sql, struct query *q, struct arena *a,
    const struct archive_filter *f, const struct bounds *b,
    const struct range *r, struct str words)
{
	buf_printf(sql,
	    "WITH hit AS MATERIALIZED (SELECT a.id FROM archive a WHERE"
	    " a.body IS NOT NULL AND archive_words(a.owner, a.body) @@"
	    " (SELECT archive_query(" OWNER
	    ", to_tsquery('pg_catalog.simple', archive_plain($%d)))) AND",
	    query_text(q, words));
	where_add(sql, q, a, f, b, r);
	buf_add_c(sql, ')');
}

static int
page_send(
    struct link *l, struct job *job, const struct bounds *b, struct str words)
{
	struct store_req *req = job->req;
	const struct archive_filter *f = &req->filter;
	const char *order = f->is_backwards ? " DESC" : "";
	struct buf sql = { 0 };
	struct query q;
	int err, n;

	query_init(&q, NULL);
	query_text(&q, req->owner);
	if (str_is_none(words)) {
		buf_add_str(&sql, STR("SELECT " COLUMNS " FROM archive a"
				      " WHERE a.owner = " OWNER " AND"));
		where_add(&sql, &q, req->arena, f, b, &b->page);
	} else {
		hits_add(&sql, &q, req->arena, f, b, &b->page, words);
		buf_add_str(&sql, STR(" SELECT " COLUMNS " FROM"
				      " (SELECT id FROM hit ORDER BY id"));
	}
	n = query_limit(&q, MIN(f->limit, (size_t)INT32_MAX - 1) + 1);
	if (str_is_none(words))
		buf_printf(&sql, " ORDER BY a.id%s LIMIT $%d", order, n);
	else
		buf_printf(&sql,
		    "%s LIMIT $%d) h JOIN archive a ON a.id = h.id"
		    " AND a.owner = " OWNER " ORDER BY a.id%s",
		    order, n, order);
	q.sql = str_dup_c(req->arena, buf_str(&sql));
	err = link_query(l, job, PART_PAGE, &q);
	buf_fini(&sql);
	return err;
}

static int
total_send(
    struct link *l, struct job *job, const struct bounds *b, struct str words)
{
	struct store_req *req = job->req;
	struct buf sql = { 0 };
	struct query q;
	int err;

	query_init(&q, NULL);
	query_text(&q, req->owner);
	if (str_is_none(words)) {
		buf_add_str(&sql, STR("SELECT count(*) FROM archive a"
				      " WHERE a.owner = " OWNER " AND"));
		where_add(&sql, &q, req->arena, &req->filter, b, &b->all);
	} else {
		hits_add(&sql, &q, req->arena, &req->filter, b, &b->all, words);
		buf_add_str(&sql, STR(" SELECT count(*) FROM hit"));
	}
	q.sql = str_dup_c(req->arena, buf_str(&sql));
	err = link_query(l, job, PART_TOTAL, &q);
	buf_fini(&sql);
	return err;
}

static int
search_send(struct link *l, struct job *job)
{
	struct store_req *req = job->req;
	const struct archive_filter *f = &req->filter;
	struct str words = STR_NONE;
	struct bounds b;

	req->page.is_complete = true;
	req->err = bounds_of(req->arena, f, &b);
	if (req->err != 0)
		return 0;
	if (b.known_count > 0 && check_send(l, job, &b) < 0)
		return ERR_CLOSED;
	if (!str_is_empty(f->text)) {
		words = search_query(req->arena, f->text);
		if (str_is_none(words))
			return 0;
	}
	if (!range_is_empty(&b.page) && page_send(l, job, &b, words) < 0)
		return ERR_CLOSED;
	if (f->want_total && !range_is_empty(&b.all))
		return total_send(l, job, &b, words);
	return 0;
}

static int
ends_send(struct link *l, struct job *job)
{
	struct query q;

	query_init(&q,
	    "SELECT " COLUMNS " FROM archive a WHERE a.owner = " OWNER
	    " ORDER BY a.id LIMIT 1");
	query_text(&q, job->req->owner);
	if (link_query(l, job, PART_FIRST, &q) < 0)
		return ERR_CLOSED;
	query_init(&q,
	    "SELECT " COLUMNS " FROM archive a WHERE a.owner = " OWNER
	    " ORDER BY a.id DESC LIMIT 1");
	query_text(&q, job->req->owner);
	return link_query(l, job, PART_LAST, &q);
}

int
find_send(struct link *l, struct job *job)
{
	struct store_req *req = job->req;
	struct query q;

	switch (req->op) {
	case STORE_ARCHIVE_FIND:
		return search_send(l, job);
	case STORE_ARCHIVE_ENDS:
		return ends_send(l, job);
	case STORE_ARCHIVE_OWNERS:
		query_init(&q, "SELECT owner FROM archive_owner"
			       " WHERE owner > $1 ORDER BY owner LIMIT $2");
		query_text(&q, str_is_none(req->key) ? STR("") : req->key);
		query_limit(&q, req->limit);
		return link_query(l, job, 0, &q);
	default:
		query_init(&q,
		    "SELECT count(*) FROM archive a WHERE a.owner = " OWNER);
		query_text(&q, req->owner);
		return link_query(l, job, 0, &q);
	}
}

/* ---- results ----------------------------------------------------------- */

static void
item_read(struct arena *a, const PGresult *res, int row, struct archive_item *m)
{
	struct str bare = column_text(a, res, row, 1),
		   resource = column_text(a, res, row, 2);

	m->id = PQgetlength(res, row, 0) == 16
		    ? uuid_text(a, PQgetvalue(res, row, 0))
		    : STR("");
	m->with = str_is_none(resource) ? bare
					: str_printf(a, STR_FMT "/" STR_FMT,
					      STR_ARG(bare), STR_ARG(resource));
	m->is_outgoing = column_flag(res, row, 3);
	m->xml = column_text(a, res, row, 4);
	m->body = column_text(a, res, row, 5);
	m->origin_id = column_text(a, res, row, 6);
	m->media_url = column_text(a, res, row, 7);
	m->media_type = column_text(a, res, row, 8);
}

/* One more than asked for tells whether there is more. */
static int
page_result(struct store_req *req, const PGresult *res)
{
	size_t n = (size_t)PQntuples(res);
	bool is_more = n > req->filter.limit;
	struct archive_item *items;

	n = MIN(n, req->filter.limit);
	items = arena_zalloc(req->arena, (n + 1) * sizeof(*items));
	for (size_t i = 0; i < n; i++)
		item_read(req->arena, res,
		    (int)(req->filter.is_backwards ? n - 1 - i : i), &items[i]);
	req->page.items = items;
	req->page.count = n;
	req->page.is_complete = !is_more;
	return 0;
}

static int
end_result(struct store_req *req, unsigned part, const PGresult *res)
{
	struct archive_item *items;

	if (PQntuples(res) == 0)
		return 0;
	if (part == PART_FIRST) {
		items = arena_zalloc(req->arena, 2 * sizeof(*items));
		req->page.items = items;
	} else {
		items = (struct archive_item *)(uintptr_t)req->page.items;
	}
	/* It was empty a moment before. */
	if (items == NULL)
		return 0;
	item_read(req->arena, res, 0, &items[part == PART_FIRST ? 0 : 1]);
	if (part == PART_FIRST || !str_eq(items[0].id, items[1].id))
		req->page.count = part == PART_FIRST ? 1 : 2;
	return 0;
}

int
find_result(struct job *job, unsigned part, const PGresult *res)
{
	struct store_req *req = job->req;

	if (req->op == STORE_ARCHIVE_OWNERS)
		return names_result(req, res);
	if (req->op == STORE_ARCHIVE_COUNT) {
		req->count = (uint64_t)column_number(res, 0, 0);
		return 0;
	}
	switch (part) {
	case PART_CHECK:
		return PQntuples(res) > 0 ? ERR_ABSENT : 0;
	case PART_PAGE:
		return page_result(req, res);
	case PART_TOTAL:
		req->page.total = (uint64_t)column_number(res, 0, 0);
		return 0;
	default:
		req->page.is_complete = true;
		return end_result(req, part, res);
	}
}
