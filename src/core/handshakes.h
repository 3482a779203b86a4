/* SPDX-License-Identifier: MIT */
/*
 * How fast one address may begin handshakes of TLS, as each worker sees it: a
 * hello costs its sender nothing, and us a signature. What is beyond
 * limits.handshakes waits, as the bytes it is. Who is on this machine never
 * does.
 */
#ifndef CORE_HANDSHAKES_H
#define CORE_HANDSHAKES_H

/* Before the loops run. */
void handshakes_init(void);
/* At the end of a thread: from now on none waits. */
void handshakes_thread_done(void);

#endif
