/* SPDX-License-Identifier: MIT */
/*
 * The registry: a list of tables, one for the core and one for each module
 * that is loaded. Any thread may look into it, so there is a lock, held for
 * as long as it takes to compare a few hundred names.
 */
#include "core/commands.h"

#include "base/list.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

struct cmd_table {
	struct list node;
	struct arena *arena; /* the table itself lives in it */
	const char *module;
	struct cmd_def *defs;
	size_t count;
	unsigned running; /* commands that hold it */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list tables = { &tables, &tables };
/* Those that were taken away while a command ran. */
static struct list leaving = { &leaving, &leaving };

static const struct log_ctx log_commands = { .source = "commands" };

/* Tables --------------------------------------------------------------------*/

static bool
def_init(struct cmd_table *t, struct cmd_def *def, const struct command *row)
{
	const struct command_arg *arg = row->args;

	def->row = row;
	def->table = t;
	for (; def->arg_count < COMMAND_ARGS_MAX && arg->name != NULL; arg++) {
		size_t i = def->arg_count++;

		def->args[i] = cmd_type_parse(t->arena, arg->name, arg->type);
		if (def->args[i] == NULL)
			return false;
		if (arg->fallback == NULL)
			def->needed = def->arg_count;
	}
	def->result = cmd_type_parse(t->arena, row->result_name, row->result);
	return def->result != NULL && row->run != NULL && row->tag != NULL &&
	       row->help != NULL;
}

static struct cmd_table *
table_new(const char *module, const struct command *rows)
{
	struct arena *a = arena_new(0);
	struct cmd_table *t = arena_new_of(a, struct cmd_table);
	size_t n = 0;

	while (rows[n].name != NULL)
		n++;
	t->arena = a;
	t->module = module;
	t->defs =
	    (struct cmd_def *)arena_zalloc(a, (n + 1) * sizeof(struct cmd_def));
	for (size_t i = 0; i < n; i++) {
		if (def_init(t, &t->defs[t->count], &rows[i])) {
			t->count++;
			continue;
		}
		t->defs[t->count] = (struct cmd_def){ 0 };
		log_error(&log_commands, "command %s of module %s is wrong",
		    rows[i].name, module != NULL ? module : "core");
	}
	return t;
}

static void
table_free(struct cmd_table *t)
{
	struct arena *a = t->arena;

	list_del(&t->node);
	arena_free(&a);
}

void
commands_add(const char *module, const struct command *rows)
{
	struct cmd_table *t = table_new(module, rows);

	pthread_mutex_lock(&lock);
	list_add(&tables, &t->node);
	pthread_mutex_unlock(&lock);
}

static bool
is_of(const struct cmd_table *t, const char *module)
{
	if (t->module == NULL || module == NULL)
		return t->module == module;
	return strcmp(t->module, module) == 0;
}

/* With the lock held. */
static void
tables_take_out(const char *module)
{
	struct cmd_table *t;

	LIST_EACH(t, &tables, struct cmd_table, node)
	{
		if (!is_of(t, module))
			continue;
		list_del(&t->node);
		list_add(&leaving, &t->node);
	}
}

bool
commands_remove(const char *module)
{
	struct cmd_table *t;
	bool done = true;

	pthread_mutex_lock(&lock);
	tables_take_out(module);
	LIST_EACH(t, &leaving, struct cmd_table, node)
	{
		if (!is_of(t, module))
			continue;
		if (t->running > 0)
			done = false;
		else
			table_free(t);
	}
	pthread_mutex_unlock(&lock);
	return done;
}

void
commands_fini(void)
{
	struct cmd_table *t;

	list_splice(&leaving, &tables);
	LIST_EACH(t, &leaving, struct cmd_table, node)
	table_free(t);
}

/* Looking up ----------------------------------------------------------------*/

/* The API of ejabberd lets "-" stand for "_". */
static bool
is_name(const char *name, struct str text)
{
	size_t i;

	for (i = 0; i < text.n && name[i] != '\0'; i++)
		if (name[i] != text.p[i] &&
		    !(name[i] == '_' && text.p[i] == '-'))
			return false;
	return i == text.n && name[i] == '\0';
}

static bool
is_better(
    const struct cmd_def *def, const struct cmd_def *best, unsigned version)
{
	return def->row->version <= version &&
	       (best == NULL || def->row->version > best->row->version);
}

struct cmd_def *
command_hold(struct str name, unsigned version)
{
	struct cmd_def *best = NULL;
	struct cmd_table *t;

	pthread_mutex_lock(&lock);
	LIST_EACH(t, &tables, struct cmd_table, node)
	for (size_t i = 0; i < t->count; i++)
		if (is_name(t->defs[i].row->name, name) &&
		    is_better(&t->defs[i], best, version))
			best = &t->defs[i];
	if (best != NULL)
		best->table->running++;
	pthread_mutex_unlock(&lock);
	return best;
}

void
command_release(struct cmd_def *def)
{
	pthread_mutex_lock(&lock);
	def->table->running--;
	pthread_mutex_unlock(&lock);
}

const char *
cmd_def_module(const struct cmd_def *def)
{
	return def->table->module;
}

static int
by_name(const void *a, const void *b)
{
	const struct cmd_def *x = *(struct cmd_def *const *)a;
	const struct cmd_def *y = *(struct cmd_def *const *)b;
	int order = strcmp(x->row->name, y->row->name);

	if (order == 0)
		order = (int)x->row->version - (int)y->row->version;
	return order;
}

/* All definitions in order, each held; their number. With the lock held. */
static size_t
collect(struct cmd_def ***defs_r)
{
	struct cmd_table *t;
	size_t n = 0;

	LIST_EACH(t, &tables, struct cmd_table, node)
	n += t->count;
	*defs_r =
	    (struct cmd_def **)xmalloc((n + 1) * sizeof(struct cmd_def *));
	n = 0;
	LIST_EACH(t, &tables, struct cmd_table, node)
	for (size_t i = 0; i < t->count; i++) {
		t->running++;
		(*defs_r)[n++] = &t->defs[i];
	}
	qsort(*defs_r, n, sizeof(struct cmd_def *), by_name);
	return n;
}

void
commands_each(void (*fn)(void *ctx, const struct cmd_def *def), void *ctx)
{
	struct cmd_def **defs;
	size_t n;

	pthread_mutex_lock(&lock);
	n = collect(&defs);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < n; i++) {
		const char *name = defs[i]->row->name;

		if (i + 1 == n || strcmp(name, defs[i + 1]->row->name) != 0)
			fn(ctx, defs[i]);
	}
	for (size_t i = 0; i < n; i++)
		command_release(defs[i]);
	xfree(defs);
}

/* Did you mean... ---------------------------------------------------------*/

#define NAME_MAX_LEN 64

/* Insertions, removals and changes that lead from one to the other. */
static unsigned
distance(struct str from, const char *to)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t n = MIN(strlen(to), NAME_MAX_LEN);

	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= from.n; i++) {
		unsigned before = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n; j++) {
			unsigned change = before + (from.p[i - 1] != to[j - 1]);
			unsigned other = MIN(row[j], row[j - 1]) + 1;

			before = row[j];
			row[j] = MIN(change, other);
		}
	}
	return row[n];
}

struct like {
	struct str name;
	const char *best;
	unsigned distance;
};

static void
on_like(void *ctx, const struct cmd_def *def)
{
	struct like *like = (struct like *)ctx;
	unsigned d = distance(like->name, def->row->name);

	if (like->best == NULL || d < like->distance) {
		like->best = def->row->name;
		like->distance = d;
	}
}

const char *
command_like(struct arena *a, struct str name)
{
	struct like like = { .name = str_sub(name, 0, NAME_MAX_LEN) };

	commands_each(on_like, &like);
	return like.best != NULL ? str_dup_c(a, str_c(like.best)) : NULL;
}
