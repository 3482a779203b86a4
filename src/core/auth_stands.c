/* SPDX-License-Identifier: MIT */
/*
 * Logins that show no password (tokens, certificates): does the account still
 * stand? One that another backend brought may be gone from there. The
 * question is asked at the account's home, so one cache knows the answer.
 */
#include "core/auth.h"

#include "base/err.h"
#include "core/account_impl.h"
#include "core/auth_backend.h"

struct stand {
	struct arena *arena;  /* this is in it */
	struct account *acct; /* pinned, once it is there */
	struct loop *asker;
	store_done_fn *done;
	void *ctx;
	int err;
};

static struct stand *
stand_new(store_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct stand *s = arena_new_of(a, struct stand);

	s->arena = a;
	s->asker = loop_self();
	s->done = done;
	s->ctx = ctx;
	return s;
}

static void
stand_tell(void *msg)
{
	struct stand *s = (struct stand *)msg;

	s->done(s->ctx, s->err);
	arena_free(&s->arena);
}

static void
stand_end(struct stand *s, int err)
{
	if (s->acct != NULL)
		account_unpin(s->acct);
	s->err = err;
	if (s->asker == loop_self())
		stand_tell(s);
	else
		loop_post(s->asker, stand_tell, s);
}

static void
on_asked(void *ctx, int err)
{
	struct stand *s = (struct stand *)ctx;

	/* While they were asked. */
	if (s->acct->is_deleted)
		err = ERR_ABSENT;
	else if (s->acct->is_banned)
		err = ERR_DENIED;
	else if (err == ERR_UNKNOWN)
		err = 0;
	stand_end(s, err);
}

static void
on_account(void *ctx, int err, struct account *acct)
{
	struct stand *s = (struct stand *)ctx;

	if (acct == NULL) {
		stand_end(s, err < 0 ? err : ERR_ABSENT);
		return;
	}
	s->acct = acct;
	account_pin(acct);
	if (acct->is_banned)
		stand_end(s, ERR_DENIED);
	else if (acct->has_keys || !auth_has_backends(acct->host))
		stand_end(s, 0);
	else
		auth_ask(AUTH_EXISTS, &acct->jid, STR_NONE, on_asked, s);
}

void
auth_account_stands(struct account *acct, store_done_fn *done, void *ctx)
{
	on_account(stand_new(done, ctx), 0, acct);
}

void
auth_stands(const struct jid *bare, store_done_fn *done, void *ctx)
{
	account_call(bare, on_account, stand_new(done, ctx));
}
