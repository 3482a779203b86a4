/* SPDX-License-Identifier: MIT */
/* What many commands do with their arguments and their stores. */
#include "core/command.h"

#include "base/err.h"
#include "core/host.h"
#include "jid/jid.h"

bool
cmd_account(struct cmd *c, struct jid *jid_r)
{
	struct arena *a = cmd_arena(c);
	struct str local, domain;

	if (jid_prep_local(a, cmd_str(c, "user"), &local) < 0) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid user name");
		return false;
	}
	if (jid_prep_domain(a, cmd_str(c, "host"), &domain) < 0 ||
	    host_find(domain) == NULL) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Unknown virtual host");
		return false;
	}
	*jid_r = jid_make(a, local, domain, STR_NONE);
	return true;
}

void
cmd_on_done(void *ctx, int err)
{
	struct cmd *c = ctx;

	if (err < 0)
		cmd_fail(c, err == ERR_ABSENT ? CMD_NOT_FOUND : CMD_FAILED, 0,
		    "%s", err_text(err));
	else
		cmd_ok(c, NULL);
}
