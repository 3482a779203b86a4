/* SPDX-License-Identifier: MIT */
/* Accounts: a row each, and their SCRAM keys. */
#include "modules/store_pg/pg.h"

/* ---- writes ------------------------------------------------------------ */

int
account_check(const struct store_change *c)
{
	struct str host = c->row.jid, local = str_cut(&host, '@');

	return str_is_empty(host) || str_is_empty(local) ? ERR_INVALID : 0;
}

static int
keys_insert(struct link *l, struct job *job, const struct account_row *row)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < row->key_count; i++) {
		const struct scram_keys *k = &row->keys[i];
		struct query q;

		query_init(&q,
		    "INSERT INTO account_key(jid, mechanism, salt, iterations,"
		    " stored_key, server_key) VALUES($1, $2, $3, $4, $5, $6)");
		query_text(&q, row->jid);
		query_text(&q, k->mechanism);
		query_bytes(&q, k->salt);
		query_number(&q, k->iterations);
		query_bytes(&q, k->stored_key);
		query_bytes(&q, k->server_key);
		err = link_query(l, job, 0, &q);
	}
	return err;
}

static int
keys_delete(struct link *l, struct job *job, struct str jid)
{
	struct query q;

	query_init(&q, "DELETE FROM account_key WHERE jid = $1");
	query_text(&q, jid);
	return link_query(l, job, 0, &q);
}

static int
create(struct link *l, struct job *job, const struct account_row *row)
{
	struct str host = row->jid, local = str_cut(&host, '@');
	struct query q;

	query_init(&q,
	    "INSERT INTO account(jid, host, local, first_name, last_name,"
	    " email, created, ban, last_seen, last_status)"
	    " VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
	query_text(&q, row->jid);
	query_text(&q, host);
	query_text(&q, local);
	query_filled(&q, row->first_name);
	query_filled(&q, row->last_name);
	query_filled(&q, row->email);
	query_number(&q, row->created);
	query_filled(&q, row->ban);
	query_number(&q, row->last_seen);
	query_filled(&q, row->last_status);
	if (link_query(l, job, 0, &q) < 0 || keys_delete(l, job, row->jid) < 0)
		return ERR_CLOSED;
	return keys_insert(l, job, row);
}

static int
update(struct link *l, struct job *job, const struct account_row *row)
{
	struct query q;

	query_init(&q, "WITH u AS (UPDATE account SET"
		       " first_name = nullif(coalesce($2, first_name), ''),"
		       " last_name = nullif(coalesce($3, last_name), ''),"
		       " email = nullif(coalesce($4, email), ''),"
		       " ban = nullif(coalesce($5, ban), ''),"
		       " last_status = nullif(coalesce($6, last_status), ''),"
		       " created = CASE $7 WHEN 0 THEN created ELSE $7 END,"
		       " last_seen = CASE $8 WHEN 0 THEN last_seen ELSE $8 END"
		       " WHERE jid = $1 RETURNING 1)"
		       " SELECT store_must(EXISTS(SELECT 1 FROM u))");
	query_text(&q, row->jid);
	query_text(&q, row->first_name);
	query_text(&q, row->last_name);
	query_text(&q, row->email);
	query_text(&q, row->ban);
	query_text(&q, row->last_status);
	query_number(&q, row->created);
	query_number(&q, row->last_seen);
	if (link_query(l, job, 0, &q) < 0)
		return ERR_CLOSED;
	if (row->key_count == 0)
		return 0;
	if (keys_delete(l, job, row->jid) < 0)
		return ERR_CLOSED;
	return keys_insert(l, job, row);
}

static int
set_last(struct link *l, struct job *job, const struct store_change *c)
{
	struct query q;

	query_init(&q, "UPDATE account SET last_seen = $2, last_status = $3"
		       " WHERE jid = $1");
	query_text(&q, c->owner);
	query_number(&q, c->row.last_seen);
	query_filled(&q, c->row.last_status);
	return link_query(l, job, 0, &q);
}

static int delete (struct link *l, struct job *job, struct str jid)
{
	struct query q;

	if (keys_delete(l, job, jid) < 0)
		return ERR_CLOSED;
	query_init(&q, "DELETE FROM account WHERE jid = $1");
	query_text(&q, jid);
	return link_query(l, job, 0, &q);
}

int
account_change(struct link *l, struct job *job, const struct store_change *c)
{
	switch (c->op) {
	case CHANGE_ACCOUNT_CREATE:
		return create(l, job, &c->row);
	case CHANGE_ACCOUNT_UPDATE:
		return update(l, job, &c->row);
	case CHANGE_ACCOUNT_LAST:
		return set_last(l, job, c);
	default:
		return delete (l, job, c->owner);
	}
}

/* ---- reads ------------------------------------------------------------- */

enum part { PART_ROW, PART_KEYS };

static int
get_send(struct link *l, struct job *job)
{
	struct query q;

	query_init(&q,
	    "SELECT first_name, last_name, email, created, ban, last_seen,"
	    " last_status FROM account WHERE jid = $1");
	query_text(&q, job->req->owner);
	if (link_query(l, job, PART_ROW, &q) < 0)
		return ERR_CLOSED;
	query_init(&q,
	    "SELECT mechanism, salt, iterations, stored_key, server_key"
	    " FROM account_key WHERE jid = $1 ORDER BY mechanism");
	query_text(&q, job->req->owner);
	return link_query(l, job, PART_KEYS, &q);
}

static int
row_result(struct store_req *req, const PGresult *res)
{
	struct arena *a = req->arena;
	struct account_row *row;

	if (PQntuples(res) == 0)
		return ERR_ABSENT;
	row = req->row = arena_new_of(a, struct account_row);
	row->jid = req->owner;
	row->first_name = column_text(a, res, 0, 0);
	row->last_name = column_text(a, res, 0, 1);
	row->email = column_text(a, res, 0, 2);
	row->created = column_number(res, 0, 3);
	row->ban = column_text(a, res, 0, 4);
	row->last_seen = column_number(res, 0, 5);
	row->last_status = column_text(a, res, 0, 6);
	return 0;
}

static int
keys_result(struct store_req *req, const PGresult *res)
{
	struct arena *a = req->arena;
	struct account_row *row = req->row;

	for (int i = 0; row != NULL && i < PQntuples(res); i++) {
		if (row->key_count == SCRAM_KEYS_MAX)
			break;
		row->keys[row->key_count++] = (struct scram_keys){
			.mechanism = column_text(a, res, i, 0),
			.salt = column_bytes(a, res, i, 1),
			.iterations = (uint32_t)column_number(res, i, 2),
			.stored_key = column_bytes(a, res, i, 3),
			.server_key = column_bytes(a, res, i, 4),
		};
	}
	return 0;
}

int
account_send(struct link *l, struct job *job)
{
	const struct store_req *req = job->req;
	struct str after = str_is_none(req->key) ? STR("") : req->key;
	struct query q;

	switch (req->op) {
	case STORE_ACCOUNT_GET:
		return get_send(l, job);
	case STORE_ACCOUNT_LIST:
		query_init(&q,
		    "SELECT local FROM account WHERE host = $1 AND local > $2"
		    " ORDER BY local LIMIT $3");
		query_text(&q, req->owner);
		query_text(&q, after);
		query_limit(&q, req->limit);
		break;
	case STORE_HOSTS:
		query_init(&q,
		    "WITH RECURSIVE t(host) AS ("
		    "(SELECT host FROM account WHERE host > $1"
		    " ORDER BY host LIMIT 1) UNION ALL"
		    " SELECT (SELECT a.host FROM account a"
		    " WHERE a.host > t.host ORDER BY a.host LIMIT 1)"
		    " FROM t WHERE t.host IS NOT NULL)"
		    " SELECT host FROM t WHERE host IS NOT NULL LIMIT $2");
		query_text(&q, after);
		query_limit(&q, req->limit);
		break;
	default:
		query_init(&q, "SELECT count(*) FROM account WHERE host = $1");
		query_text(&q, req->owner);
		break;
	}
	return link_query(l, job, 0, &q);
}

int
account_result(struct job *job, unsigned part, const PGresult *res)
{
	struct store_req *req = job->req;

	switch (req->op) {
	case STORE_ACCOUNT_GET:
		return part == PART_ROW ? row_result(req, res)
					: keys_result(req, res);
	case STORE_ACCOUNT_LIST:
	case STORE_HOSTS:
		return names_result(req, res);
	default:
		req->count = (uint64_t)column_number(res, 0, 0);
		return 0;
	}
}
