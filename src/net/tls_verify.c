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

/* Names of authorities that clients are told; more would be a burden. */
#define HINTS_MAX 100

typedef STACK_OF(X509_NAME) name_stack;

static pthread_mutex_t trust_lock = PTHREAD_MUTEX_INITIALIZER;
static struct trust {
	X509_STORE *store;
	name_stack *hints; /* for clients: whose certificates will do */
} trusted[2];

static void
trust_set(enum tls_peer whom, struct trust fresh)
{
	struct trust old;

	pthread_mutex_lock(&trust_lock);
	old = trusted[whom];
	trusted[whom] = fresh;
	pthread_mutex_unlock(&trust_lock);
	X509_STORE_free(old.store);
	sk_X509_NAME_pop_free(old.hints, X509_NAME_free);
}

/* A reference, and for `hints_r`, unless it is NULL, a copy. */
static X509_STORE *
trust_get(enum tls_peer whom, name_stack **hints_r)
{
	const struct trust *t = &trusted[whom];
	X509_STORE *store;

	pthread_mutex_lock(&trust_lock);
	store = t->store;
	if (store != NULL)
		X509_STORE_up_ref(store);
	if (hints_r != NULL)
		*hints_r = t->hints != NULL ? SSL_dup_CA_list(t->hints) : NULL;
	pthread_mutex_unlock(&trust_lock);
	return store;
}

/* What the file had: names of its authorities; and are there CRLs? */
static void
trust_survey(struct trust *t)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(t->store);

	t->hints = sk_X509_NAME_new_null();
	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		const X509_OBJECT *o = sk_X509_OBJECT_value(all, i);
		const X509 *cert = X509_OBJECT_get0_X509(o);

		if (cert == NULL)
			X509_STORE_set_flags(t->store, X509_V_FLAG_CRL_CHECK);
		else
			sk_X509_NAME_push(t->hints,
			    X509_NAME_dup(X509_get_subject_name(cert)));
	}
	if (sk_X509_NAME_num(t->hints) <= HINTS_MAX)
		return;
	sk_X509_NAME_pop_free(t->hints, X509_NAME_free);
	t->hints = NULL;
}

/* NULL with *why_r when it can't be. */
static X509_STORE *
store_load(struct arena *a, const char *ca_file, const char **why_r)
{
	X509_STORE *store = X509_STORE_new();
	int ok;

	must(store != NULL);
	if (ca_file != NULL)
		ok = X509_STORE_load_file(store, ca_file);
	else
		ok = X509_STORE_set_default_paths(store);
	if (ok == 1)
		return store;
	*why_r = tls_why(a);
	X509_STORE_free(store);
	return NULL;
}

int
tls_trust_check(struct arena *a, const char *ca_file, const char **why_r)
{
	X509_STORE *store = store_load(a, ca_file, why_r);

	X509_STORE_free(store);
	return store != NULL ? 0 : ERR_TLS;
}

int
tls_trust(struct arena *a, enum tls_peer whom, const char *ca_file,
    const char **why_r)
{
	struct trust fresh = { 0 };

	if (ca_file == NULL && whom == TLS_CLIENTS) {
		trust_set(whom, fresh);
		return 0;
	}
	fresh.store = store_load(a, ca_file, why_r);
	if (fresh.store == NULL)
		return ERR_TLS;
	if (ca_file != NULL)
		trust_survey(&fresh);
	trust_set(whom, fresh);
	return 0;
}

void
tls_trust_drop(void)
{
	struct trust none = { 0 };

	trust_set(TLS_SERVERS, none);
	trust_set(TLS_CLIENTS, none);
}

void
tls_ask_client(SSL *ssl)
{
	name_stack *hints;
	X509_STORE *store = trust_get(TLS_CLIENTS, &hints);

	if (store == NULL)
		return;
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	if (hints != NULL)
		SSL_set0_CA_list(ssl, hints);
	X509_STORE_free(store);
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

static bool
is_xmpp_addr(const GENERAL_NAME *n)
{
	return n->type == GEN_OTHERNAME &&
	       OBJ_obj2nid(n->d.otherName->type_id) == NID_XmppAddr &&
	       n->d.otherName->value->type == V_ASN1_UTF8STRING;
}

size_t
tls_cert_addrs(
    const X509 *leaf, struct arena *a, struct str *addrs_r, size_t max)
{
	GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(
	    leaf, NID_subject_alt_name, NULL, NULL);
	size_t count = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && count < max; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (is_xmpp_addr(n))
			addrs_r[count++] = str_dup(a,
			    text_of(n->d.otherName->value->value.utf8string));
	}
	GENERAL_NAMES_free(names);
	return count;
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

/* `purpose`: what it must be good for, if it says; 0: anything. */
static int
chain_verify(X509_STORE_CTX *ctx, X509_STORE *store, X509 *leaf,
    STACK_OF(X509) * chain, int purpose)
{
	X509_VERIFY_PARAM *param;

	if (X509_STORE_CTX_init(ctx, store, leaf, chain) != 1)
		return X509_V_ERR_UNSPECIFIED;
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_auth_level(param, 1);
	if (purpose != 0)
		X509_STORE_CTX_set_purpose(ctx, purpose);
	if (X509_verify_cert(ctx) == 1)
		return X509_V_OK;
	return X509_STORE_CTX_get_error(ctx);
}

static int
peer_verify(enum tls_peer whom, X509 *leaf, STACK_OF(X509) * chain, int purpose,
    const char **why_r)
{
	X509_STORE *store = trust_get(whom, NULL);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int err = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT;

	must(ctx != NULL);
	if (store != NULL)
		err = chain_verify(ctx, store, leaf, chain, purpose);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	if (err == X509_V_OK)
		return 0;
	*why_r = X509_verify_cert_error_string(err);
	return ERR_DENIED;
}

int
tls_verify_client(X509 *leaf, STACK_OF(X509) * chain, const char **why_r)
{
	return peer_verify(
	    TLS_CLIENTS, leaf, chain, X509_PURPOSE_SSL_CLIENT, why_r);
}

/*
 * What the certificate of a server that calls may be used for is not asked:
 * it shows the one that it has as a server, and authorities no longer say
 * "client" there.
 */
int
tls_verify(X509 *leaf, STACK_OF(X509) * chain, struct str domain,
    bool is_server, const char **why_r)
{
	int purpose = is_server ? X509_PURPOSE_SSL_SERVER : 0;
	int err = peer_verify(TLS_SERVERS, leaf, chain, purpose, why_r);

	if (err < 0)
		return err;
	if (!tls_cert_is_for(leaf, domain)) {
		*why_r = "the certificate is for other names";
		return ERR_DENIED;
	}
	return 0;
}
