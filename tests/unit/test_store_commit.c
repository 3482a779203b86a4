/* SPDX-License-Identifier: MIT */
/* Any backend: order, groups of writes, failures, durability. */
#include "store_rig.h"

#include "base/err.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define JULIET "juliet@example.net"

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
	rig_reopen();
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
	rig_assert_absent(JULIET, "drop", "k");
	rig_assert_value(JULIET, "quiet", "k", "v");
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
	rig_reopen();
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

	/* What writes the files is another's process. */
	if (!rig_kind.is_embedded)
		return;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rig_put(0, JULIET, "s", "before", "1"), 0);

	file_size_limit(2000000);
	assert_int_equal(rig_write(0, JULIET, fill_big, NULL), ERR_STORE);
	assert_int_equal(rig_write(0, JULIET, fill_big, NULL), ERR_STORE);
	rig_assert_value(JULIET, "s", "before", "1");
	rig_assert_absent(JULIET, "big", "k");
	file_size_limit(old.rlim_cur);

	assert_int_equal(rig_put(0, JULIET, "s", "after", "2"), 0);
	assert_int_equal(rig_write(0, JULIET, fill_big, NULL), 0);
	rig_reopen();
	rig_assert_value(JULIET, "s", "before", "1");
	rig_assert_value(JULIET, "s", "after", "2");
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
	rig_open(dir);
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
		crash_child(rig.dir, fds[1]);
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

	rig_open(rig.dir);
	for (n = 0; n < 1000000; n++) {
		char key[16];

		if (acked[n] == 0)
			continue;
		snprintf(key, sizeof(key), "%d", n);
		rig_assert_value(JULIET, "crash", key, "v");
	}
	xfree(acked);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_order_over_turns),
		TEST(test_many),
		TEST(test_limit),
		TEST(test_drop),
		TEST(test_close),
		TEST(test_disk_full),
		TEST(test_kill),
	};

	return rig_main(tests);
}
