/* SPDX-License-Identifier: MIT */
/* The reader threads. They start, and open the database, when needed. */
#include "modules/store_sqlite/sqlite.h"

#include <pthread.h>
#include <unistd.h>

#define READERS_MAX 4
/*
 * Short reads that one reader takes at once, to share a transaction: as many
 * cost less than to wake another reader, and never more than that.
 */
#define TAKE_LEAST 4
#define TAKE_MAX 16

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list queue;
	size_t queued, idle, count, max;
	bool is_ending;
	char *path;
	pthread_t thread[READERS_MAX];
} readers = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
};

void
req_read(struct db *db, struct store_req *req)
{
	switch (req->op) {
	case STORE_ACCOUNT_GET:
	case STORE_ACCOUNT_LIST:
	case STORE_ACCOUNT_COUNT:
		account_read(db, req);
		break;
	case STORE_KV_GET:
	case STORE_KV_LIST:
	case STORE_KV_COUNT:
	case STORE_KV_STORES:
	case STORE_KV_OWNERS:
	case STORE_STORES:
	case STORE_HOSTS:
		kv_read(db, req);
		break;
	case STORE_ARCHIVE_OWNERS:
		archive_owners(db, req);
		break;
	default:
		archive_read(db, req);
		break;
	}
}

static bool
is_short(const struct store_req *req)
{
	return req->op == STORE_ACCOUNT_GET || req->op == STORE_KV_GET ||
	       req->op == STORE_KV_LIST || req->op == STORE_KV_COUNT;
}

/* One request, or some short ones; false when it is time to end. */
static bool
reader_take(struct list *taken)
{
	struct store_req *req;
	size_t share, n = 0;

	pthread_mutex_lock(&readers.lock);
	readers.idle++;
	while (list_is_empty(&readers.queue) && !readers.is_ending)
		pthread_cond_wait(&readers.more, &readers.lock);
	readers.idle--;

	share = MAX(TAKE_LEAST, 1 + readers.queued / readers.max);
	share = MIN(TAKE_MAX, share);
	LIST_EACH(req, &readers.queue, struct store_req, node)
	{
		if (n == share || (n > 0 && !is_short(req)))
			break;
		list_del(&req->node);
		list_add(taken, &req->node);
		n++;
		if (!is_short(req))
			break;
	}
	readers.queued -= n;
	pthread_mutex_unlock(&readers.lock);
	return n > 0;
}

/* The snapshot is newer than what was answered before they were asked. */
static void
reader_run(struct db *db, struct list *taken)
{
	struct store_req *req;
	struct list answers;
	int err = db_run(db, db_prepare(db, "BEGIN"));

	list_init(&answers);
	LIST_EACH(req, taken, struct store_req, node)
	{
		list_del(&req->node);
		if (err == 0)
			req_read(db, req);
		else
			req->err = err;
		list_add(&answers, &req->node);
	}
	if (err == 0)
		db_run(db, db_prepare(db, "COMMIT"));
	/* All at once: the loop that asked wakes up once. */
	LIST_EACH(req, &answers, struct store_req, node)
	{
		list_del(&req->node);
		store_answer(req);
	}
}

/* Without a connection, everything fails; the next time it tries again. */
static void
reader_fail(struct list *taken, const char *why)
{
	struct store_req *req;

	log_error(&sqlite_log, "%s", why);
	LIST_EACH(req, taken, struct store_req, node)
	{
		list_del(&req->node);
		req->err = ERR_STORE;
		store_answer(req);
	}
}

static void *
reader_main(void *arg)
{
	struct db db = { 0 };
	struct list taken;

	list_init(&taken);
	while (reader_take(&taken)) {
		if (db.h == NULL) {
			struct arena *a = arena_new(0);
			const char *why;

			if (db_open(&db, readers.path, false, a, &why) < 0)
				reader_fail(&taken, why);
			arena_free(&a);
		}
		if (db.h != NULL)
			reader_run(&db, &taken);
	}
	db_close(&db);
	arena_thread_done();
	return NULL;
}

void
readers_start(const char *path)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	list_init(&readers.queue);
	readers.queued = readers.idle = readers.count = 0;
	readers.max = cores < 2 ? 2 : MIN((size_t)cores, READERS_MAX);
	readers.is_ending = false;
	readers.path = xstrdup(path);
}

static void
reader_add(void)
{
	pthread_t *t = &readers.thread[readers.count];

	if (pthread_create(t, NULL, reader_main, NULL) == 0)
		readers.count++;
	else
		must(readers.count > 0);
}

/* How many readers these are work for. */
static size_t
readers_wanted(const struct list *reqs)
{
	size_t shorts = 0, longs = 0;

	for (struct list *l = reqs->next; l != reqs; l = l->next) {
		if (is_short(CONTAINER_OF(l, struct store_req, node)))
			shorts++;
		else
			longs++;
	}
	return longs + (shorts + TAKE_LEAST - 1) / TAKE_LEAST;
}

void
readers_push(struct list *reqs)
{
	size_t n = readers_wanted(reqs);

	if (n == 0)
		return;

	pthread_mutex_lock(&readers.lock);
	for (struct list *l = reqs->next; l != reqs; l = l->next)
		readers.queued++;
	list_splice(&readers.queue, reqs);
	if (readers.count < readers.max &&
	    readers_wanted(&readers.queue) > readers.idle)
		reader_add();
	n = MIN(n, readers.idle);
	pthread_mutex_unlock(&readers.lock);
	/* With the lock held, they would wake up only to wait for it. */
	for (; n > 0; n--)
		pthread_cond_signal(&readers.more);
}

void
readers_stop(void)
{
	pthread_mutex_lock(&readers.lock);
	if (readers.queued > 0 && readers.count == 0)
		reader_add();
	readers.is_ending = true;
	pthread_cond_broadcast(&readers.more);
	pthread_mutex_unlock(&readers.lock);

	for (size_t i = 0; i < readers.count; i++)
		pthread_join(readers.thread[i], NULL);
	xfree(readers.path);
	readers.path = NULL;
}
