/* SPDX-License-Identifier: MIT */
/*
 * The writer thread. It takes all that is queued, never waiting for more, so
 * that the groups grow with the load; commits it as one transaction; then
 * answers. A request that fails undoes itself only. Long work (retention,
 * clearing, the search index) is done in slices between the groups.
 */
#include "modules/store_sqlite/tail.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

/*
 * Requests in a group. Each owner has pages of its own in each index: the more
 * of its messages are in a group, the less often those are written.
 */
#define GROUP_MAX 8000
/*
 * How long a slice with its commit may keep a group waiting. The part before
 * the commit adapts to that, and has its own bound.
 */
#define SLICE_MS 10
#define SLICE_PART_MS 5
/* The search index is brought up to date when nothing came for so long. */
#define IDLE_MS 1000
/* If nothing ever stops coming: from so many rows on, a slice now and then. */
#define BACKLOG_ROWS 20000
#define BACKLOG_MS 100
/* After a slice failed (a full disk). */
#define RETRY_MS 30000

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list queue;
	bool is_ending;
	pthread_t thread;

	/* The thread's own. */
	struct db db;
	struct list taken;    /* from the queue, for the next groups */
	struct list searches; /* wait for the index, then go to a reader */
	struct list expiries;
	uint64_t rest_until; /* clock_mono(): no slices of our own before */
	uint64_t index_rest_until;
	uint64_t slice_ms;
	bool is_lazy; /* commits need not reach the disk */
	/* When this transaction began. */
	struct {
		size_t tail;
		int64_t index_high;
		bool has_dead;
	} mark;
} writer = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- one request ------------------------------------------------------- */

int
change_apply(struct db *db, const struct store_change *c)
{
	switch (c->op) {
	case CHANGE_KV_PUT:
	case CHANGE_KV_DEL:
	case CHANGE_KV_CLEAR:
		return kv_apply(db, c);
	case CHANGE_ACCOUNT_CREATE:
	case CHANGE_ACCOUNT_UPDATE:
	case CHANGE_ACCOUNT_LAST:
	case CHANGE_ACCOUNT_DELETE:
		return account_apply(db, c);
	default:
		return archive_apply(db, c);
	}
}

/*
 * A single statement undoes itself. So does an append, but for the name of an
 * archive that is left without messages, which does no harm.
 */
static bool
is_one_statement(const struct store_change *c)
{
	return c == NULL ||
	       (c->next == NULL &&
		   (c->op == CHANGE_KV_PUT || c->op == CHANGE_KV_DEL ||
		       c->op == CHANGE_KV_CLEAR ||
		       c->op == CHANGE_ARCHIVE_APPEND));
}

static int
run(const char *sql)
{
	return db_run(&writer.db, db_prepare(&writer.db, sql));
}

/* After some failures SQLite has ended the transaction by itself. */
static bool
is_in_transaction(void)
{
	return sqlite3_get_autocommit(writer.db.h) == 0;
}

static int
write_run(const struct store_change *changes)
{
	bool is_one = is_one_statement(changes);
	size_t mark = tail_mark(&writer.db);
	int err = is_one ? 0 : run("SAVEPOINT request");

	for (const struct store_change *c = changes; err == 0 && c != NULL;
	     c = c->next)
		err = change_apply(&writer.db, c);
	if (is_one || !is_in_transaction())
		return err;
	if (err != 0) {
		run("ROLLBACK TO request");
		owners_forget(&writer.db);
		tail_undo(&writer.db, mark);
	}
	run("RELEASE request");
	return err;
}

/* ---- a group ----------------------------------------------------------- */

static void
list_move(struct list *to, struct list *node)
{
	list_del(node);
	list_add(to, node);
}

/* Archive reads may be slow: they only wait here for the commit. */
static void
group_sort(struct list *group, struct list *later)
{
	struct store_req *req;

	LIST_EACH(req, group, struct store_req, node)
	{
		if (req->op == STORE_ARCHIVE_EXPIRE)
			list_move(&writer.expiries, &req->node);
		else if (is_archive_read(req))
			list_move(later, &req->node);
	}
}

static void
group_execute(struct list *group)
{
	struct store_req *req;

	LIST_EACH(req, group, struct store_req, node)
	{
		if (!is_in_transaction())
			return;
		if (req->op == STORE_WRITE)
			req->err = write_run(req->changes);
		else
			req_read(&writer.db, req);
	}
}

/* Nothing of the group was kept. Reads are asked again, elsewhere. */
static void
group_fail(struct list *group, struct list *later)
{
	struct store_req *req;

	LIST_EACH(req, group, struct store_req, node)
	{
		req->err = ERR_STORE;
		if (req->op == STORE_WRITE)
			continue;
		req->items = NULL;
		req->names = NULL;
		req->item_count = 0;
		list_move(later, &req->node);
	}
}

/* Asks the database nothing: it may be what fails. */
static void
rollback(void)
{
	if (is_in_transaction())
		run("ROLLBACK");
	owners_forget(&writer.db);
	tail_undo(&writer.db, writer.mark.tail);
	writer.db.index_high = writer.mark.index_high;
	writer.db.has_dead = writer.mark.has_dead;
}

/* Slices are not worth an fsync: their work can be done again. */
static void
set_lazy(bool is_lazy)
{
	if (writer.is_lazy == is_lazy)
		return;
	if (db_exec(&writer.db, is_lazy ? "PRAGMA synchronous=NORMAL"
					: "PRAGMA synchronous=FULL") == 0)
		writer.is_lazy = is_lazy;
}

static int
begin(bool is_lazy)
{
	set_lazy(is_lazy);
	writer.mark.tail = tail_mark(&writer.db);
	writer.mark.index_high = writer.db.index_high;
	writer.mark.has_dead = writer.db.has_dead;
	if (writer.is_lazy && !is_lazy)
		return ERR_STORE;
	return run("BEGIN IMMEDIATE");
}

static int
commit(void)
{
	int err = is_in_transaction() ? run("COMMIT") : ERR_STORE;

	if (err == 0)
		tail_commit(&writer.db);
	return err;
}

/*
 * Archives that are to be read are brought up to date. Where that fails, as
 * on a full disk, an error tells more than history with a hole at its end.
 */
static void
tails_merge(struct list *reads)
{
	struct store_req *req;
	int err = begin(true);

	LIST_EACH(req, reads, struct store_req, node)
	{
		if (err == 0 && is_archive_read(req))
			err = tail_merge(&writer.db, req->owner);
	}
	if (err == 0)
		err = commit();
	if (err == 0)
		return;
	rollback();
	LIST_EACH(req, reads, struct store_req, node)
	{
		if (!is_archive_read(req) || !tail_has(req->owner))
			continue;
		list_del(&req->node);
		req->err = err;
		store_answer(req);
	}
}

static void
reads_pass_on(struct list *reads)
{
	bool is_behind = false;
	struct store_req *req;

	LIST_EACH(req, reads, struct store_req, node)
	{
		is_behind |= is_archive_read(req) && tail_has(req->owner);
	}
	if (is_behind)
		tails_merge(reads);
	LIST_EACH(req, reads, struct store_req, node)
	{
		if (!str_is_empty(req->filter.text))
			list_move(&writer.searches, &req->node);
	}
	readers_push(reads);
}

static void
group_run(struct list *group)
{
	struct list later;
	struct store_req *req;
	int err = 0;

	list_init(&later);
	group_sort(group, &later);
	if (!list_is_empty(group)) {
		err = begin(false);
		if (err == 0) {
			group_execute(group);
			err = commit();
		}
		if (err != 0) {
			rollback();
			group_fail(group, &later);
		}
	}

	LIST_EACH(req, group, struct store_req, node)
	{
		list_del(&req->node);
		store_answer(req);
	}
	reads_pass_on(&later);
}

/* ---- slices ------------------------------------------------------------ */

static void
answer_first(struct list *reqs, int err)
{
	struct store_req *req = LIST_FIRST(reqs, struct store_req, node);

	list_del(&req->node);
	req->err = err;
	store_answer(req);
}

/* Runs one in a transaction: 1 when its work is done, 0 or an error. */
static int
slice_run(int (*slice)(uint64_t until))
{
	uint64_t start = clock_mono();
	int ret = begin(true), err;

	if (ret < 0)
		return ret;
	ret = slice(start + writer.slice_ms);
	err = ret >= 0 ? commit() : ret;
	if (err < 0)
		rollback();
	if (clock_mono() - start > SLICE_MS)
		writer.slice_ms = MAX(writer.slice_ms / 2, 1);
	else
		writer.slice_ms = MIN(writer.slice_ms + 1, SLICE_PART_MS);
	return err < 0 ? err : ret;
}

static int
slice_index(uint64_t until)
{
	return search_index_slice(&writer.db, until);
}

static int
slice_tail(uint64_t until)
{
	return tail_slice(&writer.db, until);
}

static int
slice_purge(uint64_t until)
{
	return archive_purge_slice(&writer.db, until);
}

static int
slice_vacuum(uint64_t until)
{
	return archive_vacuum_slice(&writer.db, until);
}

static int
slice_expire(uint64_t until)
{
	return archive_expire_slice(&writer.db,
	    LIST_FIRST(&writer.expiries, struct store_req, node), until);
}

static void
run_searches(void)
{
	int ret = 1;

	if (writer.db.index_high < writer.db.seq_high)
		ret = slice_run(slice_index);
	if (ret > 0)
		readers_push(&writer.searches);
	else if (ret < 0)
		answer_first(&writer.searches, ret);
}

static void
run_expiry(void)
{
	int ret = slice_run(slice_expire);

	if (ret != 0)
		answer_first(&writer.expiries, MIN(ret, 0));
}

/* What nobody waits for. */
static void
run_own(bool is_idle)
{
	int (*slice)(uint64_t until) = slice_index;

	if (tail_is_due(&writer.db) || (is_idle && !tail_is_empty(&writer.db)))
		slice = slice_tail;
	else if (writer.db.has_dead)
		slice = slice_purge;
	else if (writer.db.has_slack)
		slice = slice_vacuum;
	if (slice_run(slice) < 0)
		writer.rest_until = clock_mono() + RETRY_MS;
}

static bool
is_asked(void)
{
	return !list_is_empty(&writer.searches) ||
	       !list_is_empty(&writer.expiries);
}

static bool
has_own_work(void)
{
	return writer.db.has_dead || writer.db.has_slack ||
	       !tail_is_empty(&writer.db) ||
	       writer.db.index_high < writer.db.seq_high;
}

/* Should our own work have its turn now? */
static bool
is_own_time(bool is_idle)
{
	uint64_t now = clock_mono();

	if (now < writer.rest_until)
		return false;
	if (is_idle || writer.db.has_dead)
		return has_own_work();
	if (tail_is_due(&writer.db))
		return true;
	if (writer.db.seq_high - writer.db.index_high < BACKLOG_ROWS ||
	    now < writer.index_rest_until)
		return false;
	writer.index_rest_until = now + BACKLOG_MS;
	return true;
}

/*
 * One slice, so that searches, retention and clearing take turns. The tail has
 * its turn though they never end: it grows with what comes meanwhile.
 */
static void
slice_next(bool is_idle)
{
	static unsigned turn;
	bool is_tails = turn++ % 3 == 0 && tail_is_due(&writer.db) &&
			clock_mono() >= writer.rest_until;

	if (!is_tails && !list_is_empty(&writer.searches) &&
	    (turn % 2 == 0 || list_is_empty(&writer.expiries)))
		run_searches();
	else if (!is_tails && !list_is_empty(&writer.expiries))
		run_expiry();
	else if (is_own_time(is_idle))
		run_own(is_idle);
}

/* ---- the thread -------------------------------------------------------- */

static void
wait_until(uint64_t mono_ms)
{
	struct timespec ts = {
		.tv_sec = (time_t)(mono_ms / 1000),
		.tv_nsec = (long)(mono_ms % 1000) * 1000000,
	};

	pthread_cond_timedwait(&writer.more, &writer.lock, &ts);
}

/*
 * Takes what is queued. Waits for it, unless there are slices to do. When
 * nothing came for a while, and as long as nothing comes then, the writer is
 * idle and does what nobody waits for. False when it is time to end.
 */
static bool
queue_take(struct list *group, bool *is_idle)
{
	uint64_t now = clock_mono();
	uint64_t due = MAX(now + IDLE_MS, writer.rest_until);
	bool may_work = has_own_work() && now >= writer.rest_until;
	bool is_busy = is_asked() || (writer.db.has_dead && may_work) ||
		       !list_is_empty(&writer.taken);
	bool is_ending;

	*is_idle = *is_idle && may_work;
	pthread_mutex_lock(&writer.lock);
	while (list_is_empty(&writer.queue) && !writer.is_ending && !is_busy &&
	       !*is_idle) {
		if (!has_own_work()) {
			pthread_cond_wait(&writer.more, &writer.lock);
			continue;
		}
		wait_until(due);
		*is_idle = clock_mono() >= due;
	}
	list_splice(&writer.taken, &writer.queue);
	is_ending = writer.is_ending;
	pthread_mutex_unlock(&writer.lock);
	for (size_t i = 0; i < GROUP_MAX && !list_is_empty(&writer.taken); i++)
		list_move(group, writer.taken.next);
	*is_idle = *is_idle && list_is_empty(group);
	return !list_is_empty(group) || !is_ending;
}

static void *
writer_main(void *arg)
{
	struct list group;
	bool is_idle = false;

	list_init(&group);
	while (queue_take(&group, &is_idle)) {
		if (!list_is_empty(&group))
			group_run(&group);
		slice_next(is_idle);
		checkpoint_consider(&writer.db);
	}

	while (!list_is_empty(&writer.searches))
		answer_first(&writer.searches, ERR_CLOSED);
	while (!list_is_empty(&writer.expiries))
		answer_first(&writer.expiries, ERR_CLOSED);
	checkpoint_stop();
	db_close(&writer.db);
	arena_thread_done();
	return NULL;
}

void
writer_start(const struct db *db, const char *path)
{
	pthread_condattr_t attr;
	sigset_t all, old;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&writer.more, &attr);
	pthread_condattr_destroy(&attr);

	list_init(&writer.queue);
	list_init(&writer.taken);
	list_init(&writer.searches);
	list_init(&writer.expiries);
	writer.db = *db;
	writer.is_ending = false;
	writer.is_lazy = false;
	writer.rest_until = writer.index_rest_until = 0;
	writer.slice_ms = SLICE_PART_MS;
	checkpoint_start(&writer.db, path);

	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	must(pthread_create(&writer.thread, NULL, writer_main, NULL) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void
writer_push(struct list *reqs)
{
	pthread_mutex_lock(&writer.lock);
	list_splice(&writer.queue, reqs);
	pthread_cond_signal(&writer.more);
	pthread_mutex_unlock(&writer.lock);
}

void
writer_stop(void)
{
	pthread_mutex_lock(&writer.lock);
	writer.is_ending = true;
	pthread_cond_signal(&writer.more);
	pthread_mutex_unlock(&writer.lock);
	pthread_join(writer.thread, NULL);
	pthread_cond_destroy(&writer.more);
}
