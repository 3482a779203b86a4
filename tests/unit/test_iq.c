/* SPDX-License-Identifier: MIT */
/* Iqs of the server's own, and whose answers count. */
#include "core/iq_impl.h"
#include "core/router.h"

#include "net_help.h"

/* Who asks, who is asked, and others. */
#define ASKER "example.net"
#define ASKED "juliet@remote.example/balcony"

static char sent_id[128]; /* of the latest that went out */
static struct gate answers = GATE_INIT;
static unsigned results, errors, timeouts;
static unsigned answer_loop;
static int one, two; /* contexts */

/* Nothing is local here: all goes this way. */
static void
on_remote(struct stanza *st)
{
	if (st->type & (IQ_GET | IQ_SET))
		snprintf(
		    sent_id, sizeof(sent_id), STR_FMT, STR_ARG(stanza_id(st)));
	stanza_free(&st);
}

static void
on_answer(void *ctx, struct stanza *st)
{
	answer_loop = loop_index(loop_self());
	if (st == NULL)
		timeouts++;
	else if (st->type == IQ_RESULT)
		results++;
	else
		errors++;
	stanza_free(&st);
	gate_add(&answers, 1);
}

static void
ask(void *ctx, uint64_t timeout_ms)
{
	struct stanza *iq = stanza_new(EL_IQ);
	struct jid from = jid_of(STR(ASKER)), to = jid_of(STR(ASKED));

	stanza_set_type(iq, IQ_GET);
	stanza_set_from(iq, &from);
	stanza_set_to(iq, &to);
	elem_add(iq->root, EL_PING);
	iq_send(iq, timeout_ms, on_answer, ctx);
}

static void
answer(const char *id, const char *from, const char *to, enum stanza_type type)
{
	struct stanza *iq = stanza_new(EL_IQ);
	struct jid from_jid = jid_of(str_c(from)), to_jid = jid_of(str_c(to));

	stanza_set_type(iq, type);
	stanza_set_from(iq, &from_jid);
	stanza_set_to(iq, &to_jid);
	elem_set_copy(iq->root, AT_ID, str_c(id));
	iq_answered(iq);
}

static unsigned
heard(void)
{
	return results + errors + timeouts;
}

static void
on_teardown(void *arg)
{
	iqs_stop();
}

static void
reset(void)
{
	results = errors = timeouts = 0;
}

/* Only the one who was asked can answer, once, and only to who asked. */
static void
forge(void *arg)
{
	reset();
	ask(&one, 60000);
	answer(sent_id, "tybalt@remote.example/x", ASKER, IQ_RESULT);
	answer(sent_id, "juliet@remote.example", ASKER, IQ_RESULT);
	answer(sent_id, ASKED, "other.example", IQ_RESULT);
	answer("unknown", ASKED, ASKER, IQ_RESULT);
	answer("", ASKED, ASKER, IQ_RESULT);
	sent_id[strlen(sent_id) - 1] ^= 1;
	answer(sent_id, ASKED, ASKER, IQ_RESULT);
	sent_id[strlen(sent_id) - 1] ^= 1;
	assert_int_equal(heard(), 0);
	answer(sent_id, ASKED, ASKER, IQ_RESULT);
	assert_int_equal(results, 1);
	answer(sent_id, ASKED, ASKER, IQ_RESULT);
	assert_int_equal(heard(), 1);

	ask(&one, 60000);
	answer(sent_id, ASKED, ASKER, IQ_ERROR);
	assert_int_equal(errors, 1);
}

static void
test_forged(void **state)
{
	on_loop(0, forge, NULL);
}

/* Those of one context are forgotten, whatever their order; not others. */
static void
forget(void *arg)
{
	char ids[5][128];

	reset();
	for (unsigned i = 0; i < 5; i++) {
		ask(i == 2 ? &two : &one, 60000);
		strcpy(ids[i], sent_id);
	}
	answer(ids[0], ASKED, ASKER, IQ_RESULT);
	answer(ids[3], ASKED, ASKER, IQ_RESULT);
	assert_int_equal(results, 2);
	iq_forget(&one);
	for (unsigned i = 0; i < 5; i++)
		answer(ids[i], ASKED, ASKER, IQ_RESULT);
	assert_int_equal(results, 3);
	iq_forget(&one);
	iq_forget(&two);
}

static void
test_forget(void **state)
{
	on_loop(0, forget, NULL);
}

static void
ask_shortly(void *arg)
{
	reset();
	ask(&one, 1);
}

static void
test_timeout(void **state)
{
	int before = gate_count(&answers);

	on_loop(0, ask_shortly, NULL);
	gate_wait(&answers, before + 1);
	assert_int_equal(timeouts, 1);
	assert_int_equal(heard(), 1);
}

static void
ask_at_length(void *arg)
{
	reset();
	ask(&one, 60000);
}

static void
answer_there(void *arg)
{
	answer(sent_id, ASKED, ASKER, IQ_RESULT);
}

/* The answer comes on another loop, and is brought to the asker's. */
static void
test_across(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		int before = gate_count(&answers);

		on_loop(i, ask_at_length, NULL);
		on_loop(!i, answer_there, NULL);
		gate_wait(&answers, before + 1);
		assert_int_equal(results, 1);
		assert_int_equal(answer_loop, i);
	}
}

/* More than may be under way: no answer, in a later turn. */
static void
ask_too_often(void *arg)
{
	reset();
	for (unsigned i = 0; i < 100000; i++)
		ask(&two, 600000);
	ask(&one, 600000);
	assert_int_equal(heard(), 0);
}

static void
forget_all(void *arg)
{
	iq_forget(&two);
}

static void
test_bound(void **state)
{
	int before = gate_count(&answers);

	on_loop(0, ask_too_often, NULL);
	gate_wait(&answers, before + 1);
	assert_int_equal(timeouts, 1);
	on_loop(0, forget_all, NULL);
	assert_int_equal(heard(), 1);
}

static int
set_up(void **state)
{
	names_init();
	router_set_remote(on_remote);
	loops_up(2);
	return 0;
}

static int
tear_down(void **state)
{
	on_loop(0, on_teardown, NULL);
	on_loop(1, on_teardown, NULL);
	loops_down();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_across),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
