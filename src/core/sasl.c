/* SPDX-License-Identifier: MIT */
/*
 * Exchanges, and those of SCRAM and PLAIN. Each waits for the store at one
 * point; an exchange that is freed meanwhile only forgets whom to call.
 */
#include "core/sasl_impl.h"

#include "base/err.h"
#include "base/random.h"
#include "core/auth.h"
#include "core/auth_backend.h"
#include "core/conf.h"
#include "core/rounds.h"

#define BINDINGS_MAX 3
#define MESSAGE_MAX 7000 /* a token may be a password */

static const struct {
	enum tls_binding kind;
	struct str name;
} bindings[BINDINGS_MAX] = {
	{ TLS_EXPORTER, STR_INIT("tls-exporter") },
	{ TLS_SERVER_END_POINT, STR_INIT("tls-server-end-point") },
	{ TLS_UNIQUE, STR_INIT("tls-unique") },
};

static bool
has_unique(const struct transport *t)
{
	struct conn *c = t->ops->conn(t);
	const char *version = c != NULL ? conn_tls_version(c) : NULL;

	return version != NULL && strcmp(version, "TLSv1.2") == 0;
}

size_t
sasl_offer_bindings(const struct transport *t, struct str *names_r, size_t max)
{
	size_t count = 0;

	if (!t->ops->is_tls(t))
		return 0;
	for (size_t i = 0; i < BINDINGS_MAX && count < max; i++) {
		/*
		 * Undefined in TLS 1.3, which has the exporter instead. It is
		 * checked all the same when it comes: slixmpp knows no other,
		 * and asks for nothing else once it has seen -PLUS.
		 */
		if (bindings[i].kind == TLS_UNIQUE && !has_unique(t))
			continue;
		if (t->ops->binding(t, bindings[i].kind, NULL, NULL) == 0)
			names_r[count++] = bindings[i].name;
	}
	return count;
}

/* SCRAM takes keys, which only the store has for all of its accounts. */
static bool
may_offer(const struct host *host, const struct transport *t, unsigned lacking,
    struct str mechanism, bool has_binding)
{
	const struct scram_hash *h;

	if (str_is(mechanism, "EXTERNAL"))
		return external_is_offered(host, t);
	if (str_is(mechanism, "ANONYMOUS"))
		return anonymous_is_offered(host);
	if (str_is(mechanism, "PLAIN"))
		return t->ops->is_tls(t) ||
		       conf_now()->auth.allow_plain_without_tls;
	h = scram_hash_find(mechanism);
	if (h == NULL || auth_has_backends(host) || lacking & scram_bit(h))
		return false;
	return has_binding || !str_has_suffix(mechanism, STR("-PLUS"));
}

size_t
sasl_offer(const struct host *host, const struct transport *t, unsigned lacking,
    struct str *names_r, size_t max)
{
	const struct str_list *all = &conf_now()->auth.mechanisms;
	struct str unused[BINDINGS_MAX];
	bool has_binding = sasl_offer_bindings(t, unused, BINDINGS_MAX) > 0;
	size_t count = 0;

	for (size_t i = 0; i < all->count && count < max; i++)
		if (may_offer(host, t, lacking, all->item[i], has_binding))
			names_r[count++] = all->item[i];
	return count;
}

static void
answer(struct sasl *s, const struct sasl_result *r)
{
	if (r->what != SASL_CONTINUE)
		s->step = STEP_OVER;
	s->on_step(s->ctx, r);
}

void
sasl_fail(struct sasl *s, enum qname condition, const char *text)
{
	struct sasl_result r = {
		.what = SASL_FAIL,
		.condition = condition,
		.text = text,
		.user = s->user,
		.is_store_down = condition == EL_SASL_TEMPORARY_AUTH_FAILURE,
	};

	answer(s, &r);
}

void
sasl_succeed(struct sasl *s, struct str data)
{
	struct sasl_result r = {
		.what = SASL_DONE,
		.data = data,
		.user = s->user,
		.has_authzid = s->has_authzid,
		.salt = s->hash != NULL ? s->keys.salt : STR_NONE,
	};

	if (s->is_banned)
		sasl_fail(s, EL_SASL_ACCOUNT_DISABLED, NULL);
	else
		answer(s, &r);
}

static void plain_take(struct sasl *s, struct str message);
static void scram_take(struct sasl *s, struct str message);

/* On offer, or named in the configuration and worth a better answer. */
static bool
may_begin(const struct host *host, const struct transport *t, unsigned lacking,
    struct str mechanism)
{
	const struct str_list *all = &conf_now()->auth.mechanisms;
	struct str unused[BINDINGS_MAX];
	bool has_binding = sasl_offer_bindings(t, unused, BINDINGS_MAX) > 0;
	size_t i = 0;

	while (i < all->count && !str_eq(all->item[i], mechanism))
		i++;
	if (i == all->count)
		return false;
	return may_offer(host, t, lacking, mechanism, has_binding) ||
	       (str_is(mechanism, "EXTERNAL") && external_is_there(t));
}

struct sasl *
sasl_new(struct host *host, const struct transport *t, unsigned lacking,
    struct str mechanism, sasl_fn *on_step, void *ctx)
{
	struct arena *a;
	struct sasl *s;

	if (!may_begin(host, t, lacking, mechanism))
		return NULL;
	a = arena_new(0);
	s = arena_new_of(a, struct sasl);
	s->arena = a;
	s->host = host;
	s->transport = t;
	s->lacking = lacking;
	s->on_step = on_step;
	s->ctx = ctx;
	s->hash = scram_hash_find(mechanism);
	s->is_plus = str_has_suffix(mechanism, STR("-PLUS"));
	if (s->hash != NULL)
		s->take = scram_take;
	else if (str_is(mechanism, "EXTERNAL"))
		s->take = external_take;
	else if (str_is(mechanism, "ANONYMOUS"))
		s->take = anonymous_take;
	else
		s->take = plain_take;
	return s;
}

void
sasl_free(struct sasl **sp)
{
	struct sasl *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	s->is_dead = true;
	if (!s->is_waiting)
		arena_free(&s->arena);
}

void
sasl_wait(struct sasl *s)
{
	s->step = STEP_STORE;
	s->is_waiting = true;
}

bool
sasl_is_back(struct sasl *s)
{
	s->is_waiting = false;
	if (s->is_dead)
		arena_free(&s->arena);
	return !s->is_dead;
}

/* Sets the user; false when no account can have that name. */
static bool
set_user(struct sasl *s, struct str name)
{
	struct str local;

	if (jid_prep_local(s->arena, name, &local) < 0)
		return false;
	s->user = jid_make(s->arena, local, s->host->jid.domain, STR_NONE);
	return true;
}

/* RFC 6120 section 6.3.8: only the user's own bare JID. */
static bool
is_own(struct sasl *s, struct str authzid)
{
	struct jid jid;

	if (str_is_none(authzid) || authzid.n == 0)
		return true;
	s->has_authzid = true;
	return jid_parse(s->arena, authzid, &jid) == 0 &&
	       jid_eq(&jid, &s->user);
}

/* ---- SCRAM ------------------------------------------------------------- */

/* XEP-0474: a hash over all that was offered, against downgrades. */
static struct str
offer_hash(struct sasl *s)
{
	struct str list[SASL_MECHANISMS_MAX];
	struct buf text = { 0 };
	unsigned char digest[SCRAM_DIGEST_MAX];
	size_t count = sasl_offer(
	    s->host, s->transport, s->lacking, list, SASL_MECHANISMS_MAX);

	for (int part = 0; part < 2; part++) {
		for (size_t i = 0; i < count; i++) {
			size_t least = i;
			struct str swap = list[i];

			for (size_t k = i + 1; k < count; k++)
				if (str_cmp(list[k], list[least]) < 0)
					least = k;
			list[i] = list[least];
			list[least] = swap;
			if (i > 0)
				buf_add_c(&text, '\x1e');
			buf_add_str(&text, list[i]);
		}
		count = sasl_offer_bindings(
		    s->transport, list, SASL_MECHANISMS_MAX);
		if (part == 0 && count > 0)
			buf_add_c(&text, '\x1f');
	}
	scram_digest(s->hash, buf_str(&text), digest);
	buf_fini(&text);
	return str_base64(s->arena, str_mem(digest, s->hash->size));
}

static void
scram_challenge(struct sasl *s)
{
	struct sasl_result r = { .what = SASL_CONTINUE };
	struct str ours = random_token(s->arena, 18);
	struct str salt = str_base64(s->arena, s->keys.salt);
	struct str h = offer_hash(s);

	s->nonce = str_printf(
	    s->arena, STR_FMT STR_FMT, STR_ARG(s->first.nonce), STR_ARG(ours));
	s->server_first = str_printf(s->arena,
	    "r=" STR_FMT ",s=" STR_FMT ",i=%u,h=" STR_FMT, STR_ARG(s->nonce),
	    STR_ARG(salt), s->keys.iterations, STR_ARG(h));
	s->step = STEP_FINAL;
	r.data = s->server_first;
	answer(s, &r);
}

/*
 * The account's; or what is made up for a name that is nobody's, and for an
 * account without such keys as well. That is done for all, so as to take the
 * same time.
 */
static void
take_keys(struct sasl *s, struct str name, const struct account_row *row)
{
	const struct scram_keys *keys = scram_keys_find(row, s->hash);
	rounds_t shown = rounds_shown(s->host, name), own = rounds_of(row);

	auth_fake_keys(s->arena, s->host, name, s->hash,
	    rounds_for(own != 0 ? own : shown, s->hash), &s->keys);
	s->is_known = keys != NULL;
	if (row != NULL)
		rounds_meet(s->host, row);
	if (keys == NULL)
		return;
	s->keys.salt = str_dup(s->arena, keys->salt);
	s->keys.iterations = keys->iterations;
	s->keys.stored_key = str_dup(s->arena, keys->stored_key);
	s->keys.server_key = str_dup(s->arena, keys->server_key);
}

static void ask_row(struct sasl *s);

static void
scram_row(void *ctx, int err, const struct account_row *row)
{
	struct sasl *s = ctx;

	if (!sasl_is_back(s))
		return;
	if (err < 0 && err != ERR_ABSENT) {
		sasl_fail(s, EL_SASL_TEMPORARY_AUTH_FAILURE, NULL);
		return;
	}
	if (!rounds_are_read(s->host)) {
		/* The server has just started: once more, until they are. */
		ask_row(s);
		return;
	}
	s->is_banned = row != NULL && !str_is_none(row->ban) && row->ban.n > 0;
	take_keys(s, s->user.local, row);
	scram_challenge(s);
}

static void
ask_row(struct sasl *s)
{
	sasl_wait(s);
	auth_account(&s->user, scram_row, s);
}

/* Does our side of TLS know these bytes, on offer or not? */
static bool
has_binding(struct sasl *s, struct str type)
{
	struct str bytes;

	for (size_t i = 0; i < BINDINGS_MAX; i++)
		if (str_eq(bindings[i].name, type))
			return s->transport->ops->binding(s->transport,
				   bindings[i].kind, s->arena, &bytes) == 0;
	return false;
}

/*
 * The client's flag must fit the mechanism (RFC 5802 section 6): "y" says
 * that we offered no channel binding, so if we did, somebody took it away.
 */
static bool
is_flag_right(struct sasl *s)
{
	struct str offered[SASL_MECHANISMS_MAX];
	size_t count;

	if (s->is_plus)
		return s->first.binding == 'p' &&
		       has_binding(s, s->first.binding_type);
	if (s->first.binding == 'p')
		return false;
	if (s->first.binding == 'n')
		return true;
	count = sasl_offer(
	    s->host, s->transport, s->lacking, offered, SASL_MECHANISMS_MAX);
	for (size_t i = 0; i < count; i++)
		if (str_has_suffix(offered[i], STR("-PLUS")))
			return false;
	return true;
}

static void
scram_first(struct sasl *s, struct str message)
{
	/* The message dies with the call, its parts are needed later. */
	struct str kept = str_dup(s->arena, message);
	struct str name;

	if (scram_parse_first(s->arena, kept, &s->first) < 0) {
		sasl_fail(s, EL_SASL_MALFORMED_REQUEST, NULL);
		return;
	}
	if (!is_flag_right(s)) {
		sasl_fail(
		    s, EL_SASL_NOT_AUTHORIZED, "Channel binding mismatch");
		return;
	}
	name = s->first.user;
	if (set_user(s, name)) {
		name = s->user.local;
		if (!is_own(s, s->first.authzid)) {
			sasl_fail(s, EL_SASL_INVALID_AUTHZID, NULL);
			return;
		}
	}
	if (jid_is_none(&s->user)) {
		take_keys(s, name, NULL);
		scram_challenge(s);
		return;
	}
	ask_row(s);
}

/* c= must repeat the header and carry what our side of TLS knows. */
static bool
is_binding_right(struct sasl *s, struct str got)
{
	struct str bytes = STR_NONE, want;

	for (size_t i = 0; s->is_plus && i < BINDINGS_MAX; i++)
		if (str_eq(bindings[i].name, s->first.binding_type) &&
		    s->transport->ops->binding(
			s->transport, bindings[i].kind, s->arena, &bytes) < 0)
			return false;
	if (s->is_plus && str_is_none(bytes))
		return false;
	want = str_printf(s->arena, STR_FMT "", STR_ARG(s->first.gs2_header));
	if (bytes.n > 0) {
		char *joined = arena_bytes(s->arena, want.n + bytes.n);

		memcpy(joined, want.p, want.n);
		memcpy(joined + want.n, bytes.p, bytes.n);
		want = str_mem(joined, want.n + bytes.n);
	}
	return str_eq_secret(want, got);
}

static void
scram_final(struct sasl *s, struct str message)
{
	struct scram_final final;
	struct str auth, signature, text;
	bool is_right;

	if (scram_parse_final(s->arena, message, &final) < 0) {
		sasl_fail(s, EL_SASL_MALFORMED_REQUEST, NULL);
		return;
	}
	auth = str_printf(s->arena, STR_FMT "," STR_FMT "," STR_FMT,
	    STR_ARG(s->first.bare), STR_ARG(s->server_first),
	    STR_ARG(final.without_proof));
	/* All is computed for everyone, then one answer is given. */
	is_right = scram_verify(
	    s->arena, s->hash, &s->keys, auth, final.proof, &signature);
	is_right &= is_binding_right(s, final.binding);
	is_right &= str_eq(final.nonce, s->nonce);
	if (!is_right || !s->is_known) {
		sasl_fail(s, EL_SASL_NOT_AUTHORIZED, NULL);
		return;
	}
	text = str_base64(s->arena, signature);
	sasl_succeed(s, str_printf(s->arena, "v=" STR_FMT, STR_ARG(text)));
}

static void
scram_take(struct sasl *s, struct str message)
{
	if (s->step == STEP_FIRST)
		scram_first(s, message);
	else
		scram_final(s, message);
}

/* ---- PLAIN ------------------------------------------------------------- */

static void
plain_row(void *ctx, int err, const struct account_row *row)
{
	struct sasl *s = ctx;

	if (!sasl_is_back(s))
		return;
	if (err < 0) {
		sasl_fail(s, EL_SASL_TEMPORARY_AUTH_FAILURE, NULL);
		return;
	}
	s->is_banned = row->ban.n > 0;
	sasl_succeed(s, STR_NONE);
}

static void
plain_checked(void *ctx, int err)
{
	struct sasl *s = ctx;

	if (!sasl_is_back(s))
		return;
	if (err == ERR_DENIED) {
		sasl_fail(s, EL_SASL_NOT_AUTHORIZED, NULL);
	} else if (err < 0) {
		sasl_fail(s, EL_SASL_TEMPORARY_AUTH_FAILURE, NULL);
	} else {
		sasl_wait(s);
		auth_account(&s->user, plain_row, s);
	}
}

static void
plain_take(struct sasl *s, struct str message)
{
	struct str rest = message, authzid, name, password;

	authzid = str_cut(&rest, '\0');
	name = str_cut(&rest, '\0');
	password = rest;
	if (str_is_none(rest) || name.n == 0 || password.n == 0 ||
	    str_find(password, '\0') < password.n || !str_is_utf8(message)) {
		sasl_fail(s, EL_SASL_MALFORMED_REQUEST, NULL);
		return;
	}
	if (!set_user(s, name)) {
		sasl_fail(s, EL_SASL_NOT_AUTHORIZED, NULL);
		return;
	}
	if (!is_own(s, authzid)) {
		sasl_fail(s, EL_SASL_INVALID_AUTHZID, NULL);
		return;
	}
	sasl_wait(s);
	auth_check_password(&s->user, password, plain_checked, s);
}

void
sasl_step(struct sasl *s, struct str message, bool is_initial)
{
	if (is_initial && str_is_none(message) && s->take == anonymous_take) {
		/* It has nothing to say that we would wait for (XEP-0175). */
		message = STR("");
	} else if (is_initial && str_is_none(message)) {
		/* No initial response: an empty challenge asks for it. */
		struct sasl_result r = { .what = SASL_CONTINUE };

		r.data = STR("");
		answer(s, &r);
		return;
	}
	if (message.n > MESSAGE_MAX || s->step == STEP_STORE ||
	    s->step == STEP_OVER) {
		sasl_fail(s, EL_SASL_MALFORMED_REQUEST, NULL);
		return;
	}
	s->take(s, message);
}
