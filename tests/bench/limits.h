/* SPDX-License-Identifier: MIT */
/* What the parts of a chat server's work cost at least, on this machine. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include "base/base.h"

/* CPU seconds of this process so far. */
double limits_cpu(void);
/* One figure, as a JSON object on stdout. */
void limits_say(const char *what, double value, const char *unit);

/*
 * Messages between pairs of sockets, over a process that passes on what it
 * reads and looks at nothing: one read and one write for what is there.
 */
void limits_relay(int pairs, int window, double seconds);

#endif
