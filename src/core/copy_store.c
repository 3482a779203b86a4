/* SPDX-License-Identifier: MIT */
/*
 * Two backends are open at once, and one loop that both are asked on; this
 * thread asks, and waits for each answer. Pages are read from the one and
 * written to the other, each as one write. Whatever has been copied is then
 * counted there.
 */
#include "core/copy_store.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/daemon_impl.h"
#include "core/mods.h"
#include "store/backend.h"
#include "xml/names.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>

/* Items, and about how many bytes, of one page. */
#define PAGE 500
#define PAGE_BYTES ((size_t)4 << 20)
#define TELL_MS 1000

struct copy {
	struct arena *arena;
	const struct store_backend *from, *to;
	uint64_t done, total;
	uint64_t told; /* clock_mono() of the last line */
	const char *why;
};

/* ---- asking ------------------------------------------------------------ */

struct ask {
	struct store_req req;
	const struct store_backend *backend;
	sem_t answered;
};

static void
on_answered(struct store_req *req)
{
	sem_post(&CONTAINER_OF(req, struct ask, req)->answered);
}

static void
on_submit(void *msg)
{
	struct ask *ask = msg;

	ask->backend->submit(&ask->req);
}

static struct store_req *
ask_new(const struct store_backend *backend, enum store_op op, struct str owner)
{
	struct arena *a = arena_new(0);
	struct ask *ask = arena_new_of(a, struct ask);

	ask->backend = backend;
	ask->req.arena = a;
	ask->req.loop = loop_at(0);
	ask->req.op = op;
	ask->req.owner = str_dup(a, owner);
	ask->req.limit = PAGE;
	ask->req.answered = on_answered;
	ask->req.changes_tail = &ask->req.changes;
	sem_init(&ask->answered, 0, 0);
	return &ask->req;
}

/* Waits for the answer. */
static int
ask_run(struct copy *c, struct store_req *req)
{
	struct ask *ask = CONTAINER_OF(req, struct ask, req);

	req->bytes = arena_used(req->arena);
	loop_post(req->loop, on_submit, ask);
	while (sem_wait(&ask->answered) < 0 && errno == EINTR)
		continue;
	if (req->err != 0 && c->why == NULL)
		c->why = arena_printf(c->arena, "%s, '" STR_FMT "': %s",
		    ask->backend->name, STR_ARG(req->owner),
		    err_text(req->err));
	return req->err;
}

static void
ask_free(struct store_req **req)
{
	struct ask *ask = CONTAINER_OF(*req, struct ask, req);
	struct arena *a = (*req)->arena;

	sem_destroy(&ask->answered);
	arena_free(&a);
	*req = NULL;
}

/* Texts of the change are lent until the write has been answered. */
static struct store_change *
change_add(struct store_req *write, enum store_change_op op, struct str owner)
{
	struct store_change *c =
	    arena_new_of(write->arena, struct store_change);

	c->op = op;
	c->owner = owner;
	*write->changes_tail = c;
	write->changes_tail = &c->next;
	return c;
}

static int
count_of(struct copy *c, const struct store_backend *backend, enum store_op op,
    struct str owner, struct str store, uint64_t *count_r)
{
	struct store_req *req = ask_new(backend, op, owner);
	int err;

	req->store = store;
	err = ask_run(c, req);
	*count_r = req->count;
	ask_free(&req);
	return err;
}

/* ---- telling ----------------------------------------------------------- */

static void
tell(struct copy *c, const char *what, bool is_end)
{
	uint64_t now = clock_mono();

	if (!is_end && now - c->told < TELL_MS)
		return;
	c->told = now;
	if (c->total > 0)
		printf("%s %llu/%llu (%llu %%)\n", what,
		    (unsigned long long)c->done, (unsigned long long)c->total,
		    (unsigned long long)(c->done * 100 / c->total));
	else
		printf("%s %llu\n", what, (unsigned long long)c->done);
	fflush(stdout);
}

static int
fail_count(struct copy *c, const char *what, struct str owner, uint64_t read,
    uint64_t there)
{
	c->why = arena_printf(c->arena,
	    "%s of '" STR_FMT "': %llu were copied, but %llu are there", what,
	    STR_ARG(owner), (unsigned long long)read,
	    (unsigned long long)there);
	return ERR_STORE;
}

/* ---- lists of names ---------------------------------------------------- */

typedef int names_fn(struct copy *c, struct str name, struct str ctx);

/* Calls fn for each name, in order, until it fails. */
static int
names_each(struct copy *c, enum store_op op, struct str owner, struct str store,
    names_fn *fn, struct str ctx)
{
	struct arena *a = arena_new(0);
	struct str after = STR_NONE;
	size_t n = PAGE;
	int err = 0;

	while (err == 0 && n == PAGE) {
		struct store_req *req = ask_new(c->from, op, owner);

		req->store = store;
		req->key = after;
		err = ask_run(c, req);
		n = req->item_count;
		for (size_t i = 0; err == 0 && i < n; i++)
			err = fn(c, req->names[i], ctx);
		if (err == 0 && n > 0) {
			struct str last = req->names[n - 1];
			struct arena *fresh = arena_new(0);

			after = str_dup(fresh, last);
			arena_free(&a);
			a = fresh;
		}
		ask_free(&req);
	}
	arena_free(&a);
	return err;
}

/* ---- accounts ---------------------------------------------------------- */

static int
accounts_count(struct copy *c, struct str host, struct str ctx)
{
	uint64_t n;
	int err = count_of(c, c->from, STORE_ACCOUNT_COUNT, host, STR_NONE, &n);

	c->total += n;
	return err;
}

static int
account_copy(struct copy *c, struct str local, struct str host)
{
	struct arena *a = arena_new(0);
	struct str jid =
	    str_printf(a, STR_FMT "@" STR_FMT, STR_ARG(local), STR_ARG(host));
	struct store_req *read = ask_new(c->from, STORE_ACCOUNT_GET, jid);
	int err = ask_run(c, read);

	if (err == 0) {
		struct store_req *write = ask_new(c->to, STORE_WRITE, jid);

		change_add(write, CHANGE_ACCOUNT_CREATE, read->row->jid)->row =
		    *read->row;
		err = ask_run(c, write);
		ask_free(&write);
	}
	ask_free(&read);
	arena_free(&a);
	c->done++;
	tell(c, "accounts", false);
	return err;
}

static int
host_copy(struct copy *c, struct str host, struct str ctx)
{
	uint64_t before = c->done, n;
	int err = names_each(
	    c, STORE_ACCOUNT_LIST, host, STR_NONE, account_copy, host);

	if (err == 0)
		err =
		    count_of(c, c->to, STORE_ACCOUNT_COUNT, host, STR_NONE, &n);
	if (err == 0 && n != c->done - before)
		err = fail_count(c, "accounts", host, c->done - before, n);
	return err;
}

/* ---- keyed values ------------------------------------------------------ */

/* Large ones are not gathered: the page becomes several writes. */
static int
values_write(struct copy *c, const struct store_req *read)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < read->item_count;) {
		struct store_req *write =
		    ask_new(c->to, STORE_WRITE, read->owner);
		size_t bytes = 0;

		for (; i < read->item_count && bytes < PAGE_BYTES; i++) {
			struct store_change *change =
			    change_add(write, CHANGE_KV_PUT, read->owner);

			change->store = read->store;
			change->key = read->items[i].key;
			change->value = read->items[i].value;
			bytes += change->value.n + 100;
		}
		err = ask_run(c, write);
		ask_free(&write);
	}
	return err;
}

static int
values_copy(struct copy *c, struct str owner, struct str store)
{
	struct store_req *last = NULL, *read;
	uint64_t here = 0, n = 0;
	bool is_more = true;
	int err = 0;

	while (err == 0 && is_more) {
		read = ask_new(c->from, STORE_KV_LIST, owner);
		read->store = store;
		if (last != NULL)
			read->key = last->items[last->item_count - 1].key;
		err = ask_run(c, read);
		is_more = err == 0 && read->item_count == PAGE;
		if (err == 0)
			err = values_write(c, read);
		here += read->item_count;
		if (last != NULL)
			ask_free(&last);
		last = read;
	}
	if (last != NULL)
		ask_free(&last);
	c->done += here;
	tell(c, "values", false);
	if (err == 0)
		err = count_of(c, c->to, STORE_KV_COUNT, owner, store, &n);
	if (err == 0 && n != here)
		err = fail_count(c, "values", owner, here, n);
	return err;
}

static int
store_copy(struct copy *c, struct str store, struct str ctx)
{
	return names_each(
	    c, STORE_KV_OWNERS, STR(""), store, values_copy, store);
}

/* ---- archives ---------------------------------------------------------- */

static int
archive_count_of(struct copy *c, struct str owner, struct str ctx)
{
	uint64_t n;
	int err =
	    count_of(c, c->from, STORE_ARCHIVE_COUNT, owner, STR_NONE, &n);

	c->total += n;
	return err;
}

static int
messages_write(struct copy *c, struct str owner, const struct archive_page *p)
{
	struct store_req *write;
	int err;

	if (p->count == 0)
		return 0;
	write = ask_new(c->to, STORE_WRITE, owner);
	for (size_t i = 0; i < p->count; i++)
		change_add(write, CHANGE_ARCHIVE_APPEND, owner)->item =
		    p->items[i];
	err = ask_run(c, write);
	ask_free(&write);
	return err;
}

static int
archive_copy(struct copy *c, struct str owner, struct str ctx)
{
	char after[64] = "";
	uint64_t here = 0, n = 0;
	bool is_more = true;
	int err = 0;

	while (err == 0 && is_more) {
		struct store_req *read =
		    ask_new(c->from, STORE_ARCHIVE_FIND, owner);
		const struct archive_page *p = &read->page;

		read->filter.limit = PAGE;
		read->filter.page_after = str_c(after);
		err = ask_run(c, read);
		is_more = err == 0 && !p->is_complete && p->count > 0;
		if (err == 0)
			err = messages_write(c, owner, p);
		if (is_more)
			snprintf(after, sizeof(after), STR_FMT,
			    STR_ARG(p->items[p->count - 1].id));
		here += p->count;
		c->done += p->count;
		tell(c, "messages", false);
		ask_free(&read);
	}
	if (err == 0)
		err = count_of(
		    c, c->to, STORE_ARCHIVE_COUNT, owner, STR_NONE, &n);
	if (err == 0 && n != here)
		err = fail_count(c, "messages", owner, here, n);
	return err;
}

/* ---- all of it --------------------------------------------------------- */

/* What is there already is nobody's to mix with. */
static int
empty_check(struct copy *c)
{
	static const enum store_op lists[] = { STORE_HOSTS, STORE_STORES,
		STORE_ARCHIVE_OWNERS };
	int err = 0;

	for (size_t i = 0; err == 0 && i < ARRAY_LEN(lists); i++) {
		struct store_req *req = ask_new(c->to, lists[i], STR(""));

		err = ask_run(c, req);
		if (err == 0 && req->item_count > 0) {
			c->why = "the database to copy to is not empty";
			err = ERR_EXISTS;
		}
		ask_free(&req);
	}
	return err;
}

static int
part_copy(struct copy *c, const char *what, enum store_op list, names_fn *count,
    names_fn *copy)
{
	int err = 0;

	c->done = c->total = 0;
	if (count != NULL)
		err = names_each(c, list, STR(""), STR_NONE, count, STR_NONE);
	if (err == 0)
		err = names_each(c, list, STR(""), STR_NONE, copy, STR_NONE);
	if (err == 0)
		tell(c, what, true);
	return err;
}

static int
all_copy(struct copy *c)
{
	int err = empty_check(c);

	if (err == 0)
		err = part_copy(
		    c, "accounts", STORE_HOSTS, accounts_count, host_copy);
	if (err == 0)
		err = part_copy(c, "values", STORE_STORES, NULL, store_copy);
	if (err == 0)
		err = part_copy(c, "messages", STORE_ARCHIVE_OWNERS,
		    archive_count_of, archive_copy);
	return err;
}

/* ---- opening ----------------------------------------------------------- */

static int
backend_open(struct copy *c, const struct conf *conf,
    const struct store_backend **backend_r)
{
	struct store_config config = {
		.data_dir = conf->data_dir,
		.path = conf->database.path,
		.dsn = conf->database.dsn,
	};
	const char *name =
	    arena_printf(c->arena, "store_%s", conf->database.driver);
	struct loaded *l = loaded_find(c->arena, name, &c->why);
	const struct store_backend *backend;
	int err = l != NULL ? loaded_begin(c->arena, l, &c->why) : ERR_ABSENT;

	if (err < 0)
		return err;
	backend = store_backend_find(conf->database.driver);
	must(backend != NULL);
	err = backend->open(c->arena, &config, &c->why);
	if (err == 0)
		*backend_r = backend;
	return err;
}

static int
backends_open(struct copy *c, const struct conf *from, const struct conf *to)
{
	int err;

	if (strcmp(from->database.driver, to->database.driver) == 0) {
		c->why = arena_printf(c->arena,
		    "both are databases of driver '%s': use its own tools",
		    from->database.driver);
		return ERR_INVALID;
	}
	/* Locks it: no server may run meanwhile. */
	err = privilege_find(c->arena, from->user, &c->why);
	if (err == 0)
		err = datadir_open(c->arena, from->data_dir, &c->why);
	if (err == 0)
		err = privilege_drop(c->arena, &c->why);
	if (err == 0)
		err = backend_open(c, from, &c->from);
	if (err == 0)
		err = backend_open(c, to, &c->to);
	return err;
}

static int
copy_run(struct copy *c, const struct conf *from, const struct conf *to)
{
	int err = backends_open(c, from, to);

	if (err == 0) {
		loops_new(1);
		loops_run(NULL);
		err = all_copy(c);
		loops_stop();
	}
	if (c->from != NULL)
		c->from->close();
	if (c->to != NULL)
		c->to->close();
	if (loop_count() > 0)
		loops_free();
	return err;
}

static struct conf *
conf_open(struct arena *a, const char *path)
{
	struct problems problems = { .arena = a };
	struct conf *conf = NULL;

	if (conf_load(path, NULL, &problems, &conf) < 0)
		problems_print(&problems);
	return conf;
}

int
copy_store(const char *from_path, const char *to_path)
{
	struct copy c = { .arena = arena_new(0) };
	struct conf *from, *to = NULL;
	int err = ERR_CONFIG;

	names_init();
	from = conf_open(
	    c.arena, from_path != NULL ? from_path : conf_default_path());
	if (from != NULL)
		to = conf_open(c.arena, to_path);
	if (to != NULL) {
		conf_use(from);
		err = copy_run(&c, from, to);
		if (err == 0)
			printf("all copied, and counted\n");
		else
			fprintf(stderr, "rookeryd: %s\n",
			    c.why != NULL ? c.why : err_text(err));
	}
	modules_unload();
	datadir_close();
	conf_use(NULL);
	conf_free(&from);
	conf_free(&to);
	modules_set_dir(NULL);
	arena_free(&c.arena);
	return err == 0 ? 0 : 1;
}
