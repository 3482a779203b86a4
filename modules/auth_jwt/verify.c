/* SPDX-License-Identifier: MIT */
/* Signatures: which key an algorithm takes, and whether it fits. */
#include "jwt.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

enum kind { HS, RS, PS, ES, ED };

static const struct algorithm {
	const char *name;
	enum kind kind;
	const char *digest;
	const char *group; /* ES: of its curve */
	size_t half;	   /* ES: bytes of r and of s */
} algorithms[] = {
	{ "HS256", HS, "SHA256", NULL, 0 },
	{ "HS384", HS, "SHA384", NULL, 0 },
	{ "HS512", HS, "SHA512", NULL, 0 },
	{ "RS256", RS, "SHA256", NULL, 0 },
	{ "RS384", RS, "SHA384", NULL, 0 },
	{ "RS512", RS, "SHA512", NULL, 0 },
	{ "PS256", PS, "SHA256", NULL, 0 },
	{ "PS384", PS, "SHA384", NULL, 0 },
	{ "PS512", PS, "SHA512", NULL, 0 },
	{ "ES256", ES, "SHA256", "prime256v1", 32 },
	{ "ES384", ES, "SHA384", "secp384r1", 48 },
	{ "ES512", ES, "SHA512", "secp521r1", 66 },
	{ "EdDSA", ED, NULL, NULL, 0 },
};

static const struct algorithm *
find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
		if (str_is(name, algorithms[i].name))
			return &algorithms[i];
	return NULL;
}

bool
jwt_knows(struct str alg)
{
	return find(alg) != NULL;
}

static bool
fits(const struct algorithm *al, const struct jwt_key *k)
{
	char group[64] = "";

	if (!str_is_none(k->alg) && !str_is(k->alg, al->name))
		return false;
	if (al->kind == HS || k->pkey == NULL)
		return al->kind == HS && k->pkey == NULL;
	switch (al->kind) {
	case RS:
	case PS:
		return EVP_PKEY_get_base_id(k->pkey) == EVP_PKEY_RSA &&
		       EVP_PKEY_get_bits(k->pkey) >= 2048;
	case ES:
		return EVP_PKEY_get_base_id(k->pkey) == EVP_PKEY_EC &&
		       EVP_PKEY_get_group_name(
			   k->pkey, group, sizeof(group), NULL) == 1 &&
		       strcmp(group, al->group) == 0;
	case ED:
		return EVP_PKEY_get_base_id(k->pkey) == EVP_PKEY_ED25519;
	default:
		return false;
	}
}

static bool
verify_secret(const struct algorithm *al, struct str secret, struct str text,
    struct str signature)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	HMAC(EVP_get_digestbyname(al->digest), secret.p, (int)secret.n,
	    (const unsigned char *)text.p, text.n, mac, &n);
	return str_eq_secret(str_mem(mac, n), signature);
}

/* r and s side by side (RFC 7518 section 3.4) as OpenSSL wants them. */
static bool
to_der(struct arena *a, const struct algorithm *al, struct str *signature)
{
	const unsigned char *p = (const unsigned char *)signature->p;
	ECDSA_SIG *sig;
	unsigned char *der = NULL;
	int n = -1;

	if (signature->n != 2 * al->half)
		return false;
	sig = ECDSA_SIG_new();
	if (ECDSA_SIG_set0(sig, BN_bin2bn(p, (int)al->half, NULL),
		BN_bin2bn(p + al->half, (int)al->half, NULL)) == 1)
		n = i2d_ECDSA_SIG(sig, &der);
	if (n > 0)
		*signature = str_dup(a, str_mem(der, (size_t)n));
	OPENSSL_free(der);
	ECDSA_SIG_free(sig);
	return n > 0;
}

static bool
verify_public(const struct algorithm *al, EVP_PKEY *pkey, struct str text,
    struct str signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p = NULL;
	bool is_right =
	    ctx != NULL && EVP_DigestVerifyInit_ex(ctx, &p, al->digest, NULL,
			       NULL, pkey, NULL) == 1;

	if (is_right && al->kind == PS)
		is_right = EVP_PKEY_CTX_set_rsa_padding(
			       p, RSA_PKCS1_PSS_PADDING) == 1 &&
			   EVP_PKEY_CTX_set_rsa_pss_saltlen(
			       p, RSA_PSS_SALTLEN_DIGEST) == 1;
	is_right = is_right &&
		   EVP_DigestVerify(ctx, (const unsigned char *)signature.p,
		       signature.n, (const unsigned char *)text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	return is_right;
}

bool
jwt_verify(struct arena *a, const struct jwt_key *key, struct str alg,
    struct str text, struct str signature)
{
	const struct algorithm *al = find(alg);

	if (al == NULL || !fits(al, key) || signature.n == 0)
		return false;
	if (al->kind == HS)
		return verify_secret(al, key->secret, text, signature);
	if (al->kind == ES && !to_der(a, al, &signature))
		return false;
	return verify_public(al, key->pkey, text, signature);
}
