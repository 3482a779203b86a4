/* SPDX-License-Identifier: MIT */
/* Instances of modules, on their worker. */
#include "core/mods.h"

#include "core/daemon.h"
#include "core/optval.h"

#include <uv.h>

/* How often stopped instances are looked at, and how long they live. */
#define BURY_MS 10
#define BURY_EPOCHS 8

_Thread_local struct worker *worker;
static unsigned dead_count; /* atomic */

struct host_mods *
worker_host(struct worker *w, const struct host *host)
{
	return &w->hosts[host != NULL ? host->index : host_count()];
}

void *
mod_state(const struct mod *m)
{
	return m->state;
}

const void *
mod_options(const struct mod *m)
{
	return m->options;
}

struct host *
mod_host(const struct mod *m)
{
	return m->host;
}

const char *
mod_name(const struct mod *m)
{
	return m->loaded->name;
}

struct log_ctx *
mod_log(struct mod *m)
{
	return &m->log;
}

const struct jid *
mod_service(const struct mod *m)
{
	return jid_is_none(&m->service) ? NULL : &m->service;
}

/* Those that have started, in the arrays or not yet. */
struct mod *
mod_find(const struct host *host, const char *name)
{
	if (worker == NULL)
		return NULL;
	for (size_t i = 1; i <= worker->top; i++) {
		struct mod *m = worker_host(worker, host)->mod[i];

		if (m == NULL)
			m = worker_host(worker, NULL)->mod[i];
		if (m != NULL && strcmp(m->loaded->name, name) == 0)
			return m;
	}
	return NULL;
}

/* ---- features, identities, services ---- */

/* Has a module before that one the same? Each is told once. */
static bool
is_told(const struct host_mods *h, size_t before, int where, struct str var)
{
	for (size_t i = 0; i < before; i++) {
		const struct feature *f = h->sorted[i]->table->features;

		for (; f != NULL && f->where != 0; f++)
			if (f->where & where && str_eq(f->var, var))
				return true;
	}
	return false;
}

void
mod_each_feature(const struct host *host, int where,
    void (*fn)(void *ctx, struct str var), void *ctx)
{
	const struct host_mods *h;

	if (worker == NULL)
		return;
	h = worker_host(worker, host);
	for (size_t i = 0; i < h->sorted_count; i++) {
		const struct feature *f = h->sorted[i]->table->features;

		for (; f != NULL && f->where != 0; f++) {
			if (f->where & where && !is_told(h, i, where, f->var))
				fn(ctx, f->var);
		}
	}
}

void
mod_each_identity(const struct host *host, int where,
    void (*fn)(void *ctx, const struct identity *id), void *ctx)
{
	const struct host_mods *h;

	if (worker == NULL)
		return;
	h = worker_host(worker, host);
	for (size_t i = 0; i < h->sorted_count; i++) {
		const struct identity *id = h->sorted[i]->table->identities;

		for (; id != NULL && id->where != 0; id++) {
			if (id->where & where)
				fn(ctx, id);
		}
	}
}

void
mod_each_service(const struct host *host,
    void (*fn)(void *ctx, const struct jid *domain), void *ctx)
{
	const struct host_mods *h;

	if (worker == NULL)
		return;
	h = worker_host(worker, host);
	for (size_t i = 0; i < h->sorted_count; i++) {
		if (!jid_is_none(&h->sorted[i]->service))
			fn(ctx, &h->sorted[i]->service);
	}
}

void
mod_hold(struct mod *m)
{
	m->holds++;
}

void
mod_release(struct mod *m)
{
	must(m->holds > 0);
	m->holds--;
}

bool
mod_is_ending(void)
{
	return worker->is_ending;
}

bool
mod_each_http(const struct host *host,
    bool (*fn)(void *ctx, struct mod *m, const struct http_route *routes),
    void *ctx)
{
	const struct host_mods *h;

	if (worker == NULL)
		return false;
	h = worker_host(worker, host);
	for (size_t i = 0; i < h->sorted_count; i++) {
		const struct http_route *routes = h->sorted[i]->table->http;

		if (routes != NULL && fn(ctx, h->sorted[i], routes))
			return true;
	}
	return false;
}

struct mod *
service_find(struct str domain)
{
	return worker == NULL
		   ? NULL
		   : (struct mod *)map_get(&worker->services, domain);
}

void
service_deliver(struct mod *m, struct stanza *st)
{
	m->table->service(m, st);
}

/* ---- life ---- */

struct str
service_domain(const struct module *table, const void *options)
{
	const struct option *o = table->options;

	for (; o != NULL && o->type != OPTION_END; o++) {
		if (table->service_option != NULL &&
		    strcmp(o->name, table->service_option) == 0)
			return *(const struct str *)(const void
				*)((const char *)options + o->offset);
	}
	return STR_NONE;
}

static void
service_set(struct mod *m)
{
	struct str domain = STR_NONE, old = m->service.full;

	if (m->table->service != NULL && m->options != NULL)
		domain = service_domain(m->table, m->options);
	if (str_eq(domain, old))
		return;
	if (!str_is_none(old))
		map_del(&worker->services, old);
	str_free(&old);
	m->service = (struct jid){ 0 };
	if (domain.n == 0)
		return;
	m->service = jid_of(str_heap(domain));
	map_set(&worker->services, m->service.full, m);
}

static void
service_clear(struct mod *m)
{
	struct str old = m->service.full;

	if (!str_is_none(old) && map_get(&worker->services, old) == m)
		map_del(&worker->services, old);
}

static struct mod *
mod_new(struct worker *w, const struct plan_item *item)
{
	struct mod *m = (struct mod *)xzalloc(sizeof(*m));

	m->loaded = item->mod;
	m->table = item->mod->table;
	m->host = item->host;
	m->options = item->options;
	m->is_wanted = true;
	m->log.source = item->mod->name;
	if (item->host != NULL && host_count() > 1)
		log_field(&m->log, "host", item->host->jid.full);
	if (m->table->state_size > 0)
		m->state = xzalloc(m->table->state_size);
	__atomic_fetch_add(&m->loaded->instances, 1, __ATOMIC_RELAXED);
	worker_host(w, m->host)->mod[m->loaded->index] = m;
	w->top = MAX(w->top, m->loaded->index);
	list_add(&w->mods, &m->node);
	return m;
}

static void
mod_free(struct mod *m)
{
	struct str service = m->service.full;

	list_del(&m->node);
	str_free(&service);
	xfree(m->state);
	__atomic_sub_fetch(&m->loaded->instances, 1, __ATOMIC_ACQ_REL);
	xfree(m);
	if (__atomic_sub_fetch(&dead_count, 1, __ATOMIC_ACQ_REL) == 0)
		main_wake();
}

unsigned
mods_dead_count(void)
{
	return __atomic_load_n(&dead_count, __ATOMIC_ACQUIRE);
}

/* Work on the pool is under way for this loop. */
static bool
loop_has_work(void)
{
	const uv_loop_t *uv = (const uv_loop_t *)loop_uv(loop_self());

	return uv->active_reqs.count > 0;
}

/*
 * Callbacks that reach a stopped instance come from the store, or from work on
 * the pool. What it had asked the store for is answered two epochs later; but
 * an answer may make it ask once more.
 */
static void
on_bury(struct timer *t)
{
	struct worker *w = CONTAINER_OF(t, struct worker, bury);
	unsigned now = store_epoch();
	bool has_work = loop_has_work();
	struct mod *m;

	LIST_EACH(m, &w->dead, struct mod, node)
	{
		if (!has_work && m->holds == 0 && now - m->ended >= BURY_EPOCHS)
			mod_free(m);
	}
	if (!list_is_empty(&w->dead))
		timer_start(&w->bury, BURY_MS, on_bury);
}

static void
mod_bury(struct worker *w, struct mod *m)
{
	worker_host(w, m->host)->mod[m->loaded->index] = NULL;
	list_del(&m->node);
	list_add(&w->dead, &m->node);
	m->ended = store_epoch();
	__atomic_fetch_add(&dead_count, 1, __ATOMIC_RELAXED);
	timer_start(&w->bury, BURY_MS, on_bury);
}

/* The last one started is stopped first. */
static void
unwanted_stop(struct worker *w)
{
	struct mod *m;
	size_t count = 0;

	for (struct list *l = w->mods.prev; l != &w->mods; l = l->prev) {
		m = CONTAINER_OF(l, struct mod, node);
		if (m->is_wanted)
			continue;
		count++;
		service_clear(m);
		if (m->table->stop != NULL)
			m->table->stop(m);
		if (m->table->auth != NULL)
			auth_backend_stop(m, m->table->auth);
	}
	if (count == 0)
		return;
	slots_drop_unwanted();
	LIST_EACH(m, &w->mods, struct mod, node)
	{
		if (!m->is_wanted)
			mod_bury(w, m);
	}
}

/* An instance that stays: it may have got other options. */
static void
mod_update(struct mod *m, const void *options)
{
	bool is_same = m->options == options ||
		       optvals_equal(m->table->options, m->options, options);

	m->options = options;
	service_set(m);
	if (is_same)
		return;
	log_debug(&m->log, "has new options");
	if (m->table->reload != NULL)
		m->table->reload(m);
}

/*
 * No handler of an instance runs before its start has returned, nor after
 * its stop was called.
 */
static void
item_carry_out(struct worker *w, const struct plan_item *item)
{
	struct mod *m = worker_host(w, item->host)->mod[item->mod->index];

	if (m != NULL) {
		/* Into the order of the plan. */
		list_del(&m->node);
		list_add(&w->mods, &m->node);
		mod_update(m, item->options);
		return;
	}
	m = mod_new(w, item);
	service_set(m);
	if (m->table->auth != NULL)
		mod_publish(mod_name(m), m->table->auth);
	if (m->table->start != NULL)
		m->table->start(m);
	m->is_on = true;
}

unsigned
mod_generation(void)
{
	return worker->generation;
}

void
mod_changed(void)
{
	worker->generation++;
}

void
worker_carry_out(const struct plan *plan)
{
	struct worker *w = worker;
	struct mod *m;

	LIST_EACH(m, &w->mods, struct mod, node)
	{
		m->is_wanted = false;
	}
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_item *item = &plan->item[i];

		m = worker_host(w, item->host)->mod[item->mod->index];
		if (m != NULL)
			m->is_wanted = true;
	}
	LIST_EACH(m, &w->mods, struct mod, node)
	{
		m->is_on = m->is_wanted;
	}

	w->generation++;
	worker_arrange(w);
	unwanted_stop(w);
	for (size_t i = 0; i < plan->count; i++)
		item_carry_out(w, &plan->item[i]);
	worker_arrange(w);
}

struct worker *
worker_new(void)
{
	struct worker *w = (struct worker *)xzalloc(sizeof(*w));

	list_init(&w->mods);
	list_init(&w->dead);
	w->hosts =
	    (struct host_mods *)xzalloc((host_count() + 1) * sizeof(*w->hosts));
	return w;
}

/* Stopped instances outlive their loop: its last callbacks may reach them. */
void
worker_free(struct worker **w)
{
	struct mod *m;

	LIST_EACH(m, &(*w)->dead, struct mod, node)
	{
		mod_free(m);
	}
	map_fini(&(*w)->services);
	arena_free(&(*w)->arena);
	xfree((*w)->hosts);
	xfree(*w);
	*w = NULL;
}
