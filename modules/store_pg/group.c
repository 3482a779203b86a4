/* SPDX-License-Identifier: MIT */
/*
 * Groups: what is sent in one pipeline, and what comes of it. Nothing of a
 * transaction is answered before its commit has been; reads that belong to
 * none are answered as they come.
 */
#include "modules/store_pg/pg.h"

#include <stdio.h>

#define GROUP_MIN 4
#define GROUP_BYTES ((size_t)8 << 20)
#define SLOW_MAX 8
#define STMTS_MAX 400
#define AGAIN_MAX 20

/* ---- sending ----------------------------------------------------------- */

static struct step *
step_add(struct link *l, enum step_kind kind, struct job *job)
{
	struct step *s;

	if (l->step_count == l->step_cap) {
		l->step_cap = l->step_cap == 0 ? 64 : l->step_cap * 2;
		l->steps = xrealloc(l->steps, l->step_cap * sizeof(*l->steps));
	}
	s = &l->steps[l->step_count++];
	*s = (struct step){ .kind = kind, .job = job };
	return s;
}

static struct stmt *
stmt_find(struct link *l, const char *sql)
{
	struct str text = str_c(sql);
	struct stmt *s = map_get(&l->stmts, text);

	if (s != NULL)
		return s;
	must(l->stmts.count < STMTS_MAX);
	s = xzalloc(sizeof(*s) + text.n + 1);
	memcpy(s->text, text.p, text.n + 1);
	s->n = text.n;
	s->number = l->stmt_count++;
	map_set(&l->stmts, str_mem(s->text, s->n), s);
	return s;
}

static int
query_send(struct link *l, enum step_kind kind, struct job *job, unsigned part,
    const struct query *q)
{
	static const int binary[PARAMS_MAX] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1 };
	struct stmt *s = stmt_find(l, q->sql);
	char name[16];

	snprintf(name, sizeof(name), "s%u", s->number);
	if (!s->is_ready && !s->is_sent) {
		if (PQsendPrepare(l->conn, name, q->sql, q->n, q->type) != 1)
			return ERR_CLOSED;
		s->is_sent = true;
		step_add(l, STEP_PREPARE, job)->stmt = s;
	}
	if (PQsendQueryPrepared(
		l->conn, name, q->n, q->value, q->length, binary, 1) != 1)
		return ERR_CLOSED;
	step_add(l, kind, job)->part = part;
	if (job != NULL)
		job->left++;
	return 0;
}

int
link_query(
    struct link *l, struct job *job, unsigned part, const struct query *q)
{
	return query_send(l, STEP_JOB, job, part, q);
}

static int
command_send(struct link *l, enum step_kind kind, const char *sql)
{
	struct query q;

	query_init(&q, sql);
	return query_send(l, kind, NULL, 0, &q);
}

static int
begin_send(struct link *l)
{
	struct query q;

	if (command_send(l, STEP_BEGIN, "BEGIN") < 0)
		return ERR_CLOSED;
	query_init(&q,
	    "WITH w AS (UPDATE writer SET seq = seq + 1, touched = now()"
	    " WHERE id = $1::text::uuid AND seq = $2 AND is_open RETURNING 1)"
	    " SELECT store_must(EXISTS(SELECT 1 FROM w))");
	query_text(&q, str_c(l->fence));
	query_number(&q, l->fence_seq);
	return query_send(l, STEP_FENCE, NULL, 0, &q);
}

/* Moves what fits to the group; one that failed before goes alone. */
static void
group_take(struct link *l)
{
	size_t max = l->lane == LANE_SLOW ? SLOW_MAX : l->group_max;
	size_t n = 0, bytes = 0;
	uint64_t now = clock_mono();
	struct job *job;

	while ((job = LIST_FIRST(&l->queue, struct job, node)) != NULL) {
		if (n > 0 &&
		    (n >= max || bytes >= GROUP_BYTES || job->is_alone))
			break;
		/* It was put back too often. */
		if (now >= job->due) {
			job_answer(l, job, ERR_STORE);
			continue;
		}
		list_del(&job->node);
		list_add(&l->group, &job->node);
		n++;
		if (job->req != NULL) {
			l->has_writes |= job->req->op == STORE_WRITE;
			bytes += job->req->bytes;
		}
		if (job->is_alone)
			break;
	}
}

static int
jobs_send(struct link *l)
{
	struct job *job;

	LIST_EACH(job, &l->group, struct job, node)
	{
		if (job_send(l, job) < 0)
			return ERR_CLOSED;
		if (job->left == 0 && !l->has_writes)
			job_answer(l, job, job->req->err);
	}
	return 0;
}

int
group_send(struct link *l)
{
	l->fate = FATE_FINE;
	l->culprit = NULL;
	l->culprit_err = 0;
	l->has_writes = false;
	l->step_count = l->step_at = 0;
	group_take(l);
	if (l->is_open && command_send(l, STEP_BEGIN, "ROLLBACK") < 0)
		return ERR_CLOSED;
	if (l->has_writes && begin_send(l) < 0)
		return ERR_CLOSED;
	if (jobs_send(l) < 0)
		return ERR_CLOSED;
	if (l->has_writes && command_send(l, STEP_COMMIT, "COMMIT") < 0)
		return ERR_CLOSED;
	l->is_open = false;
	if (l->step_count == 0)
		return 0;
	if (PQpipelineSync(l->conn) != 1)
		return ERR_CLOSED;
	step_add(l, STEP_SYNC, NULL);
	return 0;
}

/* ---- answers ----------------------------------------------------------- */

void
job_answer(struct link *l, struct job *job, int err)
{
	list_del(&job->node);
	desk_job_gone(l->desk, l);
	job->left = 0;
	if (job->has_clear && err == 0)
		desk_chore(l->desk, CHORE_PURGE);
	if (job->req == NULL)
		return;
	job->req->err = err;
	store_answer(job->req);
}

/* Its results are there. Slices go on behind the others. */
static void
job_done(struct link *l, struct job *job)
{
	if (job->req != NULL && job->req->err != 0)
		job_answer(l, job, job->req->err);
	else if (job_is_done(job))
		job_answer(l, job, 0);
	else {
		job->due = clock_mono() + pg_patience_ms;
		list_del(&job->node);
		list_add(&l->queue, &job->node);
	}
}

static void
group_answer(struct link *l, int err)
{
	struct job *job;

	while ((job = LIST_FIRST(&l->group, struct job, node)) != NULL) {
		if (err != 0)
			job_answer(l, job, err);
		else
			job_done(l, job);
	}
}

static void
put_back(struct link *l)
{
	struct job *job;

	LIST_EACH(job, &l->group, struct job, node)
	job_reset(job);
	list_splice(&l->group, &l->queue);
	list_splice(&l->queue, &l->group);
}

void
group_put_back(struct link *l, bool is_unsure)
{
	struct job *job;

	LIST_EACH(job, &l->group, struct job, node)
	job->is_unsure = is_unsure;
	put_back(l);
}

void
group_settle(struct link *l, bool is_committed)
{
	struct job *job;

	LIST_EACH(job, &l->queue, struct job, node)
	{
		if (!job->is_unsure)
			continue;
		job->is_unsure = false;
		if (is_committed && job->req->op == STORE_WRITE)
			job_answer(l, job, 0);
	}
}

/* ---- failures ---------------------------------------------------------- */

static const struct {
	const char *state; /* or its beginning */
	enum fate fate;
	int err;
} failures[] = {
	{ "23505", FATE_ONE, ERR_EXISTS },
	{ "RKABS", FATE_ONE, ERR_ABSENT },
	{ "22021", FATE_ONE, ERR_INVALID }, /* no UTF-8, or a NUL */
	{ "22P05", FATE_ONE, ERR_INVALID },
	/* A partition was dropped, or made, or plans are no longer right. */
	{ "23514", FATE_AGAIN, ERR_STORE },
	{ "40", FATE_AGAIN, ERR_STORE },
	{ "55P03", FATE_AGAIN, ERR_STORE },
	/* It is now a standby; it has forgotten our statements. */
	{ "25006", FATE_LOST, ERR_STORE },
	{ "25P0", FATE_LOST, ERR_STORE },
	{ "26000", FATE_LOST, ERR_STORE },
	{ "0A000", FATE_LOST, ERR_STORE },
	{ "57P", FATE_LOST, ERR_STORE },
	{ "08", FATE_LOST, ERR_STORE },
	{ "53", FATE_ALL, ERR_STORE },
	{ "57014", FATE_ALL, ERR_STORE }, /* statement_timeout */
	{ "58", FATE_ALL, ERR_STORE },
};

static void
log_failure(const PGresult *res, const char *what)
{
	static _Atomic uint64_t last;
	uint64_t now = clock_mono(), before = last;
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (before != 0 && now - before < SECONDS(1))
		return;
	last = now;
	log_error(&pg_log, "%s: %s (%s)", what, text != NULL ? text : "failed",
	    state != NULL ? state : "?");
}

static void
failure_judge(struct link *l, const struct step *s, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	l->culprit = s->job;
	l->culprit_err = ERR_STORE;
	l->fate = s->job != NULL ? FATE_ONE : FATE_ALL;
	if (state == NULL || PQstatus(l->conn) == CONNECTION_BAD) {
		l->fate = FATE_LOST;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		const char *known = failures[i].state;

		if (strncmp(state, known, strlen(known)) == 0) {
			l->fate = failures[i].fate;
			l->culprit_err = failures[i].err;
			break;
		}
	}
	if (l->fate == FATE_ONE && s->job == NULL)
		l->fate = s->kind == STEP_FENCE ? FATE_LOST : FATE_ALL;
	if (l->fate == FATE_AGAIN && ++l->again > AGAIN_MAX)
		l->fate = FATE_ALL;
	if (l->fate == FATE_ALL ||
	    (l->fate == FATE_ONE && l->culprit_err == ERR_STORE))
		log_failure(res, s->kind == STEP_COMMIT ? "commit" : "request");
}

/* The group was undone; `alone` went by itself, and is to blame. */
static void
blame(struct link *l)
{
	struct job *job = l->culprit;
	bool is_only =
	    l->group.next == &job->node && job->node.next == &l->group;

	/* Reads are not undone with others: they may fail by themselves. */
	if (is_only || !l->has_writes) {
		job_answer(l, job, l->culprit_err);
	} else {
		job->is_alone = true;
		l->group_max = MAX(l->group_max / 2, GROUP_MIN);
	}
}

static void
group_end(struct link *l)
{
	bool is_fine = l->fate == FATE_FINE;

	l->step_count = l->step_at = 0;
	if (is_fine) {
		if (l->has_writes)
			l->fence_seq++;
		l->again = 0;
		l->group_max = MIN(l->group_max * 2, GROUP_MAX);
		group_answer(l, 0);
		return;
	}
	l->is_open = PQtransactionStatus(l->conn) == PQTRANS_INERROR;
	if (l->fate == FATE_ONE)
		blame(l);
	if (l->fate == FATE_ALL)
		group_answer(
		    l, l->culprit_err != 0 ? l->culprit_err : ERR_STORE);
	put_back(l);
}

/* ---- results ----------------------------------------------------------- */

static void
fail_lost(struct link *l, const PGresult *res)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	char why[300];

	if (text != NULL)
		snprintf(why, sizeof(why), "%s", text);
	else
		connect_reason(l->conn, why, sizeof(why));
	link_lose(l, why);
}

static void
step_fine(struct link *l, struct step *s, const PGresult *res)
{
	struct job *job = s->job;
	int err;

	if (s->kind == STEP_PREPARE) {
		s->stmt->is_ready = true;
	} else if (s->kind == STEP_COMMIT &&
		   strcmp(PQcmdStatus((PGresult *)(uintptr_t)res), "COMMIT") !=
		       0) {
		l->fate = FATE_ALL;
	} else if (s->kind == STEP_JOB) {
		err = job_result(job, s->part, res);
		if (err != 0 && job->req != NULL && job->req->err == 0)
			job->req->err = err;
		if (--job->left == 0 && !l->has_writes)
			job_done(l, job);
	}
}

bool
group_result(struct link *l, const PGresult *res)
{
	struct step *s;

	if (l->step_at == l->step_count) {
		link_lose(l, "results out of step");
		return false;
	}
	s = &l->steps[l->step_at++];
	switch (PQresultStatus(res)) {
	case PGRES_PIPELINE_SYNC:
		if (s->kind != STEP_SYNC) {
			link_lose(l, "results out of step");
			return false;
		}
		group_end(l);
		return true;
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		step_fine(l, s, res);
		return true;
	case PGRES_PIPELINE_ABORTED:
		if (s->kind == STEP_PREPARE)
			s->stmt->is_sent = false;
		return true;
	default:
		if (s->kind == STEP_PREPARE)
			s->stmt->is_sent = false;
		/* A failure at the sync takes no step of its own. */
		if (s->kind == STEP_SYNC)
			l->step_at--;
		if (l->fate == FATE_FINE)
			failure_judge(l, s, res);
		if (l->fate != FATE_LOST)
			return true;
		fail_lost(l, res);
		return false;
	}
}
