/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "jid/jid.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CAT "\xf0\x9f\x90\xb1"

/* What jid_parse() makes of each text; NULL where it must refuse it. */
static const struct {
	struct str text;
	const char *full;
} cases[] = {
	{ STR_INIT("example.net"), "example.net" },
	{ STR_INIT("juliet@example.net"), "juliet@example.net" },
	{ STR_INIT("Juliet@Example.NET/Balcony"),
	    "juliet@example.net/Balcony" },
	{ STR_INIT("example.net/a@b/c"), "example.net/a@b/c" },
	{ STR_INIT("a@example.net/ b  c "), "a@example.net/ b  c " },
	{ STR_INIT("!#$%()*+,-.;=?[\\]^_`{|}~@a"),
	    "!#$%()*+,-.;=?[\\]^_`{|}~@a" },
	{ STR_INIT(""), NULL }, { STR_INIT("@"), NULL },
	{ STR_INIT("/"), NULL }, { STR_INIT("@example.net"), NULL },
	{ STR_INIT("juliet@"), NULL }, { STR_INIT("juliet@/x"), NULL },
	{ STR_INIT("juliet@example.net/"), NULL }, { STR_INIT("a@b@c"), NULL },
	{ STR_INIT("a b@c"), NULL }, { STR_INIT("a\"@c"), NULL },
	{ STR_INIT("a&@c"), NULL }, { STR_INIT("a'@c"), NULL },
	{ STR_INIT("a:@c"), NULL }, { STR_INIT("a<@c"), NULL },
	{ STR_INIT("a>@c"), NULL }, { STR_INIT("a\x7f@c"), NULL },
	{ STR_INIT("a\x01@c"), NULL }, { STR_INIT("a\0b@c"), NULL },
	{ STR_INIT("a@c\0d"), NULL }, { STR_INIT("a@c/d\0e"), NULL },
	{ STR_INIT("a@c/d\te"), NULL }, { STR_INIT("a@c/d\ne"), NULL },
	{ STR_INIT("a@c/\x7f"), NULL },

	/* Malformed UTF-8. */
	{ STR_INIT("\xff@c"), NULL }, { STR_INIT("a\xc3@c"), NULL },
	{ STR_INIT("a@c/\xc0\xaf"), NULL },
	{ STR_INIT("a@c/\xed\xa0\x80"), NULL },
	{ STR_INIT("a@\x80.net"), NULL },
	{ STR_INIT("a@c/x\xf0\x9f\x90"), NULL },

	/* Local parts and resources beyond ASCII. */
	{ STR_INIT("\xc3\x9c@c"), "\xc3\xbc@c" },
	{ STR_INIT("\xc3\x9f@c"), "ss@c" },
	{ STR_INIT("u\xcc\x88@c"), "\xc3\xbc@c" },
	{ STR_INIT("\xef\xbc\xa1@c"), "a@c" }, /* fullwidth A */
	{ STR_INIT("\xe2\x84\xa1@c"), "tel@c" },
	{ STR_INIT("a\xe2\x80\x8d"
		   "b@c"),
	    "ab@c" },			       /* ZWJ */
	{ STR_INIT("\xc2\xad@c"), NULL },      /* only a hyphen */
	{ STR_INIT("\xef\xbc\xa0@c"), NULL },  /* fullwidth @ */
	{ STR_INIT("a\xef\xbc\x8f@c"), NULL }, /* fullwidth / */
	{ STR_INIT("a\xe3\x80\x80"
		   "b@c"),
	    NULL }, /* wide space */
	{ STR_INIT("\xd7\x90@c"), "\xd7\x90@c" },
	{ STR_INIT("\xd7\x90"
		   "a@c"),
	    NULL }, /* mixed bidi */
	{ STR_INIT("\xd7\x90"
		   "1@c"),
	    NULL },
	{ STR_INIT("a@c/\xe2\x80\xae"), NULL }, /* override */
	{ STR_INIT("a@c/\xc3\x9c"), "a@c/\xc3\x9c" },
	{ STR_INIT("a@c/u\xcc\x88"), "a@c/\xc3\xbc" },
	{ STR_INIT("a@c/" CAT), "a@c/" CAT },
	{ STR_INIT("a@c/\xef\xbc\x8f"), "a@c//" },
	{ STR_INIT("a@c/\xee\x80\x80"), NULL }, /* private use */

	/* Domains. */
	{ STR_INIT("a@example.net."), "a@example.net" },
	{ STR_INIT("a@example.net.."), NULL }, { STR_INIT("a@."), NULL },
	{ STR_INIT("a@b..c"), NULL }, { STR_INIT("a@.b"), NULL },
	{ STR_INIT("a@-b"), NULL }, { STR_INIT("a@b-.c"), NULL },
	{ STR_INIT("a@b_c"), NULL }, { STR_INIT("a@b c"), NULL },
	{ STR_INIT("a@b:5222"), NULL },
	{ STR_INIT("a@192.0.2.1"), "a@192.0.2.1" },
	{ STR_INIT("a@[::1]"), "a@[::1]" },
	{ STR_INIT("a@[2001:DB8:0:0:0:0:0:1]/x"), "a@[2001:db8::1]/x" },
	{ STR_INIT("[::1]"), "[::1]" }, { STR_INIT("a@[::1"), NULL },
	{ STR_INIT("a@[]"), NULL }, { STR_INIT("a@[::1]x"), NULL },
	{ STR_INIT("a@[::g]"), NULL }, { STR_INIT("a@[192.0.2.1]"), NULL },
	{ STR_INIT("a@M\xc3\x9cNCHEN.de"), "a@m\xc3\xbcnchen.de" },
	{ STR_INIT("a@xn--mnchen-3ya.de"), "a@m\xc3\xbcnchen.de" },
	{ STR_INIT("a@XN--MNCHEN-3YA.de."), "a@m\xc3\xbcnchen.de" },
	{ STR_INIT("a@fa\xc3\x9f.de"), "a@fa\xc3\x9f.de" },
	{ STR_INIT("a@xn--fa-hia.de"), "a@fa\xc3\x9f.de" },
	{ STR_INIT("a@\xef\xbd\x85xample.com"), "a@example.com" },
	{ STR_INIT("a@b\xe3\x80\x82"
		   "c"),
	    "a@b.c" }, /* wide full stop */
	{ STR_INIT("a@b\xe3\x80\x82"), "a@b" }, { STR_INIT("a@xn--abc"), NULL },
	{ STR_INIT("a@xn--"), NULL },
	{ STR_INIT("a@\xe2\x99\xa5.com"), NULL }, /* a symbol */
	{ STR_INIT("a@b\xef\xbc\x8f"
		   "c"),
	    NULL },			      /* fullwidth / */
	{ STR_INIT("a@\xe2\x84\x80"), NULL }, /* becomes a/c */
	{ STR_INIT("a@\xd7\x90"
		   "a.com"),
	    NULL }, /* mixed bidi */
};

static void
check_parts(const struct jid *j)
{
	struct jid again = jid_of(j->full), bare = jid_to_bare(j);

	assert_true(jid_eq(j, &again));
	assert_true(str_eq(j->local, again.local));
	assert_int_equal(str_is_none(j->local), str_is_none(again.local));
	assert_true(str_eq(j->domain, again.domain));
	assert_true(str_eq(j->resource, again.resource));
	assert_true(jid_is_bare(&bare));
	assert_true(str_eq(bare.full, j->bare));
	assert_true(jid_eq_bare(&bare, j));
	assert_true(str_has_prefix(j->full, j->bare));
}

static void
test_parse(void **state)
{
	struct arena *a = arena_new(4096);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *full = cases[i].full;
		struct jid jid, again;
		int ret = jid_parse(a, cases[i].text, &jid);

		if (full == NULL) {
			if (ret != ERR_INVALID)
				fail_msg("case %zu is taken: " STR_FMT, i,
				    STR_ARG(jid.full));
			assert_true(jid_is_none(&jid));
			assert_true(str_is_none(jid.domain));
			continue;
		}
		if (ret != 0 || !str_is(jid.full, full))
			fail_msg("case %zu: " STR_FMT ", not %s", i,
			    STR_ARG(jid.full), full);
		check_parts(&jid);
		/* What is prepared is only looked at. */
		assert_int_equal(jid_parse(a, jid.full, &again), 0);
		assert_true(jid_eq(&jid, &again));
		if (str_is(cases[i].text, full))
			assert_true(str_is_utf8(jid.full));
	}
	arena_free(&a);
}

static void
test_no_copy(void **state)
{
	struct arena *a = arena_new(0);
	struct str text = STR("juliet@xmpp-1.example.net/Balcony 1");
	struct jid jid;

	assert_int_equal(jid_parse(a, text, &jid), 0);
	assert_ptr_equal(jid.full.p, text.p);
	assert_ptr_equal(jid.local.p, text.p);
	assert_int_equal(arena_used(a), 0);
	arena_free(&a);
}

/* Parts of just the greatest length, and one byte more. */
static void
test_lengths(void **state)
{
	struct arena *a = arena_new(0);
	char part[JID_PART_MAX + 2], label[65];
	struct jid jid;

	memset(part, 'x', sizeof(part));
	memset(label, 'y', sizeof(label));
	for (size_t more = 0; more < 2; more++) {
		struct str s = str_mem(part, JID_PART_MAX + more);
		struct str l = str_mem(label, 63 + more);
		int ret = more == 0 ? 0 : ERR_INVALID;

		assert_int_equal(
		    jid_parse(a, str_printf(a, STR_FMT "@d", STR_ARG(s)), &jid),
		    ret);
		assert_int_equal(
		    jid_parse(a, str_printf(a, "d/" STR_FMT, STR_ARG(s)), &jid),
		    ret);
		assert_int_equal(
		    jid_parse(a, str_printf(a, STR_FMT ".d", STR_ARG(l)), &jid),
		    ret);
		/* With something that must be prepared. */
		part[0] = 'X';
		assert_int_equal(
		    jid_parse(a, str_printf(a, STR_FMT "@d", STR_ARG(s)), &jid),
		    ret);
		part[0] = 'x';
	}
	/* Preparation that makes it too long: 3 bytes become 33. */
	for (size_t i = 0; i + 3 <= 300; i += 3)
		memcpy(part + i, "\xef\xb7\xba", 3);
	assert_int_equal(
	    jid_parse(a,
		str_printf(a, "d/" STR_FMT, STR_ARG(str_mem(part, 300))), &jid),
	    ERR_INVALID);
	arena_free(&a);
}

static void
test_make(void **state)
{
	struct arena *a = arena_new(0);
	struct jid j = jid_make(a, STR("a"), STR("b"), STR("c")), copy;

	assert_true(str_is(j.full, "a@b/c"));
	assert_true(str_is(j.bare, "a@b"));
	check_parts(&j);
	copy = jid_dup(a, &j);
	assert_ptr_not_equal(copy.full.p, j.full.p);
	assert_true(jid_eq(&copy, &j));
	j = jid_make(a, STR_NONE, STR("b"), STR_NONE);
	assert_true(str_is(j.full, "b"));
	assert_true(str_is_none(j.local));
	assert_true(jid_is_bare(&j));
	j = jid_make(a, STR_NONE, STR("b"), STR("c@d"));
	assert_true(str_is(j.full, "b/c@d"));
	check_parts(&j);
	j = jid_of(STR_NONE);
	assert_true(jid_is_none(&j));
	j = jid_dup(a, &j);
	assert_true(jid_is_none(&j));
	arena_free(&a);
}

static const struct {
	const char *text;
	const char *prepared; /* NULL: refused */
} secrets[] = {
	{ "pencil", "pencil" },
	{ " A b ", " A b " },
	{ "I\xc2\xadX", "IX" }, /* RFC 4013, section 3 */
	{ "\xc2\xaa", "a" },
	{ "\xe2\x85\xa8", "IX" },
	{ "\x07", NULL },
	{ "\xd8\xa7"
	  "1",
	    NULL },
	{ "a\xc2\xa0"
	  "b",
	    "a b" },
	{ CAT, CAT },
	{ "", NULL },
	{ "\xff", NULL },
};

static void
test_saslprep(void **state)
{
	struct arena *a = arena_new(0);
	static char long_text[20000];
	struct str text;

	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		int ret = jid_saslprep(a, str_c(secrets[i].text), &text);

		if (secrets[i].prepared == NULL) {
			assert_int_equal(ret, ERR_INVALID);
			assert_true(str_is_none(text));
			continue;
		}
		assert_int_equal(ret, 0);
		assert_true(str_is(text, secrets[i].prepared));
	}
	/* A token in place of a password may be long, if it is ASCII. */
	memset(long_text, 'x', sizeof(long_text));
	text = str_mem(long_text, sizeof(long_text));
	assert_int_equal(jid_saslprep(a, text, &text), 0);
	long_text[0] = '\x01';
	assert_int_equal(jid_saslprep(a, text, &text), ERR_INVALID);
	arena_free(&a);
}

static void
test_assigned(void **state)
{
	assert_true(jid_is_assigned(STR("romeo")));
	assert_true(jid_is_assigned(STR("\xc3\xbc")));
	assert_false(jid_is_assigned(STR(CAT)));
	assert_false(jid_is_assigned(STR("\xff")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_no_copy),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_saslprep),
		cmocka_unit_test(test_assigned),
	};
	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	arena_thread_done();
	return ret;
}
