/* SPDX-License-Identifier: MIT */
/*
 * Taking rows out of archives: months that are over as a whole, the rest in
 * slices, each a transaction, between which others have their turn. A job
 * whose `next` is negative is done.
 */
#include "modules/store_pg/pg.h"

#define SLICE_ROWS 500

static bool
before_of(const struct store_req *req, struct uuid *id_r)
{
	char text[UUID_LEN + 1];

	if (req->before <= 0)
		return false;
	uuid7_min(req->before, text);
	return uuid_parse(str_c(text), id_r);
}

int
expire_send(struct link *l, struct job *job)
{
	const struct store_req *req = job->req;
	struct uuid before;
	struct query q;

	if (!before_of(req, &before) || req_is_aborted(req)) {
		job->next = -1;
		return 0;
	}
	query_init(&q, job->is_dropping
			   ? "SELECT archive_drop($1, $2)"
			   : "SELECT o_count, o_next"
			     " FROM archive_expire($1, $2, $3, $4)");
	query_text(&q, req->owner);
	query_id(&q, &before);
	if (!job->is_dropping) {
		query_number(&q, job->next);
		query_number(&q, SLICE_ROWS);
	}
	return link_query(l, job, 0, &q);
}

int
expire_result(struct job *job, unsigned part, const PGresult *res)
{
	struct store_req *req = job->req;

	if (PQntuples(res) == 0)
		return ERR_STORE;
	if (job->is_dropping && PQgetisnull(res, 0, 0)) {
		job->is_dropping = false;
		return 0;
	}
	req->count += (uint64_t)column_number(res, 0, 0);
	if (!job->is_dropping)
		job->next = column_number(res, 0, 1);
	return 0;
}

/* ---- chores ------------------------------------------------------------ */

int
chore_send(struct link *l, struct job *job)
{
	struct query q;

	query_init(&q, job->chore == CHORE_AHEAD ? "SELECT archive_ahead()"
						 : "SELECT archive_purge($1)");
	if (job->chore == CHORE_PURGE)
		query_number(&q, SLICE_ROWS);
	return link_query(l, job, 0, &q);
}

int
chore_result(struct job *job, unsigned part, const PGresult *res)
{
	job->next = -1;
	if (job->chore == CHORE_PURGE && column_number(res, 0, 0) > 0)
		job->next = 0;
	return 0;
}
