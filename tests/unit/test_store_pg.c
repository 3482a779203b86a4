/* SPDX-License-Identifier: MIT */
/* The PostgreSQL backend: opening, months, and a database that goes away. */
#include "modules/store_pg/pg.h"
#include "rig_pg.h"
#include "store_rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define JULIET "juliet@example.net"

/* ---- opening ----------------------------------------------------------- */

static const char *
open_fails(const char *dsn)
{
	struct store_config config = { .dsn = dsn };
	const char *why = "";

	store_register(&pg_backend);
	assert_true(store_open(rig.a, "pg", &config, &why) < 0);
	store_unregister(&pg_backend);
	assert_null(strstr(why, "not-to-be-seen"));
	return why;
}

static void
test_open_refused(void **state)
{
	const char *why;

	rig_close();
	why = open_fails("host=localhost password='not-to-be-seen");
	assert_non_null(strstr(why, "database.dsn"));
	why = open_fails(arena_printf(rig.a,
	    "host=%s password=not-to-be-seen connect_timeout=3", rig.dir));
	assert_non_null(strstr(why, rig.dir));

	rig_number("INSERT INTO rookery_schema VALUES(99)");
	why = open_fails(rig_pg_dsn(rig.a, rig.dir));
	assert_non_null(strstr(why, "version 99"));
	rig_number("DELETE FROM rookery_schema WHERE version = 99");
	rig_open(rig.dir);
	assert_int_equal(rig_put(0, JULIET, "s", "k", "v"), 0);
}

static const char *fresh_dsn;
static atomic_int migrated;

static void *
migrate_main(void *arg)
{
	struct arena *a = arena_new(0);
	PGconn *conn = PQconnectdb(fresh_dsn);
	const char *why = "";

	if (schema_migrate(conn, SCHEMA_VERSION, a, &why) == 0)
		migrated++;
	else
		fprintf(stderr, "%s\n", why);
	PQfinish(conn);
	arena_free(&a);
	arena_thread_done();
	return NULL;
}

/* Several servers may be started at once. */
static void
test_open_together(void **state)
{
	pthread_t t[6];

	rig_close();
	rig_number(arena_printf(rig.a,
	    "SET client_min_messages = warning; DROP SCHEMA \"%s\" CASCADE; "
	    "CREATE SCHEMA \"%s\"",
	    strrchr(rig.dir, '/') + 1, strrchr(rig.dir, '/') + 1));
	fresh_dsn = rig_pg_dsn(rig.a, rig.dir);
	migrated = 0;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(
		    pthread_create(&t[i], NULL, migrate_main, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(migrated, ARRAY_LEN(t));
	assert_int_equal(rig_number("SELECT count(*) FROM rookery_schema"), 1);
	rig_open(rig.dir);
}

static void
test_backup(void **state)
{
	const char *why = "";

	assert_true(store_backup(rig.a, "/nowhere", &why) < 0);
	assert_non_null(strstr(why, "pg_dump"));
}

/* ---- months ------------------------------------------------------------ */

#define DAY_MS INT64_C(86400000)
#define YEAR_2020 INT64_C(1577836800000)

struct append {
	const char *owner;
	int64_t ms;
	unsigned n;
};

static void
fill_append(struct store_write *w, void *arg)
{
	const struct append *s = arg;
	struct archive_item m = {
		.id = str_printf(store_write_arena(w),
		    "%08x-%04x-7000-8000-%012x", (unsigned)(s->ms >> 16),
		    (unsigned)(s->ms & 0xffff), s->n),
		.with = STR("romeo@example.net"),
		.xml = STR("<message/>"),
		.body = STR("word"),
	};

	archive_append(w, str_c(s->owner), &m);
}

static void
append_at(const char *owner, int64_t ms)
{
	static unsigned n;
	struct append s = { .owner = owner, .ms = ms, .n = n++ };

	assert_int_equal(rig_write(n % 2, owner, fill_append, &s), 0);
}

static int64_t
months(const char *like)
{
	return rig_number(arena_printf(rig.a,
	    "SELECT count(*) FROM pg_inherits i JOIN pg_class c"
	    " ON c.oid = i.inhrelid WHERE i.inhparent = 'archive'::regclass"
	    " AND c.relname LIKE '%s'",
	    like));
}

static void
page_check(size_t expected)
{
	struct archive_filter f = { .limit = 7 };
	struct archive_page page;
	size_t seen = 0;
	struct str last = STR("");

	do {
		assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
		for (size_t i = 0; i < page.count; i++) {
			assert_true(str_cmp(last, page.items[i].id) < 0);
			last = f.page_after = page.items[i].id;
		}
		seen += page.count;
	} while (!page.is_complete);
	assert_int_equal(seen, expected);
}

static void
test_months(void **state)
{
	uint64_t n;

	assert_int_equal(months("archive_______"), 3);
	for (int i = 0; i < 40; i++)
		append_at(JULIET, YEAR_2020 + i * 10 * DAY_MS);
	append_at(JULIET, YEAR_2020 - 1);
	append_at("x@other.example", YEAR_2020 + 40 * DAY_MS);
	assert_int_equal(months("archive_2020__"), 12);
	assert_int_equal(months("archive_2019__"), 1);
	page_check(41);

	/* Whole months go, but for the one that others share. */
	assert_int_equal(
	    rig_expire(0, "example.net", YEAR_2020 + 95 * DAY_MS, &n), 0);
	assert_int_equal(n, 11);
	assert_int_equal(months("archive_2019__"), 0);
	assert_int_equal(months("archive_202001"), 0);
	assert_int_equal(months("archive_202002"), 1);
	assert_int_equal(months("archive_202003"), 0);
	assert_int_equal(months("archive_202004"), 1);
	page_check(30);
	assert_int_equal(rig_archive_count(0, "x@other.example", &n), 0);
	assert_int_equal(n, 1);

	/* A month that was dropped comes back when it is needed. */
	append_at(JULIET, YEAR_2020 + DAY_MS);
	page_check(31);
}

/* ---- a database that goes ---------------------------------------------- */

#define OWNERS 10

static atomic_int sent, kept, failed, exists;
static atomic_bool is_over;

static void
on_kept(void *ctx, int err)
{
	if (err == 0)
		kept++;
	else if (err == ERR_EXISTS)
		exists++;
	else
		failed++;
}

/* None of it can be done twice: the account, the id. */
static void
write_one(void)
{
	int i = atomic_fetch_add(&sent, 1);
	unsigned loop = loop_index(loop_self());
	struct arena *a = arena_new(0);
	struct str owner = str_printf(a, "u%d@loop%u", i % OWNERS, loop);
	struct store_write *w = store_write_new(owner);
	struct account_row row = { .jid = str_printf(a, "%d@new", i) };
	struct archive_item m = {
		.with = STR("x@y"),
		.xml = STR("<message/>"),
		.body = STR("under load"),
	};
	char id[UUID_LEN + 1];

	uuid7(id);
	m.id = str_c(id);
	account_create(w, &row);
	archive_append(w, owner, &m);
	kv_put(w, owner, STR("last"), STR("k"), str_printf(a, "%d", i));
	store_commit(&w, on_kept, NULL);
	arena_free(&a);
}

static void
on_load(struct timer *t)
{
	if (atomic_load(&is_over) && store_waiting() == 0) {
		rig_done();
		return;
	}
	if (!atomic_load(&is_over) && store_waiting() < 2000) {
		for (int i = 0; i < 10; i++)
			write_one();
	}
	timer_start(t, 2, on_load);
}

static void
start_load(void *arg)
{
	static struct timer t[RIG_LOOPS];

	timer_start(&t[loop_index(loop_self())], 1, on_load);
}

static void
load_begin(void)
{
	sent = kept = failed = exists = 0;
	atomic_store(&is_over, false);
	for (unsigned i = 0; i < RIG_LOOPS; i++)
		rig_start(i, start_load, NULL);
}

static void
load_await(int more)
{
	int until = kept + more;

	for (int i = 0; kept < until && i < 6000; i++)
		usleep(10000);
	assert_true(kept >= until);
}

static void
load_end(void)
{
	atomic_store(&is_over, true);
	rig_wait(RIG_LOOPS);
	assert_int_equal(kept + failed + exists, sent);
}

/* All is there, once, and nothing is undone by what came before it. */
static void
load_check(void)
{
	assert_int_equal(exists, 0);
	assert_int_equal(failed, 0);
	assert_int_equal(rig_number("SELECT count(*) FROM account"), kept);
	assert_int_equal(rig_number("SELECT count(*) FROM archive"), kept);
	assert_int_equal(
	    rig_number("SELECT count(*) FROM kv WHERE store = 'last'"
		       " AND convert_from(value, 'UTF8')::int <"
		       " (SELECT max(local::int) FROM account WHERE"
		       "  local::int % 10 = substr(kv.owner, 2, 1)::int)"
		       " AND NOT EXISTS(SELECT 1 FROM kv o WHERE"
		       "  o.store = 'last' AND o.owner <> kv.owner AND"
		       "  left(o.owner, 2) = left(kv.owner, 2) AND"
		       "  convert_from(o.value, 'UTF8')::int >"
		       "  convert_from(kv.value, 'UTF8')::int)"),
	    0);
}

static unsigned
log_count(const char *path, const char *what)
{
	char line[2000];
	unsigned n = 0;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		assert_null(strstr(line, "not-to-be-seen"));
		n += strstr(line, what) != NULL;
	}
	fclose(f);
	return n;
}

static void
test_restarts(void **state)
{
	const char *log = arena_printf(rig.a, "%s/log", rig.dir);
	unsigned lost;

	assert_int_equal(log_open(log, LOG_TEXT), 0);
	load_begin();
	for (int i = 0; i < 5; i++) {
		load_await(200 + i * 37);
		if (i % 3 == 2)
			rig_pg_stop();
		else
			rig_pg_kill();
		usleep((unsigned)(i % 2) * 300000);
		rig_pg_start();
	}
	load_await(300);
	load_end();
	assert_int_equal(log_open("stderr", LOG_TEXT), 0);
	load_check();
	lost = log_count(log, "database lost");
	assert_true(lost >= 5 && lost <= 10);
	assert_int_equal(log_count(log, "database back"), lost);
}

/* Only the connections go, at any moment, also between commit and answer. */
static void
test_cut_off(void **state)
{
	load_begin();
	for (int i = 0; i < 15; i++) {
		load_await(50);
		rig_number("SELECT count(pg_terminate_backend(pid))"
			   " FROM pg_stat_activity"
			   " WHERE application_name LIKE 'rookery%'");
	}
	load_await(100);
	load_end();
	load_check();
}

/* Nobody waits for ever; and reads come back like writes. */
static void
test_patience(void **state)
{
	struct str v;

	assert_int_equal(rig_put(0, JULIET, "s", "k", "1"), 0);
	pg_patience_ms = 500;
	rig_pg_stop();
	assert_int_equal(rig_put(0, JULIET, "s", "k", "2"), ERR_STORE);
	assert_int_equal(rig_get(1, rig.a, JULIET, "s", "k", &v), ERR_STORE);
	pg_patience_ms = SECONDS(60);
	rig_pg_start();
	assert_int_equal(rig_put(0, JULIET, "s", "l", "3"), 0);
	rig_assert_value(JULIET, "s", "k", "1");
	rig_assert_value(JULIET, "s", "l", "3");
	pg_patience_ms = SECONDS(30);
}

/* A table that another has locked holds writes, and fails none. */
static void
test_locked(void **state)
{
	PGconn *conn = PQconnectdb(rig_pg_dsn(rig.a, rig.dir));

	assert_int_equal(rig_put(0, JULIET, "s", "k", "1"), 0);
	PQclear(PQexec(conn, "BEGIN; LOCK TABLE kv"));
	load_begin();
	for (int i = 0; sent < 200 && i < 6000; i++)
		usleep(10000);
	assert_int_equal(kept, 0);
	PQclear(PQexec(conn, "COMMIT"));
	PQfinish(conn);
	load_await(100);
	load_end();
	load_check();
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_open_refused),
		TEST(test_open_together),
		TEST(test_backup),
		TEST(test_months),
		TEST(test_restarts),
		TEST(test_cut_off),
		TEST(test_patience),
		TEST(test_locked),
	};

	return rig_main(tests);
}
