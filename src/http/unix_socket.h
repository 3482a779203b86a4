/* SPDX-License-Identifier: MIT */
/* A listening Unix socket on a loop. */
#ifndef HTTP_UNIX_SOCKET_H
#define HTTP_UNIX_SOCKET_H

#include "base/arena.h"
#include "net/loop.h"

struct unix_socket;

/*
 * Binds the path with mode 0600, in place of what is there. Touches files:
 * not on a loop.
 */
int unix_socket_new(struct arena *a, const char *path, struct unix_socket **s_r,
    const char **why_r);
/* Calls accepted(ctx, fd) on the calling loop for each connection. */
void unix_socket_start(
    struct unix_socket *s, void (*accepted)(void *ctx, int fd), void *ctx);
/* Ends that, and removes the file. On its loop, if it was started. */
void unix_socket_close(struct unix_socket **s);

#endif
