/* SPDX-License-Identifier: MIT */
/* Order in an account's lanes, around stanzas that are held. */
#include "core/account_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct account acct;
static struct session session; /* so that the account is never idle */
static char done[64];
static struct stanza *held;

static char
name_of(const struct stanza *st)
{
	return stanza_id(st).p[0];
}

static void
note(struct stanza *st)
{
	size_t n = strlen(done);

	assert_true(n + 1 < sizeof(done));
	done[n] = name_of(st);
	done[n + 1] = '\0';
	stanza_free(&st);
}

static struct stanza *
named(const char *name)
{
	struct stanza *st = stanza_new(EL_MESSAGE);

	elem_set(st->root, AT_ID, str_c(name));
	return st;
}

static enum verdict
second(struct account *a, struct stanza *st)
{
	note(st);
	return STANZA_DONE;
}

/*
 * Capitals are held: H goes on with the next step. "n" sends another stanza
 * to the account while it is at work.
 */
static enum verdict
first(struct account *a, struct stanza *st)
{
	a->in.next = second;
	if (name_of(st) >= 'A' && name_of(st) <= 'Z') {
		held = st;
		return STANZA_HELD;
	}
	if (name_of(st) == 'n') {
		lane_put(&a->in, named("m"));
		lane_put(&a->in, named("l"));
	}
	note(st);
	return STANZA_DONE;
}

static int
set_up(void **state)
{
	static bool is_first = true;

	if (is_first)
		names_init();
	is_first = false;
	memset(&acct, 0, sizeof(acct));
	list_init(&acct.sessions);
	list_add(&acct.sessions, &session.node);
	acct.state = ACCOUNT_READY;
	lane_init(&acct.in, &acct, first);
	done[0] = '\0';
	return 0;
}

static void
put(const char *names)
{
	char name[2] = { 0 };

	for (; *names != '\0'; names++) {
		struct stanza *st;

		name[0] = *names;
		st = named("x");
		elem_set_copy(st->root, AT_ID, str_c(name));
		lane_put(&acct.in, st);
	}
}

static void
test_plain(void **state)
{
	put("abc");
	assert_string_equal(done, "abc");
	assert_true(lane_is_idle(&acct.in));
	assert_int_equal(acct.pins, 0);
}

static void
test_held(void **state)
{
	put("aHbc");
	assert_string_equal(done, "a");
	stanza_resume(held, STANZA_PASS);
	assert_string_equal(done, "aHbc");
	assert_int_equal(acct.in.count, 0);
}

/* It was answered, or freed, by who held it: only the address counts. */
static void
test_held_done(void **state)
{
	struct stanza *gone;

	put("Hab");
	gone = held;
	stanza_free(&held);
	stanza_resume(gone, STANZA_DONE);
	assert_string_equal(done, "ab");
}

static void
test_held_twice(void **state)
{
	put("aHbIcd");
	stanza_resume(held, STANZA_PASS);
	assert_string_equal(done, "aHb");
	put("e");
	stanza_resume(held, STANZA_PASS);
	assert_string_equal(done, "aHbIcde");
	assert_true(lane_is_idle(&acct.in));
}

/* What a stanza causes comes after it, and after what came before. */
static void
test_nested(void **state)
{
	put("an");
	assert_string_equal(done, "anml");
	done[0] = '\0';
	put("Hnb");
	stanza_resume(held, STANZA_PASS);
	assert_string_equal(done, "Hnbml");
}

static void
test_loading(void **state)
{
	acct.state = ACCOUNT_LOADING;
	put("ab");
	lane_drain(&acct.in);
	assert_string_equal(done, "");
	acct.state = ACCOUNT_READY;
	lane_drain(&acct.in);
	assert_string_equal(done, "ab");
}

/* Errors are not answered, so what is over the bound just goes here. */
static void
test_bound(void **state)
{
	struct stanza *st;

	put("H");
	for (unsigned i = 0; i < LANE_MAX + 10; i++) {
		st = named("e");
		stanza_set_type(st, MESSAGE_ERROR);
		lane_put(&acct.in, st);
	}
	assert_int_equal(acct.in.count, LANE_MAX);
	acct.in.first = second;
	for (unsigned i = 0; i < LANE_MAX; i++) {
		st = LIST_FIRST(&acct.in.waiting, struct stanza, node);
		list_del(&st->node);
		acct.in.count--;
		stanza_free(&st);
	}
	stanza_resume(held, STANZA_PASS);
	assert_string_equal(done, "H");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_plain, set_up),
		cmocka_unit_test_setup(test_held, set_up),
		cmocka_unit_test_setup(test_held_done, set_up),
		cmocka_unit_test_setup(test_held_twice, set_up),
		cmocka_unit_test_setup(test_nested, set_up),
		cmocka_unit_test_setup(test_loading, set_up),
		cmocka_unit_test_setup(test_bound, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
