/* SPDX-License-Identifier: MIT */
/*
 * A look from outside, for diagnoses: names, ports and certificates as others
 * find them. All of it blocks, until a moment of clock_mono(): for threads of
 * the pool only.
 */
#ifndef NET_PROBE_H
#define NET_PROBE_H

#include "net/dns.h"

/* Names: questions, one after the other -------------------------------------*/

struct probe_dns;

/* `servers` as in dns_use(). NULL when there is nobody to ask. */
struct probe_dns *probe_dns_new(const char *servers, uint64_t until);
void probe_dns_free(struct probe_dns **d);
/* 0 with rows, ERR_ABSENT, ERR_TIMEOUT, ERR_INVALID; as in net/dns.h. */
int probe_srv(struct probe_dns *d, const char *name,
    struct dns_srv rows[DNS_SRV_MAX], size_t *count_r);
int probe_addrs(struct probe_dns *d, const char *host, uint16_t port,
    struct addr addrs[DNS_ADDR_MAX], size_t *count_r);
/* Who may issue certificates: "a, b" in the buffer. */
int probe_caa(struct probe_dns *d, const char *name, char *text_r, size_t size);

/* Ports ---------------------------------------------------------------------*/

struct probe_conn;

/* NULL and *err_r (negative) when nobody is there. */
struct probe_conn *probe_dial(
    const struct addr *addr, uint64_t until, int *err_r);
void probe_close(struct probe_conn **c);
/*
 * TLS, with ALPN of that one protocol if it is not NULL. ERR_TLS when there is
 * none. *why_r, static: NULL when the certificate is one for `domain` that
 * others trust, else what is wrong with it or with the handshake.
 */
int probe_tls(struct probe_conn *c, const char *server, struct str domain,
    const char *alpn, uint64_t until, const char **why_r);
/*
 * Sends, and reads until `text` has come (0) or so much that it will not
 * (ERR_ABSENT), or the other has closed (ERR_CLOSED).
 */
int probe_ask(
    struct probe_conn *c, struct str bytes, const char *text, uint64_t until);
/* Does a STUN server answer a binding request (RFC 8489), over UDP? */
int probe_stun(const struct addr *addr, uint64_t until);

#endif
