/* SPDX-License-Identifier: MIT */
/*
 * Making connections. To look a name up, to do TLS and to log in may all
 * block, so one thread does it for all links; a lost database is thus also
 * asked by one at a time.
 */
#include "modules/store_pg/pg.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list queue;
	bool is_ending;
	pthread_t thread;
	char *dsn;
} connector = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
};

/*
 * JIT compiles what runs for a millisecond. Plans are made once: every
 * statement here has one way that is right whatever its parameters.
 */
static const char settings[] =
    "SET jit = off; SET plan_cache_mode = force_generic_plan;"
    "SET idle_in_transaction_session_timeout = '60s';"
    "SET lock_timeout = '20s'; SET standard_conforming_strings = on;"
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') IN ('off', 'local');";

/*
 * Pages are walked along an index from an end, never sorted or hashed,
 * whatever the planner thinks of how many rows there are.
 */
static const char *const lane_settings[LANE_COUNT] = {
	[LANE_WRITE] = "SET statement_timeout = '30s'",
	[LANE_READ] = "SET statement_timeout = '30s'; SET enable_seqscan = off",
	[LANE_SLOW] = "SET statement_timeout = '120s'; SET enable_sort = off;"
		      "SET enable_seqscan = off; SET enable_hashjoin = off;"
		      "SET enable_mergejoin = off",
};

/* ---- parameters -------------------------------------------------------- */

bool
connect_set(const char *dsn)
{
	char *why = NULL;
	PQconninfoOption *opts = PQconninfoParse(dsn, &why);
	bool is_fine = opts != NULL;

	PQconninfoFree(opts);
	/* It may quote what it has not understood: a password, say. */
	PQfreemem(why);
	if (is_fine)
		connector.dsn = xstrdup(dsn);
	return is_fine;
}

void
connect_forget(void)
{
	xfree(connector.dsn);
	connector.dsn = NULL;
}

void
connect_reason(const PGconn *conn, char *why, size_t size)
{
	const char *text = conn != NULL ? PQerrorMessage(conn) : "";
	size_t n = strcspn(text, "\n");

	if (n == 0)
		snprintf(why, size, "the connection broke");
	else
		snprintf(why, size, "%.*s", (int)n, text);
}

static void
on_notice(void *arg, const PGresult *res)
{
}

/* What stands before the dsn may be overruled by it, what is after not. */
static PGconn *
connect_named(const char *name)
{
	const char *const keys[] = { "connect_timeout", "keepalives_idle",
		"keepalives_interval", "keepalives_count", "tcp_user_timeout",
		"dbname", "client_encoding", "application_name", NULL };
	const char *const values[] = { "10", "30", "10", "3", "40000",
		connector.dsn, "UTF8", name, NULL };

	PGconn *conn = PQconnectdbParams(keys, values, 1);

	if (conn != NULL)
		PQsetNoticeReceiver(conn, on_notice, NULL);
	return conn;
}

PGconn *
connect_plain(char *why, size_t size)
{
	PGconn *conn = connect_named("rookery");

	if (conn != NULL && PQstatus(conn) == CONNECTION_OK)
		return conn;
	connect_reason(conn, why, size);
	PQfinish(conn);
	return NULL;
}

/* ---- one connection ---------------------------------------------------- */

static bool
run(PGconn *conn, const char *sql)
{
	PGresult *res = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(res);

	PQclear(res);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* A row of one number, or `none` when there is no row; false: it failed. */
static bool
ask(PGconn *conn, const char *sql, const char *arg, int64_t none,
    int64_t *number_r)
{
	PGresult *res = PQexecParams(conn, sql, 1, NULL, &arg, NULL, NULL, 1);
	bool is_fine = PQresultStatus(res) == PGRES_TUPLES_OK;

	*number_r = none;
	if (is_fine && PQntuples(res) > 0)
		*number_r = column_number(res, 0, 0);
	PQclear(res);
	return is_fine;
}

/*
 * The old connection may still be at work, on the other side of a network
 * that has lost us. It is ended; then its row is closed, which waits for its
 * transaction, and fails whatever it may yet begin. To ask twice does no harm.
 */
static bool
fence_take_over(PGconn *conn, struct errand *e)
{
	char name[64];
	int64_t n;

	e->old_seq = -1;
	if (e->old_fence[0] != '\0') {
		snprintf(name, sizeof(name), "rookery %s", e->old_fence);
		if (!ask(conn,
			"SELECT count(pg_terminate_backend(pid))"
			" FROM pg_stat_activity WHERE application_name = $1"
			" AND pid <> pg_backend_pid()",
			name, 0, &n) ||
		    !ask(conn,
			"UPDATE writer SET is_open = false"
			" WHERE id = $1::uuid RETURNING seq",
			e->old_fence, -1, &e->old_seq))
			return false;
	}
	return ask(conn,
	    "INSERT INTO writer(id, seq, touched) VALUES($1::uuid, 0, now())"
	    " RETURNING seq",
	    e->fence, 0, &n);
}

void
connect_run(struct errand *e)
{
	char name[64];
	PGconn *conn;

	if (e->lane == LANE_WRITE) {
		snprintf(e->fence, sizeof(e->fence), "%016llx%016llx",
		    (unsigned long long)random_u64(),
		    (unsigned long long)random_u64());
		snprintf(name, sizeof(name), "rookery %s", e->fence);
	} else {
		snprintf(name, sizeof(name), "rookery");
	}
	conn = connect_named(name);
	if (conn != NULL && PQstatus(conn) == CONNECTION_OK &&
	    run(conn, settings) && run(conn, lane_settings[e->lane]) &&
	    (e->lane != LANE_WRITE || fence_take_over(conn, e)) &&
	    PQsetnonblocking(conn, 1) == 0 && PQenterPipelineMode(conn) == 1) {
		e->conn = conn;
		return;
	}
	connect_reason(conn, e->why, sizeof(e->why));
	PQfinish(conn);
}

/* ---- the thread -------------------------------------------------------- */

/* On the loop: the link takes the connection, if it is still there. */
static void
on_errand(void *msg)
{
	struct errand *e = msg;
	struct desk *desk = desk_of(loop_index(e->loop));

	if (desk != NULL)
		link_connected(&desk->link[e->lane], e);
	else
		PQfinish(e->conn);
	xfree(e);
}

static struct errand *
queue_take(void)
{
	struct errand *e;

	pthread_mutex_lock(&connector.lock);
	while (list_is_empty(&connector.queue) && !connector.is_ending)
		pthread_cond_wait(&connector.more, &connector.lock);
	e = connector.is_ending
		? NULL
		: LIST_FIRST(&connector.queue, struct errand, node);
	if (e != NULL)
		list_del(&e->node);
	pthread_mutex_unlock(&connector.lock);
	return e;
}

static void *
connector_main(void *arg)
{
	struct errand *e;

	while ((e = queue_take()) != NULL) {
		connect_run(e);
		loop_post(e->loop, on_errand, e);
	}
	arena_thread_done();
	return NULL;
}

void
connector_start(void)
{
	sigset_t all, old;

	list_init(&connector.queue);
	connector.is_ending = false;
	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	must(
	    pthread_create(&connector.thread, NULL, connector_main, NULL) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void
connector_push(struct errand *e)
{
	pthread_mutex_lock(&connector.lock);
	list_add(&connector.queue, &e->node);
	pthread_cond_signal(&connector.more);
	pthread_mutex_unlock(&connector.lock);
}

void
connector_stop(void)
{
	struct errand *e;

	pthread_mutex_lock(&connector.lock);
	connector.is_ending = true;
	pthread_cond_signal(&connector.more);
	pthread_mutex_unlock(&connector.lock);
	pthread_join(connector.thread, NULL);
	LIST_EACH(e, &connector.queue, struct errand, node)
	{
		list_del(&e->node);
		xfree(e);
	}
}
