/* SPDX-License-Identifier: MIT */
/* The core's commands, as one of the modules that are always there. */
#include "core/commands.h"
#include "core/edited.h"
#include "core/hooks.h"
#include "core/mods.h"

static const struct command *const tables[] = {
	commands_accounts,
	commands_bans,
	commands_check,
	commands_clients,
	commands_components,
	commands_edited,
	commands_kindly,
	commands_logs,
	commands_modules,
	commands_presence,
	commands_push,
	commands_roster,
	commands_spool,
	commands_s2s,
	commands_server,
	commands_sessions,
	commands_stanza,
	commands_stats,
	commands_contents,
	commands_export,
	commands_tokens,
};

static int
commands_load(struct arena *a, const char **why_r)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		commands_add(NULL, tables[i]);
	return 0;
}

static void
commands_unload(void)
{
	commands_remove(NULL);
}

/* The worker ends. */
static void
commands_stop(struct mod *m)
{
	command_never();
}

const struct module commands_module = {
	.summary = "the core's own commands",
	.is_global = true,
	.load = commands_load,
	.unload = commands_unload,
	.stop = commands_stop,
};

void
commands_manual(FILE *out)
{
	struct arena *a = arena_new(0);
	const char *const *name = modules_names(a);
	const char *why;

	commands_load(a, &why);
	for (; *name != NULL; name++) {
		const struct module *m = modules_table(*name);

		if (m != NULL && m->commands != NULL)
			commands_add(*name, m->commands);
	}
	commands_write_manual(out);
	commands_fini();
	arena_free(&a);
}
