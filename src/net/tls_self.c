/* SPDX-License-Identifier: MIT */
/* Certificates that we sign ourselves, for hosts that were given none. */
#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "net/addr.h"
#include "net/tls_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#define VALID_DAYS 3650

static bool
names_has(const struct tls_cert *cert, struct str name)
{
	for (size_t i = 0; i < cert->name_count; i++)
		if (str_eq(cert->names[i], name))
			return true;
	return false;
}

/* Is it still good for just these names? */
static bool
cert_serves(const struct tls_cert *cert, const struct str *names, size_t count)
{
	char name[TLS_NAME_MAX];

	if (cert->not_after < clock_real() / 1000 || cert->name_count != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!tls_name(names[i], name) || !names_has(cert, str_c(name)))
			return false;
	return true;
}

/* Making ------------------------------------------------------------------- */

static void
alt_name_add(GENERAL_NAMES *alts, const char *name)
{
	GENERAL_NAME *gn = GENERAL_NAME_new();
	ASN1_STRING *s;
	struct addr ip;

	must(gn != NULL);
	if (addr_parse(str_c(name), 0, &ip) == 0) {
		s = ASN1_OCTET_STRING_new();
		if (ip.ss.sa.sa_family == AF_INET)
			ASN1_STRING_set(s, &ip.ss.in.sin_addr, 4);
		else
			ASN1_STRING_set(s, &ip.ss.in6.sin6_addr, 16);
		GENERAL_NAME_set0_value(gn, GEN_IPADD, s);
	} else {
		s = ASN1_IA5STRING_new();
		ASN1_STRING_set(s, name, -1);
		GENERAL_NAME_set0_value(gn, GEN_DNS, s);
	}
	must(sk_GENERAL_NAME_push(alts, gn) > 0);
}

static int
names_set(X509 *x, const struct str *names, size_t count, const char **why_r)
{
	GENERAL_NAMES *alts = sk_GENERAL_NAME_new_null();
	X509_NAME *subject = X509_get_subject_name(x);
	char name[TLS_NAME_MAX];
	int ret = 0;

	must(alts != NULL);
	for (size_t i = 0; i < count && ret == 0; i++) {
		if (!tls_name(names[i], name)) {
			*why_r = "a host's name fits in no certificate";
			ret = ERR_INVALID;
			break;
		}
		alt_name_add(alts, name);
		/* Longer ones do not fit there, and nobody looks. */
		if (i == 0 && strlen(name) <= 64)
			X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
			    (const unsigned char *)name, -1, -1, 0);
	}
	if (ret == 0)
		must(X509_add1_ext_i2d(x, NID_subject_alt_name, alts, 0, 0) ==
		     1);
	sk_GENERAL_NAME_pop_free(alts, GENERAL_NAME_free);
	return ret;
}

/* A leaf: browsers and clients would not take a CA for a server. */
static void
leaf_only(X509 *x)
{
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();

	must(bc != NULL);
	bc->ca = 0;
	must(X509_add1_ext_i2d(x, NID_basic_constraints, bc, 1, 0) == 1);
	BASIC_CONSTRAINTS_free(bc);
}

static int
cert_make(EVP_PKEY *key, const struct str *names, size_t count, X509 **x_r,
    const char **why_r)
{
	X509 *x = X509_new();
	uint64_t serial = random_u64() >> 1 | 1;
	int ret;

	must(x != NULL);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial);
	/* A day early, for clients whose clock is late. */
	X509_time_adj_ex(X509_getm_notBefore(x), -1, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(x), VALID_DAYS, 0, NULL);
	ret = names_set(x, names, count, why_r);
	if (ret != 0) {
		X509_free(x);
		return ret;
	}
	X509_set_issuer_name(x, X509_get_subject_name(x));
	leaf_only(x);
	X509_set_pubkey(x, key);
	must(X509_sign(x, key, EVP_sha256()) > 0);
	*x_r = x;
	return 0;
}

/* Beside first, then in place: never half a file, never readable by all. */
static int
pem_write(struct arena *a, const char *path, X509 *x, EVP_PKEY *key)
{
	const char *temp = arena_printf(a, "%s.new", path);
	FILE *f;
	int fd, ret = 0;

	unlink(temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	f = fdopen(fd, "w");
	must(f != NULL);
	if (PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    PEM_write_X509(f, x) != 1 || fflush(f) != 0 || fsync(fd) != 0)
		ret = errno != 0 ? -errno : -EIO;
	if (fclose(f) != 0 && ret == 0)
		ret = -errno;
	if (ret == 0 && rename(temp, path) != 0)
		ret = -errno;
	if (ret != 0)
		unlink(temp);
	return ret;
}

static int
cert_renew(struct arena *a, const char *path, const struct str *names,
    size_t count, const char **why_r)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = NULL;
	int ret;

	must(key != NULL);
	ret = cert_make(key, names, count, &x, why_r);
	if (ret == 0) {
		ret = pem_write(a, path, x, key);
		if (ret != 0)
			*why_r = arena_printf(a, "%s: %s", path, err_text(ret));
	}
	X509_free(x);
	EVP_PKEY_free(key);
	return ret;
}

int
tls_certs_self_signed(struct arena *a, const char *path,
    const struct str *names, size_t count, struct tls_certs **certs_r,
    const char **why_r)
{
	struct tls_cert *cert = NULL, **certs;
	const char *why;
	int ret = tls_cert_load(a, path, &cert, &why);

	if (ret != 0 || !cert_serves(cert, names, count)) {
		tls_cert_free(&cert);
		ret = cert_renew(a, path, names, count, why_r);
		if (ret != 0)
			return ret;
		ret = tls_cert_load(a, path, &cert, why_r);
		if (ret != 0)
			return ERR_TLS;
	}
	certs = (struct tls_cert **)xmalloc(sizeof(struct tls_cert *));
	certs[0] = cert;
	*certs_r = tls_certs_new(certs, 1);
	return 0;
}
