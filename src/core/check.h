/* SPDX-License-Identifier: MIT */
/*
 * `rookeryctl check`: what an operator may have forgotten, one line each. The
 * core looks at names, ports, certificates and limits; a module adds what it
 * knows of its own (struct module, `check`).
 */
#ifndef CORE_CHECK_H
#define CORE_CHECK_H

#include "base/str.h"

struct check;

enum check_state { CHECK_OK, CHECK_WARNING, CHECK_FAIL };

/*
 * A line of the report: what was looked at, and what was seen. `advice` (or
 * NULL) says what to change; it is copied. From the handler of a module, or
 * the check's own thread.
 */
API void check_say(struct check *c, enum check_state state, const char *advice,
    const char *what, const char *fmt, ...) PRINTF_LIKE(5, 6);
/* Asks later whether a STUN or TURN server is there, over UDP or TCP. */
API void check_relay(
    struct check *c, struct str host, uint16_t port, bool is_udp);

#endif
