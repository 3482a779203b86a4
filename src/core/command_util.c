/* SPDX-License-Identifier: MIT */
/* What many commands answer with. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/account.h"
#include "core/commands.h"

#include <stdio.h>

static const struct log_ctx log_commands = { .source = "commands" };

/* Of one account --------------------------------------------------------- */

struct at_home {
	struct cmd *cmd;
	void (*found)(struct cmd *c, struct account *acct);
	bool must_be; /* not without an account */
};

static void
on_account(void *ctx, int err, struct account *acct)
{
	const struct at_home *h = (const struct at_home *)ctx;

	if (err < 0 && err != ERR_ABSENT)
		cmd_fail(h->cmd, CMD_FAILED, 0, "%s", err_text(err));
	else if (acct == NULL && h->must_be)
		cmd_fail(h->cmd, CMD_NOT_FOUND, 0, "unregistered_user");
	else
		h->found(h->cmd, acct);
}

static void
go_home(struct cmd *c, const struct jid *bare,
    void (*found)(struct cmd *c, struct account *acct), bool must_be)
{
	struct at_home *h = arena_new_of(cmd_arena(c), struct at_home);

	*h = (struct at_home){ c, found, must_be };
	account_call(bare, on_account, h);
}

void
command_at_home(
    struct cmd *c, void (*found)(struct cmd *c, struct account *acct))
{
	struct jid jid;

	if (cmd_account(c, "user", "host", &jid))
		go_home(c, &jid, found, false);
}

void
cmd_if_account(struct cmd *c, const struct jid *bare,
    void (*found)(struct cmd *c, struct account *acct))
{
	go_home(c, bare, found, true);
}

/* Files ------------------------------------------------------------------ */

const char *
cmd_file_read(const char *path, size_t max, struct str *text_r)
{
	FILE *f = fopen(path, "re");
	const char *why = NULL;

	*text_r = STR_NONE;
	if (f == NULL)
		return "The file can't be opened";
	text_r->p = (char *)xmalloc(max + 1);
	text_r->n = fread((char *)(uintptr_t)text_r->p, 1, max + 1, f);
	if (ferror(f))
		why = "The file can't be read";
	else if (text_r->n > max)
		why = "The file is too big";
	fclose(f);
	return why;
}

/* Ends ------------------------------------------------------------------- */

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
cmd_days(struct cmd *c, int64_t *days_r)
{
	*days_r = cmd_int(c, "days");
	if (*days_r >= 0 && *days_r <= CMD_DAYS_MAX)
		return true;
	cmd_fail(c, CMD_BAD_ARG, 0, "days: 0 to %d", CMD_DAYS_MAX);
	return false;
}

bool
cmd_days_ago(struct cmd *c, int64_t *time_r)
{
	int64_t days;

	if (!cmd_days(c, &days))
		return false;
	*time_r = clock_real() - (int64_t)DAYS(days);
	return true;
}

bool
cmd_job_begin(struct cmd *c, struct cmd_job *job)
{
	if (atomic_exchange(&job->is_running, true)) {
		cmd_fail(c, CMD_CONFLICT, 0, "Operation in progress");
		return false;
	}
	job->has_run = true;
	job->is_aborted = false;
	job->count = 0;
	job->err = 0;
	cmd_ok(c, arena_printf(cmd_arena(c), "Starting %s in the background",
		      job->what));
	return true;
}

void
cmd_job_end(struct cmd_job *job, int err)
{
	if (err < 0)
		log_warn(&log_commands, "%s ended early, after %llu: %s",
		    job->what, (unsigned long long)job->count, err_text(err));
	job->err = err;
	job->is_running = false;
}

void
cmd_job_tell(struct cmd *c, const struct cmd_job *job)
{
	const char *state = job->is_aborted   ? "Operation aborted"
			    : job->is_running ? "Operation in progress"
			    : job->err < 0    ? "Operation failed"
			    : job->has_run    ? "Operation finished"
					      : "Operation not started";

	cmd_result(
	    c, json_sprintf("%s, deleted %llu messages%s%s", state,
		   (unsigned long long)job->count, job->err < 0 ? ": " : "",
		   job->err < 0 ? err_text(job->err) : ""));
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
