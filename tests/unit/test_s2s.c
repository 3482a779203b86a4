/* SPDX-License-Identifier: MIT */
/* Names to be tried, certificates to be believed, keys to be shown. */
#include "core/s2s.h"
#include "net/dns.h"
#include "net/tls_impl.h"

#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* SRV ---------------------------------------------------------------------- */

/* _xmpp-server._tcp.a.test: 5 0 5269 x.a.test. and 1 7 80 "." */
static const unsigned char answer[] =
    "\x00\x01\x85\x80\x00\x01\x00\x02\x00\x00\x00\x00"
    "\x0c_xmpp-server\x04_tcp\x01"
    "a\x04test\x00\x00\x21\x00\x01"
    "\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x10"
    "\x00\x05\x00\x00\x14\x95\x01x\x01"
    "a\x04test\x00"
    "\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x07"
    "\x00\x01\x00\x07\x00\x50\x00";

static void
test_srv_parse(void **state)
{
	struct dns_srv rows[DNS_SRV_MAX] = { 0 };
	const struct dns_srv *x = &rows[0], *none = &rows[1];

	assert_int_equal(dns_srv_parse(answer, sizeof(answer) - 1, rows), 2);
	if (x->priority == 1) {
		x = &rows[1];
		none = &rows[0];
	}
	assert_int_equal(x->priority, 5);
	assert_int_equal(x->port, 5269);
	assert_string_equal(x->target, "x.a.test");
	assert_int_equal(none->weight, 7);
	assert_string_equal(none->target, "");
	/* Cut off anywhere, it is refused. */
	for (size_t n = 0; n < sizeof(answer) - 1; n++)
		assert_true(dns_srv_parse(answer, n, rows) <= 0);
}

static uint64_t drawn;

static uint64_t
draw(uint64_t n)
{
	return drawn < n ? drawn : n - 1;
}

static void
test_srv_order(void **state)
{
	static const struct dns_srv given[] = {
		{ 20, 5, 1, "last" },
		{ 10, 60, 2, "heavy" },
		{ 10, 0, 3, "weightless" },
		{ 10, 40, 4, "light" },
	};
	/* What is drawn first, and who comes first for it. */
	static const struct {
		uint64_t drawn;
		const char *first;
	} rows[] = { { 0, "weightless" }, { 1, "heavy" }, { 60, "heavy" },
		{ 61, "light" }, { 100, "light" } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dns_srv got[4];

		memcpy(got, given, sizeof(got));
		drawn = rows[i].drawn;
		dns_srv_order(got, 4, draw);
		assert_string_equal(got[0].target, rows[i].first);
		assert_string_equal(got[3].target, "last");
	}
}

/* Certificates ------------------------------------------------------------- */

static X509 *
cert_with(char *names)
{
	X509 *x = X509_new();
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, names);
	assert_non_null(ext);
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
	return x;
}

static void
test_names(void **state)
{
	static const struct {
		const char *names;
		const char *domain;
		bool is_for;
	} rows[] = {
		{ "DNS:a.test", "a.test", true },
		{ "DNS:A.Test", "a.test", true },
		{ "DNS:a.test", "b.a.test", false },
		{ "DNS:a.test", "test", false },
		{ "DNS:*.a.test", "b.a.test", true },
		{ "DNS:*.a.test", "a.test", false },
		{ "DNS:*.a.test", "c.b.a.test", false },
		{ "DNS:*.a.test", "*.a.test", false },
		{ "DNS:*.test", "a.test", false },
		{ "DNS:b*.a.test", "bc.a.test", false },
		{ "DNS:b.test,DNS:a.test", "a.test", true },
		{ "DNS:xn--bcher-kva.test",
		    "b\xc3\xbc"
		    "cher.test",
		    true },
		{ "email:x@a.test", "a.test", false },
		{ "otherName:1.3.6.1.5.5.7.8.5;UTF8:a.test", "a.test", true },
		{ "otherName:1.3.6.1.5.5.7.8.5;UTF8:*.a.test", "b.a.test",
		    false },
		{ "otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-server.a.test",
		    "a.test", true },
		{ "otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-client.a.test",
		    "a.test", false },
		{ "otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-server.", "a.test",
		    false },
		{ "otherName:1.2.3.4;UTF8:a.test", "a.test", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char names[200];
		X509 *x;

		snprintf(names, sizeof(names), "%s", rows[i].names);
		x = cert_with(names);
		if (tls_cert_is_for(x, str_c(rows[i].domain)) != rows[i].is_for)
			fail_msg("%s for %s", rows[i].names, rows[i].domain);
		X509_free(x);
	}
}

/* Keys --------------------------------------------------------------------- */

/* The example of XEP-0185. */
static void
test_key(void **state)
{
	struct arena *a = arena_new(0);

	assert_true(
	    str_is(s2s_key(a, STR("s3cr3tf0rd14lb4ck"), STR("xmpp.example.com"),
		       STR("example.org"), STR("D60000229F")),
		"37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b893230756"
		"43"));
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_srv_parse),
		cmocka_unit_test(test_srv_order),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
