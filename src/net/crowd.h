/* SPDX-License-Identifier: MIT */
/*
 * After a crowd of connections has gone, what it took goes back to the system:
 * malloc keeps what was freed below what is still in use, so an attack, or a
 * storm of logins, would otherwise stay in the process for good.
 */
#ifndef NET_CROWD_H
#define NET_CROWD_H

#include "net/loop.h"

/* One more connection, or one less, whatever its loop. */
void crowd_came(void);
void crowd_went(struct loop *l);

#endif
