/* SPDX-License-Identifier: MIT */
/* Plans: which modules are on where, in the order of starting. */
#include "core/mods.h"

#include "core/conf.h"

#include <stdlib.h>

static size_t
plan_bytes(size_t count)
{
	return sizeof(struct plan) + count * sizeof(struct plan_item);
}

struct plan *
plan_new(size_t count)
{
	return (struct plan *)xzalloc(plan_bytes(count));
}

struct plan *
plan_grow(struct plan *plan, size_t more)
{
	return (struct plan *)xrealloc(plan, plan_bytes(plan->count + more));
}

struct plan *
plan_without(const struct plan *plan, const struct loaded *mod)
{
	struct plan *p = plan_new(plan->count);

	for (size_t i = 0; i < plan->count; i++) {
		if (plan->item[i].mod != mod)
			p->item[p->count++] = plan->item[i];
	}
	return p;
}

bool
plan_has(const struct plan *plan, const struct loaded *mod)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->item[i].mod == mod)
			return true;
	}
	return false;
}

static bool
table_needs(const struct module *table, const char *name)
{
	const char *const *need = table->needs;

	for (; need != NULL && *need != NULL; need++) {
		if (strcmp(*need, name) == 0)
			return true;
	}
	return false;
}

const char *
plan_needs(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (table_needs(plan->item[i].mod->table, name))
			return plan->item[i].mod->name;
	}
	return NULL;
}

/* ---- from the configuration ---- */

/* Names, each once, and in the end in order. */
struct order {
	struct arena *a;
	const char **all; /* sorted */
	size_t count;
	const char **done;
	size_t done_count;
	bool *is_seen;
};

static int
name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t
name_index(const struct order *o, const char *name)
{
	const char **found = NULL;

	/* None yet: then there is no list either. */
	if (o->count > 0)
		found = (const char **)bsearch(
		    &name, o->all, o->count, sizeof(*o->all), name_compare);
	return found != NULL ? (size_t)(found - o->all) : o->count;
}

static void
names_add(struct order *o, const struct module_conf *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (name_index(o, list[i].name.p) < o->count)
			continue;
		o->all = (const char **)arena_grow(o->a, (void *)o->all,
		    o->count * sizeof(*o->all),
		    (o->count + 1) * sizeof(*o->all));
		o->all[o->count++] = list[i].name.p;
		qsort((void *)o->all, o->count, sizeof(*o->all), name_compare);
	}
}

static void
name_visit(struct order *o, size_t index)
{
	const struct module *table;

	if (index == o->count || o->is_seen[index])
		return;
	o->is_seen[index] = true;
	table = modules_table(o->all[index]);
	for (const char *const *need = table != NULL ? table->needs : NULL;
	     need != NULL && *need != NULL; need++)
		name_visit(o, name_index(o, *need));
	o->done[o->done_count++] = o->all[index];
}

static bool
is_early(const char *name, bool want_builtin)
{
	const struct loaded *l;
	const char *why;
	struct arena *a = arena_new(0);

	l = loaded_find(a, name, &why);
	arena_free(&a);
	if (l == NULL)
		return false;
	return want_builtin ? l->is_builtin : l->table->is_global;
}

/* Parts of the core, then the global ones, then all others. */
const char **
plan_order(struct arena *a, const struct conf *conf)
{
	struct order o = { .a = a };

	names_add(&o, conf->globals, conf->global_count);
	for (size_t i = 0; i < conf->host_count; i++)
		names_add(
		    &o, conf->hosts[i].modules, conf->hosts[i].module_count);
	o.done =
	    (const char **)arena_zalloc(a, (o.count + 1) * sizeof(*o.done));
	o.is_seen = (bool *)arena_zalloc(a, o.count + 1);
	for (size_t i = 0; i < o.count; i++) {
		if (is_early(o.all[i], true))
			name_visit(&o, i);
	}
	for (size_t i = 0; i < o.count; i++) {
		if (is_early(o.all[i], false))
			name_visit(&o, i);
	}
	for (size_t i = 0; i < o.count; i++)
		name_visit(&o, i);
	return o.done;
}

static int
conf_compare(const void *key, const void *row)
{
	return strcmp(
	    (const char *)key, ((const struct module_conf *)row)->name.p);
}

/* The lists of a configuration are sorted. */
static const struct module_conf *
conf_find(const struct module_conf *list, size_t count, const char *name)
{
	if (count == 0)
		return NULL;
	return (const struct module_conf *)bsearch(
	    name, list, count, sizeof(*list), conf_compare);
}

static struct plan *
plan_add(struct plan *p, struct loaded *mod, struct host *host,
    const struct module_conf *row)
{
	if (row == NULL)
		return p;
	p = plan_grow(p, 1);
	p->item[p->count++] = (struct plan_item){ mod, host, row->options };
	return p;
}

struct plan *
plan_of_conf(struct arena *a, const struct conf *conf, const char *const *names)
{
	struct plan *p = plan_new(0);

	for (; *names != NULL; names++) {
		struct loaded *l = loaded_peek(*names);

		if (l == NULL || l->index == 0 || l->is_leaving)
			continue;
		p = plan_add(p, l, NULL,
		    conf_find(conf->globals, conf->global_count, *names));
		for (size_t i = 0; i < conf->host_count; i++) {
			const struct host_conf *h = &conf->hosts[i];

			p = plan_add(p, l, host_find(h->name),
			    conf_find(h->modules, h->module_count, *names));
		}
	}
	return p;
}
