/* SPDX-License-Identifier: MIT */
/* Creating, changing and removing accounts, at their home. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/account_impl.h"
#include "core/auth.h"
#include "core/auth_backend.h"
#include "core/belongings.h"
#include "core/client.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/metrics.h"
#include "core/presence.h"
#include "core/rounds.h"
#include "store/store.h"

#include <openssl/crypto.h>

#define PASSWORD_MAX 1023

/* What was asked for; lives until who asked has been told. */
struct op {
	struct arena *arena; /* the op itself lives in it */
	struct jid jid;
	struct str password; /* prepared */
	struct str ban;
	struct account_row row;
	uint32_t iterations;
	struct account *acct; /* pinned */
	struct loop *asker;
	enum auth_what what;	  /* that was asked of backends */
	void (*there)(void *msg); /* what comes after */
	account_done_fn *done;
	void *ctx;
	int err;
};

static struct op *
op_new(const struct jid *bare, account_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct op *op = arena_new_of(a, struct op);

	op->arena = a;
	op->jid = jid_dup(a, bare);
	op->row.jid = op->jid.full;
	op->asker = loop_self();
	op->done = done;
	op->ctx = ctx;
	return op;
}

static void
op_tell(void *msg)
{
	struct op *op = msg;

	op->done(op->ctx, op->err);
	if (op->password.n > 0)
		OPENSSL_cleanse(
		    (void *)(uintptr_t)op->password.p, op->password.n);
	arena_free(&op->arena);
}

/* Tells who asked; at once if that is this loop, and we are called back. */
static void
op_end(void *ctx, int err)
{
	struct op *op = ctx;

	op->err = err;
	if (op->asker == loop_self())
		op_tell(op);
	else
		loop_post(op->asker, op_tell, op);
}

/* The same from within the call that asks. */
static void
op_refuse(struct op *op, int err)
{
	op->err = err;
	loop_post(op->asker, op_tell, op);
}

static void
op_go_home(struct op *op, void (*there)(void *msg))
{
	loop_post(account_home(op->jid.full), there, op);
}

/* May there be such an account, with such a password? Prepares it. */
static bool
op_takes(struct op *op, struct str password)
{
	struct str prepared;

	if (str_is_none(op->jid.local) || !jid_is_bare(&op->jid) ||
	    host_find(op->jid.domain) == NULL)
		return false;
	if (password.n == 0 || password.n > PASSWORD_MAX ||
	    jid_saslprep(op->arena, password, &prepared) < 0 || prepared.n == 0)
		return false;
	/* A copy that can be wiped; the caller's bytes may go. */
	op->password = str_dup(op->arena, prepared);
	op->iterations = (uint32_t)conf_now()->auth.scram_iterations;
	return true;
}

static void
on_work(void *arg)
{
	struct op *op = arg;

	auth_make_keys(op->arena, op->password, op->iterations, &op->row);
}

/* New ones ---------------------------------------------------------------- */

static void
on_new_loaded(void *ctx, int err, struct account *acct)
{
	if (acct != NULL)
		hook_account(HOOK_ACCOUNT_CREATED, acct);
	/* It has been made, even if that cannot be seen now. */
	op_end(ctx, 0);
}

static void
on_created(void *ctx, int err)
{
	struct op *op = ctx;

	if (err < 0) {
		op_end(op, err);
		return;
	}
	log_info(NULL, "account " STR_FMT " created", STR_ARG(op->jid.full));
	metric_add(METRIC_REGISTRATIONS, 1);
	account_made(&op->jid);
	account_get(&op->jid, on_new_loaded, op);
}

static void
on_keys_for_new(void *arg)
{
	struct op *op = arg;
	struct store_write *w = store_write_new(op->jid.full);

	op->row.created = clock_real();
	account_create(w, &op->row);
	rounds_count(host_find(op->jid.domain), &op->row, w);
	store_commit(&w, on_created, op);
}

static void
register_at_home(void *msg)
{
	struct op *op = msg;

	if (account_peek(op->jid.full) != NULL)
		op_end(op, ERR_EXISTS);
	else
		loop_work(on_work, on_keys_for_new, op);
}

/* Those of other backends ------------------------------------------------- */

static void
on_adopted(void *ctx, int err)
{
	/* Another login of it may have come first. */
	if (err == ERR_EXISTS)
		op_end(ctx, 0);
	else
		on_created(ctx, err);
}

static void
adopt_at_home(void *msg)
{
	struct op *op = msg;
	struct store_write *w;

	if (account_peek(op->jid.full) != NULL) {
		op_end(op, 0);
		return;
	}
	w = store_write_new(op->jid.full);
	op->row.created = clock_real();
	account_create(w, &op->row);
	store_commit(&w, on_adopted, op);
}

void
account_adopt(const struct jid *bare, account_done_fn *done, void *ctx)
{
	op_go_home(op_new(bare, done, ctx), adopt_at_home);
}

static void
on_asked(void *ctx, int err)
{
	struct op *op = ctx;
	bool is_ours = auth_has_internal(host_find(op->jid.domain));

	if (err == 0 && op->what == AUTH_CREATE)
		op_go_home(op, adopt_at_home);
	else if (err == 0 && op->what == AUTH_SET)
		op_end(op, 0);
	else if (err == 0 || (err == ERR_ABSENT && is_ours) ||
		 op->what == AUTH_REMOVE)
		op_go_home(op, op->there);
	else
		op_end(op, err == ERR_ABSENT ? ERR_DENIED : err);
}

/*
 * Asks the host's other backends first: `there` goes on with what the store
 * has, when none of them knows the account.
 */
static void
op_ask(struct op *op, enum auth_what what, void (*there)(void *msg))
{
	if (auth_has_backends(host_find(op->jid.domain))) {
		op->there = there;
		op->what = what;
		auth_ask(what, &op->jid, op->password, on_asked, op);
	} else {
		op_go_home(op, there);
	}
}

void
account_register(const struct jid *bare, struct str password,
    account_done_fn *done, void *ctx)
{
	struct op *op = op_new(bare, done, ctx);

	if (!op_takes(op, password))
		op_refuse(op, ERR_INVALID);
	else if (auth_has_internal(host_find(bare->domain)))
		op_go_home(op, register_at_home);
	else
		op_ask(op, AUTH_CREATE, register_at_home);
}

/* Passwords --------------------------------------------------------------- */

static void
on_changed(void *ctx, int err)
{
	struct op *op = ctx;
	struct account *acct = op->acct;

	if (err == 0)
		acct->has_keys = true;
	op_end(op, err);
	account_unpin(acct);
}

static void
on_keys_for_change(void *arg)
{
	struct op *op = arg;
	struct store_write *w = store_write_new(op->jid.full);

	op->acct->passwords++;
	account_update(w, &op->row);
	rounds_count(host_find(op->jid.domain), &op->row, w);
	clients_drop_tokens(op->acct, w);
	store_commit(&w, on_changed, op);
}

/* Tokens that the old password brought go with it. */
static void
on_clients_for_change(void *ctx, int err)
{
	if (err < 0)
		on_changed(ctx, err);
	else
		loop_work(on_work, on_keys_for_change, ctx);
}

static void
on_found_for_change(void *ctx, int err, struct account *acct)
{
	struct op *op = ctx;

	if (acct == NULL) {
		op_end(op, err < 0 ? err : ERR_ABSENT);
		return;
	}
	op->acct = acct;
	account_pin(acct);
	clients_load(acct, on_clients_for_change, op);
}

static void
change_at_home(void *msg)
{
	struct op *op = msg;

	account_get(&op->jid, on_found_for_change, op);
}

void
account_set_password(const struct jid *bare, struct str password,
    account_done_fn *done, void *ctx)
{
	struct op *op = op_new(bare, done, ctx);

	if (op_takes(op, password))
		op_ask(op, AUTH_SET, change_at_home);
	else
		op_refuse(op, ERR_INVALID);
}

void
account_check_password(const struct jid *bare, struct str password,
    account_done_fn *done, void *ctx)
{
	auth_check_password(bare, password, done, ctx);
}

/* The end of its sessions ------------------------------------------------- */

static void
close_sessions(struct account *acct, enum qname condition, const char *text)
{
	struct session *s;

	account_pin(acct);
	while ((s = LIST_FIRST(&acct->sessions, struct session, node)) != NULL)
		session_close(s, condition, text);
	account_unpin(acct);
}

/* Bans -------------------------------------------------------------------- */

static void
on_ban_kept(void *ctx, int err)
{
	struct op *op = ctx;
	struct account *acct = op->acct;

	if (err == 0)
		acct->is_banned = !str_is_empty(op->ban);
	op_end(op, err);
	if (err == 0 && acct->is_banned)
		close_sessions(acct, EL_SE_POLICY_VIOLATION,
		    "this account has been banned");
	account_unpin(acct);
}

static void
on_found_to_ban(void *ctx, int err, struct account *acct)
{
	struct op *op = ctx;
	struct store_write *w;

	if (acct == NULL) {
		op_end(op, err < 0 ? err : ERR_ABSENT);
		return;
	}
	op->acct = acct;
	account_pin(acct);
	w = store_write_new(op->jid.full);
	op->row.ban = op->ban;
	account_update(w, &op->row);
	store_commit(&w, on_ban_kept, op);
}

static void
ban_at_home(void *msg)
{
	struct op *op = msg;

	account_get(&op->jid, on_found_to_ban, op);
}

void
account_ban(const struct jid *bare, struct str details, account_done_fn *done,
    void *ctx)
{
	struct op *op = op_new(bare, done, ctx);

	/* An empty text is what takes it out of the row. */
	op->ban = str_is_none(details) ? STR("") : str_dup(op->arena, details);
	op_go_home(op, ban_at_home);
}

/* Removal ----------------------------------------------------------------- */

/* Nobody is left who would be subscribed to it, or it to him. */
static void
end_subscriptions(struct account *acct)
{
	const struct roster_item *item;
	struct shown nobody = { 0 };

	for (size_t i = 0; (item = roster_next(acct, &i)) != NULL;)
		subscribe_end(acct, item, &nobody);
}

static void
on_removed(void *ctx, int err)
{
	struct op *op = ctx;
	struct account *acct = op->acct;

	if (err < 0) {
		acct->is_deleted = false;
		op_end(op, err);
		account_unpin(acct);
		return;
	}
	log_info(NULL, "account " STR_FMT " removed", STR_ARG(op->jid.full));
	hook_account(HOOK_ACCOUNT_DELETED, acct);
	/* Who asked may be one of its sessions. */
	op_end(op, 0);
	close_sessions(acct, EL_SE_NOT_AUTHORIZED, "the account was removed");
	end_subscriptions(acct);
	account_detach(acct);
	account_unpin(acct);
}

/*
 * What it has elsewhere is gone first: after a crash between the two there is
 * an account still, to be removed again.
 */
static void
on_belongings_gone(void *ctx, int err, json_t *list)
{
	struct op *op = ctx;
	struct store_write *w;

	json_decref(list);
	if (err < 0) {
		on_removed(op, err);
		return;
	}
	w = store_write_new(op->jid.full);
	account_delete(w, op->jid.full);
	kv_clear(w, op->jid.full, STR_NONE);
	archive_clear(w, op->jid.full, STR_NONE);
	store_commit(&w, on_removed, op);
}

static void
on_found_to_remove(void *ctx, int err, struct account *acct)
{
	struct op *op = ctx;

	if (acct == NULL || acct->is_deleted) {
		op_end(op, err < 0 ? err : ERR_ABSENT);
		return;
	}
	op->acct = acct;
	account_pin(acct);
	/* Nothing more is done in its name. */
	acct->is_deleted = true;
	belongings_begin(acct, true, on_belongings_gone, op);
}

static void
remove_at_home(void *msg)
{
	struct op *op = msg;

	account_get(&op->jid, on_found_to_remove, op);
}

void
account_remove(const struct jid *bare, account_done_fn *done, void *ctx)
{
	op_ask(op_new(bare, done, ctx), AUTH_REMOVE, remove_at_home);
}
