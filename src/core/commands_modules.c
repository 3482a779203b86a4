/* SPDX-License-Identifier: MIT */
/* Commands about modules. */
#include "base/err.h"
#include "core/commands.h"
#include "core/daemon.h"
#include "core/hooks.h"
#include "core/host.h"

/* Lists -------------------------------------------------------------------*/

static json_t *
pair_of(const char *name, const struct module *table)
{
	return json_pack(
	    "[s,s]", name, table->summary != NULL ? table->summary : "");
}

static void
on_loaded(void *ctx, const char *name, const struct module *table)
{
	json_array_append_new((json_t *)ctx, pair_of(name, table));
}

static void
run_modules_installed(struct cmd *c)
{
	json_t *list = json_array();

	modules_each(on_loaded, list);
	cmd_result(c, list);
}

/* What there is to load is in files: the main thread looks. */
struct look {
	struct cmd *cmd;
	json_t *list;
	bool is_all; /* those that are loaded too, with their state */
};

static void
on_state(void *ctx, const char *name, const struct module *table)
{
	json_object_set_new((json_t *)ctx, name, json_true());
}

static json_t *
state_of(const char *name, const struct module *table, bool is_loaded)
{
	return json_pack("[s,s,s]", name, is_loaded ? "loaded" : "available",
	    table->summary != NULL ? table->summary : "");
}

static void
on_look(void *msg)
{
	struct look *look = (struct look *)msg;
	struct arena *a = arena_new(0);
	json_t *loaded = json_object();
	const char *const *name = modules_names(a);

	modules_each(on_state, loaded);
	for (; *name != NULL; name++) {
		const struct module *m = modules_table(*name);
		bool is_loaded = json_object_get(loaded, *name) != NULL;

		if (m != NULL && look->is_all)
			json_array_append_new(
			    look->list, state_of(*name, m, is_loaded));
		else if (m != NULL && !is_loaded)
			json_array_append_new(look->list, pair_of(*name, m));
	}
	json_decref(loaded);
	arena_free(&a);
	cmd_result(look->cmd, look->list);
}

static void
look(struct cmd *c, bool is_all)
{
	struct look *l = arena_new_of(cmd_arena(c), struct look);

	l->cmd = c;
	l->list = json_array();
	l->is_all = is_all;
	main_post(on_look, l);
}

static void
run_modules_available(struct cmd *c)
{
	look(c, false);
}

static void
run_modules(struct cmd *c)
{
	look(c, true);
}

/* Changes -----------------------------------------------------------------*/

/* The answer, with what has been done in the command's context. */
static void
on_done(void *ctx, int err, const char *why)
{
	struct cmd *c = (struct cmd *)ctx;
	struct str name = cmd_str(c, "module");

	if (err < 0)
		cmd_fail(
		    c, CMD_FAILED, 0, "%s", why != NULL ? why : err_text(err));
	else
		cmd_ok(c, arena_printf(cmd_arena(c), "Module %.*s %s",
			      STR_ARG(name), (const char *)cmd_ctx(c)));
}

static const char *
module_arg(struct cmd *c)
{
	return str_dup_c(cmd_arena(c), cmd_str(c, "module"));
}

static void
run_module_load(struct cmd *c)
{
	static char done[] = "loaded";

	cmd_set_ctx(c, done);
	modules_load_one(module_arg(c), on_done, c);
}

static void
run_module_unload(struct cmd *c)
{
	static char done[] = "unloaded";

	cmd_set_ctx(c, done);
	modules_unload_one(module_arg(c), on_done, c);
}

static void
run_module_reload(struct cmd *c)
{
	static char done[] = "reloaded";

	cmd_set_ctx(c, done);
	modules_reload_one(module_arg(c), on_done, c);
}

/* ejabberd's: 0 done, 1 not. The module is one for all hosts here. */
static void
on_restarted(void *ctx, int err, const char *why)
{
	cmd_result((struct cmd *)ctx, json_integer(err < 0 ? 1 : 0));
}

static void
run_restart_module(struct cmd *c)
{
	if (cmd_host(c, "host") != NULL)
		modules_reload_one(module_arg(c), on_restarted, c);
}

#define MODULE_ARG .args = { ARG("module", "string") }
#define RESTUPLE .result_name = "res", .result = "restuple"
#define SUMMARIES \
	.result_name = "modules", .result = "[{name:atom, summary:string}]"

const struct command commands_modules[] = {
	{ .name = "modules",
	    .tag = "modules",
	    .help = "List all modules, whether they are loaded or not",
	    .result_name = "modules",
	    .result = "[{name:string, state:string, summary:string}]",
	    .run = run_modules },
	{ .name = "modules_installed",
	    .tag = "modules",
	    .help = "List the modules that are loaded",
	    SUMMARIES,
	    .run = run_modules_installed },
	{ .name = "modules_available",
	    .tag = "modules",
	    .help = "List the modules that could be loaded",
	    SUMMARIES,
	    .run = run_modules_available },
	{ .name = "module_load",
	    .tag = "modules",
	    .help = "Load a module, for all hosts",
	    MODULE_ARG,
	    RESTUPLE,
	    .run = run_module_load },
	{ .name = "module_unload",
	    .tag = "modules",
	    .help = "Unload a module",
	    MODULE_ARG,
	    RESTUPLE,
	    .run = run_module_unload },
	{ .name = "module_reload",
	    .tag = "modules",
	    .help = "Unload a module and load it again, from its file",
	    MODULE_ARG,
	    RESTUPLE,
	    .run = run_module_reload },
	{ .name = "restart_module",
	    .tag = "modules",
	    .help = "Unload a module and load it again: 0 done, 1 not",
	    .args = { ARG("host", "string"), ARG("module", "string") },
	    .result_name = "res",
	    .result = "integer",
	    .run = run_restart_module },
	COMMANDS_END,
};
