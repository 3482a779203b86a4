/* SPDX-License-Identifier: MIT */
/* Commands about the log. */
#include "base/err.h"
#include "base/log.h"
#include "core/commands.h"
#include "core/conf.h"
#include "net/loop.h"

#include <errno.h>
#include <stdio.h>

static void
run_get_loglevel(struct cmd *c)
{
	int level = __atomic_load_n(&log_level_now, __ATOMIC_RELAXED);

	cmd_result(c, json_string(log_level_name((enum log_level)level)));
}

static void
run_set_loglevel(struct cmd *c)
{
	enum log_level level;

	if (!log_level_parse(cmd_str(c, "loglevel"), &level)) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid log level");
		return;
	}
	log_set_level(level);
	cmd_ok(c, NULL);
}

/* On a thread of the pool: it opens a file --------------------------------*/

struct log_job {
	struct cmd *cmd;
	const char *path; /* to be renamed first, or NULL */
	const char *old;
	int err;
};

static void
reopen(void *arg)
{
	struct log_job *job = (struct log_job *)arg;

	if (job->path != NULL && rename(job->path, job->old) < 0 &&
	    errno != ENOENT)
		job->err = -errno;
	else
		job->err = log_reopen();
}

static void
on_reopened(void *arg)
{
	struct log_job *job = (struct log_job *)arg;

	if (job->err < 0)
		cmd_fail(job->cmd, CMD_BAD_ARG, 0, "the log: %s",
		    err_text(job->err));
	else
		cmd_ok(job->cmd, NULL);
}

static struct log_job *
log_job_new(struct cmd *c)
{
	struct log_job *job = arena_new_of(cmd_arena(c), struct log_job);

	job->cmd = c;
	return job;
}

static void
run_reopen_log(struct cmd *c)
{
	loop_work(reopen, on_reopened, log_job_new(c));
}

/* The file becomes FILE.0; other targets have nothing to rotate. */
static void
run_rotate_log(struct cmd *c)
{
	const char *target = conf_now()->log.target;
	struct log_job *job = log_job_new(c);

	if (strcmp(target, "stderr") != 0 && strcmp(target, "syslog") != 0) {
		job->path = str_dup_c(cmd_arena(c), str_c(target));
		job->old = arena_printf(cmd_arena(c), "%s.0", target);
	}
	loop_work(reopen, on_reopened, job);
}

const struct command commands_logs[] = {
	{ .name = "get_loglevel",
	    .tag = "logs",
	    .help = "Get the level of the log",
	    .result_name = "levelatom",
	    .result = "atom",
	    .run = run_get_loglevel },
	{ .name = "set_loglevel",
	    .tag = "logs",
	    .help = "Set the level of the log: none, emergency, alert, "
		    "critical, error, warning, notice, info or debug",
	    .args = { ARG("loglevel", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_set_loglevel },
	{ .name = "reopen_log",
	    .tag = "logs",
	    .help = "Open the log's file again, after it was renamed",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_reopen_log },
	{ .name = "rotate_log",
	    .tag = "logs",
	    .help = "Rename the log's file to FILE.0 and begin a new one",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_rotate_log },
	COMMANDS_END,
};
