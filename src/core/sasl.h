/* SPDX-License-Identifier: MIT */
/*
 * SASL (RFC 4422) on the server's side, for any transport: one exchange, fed
 * with messages. Mechanisms: SCRAM-SHA-1, -256, -512 and their -PLUS forms
 * (RFC 5802, 7677, 9266), PLAIN (RFC 4616).
 *
 * An unknown user is led through the same exchange as a known one, with a
 * salt that is always the same for that name, and fails at the end.
 */
#ifndef CORE_SASL_H
#define CORE_SASL_H

#include "core/host.h"
#include "core/transport.h"
#include "xml/names.h"

struct sasl;

struct sasl_result {
	enum {
		SASL_CONTINUE, /* send `data` as challenge */
		SASL_DONE,     /* success, with `data` (may be none) */
		SASL_FAIL,     /* failure with `condition` */
	} what;
	struct str data;      /* bytes; lives until the callback returns */
	enum qname condition; /* EL_SASL_NOT_AUTHORIZED... */
	const char *text;     /* for the client, or NULL */
	struct jid user;    /* DONE: who (bare); FAIL: whom it tried or none */
	struct str salt;    /* DONE: of SCRAM, the keys' that were used */
	bool has_authzid;   /* DONE: it named itself as whom to act */
	bool is_store_down; /* FAIL with temporary-auth-failure */
};

/*
 * Mechanisms on offer for this transport, strongest first, as conf says, but
 * for those that the account is known to lack keys for (a set of scram_bit()).
 */
size_t sasl_offer(const struct host *host, const struct transport *t,
    unsigned lacking, struct str *names_r, size_t max);
/* Channel bindings on offer: "tls-exporter"... (XEP-0440). */
API size_t sasl_offer_bindings(
    const struct transport *t, struct str *names_r, size_t max);

/*
 * Begins an exchange; `mechanism` is what the client asked for: NULL when that
 * is not on offer (invalid-mechanism). The callback is made once for each
 * step, at once or later, on the calling loop, never
 * after sasl_free(). `on_step` may free the exchange.
 */
typedef void sasl_fn(void *ctx, const struct sasl_result *r);
struct sasl *sasl_new(struct host *host, const struct transport *t,
    unsigned lacking, struct str mechanism, sasl_fn *on_step, void *ctx);
/*
 * Feeds a message (decoded bytes). The first call is the initial response, with
 * STR_NONE when there was none and STR("") when it was empty ("=").
 */
API void sasl_step(struct sasl *s, struct str message, bool is_initial);
API void sasl_free(struct sasl **s);

#endif
