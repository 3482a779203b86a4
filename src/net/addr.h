/* SPDX-License-Identifier: MIT */
/* Socket addresses and networks, as text and as sockaddr. */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include "base/arena.h"
#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* Of the internet's families only, so that a connection's is small. */
struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} ss;
	socklen_t len;
};

#define ADDR_TEXT_MAX 56

/* Numeric addresses only; ERR_INVALID otherwise. */
API int addr_parse(struct str ip, uint16_t port, struct addr *addr_r);
/* "192.0.2.1" or "2001:db8::1" (mapped IPv4 as IPv4), with NUL. */
API void addr_ip(const struct addr *a, char text_r[ADDR_TEXT_MAX]);
API uint16_t addr_port(const struct addr *a);
API bool addr_is_loopback(const struct addr *a);

/* A network in CIDR notation; a single address is /32 or /128. */
struct addr_net {
	uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t bits;
};

/* ERR_INVALID when it is none. An address without a family is in no net. */
API int addr_net_parse(struct str cidr, struct addr_net *net_r);
API bool addr_in_net(const struct addr *a, const struct addr_net *net);
/*
 * What limits "by address" count by: the address itself for IPv4, its /64
 * for IPv6; as text with NUL.
 */
API void addr_limit_key(const struct addr *a, char text_r[ADDR_TEXT_MAX]);

#endif
