/* SPDX-License-Identifier: MIT */
/*
 * Changes of rosters before a store that fails when it is told to: what is in
 * memory then, what was said, and in which order.
 */
#include "base/err.h"
#include "core/account_impl.h"
#include "core/conf.h"
#include "core/roster_impl.h"
#include "store/backend.h"

#include "net_help.h"

#include <string.h>

#define ITEMS_MAX 3

/* ---- the store --------------------------------------------------------- */

static const char *fails; /* for each write: '.' kept, 'x' failed */
static unsigned writes;

static int
fake_open(
    struct arena *a, const struct store_config *config, const char **why_r)
{
	return 0;
}

static void
fake_close(void)
{
}

static void
fake_submit(struct store_req *req)
{
	assert_int_equal(req->op, STORE_WRITE);
	req->err = fails[writes] == 'x' ? ERR_STORE : 0;
	if (fails[writes] != '\0')
		writes++;
	store_answer(req);
}

static const struct store_backend fake = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.submit = fake_submit,
};

/* ---- the account ------------------------------------------------------- */

static struct account acct;
static struct session session; /* so that it is never idle */
static struct gate told = GATE_INIT;
static char said[1024];
static struct conf conf;

static void
begin(void *arg)
{
	conf.limits.roster_items = ITEMS_MAX;
	conf_use(&conf);
	memset(&acct, 0, sizeof(acct));
	acct.jid = jid_of(STR("romeo@example.net"));
	acct.state = ACCOUNT_READY;
	list_init(&acct.sessions);
	list_add(&acct.sessions, &session.node);
	acct.roster = xzalloc(sizeof(*acct.roster));
	list_init(&acct.roster->pending);
	strcpy(acct.roster->instance, "made");
	acct.roster->log_first = 1;
	said[0] = '\0';
	writes = 0;
}

static void
end(void *arg)
{
	assert_int_equal(acct.pins, 0);
	assert_true(list_is_empty(&acct.roster->pending));
	roster_free(&acct.roster);
}

static void
on_done(void *ctx, int err)
{
	strcat(said, ctx);
	strcat(said, err == 0 ? "+ " : "- ");
	gate_add(&told, 1);
}

/* A change: "NAME=VALUE" sets the name, "NAME!" removes, "NAME?" asks in. */
static int
change(const char *what)
{
	static char names[32][8];
	static unsigned used;
	char *name = names[used++ % 32];
	size_t n = strcspn(what, "=!?");
	struct roster_item item = { 0 };

	memcpy(name, what, n);
	name[n] = '\0';
	item.jid = jid_of(str_mem(name, n));
	item.is_in_roster = what[n] == '=';
	item.is_pending_in = what[n] == '?';
	if (item.is_in_roster)
		item.name = str_c(what + n + 1);
	return roster_change(&acct, &item, false, on_done, name);
}

static void
changes(void *arg)
{
	char *list = xstrdup(arg), *rest = NULL, *what;

	for (what = strtok_r(list, " ", &rest); what != NULL;
	     what = strtok_r(NULL, " ", &rest)) {
		if (strcmp(what, "fail") == 0)
			roster_wait(&acct, ERR_INVALID, on_done,
			    (void *)(uintptr_t) "fail");
		else
			assert_int_equal(change(what), 0);
	}
	xfree(list);
}

/* The roster as "a=x b=y ", in order of names. */
static void
show(void *arg)
{
	char *text = arg;

	text[0] = '\0';
	for (char c = 'a'; c <= 'z'; c++) {
		const struct roster_item *item =
		    roster_find(&acct, str_mem(&c, 1));

		if (item != NULL)
			sprintf(text + strlen(text), "%c%c" STR_FMT " ", c,
			    item->is_in_roster ? '=' : '?',
			    STR_ARG(item->name));
	}
	sprintf(text + strlen(text), "%zu/%llu", roster_count(&acct),
	    (unsigned long long)acct.roster->durable);
}

/*
 * Changes are all made at once; what was told then, what is in memory in the
 * end, with the number of items and the version that clients are given.
 */
static const struct {
	const char *changes, *fails, *said, *roster;
} cases[] = {
	{ "a=x", ".", "a+ ", "a=x 1/1" },
	{ "a=x a=y", "..", "a+ a+ ", "a=y 1/2" },
	{ "a=x a!", "..", "a+ a+ ", "0/2" },
	{ "a=x b? b=y", "...", "a+ b+ b+ ", "a=x b=y 2/2" },
	{ "a?", ".", "a+ ", "a? 0/0" },
	/* What failed is taken back... */
	{ "a=x", "x", "a- ", "0/0" },
	{ "a=x a=y", ".x", "a+ a- ", "a=x 1/1" },
	{ "a=x a!", ".x", "a+ a- ", "a=x 1/1" },
	{ "a? a=x", ".x", "a+ a- ", "a? 0/0" },
	/* ...unless something came after it, which was kept. */
	{ "a=x a=y", "x.", "a- a+ ", "a=y 1/2" },
	{ "a=x a! a=z", ".x.", "a+ a- a+ ", "a=z 1/3" },
	{ "a=x b=y", "x.", "a- b+ ", "b=y 1/2" },
	/* Refusals come in their turn. */
	{ "fail", "", "fail- ", "0/0" },
	{ "a=x fail b=y fail", "..", "a+ fail- b+ fail- ", "a=x b=y 2/2" },
	{ "a=x fail", "x", "a- fail- ", "0/0" },
};

static int
count_of(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += *text == ' ';
	return n;
}

static void
test_changes(void **state)
{
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int before = gate_count(&told);

		on_loop(0, begin, NULL);
		fails = cases[i].fails;
		on_loop(0, changes, (void *)(uintptr_t)cases[i].changes);
		gate_wait(&told, before + count_of(cases[i].said));
		on_loop(0, show, text);
		if (strcmp(said, cases[i].said) != 0 ||
		    strcmp(text, cases[i].roster) != 0)
			fail_msg("%s with %s: %s, %s", cases[i].changes,
			    cases[i].fails, said, text);
		on_loop(0, end, NULL);
	}
}

/* As many as may be in it; and twice as many when strangers' count. */
static void
fill(void *arg)
{
	assert_int_equal(change("a=x"), 0);
	assert_int_equal(change("b=x"), 0);
	assert_int_equal(change("c=x"), 0);
	assert_int_equal(change("d=x"), ERR_LIMIT);
	assert_int_equal(change("c=y"), 0);
	assert_int_equal(change("d?"), 0);
	assert_int_equal(change("d=x"), ERR_LIMIT);
	assert_int_equal(change("e?"), 0);
	assert_int_equal(change("f?"), 0);
	assert_int_equal(change("g?"), ERR_LIMIT);
	assert_int_equal(change("a!"), 0);
	assert_int_equal(change("d=x"), 0);
}

static void
test_bounds(void **state)
{
	int before = gate_count(&told);

	on_loop(0, begin, NULL);
	fails = "";
	on_loop(0, fill, NULL);
	gate_wait(&told, before + 9);
	on_loop(0, end, NULL);
}

static void
compare_versions(void *arg)
{
	struct arena *a = arena_new(0);
	struct roster *r = acct.roster;
	uint64_t v;

	assert_true(str_is(roster_version(a, r, r->durable), "made-100"));
	assert_true(roster_knows(r, STR("made-100"), &v));
	assert_int_equal(v, 100);
	assert_true(roster_knows(r, STR("made-36"), &v));
	assert_false(roster_knows(r, STR("made-35"), &v));
	assert_false(roster_knows(r, STR("made-101"), &v));
	assert_false(roster_knows(r, STR("made-"), &v));
	assert_false(roster_knows(r, STR("made"), &v));
	assert_false(roster_knows(r, STR("Made-100"), &v));
	assert_false(roster_knows(r, STR(""), &v));
	assert_false(roster_knows(r, STR("made-99999999999999999999"), &v));
	arena_free(&a);
}

static void
hundred(void *arg)
{
	char text[] = "a=?0";

	for (unsigned i = 0; i < 100; i++) {
		text[2] = (char)('a' + i % 26);
		text[3] = (char)('0' + i / 26);
		assert_int_equal(change(text), 0);
	}
}

/* The last 64 changes are remembered. */
static void
test_versions(void **state)
{
	int before = gate_count(&told);

	on_loop(0, begin, NULL);
	fails = "";
	on_loop(0, hundred, NULL);
	gate_wait(&told, before + 100);
	on_loop(0, compare_versions, NULL);
	on_loop(0, end, NULL);
}

static int
set_up(void **state)
{
	struct store_config config = { 0 };
	struct arena *a = arena_new(0);
	const char *why;

	names_init();
	store_register(&fake);
	loops_new(1);
	assert_int_equal(store_open(a, "fake", &config, &why), 0);
	loops_run(NULL);
	arena_free(&a);
	return 0;
}

static int
tear_down(void **state)
{
	loops_stop();
	store_close();
	loops_free();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
