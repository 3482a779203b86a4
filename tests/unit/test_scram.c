/* SPDX-License-Identifier: MIT */
/* SCRAM against the exchanges printed in RFC 5802, RFC 7677 and ours. */
#include "base/buf.h"
#include "base/err.h"
#include "core/scram.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Whole exchanges; user "user", password "pencil". */
static const struct {
	const char *mechanism;
	const char *salt;
	uint32_t iterations;
	const char *first, *server_first, *final;
	const char *signature;
} exchanges[] = {
	{ "SCRAM-SHA-1", "QSXCR+Q6sek8bf92", 4096,
	    "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	    "s=QSXCR+Q6sek8bf92,i=4096",
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	    "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	    "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	{ "SCRAM-SHA-256-PLUS", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096,
	    "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static void
test_exchanges(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(exchanges); i++) {
		struct arena *a = arena_new(0);
		const struct scram_hash *h =
		    scram_hash_find(str_c(exchanges[i].mechanism));
		struct scram_keys keys;
		struct scram_first first;
		struct scram_final final;
		struct str salt, auth, signature;

		assert_true(str_unbase64(a, str_c(exchanges[i].salt), &salt));
		scram_keys_make(
		    a, h, STR("pencil"), salt, exchanges[i].iterations, &keys);
		assert_int_equal(
		    scram_parse_first(a, str_c(exchanges[i].first), &first), 0);
		assert_true(str_is(first.user, "user"));
		assert_int_equal(
		    scram_parse_final(a, str_c(exchanges[i].final), &final), 0);
		assert_true(str_is(final.binding, "n,,"));
		auth = str_printf(a, STR_FMT ",%s," STR_FMT,
		    STR_ARG(first.bare), exchanges[i].server_first,
		    STR_ARG(final.without_proof));
		assert_true(
		    scram_verify(a, h, &keys, auth, final.proof, &signature));
		assert_true(
		    str_is(str_base64(a, signature), exchanges[i].signature));
		assert_true(scram_password_is(a, &keys, STR("pencil")));
		assert_false(scram_password_is(a, &keys, STR("pencil ")));

		/* One bit of the proof, or of what it signs, and it fails. */
		((char *)(uintptr_t) final.proof.p)[0] ^= 1;
		assert_false(
		    scram_verify(a, h, &keys, auth, final.proof, &signature));
		((char *)(uintptr_t) final.proof.p)[0] ^= 1;
		auth.n--;
		assert_false(
		    scram_verify(a, h, &keys, auth, final.proof, &signature));
		auth.n++;
		final.proof.n--;
		assert_false(
		    scram_verify(a, h, &keys, auth, final.proof, &signature));
		arena_free(&a);
	}
}

/* What scram_parse_first() makes of a message; NULL where it refuses. */
static const struct {
	const char *message, *user, *nonce, *authzid, *type, *header;
} firsts[] = {
	{ "n,,n=user,r=abc", "user", "abc", NULL, NULL, "n,," },
	{ "y,,n=a=2Cb=3Dc,r=x,ext=1", "a,b=c", "x", NULL, NULL, "y,," },
	{ "p=tls-exporter,a=u@h,n=u,r=n", "u", "n", "u@h", "tls-exporter",
	    "p=tls-exporter,a=u@h," },
	{ "", NULL, NULL, NULL, NULL, NULL },
	{ "n", NULL, NULL, NULL, NULL, NULL },
	{ "n,", NULL, NULL, NULL, NULL, NULL },
	{ "n,,", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=user", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=user,", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=user,r=", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=us=2cer,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=us=er,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=user=,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=\xff,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "n,,n=user,r=a b", NULL, NULL, NULL, NULL, NULL },
	{ "n,,m=1,n=user,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "p,,n=user,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "p=,,n=user,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "x,,n=user,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "nn,,n=user,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "n,u@h,n=user,r=abc", NULL, NULL, NULL, NULL, NULL },
	{ "n,a=,n=user,r=abc", NULL, NULL, NULL, NULL, NULL },
};

static void
same(struct str got, const char *want)
{
	if (want == NULL)
		assert_true(str_is_none(got));
	else
		assert_true(str_is(got, want));
}

static void
test_first(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		struct arena *a = arena_new(0);
		struct scram_first f;
		int err = scram_parse_first(a, str_c(firsts[i].message), &f);

		if (firsts[i].user == NULL) {
			assert_int_equal(err, ERR_INVALID);
		} else {
			assert_int_equal(err, 0);
			same(f.user, firsts[i].user);
			same(f.nonce, firsts[i].nonce);
			same(f.authzid, firsts[i].authzid);
			same(f.binding_type, firsts[i].type);
			same(f.gs2_header, firsts[i].header);
		}
		arena_free(&a);
	}
}

/* How many times a text is the authorization identity, the name, the rest. */
static const struct {
	const char *authzid, *name;
	size_t authzids, names, rest;
	int err;
} longs[] = {
	{ "a", "a", 0, 1023, 0, 0 },
	{ "a", "a", 0, 1024, 0, ERR_INVALID },
	{ "a", "=3D", 0, 1023, 0, 0 },
	{ "a", "=3D", 0, 1024, 0, ERR_INVALID },
	{ "a", "a", 2047, 1023, 0, 0 },
	{ "a", "a", 2048, 1023, 0, ERR_INVALID },
	{ "a", "a", 0, 1023, 3061, 0 },
	{ "a", "a", 0, 1023, 3062, ERR_INVALID },
};

static void
times(struct buf *b, const char *text, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_add_str(b, str_c(text));
}

static void
test_long_first(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(longs); i++) {
		struct arena *a = arena_new(0);
		struct buf b = { 0 };
		struct scram_first f;

		times(&b, "n,", 1);
		times(&b, "a=", longs[i].authzids > 0);
		times(&b, longs[i].authzid, longs[i].authzids);
		times(&b, ",n=", 1);
		times(&b, longs[i].name, longs[i].names);
		times(&b, ",r=x,x=", 1);
		times(&b, "x", longs[i].rest);
		if (scram_parse_first(a, buf_str(&b), &f) != longs[i].err)
			fail_msg("long %zu, %zu bytes", i, b.n);
		buf_fini(&b);
		arena_free(&a);
	}
}

static const struct {
	const char *message;
	const char *without_proof; /* NULL: refused */
} finals[] = {
	{ "c=biws,r=abc,p=AAAA", "c=biws,r=abc" },
	{ "c=biws,r=abc,x=1,p=AAAA", "c=biws,r=abc,x=1" },
	{ "c=biws,r=abc", NULL },
	{ "c=biws,r=abc,p=", NULL },
	{ "c=biws,r=abc,p=AAAA,x=1", NULL },
	{ "c=biws,r=abc,p=!", NULL },
	{ "c=?,r=abc,p=AAAA", NULL },
	{ "c=,r=abc,p=AAAA", NULL },
	{ "r=abc,c=biws,p=AAAA", NULL },
	{ "", NULL },
	{ "p=AAAA", NULL },
};

static void
test_final(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(finals); i++) {
		struct arena *a = arena_new(0);
		struct scram_final f;
		int err = scram_parse_final(a, str_c(finals[i].message), &f);

		if (finals[i].without_proof == NULL) {
			assert_int_equal(err, ERR_INVALID);
		} else {
			assert_int_equal(err, 0);
			same(f.without_proof, finals[i].without_proof);
		}
		arena_free(&a);
	}
}

static void
test_hashes(void **state)
{
	assert_int_equal(scram_hash_find(STR("SCRAM-SHA-1"))->size, 20);
	assert_int_equal(scram_hash_find(STR("SCRAM-SHA-512-PLUS"))->size, 64);
	assert_null(scram_hash_find(STR("PLAIN")));
	assert_null(scram_hash_find(STR("SCRAM-SHA-1-PLUS-PLUS")));
	assert_null(scram_hash_find(STR("-PLUS")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_long_first),
		cmocka_unit_test(test_final),
		cmocka_unit_test(test_hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
