/* SPDX-License-Identifier: MIT */
/* What others will think of a certificate that we show. */
#include "base/clock.h"
#include "net/tls_impl.h"

#include <openssl/x509v3.h>
#include <stdio.h>

bool
tls_report(struct str host, struct tls_report *r)
{
	struct tls_certs *certs = tls_installed();
	const struct tls_cert *cert =
	    certs != NULL ? tls_certs_find(certs, host) : NULL;
	STACK_OF(X509) *chain = NULL;

	memset(r, 0, sizeof(*r));
	if (cert != NULL) {
		snprintf(r->file, sizeof(r->file), "%s", cert->file);
		r->days = (cert->not_after - clock_real() / 1000) / 86400;
		r->is_expired = cert->not_after <= clock_real() / 1000;
		r->is_own =
		    X509_check_issued(cert->leaf, cert->leaf) == X509_V_OK;
		SSL_CTX_get0_chain_certs(cert->ctx, &chain);
		(void)tls_verify(cert->leaf, chain, host, true, &r->why);
	}
	tls_certs_unref(&certs);
	return cert != NULL;
}

void
tls_each_name(
    void (*fn)(void *ctx, struct str name, const char *file), void *ctx)
{
	struct tls_certs *certs = tls_installed();

	for (size_t i = 0; certs != NULL && i < certs->count; i++)
		for (size_t j = 0; j < certs->certs[i]->name_count; j++)
			fn(ctx, certs->certs[i]->names[j],
			    certs->certs[i]->file);
	tls_certs_unref(&certs);
}
