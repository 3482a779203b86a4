/* SPDX-License-Identifier: MIT */
/* What the files of the check share. */
#ifndef CORE_CHECK_IMPL_H
#define CORE_CHECK_IMPL_H

#include "base/arena.h"
#include "base/buf.h"
#include "core/check.h"
#include "core/conf.h"

#define CHECK_RELAYS_MAX 32
#define CHECK_SERVICES_MAX 32

struct cmd;
struct probe_dns;

struct check_relay {
	struct str host;
	uint16_t port;
	bool is_udp;
};

/* What is to be known of a host of ours; copied for the thread. */
struct check_host {
	struct str name;
	struct str services[CHECK_SERVICES_MAX];
	size_t service_count;
	bool tells_relays; /* clients hear of STUN and TURN servers */
	struct check_relay relays[CHECK_RELAYS_MAX];
	size_t relay_count;
	struct buf text; /* lines about it */
};

struct check {
	struct arena *arena;
	struct cmd *cmd;
	struct check_host *hosts;
	size_t host_count;
	struct check_host *now; /* which one is looked at; NULL: none */
	struct buf text;
	unsigned count[3]; /* lines, by state */
	uint64_t until;

	/* Of the configuration. */
	const char *dns_servers, *data_dir;
	bool is_federated;
	uint16_t starttls_port, tls_port; /* for clients; 0: none */
	uint16_t s2s_port, s2s_tls_port, https_port;
	const char **certificates; /* patterns of files, ended by NULL */

	struct probe_dns *dns;
	bool is_dns_dead; /* it has not answered */
};

/* check_host.c: on the thread, for c->now. */
void check_certificates(struct check *c);
void check_names(struct check *c);
void check_relays(struct check *c);

#endif
