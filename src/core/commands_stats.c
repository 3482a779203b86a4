/* SPDX-License-Identifier: MIT */
/* Commands that count. */
#include "base/err.h"
#include "core/account_impl.h"
#include "core/commands.h"
#include "core/daemon.h"
#include "core/host.h"
#include "core/session.h"
#include "store/store.h"

/* Accounts, summed over hosts ---------------------------------------------*/

struct count {
	struct cmd *cmd;
	uint64_t sum;
	size_t waiting;
	int err;
};

static void
on_count(void *ctx, int err, uint64_t n)
{
	struct count *count = (struct count *)ctx;

	if (err < 0)
		count->err = err;
	count->sum += n;
	if (--count->waiting > 0)
		return;
	if (count->err < 0)
		cmd_fail(count->cmd, CMD_FAILED, 0, "%s", err_text(count->err));
	else
		cmd_result(count->cmd, json_integer((json_int_t)count->sum));
}

/* `host` NULL: all. */
static void
count_accounts(struct cmd *c, const struct host *host)
{
	struct count *count = arena_new_of(cmd_arena(c), struct count);

	count->cmd = c;
	count->waiting = host != NULL ? 1 : host_count();
	for (size_t i = 0; i < host_count(); i++)
		if (host == NULL || host_at(i) == host)
			store_account_count(
			    host_at(i)->jid.domain, on_count, count);
}

/* Sessions ----------------------------------------------------------------*/

static json_t *
sessions_part(const struct cmd *c)
{
	return json_integer((json_int_t)session_count());
}

struct host_count {
	const struct host *host;
	json_int_t count;
};

static void
count_session(void *ctx, struct session *s)
{
	struct host_count *n = (struct host_count *)ctx;

	if (s->account->host == n->host && !s->is_closing)
		n->count++;
}

static json_t *
host_sessions_part(const struct cmd *c)
{
	struct host_count n = { .host = (struct host *)cmd_ctx(c) };

	session_each(count_session, &n);
	return json_integer(n.count);
}

/* stats -------------------------------------------------------------------*/

static void
run_stats(struct cmd *c)
{
	struct str name = cmd_str(c, "name");

	if (str_is(name, "registeredusers"))
		count_accounts(c, NULL);
	else if (str_is(name, "onlineusers") || str_is(name, "onlineusersnode"))
		cmd_gather(c, sessions_part, NULL);
	else if (str_is(name, "uptimeseconds"))
		cmd_result(
		    c, json_integer((json_int_t)(daemon_uptime() / 1000)));
	else if (str_is(name, "processes"))
		cmd_result(c, json_integer((json_int_t)loop_count() + 1));
	else
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "name: registeredusers, onlineusers, onlineusersnode, "
		    "uptimeseconds or processes");
}

static void
run_stats_host(struct cmd *c)
{
	struct str name = cmd_str(c, "name");
	struct host *host = cmd_host(c, "host");

	if (host == NULL)
		return;
	cmd_set_ctx(c, host);
	if (str_is(name, "registeredusers"))
		count_accounts(c, host);
	else if (str_is(name, "onlineusers"))
		cmd_gather(c, host_sessions_part, NULL);
	else
		cmd_fail(
		    c, CMD_BAD_ARG, 0, "name: registeredusers or onlineusers");
}

/* Memory ------------------------------------------------------------------*/

/* What the worker keeps to be quick goes back to the heap... */
static void
trim_part(void *ctx, unsigned worker)
{
	arena_thread_done();
}

static void
trim_heap(void *arg)
{
	heap_trim();
}

static void
on_trimmed(void *arg)
{
	cmd_ok((struct cmd *)arg, NULL);
}

/* ...and from there to the system. */
static void
on_parts_trimmed(void *ctx)
{
	loop_work(trim_heap, on_trimmed, ctx);
}

static void
run_gc(struct cmd *c)
{
	worker_gather(trim_part, on_parts_trimmed, c);
}

/* Accounts that are kept in memory in case they are needed again. */
static void
forget_part(void *ctx, unsigned worker)
{
	accounts_drop_idle();
}

static void
on_forgotten(void *ctx)
{
	cmd_ok((struct cmd *)ctx, NULL);
}

static void
run_clear_cache(struct cmd *c)
{
	worker_gather(forget_part, on_forgotten, c);
}

const struct command commands_stats[] = {
	{ .name = "stats",
	    .tag = "statistics",
	    .help = "Get a statistic: registeredusers, onlineusers, "
		    "onlineusersnode, uptimeseconds or processes",
	    .args = { ARG("name", "string") },
	    .result_name = "stat",
	    .result = "integer",
	    .run = run_stats },
	{ .name = "stats_host",
	    .tag = "statistics",
	    .help = "Get a statistic of a host: registeredusers or "
		    "onlineusers",
	    .args = { ARG("name", "string"), ARG("host", "string") },
	    .result_name = "stat",
	    .result = "integer",
	    .run = run_stats_host },
	{ .name = "clear_cache",
	    .tag = "server",
	    .help = "Forget accounts that are in memory without need",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_clear_cache },
	{ .name = "gc",
	    .tag = "server",
	    .help = "Give memory that is not in use back to the system",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_gc },
	COMMANDS_END,
};
