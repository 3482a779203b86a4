/* SPDX-License-Identifier: MIT */
/* Commands about components (XEP-0114). */
#include "core/commands.h"
#include "core/component.h"
#include "net/loop.h"

static void
add_info(void *ctx, const struct component_info *info)
{
	uint64_t seconds = (loop_now() - info->since) / 1000;

	json_array_append_new((json_t *)ctx,
	    json_pack("{s:s%, s:s, s:s, s:I, s:I, s:I}", "domain",
		info->domain.p, info->domain.n, "ip", info->ip, "connection",
		info->is_tls ? "tls" : "tcp", "seconds", (json_int_t)seconds,
		"received", (json_int_t)info->received, "sent",
		(json_int_t)info->sent));
}

static json_t *
list_part(const struct cmd *c)
{
	json_t *list = json_array();

	component_streams(add_info, list);
	return list;
}

static void
run_list(struct cmd *c)
{
	cmd_gather(c, list_part, NULL);
}

static json_t *
close_part(const struct cmd *c)
{
	bool is_mine =
	    component_close(cmd_str(c, "domain"), "closed by an administrator");

	return json_integer(is_mine ? 1 : 0);
}

static void
on_closed(struct cmd *c, json_t *whole)
{
	bool is_found = json_integer_value(whole) > 0;

	json_decref(whole);
	if (is_found)
		cmd_ok(c, NULL);
	else
		cmd_fail(c, CMD_NOT_FOUND, 0,
		    "no component of that domain is connected");
}

static void
run_close(struct cmd *c)
{
	cmd_gather(c, close_part, on_closed);
}

const struct command commands_components[] = {
	{ .name = "connected_components",
	    .tag = "component",
	    .help = "List the external components that are connected",
	    .result_name = "components",
	    .result = "[{domain:string, ip:string, connection:string, "
		      "seconds:integer, received:integer, sent:integer}]",
	    .run = run_list },
	{ .name = "stop_component",
	    .tag = "component",
	    .help = "Close the connection of a component",
	    .args = { ARG("domain", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_close },
	COMMANDS_END,
};
