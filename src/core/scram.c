/* SPDX-License-Identifier: MIT */
#include "core/scram.h"

#include "base/err.h"
#include "jid/jid.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

const struct scram_hash scram_hashes[] = {
	{ "SCRAM-SHA-1", "SHA1", 20 },
	{ "SCRAM-SHA-256", "SHA256", 32 },
	{ "SCRAM-SHA-512", "SHA512", 64 },
	{ NULL, NULL, 0 },
};

const struct scram_hash *
scram_hash_find(struct str mechanism)
{
	if (str_has_suffix(mechanism, STR("-PLUS")))
		mechanism.n -= strlen("-PLUS");
	for (const struct scram_hash *h = scram_hashes; h->mechanism; h++)
		if (str_is(mechanism, h->mechanism))
			return h;
	return NULL;
}

/* Fetching a digest is slow, so each is fetched once. They stay. */
static EVP_MD *fetched[ARRAY_LEN(scram_hashes)];

static void
fetch_all(void)
{
	for (size_t i = 0; scram_hashes[i].mechanism != NULL; i++) {
		fetched[i] = EVP_MD_fetch(NULL, scram_hashes[i].digest, NULL);
		must(fetched[i] != NULL);
	}
}

static const EVP_MD *
evp_of(const struct scram_hash *h)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	must(pthread_once(&once, fetch_all) == 0);
	return fetched[h - scram_hashes];
}

/* Of two parts, in a context that was used before or not. */
static void
digest_two(EVP_MD_CTX *ctx, const EVP_MD *md, struct str one, struct str two,
    unsigned char *out)
{
	must(EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
	     EVP_DigestUpdate(ctx, one.p, one.n) == 1 &&
	     EVP_DigestUpdate(ctx, two.p, two.n) == 1 &&
	     EVP_DigestFinal_ex(ctx, out, NULL) == 1);
}

/* RFC 2104. HMAC() of OpenSSL 3 mostly spends its time on looking itself up. */
void
scram_hmac(const struct scram_hash *h, struct str key, struct str text,
    unsigned char *out)
{
	const EVP_MD *md = evp_of(h);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t block = (size_t)EVP_MD_get_block_size(md);
	unsigned char in[SCRAM_BLOCK_MAX] = { 0 }, outer[SCRAM_BLOCK_MAX];

	must(ctx != NULL && block <= sizeof(in));
	if (key.n > block)
		digest_two(ctx, md, key, STR(""), in);
	else if (key.n > 0)
		memcpy(in, key.p, key.n);
	for (size_t i = 0; i < block; i++) {
		outer[i] = in[i] ^ 0x5c;
		in[i] ^= 0x36;
	}
	digest_two(ctx, md, str_mem(in, block), text, out);
	digest_two(ctx, md, str_mem(outer, block), str_mem(out, h->size), out);
	OPENSSL_cleanse(in, sizeof(in));
	OPENSSL_cleanse(outer, sizeof(outer));
	EVP_MD_CTX_free(ctx);
}

void
scram_digest(const struct scram_hash *h, struct str text, unsigned char *out)
{
	must(EVP_Digest(text.p, text.n, out, NULL, evp_of(h), NULL) == 1);
}

static struct str
keep(struct arena *a, const unsigned char *p, size_t n)
{
	return str_dup(a, str_mem(p, n));
}

const struct scram_keys *
scram_keys_find(const struct account_row *row, const struct scram_hash *h)
{
	for (size_t i = 0; row != NULL && i < row->key_count; i++)
		if (str_is(row->keys[i].mechanism, h->mechanism))
			return &row->keys[i];
	return NULL;
}

void
scram_keys_make(struct arena *a, const struct scram_hash *h,
    struct str password, struct str salt, uint32_t iterations,
    struct scram_keys *keys_r)
{
	unsigned char salted[SCRAM_DIGEST_MAX];

	must(PKCS5_PBKDF2_HMAC(password.p, (int)password.n,
		 (const unsigned char *)salt.p, (int)salt.n, (int)iterations,
		 evp_of(h), (int)h->size, salted) == 1);
	keys_r->salt = str_dup(a, salt);
	keys_r->iterations = iterations;
	scram_keys_of(a, h, str_mem(salted, h->size), keys_r);
	OPENSSL_cleanse(salted, sizeof(salted));
}

void
scram_keys_of(struct arena *a, const struct scram_hash *h, struct str salted,
    struct scram_keys *keys_r)
{
	unsigned char key[SCRAM_DIGEST_MAX], stored[SCRAM_DIGEST_MAX];

	keys_r->mechanism = str_c(h->mechanism);
	scram_hmac(h, salted, STR("Client Key"), key);
	scram_digest(h, str_mem(key, h->size), stored);
	keys_r->stored_key = keep(a, stored, h->size);
	scram_hmac(h, salted, STR("Server Key"), key);
	keys_r->server_key = keep(a, key, h->size);
	OPENSSL_cleanse(key, sizeof(key));
}

/*
 * "=2C" is a comma and "=3D" an equals sign; any other "=" is an error, and so
 * are more bytes than `max`.
 */
static int
unescape_name(struct arena *a, struct str name, size_t max, struct str *name_r)
{
	size_t n = 0;
	char *out;

	if (str_is_empty(name) || name.n > 3 * max || !str_is_utf8(name))
		return ERR_INVALID;
	out = arena_bytes(a, name.n);
	for (size_t i = 0; i < name.n; i++) {
		struct str code = str_sub(name, i, 3);

		if (name.p[i] == '\0')
			return ERR_INVALID;
		if (name.p[i] != '=') {
			out[n++] = name.p[i];
			continue;
		}
		if (str_is(code, "=2C"))
			out[n++] = ',';
		else if (str_is(code, "=3D"))
			out[n++] = '=';
		else
			return ERR_INVALID;
		i += 2;
	}
	*name_r = str_mem(out, n);
	return n <= max ? 0 : ERR_INVALID;
}

/* Takes "x=value" off `*rest`; none if it does not begin so. */
static struct str
take_attr(struct str *rest, char letter)
{
	struct str part;

	if (rest->n < 2 || rest->p[0] != letter || rest->p[1] != '=')
		return STR_NONE;
	part = str_cut(rest, ',');
	return str_skip(part, 2);
}

/* Printable ASCII without comma (RFC 5802, section 7). */
static bool
is_nonce(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ',')
			return false;
	return s.n > 0 && s.n <= 256;
}

/* The GS2 header: flag, authorization identity, each ended by a comma. */
static int
parse_gs2(struct arena *a, struct str *rest, struct scram_first *first)
{
	const char *begin = rest->p;
	struct str flag = str_cut(rest, ','), authzid;

	if (str_is_none(*rest) || flag.n == 0)
		return ERR_INVALID;
	first->binding = flag.p[0];
	if (flag.p[0] == 'p') {
		if (flag.n < 3 || flag.p[1] != '=')
			return ERR_INVALID;
		first->binding_type = str_skip(flag, 2);
	} else if (flag.n != 1 || (flag.p[0] != 'n' && flag.p[0] != 'y')) {
		return ERR_INVALID;
	}
	authzid = str_cut(rest, ',');
	if (str_is_none(*rest))
		return ERR_INVALID;
	first->gs2_header = str_mem(begin, (size_t)(rest->p - begin));
	if (authzid.n == 0)
		return 0;
	if (!str_has_prefix(authzid, STR("a=")))
		return ERR_INVALID;
	return unescape_name(
	    a, str_skip(authzid, 2), 2 * JID_PART_MAX + 1, &first->authzid);
}

int
scram_parse_first(
    struct arena *a, struct str message, struct scram_first *first_r)
{
	struct str rest = message, user;
	int err;

	memset(first_r, 0, sizeof(*first_r));
	if (message.n > SCRAM_FIRST_MAX)
		return ERR_INVALID;
	err = parse_gs2(a, &rest, first_r);
	if (err < 0)
		return err;
	/* m= is for extensions that must be understood: we have none. */
	first_r->bare = rest;
	user = take_attr(&rest, 'n');
	if (str_is_none(user) || str_is_none(rest))
		return ERR_INVALID;
	err = unescape_name(a, user, JID_PART_MAX, &first_r->user);
	if (err < 0)
		return err;
	first_r->nonce = take_attr(&rest, 'r');
	return is_nonce(first_r->nonce) ? 0 : ERR_INVALID;
}

int
scram_parse_final(
    struct arena *a, struct str message, struct scram_final *final_r)
{
	struct str rest = message, binding, proof = STR_NONE;

	memset(final_r, 0, sizeof(*final_r));
	binding = take_attr(&rest, 'c');
	if (str_is_empty(binding) ||
	    !str_unbase64(a, binding, &final_r->binding))
		return ERR_INVALID;
	final_r->nonce = take_attr(&rest, 'r');
	if (!is_nonce(final_r->nonce))
		return ERR_INVALID;
	/* Extensions may stand between nonce and proof; the proof is last. */
	while (rest.n > 0) {
		const char *at = rest.p;

		proof = take_attr(&rest, 'p');
		if (!str_is_none(proof)) {
			final_r->without_proof =
			    str_mem(message.p, (size_t)(at - message.p) - 1);
			break;
		}
		str_cut(&rest, ',');
	}
	if (str_is_empty(proof) || !str_is_none(rest) ||
	    !str_unbase64(a, proof, &final_r->proof))
		return ERR_INVALID;
	return 0;
}

bool
scram_verify(struct arena *a, const struct scram_hash *h,
    const struct scram_keys *keys, struct str auth_message, struct str proof,
    struct str *signature_r)
{
	unsigned char sign[SCRAM_DIGEST_MAX], key[SCRAM_DIGEST_MAX],
	    stored[SCRAM_DIGEST_MAX];

	if (proof.n != h->size || keys->stored_key.n != h->size ||
	    keys->server_key.n != h->size)
		return false;
	scram_hmac(h, keys->stored_key, auth_message, sign);
	for (size_t i = 0; i < h->size; i++)
		key[i] = sign[i] ^ (unsigned char)proof.p[i];
	scram_digest(h, str_mem(key, h->size), stored);
	OPENSSL_cleanse(key, sizeof(key));
	scram_hmac(h, keys->server_key, auth_message, sign);
	*signature_r = keep(a, sign, h->size);
	return str_eq_secret(str_mem(stored, h->size), keys->stored_key);
}

bool
scram_password_is(
    struct arena *a, const struct scram_keys *keys, struct str password)
{
	const struct scram_hash *h = scram_hash_find(keys->mechanism);
	struct scram_keys made;

	if (h == NULL || keys->iterations == 0 ||
	    keys->iterations > SCRAM_ITERATIONS_MAX)
		return false;
	scram_keys_make(a, h, password, keys->salt, keys->iterations, &made);
	return str_eq_secret(made.stored_key, keys->stored_key);
}
