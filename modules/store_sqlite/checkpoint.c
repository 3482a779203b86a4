/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints copy what was committed from the log into the database. A
 * thread of its own does this, as it writes much and waits for the disk; the
 * writer goes on meanwhile. What was committed during a checkpoint is left:
 * when the log has grown long and little is left, the writer copies that, so
 * that the log can start anew.
 */
#include "modules/store_sqlite/sqlite.h"

#include <pthread.h>

/*
 * In pages: when to copy; when to start anew; and when to do it anyhow. A page
 * that is in the log many times is copied once, so it pays to wait.
 */
#define COPY_PAGES 8000
#define ANEW_PAGES 16000
#define LEFT_PAGES 2000
#define LONG_PAGES 40000

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	bool is_running, is_asked, is_ending, has_thread;
	int copied; /* pages of the log that are in the database */
	int length; /* pages in the log */
	char *path;
	pthread_t thread;
} copier = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
};

static int
copy(struct db *db)
{
	int length = 0, copied = 0;

	if (sqlite3_wal_checkpoint_v2(db->h, NULL, SQLITE_CHECKPOINT_PASSIVE,
		&length, &copied) != SQLITE_OK) {
		db_fail(db, "checkpoint");
		return 0;
	}
	return MAX(copied, 0);
}

static void
copier_open(struct db *db)
{
	struct arena *a = arena_new(0);
	const char *why;

	if (db_open(db, copier.path, false, a, &why) < 0)
		log_error(&sqlite_log, "%s", why);
	arena_free(&a);
}

static void *
copier_main(void *arg)
{
	struct db db = { 0 };
	int copied;

	pthread_mutex_lock(&copier.lock);
	while (!copier.is_ending) {
		if (!copier.is_asked) {
			pthread_cond_wait(&copier.more, &copier.lock);
			continue;
		}
		copier.is_asked = false;
		pthread_mutex_unlock(&copier.lock);
		if (db.h == NULL)
			copier_open(&db);
		copied = db.h != NULL ? copy(&db) : 0;
		pthread_mutex_lock(&copier.lock);
		copier.copied = copied;
		copier.is_running = false;
	}
	pthread_mutex_unlock(&copier.lock);
	db_close(&db);
	arena_thread_done();
	return NULL;
}

static void
copier_ask(void)
{
	if (!copier.has_thread)
		copier.has_thread = pthread_create(&copier.thread, NULL,
					copier_main, NULL) == 0;
	copier.is_asked = copier.is_running = copier.has_thread;
	pthread_cond_signal(&copier.more);
}

/* After each commit. */
static int
on_commit(void *arg, sqlite3 *h, const char *name, int length)
{
	pthread_mutex_lock(&copier.lock);
	if (length < copier.length)
		copier.copied = 0;
	copier.length = length;
	pthread_mutex_unlock(&copier.lock);
	return SQLITE_OK;
}

void
checkpoint_start(struct db *db, const char *path)
{
	copier.is_running = copier.is_asked = copier.is_ending = false;
	copier.has_thread = false;
	copier.copied = copier.length = 0;
	copier.path = xstrdup(path);
	sqlite3_wal_hook(db->h, on_commit, NULL);
}

void
checkpoint_consider(struct db *db)
{
	bool is_time = false;
	int left;

	pthread_mutex_lock(&copier.lock);
	left = copier.length - copier.copied;
	if (!copier.is_running) {
		is_time = copier.length >= ANEW_PAGES &&
			  (left <= LEFT_PAGES || copier.length >= LONG_PAGES);
		if (!is_time &&
		    (left >= COPY_PAGES || copier.length >= ANEW_PAGES))
			copier_ask();
	}
	pthread_mutex_unlock(&copier.lock);
	if (!is_time)
		return;

	left = copy(db);
	pthread_mutex_lock(&copier.lock);
	copier.copied = left;
	pthread_mutex_unlock(&copier.lock);
}

void
checkpoint_stop(void)
{
	pthread_mutex_lock(&copier.lock);
	copier.is_ending = true;
	pthread_cond_signal(&copier.more);
	pthread_mutex_unlock(&copier.lock);
	if (copier.has_thread)
		pthread_join(copier.thread, NULL);
	xfree(copier.path);
	copier.path = NULL;
}
