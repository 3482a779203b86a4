/* SPDX-License-Identifier: MIT */
/* Calls that act for an account, at its home. */
#include "modules/api/api.h"

static void
on_account(void *ctx, int err, struct account *acct)
{
	struct call *c = ctx;

	if (err < 0)
		call_error(c, ERR_STORE, "user");
	else if (acct == NULL)
		call_problem(c, 404, "no-such-user",
		    "There is no user '" STR_FMT "' on this host.",
		    STR_ARG(call_text(c, c->route->actor)));
	else if (acct->is_banned)
		call_problem(c, 403, "banned", "The user is banned.");
	else if (api_here(c->host) == NULL)
		call_problem(c, 503, "unavailable", "The API is being ended.");
	else
		once_begin(c);
}

void
call_at_home(struct call *c)
{
	const struct arg *actor = call_arg(c, c->route->actor);

	if (!str_eq(actor->jid.domain, c->host->jid.domain))
		call_problem(c, 404, "no-such-user",
		    "'%s' is not a user of this host.", c->route->actor);
	else
		account_call(&actor->jid, on_account, c);
}
