/* SPDX-License-Identifier: MIT */
/* Accounts and keyed values of any backend. */
#include "store_rig.h"

#include "base/buf.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define JULIET "juliet@example.net"
#define ROMEO "romeo@example.net"

/* ---- keyed values ------------------------------------------------------ */

static void
test_kv(void **state)
{
	rig_assert_absent(JULIET, "vcard", "");
	assert_int_equal(rig_put(0, JULIET, "vcard", "", "one"), 0);
	rig_assert_value(JULIET, "vcard", "", "one");
	assert_int_equal(rig_put(1, JULIET, "vcard", "", ""), 0);
	rig_assert_value(JULIET, "vcard", "", "");
	rig_assert_absent(JULIET, "vcard", "x");
	rig_assert_absent(ROMEO, "vcard", "");
	rig_reopen();
	rig_assert_value(JULIET, "vcard", "", "");
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
	assert_int_equal(rig_list(0, rig.a, STR(JULIET), STR("blob"), STR_NONE,
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

	assert_int_equal(rig_list(0, rig.a, STR(JULIET), STR("list"), after,
			     is_reverse, limit, &items, &count),
	    0);
	for (size_t i = 0; i < count; i++) {
		assert_true(str_eq(items[i].key, items[i].value));
		buf_printf(
		    &b, "%s" STR_FMT, i > 0 ? "," : "", STR_ARG(items[i].key));
	}
	rig_assert_str(buf_str(&b), expected);
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
	rig_assert_value(JULIET, "lisu", "z", "other store");
	assert_int_equal(rig_write(0, JULIET, fill_clear_owner, NULL), 0);
	rig_assert_absent(JULIET, "lisu", "z");
	rig_assert_value(ROMEO, "list", "z", "other owner");
}

static void
test_kv_stores(void **state)
{
	struct str *names;
	size_t n;

	rig_put(0, "many@x", "vcard", "a", "1");
	rig_put(0, "many@x", "roster", "a", "1");
	rig_put(0, "many@x", "roster", "b", "1");
	rig_put(0, "other@x", "spool", "b", "1");
	assert_int_equal(
	    rig_stores(0, rig.a, "many@x", STR_NONE, 10, &names, &n), 0);
	assert_int_equal(n, 2);
	rig_assert_str(names[0], "roster");
	rig_assert_str(names[1], "vcard");
	assert_int_equal(
	    rig_stores(0, rig.a, "many@x", STR("roster"), 10, &names, &n), 0);
	assert_int_equal(n, 1);
	rig_assert_str(names[0], "vcard");
	assert_int_equal(
	    rig_stores(0, rig.a, "none@x", STR_NONE, 10, &names, &n), 0);
	assert_int_equal(n, 0);
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
	    rig_owners(0, rig.a, "room", STR_NONE, 10, &names, &n), 0);
	assert_int_equal(n, 3);
	rig_assert_str(names[0], "room0@muc");
	rig_assert_str(names[1], "room3@muc");
	rig_assert_str(names[2], "room6@muc");
	assert_int_equal(
	    rig_owners(0, rig.a, "room", STR("room0@muc"), 1, &names, &n), 0);
	assert_int_equal(n, 1);
	rig_assert_str(names[0], "room3@muc");
	assert_int_equal(
	    rig_owners(0, rig.a, "none", STR_NONE, 10, &names, &n), 0);
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

	assert_int_equal(rig_account(0, rig.a, JULIET, &row), ERR_ABSENT);
	row = juliet_row;
	assert_int_equal(rig_write(0, JULIET, fill_create, &row), 0);
	rig_reopen();
	assert_int_equal(rig_account(0, rig.a, JULIET, &row), 0);
	rig_assert_str(row.jid, JULIET);
	rig_assert_str(row.first_name, "Juliet");
	rig_assert_str(row.last_name, "Capulet");
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
	rig_assert_value(JULIET, "made", "with", "kept");
	assert_int_equal(rig_account(0, rig.a, JULIET, &row), 0);
	rig_assert_str(row.first_name, "Juliet");

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
	rig_assert_absent(JULIET, "made", "by");

	row = juliet_row;
	assert_int_equal(rig_write(0, JULIET, fill_create, &row), 0);
	row = (struct account_row){
		.jid = STR(JULIET),
		.email = STR("j@example.net"),
		.ban = STR("{\"reason\":\"spam\"}"),
	};
	assert_int_equal(rig_write(0, JULIET, fill_update, &row), 0);
	assert_int_equal(rig_account(1, rig.a, JULIET, &row), 0);
	rig_assert_str(row.first_name, "Juliet");
	rig_assert_str(row.email, "j@example.net");
	rig_assert_str(row.ban, "{\"reason\":\"spam\"}");
	assert_int_equal(row.key_count, 2);

	row = (struct account_row){
		.jid = STR(JULIET),
		.ban = STR(""),
		.first_name = STR(""),
		.keys = { juliet_row.keys[1] },
		.key_count = 1,
	};
	assert_int_equal(rig_write(0, JULIET, fill_update, &row), 0);
	assert_int_equal(rig_account(1, rig.a, JULIET, &row), 0);
	assert_true(str_is_none(row.ban));
	assert_true(str_is_none(row.first_name));
	rig_assert_str(row.last_name, "Capulet");
	assert_int_equal(row.created, 1700000000123);
	assert_int_equal(row.key_count, 1);
	rig_assert_str(row.keys[0].mechanism, "SCRAM-SHA-256");
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
	assert_int_equal(rig_account(0, rig.a, JULIET, &row), 0);
	assert_int_equal(row.last_seen, 42);
	rig_assert_str(row.last_status, "Gone home");
	rig_assert_str(row.first_name, "Juliet");
	assert_int_equal(rig_write(0, JULIET, fill_delete, NULL), 0);
	assert_int_equal(rig_write(0, JULIET, fill_delete, NULL), 0);
	assert_int_equal(rig_account(0, rig.a, JULIET, &row), ERR_ABSENT);
	assert_int_equal(rig_account_count(0, "example.net", &n), 0);
	assert_int_equal(n, 0);
	row = juliet_row;
	row.key_count = 0;
	assert_int_equal(rig_write(0, JULIET, fill_create, &row), 0);
	assert_int_equal(rig_account(0, rig.a, JULIET, &row), 0);
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
		assert_int_equal(rig_accounts(0, rig.a, "even.example", after,
				     5, &names, &n),
		    0);
		for (size_t i = 0; i < n; i++) {
			char name[16];

			snprintf(name, sizeof(name), "user%02zu", 2 * seen++);
			rig_assert_str(names[i], name);
		}
		if (n > 0)
			after = names[n - 1];
	} while (n > 0 && seen < 100);
	assert_int_equal(seen, 13);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_kv),
		TEST(test_kv_bytes),
		TEST(test_kv_list),
		TEST(test_kv_clear),
		TEST(test_kv_owners),
		TEST(test_kv_stores),
		TEST(test_account),
		TEST(test_account_exists),
		TEST(test_account_update),
		TEST(test_account_last_and_delete),
		TEST(test_account_list),
	};

	return rig_main(tests);
}
