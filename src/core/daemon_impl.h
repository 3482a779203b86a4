/* SPDX-License-Identifier: MIT */
/* The parts of the daemon's main thread. */
#ifndef CORE_DAEMON_IMPL_H
#define CORE_DAEMON_IMPL_H

#include "base/buf.h"
#include "core/daemon.h"
#include "core/problem.h"

extern const struct log_ctx log_daemon;

/* datadir.c: the folder below which everything is kept */

/*
 * Makes it if need be (0700, the user's) and locks it, for this process and as
 * long as it lives. -errno or ERR_EXISTS, with *why_r from `a`.
 */
int datadir_open(struct arena *a, const char *path, const char **why_r);
void datadir_close(void);
/* The secret of this installation: 32 bytes, made with the first start. */
int datadir_secret(struct arena *a, const char *path, struct str *secret_r,
    const char **why_r);

/* ---- privilege.c ---- */

/* Looks the user up; NULL, or not being root: none to become. */
int privilege_find(struct arena *a, const char *user, const char **why_r);
/* Gives a file or folder to that user, as far as there is one. */
void privilege_give(int fd);
void privilege_give_path(const char *path);
/* Becomes that user for good. */
int privilege_drop(struct arena *a, const char **why_r);
/* As many descriptors as are allowed. */
void privilege_raise_files(void);

/* ---- notify.c: telling systemd ---- */

/* "READY=1"; does nothing when it was not systemd that started us. */
void notify_systemd(const char *state);

/*
 * What $WATCHDOG_USEC asks for: a word, as long as all loops answer. From the
 * main thread; the time in ms until it has to be fed again, or -1: never.
 */
void watchdog_start(void);
int watchdog_feed(void);

/* ---- certs.c ---- */

/*
 * Loads and installs what `conf` names, or a self-signed one. On failure what
 * was installed stays.
 */
int certs_apply(struct arena *a, const struct conf *conf, const char **why_r);
void certs_drop(void);
/* By whom other servers' certificates are trusted. */
int trust_apply(struct arena *a, const struct conf *conf, const char **why_r);
/* Are there files at all for each pattern? `load`: and can they be used? */
void certs_check(const struct conf *conf, struct problems *problems, bool load);

/* Are the files of trust_apply() such files? */
void trust_check(const struct conf *conf, struct problems *problems);

/* ---- machine.c ---- */

/*
 * Certificates, as certs_check(), the user, and where the log goes; `load`:
 * also what only a start takes up, and what a reload may keep as it was.
 */
void machine_check(
    const struct conf *conf, struct problems *problems, bool load);

/* ---- listen.c ---- */

/* Opens all. For the start: the first failure ends it. */
int listeners_open(
    struct arena *a, const struct conf *conf, const char **why_r);
/* Closes those that `conf` has no more, opens new ones; a note for each. */
void listeners_apply(
    struct arena *a, const struct conf *conf, struct buf *notes);
void listeners_close(void);
/* Could a server that starts in our place open them all? */
void listeners_check(const struct conf *conf, struct problems *problems);

/* ---- reload.c ---- */

/* On the main thread, for SIGHUP. */
void reload_now(struct buf *notes, int *err_r);
/*
 * On the main thread: would we start again? A server that runs is worth more
 * than one that would not.
 */
void restart_check(struct buf *notes, int *err_r);
/* Frees configurations that nobody can hold any more. */
void reload_settle(void);

/* The configuration in use, which the daemon owns. */
extern struct conf *daemon_conf;

#endif
