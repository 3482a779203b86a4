/* SPDX-License-Identifier: MIT */
/*
 * Tables of modules: where they are found, and which are in use. The main
 * thread alone changes what is here; others look under the lock.
 */
#include "core/commands.h"
#include "core/edited.h"
#include "core/mods.h"
#include "core/rounds.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_LEN 40

static const struct log_ctx log_modules = { .source = "modules" };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loaded **known;
static size_t known_count;
static struct loaded *by_index[MODULES_MAX + 1];
static const struct builtin *linked;
static char *dir;

const struct builtin builtins[] = {
	{ "clients", &clients_module },
	{ "commands", &commands_module },
	{ "edited", &edited_module },
	{ "roster", &roster_module },
	{ "rounds", &rounds_module },
	{ NULL, NULL },
};

/* ---- where they are ---- */

static bool
runs_in_build(void)
{
	struct stat self, built;

	return stat("/proc/self/exe", &self) == 0 &&
	       stat(ROOKERY_BUILD_DIR "/src/rookeryd", &built) == 0 &&
	       self.st_dev == built.st_dev && self.st_ino == built.st_ino;
}

/* A daemon that runs in its build folder takes what is beside it. */
static const char *
dir_of_build(void)
{
	return runs_in_build() ? ROOKERY_BUILD_DIR "/modules/.libs"
			       : ROOKERY_PLUGIN_DIR;
}

const char *
installed_dir(void)
{
	return runs_in_build() ? ROOKERY_BUILD_DIR : ROOKERY_DATA_DIR;
}

void
modules_set_dir(const char *path)
{
	pthread_mutex_lock(&lock);
	xfree(dir);
	dir = path != NULL ? xstrdup(path) : NULL;
	pthread_mutex_unlock(&lock);
}

const char *
modules_dir(void)
{
	return dir != NULL ? dir : dir_of_build();
}

void
modules_add_static(const struct builtin *tables)
{
	linked = tables;
}

static const char *
module_path(struct arena *a, const char *name)
{
	return arena_printf(a, "%s/%s.so", modules_dir(), name);
}

static bool
name_is_good(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n > 0 && n <= NAME_MAX_LEN && name[n] == '\0';
}

static int
name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char **
name_add(struct arena *a, const char **names, size_t *count, const char *name)
{
	for (size_t i = 0; i < *count; i++) {
		if (strcmp(names[i], name) == 0)
			return names;
	}
	names = (const char **)arena_grow(a, (void *)names,
	    (*count + 1) * sizeof(*names), (*count + 2) * sizeof(*names));
	names[(*count)++] = name;
	names[*count] = NULL;
	return names;
}

static const char **
names_of_dir(struct arena *a, const char **names, size_t *count)
{
	DIR *d = opendir(modules_dir());
	struct dirent *e;

	if (d == NULL)
		return names;
	while ((e = readdir(d)) != NULL) {
		struct str file = str_c(e->d_name);
		const char *name;

		if (!str_has_suffix(file, STR(".so")))
			continue;
		name = str_dup_c(a, str_sub(file, 0, file.n - 3));
		if (name_is_good(name))
			names = name_add(a, names, count, name);
	}
	closedir(d);
	return names;
}

int
modules_check_dir(void)
{
	DIR *d = linked == NULL ? opendir(modules_dir()) : NULL;

	if (d == NULL)
		return linked == NULL ? -errno : 0;
	closedir(d);
	return 0;
}

static bool
is_linked_in(const struct builtin *b, const char *name)
{
	for (; b != NULL && b->name != NULL; b++) {
		if (strcmp(b->name, name) == 0)
			return true;
	}
	return false;
}

bool
modules_has(const char *name)
{
	struct arena *a;
	bool has_file;

	if (is_linked_in(builtins, name) || is_linked_in(linked, name))
		return true;
	if (linked != NULL || !name_is_good(name))
		return false;
	a = arena_new(0);
	has_file = access(module_path(a, name), F_OK) == 0;
	arena_free(&a);
	return has_file;
}

const char *const *
modules_names(struct arena *a)
{
	const char **names = arena_zalloc(a, sizeof(*names));
	size_t count = 0;

	for (const struct builtin *b = builtins; b->name != NULL; b++)
		names = name_add(a, names, &count, b->name);
	for (const struct builtin *b = linked; b != NULL && b->name != NULL;
	     b++)
		names = name_add(a, names, &count, b->name);
	if (linked == NULL)
		names = names_of_dir(a, names, &count);
	qsort((void *)names, count, sizeof(*names), name_compare);
	return names;
}

/* ---- opening ---- */

/* Changes whenever the file is replaced or written. 0: it is not there. */
static uint64_t
file_stamp(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;
	return (uint64_t)st.st_ino * 31 +
	       (uint64_t)st.st_mtim.tv_sec * 1000000007 +
	       (uint64_t)st.st_mtim.tv_nsec + (uint64_t)st.st_size;
}

static struct loaded *
loaded_add(const char *name, const struct module *table, void *handle)
{
	struct loaded *l = (struct loaded *)xzalloc(sizeof(*l));

	l->name = xstrdup(name);
	l->table = table;
	l->handle = handle;
	pthread_mutex_lock(&lock);
	known = (struct loaded **)xrealloc(
	    known, (known_count + 1) * sizeof(struct loaded *));
	known[known_count++] = l;
	pthread_mutex_unlock(&lock);
	return l;
}

/* Frees it; what it is in must not be referred to any more. */
static void
loaded_forget(struct loaded *l)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < known_count; i++) {
		if (known[i] == l)
			known[i] = known[--known_count];
	}
	if (l->index != 0)
		by_index[l->index] = NULL;
	pthread_mutex_unlock(&lock);
	if (l->handle != NULL)
		dlclose(l->handle);
	arena_free(&l->arena);
	xfree((void *)(uintptr_t)l->name);
	xfree(l);
}

/* The table in a file that was opened, if it is one for us. */
static const struct module *
table_of(struct arena *a, void *handle, const char *path, const char *name,
    const char **why_r)
{
	const char *own = (const char *)dlsym(handle, "rookery_module_name");
	const uint32_t *abi =
	    (const uint32_t *)dlsym(handle, "rookery_module_abi");
	const struct module *table =
	    (const struct module *)dlsym(handle, "rookery_module");

	if (own == NULL || abi == NULL || table == NULL) {
		*why_r = arena_printf(a, "%s: is not a module", path);
		return NULL;
	}
	if (*abi != MODULE_ABI) {
		*why_r = arena_printf(a,
		    "%s: was built for module ABI %u, but this server has %u",
		    path, *abi, MODULE_ABI);
		return NULL;
	}
	if (strcmp(own, name) != 0) {
		*why_r = arena_printf(
		    a, "%s: is the module '%s' by another name", path, own);
		return NULL;
	}
	return table;
}

static struct loaded *
module_open(struct arena *a, const char *name, const char **why_r)
{
	const char *path = module_path(a, name);
	uint64_t stamp = file_stamp(path);
	const struct module *table;
	struct loaded *l;
	void *handle;

	if (stamp == 0) {
		*why_r = arena_printf(
		    a, "no module '%s' in %s", name, modules_dir());
		return NULL;
	}
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		*why_r = arena_printf(a, "cannot load: %s", dlerror());
		return NULL;
	}
	table = table_of(a, handle, path, name, why_r);
	if (table == NULL) {
		dlclose(handle);
		return NULL;
	}
	l = loaded_add(name, table, handle);
	l->stamp = stamp;
	return l;
}

static struct loaded *
linked_in(const char *name)
{
	struct loaded *l;

	for (const struct builtin *b = builtins; b->name != NULL; b++) {
		if (strcmp(b->name, name) == 0) {
			l = loaded_add(name, b->module, NULL);
			l->is_builtin = true;
			return l;
		}
	}
	for (const struct builtin *b = linked; b != NULL && b->name != NULL;
	     b++) {
		if (strcmp(b->name, name) == 0)
			return loaded_add(name, b->module, NULL);
	}
	return NULL;
}

struct loaded *
loaded_next(size_t *pos)
{
	return *pos < known_count ? known[(*pos)++] : NULL;
}

struct loaded *
loaded_peek(const char *name)
{
	for (size_t i = 0; i < known_count; i++) {
		if (strcmp(known[i]->name, name) == 0)
			return known[i];
	}
	return NULL;
}

bool
loaded_is_stale(const struct loaded *l)
{
	struct arena *a;
	uint64_t now;

	if (l->handle == NULL)
		return false;
	a = arena_new(0);
	now = file_stamp(module_path(a, l->name));
	arena_free(&a);
	return now != 0 && now != l->stamp;
}

struct loaded *
loaded_find(struct arena *a, const char *name, const char **why_r)
{
	struct loaded *l = loaded_peek(name);

	if (l != NULL && l->is_leaving) {
		*why_r = arena_printf(
		    a, "module '%s' is still being unloaded", name);
		return NULL;
	}
	/* A table that was only read, and whose file has been replaced. */
	if (l != NULL && l->index == 0 && loaded_is_stale(l)) {
		loaded_forget(l);
		l = NULL;
	}
	if (l == NULL)
		l = linked_in(name);
	if (l != NULL)
		return l;
	if (!name_is_good(name) || linked != NULL) {
		*why_r = arena_printf(a, "no module '%s'", name);
		return NULL;
	}
	return module_open(a, name, why_r);
}

/* ---- use ---- */

static bool
index_take(struct loaded *l)
{
	for (unsigned i = 1; i <= MODULES_MAX; i++) {
		if (by_index[i] == NULL) {
			pthread_mutex_lock(&lock);
			by_index[i] = l;
			l->index = i;
			pthread_mutex_unlock(&lock);
			return true;
		}
	}
	return false;
}

static void
index_give(struct loaded *l)
{
	pthread_mutex_lock(&lock);
	by_index[l->index] = NULL;
	l->index = 0;
	pthread_mutex_unlock(&lock);
}

int
loaded_begin(struct arena *a, struct loaded *l, const char **why_r)
{
	const char *why = NULL;
	int err;

	if (l->index != 0)
		return 0;
	if (!index_take(l)) {
		*why_r = arena_printf(a, "module '%s': there are %u already",
		    l->name, MODULES_MAX);
		return ERR_LIMIT;
	}
	err = l->table->load != NULL ? l->table->load(a, &why) : 0;
	if (err < 0) {
		index_give(l);
		*why_r = arena_printf(a, "module '%s': %s", l->name,
		    why != NULL ? why : err_text(err));
		return err;
	}
	if (l->table->commands != NULL)
		commands_add(l->name, l->table->commands);
	log_debug(&log_modules, "loaded %s", l->name);
	return 0;
}

void
loaded_end(struct loaded *l)
{
	if (l->index != 0) {
		if (l->table->unload != NULL)
			l->table->unload();
		log_debug(&log_modules, "unloaded %s", l->name);
	}
	loaded_forget(l);
}

const struct module *
modules_open(struct arena *a, const char *name, const char **why_r)
{
	const struct loaded *l = loaded_find(a, name, why_r);

	return l != NULL ? l->table : NULL;
}

const struct module *
modules_table(const char *name)
{
	struct arena *a;
	const char *why = NULL;
	struct loaded *l;

	if (loop_self() != NULL) {
		const struct module *table = NULL;

		pthread_mutex_lock(&lock);
		l = loaded_peek(name);
		if (l != NULL)
			table = l->table;
		pthread_mutex_unlock(&lock);
		return table;
	}
	a = arena_new(0);
	l = loaded_find(a, name, &why);
	if (l == NULL)
		log_debug(&log_modules, "%s", why);
	arena_free(&a);
	return l != NULL ? l->table : NULL;
}

void
modules_each(
    void (*fn)(void *ctx, const char *name, const struct module *table),
    void *ctx)
{
	struct builtin active[MODULES_MAX];
	size_t n = 0;

	pthread_mutex_lock(&lock);
	for (unsigned i = 1; i <= MODULES_MAX; i++) {
		const struct loaded *l = by_index[i];

		if (l != NULL && !l->is_leaving)
			active[n++] = (struct builtin){ l->name, l->table };
	}
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < n; i++)
		fn(ctx, active[i].name, active[i].module);
}
