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

bool
cmd_job_begin(struct cmd *c, struct cmd_job *job, const char *text)
{
	if (atomic_exchange(&job->is_running, true)) {
		cmd_fail(c, CMD_CONFLICT, 0, "Operation in progress");
		return false;
	}
	job->has_run = true;
	job->is_aborted = false;
	job->count = 0;
	cmd_ok(c, text);
	return true;
}

void
cmd_job_tell(struct cmd *c, const struct cmd_job *job)
{
	const char *state = job->is_aborted   ? "Operation aborted"
			    : job->is_running ? "Operation in progress"
			    : job->has_run    ? "Operation finished"
					      : "Operation not started";

	cmd_result(c, json_sprintf("%s, deleted %llu messages", state,
			  (unsigned long long)job->count));
}

void
cmd_job_abort(struct cmd *c, struct cmd_job *job)
{
	if (job->is_running) {
		job->is_aborted = true;
		cmd_result(c, json_string("Operation aborted"));
	} else {
		cmd_result(c, json_string("Operation not started"));
	}
}
