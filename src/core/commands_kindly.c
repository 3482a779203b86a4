/* SPDX-License-Identifier: MIT */
/*
 * Commands that end the service with an announcement: nobody new is let in,
 * who is online is told, and after a while it is done.
 */
#include "base/clock.h"
#include "core/commands.h"
#include "core/daemon.h"
#include "core/daemon_impl.h"
#include "core/host.h"
#include "core/session.h"

#define DELAY_MAX_S (24 * 3600)
/* The answer leaves before the server does. */
#define DELAY_MIN_MS 200

struct announcement {
	struct cmd *cmd;
	struct loop *loop;
	struct str text;
	uint64_t delay_ms;
	void (*then)(void);
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

	command_after(MAX(an->delay_ms, DELAY_MIN_MS), an->then);
	cmd_ok(an->cmd, NULL);
}

static void
on_closed(void *msg)
{
	worker_gather(announce_part, on_announced, msg);
}

/* On the main thread, whose listeners are. */
static void
on_close_listeners(void *msg)
{
	struct announcement *an = (struct announcement *)msg;

	listeners_close();
	loop_post(an->loop, on_closed, an);
}

/* NULL: it has been refused. */
static struct announcement *
announcement_new(struct cmd *c, void (*then)(void))
{
	struct announcement *an =
	    arena_new_of(cmd_arena(c), struct announcement);
	int64_t delay = cmd_int(c, "delay");

	if (delay < 0 || delay > DELAY_MAX_S) {
		cmd_fail(
		    c, CMD_BAD_ARG, 0, "delay: 0 to %d seconds", DELAY_MAX_S);
		return NULL;
	}
	an->cmd = c;
	an->loop = loop_self();
	an->text = cmd_str(c, "announcement");
	an->delay_ms = SECONDS(delay);
	an->then = then;
	return an;
}

static void
run_kindly(struct cmd *c, void (*then)(void))
{
	struct announcement *an = announcement_new(c, then);

	if (an != NULL)
		main_post(on_close_listeners, an);
}

static void
run_stop_kindly(struct cmd *c)
{
	run_kindly(c, daemon_stop);
}

/* Nobody is told of a restart that would come to nothing. */
static void
on_restart_checked(void *ctx, int err, const char *text)
{
	struct announcement *an = (struct announcement *)ctx;

	if (err < 0)
		cmd_fail(an->cmd, CMD_BAD_ARG, 0, "%s", text);
	else
		main_post(on_close_listeners, an);
}

static void
run_restart_kindly(struct cmd *c)
{
	struct announcement *an = announcement_new(c, daemon_restart);

	if (an != NULL)
		daemon_restart_check(on_restart_checked, an);
}

/* Evacuation --------------------------------------------------------------*/

static void
evacuate_part(void *ctx, unsigned worker)
{
	command_kick(NULL, EL_SE_SYSTEM_SHUTDOWN, NULL);
}

static void
on_evacuated(void *ctx)
{
	log_notice(NULL, "all sessions have been closed; reload_config opens "
			 "the listeners again");
}

static void
evacuate(void)
{
	worker_gather(evacuate_part, on_evacuated, NULL);
}

static void
run_evacuate_kindly(struct cmd *c)
{
	run_kindly(c, evacuate);
}

#define KINDLY_ARGS \
	.args = { ARG("delay", "integer"), ARG("announcement", "string") }, \
	.result_name = "res", .result = "rescode"

const struct command commands_kindly[] = {
	{ .name = "stop_kindly",
	    .tag = "server",
	    .help = "Let nobody in, tell who is online, wait, and stop",
	    KINDLY_ARGS,
	    .run = run_stop_kindly },
	{ .name = "restart_kindly",
	    .tag = "server",
	    .help = "Let nobody in, tell who is online, wait, and restart",
	    KINDLY_ARGS,
	    .run = run_restart_kindly },
	{ .name = "evacuate_kindly",
	    .tag = "server",
	    .help = "Let nobody in, tell who is online, wait, and close all "
		    "sessions; reload_config lets them in again",
	    KINDLY_ARGS,
	    .run = run_evacuate_kindly },
	COMMANDS_END,
};
