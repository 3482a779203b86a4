/* SPDX-License-Identifier: MIT */
/*
 * Rows that no index has yet, against everything that can come between: what
 * is undone, deleted or changed meanwhile, a process that dies, a disk that is
 * full. Without the writer's thread, so that each happens just when it should.
 */
#include "modules/store_sqlite/archive.h"
#include "modules/store_sqlite/tail.h"
#include "store_rig.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define JULIET STR("juliet@example.net")
#define ROMEO STR("romeo@example.net")
#define START 1700000000000
#define FOREVER UINT64_MAX
#define LARGEST "PRAGMA max_page_count=1073741823"

static struct db db;

/* ---- a writer without its thread --------------------------------------- */

static void
db_begin(void)
{
	const char *path = str_printf(rig.a, "%s/rookery.db", rig.dir).p;
	const char *why = "";

	if (db_open(&db, path, true, rig.a, &why) < 0)
		fail_msg("%s", why);
	/* It is processes that die here, not machines. */
	assert_int_equal(db_exec(&db, "PRAGMA synchronous=OFF"), 0);
	assert_int_equal(schema_migrate(db.h, SCHEMA_VERSION, rig.a, &why), 0);
	assert_int_equal(archive_state(&db), 0);
	assert_int_equal(tail_load(&db), 0);
}

/* What a process leaves that is killed; what is next finds it. */
static void
db_crash(void)
{
	db_close(&db);
	db_begin();
}

static int
setup(void **state)
{
	rig.dir = rig_folder();
	rig.a = arena_new(0);
	db_begin();
	return 0;
}

static int
teardown(void **state)
{
	db_close(&db);
	rig_folder_remove(rig.dir);
	arena_free(&rig.a);
	return 0;
}

static void
begin(void)
{
	assert_int_equal(db_exec(&db, "BEGIN IMMEDIATE"), 0);
}

static void
commit(void)
{
	assert_int_equal(db_exec(&db, "COMMIT"), 0);
	tail_commit(&db);
}

static void
undo(size_t mark)
{
	assert_int_equal(db_exec(&db, "ROLLBACK"), 0);
	owners_forget(&db);
	tail_undo(&db, mark);
}

static int
change(enum store_change_op op, struct str owner, struct archive_item m)
{
	struct store_change c = { .op = op, .owner = owner };

	c.item = m;
	return archive_apply(&db, &c);
}

static struct str
id_of(unsigned n)
{
	char text[UUID_LEN + 1];

	uuid7_min(START + n, text);
	return str_dup(rig.a, str_c(text));
}

static int
append(struct str owner, unsigned n)
{
	return change(CHANGE_ARCHIVE_APPEND, owner,
	    (struct archive_item){
		.id = id_of(n),
		.with = STR("nurse@example.net/x"),
		.xml = STR("<message/>"),
		.body = STR("word"),
		.origin_id = str_printf(rig.a, "o%u", n),
		.media_url = STR("https://up.example.net/f/1/pic.jpg"),
	    });
}

static void
append_some(struct str owner, unsigned from, unsigned to)
{
	for (unsigned n = from; n < to; n++)
		assert_int_equal(append(owner, n), 0);
}

static void
append_all(struct str owner, unsigned from, unsigned to)
{
	begin();
	append_some(owner, from, to);
	commit();
}

/* All that is there, in as many slices as it takes. */
static void
enter_all(void)
{
	int ret;

	do {
		begin();
		ret = tail_slice(&db, FOREVER);
		assert_true(ret >= 0);
		commit();
	} while (ret == 0);
	assert_true(tail_is_empty(&db));
}

static void
assert_number(const char *sql, int64_t expected)
{
	int64_t n;

	assert_int_equal(db_number(&db, db_prepare(&db, sql), 0, &n), 0);
	if (n != expected)
		fail_msg("%s: %lld, not %lld", sql, (long long)n,
		    (long long)expected);
}

/* Each row is in the indices it belongs in, and nothing else is. */
#define LACK(index, which) \
	"SELECT count(*) FROM archive a WHERE " which " AND NOT EXISTS" \
	"(SELECT 1 FROM archive_by_" index " i WHERE i.seq = a.seq" \
	" AND i.owner = a.owner AND i.id = a.id)"
#define EXTRA(index, which) \
	"SELECT count(*) FROM archive_by_" index " i WHERE NOT EXISTS" \
	"(SELECT 1 FROM archive a WHERE i.seq = a.seq" \
	" AND i.owner = a.owner AND i.id = a.id AND " which ")"

static void
assert_sound(int64_t rows)
{
	enter_all();
	assert_number("SELECT count(*) FROM archive", rows);
	assert_number(LACK("id", "1"), 0);
	assert_number(LACK("with", "1"), 0);
	assert_number(LACK("origin", "origin_id IS NOT NULL"), 0);
	assert_number(LACK("media", "media_url IS NOT NULL"), 0);
	assert_number(EXTRA("id", "1"), 0);
	assert_number(EXTRA("with", "1"), 0);
	assert_number(EXTRA("origin", "origin_id IS NOT NULL"), 0);
	assert_number(EXTRA("media", "media_url IS NOT NULL"), 0);
}

/* ---- sequence numbers -------------------------------------------------- */

/* The newest rows go, the process ends: theirs are not given to others. */
static void
test_deleted_then_restarted(void **state)
{
	append_all(JULIET, 0, 3);
	append_all(ROMEO, 3, 6);
	enter_all();
	begin();
	assert_int_equal(
	    change(CHANGE_ARCHIVE_CLEAR, ROMEO,
		(struct archive_item){ .with = STR("nurse@example.net") }),
	    0);
	commit();
	db_crash();
	append_all(JULIET, 10, 12);
	db_crash();
	assert_sound(5);
	assert_number("SELECT max(seq) > 6 FROM archive", 1);
}

/* What was undone is not remembered as entered. */
static void
test_undone_then_killed(void **state)
{
	size_t mark;

	append_all(JULIET, 0, 2);
	mark = tail_mark(&db);
	begin();
	append_some(JULIET, 2, 30);
	undo(mark);
	enter_all();
	append_all(JULIET, 30, 35);
	db_crash();
	assert_sound(7);
}

/* A row that went while it waited, and what came in its transaction's place. */
static void
test_deleted_then_undone(void **state)
{
	size_t mark;

	append_all(ROMEO, 0, 3);
	begin();
	assert_int_equal(
	    change(CHANGE_ARCHIVE_CLEAR, ROMEO,
		(struct archive_item){ .with = STR("nurse@example.net") }),
	    0);
	commit();
	mark = tail_mark(&db);
	begin();
	append_some(JULIET, 3, 5);
	undo(mark);
	append_all(JULIET, 5, 8);
	assert_sound(3);
}

/* ---- within one transaction -------------------------------------------- */

/* Entered for one change, and then there are more. */
static void
test_more_after_merge(void **state)
{
	append_all(JULIET, 0, 3);
	begin();
	assert_int_equal(tail_merge(&db, JULIET), 0);
	append_some(JULIET, 3, 4);
	commit();
	assert_true(tail_has(JULIET));
	assert_number("SELECT count(*) FROM archive_by_id", 3);

	begin();
	assert_int_equal(tail_merge(&db, JULIET), 0);
	commit();
	assert_false(tail_has(JULIET));
	assert_number("SELECT count(*) FROM archive_by_id", 4);
	assert_sound(4);
}

/* A later request of the transaction fails, and only that is undone. */
static void
test_part_undone(void **state)
{
	struct archive_item tomb = { .id = id_of(1), .xml = STR("<m/>") };
	size_t mark;

	append_all(JULIET, 0, 4);
	append_all(ROMEO, 4, 8);
	begin();
	assert_int_equal(change(CHANGE_ARCHIVE_REPLACE, JULIET, tomb), 0);
	assert_int_equal(
	    change(CHANGE_ARCHIVE_CLEAR, ROMEO,
		(struct archive_item){ .with = STR("nurse@example.net") }),
	    0);
	mark = tail_mark(&db);
	assert_int_equal(db_exec(&db, "SAVEPOINT request"), 0);
	append_some(JULIET, 8, 10);
	assert_int_equal(
	    db_exec(&db, "ROLLBACK TO request; RELEASE request"), 0);
	tail_undo(&db, mark);
	commit();
	assert_number(
	    "SELECT count(*) FROM archive WHERE media_url IS NULL", 1);
	assert_sound(4);
}

/* The same, of which nothing is kept. */
static void
test_all_undone(void **state)
{
	struct archive_item tomb = { .id = id_of(1), .xml = STR("<m/>") };
	size_t mark;

	append_all(JULIET, 0, 4);
	mark = tail_mark(&db);
	begin();
	assert_int_equal(change(CHANGE_ARCHIVE_REPLACE, JULIET, tomb), 0);
	undo(mark);
	assert_true(tail_has(JULIET));
	assert_number("SELECT count(*) FROM archive_by_media", 0);
	assert_sound(4);
	assert_number("SELECT count(*) FROM archive_by_media", 4);
}

/* ---- slices ------------------------------------------------------------ */

/* Dies between any two of them. */
static void
test_killed_between_slices(void **state)
{
	append_all(JULIET, 0, 300);
	append_all(ROMEO, 100, 400);
	for (int i = 0; i < 5; i++) {
		begin();
		assert_int_equal(tail_slice(&db, 0), 0);
		commit();
		append_all(ROMEO, 400 + (unsigned)i, 401 + (unsigned)i);
	}
	assert_number(
	    "SELECT count(*) BETWEEN 1 AND 300 FROM archive_by_id", 1);
	db_crash();
	assert_true(tail_has(JULIET));
	assert_sound(605);
	/* Once more, from where it is known that all are in. */
	db_crash();
	assert_true(tail_is_empty(&db));
	assert_int_equal(db.seq_high, 605);
}

/* A slice that fails, in the midst and with its commit, is done again. */
static void
test_full_disk(void **state)
{
	const char *sql;
	int64_t pages;
	int ret = 0;

	append_all(JULIET, 0, 2000);
	assert_int_equal(
	    db_number(&db, db_prepare(&db, "PRAGMA page_count"), 0, &pages), 0);
	sql = str_printf(
	    rig.a, "PRAGMA max_page_count=%lld", (long long)pages + 8)
		  .p;
	assert_int_equal(db_exec(&db, sql), 0);
	for (int i = 0; ret >= 0 && i < 1000; i++) {
		size_t mark = tail_mark(&db);

		begin();
		ret = tail_slice(&db, 0);
		if (ret < 0) {
			if (sqlite3_get_autocommit(db.h) == 0)
				assert_int_equal(db_exec(&db, "ROLLBACK"), 0);
			tail_undo(&db, mark);
		} else {
			commit();
		}
	}
	assert_true(ret < 0);
	begin();
	ret = tail_merge(&db, JULIET);
	assert_true(ret < 0);
	if (sqlite3_get_autocommit(db.h) == 0)
		assert_int_equal(db_exec(&db, "ROLLBACK"), 0);
	tail_undo(&db, tail_mark(&db));
	assert_true(tail_has(JULIET));

	assert_int_equal(db_exec(&db, LARGEST), 0);
	append_all(JULIET, 2000, 2010);
	assert_sound(2010);
	db_crash();
	assert_sound(2010);
}

/* Retention has to have what is old in the indices, and no more at a time. */
static void
test_merge_before(void **state)
{
	struct uuid id;
	int slices = 0, ret;

	assert_true(uuid_parse(id_of(200), &id));
	append_all(JULIET, 200, 400);
	begin();
	assert_int_equal(tail_merge_before(&db, &id, 0), 1);
	commit();
	assert_number("SELECT count(*) FROM archive_by_id", 0);

	append_all(ROMEO, 100, 300);
	do {
		begin();
		ret = tail_merge_before(&db, &id, 0);
		assert_true(ret >= 0);
		commit();
		if (slices == 0)
			append_all(JULIET, 150, 160);
	} while (ret == 0 && ++slices < 1000);
	assert_in_range(slices, 5, 100);
	assert_number("SELECT count(*) FROM archive_by_id", 410);
	assert_sound(410);
}

/* If nothing can be entered, there is an end to what waits. */
static void
test_bound(void **state)
{
	struct archive_item m = { .with = ROMEO };
	struct uuid id;
	int err = 0;

	for (unsigned n = 0; err == 0 && n < 1000000; n++) {
		char text[UUID_LEN + 1];

		uuid7_max(START + n, text);
		assert_true(uuid_parse(str_c(text), &id));
		err = tail_add(&db, JULIET, 1, &id, &m);
		db.seq_high++;
	}
	assert_int_equal(err, ERR_LIMIT);
	assert_in_range(db.seq_high, 100000, 300000);
}

/* ---- the file ---------------------------------------------------------- */

/* Rows keep their numbers when an admin compacts it. */
static void
test_vacuum(void **state)
{
	append_all(JULIET, 0, 10);
	enter_all();
	append_all(ROMEO, 10, 20);
	begin();
	assert_int_equal(row_delete(&db, 3), 0);
	commit();
	db_close(&db);
	rig_kind.number(rig.dir, "VACUUM");
	db_begin();
	assert_sound(19);
	append_all(ROMEO, 20, 21);
	assert_sound(20);
}

/* What version 4 has archived is found by version 5. */
static void
test_from_version_4(void **state)
{
	const char *path = str_printf(rig.a, "%s/rookery.db", rig.dir).p;
	const char *why = "";
	sqlite3 *h;

	db_close(&db);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(schema_migrate(h, 4, rig.a, &why), 0);
	assert_int_equal(
	    sqlite3_exec(h,
		"INSERT INTO archive_owner VALUES(1, 'juliet@example.net',"
		" 'example.net');"
		"INSERT INTO archive(seq, owner, id, ts, with_bare,"
		" is_outgoing, xml, body, origin_id, media_url) VALUES"
		"(7, 1, x'018bcfe5680070008000000000000001', 1700000000000,"
		" 'romeo@example.net', 1, '<m/>', 'one', 'o', NULL),"
		"(9, 1, x'018bcfe5680070008000000000000002', 1700000000000,"
		" 'nurse@example.net', 1, '<m/>', 'two', NULL, 'https://u')",
		NULL, NULL, NULL),
	    SQLITE_OK);
	sqlite3_close(h);
	db_begin();
	assert_true(tail_is_empty(&db));
	append_all(JULIET, 100, 102);
	assert_sound(4);
	assert_number("SELECT count(*) FROM archive_by_origin", 3);
	assert_number("SELECT count(*) FROM archive_by_media", 3);
}

/* ---- a process that is killed ------------------------------------------ */

#define WRITERS 40u

/* Tells each owner that has one more. */
static void
child_run(int fd)
{
	db_begin();
	for (unsigned n = 0;; n++) {
		char owner = (char)(n % WRITERS);
		struct str name = str_printf(rig.a, "u%d@h", owner);

		begin();
		if (append(name, n) < 0)
			_exit(1);
		if (n % 7 == 0 && tail_merge(&db, name) < 0)
			_exit(1);
		commit();
		if (write(fd, &owner, 1) != 1)
			_exit(1);
		if (n % 50 == 0) {
			begin();
			if (tail_slice(&db, 0) < 0)
				_exit(1);
			commit();
		}
	}
}

/* It counts what is acknowledged, and kills it then. */
static void
child_kill(unsigned after, unsigned counts[WRITERS])
{
	unsigned total = 0;
	int fds[2], status;
	char owner;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child_run(fds[1]);
	close(fds[1]);
	while (total < after && read(fds[0], &owner, 1) == 1) {
		counts[(unsigned)owner]++;
		total++;
	}
	kill(pid, SIGKILL);
	while (read(fds[0], &owner, 1) == 1)
		counts[(unsigned)owner]++;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(total, after);
}

static void
test_kill(void **state)
{
	for (unsigned round = 0; round < 6; round++) {
		unsigned counts[WRITERS] = { 0 };

		teardown(NULL);
		setup(NULL);
		db_close(&db);
		child_kill(100 + 333 * round, counts);
		db_begin();
		enter_all();
		for (unsigned i = 0; i < WRITERS; i++) {
			const char *sql = str_printf(rig.a,
			    "SELECT count(*) - %u IN (0, 1) FROM archive_owner "
			    "o"
			    " JOIN archive_by_id i ON i.owner = o.key"
			    " WHERE o.owner = 'u%u@h'",
			    counts[i], i)
					      .p;

			assert_number(sql, 1);
		}
		assert_number(LACK("id", "1"), 0);
		assert_number(LACK("origin", "1"), 0);
		assert_number(EXTRA("id", "1"), 0);
		assert_number("PRAGMA integrity_check(1)", 0);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_deleted_then_restarted),
		TEST(test_undone_then_killed),
		TEST(test_deleted_then_undone),
		TEST(test_more_after_merge),
		TEST(test_part_undone),
		TEST(test_all_undone),
		TEST(test_killed_between_slices),
		TEST(test_full_disk),
		TEST(test_merge_before),
		TEST(test_bound),
		TEST(test_vacuum),
		TEST(test_from_version_4),
		TEST(test_kill),
	};

	return rig_main(tests);
}
