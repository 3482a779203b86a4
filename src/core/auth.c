/* SPDX-License-Identifier: MIT */
/*
 * The internal backend: accounts and their SCRAM keys in the store. A check
 * of a password costs a key derivation, so it runs on the pool, a bounded
 * number at a time; for a user that does not exist it costs the same.
 */
#include "core/auth.h"

#include "base/err.h"
#include "base/random.h"
#include "core/account_impl.h"
#include "core/auth_backend.h"
#include "core/conf.h"
#include "core/host.h"
#include "core/rounds.h"
#include "core/scram.h"
#include "net/loop.h"

#include <openssl/crypto.h>

/* Checks under way by one worker; more are told to come again. */
#define CHECKS_MAX 256

static __thread unsigned checks;

struct check {
	struct arena *arena;
	struct jid jid;
	struct str given; /* the password as it came */
	int other_err;	  /* what the backends said */
	struct str password;
	struct scram_keys keys;
	bool is_known; /* false: the keys are made up */
	bool is_right;
	store_done_fn *done;
	void *ctx;
	int err;
};

void
auth_account(const struct jid *bare, store_account_fn *done, void *ctx)
{
	store_account_get(bare->bare, done, ctx);
}

void
auth_fake_keys(struct arena *a, const struct host *host, struct str name,
    const struct scram_hash *h, uint32_t iterations, struct scram_keys *keys_r)
{
	const struct scram_hash *mac_of = scram_hash_find(STR("SCRAM-SHA-256"));
	unsigned char mac[SCRAM_DIGEST_MAX];
	/* Other iterations come with another salt, as by a new password. */
	struct str text = str_printf(
	    a, "salt %s %u " STR_FMT, h->mechanism, iterations, STR_ARG(name));

	/* At every login, known or not: SHA-512 would cost four times that. */
	scram_hmac(
	    mac_of, str_mem(host->secret, sizeof(host->secret)), text, mac);
	keys_r->mechanism = str_c(h->mechanism);
	keys_r->salt = str_dup(a, str_mem(mac, SCRAM_SALT_LEN));
	keys_r->iterations = iterations;
	/* Keys that no password has, of the right length. */
	random_bytes(mac, sizeof(mac));
	keys_r->stored_key = str_dup(a, str_mem(mac, h->size));
	keys_r->server_key = keys_r->stored_key;
}

static void
wipe(struct str secret)
{
	if (secret.n > 0)
		OPENSSL_cleanse((void *)(uintptr_t)secret.p, secret.n);
}

static void
check_end(void *arg)
{
	struct check *c = arg;
	int err = c->err;

	if (err == 0 && !(c->is_right && c->is_known))
		err = c->other_err != 0 ? c->other_err : ERR_DENIED;
	checks--;
	c->done(c->ctx, err);
	wipe(c->password);
	wipe(c->given);
	arena_free(&c->arena);
}

/* On a thread of the pool. */
static void
check_work(void *arg)
{
	struct check *c = arg;

	c->is_right = scram_password_is(c->arena, &c->keys, c->password);
}

static void
keep_keys(struct arena *a, const struct scram_keys *from, struct scram_keys *to)
{
	to->mechanism = str_dup(a, from->mechanism);
	to->salt = str_dup(a, from->salt);
	to->iterations = from->iterations;
	to->stored_key = str_dup(a, from->stored_key);
	to->server_key = str_dup(a, from->server_key);
}

static void
check_row(void *ctx, int err, const struct account_row *row)
{
	struct check *c = ctx;

	if (err < 0 && err != ERR_ABSENT) {
		c->err = err;
		check_end(c);
		return;
	}
	if (row != NULL && row->key_count > 0) {
		rounds_meet(host_find(c->jid.domain), row);
		keep_keys(c->arena, &row->keys[0], &c->keys);
		c->is_known = true;
	}
	loop_work(check_work, check_end, c);
}

/* ---- backends other than the store ------------------------------------- */

static void
on_adopted(void *ctx, int err)
{
	struct check *c = ctx;

	c->err = err;
	c->is_right = c->is_known = true;
	check_end(c);
}

static void
on_taken_row(void *ctx, int err, const struct account_row *row)
{
	struct check *c = ctx;

	if (err == ERR_ABSENT)
		account_adopt(&c->jid, on_adopted, c);
	else
		on_adopted(c, err);
}

static void
on_asked(void *ctx, int err)
{
	struct check *c = ctx;

	if (err == 0) {
		/* It may be the first that we hear of this account. */
		auth_account(&c->jid, on_taken_row, c);
		return;
	}
	/* The store knows its own; if not, what the others said holds. */
	if (auth_has_internal(host_find(c->jid.domain))) {
		c->other_err = err;
		auth_account(&c->jid, check_row, c);
		return;
	}
	c->err = err;
	check_end(c);
}

void
auth_check_password(
    const struct jid *bare, struct str password, store_done_fn *done, void *ctx)
{
	const struct host *host = host_find(bare->domain);
	struct arena *a = arena_new(0);
	struct check *c = arena_new_of(a, struct check);
	bool is_possible;

	c->arena = a;
	c->done = done;
	c->ctx = ctx;
	checks++;
	is_possible = host != NULL;
	/* The caller's bytes may go; copies that can be wiped are kept. */
	c->jid = jid_dup(a, bare);
	c->given = str_dup(a, password);
	if (is_possible && jid_saslprep(a, password, &c->password) == 0)
		c->password = str_dup(a, c->password);
	else if (is_possible && !auth_has_backends(host))
		is_possible = false;
	if (!is_possible || checks > CHECKS_MAX) {
		c->err = is_possible ? ERR_LIMIT : ERR_DENIED;
		loop_post(loop_self(), check_end, c);
		return;
	}
	auth_fake_keys(a, host, bare->local, &scram_hashes[0],
	    rounds_for(rounds_shown(host, bare->local), &scram_hashes[0]),
	    &c->keys);
	if (auth_has_backends(host))
		auth_ask(AUTH_CHECK, &c->jid, c->given, on_asked, c);
	else
		auth_account(bare, check_row, c);
}

void
auth_make_keys(struct arena *a, struct str password, uint32_t iterations,
    struct account_row *row)
{
	unsigned char salt[SCRAM_SALT_LEN];

	row->key_count = 0;
	for (const struct scram_hash *h = scram_hashes; h->mechanism; h++) {
		random_bytes(salt, sizeof(salt));
		scram_keys_make(a, h, password, str_mem(salt, sizeof(salt)),
		    iterations, &row->keys[row->key_count++]);
	}
}
