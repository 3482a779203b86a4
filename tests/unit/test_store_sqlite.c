/* SPDX-License-Identifier: MIT */
/* The SQLite backend: accounts, keyed values, order, failures, durability. */
#include "modules/store_sqlite/sqlite.h"
#include "store_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define JULIET "juliet@example.net"
#define ROMEO "romeo@example.net"

struct fixture {
	char *dir;
	struct arena *a;
};

static struct fixture fix;

static int
setup(void **state)
{
	fix.dir = rig_folder();
	fix.a = arena_new(0);
	rig_open(&sqlite_backend, fix.dir);
	return 0;
}

static int
teardown(void **state)
{
	rig_close();
	rig_folder_remove(fix.dir);
	arena_free(&fix.a);
	return 0;
}

/* For tests that open databases themselves. */
static int
setup_plain(void **state)
{
	fix.dir = rig_folder();
	fix.a = arena_new(0);
	return 0;
}

static int
teardown_plain(void **state)
{
	rig_folder_remove(fix.dir);
	arena_free(&fix.a);
	return 0;
}

static void
reopen(void)
{
	rig_close();
	rig_open(&sqlite_backend, fix.dir);
}

static void
assert_str(struct str s, const char *text)
{
	if (!str_is(s, text))
		fail_msg("'" STR_FMT "' is not '%s'", STR_ARG(s), text);
}

static void
assert_value(
    const char *owner, const char *store, const char *key, const char *value)
{
	struct str v;

	assert_int_equal(rig_get(0, fix.a, owner, store, key, &v), 0);
	assert_str(v, value);
}

static void
assert_absent(const char *owner, const char *store, const char *key)
{
	struct str v;

	assert_int_equal(rig_get(1, fix.a, owner, store, key, &v), ERR_ABSENT);
}

/* ---- keyed values ------------------------------------------------------ */

static void
test_kv(void **state)
{
	assert_absent(JULIET, "vcard", "");
	assert_int_equal(rig_put(0, JULIET, "vcard", "", "one"), 0);
	assert_value(JULIET, "vcard", "", "one");
	assert_int_equal(rig_put(1, JULIET, "vcard", "", ""), 0);
	assert_value(JULIET, "vcard", "", "");
	assert_absent(JULIET, "vcard", "x");
	assert_absent(ROMEO, "vcard", "");
	reopen();
	assert_value(JULIET, "vcard", "", "");
}

static void
fill_bytes(struct store_write *w, void *arg)
{
	const struct str *value = arg;

	kv_put(w, STR(JULIET), STR("blob"), str_mem("a\0b", 3), *value);
}

/* Any bytes, also as keys; and large ones. */
static void
test_kv_bytes(void **state)
{
	size_t n = 3000000, count;
	char *p = xmalloc(n);
	struct str value = str_mem(p, n);
	struct kv_item *items;

	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7);
	assert_int_equal(rig_write(0, JULIET, fill_bytes, &value), 0);
	assert_int_equal(rig_list(0, fix.a, STR(JULIET), STR("blob"), STR_NONE,
			     false, 10, &items, &count),
	    0);
	assert_int_equal(count, 1);
	assert_true(str_eq(items[0].key, str_mem("a\0b", 3)));
	assert_true(str_eq(items[0].value, value));
	xfree(p);
}

static void
fill_list(struct store_write *w, void *arg)
{
	static const char *const keys[] = { "b", "", "a", "c", "B", "ab" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		kv_put(w, STR(JULIET), STR("list"), str_c(keys[i]),
		    str_c(keys[i]));
	kv_put(w, STR(JULIET), STR("lisu"), STR("z"), STR("other store"));
	kv_put(w, STR(ROMEO), STR("list"), STR("z"), STR("other owner"));
}

/* What kv_list answers, as keys joined by commas. */
static void
assert_list(
    struct str after, bool is_reverse, size_t limit, const char *expected)
{
	struct kv_item *items;
	struct buf b = { 0 };
	size_t count;

	assert_int_equal(rig_list(0, fix.a, STR(JULIET), STR("list"), after,
			     is_reverse, limit, &items, &count),
	    0);
	for (size_t i = 0; i < count; i++) {
		assert_true(str_eq(items[i].key, items[i].value));
		buf_printf(
		    &b, "%s" STR_FMT, i > 0 ? "," : "", STR_ARG(items[i].key));
	}
	assert_str(buf_str(&b), expected);
	buf_fini(&b);
}

static void
test_kv_list(void **state)
{
	uint64_t n;

	assert_list(STR_NONE, false, 10, "");
	assert_int_equal(rig_write(0, JULIET, fill_list, NULL), 0);
	assert_list(STR_NONE, false, SIZE_MAX, ",B,a,ab,b,c");
	assert_list(STR_NONE, false, 3, ",B,a");
	assert_list(STR(""), false, 3, "B,a,ab");
	assert_list(STR("a"), false, 2, "ab,b");
	assert_list(STR("aa"), false, 1, "ab");
	assert_list(STR("c"), false, 5, "");
	assert_list(STR_NONE, true, 2, "c,b");
	assert_list(STR("b"), true, 2, "ab,a");
	assert_list(STR("a"), true, 9, "B,");
	assert_list(STR_NONE, false, 0, "");
	assert_int_equal(rig_kv_count(0, JULIET, "list", &n), 0);
	assert_int_equal(n, 6);
	assert_int_equal(rig_kv_count(0, "nobody@x", "list", &n), 0);
	assert_int_equal(n, 0);
}

static void
fill_clear_store(struct store_write *w, void *arg)
{
	kv_clear(w, STR(JULIET), STR("list"));
}

static void
fill_clear_owner(struct store_write *w, void *arg)
{
	kv_clear(w, STR(JULIET), STR_NONE);
}

static void
fill_del(struct store_write *w, void *arg)
{
	kv_del(w, STR(JULIET), STR("list"), STR("a"));
	kv_del(w, STR(JULIET), STR("list"), STR("not there"));
}

static void
test_kv_clear(void **state)
{
	assert_int_equal(rig_write(0, JULIET, fill_list, NULL), 0);
	assert_int_equal(rig_write(0, JULIET, fill_del, NULL), 0);
	assert_list(STR_NONE, false, 10, ",B,ab,b,c");
	assert_int_equal(rig_write(0, JULIET, fill_clear_store, NULL), 0);
	assert_list(STR_NONE, false, 10, "");
	assert_value(JULIET, "lisu", "z", "other store");
	assert_int_equal(rig_write(0, JULIET, fill_clear_owner, NULL), 0);
	assert_absent(JULIET, "lisu", "z");
	assert_value(ROMEO, "list", "z", "other owner");
}

static void
test_kv_owners(void **state)
{
	struct str *names;
	size_t n;

	for (int i = 0; i < 9; i++) {
		char owner[32];

		snprintf(owner, sizeof(owner), "room%d@muc", i);
		rig_put(0, owner, i % 3 == 0 ? "room" : "other", "a", "1");
		rig_put(0, owner, i % 3 == 0 ? "room" : "other", "b", "2");
	}
	assert_int_equal(
	    rig_owners(0, fix.a, "room", STR_NONE, 10, &names, &n), 0);
	assert_int_equal(n, 3);
	assert_str(names[0], "room0@muc");
	assert_str(names[1], "room3@muc");
	assert_str(names[2], "room6@muc");
	assert_int_equal(
	    rig_owners(0, fix.a, "room", STR("room0@muc"), 1, &names, &n), 0);
	assert_int_equal(n, 1);
	assert_str(names[0], "room3@muc");
	assert_int_equal(
	    rig_owners(0, fix.a, "none", STR_NONE, 10, &names, &n), 0);
	assert_int_equal(n, 0);
}

/* ---- accounts ---------------------------------------------------------- */

static const struct account_row juliet_row = {
	.jid = STR_INIT(JULIET),
	.keys = {
		{
			.mechanism = STR_INIT("SCRAM-SHA-1"),
			.salt = STR_INIT("s\0lt"),
			.iterations = 4096,
			.stored_key = STR_INIT("stored\0key"),
			.server_key = STR_INIT("server"),
		},
		{
			.mechanism = STR_INIT("SCRAM-SHA-256"),
			.salt = STR_INIT("salt"),
			.iterations = 10000,
			.stored_key = STR_INIT("x"),
			.server_key = STR_INIT("y"),
		},
	},
	.key_count = 2,
	.first_name = STR_INIT("Juliet"),
	.last_name = STR_INIT("Capulet"),
	.created = 1700000000123,
};

static void
fill_create(struct store_write *w, void *arg)
{
	account_create(w, arg);
	kv_put(w, STR(JULIET), STR("made"), STR("with"), STR("it"));
}

static void
test_account(void **state)
{
	struct account_row row = juliet_row;

	assert_int_equal(rig_account(0, fix.a, JULIET, &row), ERR_ABSENT);
	row = juliet_row;
	assert_int_equal(rig_write(0, JULIET, fill_create, &row), 0);
	reopen();
	assert_int_equal(rig_account(0, fix.a, JULIET, &row), 0);
	assert_str(row.jid, JULIET);
	assert_str(row.first_name, "Juliet");
	assert_str(row.last_name, "Capulet");
	assert_true(str_is_none(row.email));
	assert_true(str_is_none(row.ban));
	assert_int_equal(row.created, 1700000000123);
	assert_int_equal(row.last_seen, 0);
	assert_int_equal(row.key_count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct scram_keys *k = &row.keys[i],
					*as = &juliet_row.keys[i];

		assert_true(str_eq(k->mechanism, as->mechanism));
		assert_true(str_eq(k->salt, as->salt));
		assert_int_equal(k->iterations, as->iterations);
		assert_true(str_eq(k->stored_key, as->stored_key));
		assert_true(str_eq(k->server_key, as->server_key));
	}
}

/* Nothing of a write happens if part of it fails. */
static void
test_account_exists(void **state)
{
	struct account_row row = juliet_row;

	assert_int_equal(rig_write(0, JULIET, fill_create, &row), 0);
	assert_int_equal(rig_put(0, JULIET, "made", "with", "kept"), 0);
	row.first_name = STR("Other");
	assert_int_equal(rig_write(0, JULIET, fill_create, &row), ERR_EXISTS);
	assert_value(JULIET, "made", "with", "kept");
	assert_int_equal(rig_account(0, fix.a, JULIET, &row), 0);
	assert_str(row.first_name, "Juliet");

	row.jid = STR("no-local-part");
	assert_int_equal(rig_write(0, JULIET, fill_create, &row), ERR_INVALID);
}

static void
fill_update(struct store_write *w, void *arg)
{
	kv_put(w, STR(JULIET), STR("made"), STR("by"), STR("update"));
	account_update(w, arg);
}

static void
test_account_update(void **state)
{
	struct account_row row = {
		.jid = STR(JULIET),
		.email = STR("j@example.net"),
		.ban = STR("{\"reason\":\"spam\"}"),
	};

	assert_int_equal(rig_write(0, JULIET, fill_update, &row), ERR_ABSENT);
	assert_absent(JULIET, "made", "by");

	row = juliet_row;
	assert_int_equal(rig_write(0, JULIET, fill_create, &row), 0);
	row = (struct account_row){
		.jid = STR(JULIET),
		.email = STR("j@example.net"),
		.ban = STR("{\"reason\":\"spam\"}"),
	};
	assert_int_equal(rig_write(0, JULIET, fill_update, &row), 0);
	assert_int_equal(rig_account(1, fix.a, JULIET, &row), 0);
	assert_str(row.first_name, "Juliet");
	assert_str(row.email, "j@example.net");
	assert_str(row.ban, "{\"reason\":\"spam\"}");
	assert_int_equal(row.key_count, 2);

	row = (struct account_row){
		.jid = STR(JULIET),
		.ban = STR(""),
		.first_name = STR(""),
		.keys = { juliet_row.keys[1] },
		.key_count = 1,
	};
	assert_int_equal(rig_write(0, JULIET, fill_update, &row), 0);
	assert_int_equal(rig_account(1, fix.a, JULIET, &row), 0);
	assert_true(str_is_none(row.ban));
	assert_true(str_is_none(row.first_name));
	assert_str(row.last_name, "Capulet");
	assert_int_equal(row.created, 1700000000123);
	assert_int_equal(row.key_count, 1);
	assert_str(row.keys[0].mechanism, "SCRAM-SHA-256");
}

static void
fill_last(struct store_write *w, void *arg)
{
	account_set_last(w, STR(JULIET), 42, STR("Gone home"));
	account_set_last(w, STR("nobody@example.net"), 42, STR("Gone"));
}

static void
fill_delete(struct store_write *w, void *arg)
{
	account_delete(w, STR(JULIET));
}

static void
test_account_last_and_delete(void **state)
{
	struct account_row row = juliet_row;
	uint64_t n;

	assert_int_equal(rig_write(0, JULIET, fill_create, &row), 0);
	assert_int_equal(rig_write(0, JULIET, fill_last, NULL), 0);
	assert_int_equal(rig_account(0, fix.a, JULIET, &row), 0);
	assert_int_equal(row.last_seen, 42);
	assert_str(row.last_status, "Gone home");
	assert_str(row.first_name, "Juliet");
	assert_int_equal(rig_write(0, JULIET, fill_delete, NULL), 0);
	assert_int_equal(rig_write(0, JULIET, fill_delete, NULL), 0);
	assert_int_equal(rig_account(0, fix.a, JULIET, &row), ERR_ABSENT);
	assert_int_equal(rig_account_count(0, "example.net", &n), 0);
	assert_int_equal(n, 0);
	row = juliet_row;
	row.key_count = 0;
	assert_int_equal(rig_write(0, JULIET, fill_create, &row), 0);
	assert_int_equal(rig_account(0, fix.a, JULIET, &row), 0);
	assert_int_equal(row.key_count, 0);
}

static void
fill_many(struct store_write *w, void *arg)
{
	for (int i = 0; i < 25; i++) {
		struct account_row row = {
			.jid = str_printf(store_write_arena(w),
			    "user%02d@%s.example", i, i % 2 ? "odd" : "even"),
		};

		account_create(w, &row);
	}
}

static void
test_account_list(void **state)
{
	struct str *names, after = STR_NONE;
	size_t n, seen = 0;
	uint64_t count;

	assert_int_equal(rig_write(0, "even.example", fill_many, NULL), 0);
	assert_int_equal(rig_account_count(0, "even.example", &count), 0);
	assert_int_equal(count, 13);
	do {
		assert_int_equal(rig_accounts(0, fix.a, "even.example", after,
				     5, &names, &n),
		    0);
		for (size_t i = 0; i < n; i++) {
			char name[16];

			snprintf(name, sizeof(name), "user%02zu", 2 * seen++);
			assert_str(names[i], name);
		}
		if (n > 0)
			after = names[n - 1];
	} while (n > 0 && seen < 100);
	assert_int_equal(seen, 13);
}

/* ---- order ------------------------------------------------------------- */

static atomic_int order_bad;
static int order_left;

struct step {
	int expected;
};

static void
on_order_value(void *ctx, int err, struct str value)
{
	struct step *s = ctx;
	char text[16];

	snprintf(text, sizeof(text), "%d", s->expected);
	if (s->expected == 0 ? err != ERR_ABSENT
			     : err != 0 || !str_is(value, text))
		order_bad++;
	xfree(s);
	if (--order_left == 0)
		rig_done();
}

static void
on_order_done(void *ctx, int err)
{
	if (err != 0)
		order_bad++;
	if (--order_left == 0)
		rig_done();
}

static void
order_put(const char *owner, int i)
{
	struct store_write *w = store_write_new(str_c(owner));

	kv_put(w, str_c(owner), STR("order"), STR("k"),
	    str_printf(store_write_arena(w), "%d", i));
	order_left++;
	store_commit(&w, on_order_done, NULL);
}

static void
order_get(const char *owner, int expected)
{
	struct step *s = xmalloc(sizeof(*s));

	s->expected = expected;
	order_left++;
	kv_get(str_c(owner), STR("order"), STR("k"), on_order_value, s);
}

/* Reads between writes of the same turn see what came before them. */
static void
start_order(void *arg)
{
	order_get("a@x", 0);
	order_get("b@x", 0);
	for (int i = 1; i < 200; i++) {
		order_put("a@x", i);
		order_get("a@x", i);
		order_put("b@x", i);
		if (i % 3 == 0) {
			order_get("b@x", i);
			order_get("b@x", i);
		}
	}
}

static void
test_order(void **state)
{
	order_bad = 0;
	order_left = 0;
	rig_run(0, start_order, NULL);
	assert_int_equal(order_bad, 0);
}

static int turns_round;

static void
on_turns_value(void *ctx, int err, struct str value)
{
	on_order_value(ctx, err, value);
}

/* The same, a step each turn: a read and a write that chase each other. */
static void
step_turns(void *msg)
{
	struct step *s;

	if (++turns_round > 300) {
		if (--order_left == 0)
			rig_done();
		return;
	}
	s = xmalloc(sizeof(*s));
	s->expected = turns_round - 1;
	order_left++;
	kv_get(STR("t@x"), STR("order"), STR("k"), on_turns_value, s);
	order_put("t@x", turns_round);
	loop_post(loop_self(), step_turns, NULL);
}

static void
start_turns(void *arg)
{
	order_left = 1;
	turns_round = 0;
	step_turns(NULL);
}

static void
test_order_over_turns(void **state)
{
	order_bad = 0;
	rig_run(1, start_turns, NULL);
	assert_int_equal(order_bad, 0);
}

/* ---- groups ------------------------------------------------------------ */

#define MANY 5000

static atomic_int many_ok, many_failed;

static void
on_many(void *ctx, int err)
{
	bool should_fail = ctx != NULL;

	atomic_fetch_add(
	    (err == (should_fail ? ERR_ABSENT : 0)) ? &many_ok : &many_failed,
	    1);
	if (store_waiting() == 0)
		rig_done();
}

/* Some fail, which concerns nobody else of their group. */
static void
start_many(void *arg)
{
	unsigned loop = loop_index(loop_self());

	for (int i = 0; i < MANY; i++) {
		struct arena *a = arena_new(0);
		struct str owner = str_printf(a, "u%d@loop%u", i % 97, loop);
		struct store_write *w = store_write_new(owner);
		struct account_row row = { .jid = STR("nobody@x") };
		static char failing[] = "fails";

		kv_put(w, owner, STR("many"), str_printf(a, "%d", i), STR("v"));
		if (i % 10 == 3)
			account_update(w, &row);
		store_commit(&w, on_many, i % 10 == 3 ? failing : NULL);
		arena_free(&a);
	}
}

static void
test_many(void **state)
{
	uint64_t n, total = 0;

	many_ok = many_failed = 0;
	rig_start(0, start_many, NULL);
	rig_start(1, start_many, NULL);
	rig_wait(2);
	assert_int_equal(many_failed, 0);
	assert_int_equal(many_ok, 2 * MANY);
	reopen();
	for (int i = 0; i < 97; i++) {
		char owner[32];

		snprintf(owner, sizeof(owner), "u%d@loop1", i);
		assert_int_equal(rig_kv_count(0, owner, "many", &n), 0);
		total += n;
	}
	assert_int_equal(total, MANY * 9 / 10);
}

static atomic_int limit_hit;

static void
on_limited(void *ctx, int err)
{
	if (err == ERR_LIMIT)
		limit_hit++;
	else if (err != 0)
		many_failed++;
	if (store_waiting() == 0)
		rig_done();
}

/* What waits is bounded; what is over it is told so, in a later turn. */
static void
start_limit(void *arg)
{
	for (int i = 0; i < 50100; i++) {
		struct store_write *w = store_write_new(STR(JULIET));

		kv_put(w, STR(JULIET), STR("limit"), STR("k"), STR("v"));
		store_commit(&w, on_limited, NULL);
	}
	must(limit_hit == 0);
}

static void
test_limit(void **state)
{
	limit_hit = many_failed = 0;
	rig_run(0, start_limit, NULL);
	assert_int_equal(limit_hit, 100);
	assert_int_equal(many_failed, 0);
	assert_int_equal(rig_put(0, JULIET, "limit", "k", "w"), 0);
}

static void
start_drop(void *arg)
{
	struct store_write *w = store_write_new(STR(JULIET));

	kv_put(w, STR(JULIET), STR("drop"), STR("k"), STR("v"));
	store_write_drop(&w);
	must(w == NULL);
	store_write_drop(&w);

	w = store_write_new(STR(JULIET));
	kv_put(w, STR(JULIET), STR("quiet"), STR("k"), STR("v"));
	store_commit(&w, NULL, NULL);
	rig_done();
}

static void
fill_nothing(struct store_write *w, void *arg)
{
}

static void
test_drop(void **state)
{
	rig_run(0, start_drop, NULL);
	assert_int_equal(rig_write(0, JULIET, fill_nothing, NULL), 0);
	assert_absent(JULIET, "drop", "k");
	assert_value(JULIET, "quiet", "k", "v");
}

static atomic_int closing_called;

static void
on_closing(void *ctx, int err)
{
	closing_called++;
}

static void
start_closing(void *arg)
{
	for (int i = 0; i < 100; i++) {
		struct store_write *w = store_write_new(STR(JULIET));

		kv_put(w, STR(JULIET), STR("closing"),
		    str_printf(store_write_arena(w), "%d", i), STR("v"));
		store_commit(&w, on_closing, NULL);
	}
	rig_done();
}

/* What was submitted before the end is kept. */
static void
test_close(void **state)
{
	uint64_t n;

	rig_run(0, start_closing, NULL);
	reopen();
	assert_int_equal(rig_kv_count(0, JULIET, "closing", &n), 0);
	assert_int_equal(n, 100);
}

/* ---- failures ---------------------------------------------------------- */

static void
file_size_limit(rlim_t size)
{
	struct rlimit rl;

	getrlimit(RLIMIT_FSIZE, &rl);
	rl.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

static void
fill_big(struct store_write *w, void *arg)
{
	size_t n = 8000000;
	char *p = arena_bytes(store_write_arena(w), n);

	memset(p, 'x', n);
	kv_put(w, STR(JULIET), STR("big"), STR("k"), str_mem(p, n));
}

/* A disk that takes no more fails writes, and only while it does. */
static void
test_disk_full(void **state)
{
	struct rlimit old;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rig_put(0, JULIET, "s", "before", "1"), 0);

	file_size_limit(2000000);
	assert_int_equal(rig_write(0, JULIET, fill_big, NULL), ERR_STORE);
	assert_int_equal(rig_write(0, JULIET, fill_big, NULL), ERR_STORE);
	assert_value(JULIET, "s", "before", "1");
	assert_absent(JULIET, "big", "k");
	file_size_limit(old.rlim_cur);

	assert_int_equal(rig_put(0, JULIET, "s", "after", "2"), 0);
	assert_int_equal(rig_write(0, JULIET, fill_big, NULL), 0);
	reopen();
	assert_value(JULIET, "s", "before", "1");
	assert_value(JULIET, "s", "after", "2");
}

static int
try_open(const char *dir, const char *path, const char **why_r)
{
	struct store_config config = { .data_dir = dir, .path = path };
	int err;

	*why_r = "";
	store_register(&sqlite_backend);
	err = store_open(fix.a, "sqlite", &config, why_r);
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

	path = str_printf(fix.a, "%s/garbage", dir).p;
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 3000; i++)
		fputs("not a database ", f);
	fclose(f);
	assert_refused(dir, "garbage", "not a database");

	sql(str_printf(fix.a, "%s/foreign", dir).p, "CREATE TABLE t(x)");
	assert_refused(dir, "foreign", "not a database of Rookery");

	assert_int_equal(try_open(dir, "new", &why), 0);
	sql(str_printf(fix.a, "%s/new", dir).p, "PRAGMA user_version=99");
	assert_refused(dir, "new", "version 99");

	assert_refused(dir, "garbage/below", "");
	assert_true(try_open(dir, ".", &why) < 0);
	store_register(&sqlite_backend);
	assert_int_equal(
	    store_open(fix.a, "oracle", &(struct store_config){ 0 }, &why),
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
	const char *data = str_printf(fix.a, "%s/a/b", dir).p;

	assert_int_equal(try_open(data, "c/test.db", &why), 0);
	assert_int_equal(mode_of(data), 0700);
	assert_int_equal(mode_of(str_printf(fix.a, "%s/c", data).p), 0700);
	assert_int_equal(
	    mode_of(str_printf(fix.a, "%s/c/test.db", data).p), 0600);
	rig_folder_remove(dir);
}

/* ---- schema ------------------------------------------------------------ */

/* Every version ever used comes up to date with what it holds. */
static void
test_migrations(void **state)
{
	for (int version = 1; version < SCHEMA_VERSION; version++) {
		char *dir = rig_folder(), *old_dir = fix.dir;
		const char *path = str_printf(fix.a, "%s/rookery.db", dir).p;
		const char *why = "";
		struct account_row row;
		uint64_t n;
		sqlite3 *h;

		assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
		assert_int_equal(schema_migrate(h, version, fix.a, &why), 0);
		sqlite3_close(h);
		sql(path,
		    "INSERT INTO account(jid, host, local, created, last_seen)"
		    " VALUES('a@h', 'h', 'a', 5, 0);"
		    "INSERT INTO kv VALUES('a@h', 's', 'k', 'v')");

		rig_close();
		fix.dir = dir;
		rig_open(&sqlite_backend, dir);
		assert_int_equal(rig_account(0, fix.a, "a@h", &row), 0);
		assert_int_equal(row.created, 5);
		assert_value("a@h", "s", "k", "v");
		assert_int_equal(rig_archive_count(0, "a@h", &n), 0);
		assert_int_equal(n, 0);
		reopen();
		assert_value("a@h", "s", "k", "v");
		rig_close();

		fix.dir = old_dir;
		rig_open(&sqlite_backend, fix.dir);
		rig_folder_remove(dir);
	}
}

/* ---- durability -------------------------------------------------------- */

static int crash_pipe;

static void
on_crash_done(void *ctx, int err)
{
	int32_t n = (int32_t)(intptr_t)ctx;

	if (err == 0 && write(crash_pipe, &n, sizeof(n)) != sizeof(n))
		_exit(3);
}

static int32_t crash_next;

static void
crash_step(struct timer *t)
{
	for (int i = 0; i < 20; i++) {
		struct store_write *w = store_write_new(STR(JULIET));
		int32_t n = crash_next++;

		kv_put(w, STR(JULIET), STR("crash"),
		    str_printf(store_write_arena(w), "%d", n), STR("v"));
		store_commit(&w, on_crash_done, (void *)(intptr_t)n);
	}
	timer_start(t, 1, crash_step);
}

static void
start_crash(void *arg)
{
	static struct timer t;

	timer_start(&t, 1, crash_step);
}

static _Noreturn void
crash_child(const char *dir, int fd)
{
	crash_pipe = fd;
	rig_open(&sqlite_backend, dir);
	rig_start(0, start_crash, NULL);
	for (;;)
		pause();
}

/* All that was acknowledged is there after a kill -9. */
static void
test_kill(void **state)
{
	char *acked = xzalloc(1000000);
	size_t count = 0;
	int32_t n, last = 0;
	int fds[2], status;
	pid_t pid;

	rig_close();
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		crash_child(fix.dir, fds[1]);
	}
	close(fds[1]);
	while (count < 2000 && read(fds[0], &n, sizeof(n)) == sizeof(n)) {
		acked[n] = 1;
		count++;
	}
	kill(pid, SIGKILL);
	while (read(fds[0], &n, sizeof(n)) == sizeof(n) && n < 1000000) {
		acked[n] = 1;
		last = MAX(last, n);
		count++;
	}
	close(fds[0]);
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_true(count >= 2000);

	rig_open(&sqlite_backend, fix.dir);
	for (n = 0; n < 1000000; n++) {
		char key[16];

		if (acked[n] == 0)
			continue;
		snprintf(key, sizeof(key), "%d", n);
		assert_value(JULIET, "crash", key, "v");
	}
	xfree(acked);
}

/* ---- backup ------------------------------------------------------------ */

static void
test_backup(void **state)
{
	const char *path = str_printf(fix.a, "%s/copy/copy.db", fix.dir).p;
	const char *own = str_printf(fix.a, "%s/rookery.db", fix.dir).p;
	char *dir = fix.dir;
	const char *why = "";

	assert_int_equal(rig_put(0, JULIET, "s", "k", "before"), 0);
	assert_true(store_backup(fix.a, path, &why) < 0);
	assert_non_null(strstr(why, path));
	assert_int_equal(
	    mkdir(str_printf(fix.a, "%s/copy", fix.dir).p, 0700), 0);
	assert_int_equal(store_backup(fix.a, path, &why), 0);
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(store_backup(fix.a, own, &why), ERR_INVALID);
	assert_int_equal(rig_put(0, JULIET, "s", "k", "after"), 0);
	assert_value(JULIET, "s", "k", "after");

	rig_close();
	assert_int_equal(
	    rename(path, str_printf(fix.a, "%s/copy/rookery.db", dir).p), 0);
	rig_open(&sqlite_backend, str_printf(fix.a, "%s/copy", fix.dir).p);
	assert_value(JULIET, "s", "k", "before");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_PLAIN(fn) \
	cmocka_unit_test_setup_teardown(fn, setup_plain, teardown_plain)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_kv),
		TEST(test_kv_bytes),
		TEST(test_kv_list),
		TEST(test_kv_clear),
		TEST(test_kv_owners),
		TEST(test_account),
		TEST(test_account_exists),
		TEST(test_account_update),
		TEST(test_account_last_and_delete),
		TEST(test_account_list),
		TEST(test_order),
		TEST(test_order_over_turns),
		TEST(test_many),
		TEST(test_limit),
		TEST(test_drop),
		TEST(test_close),
		TEST(test_disk_full),
		TEST_PLAIN(test_open_refused),
		TEST_PLAIN(test_modes),
		TEST(test_migrations),
		TEST(test_kill),
		TEST(test_backup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
