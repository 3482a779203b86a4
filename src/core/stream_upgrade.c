/* SPDX-License-Identifier: MIT */
/*
 * Upgrade tasks (XEP-0480): an account that has keys for some mechanisms of
 * SCRAM only gets the others from its client, which knows the password. That
 * works by steps, each of which waits: the row is read, a task is offered,
 * begun by the client, answered with a salt, and by the client with the salted
 * password, of which keys are made; then the next, or the login goes on.
 */
#include "core/stream_internal.h"

#include "base/err.h"
#include "base/random.h"
#include "core/account.h"
#include "core/auth_backend.h"
#include "core/conf.h"
#include "core/host.h"
#include "core/rounds.h"
#include "core/scram.h"

#include <openssl/crypto.h>

#define PREFIX "UPGR-"

enum upgrade_step { UPGRADE_READING, UPGRADE_OFFERED, UPGRADE_SALTED };

struct upgrade {
	enum upgrade_step step;
	unsigned todo;		       /* of hashes, as scram_bit() */
	const struct scram_hash *hash; /* that is under way */
	struct scram_keys keys;
	unsigned passwords; /* the account's, when its row was asked for */
};

/* ---- what an account lacks ----------------------------------------------- */

/* Hashes that are configured. */
static unsigned
configured(void)
{
	const struct str_list *all = &conf_now()->auth.mechanisms;
	const struct scram_hash *h;
	unsigned set = 0;

	for (size_t i = 0; i < all->count; i++) {
		h = scram_hash_find(all->item[i]);
		if (h != NULL)
			set |= scram_bit(h);
	}
	return set;
}

/* Nobody, and one without any keys, lacks nothing: all names look alike. */
static unsigned
lacks(const struct account_row *row)
{
	unsigned set = 0;

	if (row == NULL || row->key_count == 0)
		return 0;
	for (const struct scram_hash *h = scram_hashes; h->mechanism; h++)
		if (scram_keys_find(row, h) == NULL)
			set |= scram_bit(h);
	return set & configured();
}

static void
on_looked_up(void *ctx, int err, const struct account_row *row)
{
	struct stream *s = (struct stream *)ctx;

	if (s->nego != NULL && !s->is_closing) {
		s->nego->lacking = err == 0 ? lacks(row) : 0;
		stream_send_features(s);
		stream_go_on(s);
	}
	stream_unpin(s);
}

bool
upgrade_look_up(struct stream *s)
{
	struct str from = s->nego->from;
	struct jid jid;

	s->nego->lacking = 0;
	if (!conf_now()->auth.is_upgrading || str_is_none(from) ||
	    s->is_authenticated || stream_needs_tls(s) ||
	    auth_has_backends(s->host))
		return false;
	jid = jid_of(from);
	if (str_is_none(jid.local) || !str_eq(jid.domain, s->host->jid.domain))
		return false;
	stream_pin(s);
	stream_wait(s);
	store_account_get(jid.bare, on_looked_up, s);
	return true;
}

static struct str
task_name(struct arena *a, const struct scram_hash *h)
{
	return str_printf(a, PREFIX "%s", h->mechanism);
}

void
upgrade_offer(const struct stream *s, struct elem *authentication)
{
	struct arena *a = elem_arena(authentication);

	for (const struct scram_hash *h = scram_hashes; h->mechanism; h++)
		if (s->nego->lacking & scram_bit(h))
			elem_add_text(
			    authentication, EL_SASL_UPGRADE, task_name(a, h));
}

/* ---- one task after the other -------------------------------------------- */

/* Those that the client asked for. */
static unsigned
asked_for(const struct login *l)
{
	struct arena *a = elem_arena(l->request);
	const struct elem *e = elem_child(l->request, EL_SASL_UPGRADE);
	unsigned set = 0;

	for (; e != NULL; e = elem_next(e, EL_SASL_UPGRADE))
		for (const struct scram_hash *h = scram_hashes; h->mechanism;
		     h++)
			if (str_eq(elem_text(e), task_name(a, h)))
				set |= scram_bit(h);
	return set;
}

/* Is the password still the one that the login was with? */
static bool
is_same(const struct login *l, const struct account_row *row)
{
	for (size_t i = 0; i < row->key_count; i++)
		if (str_eq(row->keys[i].salt, l->salt))
			return true;
	return false;
}

static const struct scram_hash *
next_hash(const struct upgrade *u)
{
	const struct scram_hash *h = scram_hashes;

	while (h->mechanism != NULL && !(u->todo & scram_bit(h)))
		h++;
	return h->mechanism != NULL ? h : NULL;
}

static void
send_offer(struct stream *s)
{
	struct login *l = s->nego->login;
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_SASL2_CONTINUE);

	/* What SASL has to say comes with the first of them. */
	if (!str_is_none(l->data))
		elem_add_text(e, EL_SASL2_DATA, str_base64(a, l->data));
	l->data = STR_NONE;
	elem_add_text(elem_add(e, EL_SASL2_TASKS), EL_SASL2_TASK,
	    task_name(a, l->upgrade->hash));
	stream_send_elem(s, e);
	arena_free(&a);
}

static void
go_on(struct stream *s)
{
	struct login *l = s->nego->login;
	struct upgrade *u = l->upgrade;

	u->hash = next_hash(u);
	if (u->hash == NULL) {
		l->upgrade = NULL;
		login_tokens(s);
		return;
	}
	u->todo &= ~scram_bit(u->hash);
	u->step = UPGRADE_OFFERED;
	send_offer(s);
	stream_go_on(s);
}

static bool
is_alive(const struct stream *s)
{
	return s->nego != NULL && s->nego->login != NULL && !s->is_closing;
}

static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct stream *s = (struct stream *)ctx;

	if (is_alive(s)) {
		struct login *l = s->nego->login;

		if (err == 0 && is_same(l, row))
			l->upgrade->todo = asked_for(l) & lacks(row);
		go_on(s);
	}
	stream_unpin(s);
}

bool
upgrade_begin(struct stream *s)
{
	struct login *l = s->nego->login;

	if (str_is_none(l->salt) || asked_for(l) == 0)
		return false;
	l->upgrade = arena_new_of(elem_arena(l->request), struct upgrade);
	stream_pin(s);
	store_account_get(s->nego->user.bare, on_row, s);
	return true;
}

/* ---- salt and hash ------------------------------------------------------- */

static void
send_salt(struct stream *s)
{
	struct login *l = s->nego->login;
	struct upgrade *u = l->upgrade;
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_SASL2_TASK_DATA);
	unsigned char salt[SCRAM_SALT_LEN];

	random_bytes(salt, sizeof(salt));
	u->keys.salt =
	    str_dup(elem_arena(l->request), str_mem(salt, sizeof(salt)));
	u->keys.iterations = (uint32_t)conf_now()->auth.scram_iterations;
	elem_set(elem_add_text(e, EL_SCRAM_SALT, str_base64(a, u->keys.salt)),
	    AT_ITERATIONS, str_printf(a, "%u", u->keys.iterations));
	u->step = UPGRADE_SALTED;
	stream_send_elem(s, e);
	arena_free(&a);
}

static void
on_saved(void *ctx, int err)
{
	struct stream *s = (struct stream *)ctx;

	if (err < 0)
		log_warn(
		    &s->log, "new keys could not be kept: %s", err_text(err));
	if (is_alive(s)) {
		if (err == 0)
			log_info(&s->log, "has keys for %s now",
			    s->nego->login->upgrade->hash->mechanism);
		go_on(s);
	}
	stream_unpin(s);
}

/*
 * The row as it is now, with the new keys: unless a password was set since it
 * was asked for, or it has too many keys.
 */
static void
on_row_again(void *ctx, int err, const struct account_row *row)
{
	struct stream *s = (struct stream *)ctx;
	struct account_row changed = { 0 };
	struct store_write *w;
	struct login *l;

	if (!is_alive(s)) {
		stream_unpin(s);
		return;
	}
	l = s->nego->login;
	if (err < 0 || !is_same(l, row) || row->key_count >= SCRAM_KEYS_MAX ||
	    scram_keys_find(row, l->upgrade->hash) != NULL ||
	    l->account->passwords != l->upgrade->passwords) {
		go_on(s);
		stream_unpin(s);
		return;
	}
	changed.jid = row->jid;
	memcpy(changed.keys, row->keys, sizeof(changed.keys));
	changed.key_count = row->key_count;
	changed.keys[changed.key_count++] = l->upgrade->keys;
	w = store_write_new(s->nego->user.bare);
	account_update(w, &changed);
	rounds_count(s->host, &changed, w);
	store_commit(&w, on_saved, s);
}

/* False if it is no salted password of that hash. */
static bool
take_hash(struct login *l, const struct elem *e)
{
	struct arena *a = elem_arena(e);
	const struct elem *hash = elem_child(e, EL_SCRAM_SALTED);
	struct upgrade *u = l->upgrade;
	struct str salted;

	if (hash == NULL ||
	    !str_unbase64(a, str_trim(elem_text(hash)), &salted) ||
	    salted.n != u->hash->size)
		return false;
	scram_keys_of(elem_arena(l->request), u->hash, salted, &u->keys);
	OPENSSL_cleanse((void *)(uintptr_t)salted.p, salted.n);
	return true;
}

static void
on_hash(struct stream *s, const struct elem *e)
{
	struct login *l = s->nego->login;

	if (!take_hash(l, e)) {
		stream_auth_end(s, EL_SASL_MALFORMED_REQUEST);
		return;
	}
	l->upgrade->passwords = l->account->passwords;
	stream_wait(s);
	stream_pin(s);
	store_account_get(s->nego->user.bare, on_row_again, s);
}

static bool
is_next(const struct upgrade *u, const struct elem *e)
{
	struct arena *a = elem_arena(e);

	return u->step == UPGRADE_OFFERED && elem_name(e) == EL_SASL2_NEXT &&
	       str_eq(elem_attr(e, AT_TASK), task_name(a, u->hash));
}

void
upgrade_on_elem(struct stream *s, struct elem *e)
{
	const struct upgrade *u = s->nego->login->upgrade;

	if (elem_name(e) == EL_SASL2_ABORT)
		stream_auth_end(s, EL_SASL_ABORTED);
	else if (is_next(u, e))
		send_salt(s);
	else if (u->step == UPGRADE_SALTED &&
		 elem_name(e) == EL_SASL2_TASK_DATA)
		on_hash(s, e);
	else
		stream_auth_end(s, EL_SASL_MALFORMED_REQUEST);
}
