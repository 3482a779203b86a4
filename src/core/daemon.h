/* SPDX-License-Identifier: MIT */
/*
 * The daemon's life, and its main thread. The main thread runs no loop: it
 * starts the workers, then waits for signals and for what is posted to it. It
 * alone may block on files (configuration, certificates, modules).
 */
#ifndef CORE_DAEMON_H
#define CORE_DAEMON_H

#include "core/conf.h"

struct loop;

/* ---- for commands, from any thread ---- */

/* Ends orderly, as after SIGTERM; restart: then starts again in its place. */
void daemon_stop(void);
void daemon_restart(void);
/*
 * Reads the configuration and the certificates again. done(ctx, err, text)
 * comes on the calling loop: what was applied and what was not, or the
 * problems, one a line; `done` may be NULL.
 */
typedef void daemon_done_fn(void *ctx, int err, const char *text);
void daemon_reload(daemon_done_fn *done, void *ctx);
/* What keeps it from starting again, in the same way; nothing is done. */
void daemon_restart_check(daemon_done_fn *done, void *ctx);
/* Milliseconds since it was ready. */
uint64_t daemon_uptime(void);
const char *daemon_version(void);
/* The configuration in use as YAML, secrets masked; on a loop. */
struct str daemon_dump_conf(struct arena *a);

/* ---- the main thread ---- */

/* Calls fn(msg) on the main thread, in order; from any thread. */
void main_post(void (*fn)(void *msg), void *msg);
/* Has it look around. */
void main_wake(void);
/* A descriptor that is readable when there is something to run. */
int main_fd(void);
/* Runs what was posted; on the main thread. */
void main_run(void);
/*
 * On the main thread: runs fn(arg) on every loop, and returns when all have.
 * A loop must never wait for the main thread.
 */
void loops_call(void (*fn)(void *arg), void *arg);

/* ---- for main.c ---- */

/* Who serves connections of HTTP; before the start. Else they are refused. */
struct conn;
void daemon_set_http(void (*accepted)(struct conn *c));

struct daemon_args {
	const char *conf_path; /* -c, or NULL */
	char **argv;	       /* for a restart */
};

/*
 * daemon_start: everything up to where connections are served; on failure it
 * has said why. daemon_ready: tells the log and systemd. daemon_run: until
 * it shall end. daemon_end: closes streams, stores and all; answers the exit
 * status, or does not return after daemon_restart().
 */
int daemon_start(const struct daemon_args *args);
void daemon_ready(void);
void daemon_run(void);
int daemon_end(void);
/* --check-config: the exit status. */
int daemon_check(const char *conf_path);
/* DATA_DIR/rookery.sock; lives as long as the daemon. */
const char *daemon_socket_path(void);

#endif
