/* SPDX-License-Identifier: MIT */
/* The SQLite backend: opening, schema, space, backup. */
#include "modules/store_sqlite/sqlite.h"
#include "store_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define JULIET "juliet@example.net"
#define ROMEO "romeo@example.net"
#define START 1700000000000

/* ---- opening ----------------------------------------------------------- */

/* For tests that open databases themselves. */
static int
setup_plain(void **state)
{
	rig.dir = rig_folder();
	rig.a = arena_new(0);
	return 0;
}

static int
teardown_plain(void **state)
{
	rig_folder_remove(rig.dir);
	arena_free(&rig.a);
	return 0;
}

static int
try_open(const char *dir, const char *path, const char **why_r)
{
	struct store_config config = { .data_dir = dir, .path = path };
	int err;

	*why_r = "";
	store_register(&sqlite_backend);
	err = store_open(rig.a, "sqlite", &config, why_r);
	if (err == 0) {
		loops_new(1);
		store_close();
		loops_free();
	}
	store_unregister(&sqlite_backend);
	return err;
}

static void
assert_refused(const char *dir, const char *path, const char *reason)
{
	const char *why;

	assert_true(try_open(dir, path, &why) < 0);
	if (strstr(why, path) == NULL || strstr(why, reason) == NULL)
		fail_msg("'%s' names not '%s', '%s'", why, path, reason);
}

static void
sql(const char *path, const char *text)
{
	sqlite3 *h;
	char *why = NULL;

	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	if (sqlite3_exec(h, text, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", text, why);
	sqlite3_close(h);
}

static void
test_open_refused(void **state)
{
	char *dir = rig_folder();
	const char *path;
	const char *why;
	FILE *f;
	int fd;

	path = str_printf(rig.a, "%s/garbage", dir).p;
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 3000; i++)
		fputs("not a database ", f);
	fclose(f);
	assert_refused(dir, "garbage", "not a database");

	sql(str_printf(rig.a, "%s/foreign", dir).p, "CREATE TABLE t(x)");
	assert_refused(dir, "foreign", "not a database of Rookery");

	assert_int_equal(try_open(dir, "new", &why), 0);
	sql(str_printf(rig.a, "%s/new", dir).p, "PRAGMA user_version=99");
	assert_refused(dir, "new", "version 99");

	sql(str_printf(rig.a, "%s/new", dir).p, "PRAGMA user_version=1");
	fd = open(str_printf(rig.a, "%s/new-lock", dir).p, O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_refused(dir, "new", "another process");
	close(fd);

	assert_refused(dir, "garbage/below", "");
	assert_true(try_open(dir, ".", &why) < 0);
	store_register(&sqlite_backend);
	assert_int_equal(
	    store_open(rig.a, "oracle", &(struct store_config){ 0 }, &why),
	    ERR_CONFIG);
	assert_non_null(strstr(why, "oracle"));
	store_unregister(&sqlite_backend);
	rig_folder_remove(dir);
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void
test_modes(void **state)
{
	char *dir = rig_folder();
	const char *why;
	const char *data = str_printf(rig.a, "%s/a/b", dir).p;

	assert_int_equal(try_open(data, "c/test.db", &why), 0);
	assert_int_equal(mode_of(data), 0700);
	assert_int_equal(mode_of(str_printf(rig.a, "%s/c", data).p), 0700);
	assert_int_equal(
	    mode_of(str_printf(rig.a, "%s/c/test.db", data).p), 0600);
	rig_folder_remove(dir);
}

/* ---- schema ------------------------------------------------------------ */

/* Every version ever used comes up to date with what it holds. */
static void
test_migrations(void **state)
{
	for (int version = 1; version < SCHEMA_VERSION; version++) {
		char *dir = rig_folder(), *old_dir = rig.dir;
		const char *path = str_printf(rig.a, "%s/rookery.db", dir).p;
		const char *why = "";
		struct account_row row;
		uint64_t n;
		sqlite3 *h;

		assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
		assert_int_equal(schema_migrate(h, version, rig.a, &why), 0);
		sqlite3_close(h);
		sql(path,
		    "INSERT INTO account(jid, host, local, created, last_seen)"
		    " VALUES('a@h', 'h', 'a', 5, 0);"
		    "INSERT INTO kv VALUES('a@h', 's', 'k', 'v')");

		rig_close();
		rig.dir = dir;
		rig_open(dir);
		assert_int_equal(rig_account(0, rig.a, "a@h", &row), 0);
		assert_int_equal(row.created, 5);
		rig_assert_value("a@h", "s", "k", "v");
		assert_int_equal(rig_archive_count(0, "a@h", &n), 0);
		assert_int_equal(n, 0);
		rig_reopen();
		rig_assert_value("a@h", "s", "k", "v");
		rig_close();

		rig.dir = old_dir;
		rig_open(rig.dir);
		rig_folder_remove(dir);
	}
}

/* ---- space -------------------------------------------------------------- */

static void
fill_large(struct store_write *w, void *arg)
{
	struct arena *a = store_write_arena(w);
	unsigned n = *(unsigned *)arg;
	int64_t ms = START + n;
	struct archive_item m = {
		.id = str_printf(a, "%08x-%04x-7000-8000-%012x",
		    (unsigned)(ms >> 16), (unsigned)(ms & 0xffff), n),
		.with = STR(ROMEO),
		.xml = STR("<message/>"),
		.body = str_printf(a, "%0*d", 400000, 7),
	};

	archive_append(w, STR(JULIET), &m);
}

/* Space is given back once much of the file is unused. */
static void
test_space(void **state)
{
	int64_t before;
	uint64_t n;

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(rig_write(0, JULIET, fill_large, &i), 0);
	before = rig_number("PRAGMA page_count");
	assert_true(before > 700);
	assert_int_equal(rig_expire(0, "example.net", START + 7, &n), 0);
	assert_int_equal(n, 7);
	for (int i = 0; i < 6000; i++) {
		if (rig_number("PRAGMA page_count") < before / 2 + 300)
			return;
		usleep(10000);
	}
	fail_msg("the file stays large");
}

/* ---- backup ------------------------------------------------------------ */

static void
test_backup(void **state)
{
	const char *path = str_printf(rig.a, "%s/copy/copy.db", rig.dir).p;
	const char *own = str_printf(rig.a, "%s/rookery.db", rig.dir).p;
	char *dir = rig.dir;
	const char *why = "";

	assert_int_equal(rig_put(0, JULIET, "s", "k", "before"), 0);
	assert_true(store_backup(rig.a, path, &why) < 0);
	assert_non_null(strstr(why, path));
	assert_int_equal(
	    mkdir(str_printf(rig.a, "%s/copy", rig.dir).p, 0700), 0);
	assert_int_equal(store_backup(rig.a, path, &why), 0);
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(store_backup(rig.a, own, &why), ERR_INVALID);
	assert_int_equal(rig_put(0, JULIET, "s", "k", "after"), 0);
	rig_assert_value(JULIET, "s", "k", "after");

	rig_close();
	assert_int_equal(
	    rename(path, str_printf(rig.a, "%s/copy/rookery.db", dir).p), 0);
	rig_open(str_printf(rig.a, "%s/copy", rig.dir).p);
	rig_assert_value(JULIET, "s", "k", "before");
}

/* ---- rows that are in no index yet ------------------------------------- */

#define OWNERS 60u
#define AT_ONCE 20u
#define ROUNDS 20u
#define ALL (OWNERS * AT_ONCE * ROUNDS)

struct appends {
	unsigned owner, round;
};

static struct str
owner_name(unsigned i)
{
	return str_printf(rig.a, "u%u@example.net", i);
}

/* Round by round later; each owner's are interleaved with others'. */
static struct archive_item
item_of(unsigned owner, unsigned round, unsigned i)
{
	struct archive_item m = {
		.with = owner_name((owner + i) % OWNERS),
		.xml = STR("<message/>"),
	};
	char text[UUID_LEN + 1];

	m.body = i % 2 == 0 ? STR("apple pear") : STR("plum");
	uuid7_min(START + round * AT_ONCE + i, text);
	m.id = str_dup(rig.a, str_c(text));
	if (i % 4 == 0)
		m.origin_id = str_printf(rig.a, "o%u", i);
	if (i % 5 == 0)
		m.media_url = STR("https://up.example.net/f/1/pic.jpg");
	return m;
}

static void
fill_appends(struct store_write *w, void *arg)
{
	const struct appends *s = arg;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		struct archive_item m = item_of(s->owner, s->round, i);

		archive_append(w, owner_name(s->owner), &m);
	}
}

static int
append_some(unsigned owner, unsigned round)
{
	struct appends s = { .owner = owner, .round = round };

	return rig_write(
	    owner % RIG_LOOPS, owner_name(owner).p, fill_appends, &s);
}

static void
assert_count(unsigned owner, struct archive_filter f, unsigned n)
{
	struct archive_page page;

	f.want_total = true;
	f.limit = n + 1;
	assert_int_equal(rig_find(0, rig.a, owner_name(owner).p, &f, &page), 0);
	assert_int_equal(page.total, n);
	assert_int_equal(page.count, n);
}

static void
assert_counts(unsigned owner, unsigned rounds)
{
	struct archive_filter all = { 0 }, media = { .has_media = true },
			      with = { .with = owner_name(owner) },
			      origin = { .origin_id = STR("o4") };

	assert_count(owner, all, rounds * AT_ONCE);
	assert_count(owner, media, rounds * AT_ONCE / 5);
	assert_count(owner, with, rounds);
	assert_count(owner, origin, rounds);
}

static void
await_indices(int64_t n)
{
	rig_await_number("SELECT count(*) FROM archive_by_id", n);
	rig_await_number("SELECT count(*) FROM archive_by_with", n);
	rig_await_number("SELECT count(*) FROM archive_by_origin", n / 4);
	rig_await_number("SELECT count(*) FROM archive_by_media", n / 5);
}

/* More than are entered together, read in between, with a restart. */
static void
test_tail(void **state)
{
	uint64_t n;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < OWNERS; i++)
			assert_int_equal(append_some(i, round), 0);
		assert_counts(round, round + 1);
		assert_int_equal(append_some(OWNERS - 1, round), ERR_EXISTS);
		assert_int_equal(append_some(0, 0), ERR_EXISTS);
		if (round == ROUNDS / 2)
			rig_reopen();
	}
	for (unsigned i = 0; i < OWNERS; i++)
		assert_counts(i, ROUNDS);
	await_indices(ALL);
	assert_int_equal(append_some(1, 1), ERR_EXISTS);
	assert_counts(1, ROUNDS);

	/* Half of them go, some before any index had them. */
	for (unsigned i = 0; i < OWNERS; i++)
		assert_int_equal(append_some(i, ROUNDS), 0);
	assert_int_equal(rig_expire(0, "example.net",
			     START + (ROUNDS + 1) / 2 * AT_ONCE, &n),
	    0);
	assert_int_equal(n, ALL / 2);
	assert_counts(3, ROUNDS / 2 + 1);
	await_indices(OWNERS * AT_ONCE + ALL / 2);
	assert_int_equal(rig_number("SELECT count(*) FROM archive"),
	    OWNERS * AT_ONCE + ALL / 2);
}

/* By pages of 7 there and back, whichever rows an index has. */
static void
assert_pages(unsigned owner, unsigned rounds, bool is_backwards)
{
	unsigned all = rounds * AT_ONCE, n = 0, pages = 0;
	struct archive_filter f = { .limit = 7, .is_backwards = is_backwards };
	struct archive_page page = { 0 };

	while (!page.is_complete) {
		assert_int_equal(
		    rig_find(0, rig.a, owner_name(owner).p, &f, &page), 0);
		assert_true(page.count > 0 && pages++ <= all / 7);
		for (unsigned i = 0; i < page.count; i++, n++) {
			unsigned at = is_backwards ? all - n - 1 : n;
			size_t on = is_backwards ? page.count - i - 1 : i;

			rig_assert_str(page.items[on].id,
			    item_of(owner, at / AT_ONCE, at % AT_ONCE).id.p);
		}
		f.page_after = f.page_before = STR_NONE;
		if (is_backwards)
			f.page_before = page.items[0].id;
		else
			f.page_after = page.items[page.count - 1].id;
	}
	assert_int_equal(n, all);
}

static void
assert_bounds(unsigned owner, unsigned rounds)
{
	struct str ids[] = { item_of(owner, 0, 3).id,
		item_of(owner, rounds - 1, 4).id };
	struct archive_filter after = { .after_id = ids[1] },
			      before = { .before_id = ids[1] },
			      these = { .ids = ids, .id_count = 2 },
			      words = { .text = STR("pear*") },
			      absent = { .after_id =
					     item_of(owner, rounds, 0).id };
	struct archive_page page;

	assert_count(owner, after, AT_ONCE - 5);
	assert_count(owner, before, (rounds - 1) * AT_ONCE + 4);
	assert_count(owner, these, 2);
	assert_count(owner, words, rounds * AT_ONCE / 2);
	assert_int_equal(
	    rig_find(0, rig.a, owner_name(owner).p, &absent, &page),
	    ERR_ABSENT);
	assert_int_equal(rig_ends(0, rig.a, owner_name(owner).p, &page), 0);
	assert_int_equal(page.count, 2);
	rig_assert_str(
	    page.items[1].id, item_of(owner, rounds - 1, AT_ONCE - 1).id.p);
}

/* Some in the indices, some not yet: nobody can tell. */
static void
test_tail_pages(void **state)
{
	for (unsigned rounds = 1; rounds <= 3; rounds++) {
		for (unsigned i = 1; i <= 4; i++)
			assert_int_equal(append_some(i, rounds - 1), 0);
		assert_pages(1, rounds, false);
		assert_pages(2, rounds, true);
		assert_bounds(3, rounds);
		if (rounds == 1)
			rig_await_number(
			    "SELECT count(*) FROM archive_by_id", 4 * AT_ONCE);
		else
			rig_reopen();
	}
	assert_pages(4, 3, true);
}

static void
fill_retraction(struct store_write *w, void *arg)
{
	struct archive_item m = item_of(1, 1, 0);

	archive_replace(w, owner_name(1), item_of(1, 0, 0).id,
	    STR("<message>gone</message>"));
	archive_append(w, owner_name(1), &m);
}

/* What is retracted and what retracts it are read right behind. */
static void
test_tail_retract(void **state)
{
	struct archive_filter all = { 0 }, media = { .has_media = true },
			      words = { .text = STR("pear") };
	struct archive_page page;

	assert_int_equal(append_some(1, 0), 0);
	assert_int_equal(
	    rig_write(0, owner_name(1).p, fill_retraction, NULL), 0);
	assert_count(1, all, AT_ONCE + 1);
	assert_count(1, media, AT_ONCE / 5);
	assert_count(1, words, AT_ONCE / 2);
	all.limit = 1;
	assert_int_equal(rig_find(0, rig.a, owner_name(1).p, &all, &page), 0);
	rig_assert_str(page.items[0].xml, "<message>gone</message>");
	rig_reopen();
	assert_count(1, media, AT_ONCE / 5);
	assert_count(1, words, AT_ONCE / 2);
}

static void
test_tail_backup(void **state)
{
	const char *path = str_printf(rig.a, "%s/copy/rookery.db", rig.dir).p;
	const char *why = "";

	assert_int_equal(
	    mkdir(str_printf(rig.a, "%s/copy", rig.dir).p, 0700), 0);
	for (unsigned i = 0; i < OWNERS; i++)
		assert_int_equal(append_some(i, 0), 0);
	assert_int_equal(store_backup(rig.a, path, &why), 0);
	rig_close();
	rig_open(str_printf(rig.a, "%s/copy", rig.dir).p);
	for (unsigned i = 0; i < OWNERS; i++)
		assert_counts(i, 1);
}

/* Another program keeps the database for itself for longer than we wait. */
static void
test_busy(void **state)
{
	const char *path = str_printf(rig.a, "%s/rookery.db", rig.dir).p;
	struct archive_filter all = { 0 };
	struct archive_page page;
	sqlite3 *h;

	assert_int_equal(append_some(1, 0), 0);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	sqlite3_busy_timeout(h, 10000);
	assert_int_equal(
	    sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(append_some(1, 1), ERR_STORE);
	/* History with a hole would be worse than none. */
	if (rig_number("SELECT count(*) FROM archive_by_id") == 0)
		assert_int_equal(
		    rig_find(0, rig.a, owner_name(1).p, &all, &page),
		    ERR_STORE);
	assert_int_equal(
	    sqlite3_exec(h, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
	assert_counts(1, 1);
	assert_int_equal(append_some(1, 1), 0);
	assert_int_equal(append_some(2, 0), 0);
	rig_reopen();
	assert_counts(1, 2);
	assert_counts(2, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
#define TEST_PLAIN(fn) \
	cmocka_unit_test_setup_teardown(fn, setup_plain, teardown_plain)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST_PLAIN(test_open_refused),
		TEST_PLAIN(test_modes),
		TEST(test_migrations),
		TEST(test_space),
		TEST(test_tail),
		TEST(test_tail_pages),
		TEST(test_tail_retract),
		TEST(test_tail_backup),
		TEST(test_busy),
		TEST(test_backup),
	};

	return rig_main(tests);
}
