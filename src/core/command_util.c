/* SPDX-License-Identifier: MIT */
/* What many commands answer with. */
#include "base/err.h"
#include "core/command.h"

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
