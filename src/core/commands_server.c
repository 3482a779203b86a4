/* SPDX-License-Identifier: MIT */
/* Commands about the server's life and its configuration. */
#include "base/err.h"
#include "core/commands.h"
#include "core/daemon.h"
#include "core/module.h"
#include "store/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* An answer has this long to leave before the server does. */
#define LEAVE_MS 200
#define DELAY_MAX_S (24 * 3600)

const char *
command_node(void)
{
	static _Thread_local char node[300];
	char host[256] = "localhost";

	if (node[0] == '\0') {
		gethostname(host, sizeof(host) - 1);
		snprintf(node, sizeof(node), "rookery@%s", host);
	}
	return node;
}

/* Later -------------------------------------------------------------------*/

/* What the server does next; a later wish takes the place of an earlier. */
static _Thread_local struct {
	struct timer timer;
	void (*fn)(void);
} later;

static void
on_later(struct timer *t)
{
	later.fn();
}

static void
run_after(uint64_t ms, void (*fn)(void))
{
	later.fn = fn;
	timer_start(&later.timer, ms, on_later);
}

void
command_later(void (*fn)(void))
{
	run_after(LEAVE_MS, fn);
}

/* Life --------------------------------------------------------------------*/

static void
run_status(struct cmd *c)
{
	cmd_ok(c, arena_printf(cmd_arena(c),
		      "The node '%s' is started. Status: started\n"
		      "rookery %s is running in that node",
		      command_node(), daemon_version()));
}

static void
run_stop(struct cmd *c)
{
	cmd_ok(c, NULL);
	command_later(daemon_stop);
}

static void
run_restart(struct cmd *c)
{
	cmd_ok(c, NULL);
	command_later(daemon_restart);
}

static void
on_reloaded(void *ctx, int err, const char *text)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err < 0)
		cmd_fail(c, CMD_BAD_ARG, 0, "%s", text);
	else
		cmd_ok(c, text != NULL && *text != '\0' ? text : NULL);
}

static void
run_reload_config(struct cmd *c)
{
	daemon_reload(on_reloaded, c);
}

/* Files, which a pool's thread writes -------------------------------------*/

struct file_job {
	struct cmd *cmd;
	const char *path;
	struct str text;
	int err;
	const char *why;
};

static int
write_all(int fd, struct str text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text = str_skip(text, (size_t)n);
	}
	return 0;
}

static void
write_file(void *arg)
{
	struct file_job *job = (struct file_job *)arg;
	int fd = open(job->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    S_IRUSR | S_IWUSR);

	job->err = fd < 0 ? -errno : write_all(fd, job->text);
	if (fd >= 0 && close(fd) < 0 && job->err == 0)
		job->err = -errno;
}

static void
on_file_written(void *arg)
{
	struct file_job *job = (struct file_job *)arg;

	if (job->err < 0)
		cmd_fail(job->cmd, CMD_BAD_ARG, 0, "%s: %s", job->path,
		    err_text(job->err));
	else
		cmd_ok(job->cmd, NULL);
}

static struct file_job *
file_job_new(struct cmd *c, const char *arg)
{
	struct file_job *job = arena_new_of(cmd_arena(c), struct file_job);

	job->cmd = c;
	job->path = str_dup_c(cmd_arena(c), cmd_str(c, arg));
	return job;
}

static void
run_dump_config(struct cmd *c)
{
	struct file_job *job = file_job_new(c, "out");

	job->text = daemon_dump_conf(cmd_arena(c));
	loop_work(write_file, on_file_written, job);
}

static void
make_backup(void *arg)
{
	struct file_job *job = (struct file_job *)arg;

	job->err = store_backup(cmd_arena(job->cmd), job->path, &job->why);
}

static void
on_backup_made(void *arg)
{
	struct file_job *job = (struct file_job *)arg;

	if (job->err < 0)
		cmd_fail(job->cmd, CMD_FAILED, 0,
		    "Can't store backup in \"%s\" at node %s: %s", job->path,
		    command_node(),
		    job->why != NULL ? job->why : err_text(job->err));
	else
		cmd_ok(job->cmd, "");
}

static void
run_backup(struct cmd *c)
{
	loop_work(make_backup, on_backup_made, file_job_new(c, "file"));
}

/* Kindly ------------------------------------------------------------------*/

struct announcement {
	struct str text;
	void (*then)(void);
	uint64_t delay_ms;
	struct cmd *cmd;
};

static void
announce_to(void *ctx, struct session *s)
{
	const struct announcement *an = (const struct announcement *)ctx;
	struct stanza *st;

	if (!session_is_available(s))
		return;
	st = stanza_new(EL_MESSAGE);
	stanza_set_type(st, MESSAGE_HEADLINE);
	stanza_set_from(st, &s->account->host->jid);
	stanza_set_to(st, &s->jid);
	elem_add_text(st->root, EL_SUBJECT, STR("Server announcement"));
	elem_add_text(st->root, EL_BODY, str_dup(st->arena, an->text));
	session_send(s, st);
}

static void
announce_part(void *ctx, unsigned worker)
{
	session_each(announce_to, ctx);
}

static void
on_announced(void *ctx)
{
	struct announcement *an = (struct announcement *)ctx;

	run_after(MAX(an->delay_ms, LEAVE_MS), an->then);
	cmd_ok(an->cmd, NULL);
}

/* Tells who is online, and does it after the delay. */
static void
announce_then(struct cmd *c, void (*then)(void))
{
	struct announcement *an =
	    arena_new_of(cmd_arena(c), struct announcement);
	int64_t delay = cmd_int(c, "delay");

	if (delay < 0 || delay > DELAY_MAX_S) {
		cmd_fail(
		    c, CMD_BAD_ARG, 0, "delay: 0 to %d seconds", DELAY_MAX_S);
		return;
	}
	an->text = cmd_str(c, "announcement");
	an->then = then;
	an->delay_ms = SECONDS(delay);
	an->cmd = c;
	worker_gather(announce_part, on_announced, an);
}

static void
run_stop_kindly(struct cmd *c)
{
	announce_then(c, daemon_stop);
}

static void
run_restart_kindly(struct cmd *c)
{
	announce_then(c, daemon_restart);
}

/* What there is -----------------------------------------------------------*/

static void
run_registered_vhosts(struct cmd *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < host_count(); i++) {
		struct str name = host_at(i)->jid.domain;

		json_array_append_new(list, json_stringn(name.p, name.n));
	}
	cmd_result(c, list);
}

static void
run_list_cluster(struct cmd *c)
{
	json_t *list = json_array();

	json_array_append_new(list, json_string(command_node()));
	cmd_result(c, list);
}

const struct command commands_server[] = {
	{ .name = "status",
	    .tag = "server",
	    .help = "Get status of the server",
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_status },
	{ .name = "stop",
	    .tag = "server",
	    .help = "Stop the server in an orderly way",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_stop },
	{ .name = "halt",
	    .tag = "server",
	    .help = "Stop the server; the same as stop",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_stop },
	{ .name = "restart",
	    .tag = "server",
	    .help = "Stop the server and start it again",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_restart },
	{ .name = "stop_kindly",
	    .tag = "server",
	    .help = "Tell the users that are online, wait, and stop",
	    .args = { ARG("delay", "integer"), ARG("announcement", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_stop_kindly },
	{ .name = "restart_kindly",
	    .tag = "server",
	    .help = "Tell the users that are online, wait, and restart",
	    .args = { ARG("delay", "integer"), ARG("announcement", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_restart_kindly },
	{ .name = "reload_config",
	    .tag = "config",
	    .help = "Read the configuration and the certificates again",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_reload_config },
	{ .name = "dump_config",
	    .tag = "config",
	    .help = "Write the configuration in use to a file",
	    .args = { ARG("out", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_dump_config },
	{ .name = "backup",
	    .tag = "db",
	    .help = "Write a copy of the database to a file",
	    .args = { ARG("file", "string") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_backup },
	{ .name = "registered_vhosts",
	    .tag = "server",
	    .help = "List the hosts of this server",
	    .result_name = "vhosts",
	    .result = "[vhost:string]",
	    .run = run_registered_vhosts },
	{ .name = "list_cluster",
	    .tag = "cluster",
	    .help = "List the nodes of the cluster",
	    .result_name = "nodes",
	    .result = "[node:atom]",
	    .run = run_list_cluster },
	COMMANDS_END,
};
