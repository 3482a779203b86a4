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

/* Established streams of the calling loop. */
size_t s2s_count_in(void);
size_t s2s_count_out(void);
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
