/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server: HTTP/1.1 over our own connections, in every worker's loop.
 * See core/web.h for requests and answers.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "core/web.h"

/* For listeners: serves it, on its loop. */
void http_accept(struct conn *c);

/*
 * Opens the admin socket (DATA_DIR/rookery.sock), for the owner of the process
 * only, and serves it on the first worker. On the main thread while the loops
 * run, as the user who owns data_dir, with data_dir locked. 0, or an error
 * with *why_r from `a`. http_close ends it, there too.
 */
int http_open(struct arena *a, const char *path, const char **why_r);
void http_close(void);

/* Of the socket: /api/ and /ctl/; of all listeners (admin.c). */
extern const struct http_route http_admin_routes[];
extern const struct http_route http_public_routes[];

/* status.c: is it alive, is it ready, how does it do (Prometheus)? */
void status_health(struct http_req *r);
void status_ready(struct http_req *r);
void status_metrics(struct http_req *r);

/*
 * Does it come with the name and password of an administrator (Basic)?
 * done(r, status) comes on this loop: 200, 401 (also when it does not say who
 * it is), 403 for others' accounts, or 503. Failures are answered late.
 */
void http_authenticate(
    struct http_req *r, void (*done)(struct http_req *r, unsigned status));
/* In an account's words, for the log; set when it is authenticated. */
const char *http_user(const struct http_req *r);

#endif
