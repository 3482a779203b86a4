/* SPDX-License-Identifier: MIT */
/*
 * Loading and unloading, on the main thread. One request at a time: it makes
 * a new plan and has all workers carry it out.
 */
#include "core/commands.h"
#include "core/conf.h"
#include "core/daemon.h"
#include "core/mods.h"

#include <pthread.h>
#include <time.h>

/* Who asked for a module's unloading is told after so long at last. */
#define SETTLE_MS 10000
/* What is loaded again must be gone first; that takes so long at most. */
#define AWAIT_MS 2000

enum op_kind { OP_LOAD, OP_UNLOAD, OP_RELOAD };

struct mod_op {
	enum op_kind kind;
	struct arena *arena;
	const char *name;
	modules_done_fn *done;
	void *ctx;
	struct loop *loop;
	int err;
	const char *why;
};

static const struct log_ctx log_modules = { .source = "modules" };
static struct plan *current;
/* For freeing, when the loops have ended. */
static struct worker **workers;
static size_t worker_count;
static pthread_mutex_t workers_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- start and end ---- */

int
modules_load(struct arena *a, const struct conf *conf, const char **why_r)
{
	const char **names = plan_order(a, conf);

	must(current == NULL);
	for (size_t i = 0; names[i] != NULL; i++) {
		struct loaded *l = loaded_find(a, names[i], why_r);
		int err = l != NULL ? loaded_begin(a, l, why_r) : ERR_ABSENT;

		if (err < 0)
			return err;
	}
	current = plan_of_conf(a, conf, names);
	return 0;
}

void
modules_start_worker(void)
{
	worker = worker_new();
	pthread_mutex_lock(&workers_lock);
	workers = (struct worker **)xrealloc(
	    workers, (worker_count + 1) * sizeof(struct worker *));
	workers[worker_count++] = worker;
	pthread_mutex_unlock(&workers_lock);
	worker_carry_out(current);
}

void
modules_stop_worker(void)
{
	static const struct plan nothing;

	if (worker == NULL)
		return;
	worker->is_ending = true;
	worker_carry_out(&nothing);
	timer_stop(&worker->bury);
}

void
modules_unload(void)
{
	struct loaded *l;
	size_t at;

	for (size_t i = 0; i < worker_count; i++)
		worker_free(&workers[i]);
	xfree(workers);
	workers = NULL;
	worker_count = 0;
	xfree(current);
	current = NULL;
	while (at = 0, (l = loaded_next(&at)) != NULL) {
		if (l->index != 0 && l->table->commands != NULL)
			commands_remove(l->name);
		loaded_end(l);
	}
}

/* ---- carrying out ---- */

static void
on_plan(void *plan)
{
	worker_carry_out((const struct plan *)plan);
}

/* Takes the plan over. */
static void
plan_apply(struct plan *plan)
{
	if (loop_count() > 0)
		loops_call(on_plan, plan);
	xfree(current);
	current = plan;
}

static void
loaded_leave(struct loaded *l)
{
	l->is_leaving = true;
	l->left = clock_mono();
	publish_drop(l->table);
	if (l->table->commands != NULL)
		commands_remove(l->name);
}

/* Those in use that the plan does not have. */
static void
unplanned_leave(const struct plan *plan)
{
	struct loaded *l;

	for (size_t i = 0; (l = loaded_next(&i)) != NULL;) {
		if (l->index != 0 && !l->is_leaving && !plan_has(plan, l)) {
			log_info(&log_modules, "unloads %s", l->name);
			loaded_leave(l);
		}
	}
}

void
modules_apply(struct arena *a, const struct conf *conf, struct buf *notes)
{
	const char **names = plan_order(a, conf);
	struct plan *plan;

	for (size_t i = 0; names[i] != NULL; i++) {
		const char *why = NULL;
		struct loaded *l = loaded_find(a, names[i], &why);
		bool is_new = l != NULL && l->index == 0;

		if (l == NULL || loaded_begin(a, l, &why) < 0) {
			log_error(&log_modules, "%s", why);
			buf_printf(notes, "%s\n", why);
		} else if (is_new) {
			log_info(&log_modules, "loads %s", l->name);
		}
	}
	plan = plan_of_conf(a, conf, names);
	unplanned_leave(plan);
	plan_apply(plan);
}

/* ---- requests ---- */

static void
on_answer(void *msg)
{
	struct mod_op *op = (struct mod_op *)msg;
	struct arena *a = op->arena;

	if (op->done != NULL)
		op->done(op->ctx, op->err, op->why);
	arena_free(&a);
}

static void
op_answer(struct mod_op *op, int err, const char *why)
{
	op->err = err;
	op->why = why;
	if (err < 0)
		log_warn(&log_modules, "%s", why);
	if (op->loop != NULL)
		loop_post(op->loop, on_answer, op);
	else
		on_answer(op);
}

/* Its items at the end of the plan; false with *why_r: options are wrong. */
static bool
items_add(
    struct arena *a, struct plan **plan, struct loaded *l, const char **why_r)
{
	const struct conf *conf = conf_now();
	struct problems problems = { .arena = a };
	size_t count = l->table->is_global ? 1 : conf->host_count;
	struct plan *p = plan_grow(*plan, count);

	if (l->arena == NULL)
		l->arena = arena_new(0);
	*plan = p;
	problems.file = conf->path != NULL ? conf->path : "configuration";
	for (size_t i = 0; i < count; i++) {
		const struct host_conf *h =
		    l->table->is_global ? NULL : &conf->hosts[i];

		p->item[p->count++] = (struct plan_item){ l,
			h != NULL ? host_find(h->name) : NULL,
			conf_module_options(
			    conf, l->arena, &problems, l->name, l->table, h) };
	}
	if (problems.count > 0)
		*why_r = problem_line(&problems, 0);
	return problems.count == 0;
}

/* With what it needs before it; `depth` bounds a circle of needs. */
static int
op_add(struct mod_op *op, struct plan **plan, const char *name, unsigned depth)
{
	struct loaded *l = loaded_find(op->arena, name, &op->why);
	int err;

	if (l == NULL)
		return ERR_ABSENT;
	if (plan_has(*plan, l))
		return 0;
	if (depth == 0) {
		op->why = arena_printf(op->arena,
		    "module '%s' needs too many others, or itself", name);
		return ERR_LIMIT;
	}
	for (const char *const *need = l->table->needs;
	     need != NULL && *need != NULL; need++) {
		err = op_add(op, plan, *need, depth - 1);
		if (err < 0)
			return err;
	}
	err = loaded_begin(op->arena, l, &op->why);
	if (err < 0)
		return err;
	return items_add(op->arena, plan, l, &op->why) ? 0 : ERR_CONFIG;
}

/* Takes those off again that have begun and are in no plan. */
static void
failed_leave(void)
{
	struct loaded *l;

	for (size_t i = 0; (l = loaded_next(&i)) != NULL;) {
		if (l->index != 0 && !l->is_leaving && !plan_has(current, l))
			loaded_leave(l);
	}
}

static void
op_load(struct mod_op *op)
{
	const struct loaded *l = loaded_peek(op->name);
	struct plan *plan;
	int err;

	if (l != NULL && l->is_leaving) {
		modules_await();
		l = loaded_peek(op->name);
	}
	if (l != NULL && plan_has(current, l)) {
		op_answer(op, ERR_EXISTS,
		    arena_printf(
			op->arena, "module '%s' is loaded already", op->name));
		return;
	}
	plan = plan_new(current->count);
	plan->count = current->count;
	memcpy(plan->item, current->item, current->count * sizeof(*plan->item));
	err = op_add(op, &plan, op->name, 16);
	if (err < 0) {
		xfree(plan);
		failed_leave();
		op_answer(op, err, op->why);
		return;
	}
	plan_apply(plan);
	log_info(&log_modules, "loaded %s", op->name);
	op_answer(op, 0, NULL);
}

/* Why it must stay, or NULL. */
static const char *
stay_reason(struct mod_op *op, const struct loaded *l)
{
	const char *driver = conf_now()->database.driver;
	const char *other = plan_needs(current, l->name);

	if (l->is_builtin)
		return arena_printf(
		    op->arena, "module '%s' is a part of the server", l->name);
	if (strncmp(l->name, "store_", 6) == 0 &&
	    strcmp(l->name + 6, driver) == 0)
		return arena_printf(
		    op->arena, "module '%s' keeps the database", l->name);
	if (other != NULL)
		return arena_printf(
		    op->arena, "module '%s' is needed by '%s'", l->name, other);
	return NULL;
}

static void
op_take_off(struct mod_op *op, struct loaded *l)
{
	loaded_leave(l);
	l->op = op;
	log_info(&log_modules, "unloads %s", l->name);
	plan_apply(plan_without(current, l));
}

static void
on_reload(void *name)
{
	struct mod *m;

	LIST_EACH(m, &worker->mods, struct mod, node)
	{
		if (strcmp(m->loaded->name, (const char *)name) == 0 &&
		    m->table->reload != NULL)
			m->table->reload(m);
	}
}

/* From a new file if there is one; else it takes up its options anew. */
static void
op_reload(struct mod_op *op, struct loaded *l, const char *stay)
{
	if (loaded_is_stale(l) && stay == NULL) {
		op_take_off(op, l);
		return;
	}
	if (loaded_is_stale(l)) {
		op_answer(op, ERR_DENIED, stay);
		return;
	}
	loops_call(on_reload, (void *)(uintptr_t)op->name);
	op_answer(op, 0, NULL);
}

static void
on_op(void *msg)
{
	struct mod_op *op = (struct mod_op *)msg;
	struct loaded *l = loaded_peek(op->name);
	const char *stay;

	if (op->kind == OP_LOAD) {
		op_load(op);
		return;
	}
	if (l == NULL || !plan_has(current, l)) {
		op_answer(op, ERR_ABSENT,
		    arena_printf(
			op->arena, "module '%s' is not loaded", op->name));
		return;
	}
	stay = stay_reason(op, l);
	if (op->kind == OP_RELOAD)
		op_reload(op, l, stay);
	else if (stay != NULL)
		op_answer(op, ERR_DENIED, stay);
	else
		op_take_off(op, l);
}

/* Gone, or waited for long enough. */
static void
op_settle(struct loaded *l, bool is_gone)
{
	struct mod_op *op = l->op;

	l->op = NULL;
	if (is_gone)
		loaded_end(l);
	if (op == NULL)
		return;
	if (op->kind == OP_RELOAD) {
		op->kind = OP_LOAD;
		op_load(op);
		return;
	}
	op_answer(op, 0, NULL);
}

bool
modules_settle(void)
{
	struct loaded *l;
	bool is_waiting = false;

	for (size_t i = 0; (l = loaded_next(&i)) != NULL;) {
		bool is_gone;

		if (!l->is_leaving)
			continue;
		is_gone =
		    __atomic_load_n(&l->instances, __ATOMIC_ACQUIRE) == 0 &&
		    (l->table->commands == NULL || commands_remove(l->name));
		if (is_gone) {
			op_settle(l, true);
			i = 0;
		} else if (l->op != NULL &&
			   clock_mono() - l->left > SETTLE_MS) {
			log_notice(&log_modules,
			    "%s waits for answers, %u instances", l->name,
			    l->instances);
			op_settle(l, false);
		}
		is_waiting |= !is_gone;
	}
	return is_waiting;
}

void
modules_await(void)
{
	uint64_t end = clock_mono() + AWAIT_MS;
	struct timespec pause = { 0, 5000000 };

	while (modules_settle() && clock_mono() < end)
		nanosleep(&pause, NULL);
}

static void
op_post(enum op_kind kind, const char *name, modules_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct mod_op *op = arena_new_of(a, struct mod_op);

	op->kind = kind;
	op->arena = a;
	op->name = str_dup_c(a, str_c(name));
	op->done = done;
	op->ctx = ctx;
	op->loop = loop_self();
	main_post(on_op, op);
}

void
modules_load_one(const char *name, modules_done_fn *done, void *ctx)
{
	op_post(OP_LOAD, name, done, ctx);
}

void
modules_unload_one(const char *name, modules_done_fn *done, void *ctx)
{
	op_post(OP_UNLOAD, name, done, ctx);
}

void
modules_reload_one(const char *name, modules_done_fn *done, void *ctx)
{
	op_post(OP_RELOAD, name, done, ctx);
}
