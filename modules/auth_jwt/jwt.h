/* SPDX-License-Identifier: MIT */
/* Keys and signatures of JSON Web Tokens (RFC 7515, 7517, 7518, 8037). */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include "core/module.h"

#include <jansson.h>
#include <openssl/evp.h>

#define JWT_KEYS_MAX 32
#define JWT_SECRET_MIN 32 /* bytes, as RFC 7518 section 3.2 has it */

/* Either a public key or a secret, never both. */
struct jwt_key {
	EVP_PKEY *pkey;
	struct str secret;
	struct str kid; /* or none */
	struct str alg; /* the only one it is for, or none */
};

struct jwt_keys {
	struct jwt_key key[JWT_KEYS_MAX];
	size_t count;
};

/*
 * Adds the keys of a file: public keys or certificates as PEM, or a JWK or a
 * set of them. False with *why_r (static) if there is none that can be used.
 */
bool jwt_keys_read(struct arena *a, const char *path, struct jwt_keys *keys,
    const char **why_r);
void jwt_keys_free(struct jwt_keys *keys);

/* base64url without padding, nothing else. */
bool jwt_unbase64(struct arena *a, struct str text, struct str *bytes_r);

/*
 * Is that the signature? An algorithm goes with keys of its own kind alone, so
 * that a public key is never taken for a secret. "none" is no algorithm.
 */
bool jwt_verify(struct arena *a, const struct jwt_key *key, struct str alg,
    struct str text, struct str signature);
bool jwt_knows(struct str alg);

#endif
