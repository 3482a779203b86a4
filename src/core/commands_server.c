/* SPDX-License-Identifier: MIT */
/* Commands about the server's life and its configuration. */
#include "base/err.h"
#include "core/commands.h"
#include "core/daemon.h"
#include "core/host.h"
#include "core/session.h"
#include "net/tls.h"
#include "store/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* An answer has this long to leave before the server does. */
#define LEAVE_MS 200

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

/* What the server does next, on the first worker. */
static struct {
	struct timer timer;
	void (*fn)(void);
} later;

struct wish {
	uint64_t ms;
	void (*fn)(void);
};

static void
on_later(struct timer *t)
{
	later.fn();
}

static void
on_wish(void *msg)
{
	struct wish *w = (struct wish *)msg;

	later.fn = w->fn;
	timer_start(&later.timer, w->ms, on_later);
	xfree(w);
}

void
command_after(uint64_t ms, void (*fn)(void))
{
	struct wish *w = (struct wish *)xzalloc(sizeof(*w));

	w->ms = ms;
	w->fn = fn;
	loop_post(loop_at(0), on_wish, w);
}

void
command_never(void)
{
	if (loop_index(loop_self()) == 0)
		timer_stop(&later.timer);
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
	command_after(LEAVE_MS, daemon_stop);
}

static void
on_restart_checked(void *ctx, int err, const char *text)
{
	struct cmd *c = (struct cmd *)ctx;

	if (err < 0) {
		cmd_fail(c, CMD_BAD_ARG, 0, "%s", text);
		return;
	}
	cmd_ok(c, NULL);
	command_after(LEAVE_MS, daemon_restart);
}

static void
run_restart(struct cmd *c)
{
	daemon_restart_check(on_restart_checked, c);
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

static json_t *
sessions_part(const struct cmd *c)
{
	return json_integer((json_int_t)session_count());
}

static void
on_sessions(struct cmd *c, json_t *count)
{
	json_t *node = json_object(), *list = json_array();

	json_object_set_new(node, "name", json_string(command_node()));
	json_object_set_new(node, "running", json_string("true"));
	json_object_set_new(node, "status", json_string("started"));
	json_object_set_new(node, "online_users", count);
	json_object_set_new(
	    node, "processes", json_integer((json_int_t)loop_count() + 1));
	json_object_set_new(node, "uptime_seconds",
	    json_integer((json_int_t)(daemon_uptime() / 1000)));
	json_object_set_new(node, "master_node", json_string(command_node()));
	json_array_append_new(list, node);
	cmd_result(c, list);
}

static void
run_list_cluster_detailed(struct cmd *c)
{
	cmd_gather(c, sessions_part, on_sessions);
}

/* Certificates ------------------------------------------------------------*/

/* Is it what one of our hosts shows? */
static bool
is_cert_used(const char *file)
{
	struct tls_report r;

	for (size_t i = 0; i < host_count(); i++)
		if (tls_report(host_at(i)->jid.domain, &r) &&
		    strncmp(r.file, file, sizeof(r.file) - 1) == 0)
			return true;
	return false;
}

static void
add_cert(void *ctx, struct str name, const char *file)
{
	json_array_append_new((json_t *)ctx,
	    json_pack("{s:s%, s:s, s:s}", "domain", name.p, name.n, "file",
		file, "used", is_cert_used(file) ? "true" : "false"));
}

static void
run_list_certificates(struct cmd *c)
{
	json_t *list = json_array();

	tls_each_name(add_cert, list);
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
	    .help = "Stop the server and start it again; refused, with the "
		    "reason, if it would not start",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_restart },
	{ .name = "list_certificates",
	    .tag = "acme",
	    .help = "List the names that there are certificates for, and "
		    "whether a host shows them",
	    .result_name = "certificates",
	    .result = "[{domain:string, file:string, used:string}]",
	    .run = run_list_certificates },
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
	{ .name = "list_cluster_detailed",
	    .tag = "cluster",
	    .help = "List the nodes of the cluster, and how they are",
	    .result_name = "nodes",
	    .result = "[{name:atom, running:string, status:string, "
		      "online_users:integer, processes:integer, "
		      "uptime_seconds:integer, master_node:atom}]",
	    .run = run_list_cluster_detailed },
	COMMANDS_END,
};
