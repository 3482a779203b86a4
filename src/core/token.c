/* SPDX-License-Identifier: MIT */
/*
 * Tokens (XEP-0484), by the HT mechanisms (draft-schmaus-kitten-sasl-ht): the
 * client shows a hash, keyed by the token, of the channel that it comes by.
 * Each client has one that it uses, and perhaps a newer one; the older is good
 * until the newer has been used once.
 */
#include "core/client.h"

#include "base/clock.h"
#include "base/random.h"
#include "core/conf.h"
#include "core/host.h"
#include "core/scram.h"
#include "core/transport.h"

#include <openssl/crypto.h>

#define SERIAL_BYTES 16
#define HASH_BYTES 32
/* A token that was used for a day is replaced. */
#define ROTATE_MS DAYS(1)

static const struct {
	struct str mechanism;
	bool is_bound;
	enum tls_binding kind;
} kinds[] = {
	{ STR_INIT("HT-SHA-256-EXPR"), true, TLS_EXPORTER },
	{ STR_INIT("HT-SHA-256-ENDP"), true, TLS_SERVER_END_POINT },
	{ STR_INIT("HT-SHA-256-UNIQ"), true, TLS_UNIQUE },
	{ STR_INIT("HT-SHA-256-NONE"), false, TLS_EXPORTER },
};

/* tls-unique is undefined in TLS 1.3. */
static bool
is_usable(const struct transport *t, size_t i)
{
	struct conn *c = t->ops->conn(t);
	const char *version = c != NULL ? conn_tls_version(c) : NULL;

	if (!kinds[i].is_bound)
		return true;
	if (kinds[i].kind == TLS_UNIQUE &&
	    (version == NULL || strcmp(version, "TLSv1.2") != 0))
		return false;
	return t->ops->binding(t, kinds[i].kind, NULL, NULL) == 0;
}

size_t
token_offer(const struct transport *t, struct str *names_r, size_t max)
{
	size_t count = 0;

	if (conf_now()->auth.token_lifetime_ms == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds) && count < max; i++)
		if (is_usable(t, i))
			names_r[count++] = kinds[i].mechanism;
	return count;
}

bool
token_binding(const struct transport *t, struct str mechanism, struct arena *a,
    struct str *bytes_r)
{
	*bytes_r = STR("");
	if (conf_now()->auth.token_lifetime_ms == 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!str_eq(kinds[i].mechanism, mechanism) || !is_usable(t, i))
			continue;
		return !kinds[i].is_bound ||
		       t->ops->binding(t, kinds[i].kind, a, bytes_r) == 0;
	}
	return false;
}

static void
hmac_text(struct str key, struct str text, unsigned char *out)
{
	scram_hmac(scram_hash_find(STR("SCRAM-SHA-256")), key, text, out);
}

/* The text that the client has. */
static struct str
token_text(const struct account *acct, const struct client *c,
    const struct token *t, struct arena *a)
{
	const struct host *h = acct->host;
	unsigned char mac[SCRAM_DIGEST_MAX];
	struct str from =
	    str_printf(a, "token " STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT,
		STR_ARG(acct->jid.bare), STR_ARG(c->id), STR_ARG(t->mechanism),
		STR_ARG(t->serial));

	hmac_text(str_mem(h->secret, sizeof(h->secret)), from, mac);
	return str_base64(a, str_mem(mac, HASH_BYTES));
}

static void
token_end(struct token *t)
{
	str_free(&t->serial);
	str_free(&t->mechanism);
	*t = (struct token){ 0 };
}

struct str
token_make(struct account *acct, struct client *c, struct str mechanism,
    struct arena *a)
{
	struct token *t = &c->fresh;

	token_end(t);
	t->serial = str_heap(random_token(a, SERIAL_BYTES));
	t->mechanism = str_heap(mechanism);
	t->issued = clock_real();
	t->expires = t->issued + (int64_t)conf_now()->auth.token_lifetime_ms;
	return token_text(acct, c, t, a);
}

bool
token_is_due(const struct client *c)
{
	const struct token *t = &c->token;
	int64_t now = clock_real();

	return !str_is_none(t->serial) &&
	       (now - t->issued >= (int64_t)ROTATE_MS ||
		   t->expires - now < (t->expires - t->issued) / 2);
}

/* HMAC(token, who || binding). */
static struct str
hash_of(struct str token, const char *who, struct str binding, struct arena *a)
{
	unsigned char mac[SCRAM_DIGEST_MAX];
	size_t n = strlen(who);
	char *text = arena_bytes(a, n + binding.n + 1);

	memcpy(text, who, n);
	if (binding.n > 0)
		memcpy(text + n, binding.p, binding.n);
	hmac_text(token, str_mem(text, n + binding.n), mac);
	return str_dup(a, str_mem(mac, HASH_BYTES));
}

/* Is it this token? Then *text_r is what the client has of it. */
static bool
is_token(const struct account *acct, const struct client *c,
    const struct token *t, const struct token_proof *proof, struct arena *a,
    struct str *text_r)
{
	if (str_is_none(t->serial))
		return false;
	*text_r = token_text(acct, c, t, a);
	return str_eq_secret(
	    hash_of(*text_r, "Initiator", proof->binding, a), proof->hash);
}

static enum token_result
judge(
    const struct token *t, const struct token_proof *proof, const char **why_r)
{
	if (!str_eq(t->mechanism, proof->mechanism)) {
		*why_r = "a token for another mechanism";
		return TOKEN_WRONG;
	}
	if (t->expires <= clock_real()) {
		*why_r = "an expired token";
		return TOKEN_EXPIRED;
	}
	if (proof->has_count && proof->count <= t->count) {
		*why_r = "a replayed login";
		return TOKEN_WRONG;
	}
	return TOKEN_FINE;
}

/* It is the one in use now, and what is older ends. */
static void
token_used(struct account *acct, struct client *c, struct token *t,
    const struct token_proof *proof)
{
	bool is_changed = t == &c->fresh || proof->has_count || proof->is_last;

	if (t == &c->fresh) {
		token_end(&c->token);
		c->token = c->fresh;
		c->fresh = (struct token){ 0 };
	} else if (!str_is_none(c->fresh.serial) &&
		   c->fresh.expires < c->token.expires) {
		token_end(&c->fresh);
		is_changed = true;
	}
	if (proof->has_count)
		c->token.count = proof->count;
	if (proof->is_last) {
		token_end(&c->token);
		token_end(&c->fresh);
	}
	if (is_changed)
		client_save(acct, c, NULL, NULL);
}

enum token_result
token_check(struct account *acct, struct client *c,
    const struct token_proof *proof, struct arena *a, struct str *answer_r,
    const char **why_r)
{
	enum token_result result;
	struct token *t;
	struct str text;

	*why_r = "an unknown token";
	if (c == NULL)
		return TOKEN_WRONG;
	if (is_token(acct, c, &c->fresh, proof, a, &text))
		t = &c->fresh;
	else if (is_token(acct, c, &c->token, proof, a, &text))
		t = &c->token;
	else
		return TOKEN_WRONG;
	result = judge(t, proof, why_r);
	if (result != TOKEN_FINE)
		return result;
	*answer_r = hash_of(text, "Responder", proof->binding, a);
	token_used(acct, c, t, proof);
	return TOKEN_FINE;
}
