/* SPDX-License-Identifier: MIT */
/* The PROXY protocol's header, versions 1 and 2. */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include "net/addr.h"

#define PROXY_HEADER_MAX 536

/*
 * Reads a header from the first bytes of a connection. Answers its length;
 * 0 when more bytes are needed; ERR_INVALID when it is none. For LOCAL and
 * UNKNOWN src_r->len is 0: keep the socket's own address.
 */
int proxy_parse(const char *p, size_t n, struct addr *src_r);

#endif
