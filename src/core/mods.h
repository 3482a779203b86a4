/* SPDX-License-Identifier: MIT */
/*
 * The loader's inside, for its own files.
 *
 * The registry (modules.c) knows the tables, on the main thread or under its
 * lock. The plan says which of them are on for which host; the main thread
 * makes it, each worker carries it out (mods.c) and builds its dispatch
 * arrays (hooks.c) anew. What was taken off lives on until nothing that it
 * asked for can call it back any more; only then its code is let go.
 */
#ifndef CORE_MODS_H
#define CORE_MODS_H

#include "core/hooks.h"
#include "core/problem.h"

#define MODULES_MAX 255

struct conf;

/* A table in use. `index` is its slot in accounts and sessions, from 1. */
struct loaded {
	const char *name;
	const struct module *table;
	void *handle;	    /* of dlopen; NULL: linked in */
	unsigned index;	    /* 0: only its table has been read */
	unsigned instances; /* on all workers, atomic */
	bool is_builtin;
	bool is_leaving;     /* off everywhere, and waits for callbacks */
	struct arena *arena; /* options of one that was loaded by command */
	struct mod_op *op;   /* waits for it to be gone, or NULL */
	uint64_t left;	     /* when it was taken off */
	uint64_t stamp;	     /* of its file, when that was opened */
};

/* Who is on where, in the order of starting. */
struct plan_item {
	struct loaded *mod;
	struct host *host; /* NULL for global ones */
	const void *options;
};

struct plan {
	size_t count;
	struct plan_item item[];
};

/* An instance. */
struct mod {
	struct list node; /* in its worker's list, in order of starting */
	struct loaded *loaded;
	const struct module *table;
	struct host *host;
	const void *options;
	void *state;
	struct jid service; /* its own text; none: it has none */
	struct log_ctx log;
	bool is_on;	/* in the dispatch arrays */
	bool is_wanted; /* by the plan that is being carried out */
	unsigned ended; /* the store's epoch when it was stopped */
	unsigned holds; /* requests under way that name it */
};

struct handler {
	const struct hook *hook;
	struct mod *mod;
	uint16_t key; /* rank, module and place: where a held one goes on */
};

struct chain {
	const struct handler *item;
	size_t count;
};

struct route {
	const struct iq_route *row;
	struct mod *mod;
	uint16_t key;	/* of module and row, as long as both are there */
	uint16_t order; /* by module name and row */
};

/* Routes of one payload are neighbours in `route`. */
struct route_slot {
	uint16_t payload;
	uint16_t first;
	uint16_t count; /* 0: a free slot */
};

struct host_mods {
	struct mod *mod[MODULES_MAX + 1]; /* by index of the module */
	/* Those that are on, and the global ones, by name. */
	struct mod **sorted;
	size_t sorted_count;
	struct chain chain[HOOK_COUNT];
	const struct route *route;
	struct route_slot *slot;
	size_t slot_mask;
	size_t any_first, any_count; /* routes for whatever payload */
};

/* One for each loop. */
struct worker {
	struct list mods; /* struct mod, in order of starting */
	struct list dead; /* stopped ones */
	struct timer bury;
	struct arena *arena;	 /* of the arrays */
	struct host_mods *hosts; /* the global ones behind the last */
	struct map services;
	unsigned generation; /* of what modules offer */
	unsigned top;	     /* the highest index of a module that there was */
	bool is_ending;
};

extern _Thread_local struct worker *worker;

/* Routes of HTTP of what is on for the host, until fn answers true. */
struct http_route;
bool mod_each_http(const struct host *host,
    bool (*fn)(void *ctx, struct mod *m, const struct http_route *routes),
    void *ctx);
/* Of a host, or with NULL the global ones. */
struct host_mods *worker_host(struct worker *w, const struct host *host);
/* hooks.c: the arrays, from those instances that are on. */
void worker_arrange(struct worker *w);
/* mods.c: does what the plan says, on the loop. */
struct worker *worker_new(void);
void worker_carry_out(const struct plan *plan);
/* On the main thread, when the loops have ended. */
void worker_free(struct worker **w);
/* Stopped instances that callbacks may still reach, on all workers. */
unsigned mods_dead_count(void);
/* slots.c: frees what accounts and sessions keep for unwanted instances. */
void slots_drop_unwanted(void);

/* plan.c, on the main thread. Plans are on the heap. */
struct plan *plan_new(size_t count);
/* Makes room for more items at the end. */
struct plan *plan_grow(struct plan *plan, size_t more);
struct plan *plan_without(const struct plan *plan, const struct loaded *mod);
bool plan_has(const struct plan *plan, const struct loaded *mod);
/* A module of the plan that needs the one of that name, or NULL. */
const char *plan_needs(const struct plan *plan, const char *name);
/*
 * The names of all modules that `conf` has on, in the order of starting:
 * what others need comes first. Ended by NULL.
 */
const char **plan_order(struct arena *a, const struct conf *conf);
/* What `conf` says about those modules that are in use. */
struct plan *plan_of_conf(
    struct arena *a, const struct conf *conf, const char *const *names);

/*
 * The registry (registry.c). loaded_find reads the table if need be, and
 * answers NULL with *why_r when there is no such module; loaded_peek only
 * looks among those known.
 */
struct loaded *loaded_find(
    struct arena *a, const char *name, const char **why_r);
struct loaded *loaded_peek(const char *name);
/* Gives it an index, calls its load() and adds its commands. */
int loaded_begin(struct arena *a, struct loaded *l, const char **why_r);
/* Calls its unload() and forgets it; nothing of it runs any more. */
void loaded_end(struct loaded *l);
/* Has its file been replaced since it was opened? */
bool loaded_is_stale(const struct loaded *l);
/* Walks all that are known: for (i = 0; (l = loaded_next(&i)) != NULL;). */
struct loaded *loaded_next(size_t *pos);
/* publish.c: drops what was published by the code that `table` is in. */
void publish_drop(const void *table);

#endif
