/* SPDX-License-Identifier: MIT */
/*
 * The front of storage, before a backend that answers when the test says:
 * what is handed over, in which order, and what is held back.
 */
#include "store/backend.h"

#include "base/buf.h"
#include "base/err.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* ---- a backend that waits ---------------------------------------------- */

static struct list handed; /* the loop's */
static size_t handed_count;

static int
fake_open(
    struct arena *a, const struct store_config *config, const char **why_r)
{
	list_init(&handed);
	handed_count = 0;
	if (config->dsn != NULL) {
		*why_r = "not today";
		return ERR_STORE;
	}
	return 0;
}

static void
fake_close(void)
{
	struct store_req *req;

	LIST_EACH(req, &handed, struct store_req, node)
	{
		list_del(&req->node);
		store_answer(req);
	}
}

static void
fake_submit(struct store_req *req)
{
	must(req->loop == loop_self());
	list_add(&handed, &req->node);
	handed_count++;
}

static const struct store_backend fake = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.submit = fake_submit,
};

/* Takes the request of a key, or NULL if it has not been handed over. */
static struct store_req *
take(const char *key)
{
	struct store_req *req;

	LIST_EACH(req, &handed, struct store_req, node)
	{
		struct str k = req->op == STORE_WRITE ? req->changes->key
			       : req->op == STORE_ARCHIVE_FIND
				   ? req->filter.with
				   : req->key;

		if (str_is(k, key)) {
			list_del(&req->node);
			handed_count--;
			return req;
		}
	}
	return NULL;
}

static bool
is_handed(const char *key)
{
	struct store_req *req = take(key);

	if (req == NULL)
		return false;
	list_push(&handed, &req->node);
	handed_count++;
	return true;
}

/* ---- the loop ---------------------------------------------------------- */

static sem_t done;
static struct buf heard; /* what callbacks said, in order */

static void
wait_done(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	must(sem_timedwait(&done, &until) == 0);
}

static void
on_turns_over(struct timer *t)
{
	sem_post(&done);
}

/* What a step posts to its own loop runs before the next turn's timers. */
static void
start_turns(void *arg)
{
	static struct timer t;

	timer_start(&t, 1, on_turns_over);
}

/* Runs steps on the loop, each in a turn after what the last one made. */
static void
run_steps(void (*const *step)(void *arg))
{
	for (; *step != NULL; step++) {
		loop_post(loop_at(0), *step, NULL);
		for (int i = 0; i < 2; i++) {
			loop_post(loop_at(0), start_turns, NULL);
			wait_done();
		}
	}
}

static int
setup(void **state)
{
	struct arena *a = arena_new(0);
	struct store_config config = { 0 };
	const char *why;

	store_register(&fake);
	assert_int_equal(store_open(a, "fake", &config, &why), 0);
	arena_free(&a);
	sem_init(&done, 0, 0);
	loops_new(1);
	loops_run(NULL);
	return 0;
}

static int
teardown(void **state)
{
	loops_stop();
	store_close();
	loops_free();
	store_unregister(&fake);
	sem_destroy(&done);
	buf_fini(&heard);
	return 0;
}

static void
on_done(void *ctx, int err)
{
	buf_printf(&heard, "%s=%d ", (const char *)ctx, err);
}

static void
on_value(void *ctx, int err, struct str value)
{
	buf_printf(&heard, "%s=%d" STR_FMT " ", (const char *)ctx, err,
	    STR_ARG(value));
}

static void
on_page(void *ctx, int err, const struct archive_page *page)
{
	must(page != NULL && page->count == 0);
	buf_printf(&heard, "%s=%d ", (const char *)ctx, err);
}

static void
put(const char *owner, char *key)
{
	struct store_write *w = store_write_new(str_c(owner));

	kv_put(w, str_c(owner), STR("s"), str_c(key), STR("v"));
	store_commit(&w, on_done, key);
}

static void
get(const char *owner, char *key)
{
	kv_get(str_c(owner), STR("s"), str_c(key), on_value, key);
}

static void
find(const char *owner, char *key)
{
	struct archive_filter f = { .with = str_c(key), .limit = 5 };

	archive_find(str_c(owner), &f, on_page, key);
}

static void
answer(const char *key, int err)
{
	struct store_req *req = take(key);

	must(req != NULL);
	req->err = err;
	if (req->op == STORE_KV_GET)
		req->value = STR("!");
	store_answer(req);
}

static void
heard_is(const char *text)
{
	struct str s = buf_str(&heard);

	if (!str_is(s, text))
		fail_msg("heard '" STR_FMT "', not '%s'", STR_ARG(s), text);
	buf_clear(&heard);
}

static char r1[] = "r1", r2[] = "r2", w1[] = "w1", w2[] = "w2", f1[] = "f1",
	    other[] = "other";

/* ---- tests ------------------------------------------------------------- */

static void
step_read_write(void *arg)
{
	get("a@x", r1);
	get("a@x", r2);
	put("a@x", w1);
	find("a@x", f1);
	put("a@x", w2);
	put("b@x", other);
	must(handed_count == 3);
	must(is_handed("other") && !is_handed("w1") && !is_handed("f1"));
	must(store_waiting() == 6);
	answer("r2", 0);
}

static void
step_still_held(void *arg)
{
	must(!is_handed("w1") && is_handed("r1"));
	must(store_waiting() == 5);
	answer("r1", ERR_ABSENT);
}

static void
step_released(void *arg)
{
	struct store_req *req = take("f1");

	must(is_handed("w1") && is_handed("w2"));
	must(req != NULL && req->is_behind);
	list_add(&handed, &req->node);
	handed_count++;
	answer("w2", 0);
	answer("w1", ERR_STORE);
	answer("f1", ERR_STORE);
	answer("other", 0);
}

static void
step_none_waits(void *arg)
{
	must(store_waiting() == 0 && handed_count == 0);
}

/* A write waits for the reads before it; so does all that follows it. */
static void
test_read_then_write(void **state)
{
	static void (*const steps[])(void *) = { step_read_write,
		step_still_held, step_released, step_none_waits, NULL };

	run_steps(steps);
	heard_is("r2=0! r1=-10002 w2=0 w1=-10004 f1=-10004 other=0 ");
}

static void
step_write_read(void *arg)
{
	struct store_req *req;

	put("a@x", w1);
	get("a@x", r1);
	get("b@x", r2);
	put("a@x", w2);
	must(handed_count == 4);
	req = take("r1");
	must(req->is_behind);
	list_add(&handed, &req->node);
	req = take("r2");
	must(!req->is_behind);
	list_add(&handed, &req->node);
	handed_count += 2;
	answer("w1", 0);
	answer("r1", 0);
	answer("w2", 0);
	answer("r2", 0);
}

/* A read behind a write is marked, and holds nothing back. */
static void
test_write_then_read(void **state)
{
	static void (*const steps[])(
	    void *) = { step_write_read, step_none_waits, NULL };

	run_steps(steps);
	heard_is("w1=0 r1=0! w2=0 r2=0! ");
}

static void
step_find_write(void *arg)
{
	find("a@x", f1);
	put("a@x", w1);
	must(is_handed("w1") && is_handed("f1"));
	answer("w1", 0);
}

static void
step_find_done(void *arg)
{
	answer("f1", 0);
}

/* A slow search delays no message. */
static void
test_archive_holds_nothing(void **state)
{
	static void (*const steps[])(void *) = { step_find_write,
		step_find_done, step_none_waits, NULL };

	run_steps(steps);
	heard_is("w1=0 f1=0 ");
}

static void *
answer_elsewhere(void *arg)
{
	store_answer(arg);
	return NULL;
}

static void
step_other_thread(void *arg)
{
	struct store_req *req;
	pthread_t t;

	get("a@x", r1);
	req = take("r1");
	req->value = STR("?");
	must(pthread_create(&t, NULL, answer_elsewhere, req) == 0);
	pthread_join(t, NULL);
	must(heard.n == 0);
}

static void
test_other_thread(void **state)
{
	static void (*const steps[])(
	    void *) = { step_other_thread, step_none_waits, NULL };

	run_steps(steps);
	heard_is("r1=0? ");
}

static char text[] = "text";

static void
on_copied(void *ctx, int err)
{
	buf_printf(&heard, "copied=%d ", err);
}

static void
step_copies(void *arg)
{
	struct store_write *w = store_write_new(str_c(text));
	struct archive_item item = { .id = str_c(text), .xml = str_c(text) };
	struct account_row row = { .jid = str_c(text), .ban = str_c(text) };
	struct store_req *req;

	kv_put(w, str_c(text), str_c(text), str_c(text), str_c(text));
	archive_append(w, str_c(text), &item);
	account_create(w, &row);
	store_commit(&w, on_copied, NULL);
	memset(text, 'x', 4);
	req = take("text");
	must(req != NULL && str_is(req->owner, "text"));
	for (const struct store_change *c = req->changes; c != NULL;
	     c = c->next)
		must(str_is(c->owner, "text"));
	must(str_is(req->changes->value, "text"));
	must(str_is(req->changes->next->item.xml, "text"));
	must(str_is_none(req->changes->next->item.body));
	must(str_is(req->changes->next->next->row.ban, "text"));
	must(str_is_none(req->changes->next->next->row.email));
	req->err = 0;
	store_answer(req);
}

/* Nothing of the caller's is needed after the call. */
static void
test_copies(void **state)
{
	static void (*const steps[])(
	    void *) = { step_copies, step_none_waits, NULL };

	run_steps(steps);
	heard_is("copied=0 ");
}

static void
step_left_over(void *arg)
{
	get("a@x", r1);
	put("a@x", w1);
	put("b@x", other);
}

/* What waits when all ends is freed, and nobody is called. */
static void
test_left_over(void **state)
{
	static void (*const steps[])(void *) = { step_left_over, NULL };

	run_steps(steps);
	heard_is("");
}

static void
step_no_backend(void *arg)
{
	get("a@x", r1);
	put("a@x", w1);
	find("a@x", f1);
	must(heard.n == 0);
}

/* Without a backend all fails, in a later turn. */
static void
test_no_backend(void **state)
{
	static void (*const steps[])(void *) = { step_no_backend, NULL };
	struct store_config config = { .dsn = "x" };
	struct arena *a = arena_new(0);
	const char *why;

	teardown(state);
	store_register(&fake);
	assert_int_equal(store_open(a, "fake", &config, &why), ERR_STORE);
	assert_string_equal(why, "not today");
	assert_int_equal(store_open(a, "none", &config, &why), ERR_CONFIG);
	assert_true(store_backup(a, "/nowhere", &why) < 0);
	arena_free(&a);

	sem_init(&done, 0, 0);
	loops_new(1);
	loops_run(NULL);
	run_steps(steps);
	heard_is("r1=-10004 w1=-10004 f1=-10004 ");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_read_then_write),
		TEST(test_write_then_read),
		TEST(test_archive_holds_nothing),
		TEST(test_other_thread),
		TEST(test_copies),
		TEST(test_left_over),
		TEST(test_no_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
