/* SPDX-License-Identifier: MIT */
/* What the files of net share about TLS. */
#ifndef NET_TLS_IMPL_H
#define NET_TLS_IMPL_H

#include "base/map.h"
#include "net/tls.h"

#include <openssl/ssl.h>

/* A certificate with its key, ready to serve. */
struct tls_cert {
	char *file;
	SSL_CTX *ctx;
	X509 *leaf; /* the ctx's */
	int64_t not_after;
	int chain;	   /* certificates that are sent after the leaf */
	struct str *names; /* lower case; "*.example.org" too */
	size_t name_count;
};

struct tls_certs {
	uint32_t refs;
	struct tls_cert **certs;
	size_t count;
	struct map by_name; /* struct tls_cert */
};

/* What a connection tells the callbacks of its SSL; set as its app data. */
struct tls_hello {
	struct tls_certs *certs; /* until the handshake is done */
	enum tls_role role;
	bool is_direct;
	bool is_client;
};

#define TLS_NAME_MAX 256

/*
 * Bytes of a hello, with the heads of its records. Those with keys that no
 * quantum computer breaks have 2 KiB.
 */
#define TLS_HELLO_MAX 6144

/* tls.c */

/* A set with what is in `certs`; takes all of them over. */
struct tls_certs *tls_certs_new(struct tls_cert **certs, size_t count);
/* The certificate whose names cover `host`, or NULL. */
const struct tls_cert *tls_certs_find(
    const struct tls_certs *c, struct str host);
/* The installed set with a reference for the caller, or NULL. */
struct tls_certs *tls_installed(void);

/* tls_cert.c */

/*
 * Reads a certificate and its key. ERR_ABSENT when the file holds none that
 * is meant to be served (but a key, or the chain of another).
 */
int tls_cert_load(struct arena *a, const char *file, struct tls_cert **cert_r,
    const char **why_r);
/* One more of the same, sharing the context. */
struct tls_cert *tls_cert_dup(const struct tls_cert *cert);
void tls_cert_free(struct tls_cert **cert);
/* A host as certificates have it: ASCII, lower case. False if it can't be. */
bool tls_name(struct str host, char name_r[TLS_NAME_MAX]);
/* The newest message of OpenSSL's queue, which it empties. */
const char *tls_why(struct arena *a);

/* What the gate says of this peer. */
uint64_t tls_wait_ms(const struct addr *peer);

/* tls_hello.c */

/*
 * How many bytes the records of a ClientHello have, which must all be there; 0
 * while some are missing, ERR_INVALID when it is none, or a bigger one.
 */
int tls_hello_size(struct str bytes);

/* tls_verify.c */

/* As conn_tls_verify(). The chain is what came with the leaf. */
int tls_verify(X509 *leaf, STACK_OF(X509) * chain, struct str domain,
    bool is_server, const char **why_r);
/* Is it a client's, by those who vouch for clients? As tls_verify(). */
int tls_verify_client(X509 *leaf, STACK_OF(X509) * chain, const char **why_r);
/* The xmppAddr in it, at most `max`, in the arena; how many. */
size_t tls_cert_addrs(
    const X509 *leaf, struct arena *a, struct str *addrs_r, size_t max);
/* The client is to show a certificate if it has one, when any is trusted. */
void tls_ask_client(SSL *ssl);
/* For people: names, issuer, and how long it lasts. */
void tls_cert_describe(X509 *leaf, char *text_r, size_t size);
/* As tls_verify(), of the names alone. */
bool tls_cert_is_for(const X509 *leaf, struct str domain);

/* tls_ctx.c */

SSL_CTX *tls_ctx_new(void);
/* The role's protocols as a client offers them; their length. */
unsigned tls_alpn_offer(enum tls_role role, unsigned char wire_r[64]);
/* The ALPN protocol as a constant, or NULL. */
const char *tls_alpn_name(struct str protocol);

#endif
