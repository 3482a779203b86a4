/* SPDX-License-Identifier: MIT */
#include "net/addr.h"

#include "base/err.h"

#include <arpa/inet.h>

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* The address as 16 bytes, IPv4 as ::ffff:a.b.c.d; false if it has none. */
static bool
addr_bytes(const struct addr *a, uint8_t bytes_r[16])
{
	switch (a->len == 0 ? AF_UNSPEC : a->ss.sa.sa_family) {
	case AF_INET:
		memcpy(bytes_r, mapped, sizeof(mapped));
		memcpy(bytes_r + 12, &a->ss.in.sin_addr, 4);
		return true;
	case AF_INET6:
		memcpy(bytes_r, &a->ss.in6.sin6_addr, 16);
		return true;
	default:
		return false;
	}
}

/* Numeric text to 16 bytes; *is_v4_r tells which family it was written in. */
static int
bytes_parse(struct str ip, uint8_t bytes_r[16], bool *is_v4_r)
{
	char text[INET6_ADDRSTRLEN + 1];

	if (ip.n == 0 || ip.n >= sizeof(text) || memchr(ip.p, 0, ip.n))
		return ERR_INVALID;
	memcpy(text, ip.p, ip.n);
	text[ip.n] = '\0';

	*is_v4_r = inet_pton(AF_INET, text, bytes_r + 12) == 1;
	if (*is_v4_r)
		memcpy(bytes_r, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, text, bytes_r) != 1)
		return ERR_INVALID;
	return 0;
}

int
addr_parse(struct str ip, uint16_t port, struct addr *addr_r)
{
	uint8_t bytes[16];
	bool is_v4;
	int ret = bytes_parse(ip, bytes, &is_v4);

	if (ret != 0)
		return ret;
	memset(addr_r, 0, sizeof(*addr_r));
	if (is_v4) {
		addr_r->ss.in.sin_family = AF_INET;
		addr_r->ss.in.sin_port = htons(port);
		memcpy(&addr_r->ss.in.sin_addr, bytes + 12, 4);
		addr_r->len = sizeof(addr_r->ss.in);
	} else {
		addr_r->ss.in6.sin6_family = AF_INET6;
		addr_r->ss.in6.sin6_port = htons(port);
		memcpy(&addr_r->ss.in6.sin6_addr, bytes, 16);
		addr_r->len = sizeof(addr_r->ss.in6);
	}
	return 0;
}

static bool
is_mapped(const uint8_t bytes[16])
{
	return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

void
addr_ip(const struct addr *a, char text_r[ADDR_TEXT_MAX])
{
	uint8_t bytes[16];

	text_r[0] = '\0';
	if (!addr_bytes(a, bytes))
		return;
	if (is_mapped(bytes))
		inet_ntop(AF_INET, bytes + 12, text_r, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, bytes, text_r, ADDR_TEXT_MAX);
}

uint16_t
addr_port(const struct addr *a)
{
	switch (a->len == 0 ? AF_UNSPEC : a->ss.sa.sa_family) {
	case AF_INET:
		return ntohs(a->ss.in.sin_port);
	case AF_INET6:
		return ntohs(a->ss.in6.sin6_port);
	default:
		return 0;
	}
}

bool
addr_is_loopback(const struct addr *a)
{
	uint8_t bytes[16];

	if (!addr_bytes(a, bytes))
		return false;
	if (is_mapped(bytes))
		return bytes[12] == 127;
	return memcmp(bytes, &in6addr_loopback, 16) == 0;
}

int
addr_net_parse(struct str cidr, struct addr_net *net_r)
{
	struct str bits = cidr;
	struct str ip = str_cut(&bits, '/');
	bool is_v4;
	uint64_t n;
	int ret = bytes_parse(ip, net_r->bytes, &is_v4);

	if (ret != 0)
		return ret;
	if (str_is_none(bits))
		n = is_v4 ? 32 : 128;
	else if (!str_to_u64(bits, &n) || n > (is_v4 ? 32u : 128u))
		return ERR_INVALID;
	net_r->bits = (uint8_t)(is_v4 ? n + 96 : n);
	return 0;
}

bool
addr_in_net(const struct addr *a, const struct addr_net *net)
{
	uint8_t bytes[16];
	unsigned whole = net->bits / 8, rest = net->bits % 8;
	uint8_t mask;

	if (!addr_bytes(a, bytes) || memcmp(bytes, net->bytes, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	mask = (uint8_t)(0xff << (8 - rest));
	return ((bytes[whole] ^ net->bytes[whole]) & mask) == 0;
}

void
addr_limit_key(const struct addr *a, char text_r[ADDR_TEXT_MAX])
{
	uint8_t bytes[16];

	if (!addr_bytes(a, bytes) || is_mapped(bytes)) {
		addr_ip(a, text_r);
		return;
	}
	memset(bytes + 8, 0, 8);
	inet_ntop(AF_INET6, bytes, text_r, ADDR_TEXT_MAX);
	strcat(text_r, "/64");
}
