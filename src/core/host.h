/* SPDX-License-Identifier: MIT */
/* The domains that this server is: one struct host for each, for good. */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include "base/arena.h"
#include "base/str.h"
#include "jid/jid.h"

struct host {
	struct jid jid; /* its name as a JID */
	unsigned index;
	/* The secret from which unknown users' salts are made, and the like. */
	unsigned char secret[32];
	struct rounds *rounds; /* core/rounds.h */
};

/*
 * Makes those of the configuration, before the loops run, with secrets derived
 * from that of the installation; frees them after all.
 */
struct conf;
void hosts_init(const struct conf *conf, struct str secret);
void hosts_fini(void);

/* By prepared name; NULL if it is not one of ours. */
API struct host *host_find(struct str name);
API size_t host_count(void);
API struct host *host_at(size_t index);
/* DATA_DIR/KIND/HOST: where files of it may be kept. */
API const char *host_folder(
    struct arena *a, const struct host *host, const char *kind);
/* "https://HOST:PORT", by the first HTTP listener with TLS, or without; none
 * when there is neither. */
API struct str host_url(struct arena *a, const struct host *host);

/* Administrators, by configuration or by command: all; is this bare JID one? */
API size_t host_admins(struct arena *a, const struct str **jids_r);
API bool host_is_admin(const struct jid *bare);

#endif
