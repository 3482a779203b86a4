/* SPDX-License-Identifier: MIT */
#include "net/proxy.h"

#include "base/err.h"

#define V1_MAX 107 /* with CR and LF */
#define V2_HEAD 16

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* A port as the specification has it: no sign, no leading zero. */
static bool
port_parse(struct str s, uint16_t *port_r)
{
	uint64_t n;

	if (s.n == 0 || s.n > 5 || (s.n > 1 && s.p[0] == '0') ||
	    !str_to_u64(s, &n) || n > 65535)
		return false;
	*port_r = (uint16_t)n;
	return true;
}

static int
v1_addresses(struct str rest, int family, struct addr *src_r)
{
	struct str src = str_cut(&rest, ' '), dst = str_cut(&rest, ' ');
	struct str src_port = str_cut(&rest, ' '), dst_port = rest;
	struct addr unused;
	uint16_t port, other;

	if (!port_parse(src_port, &port) || !port_parse(dst_port, &other) ||
	    addr_parse(src, port, src_r) != 0 ||
	    addr_parse(dst, other, &unused) != 0 ||
	    src_r->ss.sa.sa_family != family ||
	    unused.ss.sa.sa_family != family)
		return ERR_INVALID;
	return 0;
}

/* The line without "PROXY " and CR LF. */
static int
v1_line(struct str rest, struct addr *src_r)
{
	struct str family = str_cut(&rest, ' ');

	if (str_is(family, "UNKNOWN"))
		return 0;
	if (str_is(family, "TCP4"))
		return v1_addresses(rest, AF_INET, src_r);
	if (str_is(family, "TCP6"))
		return v1_addresses(rest, AF_INET6, src_r);
	return ERR_INVALID;
}

static int
v1_parse(const char *p, size_t n, struct addr *src_r)
{
	const char *end = memchr(p, '\n', MIN(n, V1_MAX));
	struct str line;
	int ret;

	if (end == NULL)
		return n < V1_MAX ? 0 : ERR_INVALID;
	line = str_mem(p, (size_t)(end - p));
	if (line.n == 0 || line.p[line.n - 1] != '\r')
		return ERR_INVALID;
	line.n--;
	ret = v1_line(str_skip(line, strlen("PROXY ")), src_r);
	if (ret != 0) {
		src_r->len = 0;
		return ret;
	}
	return (int)line.n + 2;
}

static void
v2_source(const uint8_t *addrs, int family, struct addr *src_r)
{
	memset(src_r, 0, sizeof(*src_r));
	if (family == AF_INET) {
		src_r->ss.in.sin_family = AF_INET;
		memcpy(&src_r->ss.in.sin_addr, addrs, 4);
		memcpy(&src_r->ss.in.sin_port, addrs + 8, 2);
		src_r->len = sizeof(src_r->ss.in);
	} else {
		src_r->ss.in6.sin6_family = AF_INET6;
		memcpy(&src_r->ss.in6.sin6_addr, addrs, 16);
		memcpy(&src_r->ss.in6.sin6_port, addrs + 32, 2);
		src_r->len = sizeof(src_r->ss.in6);
	}
}

/* `body` bytes follow the head; what comes after the addresses are TLVs. */
static int
v2_body(const uint8_t *p, size_t body, struct addr *src_r)
{
	switch (p[12]) {
	case 0x20: /* LOCAL: the proxy's own check */
		return 0;
	case 0x21: /* PROXY */
		break;
	default:
		return ERR_INVALID;
	}
	switch (p[13]) {
	case 0x00: /* UNSPEC */
	case 0x31: /* Unix sockets have no address to tell */
		return 0;
	case 0x11: /* TCP over IPv4 */
		if (body < 12)
			return ERR_INVALID;
		v2_source(p + V2_HEAD, AF_INET, src_r);
		return 0;
	case 0x21: /* TCP over IPv6 */
		if (body < 36)
			return ERR_INVALID;
		v2_source(p + V2_HEAD, AF_INET6, src_r);
		return 0;
	default:
		return ERR_INVALID;
	}
}

static int
v2_parse(const char *bytes, size_t n, struct addr *src_r)
{
	const uint8_t *p = (const uint8_t *)bytes;
	size_t body;
	int ret;

	if (n < V2_HEAD)
		return 0;
	body = (size_t)p[14] << 8 | p[15];
	if (V2_HEAD + body > PROXY_HEADER_MAX)
		return ERR_INVALID;
	if (n < V2_HEAD + body)
		return 0;
	ret = v2_body(p, body, src_r);
	return ret != 0 ? ret : (int)(V2_HEAD + body);
}

int
proxy_parse(const char *p, size_t n, struct addr *src_r)
{
	static const char v1[6] = "PROXY ";

	src_r->len = 0;
	if (n == 0)
		return 0;
	if (memcmp(p, v2_signature, MIN(n, sizeof(v2_signature))) == 0)
		return v2_parse(p, n, src_r);
	if (memcmp(p, v1, MIN(n, sizeof(v1))) == 0)
		return n < sizeof(v1) ? 0 : v1_parse(p, n, src_r);
	return ERR_INVALID;
}
