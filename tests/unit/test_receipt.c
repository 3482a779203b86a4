/* SPDX-License-Identifier: MIT */
#include "core/stanza.h"

#include "net_help.h"

#include <string.h>

/* What was told, and on which loop. */
static struct gate told = GATE_INIT;
static char log_text[512];
static struct receipt *across[2];

static void
note(const char *text)
{
	strcat(log_text, text);
}

static void
on_told(void *ctx, uint32_t seq, bool is_kept)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%u%s@%u ", (const char *)ctx, seq,
	    is_kept ? "+" : "-", loop_index(loop_self()));
	note(text);
	gate_add(&told, 1);
}

static struct receipt *
make(uint32_t seq)
{
	static char name[] = "r";

	return receipt_new(on_told, name, seq);
}

static void
on_other(void *msg)
{
	receipt_done(&across[0]);
	receipt_fail(&across[1]);
}

static void
on_first(void *msg)
{
	across[0] = make(1);
	across[1] = make(2);
	loop_post(loop_at(1), on_other, NULL);
}

/* The last one may be on another thread; who waits hears it on its own. */
static void
test_across(void **state)
{
	log_text[0] = '\0';
	loop_post(loop_at(0), on_first, NULL);
	gate_wait(&told, 2);
	assert_string_equal(log_text, "r1+@0 r2-@0 ");
}

static struct deferred flush;

static void
on_flush(struct deferred *d)
{
	note("flush ");
}

static void
on_turn(void *msg)
{
	struct receipt *a = make(3), *b = make(4), *more = receipt_ref(b);

	receipt_done_after_flush(&a);
	receipt_done_after_flush(&b);
	must(a == NULL && b == NULL);
	/* Whatever is flushed in this turn goes first. */
	loop_defer(&flush, on_flush);
	receipt_done_after_flush(&more);
	receipt_done_after_flush(&more);
	note("turn ");
}

static void
test_after_flush(void **state)
{
	log_text[0] = '\0';
	loop_post(loop_at(0), on_turn, NULL);
	gate_wait(&told, 4);
	assert_string_equal(log_text, "turn flush r3+@0 r4+@0 ");
}

static int
start(void **state)
{
	loops_new(2);
	loops_run(NULL);
	return 0;
}

static int
stop(void **state)
{
	loops_stop();
	loops_free();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_across),
		cmocka_unit_test(test_after_flush),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
