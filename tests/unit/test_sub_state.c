/* SPDX-License-Identifier: MIT */
/*
 * The tables of RFC 6121 appendix A, row by row. States are written as there:
 * N none, T to, F from, B both; with "o" pending out, "i" pending in, and "a"
 * approved in advance (section 3.4).
 */
#include "core/sub_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Is it routed or delivered, is it answered "subscribed", and what is next? */
struct row {
	const char *now;
	const char *what; /* "pass", "drop", "answer" */
	const char *next;
};

/* A.2.1 to A.2.4. */
static const struct row out_subscribe[] = {
	{ "N", "pass", "No" },
	{ "No", "pass", "No" },
	{ "Ni", "pass", "Noi" },
	{ "Noi", "pass", "Noi" },
	{ "T", "pass", "T" },
	{ "Ti", "pass", "Ti" },
	{ "F", "pass", "Fo" },
	{ "Fo", "pass", "Fo" },
	{ "B", "pass", "B" },
	{ "Na", "pass", "Noa" },
	{ NULL, NULL, NULL },
};

static const struct row out_unsubscribe[] = {
	{ "N", "pass", "N" },
	{ "No", "pass", "N" },
	{ "Ni", "pass", "Ni" },
	{ "Noi", "pass", "Ni" },
	{ "T", "pass", "N" },
	{ "Ti", "pass", "Ni" },
	{ "F", "pass", "F" },
	{ "Fo", "pass", "F" },
	{ "B", "pass", "F" },
	{ "Ta", "pass", "Na" },
	{ NULL, NULL, NULL },
};

static const struct row out_subscribed[] = {
	{ "N", "drop", "Na" },
	{ "No", "drop", "Noa" },
	{ "Ni", "pass", "F" },
	{ "Noi", "pass", "Fo" },
	{ "T", "drop", "Ta" },
	{ "Ti", "pass", "B" },
	{ "F", "drop", "F" },
	{ "Fo", "drop", "Fo" },
	{ "B", "drop", "B" },
	{ "Na", "drop", "Na" },
	{ NULL, NULL, NULL },
};

static const struct row out_unsubscribed[] = {
	{ "N", "drop", "N" },
	{ "No", "drop", "No" },
	{ "Ni", "pass", "N" },
	{ "Noi", "pass", "No" },
	{ "T", "drop", "T" },
	{ "Ti", "pass", "T" },
	{ "F", "pass", "N" },
	{ "Fo", "pass", "No" },
	{ "B", "pass", "T" },
	{ "Na", "drop", "N" },
	{ "Ta", "drop", "T" },
	{ "Fa", "pass", "N" },
	{ NULL, NULL, NULL },
};

/* A.3.1 to A.3.4. */
static const struct row in_subscribe[] = {
	{ "N", "pass", "Ni" },
	{ "No", "pass", "Noi" },
	{ "Ni", "drop", "Ni" },
	{ "Noi", "drop", "Noi" },
	{ "T", "pass", "Ti" },
	{ "Ti", "drop", "Ti" },
	{ "F", "answer", "F" },
	{ "Fo", "answer", "Fo" },
	{ "B", "answer", "B" },
	{ "Na", "answer", "Fa" },
	{ "Noa", "answer", "Foa" },
	{ "Ta", "answer", "Ba" },
	{ NULL, NULL, NULL },
};

static const struct row in_unsubscribe[] = {
	{ "N", "drop", "N" },
	{ "No", "drop", "No" },
	{ "Ni", "pass", "N" },
	{ "Noi", "pass", "No" },
	{ "T", "drop", "T" },
	{ "Ti", "pass", "T" },
	{ "F", "pass", "N" },
	{ "Fo", "pass", "No" },
	{ "B", "pass", "T" },
	{ "Fa", "pass", "Na" },
	{ NULL, NULL, NULL },
};

static const struct row in_subscribed[] = {
	{ "N", "drop", "N" },
	{ "No", "pass", "T" },
	{ "Ni", "drop", "Ni" },
	{ "Noi", "pass", "Ti" },
	{ "T", "drop", "T" },
	{ "Ti", "drop", "Ti" },
	{ "F", "drop", "F" },
	{ "Fo", "pass", "B" },
	{ "B", "drop", "B" },
	{ NULL, NULL, NULL },
};

static const struct row in_unsubscribed[] = {
	{ "N", "drop", "N" },
	{ "No", "pass", "N" },
	{ "Ni", "drop", "Ni" },
	{ "Noi", "pass", "Ni" },
	{ "T", "pass", "N" },
	{ "Ti", "pass", "Ni" },
	{ "F", "drop", "F" },
	{ "Fo", "pass", "F" },
	{ "B", "pass", "F" },
	{ NULL, NULL, NULL },
};

static const struct {
	struct sub_change (*fn)(struct sub_state now, enum stanza_type type);
	enum stanza_type type;
	const struct row *rows;
} tables[] = {
	{ sub_sent, PRESENCE_SUBSCRIBE, out_subscribe },
	{ sub_sent, PRESENCE_UNSUBSCRIBE, out_unsubscribe },
	{ sub_sent, PRESENCE_SUBSCRIBED, out_subscribed },
	{ sub_sent, PRESENCE_UNSUBSCRIBED, out_unsubscribed },
	{ sub_received, PRESENCE_SUBSCRIBE, in_subscribe },
	{ sub_received, PRESENCE_UNSUBSCRIBE, in_unsubscribe },
	{ sub_received, PRESENCE_SUBSCRIBED, in_subscribed },
	{ sub_received, PRESENCE_UNSUBSCRIBED, in_unsubscribed },
};

static struct sub_state
state_of(const char *text)
{
	struct sub_state s = { 0 };

	switch (text[0]) {
	case 'T':
		s.sub = ROSTER_TO;
		break;
	case 'F':
		s.sub = ROSTER_FROM;
		break;
	case 'B':
		s.sub = ROSTER_BOTH;
		break;
	default:
		s.sub = ROSTER_NONE;
	}
	s.is_asking = strchr(text, 'o') != NULL;
	s.is_pending_in = strchr(text, 'i') != NULL;
	s.is_approved = strchr(text, 'a') != NULL;
	return s;
}

static const char *
what_of(const struct sub_change *c)
{
	assert_false(c->is_passed && c->is_answered);
	if (c->is_answered)
		return "answer";
	return c->is_passed ? "pass" : "drop";
}

static void
test_tables(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct row *r = tables[i].rows; r->now; r++) {
			struct sub_change c =
			    tables[i].fn(state_of(r->now), tables[i].type);

			if (strcmp(what_of(&c), r->what) != 0 ||
			    !sub_state_eq(c.next, state_of(r->next)))
				fail_msg("table %zu, state %s", i, r->now);
		}
}

/*
 * Whatever two sides say to each other, they agree in the end: what one
 * shows, the other sees.
 */
static void
test_agreement(void **state)
{
	static const enum stanza_type types[] = { PRESENCE_SUBSCRIBE,
		PRESENCE_SUBSCRIBED, PRESENCE_UNSUBSCRIBE,
		PRESENCE_UNSUBSCRIBED };
	uint64_t seed = 1;

	for (unsigned run = 0; run < 2000; run++) {
		struct sub_state side[2] = { 0 };

		for (unsigned step = 0; step < 30; step++) {
			struct sub_change sent, got;
			unsigned who, what;

			seed =
			    seed * 6364136223846793005u + 1442695040888963407u;
			who = (unsigned)(seed >> 60) & 1;
			what = (unsigned)(seed >> 40) & 3;
			sent = sub_sent(side[who], types[what]);
			side[who] = sent.next;
			if (!sent.is_passed)
				continue;
			got = sub_received(side[!who], types[what]);
			side[!who] = got.next;
			if (got.is_answered)
				side[who] =
				    sub_received(side[who], PRESENCE_SUBSCRIBED)
					.next;
		}
		for (unsigned who = 0; who < 2; who++)
			assert_int_equal((side[who].sub & ROSTER_TO) != 0,
			    (side[!who].sub & ROSTER_FROM) != 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_agreement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
