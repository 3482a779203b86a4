/* SPDX-License-Identifier: MIT */
#include "core/belongings.h"

#include "core/account.h"
#include "core/hooks.h"

struct belongings {
	struct account *acct; /* pinned */
	bool are_to_go;
	unsigned holds;
	int err;
	json_t *list;
	belongings_fn *done;
	void *ctx;
};

struct account *
belongings_account(const struct belongings *b)
{
	return b->acct;
}

bool
belongings_are_to_go(const struct belongings *b)
{
	return b->are_to_go;
}

void
belongings_add(
    struct belongings *b, const char *kind, struct str name, uint64_t amount)
{
	if (json_array_size(b->list) < BELONGINGS_MAX)
		json_array_append_new(
		    b->list, json_pack("{s:s, s:s%, s:I}", "kind", kind, "name",
				 name.p, name.n, "amount", (json_int_t)amount));
}

void
belongings_hold(struct belongings *b)
{
	b->holds++;
}

void
belongings_release(struct belongings *b, int err)
{
	struct account *acct = b->acct;

	must(b->holds > 0);
	if (err < 0)
		b->err = err;
	if (--b->holds > 0)
		return;
	b->done(b->ctx, b->err, b->list);
	xfree(b);
	account_unpin(acct);
}

void
belongings_begin(
    struct account *acct, bool are_to_go, belongings_fn *done, void *ctx)
{
	struct belongings *b = (struct belongings *)xzalloc(sizeof(*b));

	account_pin(acct);
	b->acct = acct;
	b->are_to_go = are_to_go;
	b->list = json_array();
	b->done = done;
	b->ctx = ctx;
	belongings_hold(b);
	hook_belongings(b);
	belongings_release(b, 0);
}
