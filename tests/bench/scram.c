/* SPDX-License-Identifier: MIT */
/* SCRAM-SHA-1 and -256 as a client. Salted passwords are made once each. */
#include "load.h"

#include "base/arena.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#define HASH_MAX 32
/* One for each salt: as many as there are accounts, on some servers. */
#define CACHE_SLOTS (1u << 17)

struct salted {
	char key[160]; /* hash, rounds and salt; empty: a free slot */
	unsigned char bytes[HASH_MAX];
};

struct scram {
	const EVP_MD *md;
	size_t len; /* of its hash */
	char nonce[40];
	char first[160]; /* without the GS2 header */
	unsigned char signature[HASH_MAX];
};

static struct salted *cache;
static bool cache_is_new;

static struct salted *
cache_slot(const char *key)
{
	uint64_t i = str_hash(str_c(key));

	if (cache == NULL)
		cache = xzalloc(CACHE_SLOTS * sizeof(*cache));
	for (unsigned tries = 0; tries < CACHE_SLOTS; tries++, i++) {
		struct salted *s = &cache[i % CACHE_SLOTS];

		if (s->key[0] == '\0' || strcmp(s->key, key) == 0)
			return s;
	}
	die("more than %u salts", CACHE_SLOTS);
}

void
scram_cache_load(void)
{
	FILE *f = opt.cache != NULL ? fopen(opt.cache, "r") : NULL;
	char key[160], hex[80];

	if (f == NULL)
		return;
	while (fscanf(f, "%159s %79s", key, hex) == 2) {
		struct salted *s = cache_slot(key);

		if (strlen(hex) != HASH_MAX * 2)
			continue;
		snprintf(s->key, sizeof(s->key), "%s", key);
		for (int i = 0; i < HASH_MAX; i++) {
			char two[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

			s->bytes[i] = (unsigned char)strtoul(two, NULL, 16);
		}
	}
	fclose(f);
}

void
scram_cache_save(void)
{
	FILE *f;

	if (opt.cache == NULL || !cache_is_new)
		return;
	f = fopen(opt.cache, "w");
	if (f == NULL)
		die("%s: cannot write it", opt.cache);
	for (unsigned i = 0; i < CACHE_SLOTS; i++) {
		const struct salted *s = &cache[i];

		if (s->key[0] == '\0')
			continue;
		fprintf(f, "%s ", s->key);
		for (int j = 0; j < HASH_MAX; j++)
			fprintf(f, "%02x", s->bytes[j]);
		fputc('\n', f);
	}
	fclose(f);
}

static void
hmac(const struct scram *s, const unsigned char *key, struct str text,
    unsigned char *out_r)
{
	unsigned n;

	HMAC(s->md, key, (int)s->len, (const unsigned char *)text.p, text.n,
	    out_r, &n);
}

/* PBKDF2, unless it is known. */
static const unsigned char *
salted_password(const struct scram *s, struct str salt64, int rounds)
{
	struct arena *a;
	struct salted *slot;
	struct str salt;
	char key[160];

	snprintf(key, sizeof(key), "%zu/%d/" STR_FMT, s->len, rounds,
	    STR_ARG(salt64));
	slot = cache_slot(key);
	if (slot->key[0] != '\0')
		return slot->bytes;
	a = arena_new(0);
	if (!str_unbase64(a, salt64, &salt))
		die("a salt that is no Base64");
	PKCS5_PBKDF2_HMAC(opt.pass, (int)strlen(opt.pass),
	    (const unsigned char *)salt.p, (int)salt.n, rounds, s->md,
	    (int)s->len, slot->bytes);
	arena_free(&a);
	memcpy(slot->key, key, sizeof(key));
	cache_is_new = true;
	return slot->bytes;
}

struct scram *
scram_begin(const char *mechanism, int index, struct buf *b)
{
	struct scram *s = xzalloc(sizeof(*s));
	struct arena *a = arena_new(0);
	unsigned char noise[18];
	bool is_256 = strcmp(mechanism, "SCRAM-SHA-256") == 0;

	s->md = is_256 ? EVP_sha256() : EVP_sha1();
	s->len = is_256 ? 32 : 20;
	RAND_bytes(noise, sizeof(noise));
	snprintf(s->nonce, sizeof(s->nonce), "%s",
	    str_base64(a, str_mem(noise, sizeof(noise))).p);
	snprintf(s->first, sizeof(s->first), "n=%s%d,r=%s", opt.prefix, index,
	    s->nonce);
	buf_add_str(b, str_base64(a, str_printf(a, "n,,%s", s->first)));
	arena_free(&a);
	return s;
}

/* Takes nonce, salt and rounds from "r=...,s=...,i=...". */
static bool
first_parse(
    struct str text, struct str *nonce_r, struct str *salt_r, int *rounds_r)
{
	uint64_t rounds = 0;

	*nonce_r = *salt_r = STR_NONE;
	while (!str_is_none(text)) {
		struct str field = str_cut(&text, ','), value;

		if (field.n < 2 || field.p[1] != '=')
			return false;
		value = str_skip(field, 2);
		if (field.p[0] == 'r')
			*nonce_r = value;
		else if (field.p[0] == 's')
			*salt_r = value;
		else if (field.p[0] == 'i' && !str_to_u64(value, &rounds))
			return false;
	}
	*rounds_r = (int)rounds;
	return nonce_r->n > 0 && salt_r->n > 0 && salt_r->n < 100 &&
	       rounds > 0 && rounds <= 1000000;
}

/* The proof, as bytes; and the signature that the server must answer. */
static void
scram_prove(struct scram *s, const unsigned char *salted, struct str auth,
    unsigned char *proof_r)
{
	unsigned char key[HASH_MAX], stored[HASH_MAX], server[HASH_MAX];
	unsigned n;

	hmac(s, salted, STR("Client Key"), key);
	EVP_Digest(key, s->len, stored, &n, s->md, NULL);
	hmac(s, stored, auth, proof_r);
	for (size_t i = 0; i < s->len; i++)
		proof_r[i] ^= key[i];
	hmac(s, salted, STR("Server Key"), server);
	hmac(s, server, auth, s->signature);
}

bool
scram_answer(struct scram *s, struct str challenge, struct buf *b)
{
	struct arena *a = arena_new(0);
	struct str text, nonce, salt, bare, auth;
	unsigned char proof[HASH_MAX];
	int rounds;
	bool is_good = str_unbase64(a, challenge, &text) &&
		       first_parse(text, &nonce, &salt, &rounds) &&
		       str_has_prefix(nonce, str_c(s->nonce));

	if (is_good) {
		bare = str_printf(a, "c=biws,r=" STR_FMT, STR_ARG(nonce));
		auth = str_printf(a, "%s," STR_FMT "," STR_FMT, s->first,
		    STR_ARG(text), STR_ARG(bare));
		scram_prove(s, salted_password(s, salt, rounds), auth, proof);
		buf_add_str(
		    b, str_base64(
			   a, str_printf(a, STR_FMT ",p=%s", STR_ARG(bare),
				  str_base64(a, str_mem(proof, s->len)).p)));
	}
	arena_free(&a);
	return is_good;
}

bool
scram_is_final(const struct scram *s, struct str final)
{
	struct arena *a = arena_new(0);
	struct str text, signature;
	bool is_good = str_unbase64(a, final, &text) &&
		       str_has_prefix(text, STR("v=")) &&
		       str_unbase64(a, str_skip(text, 2), &signature) &&
		       str_eq(signature, str_mem(s->signature, s->len));

	arena_free(&a);
	return is_good;
}

void
scram_free(struct scram **s)
{
	xfree(*s);
	*s = NULL;
}
