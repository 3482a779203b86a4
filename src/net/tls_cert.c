/* SPDX-License-Identifier: MIT */
/* Certificates in files: chain, key and names. */
#include "base/err.h"
#include "net/tls_impl.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

const char *
tls_why(struct arena *a)
{
	char text[256];
	unsigned long first = ERR_peek_error(), err = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(err);

	if (err == 0)
		return "unknown error";
	/* Of a file that cannot be read the newest says "system lib" alone. */
	if (ERR_SYSTEM_ERROR(first))
		reason = err_text(-ERR_GET_REASON(first));
	ERR_error_string_n(err, text, sizeof(text));
	ERR_clear_error();
	return str_dup_c(a, str_c(reason != NULL ? reason : text));
}

/* Names -------------------------------------------------------------------- */

bool
tls_name(struct str host, char name_r[TLS_NAME_MAX])
{
	char text[TLS_NAME_MAX], *ascii = NULL;
	size_t n;

	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n == 0 || host.n >= sizeof(text) || memchr(host.p, 0, host.n))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	for (n = 0; n < host.n && (unsigned char)text[n] < 0x80; n++)
		if (text[n] >= 'A' && text[n] <= 'Z')
			text[n] = (char)(text[n] - 'A' + 'a');
	if (n == host.n) {
		memcpy(name_r, text, n + 1);
		return true;
	}
	if (idn2_to_ascii_8z(
		text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	n = strlen(ascii);
	if (n < TLS_NAME_MAX)
		memcpy(name_r, ascii, n + 1);
	idn2_free(ascii);
	return n < TLS_NAME_MAX;
}

static void
name_add(struct tls_cert *cert, struct str name)
{
	char text[TLS_NAME_MAX];

	if (!tls_name(name, text))
		return;
	cert->names = (struct str *)xrealloc(
	    cert->names, (cert->name_count + 1) * sizeof(struct str));
	cert->names[cert->name_count++] = str_heap(str_c(text));
}

static struct str
asn1_str(const ASN1_STRING *s)
{
	return str_mem(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* SRV-ID is "_xmpp-client.example.org"; xmppAddr is the host itself. */
static void
other_name_add(struct tls_cert *cert, const OTHERNAME *other)
{
	int nid = OBJ_obj2nid(other->type_id), type = other->value->type;
	struct str name;

	if (nid == NID_XmppAddr && type == V_ASN1_UTF8STRING)
		name_add(cert, asn1_str(other->value->value.utf8string));
	if (nid != NID_SRVName || type != V_ASN1_IA5STRING)
		return;
	name = asn1_str(other->value->value.ia5string);
	if (str_cut(&name, '.').n > 1 && !str_is_none(name))
		name_add(cert, name);
}

static void
address_add(struct tls_cert *cert, const ASN1_STRING *ip)
{
	char text[INET6_ADDRSTRLEN];
	struct str bytes = asn1_str(ip);

	if (bytes.n != 4 && bytes.n != 16)
		return;
	inet_ntop(
	    bytes.n == 4 ? AF_INET : AF_INET6, bytes.p, text, sizeof(text));
	name_add(cert, str_c(text));
}

/* Where there is no alternative name at all, the common name counts. */
static void
common_name_add(struct tls_cert *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert->leaf);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	if (at >= 0)
		name_add(cert, asn1_str(X509_NAME_ENTRY_get_data(
				   X509_NAME_get_entry(subject, at))));
}

static void
names_read(struct tls_cert *cert)
{
	GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(
	    cert->leaf, NID_subject_alt_name, NULL, NULL);

	if (names == NULL) {
		common_name_add(cert);
		return;
	}
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DNS)
			name_add(cert, asn1_str(n->d.dNSName));
		else if (n->type == GEN_IPADD)
			address_add(cert, n->d.iPAddress);
		else if (n->type == GEN_OTHERNAME)
			other_name_add(cert, n->d.otherName);
	}
	GENERAL_NAMES_free(names);
}

static int64_t
not_after_read(const X509 *leaf)
{
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

/* Files -------------------------------------------------------------------- */

/* What a PEM file holds. */
struct pem {
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

static void
pem_fini(struct pem *pem)
{
	X509_free(pem->leaf);
	sk_X509_pop_free(pem->chain, X509_free);
	EVP_PKEY_free(pem->key);
}

/* OpenSSL would ask at the terminal; a key with a password fails instead. */
static int
no_password(char *text, int size, int is_new, void *ctx)
{
	return -1;
}

static EVP_PKEY *
key_read(const char *file)
{
	BIO *bio = BIO_new_file(file, "r");
	EVP_PKEY *key = NULL;

	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	return key;
}

static int
pem_read(struct arena *a, const char *file, struct pem *pem, const char **why_r)
{
	BIO *bio = BIO_new_file(file, "r");
	X509 *x;

	if (bio == NULL) {
		*why_r = tls_why(a);
		return ERR_TLS;
	}
	pem->chain = sk_X509_new_null();
	must(pem->chain != NULL);
	pem->leaf = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	while (pem->leaf != NULL &&
	       (x = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL)
		must(sk_X509_push(pem->chain, x) > 0);
	BIO_free(bio);
	ERR_clear_error();
	pem->key = key_read(file);
	if (pem->leaf != NULL)
		return 0;
	*why_r = "no certificate in it";
	return pem->key != NULL ? ERR_ABSENT : ERR_TLS;
}

/* The file's name with another ending, or in the same folder another name. */
static const char *
name_beside(struct arena *a, const char *file, const char *name)
{
	const char *slash = strrchr(file, '/'), *end = strrchr(file, '.');
	size_t n;

	if (name[0] == '.')
		n = end != NULL && end > slash ? (size_t)(end - file)
					       : strlen(file);
	else
		n = slash != NULL ? (size_t)(slash + 1 - file) : 0;
	return arena_printf(a, "%.*s%s", (int)n, file, name);
}

/* Is this the leaf's key? Takes it over, in any case. */
static bool
key_fits(struct pem *pem, EVP_PKEY *key)
{
	EVP_PKEY_free(pem->key);
	pem->key = key;
	return key != NULL && X509_check_private_key(pem->leaf, key) == 1;
}

/* Finds the leaf's key in the files beside, if it is not in the same. */
static int
key_find(struct arena *a, const char *file, struct pem *pem, const char **why_r)
{
	static const char *const names[] = { ".key", "privkey.pem" };
	bool has_other = pem->key != NULL;

	if (has_other && X509_check_private_key(pem->leaf, pem->key) == 1)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		EVP_PKEY *key = key_read(name_beside(a, file, names[i]));

		if (key_fits(pem, key))
			return 0;
		has_other = has_other || key != NULL;
	}
	ERR_clear_error();
	*why_r = has_other ? "the key is of another certificate"
			   : "no key in it or beside it";
	/* A chain's file, beside the leaf's. */
	return X509_check_ca(pem->leaf) > 0 ? ERR_ABSENT : ERR_TLS;
}

static struct tls_cert *
cert_new(const char *file, SSL_CTX *ctx, X509 *leaf)
{
	struct tls_cert *cert = (struct tls_cert *)xzalloc(sizeof(*cert));

	cert->file = xstrdup(file);
	cert->ctx = ctx;
	cert->leaf = leaf;
	return cert;
}

int
tls_cert_load(struct arena *a, const char *file, struct tls_cert **cert_r,
    const char **why_r)
{
	struct pem pem = { 0 };
	SSL_CTX *ctx = NULL;
	int ret = pem_read(a, file, &pem, why_r);

	if (ret == 0)
		ret = key_find(a, file, &pem, why_r);
	if (ret != 0)
		goto out;
	ctx = tls_ctx_new();
	if (SSL_CTX_use_cert_and_key(ctx, pem.leaf, pem.key, pem.chain, 1) !=
	    1) {
		*why_r = tls_why(a);
		ret = ERR_TLS;
		goto out;
	}

	X509_up_ref(pem.leaf);
	*cert_r = cert_new(file, ctx, pem.leaf);
	(*cert_r)->chain = sk_X509_num(pem.chain);
	(*cert_r)->not_after = not_after_read(pem.leaf);
	names_read(*cert_r);
	ctx = NULL;
out:
	SSL_CTX_free(ctx);
	pem_fini(&pem);
	return ret;
}

struct tls_cert *
tls_cert_dup(const struct tls_cert *cert)
{
	struct tls_cert *dup = cert_new(cert->file, cert->ctx, cert->leaf);

	SSL_CTX_up_ref(dup->ctx);
	X509_up_ref(dup->leaf);
	dup->chain = cert->chain;
	dup->not_after = cert->not_after;
	for (size_t i = 0; i < cert->name_count; i++)
		name_add(dup, cert->names[i]);
	return dup;
}

void
tls_cert_free(struct tls_cert **cert)
{
	struct tls_cert *c = *cert;

	*cert = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->name_count; i++)
		str_free(&c->names[i]);
	xfree(c->names);
	xfree(c->file);
	X509_free(c->leaf);
	SSL_CTX_free(c->ctx);
	xfree(c);
}
