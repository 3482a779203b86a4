/* SPDX-License-Identifier: MIT */
/*
 * Certificates and TLS contexts. A tls_certs is a set of certificates,
 * immutable and counted: a reload makes a new set, and connections under
 * way keep what they have. TLS 1.2 and later; no compression, no
 * renegotiation, no early data.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/arena.h"
#include "base/log.h"
#include "base/str.h"

struct tls_certs;

/*
 * Loads each PEM file that one of the patterns (the last is NULL) of glob(7)
 * matches: chain and key in one file, or the key beside it (NAME.key, or
 * privkey.pem for fullchain.pem).
 * A bad file is left out with a warning that names it; `previous` (or NULL)
 * lends what it had for the names of such a file. ERR_TLS only when there
 * is nothing at all to offer. *why_r, from `a`, tells of all bad files; NULL
 * when there was none. Blocking: not on a loop.
 */
int tls_certs_load(struct arena *a, const char *const *patterns,
    const struct tls_certs *previous, struct tls_certs **certs_r,
    const char **why_r);
/*
 * A self-signed P-256 certificate for the names, kept at `path` (mode 0600)
 * and made anew when it is missing, expired or for other names.
 */
int tls_certs_self_signed(struct arena *a, const char *path,
    const struct str *names, size_t count, struct tls_certs **certs_r,
    const char **why_r);
struct tls_certs *tls_certs_ref(struct tls_certs *c);
void tls_certs_unref(struct tls_certs **c);
/* Has it a certificate whose names cover `host`, expiring when (seconds)? */
bool tls_certs_cover(
    const struct tls_certs *c, struct str host, int64_t *not_after_r);

/* What others will think of the one that is shown for `host`. */
struct tls_report {
	char file[256];
	int64_t days; /* that are left */
	bool is_expired;
	bool is_own;	 /* signed by itself */
	const char *why; /* static: why it is not trusted; NULL: it is */
};
/* Of those in use; false when there is none for it. From any thread. */
bool tls_report(struct str host, struct tls_report *r);

/* Each name of each of those in use, with its file. From any thread. */
void tls_each_name(
    void (*fn)(void *ctx, struct str name, const char *file), void *ctx);

/*
 * ALPN that a listener answers: "xmpp-client", "xmpp-server", "http/1.1", or
 * the first or the last (conn_tls_alpn() then tells which).
 */
enum tls_role { TLS_C2S, TLS_S2S, TLS_HTTPS, TLS_MUX };

/*
 * The set that new handshakes use; swapped by a reload, from any thread. Takes
 * a reference of its own. NULL: TLS is refused (at the end).
 */
void tls_install(struct tls_certs *certs);

struct addr;

/*
 * Asked before each handshake as a server: 0, or how long (ms) the hello of
 * this peer waits until it is asked again. Called on any loop; to be set
 * before they run. NULL, and so without it: none waits.
 */
void tls_set_gate(uint64_t (*wait_ms)(const struct addr *peer));

enum tls_peer { TLS_SERVERS, TLS_CLIENTS };

/*
 * Whom we trust to vouch for such peers: a PEM file of authorities. NULL, for
 * servers: those of the system; for clients: nobody, and so they are not asked
 * for a certificate. Lists of revoked ones (CRL) in the file count. For checks
 * and handshakes from now on, from any thread; on failure it stays as it was.
 * Blocking: not on a loop.
 */
int tls_trust(struct arena *a, enum tls_peer whom, const char *ca_file,
    const char **why_r);
void tls_trust_drop(void);
/* Could it be such a file? Blocking, from any thread. */
int tls_trust_check(struct arena *a, const char *ca_file, const char **why_r);

#endif
