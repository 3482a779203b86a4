/* SPDX-License-Identifier: MIT */
/* Users of the host. */
#include "modules/api/api.h"

static const struct jid *
user(const struct call *c)
{
	return &call_arg(c, "user_id")->jid;
}

static json_t *
if_any(struct str s)
{
	return json_of(s.n > 0 ? s : STR_NONE);
}

static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct call *c = ctx;

	if (err < 0) {
		call_error(c, err, "user");
		return;
	}
	call_json(
	    c, json_pack("{s:o, s:o, s:o, s:o, s:b, s:o}", "user_id",
		   json_of(row->jid), "first_name", if_any(row->first_name),
		   "last_name", if_any(row->last_name), "email_addr",
		   if_any(row->email), "online", c->ctx != NULL, "last_seen",
		   row->last_seen > 0 ? json_time(c->arena, row->last_seen)
				      : json_null()));
}

static void
on_account(void *ctx, int err, struct account *acct)
{
	struct call *c = ctx;

	c->ctx = NULL;
	if (err == 0 && acct != NULL && account_online_count(acct) > 0)
		c->ctx = c;
	store_account_get(user(c)->bare, on_row, c);
}

static bool
is_here(struct call *c)
{
	if (str_eq(user(c)->domain, c->host->jid.domain))
		return true;
	call_problem(
	    c, 404, "no-such-user", "There is no such user on this host.");
	return false;
}

void
run_user(struct call *c)
{
	if (is_here(c))
		account_call(user(c), on_account, c);
}

/* An argument that was not given leaves what is there. */
static void
on_changed(void *ctx, int err)
{
	struct call *c = ctx;

	if (err < 0)
		call_error(c, err, "user");
	else
		account_call(user(c), on_account, c);
}

void
run_user_change(struct call *c)
{
	struct account_row row = { .jid = user(c)->bare };
	struct store_write *w;

	if (!is_here(c))
		return;
	row.first_name = call_text(c, "first_name");
	row.last_name = call_text(c, "last_name");
	row.email = call_text(c, "email_addr");
	w = store_write_new(row.jid);
	account_update(w, &row);
	store_commit(&w, on_changed, c);
}
