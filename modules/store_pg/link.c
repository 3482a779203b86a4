/* SPDX-License-Identifier: MIT */
/*
 * A link: a connection that is made when it is needed, watched, and made
 * again when it is lost.
 */
#include "modules/store_pg/pg.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* A group may take so long, before the connection is taken for dead. */
#define STUCK_MS SECONDS(45)
#define STUCK_SLOW_MS SECONDS(150)
#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000

const struct log_ctx pg_log = { .source = "postgresql" };

/* When the database was lost; 0: all is well. One line tells of all links. */
static _Atomic uint64_t lost_at;

void
link_init(struct link *l, struct desk *desk, enum pg_lane lane)
{
	l->desk = desk;
	l->lane = lane;
	l->group_max = GROUP_MAX;
	list_init(&l->queue);
	list_init(&l->group);
}

/* ---- the socket -------------------------------------------------------- */

/*
 * What is polled is a duplicate: libpq closes its own descriptor when it sees
 * the end, and the connector's next connection may get the same number before
 * we have stopped polling.
 */
struct link_poll {
	uv_poll_t poll; /* first, as libuv hands this out */
	int fd;
};

static void
on_poll_closed(uv_handle_t *handle)
{
	struct link_poll *p = (struct link_poll *)handle;

	if (p->fd >= 0)
		close(p->fd);
	xfree(p);
}

static void
poll_end(struct link *l)
{
	if (l->poll == NULL)
		return;
	uv_poll_stop(l->poll);
	uv_close((uv_handle_t *)l->poll, on_poll_closed);
	l->poll = NULL;
	l->events = 0;
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	struct link *l = poll->data;

	/* What came before the socket's error still counts. */
	link_serve(l);
	if (status < 0 && l->poll == poll)
		link_lose(l, "the connection broke");
}

static void
poll_begin(struct link *l)
{
	struct link_poll *p;

	if (pg_is_closing())
		return;
	p = xzalloc(sizeof(*p));
	p->fd = fcntl(PQsocket(l->conn), F_DUPFD_CLOEXEC, 0);
	l->poll = &p->poll;
	must(uv_poll_init(loop_uv(l->desk->loop), l->poll,
		 p->fd >= 0 ? p->fd : PQsocket(l->conn)) == 0);
	l->poll->data = l;
}

static void
poll_update(struct link *l, bool is_full)
{
	int events = UV_READABLE | (is_full ? UV_WRITABLE : 0);

	if (events == l->events)
		return;
	l->events = events;
	if (l->poll != NULL)
		uv_poll_start(l->poll, events, on_ready);
}

short
link_poll_events(const struct link *l)
{
	return POLLIN | ((l->events & UV_WRITABLE) != 0 ? POLLOUT : 0);
}

/* Sends what libpq has; false when the connection is lost. */
static bool
flush(struct link *l)
{
	int ret = PQflush(l->conn);
	char why[300];

	if (ret < 0) {
		connect_reason(l->conn, why, sizeof(why));
		link_lose(l, why);
		return false;
	}
	poll_update(l, ret > 0);
	return true;
}

/* ---- losing and connecting --------------------------------------------- */

static void
stmts_free(struct link *l)
{
	struct stmt *s;

	for (size_t i = 0; (s = map_next(&l->stmts, &i)) != NULL;) {
		map_del(&l->stmts, str_mem(s->text, s->n));
		xfree(s);
	}
	map_fini(&l->stmts);
	l->stmts = (struct map){ 0 };
	l->stmt_count = 0;
}

static void
conn_end(struct link *l)
{
	poll_end(l);
	PQfinish(l->conn);
	l->conn = NULL;
	l->state = LINK_DOWN;
	stmts_free(l);
	l->step_count = l->step_at = 0;
	l->is_open = false;
	l->again = 0;
}

static void
retry_later(struct link *l)
{
	uint64_t ms = RETRY_MIN_MS << MIN(l->tries, 6u);

	ms = MIN(ms, RETRY_MAX_MS);
	ms = ms / 2 + random_u64() % (ms / 2 + 1);
	l->tries++;
	l->retry_at = clock_mono() + ms;
	desk_wake(l->desk, ms);
}

static void
tell_lost(const char *why)
{
	uint64_t none = 0;

	if (!pg_is_closing() &&
	    atomic_compare_exchange_strong(&lost_at, &none, clock_mono()))
		log_error(&pg_log, "database lost, requests wait: %s", why);
}

static void
tell_back(void)
{
	uint64_t since = atomic_exchange(&lost_at, 0);

	if (since != 0)
		log_notice(&pg_log, "database back after %.1f s",
		    (double)(clock_mono() - since) / 1000);
}

void
link_lose(struct link *l, const char *why)
{
	bool was_sent = l->step_count > 0;

	tell_lost(l->farewell[0] != '\0' ? l->farewell : why);
	group_put_back(l, was_sent && l->has_writes);
	conn_end(l);
	retry_later(l);
}

/* What the server says unasked, before it ends a connection. */
static void
on_notice(void *arg, const PGresult *res)
{
	struct link *l = arg;
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (state != NULL && strncmp(state, "57P", 3) == 0 && text != NULL)
		snprintf(l->farewell, sizeof(l->farewell), "%s", text);
}

static void
connect_ask(struct link *l)
{
	struct errand *e;

	if (pg_is_closing())
		return;
	e = xzalloc(sizeof(*e));
	e->loop = l->desk->loop;
	e->lane = l->lane;
	memcpy(e->old_fence, l->fence, sizeof(e->old_fence));
	l->state = LINK_CONNECTING;
	connector_push(e);
}

void
link_connected(struct link *l, struct errand *e)
{
	if (e->conn == NULL) {
		l->state = LINK_DOWN;
		tell_lost(e->why);
		retry_later(l);
		return;
	}

	l->conn = e->conn;
	l->state = LINK_UP;
	l->tries = 0;
	l->farewell[0] = '\0';
	PQsetNoticeReceiver(l->conn, on_notice, l);
	if (l->lane == LANE_WRITE) {
		group_settle(l, e->old_seq > l->fence_seq);
		memcpy(l->fence, e->fence, sizeof(l->fence));
		l->fence_seq = 0;
	}
	poll_begin(l);
	poll_update(l, false);
	tell_back();
	link_go(l);
}

/* ---- working ----------------------------------------------------------- */

void
link_go(struct link *l)
{
	char why[300];

	if (l->state == LINK_DOWN && clock_mono() >= l->retry_at &&
	    (!list_is_empty(&l->queue) || l->lane == LANE_WRITE))
		connect_ask(l);
	while (l->state == LINK_UP && l->step_count == 0 &&
	       (!list_is_empty(&l->queue) || l->is_open)) {
		l->busy_from = clock_mono();
		if (group_send(l) < 0) {
			connect_reason(l->conn, why, sizeof(why));
			link_lose(l, why);
			return;
		}
		if (l->step_count > 0 && !flush(l))
			return;
	}
}

/*
 * Takes the results that are there. libpq puts a NULL behind those of a
 * command; more of them in a row mean that we are out of step.
 */
static bool
results_take(struct link *l)
{
	unsigned nulls = 0;

	while (l->step_count > 0 && !PQisBusy(l->conn)) {
		PGresult *res = PQgetResult(l->conn);
		bool is_up;

		if (res == NULL) {
			if (++nulls < 4)
				continue;
			link_lose(l, "results out of step");
			return false;
		}
		nulls = 0;
		l->busy_from = clock_mono();
		is_up = group_result(l, res);
		PQclear(res);
		if (!is_up)
			return false;
	}
	return true;
}

void
link_serve(struct link *l)
{
	char why[300];

	if (PQconsumeInput(l->conn) == 0) {
		/* Results that came before the end still count. */
		connect_reason(l->conn, why, sizeof(why));
		if (results_take(l) && l->state == LINK_UP)
			link_lose(l, why);
		return;
	}
	if (!results_take(l) || !flush(l))
		return;
	if (PQstatus(l->conn) == CONNECTION_BAD) {
		connect_reason(l->conn, why, sizeof(why));
		link_lose(l, why);
		return;
	}
	link_go(l);
}

bool
link_is_idle(const struct link *l)
{
	return list_is_empty(&l->queue) && list_is_empty(&l->group) &&
	       l->step_count == 0;
}

/* Those at the front have waited longest. */
static void
queue_expire(struct link *l, uint64_t now)
{
	struct job *job;

	while ((job = LIST_FIRST(&l->queue, struct job, node)) != NULL) {
		if (now < job->due)
			return;
		job_answer(l, job, ERR_STORE);
	}
}

bool
link_tick(struct link *l, uint64_t now)
{
	uint64_t stuck = l->lane == LANE_SLOW ? STUCK_SLOW_MS : STUCK_MS;

	if (l->step_count > 0 && now - l->busy_from > stuck)
		link_lose(l, "it does not answer");
	queue_expire(l, now);
	link_go(l);
	return !link_is_idle(l) ||
	       (l->lane == LANE_WRITE && l->state != LINK_UP);
}

void
link_fini(struct link *l, int err)
{
	struct job *job;

	if (l->conn != NULL) {
		group_put_back(l, false);
		conn_end(l);
	}
	while ((job = LIST_FIRST(&l->queue, struct job, node)) != NULL)
		job_answer(l, job, err);
	xfree(l->steps);
}
