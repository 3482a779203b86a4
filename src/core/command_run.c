/* SPDX-License-Identifier: MIT */
/*
 * The life of a command. It begins on the loop of who asked, may go on
 * anywhere, and its answer is posted back. Who asked is told once: the answer,
 * or after a minute that there is none. The command itself lives until it
 * has answered.
 */
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "core/command_args.h"
#include "core/commands.h"
#include "core/module.h"
#include "net/loop.h"

#define TIMEOUT_MS SECONDS(60)

struct cmd {
	struct arena *arena; /* the command itself lives in it */
	struct cmd_def *def;
	struct loop *loop; /* who asked */
	json_t *args;
	void *ctx;
	cmd_done_fn *done; /* NULL: has been told */
	void *done_ctx;
	const char *origin;
	struct timer timer;
	uint64_t begun;
	json_t *value; /* the result's own reference */
	struct cmd_outcome outcome;
};

/* The log -----------------------------------------------------------------*/

static const struct log_ctx log_commands = { .source = "command" };

static bool
is_change(const struct cmd_def *def)
{
	const char *name = def->row->name;

	if (def->result->kind != CMD_RESCODE &&
	    def->result->kind != CMD_RESTUPLE)
		return false;
	return strcmp(name, "status") != 0 && strcmp(name, "help") != 0 &&
	       strncmp(name, "check_", 6) != 0;
}

/* Options have names of their own, and a room's password is one. */
static bool
names_secret(const json_t *name)
{
	const char *text = json_string_value(name);

	return text != NULL && (strstr(text, "password") != NULL ||
				   strstr(text, "secret") != NULL);
}

/* An argument as it may be logged; a reference. */
static json_t *
arg_masked(json_t *args, const struct command_arg *arg)
{
	json_t *value = json_object_get(args, arg->name);

	if (strcmp(arg->name, "value") == 0 &&
	    names_secret(json_object_get(args, "option")))
		return json_string("***");
	if (!json_is_array(value))
		return json_incref(value);
	value = json_deep_copy(value);
	for (size_t i = 0; i < json_array_size(value); i++) {
		json_t *item = json_array_get(value, i);

		if (names_secret(json_object_get(item, "name")))
			json_object_set_new(item, "value", json_string("***"));
	}
	return value;
}

/* " user=a host=localhost password=***" */
static struct str
args_text(struct cmd *c)
{
	struct buf b = { 0 };
	struct str text;
	json_t *value;

	for (size_t i = 0; i < c->def->arg_count && c->args != NULL; i++) {
		const struct command_arg *arg = &c->def->row->args[i];

		buf_printf(&b, " %s=", arg->name);
		if (cmd_arg_is_secret(arg)) {
			buf_add_str(&b, STR("***"));
		} else {
			value = arg_masked(c->args, arg);
			cmd_value_to_text(&b, c->def->args[i], value, 1);
			json_decref(value);
		}
		if (b.n > 400)
			break;
	}
	text = str_dup(c->arena, str_sub(buf_str(&b), 0, 400));
	buf_fini(&b);
	return text;
}

static void
log_outcome(struct cmd *c, const struct cmd_outcome *o)
{
	enum log_level level =
	    is_change(c->def) ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO;
	uint64_t ms = loop_now() - c->begun;
	struct str args;

	if ((int)level > __atomic_load_n(&log_level_now, __ATOMIC_RELAXED))
		return;
	args = args_text(c);
	if (o->what == CMD_DONE)
		log_at(level, &log_commands, "%s%.*s by %s: done in %llu ms",
		    c->def->row->name, STR_ARG(args), c->origin,
		    (unsigned long long)ms);
	else
		log_at(level, &log_commands, "%s%.*s by %s: %s",
		    c->def->row->name, STR_ARG(args), c->origin,
		    o->text != NULL ? o->text : "no");
}

/* Answers -----------------------------------------------------------------*/

static void
tell(struct cmd *c, const struct cmd_outcome *o)
{
	cmd_done_fn *done = c->done;

	if (done == NULL)
		return;
	c->done = NULL;
	timer_stop(&c->timer);
	log_outcome(c, o);
	done(c->done_ctx, o);
}

static void
cmd_free(struct cmd *c)
{
	struct arena *a = c->arena;

	json_decref(c->value);
	json_decref(c->args);
	command_release(c->def);
	arena_free(&a);
}

static void
on_answer(void *msg)
{
	struct cmd *c = (struct cmd *)msg;

	tell(c, &c->outcome);
	cmd_free(c);
}

static void
on_timeout(struct timer *timer)
{
	struct cmd *c = CONTAINER_OF(timer, struct cmd, timer);
	struct cmd_outcome late = {
		.what = CMD_REFUSED,
		.def = c->def,
		.version = c->outcome.version,
		.kind = CMD_FAILED,
		.text = "it takes too long; it may still be done",
	};

	tell(c, &late);
}

static void
answer(struct cmd *c)
{
	loop_post(c->loop, on_answer, c);
}

void
cmd_ok(struct cmd *c, const char *text)
{
	c->outcome.what = CMD_DONE;
	c->outcome.text =
	    text != NULL ? str_dup_c(c->arena, str_c(text)) : NULL;
	answer(c);
}

void
cmd_result(struct cmd *c, json_t *value)
{
	c->outcome.what = CMD_DONE;
	c->value = value;
	c->outcome.value = value;
	answer(c);
}

void
cmd_fail(struct cmd *c, enum cmd_error kind, int code, const char *fmt, ...)
{
	va_list ap;

	c->outcome.what = CMD_REFUSED;
	c->outcome.kind = kind;
	c->outcome.code = code;
	va_start(ap, fmt);
	c->outcome.text = arena_vprintf(c->arena, fmt, ap);
	va_end(ap);
	answer(c);
}

/* Asking ------------------------------------------------------------------*/

/* For what fails before there is a command to run. */
static void
refuse(const struct cmd_call *call, struct cmd_outcome *o, cmd_done_fn *done,
    void *ctx)
{
	log_info(&log_commands, "%.*s by %s: %s", (int)MIN(call->name.n, 64),
	    call->name.p, call->origin, o->text);
	done(ctx, o);
}

static void
refuse_unknown(const struct cmd_call *call, cmd_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	const char *like = command_like(a, call->name);
	struct cmd_outcome o = { .what = CMD_UNKNOWN };

	o.text = arena_printf(a, "unknown command '%.*s'.",
	    (int)MIN(call->name.n, 64), call->name.p);
	if (like != NULL)
		o.text = arena_printf(a, "%s Did you mean '%s'?", o.text, like);
	refuse(call, &o, done, ctx);
	arena_free(&a);
}

static json_t *
args_of(struct arena *a, const struct cmd_call *call, struct cmd_def *def,
    struct cmd_outcome *o)
{
	bool is_usage = false;
	json_t *args =
	    call->is_words
		? cmd_args_of_words(a, def, call->args, &is_usage, &o->text)
		: cmd_args_of_object(a, def, call->args, &o->text);

	if (args == NULL) {
		o->what = is_usage ? CMD_USAGE : CMD_REFUSED;
		o->kind = CMD_BAD_ARG;
		o->given = json_array_size(call->args);
	}
	return args;
}

static void
run(struct arena *a, const struct cmd_call *call, struct cmd_def *def,
    json_t *args, cmd_done_fn *done, void *ctx)
{
	struct cmd *c = arena_new_of(a, struct cmd);

	c->arena = a;
	c->def = def;
	c->loop = loop_self();
	c->args = args;
	c->done = done;
	c->done_ctx = ctx;
	c->origin = str_dup_c(a, str_c(call->origin));
	c->begun = loop_now();
	c->outcome.def = def;
	c->outcome.version = call->version;
	timer_start(&c->timer, TIMEOUT_MS, on_timeout);
	def->row->run(c);
}

void
cmd_start(const struct cmd_call *call, cmd_done_fn *done, void *ctx)
{
	struct cmd_def *def = command_hold(call->name, call->version);
	struct cmd_outcome o = { .def = def, .version = call->version };
	struct arena *a;
	json_t *args;

	must(loop_self() != NULL);
	if (def == NULL) {
		refuse_unknown(call, done, ctx);
		return;
	}

	a = arena_new(0);
	args = args_of(a, call, def, &o);
	if (args != NULL) {
		run(a, call, def, args, done, ctx);
		return;
	}
	refuse(call, &o, done, ctx);
	command_release(def);
	arena_free(&a);
}

/* For modules -------------------------------------------------------------*/

struct call {
	cmd_answer_fn *answer;
	void *ctx;
};

static unsigned
call_status(const struct cmd_outcome *o)
{
	static const unsigned by_kind[] = {
		[CMD_FAILED] = 500,
		[CMD_CONFLICT] = 409,
		[CMD_NOT_FOUND] = 404,
		[CMD_BAD_ARG] = 400,
		[CMD_DENIED] = 403,
	};

	if (o->what == CMD_DONE)
		return 200;
	return o->what == CMD_REFUSED ? by_kind[o->kind] : 501;
}

static void
on_call_done(void *ctx, const struct cmd_outcome *o)
{
	struct call call = *(struct call *)ctx;

	xfree(ctx);
	call.answer(call.ctx, call_status(o), o->value, o->text);
}

void
cmd_call(const char *name, const json_t *args, const char *origin,
    cmd_answer_fn *told, void *ctx)
{
	struct cmd_call what = { .name = str_c(name),
		.version = COMMAND_VERSION_NEWEST,
		.args = args,
		.origin = origin };
	struct call *call = (struct call *)xzalloc(sizeof(*call));

	call->answer = told;
	call->ctx = ctx;
	cmd_start(&what, on_call_done, call);
}

/* For the commands themselves ---------------------------------------------*/

struct str
cmd_str(const struct cmd *c, const char *arg)
{
	const json_t *value = json_object_get(c->args, arg);

	must(json_is_string(value));
	return str_mem(json_string_value(value), json_string_length(value));
}

int64_t
cmd_int(const struct cmd *c, const char *arg)
{
	const json_t *value = json_object_get(c->args, arg);

	must(json_is_integer(value));
	return json_integer_value(value);
}

const json_t *
cmd_json(const struct cmd *c, const char *arg)
{
	return json_object_get(c->args, arg);
}

struct arena *
cmd_arena(const struct cmd *c)
{
	return c->arena;
}

struct mod *
cmd_mod(const struct cmd *c, struct str host)
{
	const char *module = cmd_def_module(c->def);
	struct host *h = host_find(host);

	return module != NULL && h != NULL ? mod_find(h, module) : NULL;
}

void
cmd_set_ctx(struct cmd *c, void *ctx)
{
	c->ctx = ctx;
}

void *
cmd_ctx(const struct cmd *c)
{
	return c->ctx;
}

struct host *
cmd_host(struct cmd *c, const char *host)
{
	struct str name;
	struct host *h = NULL;

	if (jid_prep_domain(c->arena, cmd_str(c, host), &name) == 0)
		h = host_find(name);
	if (h == NULL)
		cmd_fail(c, CMD_BAD_ARG, 0, "Unknown virtual host");
	return h;
}

bool
cmd_account(
    struct cmd *c, const char *user, const char *host, struct jid *jid_r)
{
	struct host *h = cmd_host(c, host);
	struct str local;

	if (h == NULL)
		return false;
	if (jid_prep_local(c->arena, cmd_str(c, user), &local) < 0) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid user name");
		return false;
	}
	*jid_r = jid_make(c->arena, local, h->jid.domain, STR_NONE);
	return true;
}
