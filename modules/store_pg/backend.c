/* SPDX-License-Identifier: MIT */
/* Opening and closing; the desks of the loops, and who goes which way. */
#include "modules/store_pg/pg.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define LOOPS_MAX 1024
#define TICK_MS SECONDS(1)
#define UPKEEP_MS HOURS(6)
/* For what is left when the server ends. */
#define DRAIN_MS SECONDS(5)
/* A database that is just starting is waited for. */
#define START_MS SECONDS(60)

/* Each touched by its loop alone, and by close when all have ended. */
static struct desk *desks[LOOPS_MAX];
static bool is_open, is_closing;
static atomic_bool has_upkeep;
uint64_t pg_patience_ms = SECONDS(30);

bool
pg_is_closing(void)
{
	return is_closing;
}

struct desk *
desk_of(unsigned loop_index)
{
	return loop_index < LOOPS_MAX ? desks[loop_index] : NULL;
}

/* ---- desks ------------------------------------------------------------- */

static void
on_tick(struct timer *t)
{
	struct desk *desk = CONTAINER_OF(t, struct desk, tick);
	uint64_t now = clock_mono(), due = now + TICK_MS;
	bool is_waiting = false;

	for (int i = 0; i < LANE_COUNT; i++) {
		struct link *l = &desk->link[i];

		is_waiting |= link_tick(l, now);
		if (l->state == LINK_DOWN && l->retry_at > now)
			due = MIN(due, l->retry_at);
	}
	if (is_waiting || !list_is_empty(&desk->held))
		desk_wake(desk, due - now);
}

void
desk_wake(struct desk *desk, uint64_t ms)
{
	if (is_closing)
		return;
	if (!timer_is_running(&desk->tick) || desk->tick.due > loop_now() + ms)
		timer_start(&desk->tick, ms + 1, on_tick);
}

static void
on_turn_end(struct deferred *d)
{
	struct desk *desk = CONTAINER_OF(d, struct desk, turn_end);

	for (int i = 0; i < LANE_COUNT; i++) {
		if (!list_is_empty(&desk->link[i].queue))
			link_go(&desk->link[i]);
	}
	desk_wake(desk, TICK_MS);
}

static void
desk_push(struct desk *desk, enum pg_lane lane, struct job *job)
{
	job->due = clock_mono() + pg_patience_ms;
	/* Nobody waits for an answer to a write as one does to a read. */
	if (lane == LANE_WRITE)
		job->due += pg_patience_ms * 3;
	if (lane == LANE_WRITE)
		desk->entered++;
	list_add(&desk->link[lane].queue, &job->node);
	if (!is_closing)
		loop_defer(&desk->turn_end, on_turn_end);
}

void
desk_chore(struct desk *desk, enum chore chore)
{
	struct job *job = &desk->chores[chore];

	if (list_is_linked(&job->node) || is_closing)
		return;
	job->chore = chore;
	desk_push(desk, LANE_SLOW, job);
}

/* What waited for writes goes when they have gone. */
void
desk_job_gone(struct desk *desk, struct link *l)
{
	struct job *job;

	if (l->lane != LANE_WRITE)
		return;
	desk->gone++;
	LIST_EACH(job, &desk->held, struct job, node)
	{
		if (job->after > desk->gone)
			break;
		list_del(&job->node);
		desk_push(desk, LANE_SLOW, job);
	}
}

static void
on_upkeep(struct timer *t)
{
	struct desk *desk = CONTAINER_OF(t, struct desk, upkeep);

	desk_chore(desk, CHORE_AHEAD);
	desk_chore(desk, CHORE_PURGE);
	timer_start(t, UPKEEP_MS, on_upkeep);
}

static struct desk *
desk_open(struct loop *loop)
{
	unsigned i = loop_index(loop);
	struct desk *desk;

	must(i < LOOPS_MAX);
	if (desks[i] != NULL)
		return desks[i];
	desk = desks[i] = xzalloc(sizeof(*desk));
	desk->loop = loop;
	list_init(&desk->held);
	for (int lane = 0; lane < LANE_COUNT; lane++)
		link_init(&desk->link[lane], desk, (enum pg_lane)lane);
	/* One of them is enough for that. */
	if (!atomic_exchange(&has_upkeep, true))
		timer_start(&desk->upkeep, 1, on_upkeep);
	/* So that the first write finds a connection. */
	desk_wake(desk, 1);
	return desk;
}

void
desk_start(struct loop *loop)
{
	if (is_open)
		desk_open(loop);
}

/* ---- requests ---------------------------------------------------------- */

static enum pg_lane
lane_of(const struct store_req *req)
{
	switch (req->op) {
	case STORE_WRITE:
		return LANE_WRITE;
	case STORE_ACCOUNT_GET:
	case STORE_KV_GET:
	case STORE_KV_LIST:
	case STORE_KV_COUNT:
		return req->is_behind ? LANE_WRITE : LANE_READ;
	case STORE_ACCOUNT_LIST:
	case STORE_ACCOUNT_COUNT:
	case STORE_KV_STORES:
	case STORE_KV_OWNERS:
		return req->is_behind ? LANE_WRITE : LANE_SLOW;
	default:
		return LANE_SLOW;
	}
}

static int
req_check(const struct store_req *req, bool *has_clear_r)
{
	int err = 0;

	*has_clear_r = false;
	for (const struct store_change *c = req->changes; c != NULL && err == 0;
	     c = c->next) {
		if (c->op == CHANGE_ARCHIVE_APPEND)
			err = archive_check(c);
		else if (c->op == CHANGE_ACCOUNT_CREATE)
			err = account_check(c);
		else if (c->op == CHANGE_ARCHIVE_CLEAR)
			*has_clear_r |= str_is_empty(c->item.with);
	}
	return err;
}

static void
backend_submit(struct store_req *req)
{
	struct desk *desk = desk_open(req->loop);
	enum pg_lane lane = lane_of(req);
	struct job *job;
	bool has_clear;

	req->err = req_check(req, &has_clear);
	if (req->err != 0) {
		store_answer(req);
		return;
	}
	job = arena_new_of(req->arena, struct job);
	job->req = req;
	job->has_clear = has_clear;
	job->is_dropping = req->op == STORE_ARCHIVE_EXPIRE;
	if (lane == LANE_SLOW && req->is_behind && desk->entered > desk->gone) {
		job->after = desk->entered;
		list_add(&desk->held, &job->node);
	} else {
		desk_push(desk, lane, job);
	}
}

int
job_send(struct link *l, struct job *job)
{
	struct store_req *req = job->req;

	job->left = 0;
	if (req == NULL)
		return chore_send(l, job);
	switch (req->op) {
	case STORE_WRITE:
		break;
	case STORE_ACCOUNT_GET:
	case STORE_ACCOUNT_LIST:
	case STORE_ACCOUNT_COUNT:
	case STORE_HOSTS:
		return account_send(l, job);
	case STORE_KV_GET:
	case STORE_KV_LIST:
	case STORE_KV_COUNT:
	case STORE_KV_STORES:
	case STORE_KV_OWNERS:
	case STORE_STORES:
		return kv_send(l, job);
	case STORE_ARCHIVE_EXPIRE:
		return expire_send(l, job);
	default:
		return find_send(l, job);
	}
	for (const struct store_change *c = req->changes; c != NULL;
	     c = c->next) {
		int err;

		if (c->op <= CHANGE_KV_CLEAR)
			err = kv_change(l, job, c);
		else if (c->op <= CHANGE_ACCOUNT_DELETE)
			err = account_change(l, job, c);
		else
			err = archive_change(l, job, c);
		if (err < 0)
			return err;
	}
	return 0;
}

int
job_result(struct job *job, unsigned part, const PGresult *res)
{
	if (job->req == NULL)
		return chore_result(job, part, res);
	switch (job->req->op) {
	case STORE_WRITE:
		return 0;
	case STORE_ACCOUNT_GET:
	case STORE_ACCOUNT_LIST:
	case STORE_ACCOUNT_COUNT:
	case STORE_HOSTS:
		return account_result(job, part, res);
	case STORE_KV_GET:
	case STORE_KV_LIST:
	case STORE_KV_COUNT:
	case STORE_KV_STORES:
	case STORE_KV_OWNERS:
	case STORE_STORES:
		return kv_result(job, part, res);
	case STORE_ARCHIVE_EXPIRE:
		return expire_result(job, part, res);
	default:
		return find_result(job, part, res);
	}
}

bool
job_is_done(const struct job *job)
{
	if (job->req != NULL && job->req->op != STORE_ARCHIVE_EXPIRE)
		return true;
	return job->next < 0;
}

void
job_reset(struct job *job)
{
	struct store_req *req = job->req;

	job->left = 0;
	if (req == NULL || req->op == STORE_ARCHIVE_EXPIRE)
		return;
	req->err = 0;
	req->count = 0;
	req->value = STR_NONE;
	req->items = NULL;
	req->names = NULL;
	req->item_count = 0;
	req->row = NULL;
	req->page = (struct archive_page){ 0 };
}

int
names_result(struct store_req *req, const PGresult *res)
{
	size_t n = (size_t)PQntuples(res);

	req->names = arena_alloc(req->arena, (n + 1) * sizeof(*req->names));
	for (size_t i = 0; i < n; i++)
		req->names[i] = column_text(req->arena, res, (int)i, 0);
	req->item_count = n;
	return 0;
}

/* ---- opening ----------------------------------------------------------- */

static void
sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static int
backend_open(
    struct arena *a, const struct store_config *config, const char **why_r)
{
	const char *dsn = config->dsn != NULL ? config->dsn : "";
	uint64_t until = clock_mono() + START_MS;
	char why[300];
	PGconn *conn;
	int err;

	if (!connect_set(dsn)) {
		*why_r = "database.dsn is no connection string of PostgreSQL";
		return ERR_CONFIG;
	}
	while ((conn = connect_plain(why, sizeof(why))) == NULL &&
	       PQping(dsn) == PQPING_REJECT && clock_mono() < until)
		sleep_ms(200);
	if (conn == NULL) {
		connect_forget();
		*why_r = arena_printf(a, "PostgreSQL: %s", why);
		return ERR_STORE;
	}
	err = schema_migrate(conn, SCHEMA_VERSION, a, why_r);
	PQfinish(conn);
	if (err < 0) {
		connect_forget();
		return err;
	}
	is_closing = false;
	atomic_store(&has_upkeep, false);
	connector_start();
	is_open = true;
	return 0;
}

static int
backend_backup(struct arena *a, const char *path, const char **why_r)
{
	*why_r = "PostgreSQL makes its own backups: use pg_dump";
	return ERR_STORE;
}

/* ---- closing ----------------------------------------------------------- */

/* Blocks for a connection, as nothing else goes on any more. */
static void
link_revive(struct link *l)
{
	struct errand e = { .loop = l->desk->loop, .lane = l->lane };

	memcpy(e.old_fence, l->fence, sizeof(e.old_fence));
	connect_run(&e);
	if (e.conn != NULL)
		link_connected(l, &e);
}

static void
link_drain(struct link *l, uint64_t until)
{
	bool is_revived = false;

	while (!link_is_idle(l) && clock_mono() < until) {
		struct pollfd fd;

		if (l->state != LINK_UP) {
			if (is_revived)
				sleep_ms(200);
			is_revived = true;
			link_revive(l);
			continue;
		}
		link_go(l);
		if (l->state != LINK_UP || l->step_count == 0)
			continue;
		fd = (struct pollfd){ PQsocket(l->conn), link_poll_events(l),
			0 };
		if (poll(&fd, 1, 1000) > 0)
			link_serve(l);
	}
}

/* Reads and expiries have nobody any more who waits for them. */
static void
desk_close(struct desk *desk, uint64_t until)
{
	struct job *job;

	timer_stop(&desk->tick);
	timer_stop(&desk->upkeep);
	loop_undefer(&desk->turn_end);
	LIST_EACH(job, &desk->held, struct job, node)
	job_answer(&desk->link[LANE_SLOW], job, ERR_CLOSED);
	link_fini(&desk->link[LANE_READ], ERR_CLOSED);
	link_fini(&desk->link[LANE_SLOW], ERR_CLOSED);
	link_drain(&desk->link[LANE_WRITE], until);
	link_fini(&desk->link[LANE_WRITE], ERR_STORE);
	xfree(desk);
}

static void
backend_close(void)
{
	uint64_t until = clock_mono() + DRAIN_MS;

	is_open = false;
	is_closing = true;
	connector_stop();
	for (size_t i = 0; i < LOOPS_MAX; i++) {
		struct desk *desk = desks[i];

		if (desk == NULL)
			continue;
		desk_close(desk, until);
		desks[i] = NULL;
	}
	connect_forget();
}

const struct store_backend pg_backend = {
	.name = "pg",
	.open = backend_open,
	.close = backend_close,
	.submit = backend_submit,
	.backup = backend_backup,
};
