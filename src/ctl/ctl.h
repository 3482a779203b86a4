/* SPDX-License-Identifier: MIT */
/* The parts of rookeryctl. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "base/arena.h"
#include "base/buf.h"

/* Exit statuses. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_SERVER = 3,
};

struct ctl {
	struct arena *arena;
	const char *socket; /* path */
	const char *conf;   /* as it was given, or NULL */
	bool wants_json;
	const char *version; /* of the API, or NULL */
};

struct reply {
	unsigned status;    /* of HTTP */
	int exit;	    /* header "status-code", or -1 */
	struct str missing; /* a secret that it must be given, or none */
	struct str body;
};

/*
 * client.c: one POST. -errno, ERR_INVALID when it is not HTTP, ERR_CLOSED when
 * it ended early, ERR_TIMEOUT.
 */
int client_post(const struct ctl *ctl, const char *path, struct str body,
    struct reply *reply_r);

/*
 * copy.c: becomes rookeryd, to copy what is stored to the database of another
 * configuration; -errno if there is none.
 */
int copy_exec(const char *conf, const char *target);

/*
 * where.c: the socket of the server whose configuration this is; NULL: the
 * default one. ERR_INVALID with *why_r when it is no YAML.
 */
int where_socket(struct arena *a, const char *conf, const char **socket_r,
    const char **why_r);

/*
 * ask.c: a secret from the terminal, without echo, or a line from standard
 * input when that is none. False at the end of the input.
 */
bool ask_secret(struct arena *a, const char *prompt, struct str *secret_r);

#endif
