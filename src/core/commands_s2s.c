/* SPDX-License-Identifier: MIT */
/* Commands about streams with other servers. */
#include "base/buf.h"
#include "core/commands.h"
#include "core/conf.h"
#include "core/host.h"
#include "core/s2s.h"
#include "jid/jid.h"

/* Lists -------------------------------------------------------------------- */

static void
row_add(void *ctx, struct str local, struct str remote, const char *ip,
    const char *tls, const char *how, uint64_t seconds, size_t unacked)
{
	json_t *list = (json_t *)ctx;

	json_array_append_new(
	    list, json_pack("{s:s%, s:s%, s:s, s:s, s:s, s:I, s:I}", "local",
		      local.p, local.n, "remote", remote.p, remote.n, "ip", ip,
		      "tls", tls, "login", how, "seconds", (json_int_t)seconds,
		      "unacked", (json_int_t)unacked));
}

static json_t *
list_in_part(const struct cmd *c)
{
	json_t *list = json_array();

	s2s_list(S2S_IN, row_add, list);
	return list;
}

static json_t *
list_out_part(const struct cmd *c)
{
	json_t *list = json_array();

	s2s_list(S2S_OUT, row_add, list);
	return list;
}

static void
run_list_in(struct cmd *c)
{
	cmd_gather(c, list_in_part, NULL);
}

static void
run_list_out(struct cmd *c)
{
	cmd_gather(c, list_out_part, NULL);
}

/* A look, step by step ----------------------------------------------------- */

struct look {
	struct cmd *cmd;
	struct buf text;
};

static void
on_step(void *ctx, const char *text)
{
	struct look *l = (struct look *)ctx;

	/* A server may send us round in circles for as long as we try. */
	if (l->text.n < 16384)
		buf_printf(&l->text, "%s\n", text);
}

static void
on_looked(void *ctx, bool is_fine, const char *text)
{
	struct look *l = (struct look *)ctx;

	buf_printf(&l->text, "%s: %s", is_fine ? "OK" : "FAILED", text);
	cmd_result(l->cmd, json_stringn(l->text.p, l->text.n));
	buf_fini(&l->text);
	xfree(l);
}

static const struct s2s_probe probe = { .step = on_step, .done = on_looked };

static void
run_check(struct cmd *c)
{
	struct str local = cmd_str(c, "host"), domain;
	struct look *l;

	if (local.n == 0)
		local = host_at(0)->jid.domain;
	if (jid_prep_domain(cmd_arena(c), cmd_str(c, "domain"), &domain) < 0) {
		cmd_fail(c, CMD_BAD_ARG, 0, "this is no domain");
		return;
	}
	if (host_find(local) == NULL || host_find(domain) != NULL) {
		cmd_fail(c, CMD_BAD_ARG, 0,
		    "from one of our domains to another server's");
		return;
	}
	if (!conf_now()->is_federated) {
		cmd_fail(c, CMD_FAILED, 0,
		    "no listener is for other servers (type s2s)");
		return;
	}
	l = (struct look *)xzalloc(sizeof(*l));
	l->cmd = c;
	s2s_check(local, domain, &probe, l);
}

/* Numbers ------------------------------------------------------------------ */

static json_t *
in_part(const struct cmd *c)
{
	return json_integer((json_int_t)s2s_count(S2S_IN));
}

static json_t *
out_part(const struct cmd *c)
{
	return json_integer((json_int_t)s2s_count(S2S_OUT));
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

#define S2S_ROWS \
	"[{local:string, remote:string, ip:string, tls:string, " \
	"login:string, seconds:integer, unacked:integer}]"

const struct command commands_s2s[] = {
	{ .name = "incoming_s2s_number",
	    .tag = "s2s",
	    .help = "Number of incoming streams of other servers",
	    .result_name = "s2s_incoming",
	    .result = "integer",
	    .run = run_in },
	{ .name = "outgoing_s2s_number",
	    .tag = "s2s",
	    .help = "Number of outgoing streams to other servers",
	    .result_name = "s2s_outgoing",
	    .result = "integer",
	    .run = run_out },
	{ .name = "list_incoming_s2s",
	    .tag = "s2s",
	    .help = "List incoming streams of other servers",
	    .result_name = "streams",
	    .result = S2S_ROWS,
	    .run = run_list_in },
	{ .name = "list_outgoing_s2s",
	    .tag = "s2s",
	    .help = "List outgoing streams to other servers",
	    .result_name = "streams",
	    .result = S2S_ROWS,
	    .run = run_list_out },
	{ .name = "check_s2s",
	    .tag = "s2s",
	    .help = "Open a stream to a domain, and tell what comes of each "
		    "step: DNS, TCP, TLS, certificate, login",
	    .args = { { .name = "domain", .type = "string" },
		{ .name = "host", .type = "string", .fallback = "" } },
	    .result_name = "report",
	    .result = "string",
	    .run = run_check },
	{ .name = "stop_s2s_connections",
	    .tag = "s2s",
	    .help = "Close all streams with other servers",
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_stop },
	COMMANDS_END,
};
