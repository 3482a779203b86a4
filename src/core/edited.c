/* SPDX-License-Identifier: MIT */
#include "core/edited.h"

#include <pthread.h>

#define ENTRIES_MAX 1000

struct entry {
	struct str jid, domain; /* prepared; on the heap, one text */
};

/* Who looks holds the lock for that moment; who edits, to exchange a list. */
static struct {
	pthread_rwlock_t lock;
	struct map by_jid[EDITED_COUNT];
	size_t counts[EDITED_COUNT]; /* atomic */
	/* Of all hosts, from the store, and one until it is known how many. */
	unsigned unread; /* atomic */
} lists = { .lock = PTHREAD_RWLOCK_INITIALIZER, .unread = 1 };

static const char *const stores[EDITED_COUNT] = {
	[EDITED_BLOCKED] = "blocked_peers",
	[EDITED_ALLOWED] = "allowed_peers",
	[EDITED_ADMINS] = "admins",
};

/* ---- reading ------------------------------------------------------------ */

bool
edited_is_read(void)
{
	return __atomic_load_n(&lists.unread, __ATOMIC_ACQUIRE) == 0;
}

bool
edited_is_empty(enum edited list)
{
	return __atomic_load_n(&lists.counts[list], __ATOMIC_RELAXED) == 0;
}

bool
edited_has(enum edited list, struct str text)
{
	bool has;

	if (edited_is_empty(list))
		return false;
	pthread_rwlock_rdlock(&lists.lock);
	has = map_get(&lists.by_jid[list], text) != NULL;
	pthread_rwlock_unlock(&lists.lock);
	return has;
}

/* As XEP-0016 has it, which XEP-0133 refers to. */
bool
edited_fits(enum edited list, const struct jid *jid)
{
	char text[2 * JID_PART_MAX + 2];
	int n;

	if (edited_is_empty(list))
		return false;
	if (edited_has(list, jid->full) || edited_has(list, jid->bare))
		return true;
	n = snprintf(text, sizeof(text), STR_FMT "/" STR_FMT,
	    STR_ARG(jid->domain), STR_ARG(jid->resource));
	return edited_has(list, str_mem(text, (size_t)n)) ||
	       edited_has(list, jid->domain);
}

bool
edited_has_domain(enum edited list, struct str domain)
{
	const struct entry *e;
	bool has = false;

	if (edited_is_empty(list))
		return false;
	pthread_rwlock_rdlock(&lists.lock);
	for (size_t i = 0;
	     !has && (e = map_next(&lists.by_jid[list], &i)) != NULL;)
		has = str_eq(e->domain, domain);
	pthread_rwlock_unlock(&lists.lock);
	return has;
}

static int
by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

size_t
edited_all(enum edited list, struct arena *a, struct str **jids_r)
{
	const struct map *m = &lists.by_jid[list];
	const struct entry *e;
	size_t n = 0;

	pthread_rwlock_rdlock(&lists.lock);
	*jids_r =
	    (struct str *)arena_alloc(a, (m->count + 1) * sizeof(**jids_r));
	for (size_t i = 0; (e = map_next(m, &i)) != NULL;)
		(*jids_r)[n++] = str_dup(a, e->jid);
	pthread_rwlock_unlock(&lists.lock);
	qsort(*jids_r, n, sizeof(**jids_r), by_text);
	return n;
}

/* ---- changing ----------------------------------------------------------- */

static void
map_clear(struct map *m)
{
	struct entry *e;

	for (size_t i = 0; (e = map_next(m, &i)) != NULL;) {
		str_free(&e->jid);
		str_free(&e->domain);
		xfree(e);
	}
	map_fini(m);
}

static void
map_add(struct map *m, const struct jid *jid)
{
	struct entry *e;

	if (map_get(m, jid->full) != NULL)
		return;
	e = (struct entry *)xmalloc(sizeof(*e));
	e->jid = str_heap(jid->full);
	e->domain = str_heap(jid->domain);
	map_set(m, e->jid, e);
}

static void
counted(enum edited list)
{
	__atomic_store_n(
	    &lists.counts[list], lists.by_jid[list].count, __ATOMIC_RELAXED);
}

static void
add_all(enum edited list, const struct jid *jids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		map_add(&lists.by_jid[list], &jids[i]);
	counted(list);
}

static void
put_all(enum edited list, const struct jid *jids, size_t count)
{
	pthread_rwlock_wrlock(&lists.lock);
	map_clear(&lists.by_jid[list]);
	add_all(list, jids, count);
	pthread_rwlock_unlock(&lists.lock);
}

void
edited_fini(void)
{
	for (unsigned i = 0; i < EDITED_COUNT; i++)
		put_all((enum edited)i, NULL, 0);
}

/* What disco says of administrators may be another. */
static void
tell_worker(void *ctx, unsigned number)
{
	mod_changed();
}

/* `ctx`: a command that ends with it, or NULL. */
static void
on_told(void *ctx)
{
	if (ctx != NULL)
		cmd_ok((struct cmd *)ctx, NULL);
}

/* ---- loading ------------------------------------------------------------ */

#define AGAIN_MS SECONDS(5)

struct loader {
	struct mod *mod;
	enum edited list;
	bool is_reading;
	struct timer timer;
};

struct edited_state {
	struct loader loaders[EDITED_COUNT];
};

static void load(struct loader *l);

static void
one_read(void)
{
	__atomic_sub_fetch(&lists.unread, 1, __ATOMIC_RELEASE);
}

static void
loader_end(struct loader *l)
{
	if (l->is_reading)
		one_read();
	l->is_reading = false;
	timer_stop(&l->timer);
}

static void
on_time(struct timer *t)
{
	load(CONTAINER_OF(t, struct loader, timer));
}

static void
on_loaded(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct loader *l = (struct loader *)ctx;

	if (!l->is_reading)
		return; /* stopped meanwhile */
	if (err < 0) {
		log_notice(mod_log(l->mod), "the list '%s' can't be read yet",
		    stores[l->list]);
		timer_start(&l->timer, AGAIN_MS, on_time);
		return;
	}
	pthread_rwlock_wrlock(&lists.lock);
	for (size_t i = 0; i < count; i++) {
		struct jid jid = jid_of(items[i].key);

		add_all(l->list, &jid, 1);
	}
	pthread_rwlock_unlock(&lists.lock);
	loader_end(l);
	if (count > 0)
		worker_gather(tell_worker, on_told, NULL);
}

static void
load(struct loader *l)
{
	kv_list(mod_host(l->mod)->jid.full, str_c(stores[l->list]), STR_NONE,
	    false, ENTRIES_MAX, on_loaded, l);
}

/* Whichever host was the first when they were written. */
static void
edited_start(struct mod *m)
{
	struct edited_state *s = (struct edited_state *)mod_state(m);

	if (account_home(mod_host(m)->jid.full) != loop_self())
		return;
	for (unsigned i = 0; i < EDITED_COUNT; i++) {
		s->loaders[i].mod = m;
		s->loaders[i].list = (enum edited)i;
		s->loaders[i].is_reading = true;
		__atomic_add_fetch(&lists.unread, 1, __ATOMIC_RELAXED);
		load(&s->loaders[i]);
	}
}

static void
edited_stop(struct mod *m)
{
	struct edited_state *s = (struct edited_state *)mod_state(m);

	for (unsigned i = 0; i < EDITED_COUNT; i++)
		loader_end(&s->loaders[i]);
}

void
edited_started(void)
{
	one_read();
}

const struct module edited_module = {
	.summary = "keep the lists that administrators edit",
	.state_size = sizeof(struct edited_state),
	.start = edited_start,
	.stop = edited_stop,
};

/* ---- commands ----------------------------------------------------------- */

/* What is still being read must not be told, nor come on top of a change. */
static bool
is_read(struct cmd *c)
{
	if (edited_is_read())
		return true;
	cmd_fail(c, CMD_FAILED, 0,
	    "The server has just started, and has not read its lists yet");
	return false;
}

static void
list_run(struct cmd *c, enum edited list)
{
	json_t *value;
	struct str *jids;
	size_t n;

	if (!is_read(c))
		return;
	value = json_array();
	n = edited_all(list, cmd_arena(c), &jids);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
		    value, json_stringn(jids[i].p, jids[i].n));
	cmd_result(c, value);
}

struct edit {
	struct cmd *cmd;
	enum edited list;
	struct jid *jids; /* in the command's arena */
	size_t count;
};

/* Separated by lines, spaces or commas. */
static struct str
next_word(struct str *rest)
{
	size_t n = 0;
	struct str word;

	while (n < rest->n && strchr(" \t\r\n,", rest->p[n]) == NULL)
		n++;
	word = str_sub(*rest, 0, n);
	*rest = str_skip(*rest, MIN(n + 1, rest->n));
	return word;
}

/* Those of our own are banned, not blocked; who administers has an account. */
static const char *
edit_check(const struct edit *e, const struct jid *jid)
{
	if (e->list == EDITED_ADMINS)
		return jid_is_bare(jid) && !str_is_none(jid->local)
			   ? NULL
			   : "is no account";
	return host_find(jid->domain) == NULL ? NULL : "is of this server";
}

static bool
edit_read(struct edit *e, struct str rest)
{
	struct arena *a = cmd_arena(e->cmd);

	e->jids = (struct jid *)arena_alloc(a, ENTRIES_MAX * sizeof(*e->jids));
	while (rest.n > 0) {
		struct str word = next_word(&rest);
		const char *why;
		struct jid *jid = &e->jids[e->count];

		if (word.n == 0)
			continue;
		if (e->count == ENTRIES_MAX) {
			cmd_fail(e->cmd, CMD_BAD_ARG, 0,
			    "The list is longer than %d", ENTRIES_MAX);
			return false;
		}
		why = jid_parse(a, word, jid) < 0 ? "is no address"
						  : edit_check(e, jid);
		if (why != NULL) {
			cmd_fail(e->cmd, CMD_BAD_ARG, 0, STR_FMT " %s",
			    STR_ARG(word), why);
			return false;
		}
		e->count++;
	}
	return true;
}

static void
on_edited(void *ctx, int err)
{
	struct edit *e = (struct edit *)ctx;

	if (err < 0) {
		cmd_fail(e->cmd, CMD_FAILED, 0, "%s", err_text(err));
		return;
	}
	put_all(e->list, e->jids, e->count);
	worker_gather(tell_worker, on_told, e->cmd);
}

static void
set_run(struct cmd *c, enum edited list)
{
	struct edit *e = arena_new_of(cmd_arena(c), struct edit);
	struct str owner = host_at(0)->jid.full, store = str_c(stores[list]);
	struct store_write *w;

	e->cmd = c;
	e->list = list;
	if (!is_read(c) || !edit_read(e, cmd_str(c, "jids")))
		return;
	w = store_write_new(owner);
	for (size_t i = 0; i < host_count(); i++)
		kv_clear(w, host_at(i)->jid.full, store);
	for (size_t i = 0; i < e->count; i++)
		kv_put(w, owner, store, e->jids[i].full, STR("1"));
	store_commit(&w, on_edited, e);
}

#define LIST_RUNS(name, list) \
	static void run_list_##name(struct cmd *c) \
	{ \
		list_run(c, list); \
	} \
	static void run_set_##name(struct cmd *c) \
	{ \
		set_run(c, list); \
	}
LIST_RUNS(blocked, EDITED_BLOCKED)
LIST_RUNS(allowed, EDITED_ALLOWED)
LIST_RUNS(admins, EDITED_ADMINS)

#define JIDS \
	{ \
		.name = "jids", .type = "string", .fallback = "" \
	}

const struct command commands_edited[] = {
	{ .name = "list_blocked_peers",
	    .tag = "s2s",
	    .help = "List the addresses elsewhere that were blocked by command",
	    .result_name = "jids",
	    .result = "[jid:string]",
	    .run = run_list_blocked },
	{ .name = "set_blocked_peers",
	    .tag = "s2s",
	    .help = "Replace the list of addresses elsewhere (domains, too) "
		    "that we do not talk to, beside s2s.deny",
	    .args = { JIDS },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_set_blocked },
	{ .name = "list_allowed_peers",
	    .tag = "s2s",
	    .help = "List the addresses elsewhere that were allowed by command",
	    .result_name = "jids",
	    .result = "[jid:string]",
	    .run = run_list_allowed },
	{ .name = "set_allowed_peers",
	    .tag = "s2s",
	    .help =
		"Replace the list of the only addresses elsewhere (domains, "
		"too) that we talk to, beside s2s.allow; none: all",
	    .args = { JIDS },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_set_allowed },
	{ .name = "list_admins",
	    .tag = "server",
	    .help = "List the administrators that were named by command",
	    .result_name = "jids",
	    .result = "[jid:string]",
	    .run = run_list_admins },
	{ .name = "set_admins",
	    .tag = "server",
	    .help = "Replace the list of administrators beside those of the "
		    "configuration",
	    .args = { JIDS },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_set_admins },
	COMMANDS_END,
};
