/* SPDX-License-Identifier: MIT */
#include "net/addr.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What is parsed, and how it is told again; NULL where it must be refused. */
static const struct {
	const char *text;
	const char *ip;
	const char *key;
	bool is_loopback;
} addrs[] = {
	{ "192.0.2.1", "192.0.2.1", "192.0.2.1", false },
	{ "127.0.0.1", "127.0.0.1", "127.0.0.1", true },
	{ "127.8.9.1", "127.8.9.1", "127.8.9.1", true },
	{ "128.0.0.1", "128.0.0.1", "128.0.0.1", false },
	{ "::1", "::1", "::/64", true },
	{ "::", "::", "::/64", false },
	{ "2001:DB8::1", "2001:db8::1", "2001:db8::/64", false },
	{ "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64",
	    false },
	{ "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1", false },
	{ "::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1", true },
	{ "", NULL, NULL, false },
	{ "localhost", NULL, NULL, false },
	{ "192.0.2", NULL, NULL, false },
	{ "192.0.2.256", NULL, NULL, false },
	{ "192.0.2.1 ", NULL, NULL, false },
	{ "2001:db8:::1", NULL, NULL, false },
	{ "fe80::1%eth0", NULL, NULL, false },
	{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL, NULL,
	    false },
};

static void
test_parse(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		struct addr a;
		char text[ADDR_TEXT_MAX];
		int ret = addr_parse(str_c(addrs[i].text), 5222, &a);

		if (addrs[i].ip == NULL) {
			assert_int_equal(ret, ERR_INVALID);
			continue;
		}
		assert_int_equal(ret, 0);
		assert_int_equal(addr_port(&a), 5222);
		addr_ip(&a, text);
		assert_string_equal(text, addrs[i].ip);
		addr_limit_key(&a, text);
		assert_string_equal(text, addrs[i].key);
		assert_int_equal(addr_is_loopback(&a), addrs[i].is_loopback);
	}
}

static void
test_none(void **state)
{
	struct addr a = { .len = 0 };
	char text[ADDR_TEXT_MAX] = "x";
	struct addr_net net;

	addr_ip(&a, text);
	assert_string_equal(text, "");
	assert_int_equal(addr_port(&a), 0);
	assert_false(addr_is_loopback(&a));
	assert_int_equal(addr_net_parse(STR("0.0.0.0/0"), &net), 0);
	assert_false(addr_in_net(&a, &net));
}

static void
test_nul_inside(void **state)
{
	struct addr a;

	assert_int_equal(addr_parse(STR("192.0.2.1\0x"), 1, &a), ERR_INVALID);
}

/* A network, an address in it and one that is not; NULL: refused. */
static const struct {
	const char *net;
	const char *in;
	const char *out;
} nets[] = {
	{ "10.0.0.0/8", "10.255.0.1", "11.0.0.1" },
	{ "192.0.2.128/25", "192.0.2.200", "192.0.2.100" },
	{ "192.0.2.7", "192.0.2.7", "192.0.2.6" },
	{ "192.0.2.7/32", "::ffff:192.0.2.7", "192.0.2.8" },
	{ "0.0.0.0/0", "203.0.113.9", "2001:db8::1" },
	{ "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1" },
	{ "2001:db8::/45", "2001:db8:7::1", "2001:db8:8::1" },
	{ "::1", "::1", "::2" },
	{ "::/0", "192.0.2.1", NULL },
	{ "10.0.0.0/33", NULL, NULL },
	{ "::/129", NULL, NULL },
	{ "10.0.0.0/", NULL, NULL },
	{ "10.0.0.0/-1", NULL, NULL },
	{ "10.0.0.0/8/8", NULL, NULL },
	{ "/8", NULL, NULL },
	{ "", NULL, NULL },
};

static void
test_nets(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
		struct addr_net net;
		struct addr a;
		int ret = addr_net_parse(str_c(nets[i].net), &net);

		assert_int_equal(ret, nets[i].in != NULL ? 0 : ERR_INVALID);
		if (nets[i].in != NULL) {
			addr_parse(str_c(nets[i].in), 1, &a);
			assert_true(addr_in_net(&a, &net));
		}
		if (nets[i].out != NULL) {
			addr_parse(str_c(nets[i].out), 1, &a);
			assert_false(addr_in_net(&a, &net));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_nul_inside),
		cmocka_unit_test(test_nets),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
