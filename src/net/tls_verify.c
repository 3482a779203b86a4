/* SPDX-License-Identifier: MIT */
/*
 * Is the peer who its certificate says, and is that the server of a domain?
 * Chains by PKIX; names by RFC 6120 section 13.7.1.2 and RFC 9525.
 */
#include "base/buf.h"
#include "base/err.h"
#include "net/tls_impl.h"

#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t trust_lock = PTHREAD_MUTEX_INITIALIZER;
static X509_STORE *trust;

static void
trust_set(X509_STORE *store)
{
	X509_STORE *old;

	pthread_mutex_lock(&trust_lock);
	old = trust;
	trust = store;
	pthread_mutex_unlock(&trust_lock);
	X509_STORE_free(old);
}

static X509_STORE *
trust_get(void)
{
	X509_STORE *store;

	pthread_mutex_lock(&trust_lock);
	store = trust;
	if (store != NULL)
		X509_STORE_up_ref(store);
	pthread_mutex_unlock(&trust_lock);
	return store;
}

int
tls_trust(struct arena *a, const char *ca_file, const char **why_r)
{
	X509_STORE *store = X509_STORE_new();
	int ok;

	must(store != NULL);
	if (ca_file != NULL)
		ok = X509_STORE_load_file(store, ca_file);
	else
		ok = X509_STORE_set_default_paths(store);
	if (ok != 1) {
		*why_r = tls_why(a);
		X509_STORE_free(store);
		return ERR_TLS;
	}
	trust_set(store);
	return 0;
}

void
tls_trust_drop(void)
{
	trust_set(NULL);
}

/* Names -------------------------------------------------------------------- */

static struct str
text_of(const ASN1_STRING *s)
{
	return str_mem(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* A whole first label may be "*", if what follows is more than one label. */
static bool
name_matches(struct str pattern, struct str host, bool may_be_wild)
{
	char a[TLS_NAME_MAX], b[TLS_NAME_MAX];
	struct str p, h;

	if (!tls_name(pattern, a) || !tls_name(host, b))
		return false;
	p = str_c(a);
	h = str_c(b);
	if (str_eq(p, h))
		return memchr(a, '*', p.n) == NULL;
	if (!may_be_wild || !str_has_prefix(p, STR("*.")))
		return false;
	p = str_skip(p, 2);
	if (str_find(p, '.') == p.n || memchr(p.p, '*', p.n) != NULL)
		return false;
	return str_find(h, '.') > 0 &&
	       str_eq(p, str_skip(h, str_find(h, '.') + 1));
}

/* SRV-ID is "_xmpp-server.example.org"; xmppAddr is the domain itself. */
static bool
other_name_matches(const OTHERNAME *other, struct str domain)
{
	int nid = OBJ_obj2nid(other->type_id), type = other->value->type;
	struct str name, service;

	if (nid == NID_XmppAddr && type == V_ASN1_UTF8STRING)
		return name_matches(
		    text_of(other->value->value.utf8string), domain, false);
	if (nid != NID_SRVName || type != V_ASN1_IA5STRING)
		return false;
	name = text_of(other->value->value.ia5string);
	service = str_cut(&name, '.');
	return str_eq_nocase(service, STR("_xmpp-server")) &&
	       !str_is_none(name) && name_matches(name, domain, false);
}

bool
tls_cert_is_for(const X509 *leaf, struct str domain)
{
	GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(
	    leaf, NID_subject_alt_name, NULL, NULL);
	bool is_for = false;

	/* The common name was never meant for this (RFC 9525, section 2). */
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !is_for; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DNS)
			is_for =
			    name_matches(text_of(n->d.dNSName), domain, true);
		else if (n->type == GEN_OTHERNAME)
			is_for = other_name_matches(n->d.otherName, domain);
	}
	GENERAL_NAMES_free(names);
	return is_for;
}

/* In words ----------------------------------------------------------------- */

static void
names_describe(const X509 *leaf, struct buf *out)
{
	GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(
	    leaf, NID_subject_alt_name, NULL, NULL);
	const char *before = "";

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < 10; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type != GEN_DNS)
			continue;
		buf_printf(
		    out, "%s" STR_FMT, before, STR_ARG(text_of(n->d.dNSName)));
		before = ", ";
	}
	if (before[0] == '\0')
		buf_add_str(out, STR("no name"));
	GENERAL_NAMES_free(names);
}

void
tls_cert_describe(X509 *leaf, char *text_r, size_t size)
{
	struct buf out = { 0 };
	char issuer[200] = "";
	int days = 0, seconds = 0;

	buf_add_str(&out, STR("for "));
	names_describe(leaf, &out);
	X509_NAME_oneline(X509_get_issuer_name(leaf), issuer, sizeof(issuer));
	(void)ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(leaf));
	buf_printf(&out, "; issued by %s; ", issuer);
	if (days < 0 || seconds < 0)
		buf_printf(&out, "expired %d days ago", -days);
	else
		buf_printf(&out, "%d days left", days);
	snprintf(text_r, size, STR_FMT, STR_ARG(buf_str(&out)));
	buf_fini(&out);
}

/* Chains ------------------------------------------------------------------- */

/*
 * What a client's certificate may be used for is not asked: servers show the
 * one that they have as servers, and authorities no longer say "client" there.
 */
static int
chain_verify(X509_STORE_CTX *ctx, X509_STORE *store, X509 *leaf,
    STACK_OF(X509) * chain, bool is_server)
{
	X509_VERIFY_PARAM *param;

	if (X509_STORE_CTX_init(ctx, store, leaf, chain) != 1)
		return X509_V_ERR_UNSPECIFIED;
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_auth_level(param, 1);
	if (is_server)
		X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
	if (X509_verify_cert(ctx) == 1)
		return X509_V_OK;
	return X509_STORE_CTX_get_error(ctx);
}

int
tls_verify(X509 *leaf, STACK_OF(X509) * chain, struct str domain,
    bool is_server, const char **why_r)
{
	X509_STORE *store = trust_get();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int err = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT;

	must(ctx != NULL);
	if (store != NULL)
		err = chain_verify(ctx, store, leaf, chain, is_server);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	if (err != X509_V_OK) {
		*why_r = X509_verify_cert_error_string(err);
		return ERR_DENIED;
	}
	if (!tls_cert_is_for(leaf, domain)) {
		*why_r = "the certificate is for other names";
		return ERR_DENIED;
	}
	return 0;
}
