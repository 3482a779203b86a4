/* SPDX-License-Identifier: MIT */
/* Keyed values. */
#include "modules/store_pg/pg.h"

/* ---- writes ------------------------------------------------------------ */

int
kv_change(struct link *l, struct job *job, const struct store_change *c)
{
	struct query q;

	switch (c->op) {
	case CHANGE_KV_PUT:
		query_init(&q,
		    "INSERT INTO kv(owner, store, key, value)"
		    " VALUES($1, $2, $3, $4) ON CONFLICT (owner, store, key)"
		    " DO UPDATE SET value = excluded.value");
		break;
	case CHANGE_KV_DEL:
		query_init(&q, "DELETE FROM kv"
			       " WHERE owner = $1 AND store = $2 AND key = $3");
		break;
	default:
		query_init(
		    &q, str_is_none(c->store)
			    ? "DELETE FROM kv WHERE owner = $1"
			    : "DELETE FROM kv WHERE owner = $1 AND store = $2");
		break;
	}
	query_text(&q, c->owner);
	if (c->op != CHANGE_KV_CLEAR || !str_is_none(c->store))
		query_text(&q, c->store);
	if (c->op != CHANGE_KV_CLEAR)
		query_bytes(&q, c->key);
	if (c->op == CHANGE_KV_PUT)
		query_bytes(&q, c->value);
	return link_query(l, job, 0, &q);
}

/* ---- reads ------------------------------------------------------------- */

#define LIST_SQL "SELECT key, value FROM kv WHERE owner = $1 AND store = $2"

static void
list_query(const struct store_req *req, struct query *q)
{
	bool is_all = str_is_none(req->key);

	if (req->is_reverse)
		query_init(q, is_all ? LIST_SQL " ORDER BY key DESC LIMIT $3"
				     : LIST_SQL
				  " AND key < $3 ORDER BY key DESC LIMIT $4");
	else
		query_init(q, is_all ? LIST_SQL " ORDER BY key LIMIT $3"
				     : LIST_SQL
				  " AND key > $3 ORDER BY key LIMIT $4");
	query_text(q, req->owner);
	query_text(q, req->store);
	if (!is_all)
		query_bytes(q, req->key);
	query_limit(q, req->limit);
}

/* One seek for each name, however many rows have it. */
static void
names_query(const struct store_req *req, struct query *q)
{
	bool is_owners = req->op == STORE_KV_OWNERS;

	query_init(q,
	    is_owners ? "WITH RECURSIVE t(name) AS ("
			"(SELECT owner FROM kv WHERE store = $3 AND owner > $1"
			" ORDER BY owner LIMIT 1) UNION ALL"
			" SELECT (SELECT kv.owner FROM kv WHERE store = $3 AND"
			" kv.owner > t.name ORDER BY kv.owner LIMIT 1)"
			" FROM t WHERE t.name IS NOT NULL)"
			" SELECT name FROM t WHERE name IS NOT NULL LIMIT $2"
		      : "WITH RECURSIVE t(name) AS ("
			"(SELECT store FROM kv WHERE store > $1"
			" ORDER BY store LIMIT 1) UNION ALL"
			" SELECT (SELECT kv.store FROM kv WHERE"
			" kv.store > t.name ORDER BY kv.store LIMIT 1)"
			" FROM t WHERE t.name IS NOT NULL)"
			" SELECT name FROM t WHERE name IS NOT NULL LIMIT $2");
	query_text(q, str_is_none(req->key) ? STR("") : req->key);
	query_limit(q, req->limit);
	if (is_owners)
		query_text(q, req->store);
}

static void
stores_query(const struct store_req *req, struct query *q)
{
	query_init(q, "WITH RECURSIVE t(name) AS ("
		      "(SELECT store FROM kv WHERE owner = $3 AND store > $1"
		      " ORDER BY store LIMIT 1) UNION ALL"
		      " SELECT (SELECT kv.store FROM kv WHERE kv.owner = $3 AND"
		      " kv.store > t.name ORDER BY kv.store LIMIT 1)"
		      " FROM t WHERE t.name IS NOT NULL)"
		      " SELECT name FROM t WHERE name IS NOT NULL LIMIT $2");
	query_text(q, str_is_none(req->key) ? STR("") : req->key);
	query_limit(q, req->limit);
	query_text(q, req->owner);
}

int
kv_send(struct link *l, struct job *job)
{
	const struct store_req *req = job->req;
	struct query q;

	switch (req->op) {
	case STORE_KV_GET:
		query_init(&q, "SELECT value FROM kv"
			       " WHERE owner = $1 AND store = $2 AND key = $3");
		query_text(&q, req->owner);
		query_text(&q, req->store);
		query_bytes(&q, req->key);
		break;
	case STORE_KV_LIST:
		list_query(req, &q);
		break;
	case STORE_KV_COUNT:
		query_init(&q,
		    "SELECT count(*) FROM kv WHERE owner = $1 AND store = $2");
		query_text(&q, req->owner);
		query_text(&q, req->store);
		break;
	case STORE_KV_STORES:
		stores_query(req, &q);
		break;
	default:
		names_query(req, &q);
		break;
	}
	return link_query(l, job, 0, &q);
}

static int
list_result(struct store_req *req, const PGresult *res)
{
	size_t n = (size_t)PQntuples(res);

	req->items = arena_alloc(req->arena, (n + 1) * sizeof(*req->items));
	for (size_t i = 0; i < n; i++)
		req->items[i] = (struct kv_item){
			.key = column_bytes(req->arena, res, (int)i, 0),
			.value = column_bytes(req->arena, res, (int)i, 1),
		};
	req->item_count = n;
	return 0;
}

int
kv_result(struct job *job, unsigned part, const PGresult *res)
{
	struct store_req *req = job->req;

	switch (req->op) {
	case STORE_KV_GET:
		if (PQntuples(res) == 0)
			return ERR_ABSENT;
		req->value = column_bytes(req->arena, res, 0, 0);
		return 0;
	case STORE_KV_LIST:
		return list_result(req, res);
	case STORE_KV_COUNT:
		req->count = (uint64_t)column_number(res, 0, 0);
		return 0;
	default:
		return names_result(req, res);
	}
}
