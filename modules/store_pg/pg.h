/* SPDX-License-Identifier: MIT */
/*
 * The parts of the PostgreSQL backend.
 *
 * Each loop has a desk with three links, connections of its own: one for
 * writes and the reads behind them, one for short reads, one for what may
 * take long. A link works in groups: it sends all that is queued in one
 * pipeline, up to one sync, and what comes meanwhile makes the next group.
 * So a loop's writes are committed together and in order, a read behind a
 * write sees it, and groups grow with the load.
 *
 * A group of writes is one transaction. When a request of it fails, all is
 * undone and sent again, that request alone. A group begins by counting up
 * its link's own row in the table `writer`: from that the next connection
 * learns whether a commit happened whose answer was lost, and an old
 * connection that may still be at work is shut out.
 *
 * Connecting blocks (names, TLS), so a thread does it: see connect.c.
 */
#ifndef STORE_PG_PG_H
#define STORE_PG_PG_H

#include "core/module.h"

#include <libpq-fe.h>
#include <uv.h>

extern const struct store_backend pg_backend;
extern const struct log_ctx pg_log;

/* ---- queries (query.c) ------------------------------------------------- */

#define PARAMS_MAX 16

/* A statement with its parameters, which are borrowed until it is sent. */
struct query {
	const char *sql;
	int n;
	Oid type[PARAMS_MAX];
	const char *value[PARAMS_MAX];
	int length[PARAMS_MAX];
	char room[PARAMS_MAX][16]; /* of numbers and ids */
};

void query_init(struct query *q, const char *sql);
/* Each adds a parameter and answers its number. */
int query_text(struct query *q, struct str s);	 /* none: NULL */
int query_filled(struct query *q, struct str s); /* empty: NULL */
int query_bytes(struct query *q, struct str s);
int query_number(struct query *q, int64_t n);
int query_flag(struct query *q, bool flag);
int query_id(struct query *q, const struct uuid *id);
/* An array; its bytes are in the arena. */
int query_ids(
    struct query *q, struct arena *a, const struct uuid *ids, size_t count);
/* What LIMIT takes. */
int query_limit(struct query *q, size_t limit);

/* Columns of a result; texts are copied to the arena. */
struct str column_text(
    struct arena *a, const PGresult *res, int row, int column);
struct str column_bytes(
    struct arena *a, const PGresult *res, int row, int column);
int64_t column_number(const PGresult *res, int row, int column);
bool column_flag(const PGresult *res, int row, int column);

/* ---- jobs -------------------------------------------------------------- */

/* What the backend does of itself. */
enum chore {
	CHORE_NONE,
	CHORE_PURGE, /* rows of archives that were cleared */
	CHORE_AHEAD, /* partitions of the months to come */
	CHORE_COUNT,
};

/* A request on its way, in its arena; or a chore, in its desk. */
struct job {
	struct list node;
	struct store_req *req; /* or NULL */
	enum chore chore;
	uint64_t due;	/* clock_mono(): then it fails */
	uint64_t after; /* so many have left the link for writes */
	size_t left;	/* results to come */
	bool has_clear; /* leaves rows for CHORE_PURGE */
	bool is_alone;	/* failed once: to be a group of its own */
	bool is_unsure; /* sent, and the connection lost before the answer */
	/* Of an expiry. */
	bool is_dropping; /* whole partitions first */
	int64_t next;	  /* then by archives */
};

struct link;
struct errand;

/*
 * What jobs ask, and what they make of it; job_result answers why the job
 * fails, or 0. job_is_done: no, if it is to be sent once more.
 */
int job_send(struct link *l, struct job *job);
int job_result(struct job *job, unsigned part, const PGresult *res);
bool job_is_done(const struct job *job);
/* What its results have made so far is forgotten. */
void job_reset(struct job *job);

int account_send(struct link *l, struct job *job);
int account_result(struct job *job, unsigned part, const PGresult *res);
int account_change(
    struct link *l, struct job *job, const struct store_change *c);
int kv_send(struct link *l, struct job *job);
int kv_result(struct job *job, unsigned part, const PGresult *res);
int kv_change(struct link *l, struct job *job, const struct store_change *c);
int archive_change(
    struct link *l, struct job *job, const struct store_change *c);
/* Why a change can't be, before it is queued; or 0. */
int account_check(const struct store_change *c);
int archive_check(const struct store_change *c);
/* May answer the request at once, without sending: then `left` is 0. */
int find_send(struct link *l, struct job *job);
int find_result(struct job *job, unsigned part, const PGresult *res);
/* The user's words as to_tsquery() reads them; none if there are no words. */
struct str search_query(struct arena *a, struct str text);
int expire_send(struct link *l, struct job *job);
int expire_result(struct job *job, unsigned part, const PGresult *res);
int chore_send(struct link *l, struct job *job);
int chore_result(struct job *job, unsigned part, const PGresult *res);

/* Results that are lists of names. */
int names_result(struct store_req *req, const PGresult *res);

/* ---- links ------------------------------------------------------------- */

enum pg_lane { LANE_WRITE, LANE_READ, LANE_SLOW, LANE_COUNT };

enum link_state {
	LINK_DOWN, /* until somebody asks, or the timer */
	LINK_CONNECTING,
	LINK_UP,
};

/* Prepared on one connection. */
struct stmt {
	bool is_ready;
	bool is_sent;
	unsigned number;
	size_t n;
	char text[];
};

enum step_kind {
	STEP_PREPARE,
	STEP_BEGIN, /* and what else belongs to the transaction */
	STEP_FENCE,
	STEP_JOB,
	STEP_COMMIT,
	STEP_SYNC,
};

/* A result that the link waits for. */
struct step {
	struct job *job;
	struct stmt *stmt;
	enum step_kind kind;
	unsigned part; /* of the job */
};

/* How a group failed: what becomes of it. */
enum fate {
	FATE_FINE,
	FATE_ONE,   /* a request is to blame */
	FATE_AGAIN, /* a conflict: try once more */
	FATE_ALL,   /* nothing of it will do, as on a full disk */
	FATE_LOST,  /* the connection is of no use */
};

/* Jobs in a group: more of them share no more, and wait longer. */
#define GROUP_MAX 256

struct link {
	struct desk *desk;
	enum pg_lane lane;
	enum link_state state;
	PGconn *conn;
	uv_poll_t *poll;
	int events;
	struct map stmts; /* by their text */
	unsigned stmt_count;

	struct list queue; /* jobs that wait */
	struct list group; /* jobs that were sent */
	struct step *steps;
	size_t step_count, step_cap, step_at;
	bool has_writes; /* the group is a transaction */
	bool is_open;	 /* a failed transaction is to be rolled back */
	enum fate fate;
	struct job *culprit;
	int culprit_err;
	unsigned again;	    /* conflicts in a row */
	size_t group_max;   /* jobs in a group, for now */
	uint64_t busy_from; /* when the group was sent */

	char farewell[200]; /* what the server said last, or "" */
	uint64_t retry_at;  /* when down: connect then */
	unsigned tries;

	/* The row in `writer`, and how many transactions it counts. */
	char fence[33];
	int64_t fence_seq;
};

struct desk {
	struct loop *loop;
	struct deferred turn_end;
	struct timer tick; /* while something waits */
	struct timer upkeep;
	struct link link[LANE_COUNT];
	struct list held;	/* slow jobs behind writes */
	uint64_t entered, gone; /* jobs of the link for writes */
	struct job chores[CHORE_COUNT];
};

void link_init(struct link *l, struct desk *desk, enum pg_lane lane);
/* All that is left of it fails with this error. */
void link_fini(struct link *l, int err);
/* Sends what is queued, if nothing is under way; connects if need be. */
void link_go(struct link *l);
/* For job_send(): 0, or the connection is gone. */
int link_query(
    struct link *l, struct job *job, unsigned part, const struct query *q);
/* Time has passed: what waited too long fails; true while something waits. */
bool link_tick(struct link *l, uint64_t now);
bool link_is_idle(const struct link *l);
/* The errand is the caller's, its connection the link's. */
void link_connected(struct link *l, struct errand *e);
/* What its socket waits for, for poll(); and that it may be served. */
short link_poll_events(const struct link *l);
void link_serve(struct link *l);
/* The connection is given up; its jobs wait for the next. */
void link_lose(struct link *l, const char *why);

/* Sending groups, and taking their results: group.c. */
int group_send(struct link *l);
/* A result; false when the connection was lost. */
bool group_result(struct link *l, const PGresult *res);
/* Jobs of a lost connection go back to the queue. */
void group_put_back(struct link *l, bool is_unsure);
/* After the next connection has told whether the last commit happened. */
void group_settle(struct link *l, bool is_committed);
void job_answer(struct link *l, struct job *job, int err);

/* How long a request may wait for the database; tests have less. */
extern uint64_t pg_patience_ms;

/* ---- desks (backend.c) ------------------------------------------------- */

/* NULL when the store has been closed. */
struct desk *desk_of(unsigned loop_index);
/* At the start of a loop, so that it need not wait for its first request. */
void desk_start(struct loop *loop);
void desk_job_gone(struct desk *desk, struct link *l);
/* Looks at all its links after so many milliseconds. */
void desk_wake(struct desk *desk, uint64_t ms);
void desk_chore(struct desk *desk, enum chore chore);
/* No loop runs any more. */
bool pg_is_closing(void);

/* ---- connecting (connect.c) -------------------------------------------- */

/*
 * Connections are made by one thread, which posts them to their loops. On
 * failure `conn` is NULL and `why` says why. The loop owns what it gets.
 */
struct errand {
	struct list node;
	struct loop *loop;
	enum pg_lane lane;
	char old_fence[33], fence[33];
	int64_t old_seq; /* what the old row had counted, -1: there was none */
	PGconn *conn;
	char why[300];
};

/* The text is used, never logged. False if it can't be parsed. */
bool connect_set(const char *dsn);
void connect_forget(void);
/* Blocks. For opening: a connection without more ado. */
PGconn *connect_plain(char *why, size_t size);
/* Blocks: all that the errand says. */
void connect_run(struct errand *e);
void connector_start(void);
void connector_push(struct errand *e);
void connector_stop(void);
/* The first line of libpq's message. */
void connect_reason(const PGconn *conn, char *why, size_t size);

/* ---- schema (schema.c) ------------------------------------------------- */

#define SCHEMA_VERSION 1
int schema_migrate(PGconn *conn, int to, struct arena *a, const char **why_r);

#endif
