/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets: one socket for each worker and address, all bound with
 * SO_REUSEPORT, so that the kernel shares connections out. A listener may
 * require the PROXY protocol (v1 or v2) from trusted addresses; then the
 * peer's address is the one told there.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/conn.h"

struct listener_config {
	/*
	 * Port 0: any free one, the same for all workers. "::" listens on
	 * IPv4 too, and where there is no IPv6 means "0.0.0.0".
	 */
	struct addr addr;
	bool is_direct_tls; /* TLS from the first byte */
	enum tls_role role;
	int backlog; /* 0: 4096 */
	/*
	 * Who must send a PROXY header; from others it is none of our
	 * protocols. Copied.
	 */
	const struct addr_net *proxies;
	size_t proxy_count;   /* 0: no PROXY protocol here */
	uint32_t deadline_ms; /* for header and handshake; 0: 30 seconds */
	/*
	 * On the worker's loop, for each new connection; it must call
	 * conn_set_owner() before it returns, and must not move it yet.
	 * With direct TLS the handshake is done by then.
	 */
	void (*accepted)(void *ctx, struct conn *c);
	/*
	 * Instead of `accepted`, or NULL: for several protocols on one port,
	 * in TLS or not, as the peer begins. Called as that is, once the first
	 * byte of what is said has come, which tells them apart.
	 */
	void (*sorted)(void *ctx, struct conn *c, char first);
	void *ctx;
};

struct listener;

/*
 * 0, or -errno: why nobody could listen there now; -EADDRINUSE also where this
 * process does.
 */
int listener_probe(const struct addr *addr);
/*
 * Binds and listens on all loops; called before or after the loops run. 0, or
 * -errno with *why_r from `a`. `bound_r` tells the address in use.
 */
int listener_open(struct arena *a, const struct listener_config *config,
    struct listener **listener_r, struct addr *bound_r, const char **why_r);
/*
 * From now on as in `config`, but at the address that it has; whom `accepted`
 * was not told of yet is dropped, whoever knocks meanwhile waits. Returns when
 * it is so on all loops, and is called on none.
 */
void listener_change(struct listener *l, const struct listener_config *config);
/*
 * Stops accepting; returns when no loop will call `accepted` any more.
 * Connections that were not told of yet are dropped. Clears the pointer; NULL
 * is fine.
 */
void listener_close(struct listener **l);

#endif
