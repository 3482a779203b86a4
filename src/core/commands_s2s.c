/* SPDX-License-Identifier: MIT */
/* Commands about streams with other servers. */
#include "core/commands.h"
#include "core/s2s.h"

static json_t *
in_part(const struct cmd *c)
{
	return json_integer((json_int_t)s2s_count_in());
}

static json_t *
out_part(const struct cmd *c)
{
	return json_integer((json_int_t)s2s_count_out());
}

static void
run_in(struct cmd *c)
{
	cmd_gather(c, in_part, NULL);
}

static void
run_out(struct cmd *c)
{
	cmd_gather(c, out_part, NULL);
}

static void
stop_part(void *ctx, unsigned worker)
{
	s2s_close_all();
}

static void
on_stopped(void *ctx)
{
	cmd_ok((struct cmd *)ctx, NULL);
}

static void
run_stop(struct cmd *c)
{
	worker_gather(stop_part, on_stopped, c);
}

const struct command commands_s2s[] = {
	{ .name = "incoming_s2s_number",
	    .tag = "statistics",
	    .help = "Number of incoming streams of other servers",
	    .result_name = "s2s_incoming",
	    .result = "integer",
	    .run = run_in },
	{ .name = "outgoing_s2s_number",
	    .tag = "statistics",
	    .help = "Number of outgoing streams to other servers",
	    .result_name = "s2s_outgoing",
	    .result = "integer",
	    .run = run_out },
	{ .name = "stop_s2s_connections",
	    .tag = "s2s",
	    .help = "Close all streams with other servers",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_stop },
	COMMANDS_END,
};
