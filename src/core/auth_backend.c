/* SPDX-License-Identifier: MIT */
/*
 * Asking backends. Each question is a job on the pool: a bounded number of
 * them at a time, so that a backend that hangs leaves threads for the others,
 * and a bounded number that wait. Yes is remembered for a short time, by a
 * keyed hash of the password; so is that a user does not exist.
 */
#include "core/auth_backend.h"

#include "base/err.h"
#include "base/log.h"
#include "base/random.h"
#include "core/auth.h"
#include "core/conf.h"
#include "core/mods.h"
#include "net/loop.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>

#define WAITING_MAX 256
#define WAIT_MAX SECONDS(10)
#define IDLE_MAX 8
#define CACHE_SLOTS 1024 /* of a worker */
#define NO_LIFETIME SECONDS(30)
#define MAC_LEN 32
#define POOL_SIZE "16" /* threads; libuv has 4 */

struct cached {
	unsigned char mac[MAC_LEN];
	uint64_t until;
	unsigned generation;
};

struct question {
	struct list node;
	struct auth_ask ask;
	enum auth_what what; /* that the asker wants */
	struct host *host;
	struct jid jid;
	size_t next; /* of the backends */
	const struct auth_backend *backend;
	const char *name; /* of it */
	struct mod *mod;
	uint64_t due; /* to begin */
	bool was_down;
	bool is_unsure; /* some can't tell */
	unsigned generation;
	int err;
	auth_fn *done;
	void *ctx;
};

struct idle {
	struct list node;
	const struct auth_backend *backend;
	const struct host *host;
	void *state;
};

static __thread struct list waiting, idles;
static __thread unsigned running, waiting_count, idle_count;
static __thread struct cached *cache;
static __thread uint64_t warned;

static unsigned char cache_key[MAC_LEN];
static pthread_once_t cache_once = PTHREAD_ONCE_INIT;
static unsigned generation; /* grows with each change; atomic */

/* ---- which there are --------------------------------------------------- */

static struct mod *
backend_at(const struct host *host, size_t i, const struct auth_backend **b_r)
{
	struct str name = conf_now()->auth.backends.item[i];
	char text[64];
	struct mod *m;

	/* Asked for at each login, so not looked for among the modules. */
	*b_r = NULL;
	if (str_is(name, "internal"))
		return NULL;
	snprintf(text, sizeof(text), "auth_" STR_FMT, STR_ARG(name));
	m = mod_find(host, text);
	*b_r = m != NULL ? mod_lookup(text) : NULL;
	return *b_r != NULL ? m : NULL;
}

bool
auth_has_backends(const struct host *host)
{
	const struct auth_backend *b;
	size_t count = conf_now()->auth.backends.count;

	for (size_t i = 0; i < count; i++)
		if (backend_at(host, i, &b) != NULL)
			return true;
	return false;
}

bool
auth_has_internal(const struct host *host)
{
	const struct str_list *all = &conf_now()->auth.backends;

	for (size_t i = 0; i < all->count; i++)
		if (str_is(all->item[i], "internal"))
			return true;
	return false;
}

/* ---- what is remembered ------------------------------------------------ */

static void
cache_start(void)
{
	random_bytes(cache_key, sizeof(cache_key));
}

/* The slot where that answer would be. */
static struct cached *
cache_slot(const struct question *q, unsigned char mac[MAC_LEN])
{
	struct str parts[3] = { str_mem(&q->what, sizeof(q->what)), q->jid.bare,
		q->ask.password };
	unsigned char text[4 + 8192 + 3072];
	size_t n = 0;
	unsigned len = 0;

	pthread_once(&cache_once, cache_start);
	if (parts[1].n > 3072 || parts[2].n > 8000)
		return NULL;
	for (size_t i = 0; i < 3; i++) {
		if (parts[i].n > 0)
			memcpy(text + n, parts[i].p, parts[i].n);
		n += parts[i].n;
		text[n++] = '\0';
	}
	HMAC(EVP_sha256(), cache_key, sizeof(cache_key), text, n, mac, &len);
	OPENSSL_cleanse(text, n);
	if (cache == NULL)
		cache = xzalloc(CACHE_SLOTS * sizeof(*cache));
	return &cache[(mac[0] | mac[1] << 8) % CACHE_SLOTS];
}

static bool
cache_has(const struct question *q)
{
	unsigned char mac[MAC_LEN];
	const struct cached *c = cache_slot(q, mac);

	return c != NULL && c->until > loop_now() &&
	       c->generation == q->generation &&
	       CRYPTO_memcmp(c->mac, mac, MAC_LEN) == 0;
}

static void
cache_add(const struct question *q, uint64_t lifetime)
{
	unsigned char mac[MAC_LEN];
	struct cached *c = cache_slot(q, mac);

	if (c == NULL || lifetime == 0)
		return;
	memcpy(c->mac, mac, MAC_LEN);
	c->until = loop_now() + lifetime;
	c->generation = q->generation;
}

/* Changes with what is asked of whom, and with each password set. */
static unsigned
cache_generation(void)
{
	return __atomic_load_n(&generation, __ATOMIC_RELAXED) +
	       mod_generation() * 65536;
}

/* ---- states ------------------------------------------------------------ */

static void *
state_take(const struct question *q)
{
	struct idle *i;

	if (idles.next == NULL)
		list_init(&idles);
	LIST_EACH(i, &idles, struct idle, node)
	{
		if (i->backend == q->backend && i->host == q->host) {
			void *state = i->state;

			list_del(&i->node);
			idle_count--;
			xfree(i);
			return state;
		}
	}
	return NULL;
}

static void
state_give(const struct question *q)
{
	struct idle *i;

	if (q->ask.state == NULL)
		return;
	if (idle_count >= IDLE_MAX || mod_find(q->host, q->name) != q->mod) {
		q->backend->state_free(q->ask.state);
		return;
	}
	i = xzalloc(sizeof(*i));
	i->backend = q->backend;
	i->host = q->host;
	i->state = q->ask.state;
	list_add(&idles, &i->node);
	idle_count++;
}

void
auth_backend_stop(struct mod *m, const struct auth_backend *b)
{
	struct idle *i;

	if (idles.next == NULL)
		return;
	LIST_EACH(i, &idles, struct idle, node)
	{
		if (i->backend == b && i->host == mod_host(m)) {
			list_del(&i->node);
			idle_count--;
			b->state_free(i->state);
			xfree(i);
		}
	}
}

/* ---- asking ------------------------------------------------------------ */

static void question_ask(struct question *q);

/* Two thirds of the pool, shared by the workers. */
static unsigned
running_max(void)
{
	const char *text = getenv("UV_THREADPOOL_SIZE");
	uint64_t size = 4;

	if (text != NULL)
		str_to_u64(str_c(text), &size);
	return (unsigned)MAX(size * 2 / 3 / loop_count(), 1);
}

static void
question_end(void *arg)
{
	struct question *q = arg;
	struct arena *a = q->ask.arena;

	if (q->ask.password.n > 0)
		OPENSSL_cleanse(
		    (void *)(uintptr_t)q->ask.password.p, q->ask.password.n);
	q->done(q->ctx, q->err);
	arena_free(&a);
}

/* A copy of what the module's options are now. */
static const void *
options_copy(struct arena *a, const struct mod *m)
{
	const struct option *o = m->table->options;
	char *copy = arena_alloc(a, m->table->options_size + 1);

	memcpy(copy, m->options, m->table->options_size);
	for (; o != NULL && o->type != OPTION_END; o++) {
		void *p = copy + o->offset;

		if (o->type == OPTION_TEXT || o->type == OPTION_HOST) {
			*(struct str *)p = str_dup(a, *(struct str *)p);
		} else if (o->type == OPTION_LIST) {
			struct str_list *l = p;
			struct str *item =
			    arena_alloc(a, (l->count + 1) * sizeof(*item));

			for (size_t i = 0; i < l->count; i++)
				item[i] = str_dup(a, l->item[i]);
			l->item = item;
		}
	}
	return copy;
}

static void
question_work(void *arg)
{
	struct question *q = arg;

	q->err = q->backend->answer(&q->ask);
}

static void
run_waiting(void)
{
	struct question *q;

	while (running < running_max() &&
	       (q = LIST_FIRST(&waiting, struct question, node)) != NULL) {
		list_del(&q->node);
		waiting_count--;
		if (loop_now() > q->due) {
			q->err = ERR_LIMIT;
			question_end(q);
		} else {
			question_ask(q);
		}
	}
}

/* What one backend said, which may have been asked something else first. */
static bool
is_last_word(struct question *q)
{
	bool is_no = q->err == ERR_DENIED || q->err == ERR_ABSENT;

	if (q->err == ERR_UNKNOWN) {
		q->is_unsure = true;
		return false;
	}
	if (q->err != 0 && !is_no) {
		q->was_down = true;
		if (loop_now() >= warned + SECONDS(1) || warned == 0) {
			warned = loop_now();
			log_warn(mod_log(q->mod), "can't tell: %s",
			    q->ask.why[0] != '\0' ? q->ask.why
						  : err_text(q->err));
		}
		return false;
	}
	if (is_no && q->ask.why[0] != '\0')
		log_info(mod_log(q->mod), STR_FMT ": %s", STR_ARG(q->jid.bare),
		    q->ask.why);
	if (q->err != 0)
		return q->what != AUTH_CHECK && q->what != AUTH_EXISTS &&
		       q->err == ERR_DENIED;
	if (q->ask.what != q->what) /* it knows whom it can't change */
		q->err = ERR_DENIED;
	else if (!q->backend->is_quick)
		cache_add(q, conf_now()->auth.cache_ms);
	return true;
}

static void
question_answered(void *arg)
{
	struct question *q = arg;

	running--;
	state_give(q);
	if (is_last_word(q)) {
		if (q->what != AUTH_CHECK && q->what != AUTH_EXISTS)
			__atomic_add_fetch(&generation, 1, __ATOMIC_RELAXED);
		mod_release(q->mod);
		question_end(q);
	} else {
		mod_release(q->mod);
		question_ask(q);
	}
	run_waiting();
}

static bool
may_ask(struct question *q)
{
	if (q->backend->can & AUTH_CAN(q->what))
		q->ask.what = q->what;
	else if (q->what != AUTH_CREATE &&
		 q->backend->can & AUTH_CAN(AUTH_EXISTS))
		q->ask.what = AUTH_EXISTS;
	else
		return false;
	return true;
}

/*
 * Whether a user exists, when nobody says yes, is remembered in the place of a
 * password.
 */
static const struct {
	int err;
	struct str text;
} negatives[] = {
	{ ERR_ABSENT, STR_INIT("no") },
	{ ERR_UNKNOWN, STR_INIT("can't tell") },
};

static bool
negative_find(struct question *q)
{
	struct question no = *q;

	for (size_t i = 0; i < ARRAY_LEN(negatives); i++) {
		no.ask.password = negatives[i].text;
		if (cache_has(&no)) {
			q->err = negatives[i].err;
			return true;
		}
	}
	return false;
}

static void
negative_add(const struct question *q)
{
	struct question no = *q;

	for (size_t i = 0; i < ARRAY_LEN(negatives); i++) {
		no.ask.password = negatives[i].text;
		if (q->err == negatives[i].err)
			cache_add(&no, NO_LIFETIME);
	}
}

/* Asks the next backend that can be, or ends. */
static void
question_ask(struct question *q)
{
	size_t count = conf_now()->auth.backends.count;

	if (running >= running_max()) {
		list_add(&waiting, &q->node);
		waiting_count++;
		return;
	}
	while (q->next < count) {
		q->mod = backend_at(q->host, q->next++, &q->backend);
		if (q->mod == NULL)
			continue;
		if (!may_ask(q)) {
			q->is_unsure = true;
			continue;
		}
		q->name = q->mod->loaded->name;
		q->ask.options = options_copy(q->ask.arena, q->mod);
		q->ask.state = state_take(q);
		q->ask.why[0] = '\0';
		mod_hold(q->mod);
		running++;
		loop_work(question_work, question_answered, q);
		return;
	}
	q->err = q->was_down ? ERR_STORE : ERR_ABSENT;
	if (q->what == AUTH_CHECK && !q->was_down)
		q->err = ERR_DENIED;
	if (q->what == AUTH_EXISTS && !q->was_down) {
		if (q->is_unsure)
			q->err = ERR_UNKNOWN;
		negative_add(q);
	}
	question_end(q);
}

static void
question_start(void *arg)
{
	struct question *q = arg;

	q->generation = cache_generation();
	if ((q->what == AUTH_CHECK || q->what == AUTH_EXISTS) && cache_has(q)) {
		q->err = 0;
		question_end(q);
	} else if (q->what == AUTH_EXISTS && negative_find(q)) {
		question_end(q);
	} else if (waiting_count >= WAITING_MAX) {
		q->err = ERR_LIMIT;
		question_end(q);
	} else {
		question_ask(q);
	}
}

void
auth_ask(enum auth_what what, const struct jid *bare, struct str password,
    auth_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct question *q = arena_new_of(a, struct question);

	if (waiting.next == NULL)
		list_init(&waiting);
	q->ask.arena = a;
	q->what = what;
	q->host = host_find(bare->domain);
	q->jid = jid_dup(a, bare);
	q->ask.user = q->jid.local;
	q->ask.host = q->jid.domain;
	q->ask.password =
	    str_is_none(password) ? STR("") : str_dup(a, password);
	q->due = loop_now() + WAIT_MAX;
	q->done = done;
	q->ctx = ctx;
	loop_post(loop_self(), question_start, q);
}

/* ---- groups ------------------------------------------------------------ */

struct groups_question {
	struct question q; /* what keeps states and options asks for */
	struct mod *asker;
	auth_groups_fn *told;
};

static void
groups_work(void *arg)
{
	struct groups_question *g = arg;

	question_work(&g->q);
}

static void
groups_told(void *arg)
{
	struct groups_question *g = arg;
	struct arena *a = g->q.ask.arena;

	g->told(g->asker, g->q.err, g->q.ask.why, g->q.ask.group,
	    g->q.ask.group_count);
	mod_release(g->asker);
	arena_free(&a);
}

static void
groups_answered(void *arg)
{
	struct groups_question *g = arg;

	state_give(&g->q);
	mod_release(g->q.mod);
	groups_told(g);
}

void
auth_groups(struct mod *m, struct str name, auth_groups_fn *done)
{
	struct arena *a = arena_new(0);
	struct groups_question *g = arena_new_of(a, struct groups_question);
	struct question *q = &g->q;
	const char *text = arena_printf(a, "auth_" STR_FMT, STR_ARG(name));

	g->asker = m;
	g->told = done;
	mod_hold(m);
	q->ask.arena = a;
	q->ask.what = AUTH_GROUPS;
	q->host = m->host;
	q->ask.host = q->host->jid.domain;
	q->mod = mod_find(q->host, text);
	q->backend = q->mod != NULL ? mod_lookup(text) : NULL;
	if (q->backend == NULL || !(q->backend->can & AUTH_CAN(AUTH_GROUPS))) {
		snprintf(q->ask.why, sizeof(q->ask.why),
		    "no such module is on that has groups");
		q->err = ERR_ABSENT;
		loop_post(loop_self(), groups_told, g);
		return;
	}
	q->name = q->mod->loaded->name;
	q->ask.options = options_copy(a, q->mod);
	q->ask.state = state_take(q);
	mod_hold(q->mod);
	loop_work(groups_work, groups_answered, g);
}

void
auth_pool_size(const struct conf *conf)
{
	const struct str_list *all = &conf->auth.backends;

	for (size_t i = 0; i < all->count; i++)
		if (!str_is(all->item[i], "internal"))
			setenv("UV_THREADPOOL_SIZE", POOL_SIZE, 0);
}

void
auth_thread_done(void)
{
	xfree(cache);
	cache = NULL;
}
