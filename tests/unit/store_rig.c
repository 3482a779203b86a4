/* SPDX-License-Identifier: MIT */
#include "store_rig.h"

#include "base/err.h"

#include <errno.h>
#include <ftw.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct rig rig;
static sem_t done;

/* ---- folders ----------------------------------------------------------- */

char *
rig_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[256];

	snprintf(path, sizeof(path), "%s/rookery-store-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	must(mkdtemp(path) != NULL);
	return xstrdup(path);
}

static int
on_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	return remove(path);
}

void
rig_folder_remove(char *dir)
{
	nftw(dir, on_entry, 8, FTW_DEPTH | FTW_PHYS);
	xfree(dir);
}

/* ---- running ----------------------------------------------------------- */

void
rig_open(const char *dir)
{
	struct store_config config = { .data_dir = dir };
	struct arena *a = arena_new(0);
	const char *why = "";

	rig_kind.config(a, dir, &config);
	store_register(rig_kind.backend);
	if (store_open(a, rig_kind.backend->name, &config, &why) < 0)
		fprintf(stderr, "cannot open: %s\n", why);
	must(*why == '\0');
	arena_free(&a);
	sem_init(&done, 0, 0);
	loops_new(RIG_LOOPS);
	loops_run(NULL);
}

void
rig_close(void)
{
	loops_stop();
	store_close();
	loops_free();
	store_unregister(rig_kind.backend);
	sem_destroy(&done);
}

int
rig_setup(void **state)
{
	rig.dir = rig_folder();
	rig.a = arena_new(0);
	rig_open(rig.dir);
	return 0;
}

int
rig_teardown(void **state)
{
	rig_close();
	rig_folder_remove(rig.dir);
	arena_free(&rig.a);
	return 0;
}

void
rig_reopen(void)
{
	rig_close();
	rig_open(rig.dir);
}

int
rig_ended(int status)
{
	rig_kind.end();
	return status;
}

int64_t
rig_number(const char *sql)
{
	return rig_kind.number(rig.dir, sql);
}

void
rig_await_number(const char *sql, int64_t expected)
{
	int64_t n = 0;

	for (int i = 0; i < 6000; i++) {
		n = rig_number(sql);
		if (n == expected)
			return;
		usleep(10000);
	}
	fail_msg("%s: %lld, not %lld", sql, (long long)n, (long long)expected);
}

void
rig_assert_str(struct str s, const char *text)
{
	if (!str_is(s, text))
		fail_msg("'" STR_FMT "' is not '%s'", STR_ARG(s), text);
}

void
rig_assert_value(
    const char *owner, const char *store, const char *key, const char *value)
{
	struct str v;

	assert_int_equal(rig_get(0, rig.a, owner, store, key, &v), 0);
	rig_assert_str(v, value);
}

void
rig_assert_absent(const char *owner, const char *store, const char *key)
{
	struct str v;

	assert_int_equal(rig_get(1, rig.a, owner, store, key, &v), ERR_ABSENT);
}

void
rig_done(void)
{
	sem_post(&done);
}

void
rig_wait(unsigned count)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 120;
	while (count > 0) {
		int ret = sem_timedwait(&done, &until);

		must(ret == 0 || errno == EINTR);
		if (ret == 0)
			count--;
	}
}

void
rig_start(unsigned loop, void (*fn)(void *arg), void *arg)
{
	loop_post(loop_at(loop), fn, arg);
}

void
rig_run(unsigned loop, void (*fn)(void *arg), void *arg)
{
	rig_start(loop, fn, arg);
	rig_wait(1);
}

/* ---- calls ------------------------------------------------------------- */

/* Arguments and results of any of them. */
struct call {
	struct arena *a;
	struct str owner, store, key, value;
	bool is_reverse;
	size_t limit;
	int64_t before;
	const atomic_bool *is_aborted;
	const struct archive_filter *filter;
	void (*fill)(struct store_write *w, void *arg);
	void *arg;

	int err;
	struct kv_item *items;
	struct str *names;
	size_t n;
	uint64_t count;
	struct account_row row;
	struct archive_page page;
};

static struct str
keep(const struct call *c, struct str s)
{
	return str_is_none(s) ? s : str_dup(c->a, s);
}

static void
on_done(void *ctx, int err)
{
	((struct call *)ctx)->err = err;
	rig_done();
}

static void
on_count(void *ctx, int err, uint64_t count)
{
	((struct call *)ctx)->count = count;
	on_done(ctx, err);
}

static void
on_value(void *ctx, int err, struct str value)
{
	struct call *c = ctx;

	c->value = keep(c, value);
	on_done(ctx, err);
}

static void
on_items(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct call *c = ctx;

	c->items = arena_alloc(c->a, (count + 1) * sizeof(*items));
	c->n = count;
	for (size_t i = 0; i < count; i++) {
		c->items[i].key = keep(c, items[i].key);
		c->items[i].value = keep(c, items[i].value);
	}
	on_done(ctx, err);
}

static void
on_names(void *ctx, int err, const struct str *names, size_t count)
{
	struct call *c = ctx;

	c->names = arena_alloc(c->a, (count + 1) * sizeof(*names));
	c->n = count;
	for (size_t i = 0; i < count; i++)
		c->names[i] = keep(c, names[i]);
	on_done(ctx, err);
}

static void
on_account(void *ctx, int err, const struct account_row *row)
{
	struct call *c = ctx;

	must((row == NULL) == (err != 0));
	if (row != NULL) {
		c->row = *row;
		c->row.jid = keep(c, row->jid);
		c->row.first_name = keep(c, row->first_name);
		c->row.last_name = keep(c, row->last_name);
		c->row.email = keep(c, row->email);
		c->row.ban = keep(c, row->ban);
		c->row.last_status = keep(c, row->last_status);
		for (size_t i = 0; i < row->key_count; i++) {
			struct scram_keys *k = &c->row.keys[i];

			k->mechanism = keep(c, k->mechanism);
			k->salt = keep(c, k->salt);
			k->stored_key = keep(c, k->stored_key);
			k->server_key = keep(c, k->server_key);
		}
	}
	on_done(ctx, err);
}

static void
on_page(void *ctx, int err, const struct archive_page *page)
{
	struct call *c = ctx;
	struct archive_item *items =
	    arena_alloc(c->a, (page->count + 1) * sizeof(*items));

	c->page = *page;
	for (size_t i = 0; i < page->count; i++) {
		const struct archive_item *m = &page->items[i];

		items[i] = *m;
		items[i].id = keep(c, m->id);
		items[i].with = keep(c, m->with);
		items[i].xml = keep(c, m->xml);
		items[i].body = keep(c, m->body);
		items[i].origin_id = keep(c, m->origin_id);
		items[i].media_url = keep(c, m->media_url);
		items[i].media_type = keep(c, m->media_type);
	}
	c->page.items = items;
	on_done(ctx, err);
}

static void
start_put(void *arg)
{
	struct call *c = arg;
	struct store_write *w = store_write_new(c->owner);

	kv_put(w, c->owner, c->store, c->key, c->value);
	store_commit(&w, on_done, c);
}

int
rig_put(unsigned loop, const char *owner, const char *store, const char *key,
    const char *value)
{
	struct call c = {
		.owner = str_c(owner),
		.store = str_c(store),
		.key = str_c(key),
		.value = str_c(value),
	};

	rig_run(loop, start_put, &c);
	return c.err;
}

static void
start_write(void *arg)
{
	struct call *c = arg;
	struct store_write *w = store_write_new(c->owner);

	c->fill(w, c->arg);
	store_commit(&w, on_done, c);
	must(w == NULL);
}

int
rig_write(unsigned loop, const char *owner,
    void (*fill)(struct store_write *w, void *arg), void *arg)
{
	struct call c = { .owner = str_c(owner), .fill = fill, .arg = arg };

	rig_run(loop, start_write, &c);
	return c.err;
}

static void
start_get(void *arg)
{
	struct call *c = arg;

	kv_get(c->owner, c->store, c->key, on_value, c);
}

int
rig_get(unsigned loop, struct arena *a, const char *owner, const char *store,
    const char *key, struct str *value_r)
{
	struct call c = {
		.a = a,
		.owner = str_c(owner),
		.store = str_c(store),
		.key = str_c(key),
	};

	rig_run(loop, start_get, &c);
	*value_r = c.value;
	return c.err;
}

static void
start_list(void *arg)
{
	struct call *c = arg;

	kv_list(
	    c->owner, c->store, c->key, c->is_reverse, c->limit, on_items, c);
}

int
rig_list(unsigned loop, struct arena *a, struct str owner, struct str store,
    struct str after, bool is_reverse, size_t limit, struct kv_item **items_r,
    size_t *count_r)
{
	struct call c = {
		.a = a,
		.owner = owner,
		.store = store,
		.key = after,
		.is_reverse = is_reverse,
		.limit = limit,
	};

	rig_run(loop, start_list, &c);
	*items_r = c.items;
	*count_r = c.n;
	return c.err;
}

static void
start_kv_count(void *arg)
{
	struct call *c = arg;

	kv_count(c->owner, c->store, on_count, c);
}

int
rig_kv_count(
    unsigned loop, const char *owner, const char *store, uint64_t *count_r)
{
	struct call c = { .owner = str_c(owner), .store = str_c(store) };

	rig_run(loop, start_kv_count, &c);
	*count_r = c.count;
	return c.err;
}

static void
start_owners(void *arg)
{
	struct call *c = arg;

	kv_owners(c->store, c->key, c->limit, on_names, c);
}

int
rig_owners(unsigned loop, struct arena *a, const char *store, struct str after,
    size_t limit, struct str **names_r, size_t *count_r)
{
	struct call c = {
		.a = a,
		.store = str_c(store),
		.key = after,
		.limit = limit,
	};

	rig_run(loop, start_owners, &c);
	*names_r = c.names;
	*count_r = c.n;
	return c.err;
}

static void
start_stores(void *arg)
{
	struct call *c = arg;

	kv_stores(c->owner, c->key, c->limit, on_names, c);
}

int
rig_stores(unsigned loop, struct arena *a, const char *owner, struct str after,
    size_t limit, struct str **names_r, size_t *count_r)
{
	struct call c = {
		.a = a,
		.owner = str_c(owner),
		.key = after,
		.limit = limit,
	};

	rig_run(loop, start_stores, &c);
	*names_r = c.names;
	*count_r = c.n;
	return c.err;
}

static void
start_account(void *arg)
{
	struct call *c = arg;

	store_account_get(c->owner, on_account, c);
}

int
rig_account(
    unsigned loop, struct arena *a, const char *jid, struct account_row *row_r)
{
	struct call c = { .a = a, .owner = str_c(jid) };

	rig_run(loop, start_account, &c);
	*row_r = c.row;
	return c.err;
}

static void
start_accounts(void *arg)
{
	struct call *c = arg;

	store_account_list(c->owner, c->key, c->limit, on_names, c);
}

int
rig_accounts(unsigned loop, struct arena *a, const char *host, struct str after,
    size_t limit, struct str **names_r, size_t *count_r)
{
	struct call c = {
		.a = a,
		.owner = str_c(host),
		.key = after,
		.limit = limit,
	};

	rig_run(loop, start_accounts, &c);
	*names_r = c.names;
	*count_r = c.n;
	return c.err;
}

static void
start_account_count(void *arg)
{
	struct call *c = arg;

	store_account_count(c->owner, on_count, c);
}

int
rig_account_count(unsigned loop, const char *host, uint64_t *count_r)
{
	struct call c = { .owner = str_c(host) };

	rig_run(loop, start_account_count, &c);
	*count_r = c.count;
	return c.err;
}

static void
start_find(void *arg)
{
	struct call *c = arg;

	archive_find(c->owner, c->filter, on_page, c);
}

int
rig_find(unsigned loop, struct arena *a, const char *owner,
    const struct archive_filter *filter, struct archive_page *page_r)
{
	struct call c = { .a = a, .owner = str_c(owner), .filter = filter };

	rig_run(loop, start_find, &c);
	*page_r = c.page;
	return c.err;
}

static void
start_ends(void *arg)
{
	struct call *c = arg;

	archive_ends(c->owner, on_page, c);
}

int
rig_ends(unsigned loop, struct arena *a, const char *owner,
    struct archive_page *page_r)
{
	struct call c = { .a = a, .owner = str_c(owner) };

	rig_run(loop, start_ends, &c);
	*page_r = c.page;
	return c.err;
}

static void
start_archive_count(void *arg)
{
	struct call *c = arg;

	archive_count(c->owner, on_count, c);
}

int
rig_archive_count(unsigned loop, const char *owner, uint64_t *count_r)
{
	struct call c = { .owner = str_c(owner) };

	rig_run(loop, start_archive_count, &c);
	*count_r = c.count;
	return c.err;
}

static void
start_expire(void *arg)
{
	struct call *c = arg;

	archive_expire(c->owner, c->before, c->is_aborted, on_count, c);
}

int
rig_expire(unsigned loop, const char *host, int64_t before, uint64_t *count_r)
{
	return rig_expire_until(loop, host, before, NULL, count_r);
}

int
rig_expire_until(unsigned loop, const char *host, int64_t before,
    const atomic_bool *is_aborted, uint64_t *count_r)
{
	struct call c = {
		.owner = str_c(host),
		.before = before,
		.is_aborted = is_aborted,
	};

	rig_run(loop, start_expire, &c);
	*count_r = c.count;
	return c.err;
}
