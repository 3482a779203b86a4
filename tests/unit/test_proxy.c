/* SPDX-License-Identifier: MIT */
#include "net/proxy.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\0\x02\x01\xc0\0\x02\x02\x12\x34\x14\x66"
#define V6 \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x34\x14\x66"
#define UNIX \
	"0123456789012345678901234567890123456789012345678901234567890123" \
	"01234567890123456789012345678901234567890123456789012345678901234567" \
	"89012345678901234567890123456789012345678901234567890123456789012345" \
	"6789012345678901"

/* Headers; `ip` "" means: keep the socket's own. NULL: refused. */
static const struct {
	struct str header;
	const char *ip;
	uint16_t port;
} cases[] = {
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4660 5222\r\n"), "192.0.2.1",
	    4660 },
	{ STR_INIT("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n"),
	    "2001:db8::1", 65535 },
	{ STR_INIT("PROXY UNKNOWN\r\n"), "", 0 },
	{ STR_INIT("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), "", 0 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4660 5222\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 04660 5222\r\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 65536 5222\r\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 -1 5222\r\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4660\r\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4660 5222 \r\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP4  192.0.2.1 192.0.2.2 4660 5222\r\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP4 2001:db8::1 192.0.2.2 4660 5222\r\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP6 192.0.2.1 192.0.2.2 4660 5222\r\n"), NULL, 0 },
	{ STR_INIT("PROXY TCP5 192.0.2.1 192.0.2.2 4660 5222\r\n"), NULL, 0 },
	{ STR_INIT("PROXY \r\n"), NULL, 0 },
	{ STR_INIT("PROXY \n"), NULL, 0 },
	{ STR_INIT("PROXX TCP4"), NULL, 0 },
	{ STR_INIT("<stream:stream"), NULL, 0 },
	{ STR_INIT("\x16\x03\x01"), NULL, 0 },
	{ STR_INIT(SIG "\x21\x11\0\x0c" V4), "192.0.2.1", 0x1234 },
	{ STR_INIT(SIG "\x21\x21\0\x24" V6), "2001:db8::1", 0x1234 },
	{ STR_INIT(SIG "\x21\x11\0\x10" V4 "\x04\0\x01x"), "192.0.2.1",
	    0x1234 },
	{ STR_INIT(SIG "\x20\x00\0\0"), "", 0 },
	{ STR_INIT(SIG "\x20\x11\0\x0c" V4), "", 0 },
	{ STR_INIT(SIG "\x21\x00\0\0"), "", 0 },
	{ STR_INIT(SIG "\x21\x31\0\xd8" UNIX), "", 0 },
	{ STR_INIT(SIG "\x21\x11\0\x0b" V4), NULL, 0 },
	{ STR_INIT(SIG "\x21\x21\0\x0c" V4), NULL, 0 },
	{ STR_INIT(SIG "\x21\x12\0\x0c" V4), NULL, 0 },
	{ STR_INIT(SIG "\x22\x11\0\x0c" V4), NULL, 0 },
	{ STR_INIT(SIG "\x11\x11\0\x0c" V4), NULL, 0 },
	{ STR_INIT(SIG "\x21\x11\x02\x09" V4), NULL, 0 },
};

static void
case_check(struct str header, const char *ip, uint16_t port)
{
	char with_more[PROXY_HEADER_MAX + 8], text[ADDR_TEXT_MAX];
	struct addr src;
	int ret;

	/* What follows it is not looked at. */
	memcpy(with_more, header.p, header.n);
	memcpy(with_more + header.n, "<stream>", 8);
	ret = proxy_parse(with_more, header.n + 8, &src);
	if (ip == NULL) {
		assert_int_equal(ret, ERR_INVALID);
		return;
	}
	assert_int_equal(ret, header.n);
	addr_ip(&src, text);
	assert_string_equal(text, ip);
	assert_int_equal(addr_port(&src), port);
	/* And no part of it is taken for a whole. */
	for (size_t n = 0; n < header.n; n++)
		assert_int_equal(proxy_parse(header.p, n, &src), 0);
}

static void
test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		case_check(cases[i].header, cases[i].ip, cases[i].port);
}

static void
test_bounds(void **state)
{
	char text[200];
	struct addr src;

	memset(text, 'x', sizeof(text));
	memcpy(text, "PROXY UNKNOWN ", 14);
	assert_int_equal(proxy_parse(text, 106, &src), 0);
	assert_int_equal(proxy_parse(text, 107, &src), ERR_INVALID);
	memcpy(text + 105, "\r\n", 2);
	assert_int_equal(proxy_parse(text, 200, &src), 107);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
