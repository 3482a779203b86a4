/* SPDX-License-Identifier: MIT */
/*
 * Federation (RFC 6120 between servers): one outgoing link for each pair of
 * our domain and another, at home on the worker of the other domain; and
 * incoming streams, on whichever worker accepts them. A stream carries stanzas
 * one way only.
 */
#ifndef CORE_S2S_H
#define CORE_S2S_H

#include "base/str.h"

struct arena;
struct conn;
struct stanza;

/* For router_set_remote(): takes the stanza over, from any loop. */
void s2s_send(struct stanza *st);
/* A connection of a listener; on its loop. */
void s2s_accept(void *ctx, struct conn *c);

enum s2s_way { S2S_IN, S2S_OUT, S2S_WAYS };
/* Established streams of the calling loop, by who opened them. */
size_t s2s_count(enum s2s_way way);
/* One row for each of them, for people: see the commands. */
typedef void s2s_row_fn(void *ctx, struct str local, struct str remote,
    const char *ip, const char *tls, const char *how, uint64_t seconds,
    size_t unacked);
void s2s_list(enum s2s_way way, s2s_row_fn *row, void *ctx);
/*
 * Opens a stream to a domain, up to the login and no further, and tells what
 * comes of each step; then what came of all. Once over, `done` is called,
 * in bounded time. On the calling loop.
 */
struct s2s_probe {
	void (*step)(void *ctx, const char *text);
	void (*done)(void *ctx, bool is_fine, const char *text);
};
void s2s_check(struct str local, struct str remote,
    const struct s2s_probe *probe, void *ctx);
/* Closes all streams of the calling loop. */
void s2s_close_all(void);
/* At the end of the calling loop: nothing is sent or dialled any more. */
void s2s_stop(void);

/*
 * The key that vouches for a stream (XEP-0185), as hexadecimal text. The
 * secret is all our workers' own.
 */
struct str s2s_key(struct arena *a, struct str secret, struct str receiving,
    struct str originating, struct str id);

#endif
