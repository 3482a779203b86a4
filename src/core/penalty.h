/* SPDX-License-Identifier: MIT */
/*
 * Failed logins by address, as this worker has seen them of late: the more
 * of them, the later the next failure is answered. Bounded; the address that
 * failed longest ago is forgotten first. A login that goes well forgives
 * nothing, or whoever has one account could guess at others from there.
 */
#ifndef CORE_PENALTY_H
#define CORE_PENALTY_H

#include "net/addr.h"

#define PENALTY_MAX_MS 2000

/* Counts a failure at the time `now` (ms); how long to wait with the answer. */
uint64_t penalty_add(const struct addr *from, uint64_t now);
size_t penalty_count(void);
/* Forgets all; at the end of a thread. */
void penalty_thread_done(void);

#endif
