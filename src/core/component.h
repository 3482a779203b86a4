/* SPDX-License-Identifier: MIT */
/*
 * External components (XEP-0114): programs that connect to us and are a domain
 * each. A component's stream is at home on the worker of its domain, whoever
 * accepted the connection; so what is for it comes there, in order.
 */
#ifndef CORE_COMPONENT_H
#define CORE_COMPONENT_H

#include "base/base.h"
#include "base/str.h"

struct conf;
struct conn;
struct host;
struct jid;
struct stanza;

/* A connection of a listener; on its loop. */
void component_accept(void *ctx, struct conn *c);
/* Does the configuration give this domain to a component? On any loop. */
bool component_has(struct str domain);
/* For such a domain: takes the stanza over, from any loop. */
void component_send(struct stanza *st);

/*
 * Components that are connected, as the calling worker has heard, and that
 * belong to the host: below its domain, or below no host's at all.
 */
API void component_each(const struct host *host,
    void (*fn)(void *ctx, struct str domain), void *ctx);
/* Is one connected, as the calling worker has heard? */
API bool component_is_up(struct str domain);

/* What is shown of a stream, for commands. */
struct component_info {
	struct str domain;
	const char *ip;
	bool is_tls;
	uint64_t since; /* loop_now() */
	uint64_t received, sent;
};
/* Established streams of the calling loop. */
void component_streams(
    void (*fn)(void *ctx, const struct component_info *info), void *ctx);
/* Closes that of the domain, if it is of the calling loop. */
bool component_close(struct str domain, const char *text);
/* After a reload, on each loop: ends those that may be no more. */
void components_check(void);
/* At the end: closes all of the calling loop; then frees what is left. */
void components_close(void);
/* Of the calling loop, those that are being closed. */
size_t components_closing(void);
void components_stop(void);

#endif
