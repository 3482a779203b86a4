/* SPDX-License-Identifier: MIT */
/*
 * The sections `modules` and `host_config`: which modules are on for which
 * host, and their options.
 */
#include "base/map.h"
#include "core/conf_tables.h"
#include "core/hooks.h"

#include <stdlib.h>

static const char *const enabled_key[] = { "enabled", NULL };
/* Among the names of modules: those of an ordinary server are on as well. */
static const char defaults_key[] = "defaults";

/* A module for one host, or the global ones. */
struct entry {
	const char *name;
	const struct module *table;
	bool is_on;
	bool is_off;	    /* the file says so */
	unsigned line;	    /* that names it, or 0 */
	unsigned char mark; /* while walking what is needed */
};

struct reading {
	struct conf *conf;
	struct problems *problems;
	struct arena *scratch;
	const struct tree *modules; /* or NULL */
	bool has_defaults;	    /* not only what is named is on */
	const struct tree *hosts;   /* `host_config`, or NULL */
	struct entry *entry;	    /* all that there are, sorted by name */
	size_t count;
};

/* ---- what the file says ---- */

/* The map of a module in a `modules` map; NULL when that is empty. */
static const struct tree *
options_map(const struct tree *modules, const char *name)
{
	const struct tree *t = tree_get(modules, name);

	return t == NULL || t->kind != TREE_MAP ? NULL : t;
}

static const struct tree *
host_modules(const struct tree *hosts, struct str host)
{
	if (hosts == NULL || hosts->kind != TREE_MAP)
		return NULL;
	for (const struct tree *t = hosts->first; t != NULL; t = t->next) {
		struct arena *a = arena_new(0);
		struct str name;
		bool is_it = jid_prep_domain(a, t->key, &name) == 0 &&
			     str_eq(name, host);

		arena_free(&a);
		if (is_it)
			return tree_get(t, "modules");
	}
	return NULL;
}

static void
options_read(struct optval_scope *scope, const struct module *table,
    const struct tree *map, void *values)
{
	if (map != NULL)
		optvals_read(scope, table->options, map, enabled_key, values);
}

const void *
conf_module_options(const struct conf *conf, struct arena *a,
    struct problems *problems, const char *name, const struct module *table,
    const struct host_conf *host)
{
	const struct tree *modules = tree_get(conf->tree, "modules");
	struct optval_scope scope = { .arena = a, .problems = problems };
	void *values = arena_zalloc(a, table->options_size + 1);

	scope.where = arena_printf(a, " of module '%s'", name);
	scope.host = host != NULL ? host->name : STR_NONE;
	optvals_default(&scope, table->options, values);
	options_read(&scope, table, options_map(modules, name), values);
	if (host != NULL)
		options_read(&scope, table,
		    options_map(
			host_modules(
			    tree_get(conf->tree, "host_config"), host->name),
			name),
		    values);
	return values;
}

/* ---- entries ---- */

static struct entry *
entry_find(struct reading *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++) {
		if (strcmp(r->entry[i].name, name) == 0)
			return &r->entry[i];
	}
	return NULL;
}

static bool
is_builtin(const char *name)
{
	for (const struct builtin *b = builtins; b->name != NULL; b++) {
		if (strcmp(b->name, name) == 0)
			return true;
	}
	return false;
}

/*
 * One of several ways to do a thing, of which somebody names one. They are not
 * even opened otherwise: the libraries that some bring along are large.
 */
static bool
is_backend(const char *name)
{
	static const char *const families[] = { "auth_", "blob_", "store_" };

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (strncmp(name, families[i], strlen(families[i])) == 0)
			return true;
	}
	return false;
}

static bool
is_driver(const struct conf *conf, const char *name)
{
	return strncmp(name, "store_", 6) == 0 &&
	       strcmp(name + 6, conf->database.driver) == 0;
}

/* On without a word in the file. */
static bool
is_default(const struct reading *r, const struct entry *e)
{
	if (is_builtin(e->name) || is_driver(r->conf, e->name))
		return true;
	return r->has_defaults && !e->table->is_optional &&
	       !is_backend(e->name);
}

/* Only those that may be meant are opened. */
static bool
is_named(const struct reading *r, const char *name)
{
	if (tree_get(r->modules, name) != NULL)
		return true;
	if (r->hosts == NULL || r->hosts->kind != TREE_MAP)
		return false;
	for (const struct tree *t = r->hosts->first; t != NULL; t = t->next) {
		if (tree_get(tree_get(t, "modules"), name) != NULL)
			return true;
	}
	return false;
}

static bool
is_candidate(const struct reading *r, const char *name)
{
	if (is_builtin(name) || is_driver(r->conf, name) || is_named(r, name))
		return true;
	return r->has_defaults && !is_backend(name);
}

static void
entry_add(struct reading *r, const char *name)
{
	const struct module *table;
	const char *why = NULL;

	if (entry_find(r, name) != NULL || !modules_has(name))
		return;
	table = modules_open(r->scratch, name, &why);
	if (table == NULL) {
		problem_add(r->problems, 0, "module '%s': %s", name, why);
		return;
	}
	r->entry = (struct entry *)arena_grow(r->scratch, r->entry,
	    r->count * sizeof(*r->entry), (r->count + 1) * sizeof(*r->entry));
	r->entry[r->count++] = (struct entry){ .name = name, .table = table };
	for (const char *const *need = table->needs;
	     need != NULL && *need != NULL; need++)
		entry_add(r, *need);
}

static int
entry_compare(const void *a, const void *b)
{
	const struct entry *e = (const struct entry *)a;
	const struct entry *o = (const struct entry *)b;

	return strcmp(e->name, o->name);
}

static void
entries_find(struct reading *r)
{
	const char *const *names = modules_names(r->conf->arena);

	for (; *names != NULL; names++) {
		if (is_candidate(r, *names))
			entry_add(r, *names);
	}
	if (r->count > 0)
		qsort(r->entry, r->count, sizeof(*r->entry), entry_compare);
}

/* ---- on and off ---- */

/* A module may have an option of that name itself: then it is on. */
static bool
has_own_enabled(const struct module *table)
{
	const struct option *o = table->options;

	for (; o != NULL && o->type != OPTION_END; o++) {
		if (strcmp(o->name, enabled_key[0]) == 0)
			return true;
	}
	return false;
}

/* `{enabled: false}`; true when the key is not there. */
static bool
enabled_read(
    struct reading *r, const struct module *table, const struct tree *map)
{
	const struct tree *t = tree_get(map, enabled_key[0]);
	bool is_enabled = true;

	if (has_own_enabled(table))
		return true;
	if (t != NULL &&
	    (t->kind != TREE_TEXT || !bool_parse(t->text, &is_enabled)))
		problem_add(r->problems, t->line,
		    "'enabled' is neither true nor false");
	return is_enabled;
}

static void
module_apply(struct reading *r, const struct tree *t)
{
	struct entry *e = entry_find(r, str_dup_c(r->scratch, t->key));

	if (e == NULL && modules_has(str_dup_c(r->scratch, t->key)))
		return; /* entry_add() has said why it cannot be */
	if (e == NULL) {
		problem_unknown(r->problems, t->key_line, "module", t->key, "",
		    modules_names(r->scratch));
		return;
	}
	if (t->kind == TREE_LIST || (t->kind == TREE_TEXT && t->text.n > 0)) {
		problem_add(r->problems, t->line,
		    "module '%s': a map of its options is expected, such as "
		    "{}",
		    e->name);
		return;
	}
	e->line = t->key_line;
	e->is_on = enabled_read(r, e->table, t);
	e->is_off = !e->is_on;
	if (e->is_off && (is_builtin(e->name) || is_driver(r->conf, e->name)))
		problem_add(r->problems, t->key_line,
		    "module '%s' is always on", e->name);
}

static void
map_apply(struct reading *r, const struct tree *map)
{
	if (map == NULL)
		return;
	if (map->kind != TREE_MAP) {
		if (map->kind != TREE_TEXT || map->text.n > 0)
			problem_add(r->problems, map->line,
			    "'modules': a map is expected, such as "
			    "{ping: {}}");
		return;
	}
	for (const struct tree *t = map->first; t != NULL; t = t->next)
		if (map != r->modules || !str_is(t->key, defaults_key))
			module_apply(r, t);
}

enum { MARK_NEW, MARK_OPEN, MARK_DONE };

/* What a module needs is on, too, unless it was switched off. */
static void
needs_apply(struct reading *r, struct entry *e)
{
	e->mark = MARK_OPEN;
	e->is_on = true;
	for (const char *const *name = e->table->needs;
	     name != NULL && *name != NULL; name++) {
		struct entry *need = entry_find(r, *name);

		if (need == NULL)
			problem_add(r->problems, e->line,
			    "module '%s' needs '%s', which is not there",
			    e->name, *name);
		else if (need->is_off)
			problem_add(r->problems, need->line,
			    "module '%s' is off, but '%s' needs it", *name,
			    e->name);
		else if (need->mark == MARK_OPEN)
			problem_add(r->problems, e->line,
			    "modules '%s' and '%s' need each other", e->name,
			    *name);
		else if (need->mark == MARK_NEW)
			needs_apply(r, need);
	}
	e->mark = MARK_DONE;
}

static void
entries_apply(struct reading *r, const struct tree *host)
{
	for (size_t i = 0; i < r->count; i++) {
		struct entry *e = &r->entry[i];

		e->is_on = is_default(r, e);
		e->is_off = false;
		e->line = 0;
		e->mark = MARK_NEW;
	}
	map_apply(r, r->modules);
	map_apply(r, host);
	for (size_t i = 0; i < r->count; i++) {
		if (r->entry[i].is_on && r->entry[i].mark == MARK_NEW)
			needs_apply(r, &r->entry[i]);
	}
}

/* ---- the result ---- */

static struct module_conf *
entries_read(struct reading *r, const struct host_conf *host, size_t *count_r)
{
	struct module_conf *list = (struct module_conf *)arena_zalloc(
	    r->conf->arena, (r->count + 1) * sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++) {
		struct entry *e = &r->entry[i];

		if (!e->is_on || e->table->is_global != (host == NULL))
			continue;
		list[n].name = str_dup(r->conf->arena, str_c(e->name));
		list[n++].options = conf_module_options(r->conf, r->conf->arena,
		    r->problems, e->name, e->table, host);
	}
	*count_r = n;
	return list;
}

/* As the file has them: in a reload they may be others than ours. */
static const char *const *
host_names(struct reading *r)
{
	const struct tree *hosts = tree_get(r->conf->tree, "hosts");
	const struct tree *t = hosts != NULL ? hosts->first : NULL;
	const char **names = (const char **)arena_zalloc(r->scratch,
	    (hosts != NULL ? hosts->count + 1 : 1) * sizeof(*names));
	size_t n = 0;

	for (; t != NULL; t = t->next) {
		struct str name;

		if (jid_prep_domain(r->scratch, t->text, &name) == 0)
			names[n++] = str_dup_c(r->scratch, name);
	}
	return names;
}

static void
host_check(struct reading *r, const struct tree *t)
{
	static const char *const keys[] = { "modules", NULL };
	const char *const *names = host_names(r), *const *n = names;
	struct str name;

	if (jid_prep_domain(r->scratch, t->key, &name) < 0)
		name = t->key;
	while (*n != NULL && !str_is(name, *n))
		n++;
	if (*n == NULL)
		problem_unknown(
		    r->problems, t->key_line, "host", t->key, "", names);
	if (t->kind != TREE_MAP) {
		problem_add(r->problems, t->line,
		    "a map is expected here, such as {modules: {ping: {}}}");
		return;
	}
	for (const struct tree *k = t->first; k != NULL; k = k->next) {
		if (!str_is(k->key, keys[0]))
			problem_unknown(r->problems, k->key_line, "key", k->key,
			    " of 'host_config'", keys);
	}
}

/* "Example.org" and "example.org" are two keys of YAML's, and one host. */
static void
host_check_once(struct reading *r, const struct tree *t)
{
	for (const struct tree *o = r->hosts->first; o != t; o = o->next)
		if (str_eq_nocase(o->key, t->key))
			problem_add(r->problems, t->key_line,
			    "host '" STR_FMT "' is there already, in line %u",
			    STR_ARG(t->key), o->key_line);
}

static void
hosts_check(struct reading *r)
{
	if (r->hosts == NULL)
		return;
	if (r->hosts->kind != TREE_MAP) {
		problem_add(r->problems, r->hosts->line,
		    "'host_config': a map of hosts is expected");
		return;
	}
	for (const struct tree *t = r->hosts->first; t != NULL; t = t->next) {
		host_check(r, t);
		host_check_once(r, t);
	}
}

/* ---- services ---- */

/* Who has a domain, and where the file says so. */
struct holder {
	const char *who;
	unsigned line;
	const struct host_conf *host; /* of a service */
	const struct module_conf *module;
	const char *option;
};

struct domains {
	struct reading *reading;
	struct map map; /* of struct holder */
};

static void
domain_take(struct domains *d, struct str domain, struct holder holder)
{
	struct holder *h = arena_new_of(d->reading->scratch, struct holder);

	*h = holder;
	if (domain.n > 0)
		map_set(&d->map, domain, h);
}

/* A service's is a default, and has no line, unless the file gives it. */
static unsigned
holder_line(const struct reading *r, const struct holder *h)
{
	const struct tree *t;

	if (h->host == NULL)
		return h->line;
	t = tree_get(options_map(host_modules(r->hosts, h->host->name),
			 h->module->name.p),
	    h->option);
	if (t == NULL)
		t = tree_get(
		    options_map(r->modules, h->module->name.p), h->option);
	return t != NULL ? t->line : 0;
}

static void
service_check(struct domains *d, struct str domain, struct holder h)
{
	const struct holder *other =
	    (const struct holder *)map_get(&d->map, domain);
	unsigned line;

	if (other == NULL) {
		domain_take(d, domain, h);
		return;
	}
	line = holder_line(d->reading, &h);
	if (line == 0)
		line = holder_line(d->reading, other);
	problem_add(d->reading->problems, line,
	    "'" STR_FMT "' would be %s and %s", STR_ARG(domain), other->who,
	    h.who);
}

static void
services_of_host(struct domains *d, const struct host_conf *host)
{
	struct reading *r = d->reading;

	for (size_t i = 0; i < host->module_count; i++) {
		const struct module_conf *m = &host->modules[i];
		const struct entry *e = entry_find(r, m->name.p);
		struct str domain;

		if (e == NULL || e->table->service == NULL)
			continue;
		domain = service_domain(e->table, m->options);
		if (domain.n > 0)
			service_check(d, domain,
			    (struct holder){
				.who = arena_printf(r->scratch,
				    "'%s' of module '%s' for host '" STR_FMT
				    "'",
				    e->table->service_option, m->name.p,
				    STR_ARG(host->name)),
				.host = host,
				.module = m,
				.option = e->table->service_option,
			    });
	}
}

/* Of two at one domain one would get all, and nobody would know which. */
static void
services_check(struct reading *r)
{
	const struct conf *conf = r->conf;
	struct domains d = { .reading = r };

	for (size_t i = 0; i < conf->component_count; i++)
		domain_take(&d, conf->components[i].host,
		    (struct holder){ .who = "a component",
			.line = conf_item_line(conf, "components", i) });
	for (size_t i = 0; i < conf->host_count; i++)
		domain_take(&d, conf->hosts[i].name,
		    (struct holder){ .who = "one of 'hosts'",
			.line = conf_item_line(conf, "hosts", i) });
	for (size_t i = 0; i < conf->host_count; i++)
		services_of_host(&d, &conf->hosts[i]);
	map_fini(&d.map);
}

static bool
defaults_read(struct reading *r)
{
	const struct tree *t = tree_get(r->modules, defaults_key);
	bool has_defaults = r->modules == NULL;

	if (t != NULL &&
	    (t->kind != TREE_TEXT || !bool_parse(t->text, &has_defaults)))
		problem_add(r->problems, t->line,
		    "'%s' of 'modules' is neither true nor false",
		    defaults_key);
	return has_defaults;
}

void
conf_read_modules(struct conf *conf, struct problems *problems)
{
	struct reading r = { .conf = conf, .problems = problems };

	r.scratch = arena_new(0);
	r.modules = tree_get(conf->tree, "modules");
	r.has_defaults = defaults_read(&r);
	r.hosts = tree_get(conf->tree, "host_config");
	hosts_check(&r);
	entries_find(&r);

	entries_apply(&r, NULL);
	conf->globals = entries_read(&r, NULL, &conf->global_count);
	for (size_t i = 0; i < conf->host_count; i++) {
		struct host_conf *h = &conf->hosts[i];

		entries_apply(&r, host_modules(r.hosts, h->name));
		h->modules = entries_read(&r, h, &h->module_count);
	}
	services_check(&r);
	arena_free(&r.scratch);
}
