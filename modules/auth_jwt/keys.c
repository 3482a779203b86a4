/* SPDX-License-Identifier: MIT */
/* Keys from files: PEM, JWK and JWK sets. */
#include "jwt.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdio.h>

#define FILE_MAX 65536

bool
jwt_unbase64(struct arena *a, struct str text, struct str *bytes_r)
{
	char *p = arena_bytes(a, text.n + 4);
	size_t n = text.n;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '+' || c == '/' || c == '=')
			return false;
		p[i] = c == '-' ? '+' : c == '_' ? '/' : c;
	}
	while (n % 4 != 0)
		p[n++] = '=';
	return str_unbase64(a, str_mem(p, n), bytes_r);
}

static bool
file_read(struct arena *a, const char *path, struct str *text_r)
{
	FILE *f = fopen(path, "re");
	char *p = arena_bytes(a, FILE_MAX + 1);
	size_t n;

	if (f == NULL)
		return false;
	n = fread(p, 1, FILE_MAX + 1, f);
	fclose(f);
	*text_r = str_mem(p, n);
	return n <= FILE_MAX;
}

/* ---- JWK --------------------------------------------------------------- */

static struct str
member(const json_t *jwk, const char *name)
{
	const json_t *v = json_object_get(jwk, name);

	return json_is_string(v)
		   ? str_mem(json_string_value(v), json_string_length(v))
		   : STR_NONE;
}

static bool
bytes_of(struct arena *a, const json_t *jwk, const char *name, struct str *r)
{
	struct str text = member(jwk, name);

	return text.n > 0 && jwt_unbase64(a, text, r) && r->n > 0;
}

static EVP_PKEY *
from_params(const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return pkey;
}

static EVP_PKEY *
rsa_key(struct arena *a, const json_t *jwk)
{
	OSSL_PARAM_BLD *bld;
	EVP_PKEY *pkey = NULL;
	struct str n, e;
	BIGNUM *bn, *be;

	if (!bytes_of(a, jwk, "n", &n) || !bytes_of(a, jwk, "e", &e))
		return NULL;
	bld = OSSL_PARAM_BLD_new();
	bn = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
	be = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
	if (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) == 1)
		pkey = from_params("RSA", bld);
	OSSL_PARAM_BLD_free(bld);
	BN_free(bn);
	BN_free(be);
	return pkey;
}

static EVP_PKEY *
ec_key(struct arena *a, const json_t *jwk)
{
	static const struct {
		const char *crv, *group;
		size_t size;
	} curves[] = {
		{ "P-256", "prime256v1", 32 },
		{ "P-384", "secp384r1", 48 },
		{ "P-521", "secp521r1", 66 },
	};
	struct str crv = member(jwk, "crv"), x, y;
	unsigned char point[1 + 2 * 66] = { 4 };
	OSSL_PARAM_BLD *bld;
	EVP_PKEY *pkey = NULL;
	size_t i = 0;

	while (i < ARRAY_LEN(curves) && !str_is(crv, curves[i].crv))
		i++;
	if (i == ARRAY_LEN(curves) || !bytes_of(a, jwk, "x", &x) ||
	    !bytes_of(a, jwk, "y", &y) || x.n != curves[i].size ||
	    y.n != curves[i].size)
		return NULL;
	memcpy(point + 1, x.p, x.n);
	memcpy(point + 1 + x.n, y.p, y.n);
	bld = OSSL_PARAM_BLD_new();
	if (OSSL_PARAM_BLD_push_utf8_string(
		bld, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(
		bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * x.n) == 1)
		pkey = from_params("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

static EVP_PKEY *
okp_key(struct arena *a, const json_t *jwk)
{
	struct str x;

	if (!str_is(member(jwk, "crv"), "Ed25519") ||
	    !bytes_of(a, jwk, "x", &x) || x.n != 32)
		return NULL;
	return EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, x.n);
}

/* One that is of no use here (for encryption, of another kind) is left out. */
static void
jwk_add(struct arena *a, const json_t *jwk, struct jwt_keys *keys)
{
	struct jwt_key *k = &keys->key[keys->count];
	struct str kty = member(jwk, "kty"), use = member(jwk, "use");

	if (keys->count == JWT_KEYS_MAX ||
	    (!str_is_none(use) && !str_is(use, "sig")))
		return;
	*k = (struct jwt_key){ .secret = STR_NONE };
	if (str_is(kty, "RSA"))
		k->pkey = rsa_key(a, jwk);
	else if (str_is(kty, "EC"))
		k->pkey = ec_key(a, jwk);
	else if (str_is(kty, "OKP"))
		k->pkey = okp_key(a, jwk);
	else if (str_is(kty, "oct") && bytes_of(a, jwk, "k", &k->secret) &&
		 k->secret.n < JWT_SECRET_MIN)
		k->secret = STR_NONE;
	if (k->pkey == NULL && str_is_none(k->secret))
		return;
	k->kid = str_dup(a, member(jwk, "kid"));
	k->alg = str_dup(a, member(jwk, "alg"));
	if (str_is_none(member(jwk, "kid")))
		k->kid = STR_NONE;
	if (str_is_none(member(jwk, "alg")))
		k->alg = STR_NONE;
	keys->count++;
}

static void
json_add(struct arena *a, const json_t *root, struct jwt_keys *keys)
{
	const json_t *set = json_object_get(root, "keys"), *jwk;
	size_t i;

	if (!json_is_array(set)) {
		jwk_add(a, root, keys);
		return;
	}
	json_array_foreach(set, i, jwk)
	{
		jwk_add(a, jwk, keys);
	}
}

/* ---- PEM --------------------------------------------------------------- */

static void
pem_add(struct str text, struct jwt_keys *keys)
{
	BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
	char *name, *header;
	unsigned char *data;
	long n;

	while (keys->count < JWT_KEYS_MAX &&
	       PEM_read_bio(bio, &name, &header, &data, &n) == 1) {
		const unsigned char *p = data;
		EVP_PKEY *pkey = NULL;

		if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
			pkey = d2i_PUBKEY(NULL, &p, n);
		} else if (strcmp(name, PEM_STRING_X509) == 0) {
			X509 *cert = d2i_X509(NULL, &p, n);

			pkey = cert != NULL ? X509_get_pubkey(cert) : NULL;
			X509_free(cert);
		}
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(data);
		if (pkey == NULL)
			continue;
		keys->key[keys->count++] =
		    (struct jwt_key){ .pkey = pkey, .secret = STR_NONE };
	}
	BIO_free(bio);
}

bool
jwt_keys_read(struct arena *a, const char *path, struct jwt_keys *keys,
    const char **why_r)
{
	size_t before = keys->count;
	struct str text;
	json_t *root;

	if (!file_read(a, path, &text)) {
		*why_r = "can't be read, or is larger than 64 KiB";
		return false;
	}
	if (str_has_prefix(str_trim(text), STR("{"))) {
		root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
		json_add(a, root, keys);
		json_decref(root);
	} else {
		pem_add(text, keys);
	}
	*why_r = "has no public key, and no secret of 32 bytes or more";
	return keys->count > before;
}

void
jwt_keys_free(struct jwt_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		EVP_PKEY_free(keys->key[i].pkey);
	keys->count = 0;
}
