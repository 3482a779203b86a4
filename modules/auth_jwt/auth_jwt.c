/* SPDX-License-Identifier: MIT */
/*
 * Accounts that whoever signs JSON Web Tokens (RFC 7519) knows: the token is
 * the password. Keys are read from their files at each login, off the loop,
 * so that new ones hold at once. Encrypted tokens are not known.
 */
#include "jwt.h"

struct jwt {
	struct str_list key_files, algorithms;
	struct str issuer, audience, claim;
	uint64_t leeway_ms;
	bool may_last; /* without `exp` */
};

/* ---- claims ------------------------------------------------------------ */

/* A refusal: the reason is for the log, and tells nothing of the token. */
static int
no(struct auth_ask *ask, const char *why)
{
	snprintf(ask->why, sizeof(ask->why), "refused its token: %s", why);
	return ERR_DENIED;
}

static bool
is_text(const json_t *v, struct str want)
{
	return json_is_string(v) &&
	       str_eq(
		   str_mem(json_string_value(v), json_string_length(v)), want);
}

/* `aud` is one text or a list. */
static bool
is_for(const json_t *aud, struct str us)
{
	const json_t *v;
	size_t i;

	json_array_foreach(aud, i, v)
	{
		if (is_text(v, us))
			return true;
	}
	return is_text(aud, us);
}

/* Either the bare JID, or its local part. */
static bool
is_user(struct auth_ask *ask, const json_t *v)
{
	struct str text = json_is_string(v) ? str_mem(json_string_value(v),
						  json_string_length(v))
					    : STR_NONE;
	struct str local;
	struct jid jid;

	if (text.n == 0)
		return false;
	if (str_find(text, '@') == text.n)
		return jid_prep_local(ask->arena, text, &local) == 0 &&
		       str_eq(local, ask->user);
	return jid_parse(ask->arena, text, &jid) == 0 && jid_is_bare(&jid) &&
	       str_eq(jid.local, ask->user) && str_eq(jid.domain, ask->host);
}

static int
claims_check(struct auth_ask *ask, const json_t *c)
{
	const struct jwt *o = ask->options;
	const json_t *exp = json_object_get(c, "exp");
	const json_t *nbf = json_object_get(c, "nbf");
	double now = (double)clock_real() / 1000;
	double leeway = (double)o->leeway_ms / 1000;

	if (exp == NULL ? !o->may_last : !json_is_number(exp))
		return no(ask, "it has no time of expiry");
	if (exp != NULL && json_number_value(exp) + leeway <= now)
		return no(ask, "it has expired");
	if (nbf != NULL && !json_is_number(nbf))
		return no(ask, "'nbf' is no time");
	if (nbf != NULL && json_number_value(nbf) - leeway > now)
		return no(ask, "it is not valid yet");
	if (o->issuer.n > 0 && !is_text(json_object_get(c, "iss"), o->issuer))
		return no(ask, "it is of another issuer");
	if (o->audience.n > 0 &&
	    !is_for(json_object_get(c, "aud"), o->audience))
		return no(ask, "it is for others");
	if (!is_user(ask, json_object_get(c, o->claim.p)))
		return no(ask, "it is of another user");
	return 0;
}

/* ---- the token --------------------------------------------------------- */

static json_t *
part_read(struct arena *a, struct str text)
{
	struct str bytes;
	json_t *v;

	if (!jwt_unbase64(a, text, &bytes) || !str_is_utf8(bytes))
		return NULL;
	v = json_loadb(bytes.p, bytes.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(v)) {
		json_decref(v);
		return NULL;
	}
	return v;
}

static bool
is_signed(struct auth_ask *ask, const json_t *head, struct str text,
    struct str signature, const struct jwt_keys *keys)
{
	const json_t *alg = json_object_get(head, "alg");
	const json_t *kid = json_object_get(head, "kid");
	struct str name = str_c(json_string_value(alg));
	bool is_right = false;

	for (size_t i = 0; i < keys->count && !is_right; i++) {
		const struct jwt_key *k = &keys->key[i];

		if (kid != NULL && !str_is_none(k->kid) &&
		    !is_text(kid, k->kid))
			continue;
		is_right = jwt_verify(ask->arena, k, name, text, signature);
	}
	return is_right;
}

static bool
is_allowed(const struct jwt *o, const json_t *alg)
{
	for (size_t i = 0; i < o->algorithms.count; i++)
		if (is_text(alg, o->algorithms.item[i]))
			return jwt_knows(o->algorithms.item[i]);
	return false;
}

static int
keys_load(struct auth_ask *ask, struct jwt_keys *keys)
{
	const struct jwt *o = ask->options;
	const char *why;

	for (size_t i = 0; i < o->key_files.count; i++) {
		const char *path = str_dup_c(ask->arena, o->key_files.item[i]);

		if (!jwt_keys_read(ask->arena, path, keys, &why)) {
			snprintf(
			    ask->why, sizeof(ask->why), "%s %s", path, why);
			return ERR_CONFIG;
		}
	}
	if (keys->count > 0)
		return 0;
	snprintf(ask->why, sizeof(ask->why), "'key_files' is not given");
	return ERR_CONFIG;
}

static int
token_check(struct auth_ask *ask, const json_t *head, struct str text,
    struct str signature, struct str body)
{
	struct jwt_keys keys = { .count = 0 };
	json_t *claims;
	int err;

	if (!is_allowed(ask->options, json_object_get(head, "alg")))
		return no(ask, "its algorithm is not allowed");
	if (json_object_get(head, "crit") != NULL)
		return no(ask, "it asks for what is not known here");
	err = keys_load(ask, &keys);
	if (err == 0 && !is_signed(ask, head, text, signature, &keys))
		err = no(ask, "it is not signed by a key that is known here");
	jwt_keys_free(&keys);
	if (err != 0)
		return err;
	claims = part_read(ask->arena, body);
	if (claims == NULL)
		return no(ask, "its claims can't be read");
	err = claims_check(ask, claims);
	json_decref(claims);
	return err;
}

static int
answer(struct auth_ask *ask)
{
	struct str rest = ask->password, head_text, body, text, signature;
	json_t *head;
	int err;

	head_text = str_cut(&rest, '.');
	body = str_cut(&rest, '.');
	/* Some other password, for another backend, or an encrypted token. */
	if (str_is_none(rest) || str_find(rest, '.') < rest.n)
		return ERR_DENIED;
	text = str_sub(ask->password, 0, head_text.n + 1 + body.n);
	head = part_read(ask->arena, head_text);
	if (head == NULL)
		return ERR_DENIED;
	err = jwt_unbase64(ask->arena, rest, &signature)
		  ? token_check(ask, head, text, signature, body)
		  : no(ask, "its signature can't be read");
	json_decref(head);
	return err;
}

static void
state_free(void *state)
{
	must(state == NULL);
}

static const struct auth_backend backend = {
	.can = AUTH_CAN(AUTH_CHECK),
	.is_quick = true,
	.answer = answer,
	.state_free = state_free,
};

static const struct option options[] = {
	OPT_LIST("key_files", struct jwt, key_files, "", 20,
	    "files with the signers' public keys or certificates (PEM), or "
	    "with a JWK or a set of them (secrets are of type oct)"),
	OPT_LIST("algorithms", struct jwt, algorithms,
	    "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, "
	    "EdDSA, HS256, HS384, HS512",
	    20, "algorithms that are taken"),
	OPT_TEXT("issuer", struct jwt, issuer, "", 1000,
	    "what `iss` has to be; empty: anything"),
	OPT_TEXT("audience", struct jwt, audience, "", 1000,
	    "what has to be in `aud`; empty: anything"),
	OPT_TEXT("user_claim", struct jwt, claim, "sub", 100,
	    "the claim that names the user, by JID or by its local part"),
	OPT_SPAN("leeway", struct jwt, leeway_ms, "30s", 0, HOURS(1),
	    "how far clocks may be apart"),
	OPT_BOOL("without_expiry", struct jwt, may_last, "false",
	    "take tokens that have no `exp`, too"),
	OPTIONS_END,
};

MODULE(auth_jwt) = {
	.summary = "accounts by signed tokens (JWT)",
	.is_optional = true,
	.options_size = sizeof(struct jwt),
	.options = options,
	.auth = &backend,
};
