/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses (DNS by c-ares), on the calling thread's loop. Each
 * question is answered once, in a later turn, with what came of it.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "net/addr.h"

/* More than these are not looked at. */
#define DNS_SRV_MAX 16
#define DNS_ADDR_MAX 16
#define DNS_NAME_MAX 256

struct dns_srv {
	uint16_t priority, weight, port;
	char target[DNS_NAME_MAX]; /* without a dot at the end; "": none */
};

/*
 * err: 0; ERR_ABSENT when there is no such name or record; ERR_TIMEOUT or
 * ERR_INVALID when nobody could tell. The rows are lent for the call.
 */
typedef void dns_srv_fn(
    void *ctx, int err, const struct dns_srv *rows, size_t count);
typedef void dns_addr_fn(
    void *ctx, int err, const struct addr *addrs, size_t count);

/*
 * Who is asked by the calling thread from now on: "IP" or "IP:PORT", with
 * commas between; NULL or "": whom the system asks. ERR_INVALID when it is
 * not such a list.
 */
int dns_use(const char *servers);
/* `name` as "_xmpp-server._tcp.example.org", in ASCII. */
void dns_srv(const char *name, dns_srv_fn *found, void *ctx);
/* Addresses with this port; IPv6 and IPv4, in the order to be tried. */
void dns_addrs(const char *host, uint16_t port, dns_addr_fn *found, void *ctx);
/* The rows of an answer as it came; -1 when it can't be read. */
int dns_srv_parse(
    const unsigned char *p, size_t n, struct dns_srv rows[DNS_SRV_MAX]);
/*
 * Into the order to be tried (RFC 2782): by priority, and drawn by weight
 * within one. draw(n) answers a number below n.
 */
void dns_srv_order(
    struct dns_srv *rows, size_t count, uint64_t (*draw)(uint64_t n));
/* Gives up on all of the calling thread; their owners are not called. */
void dns_thread_done(void);

#endif
