/* SPDX-License-Identifier: MIT */
/*
 * The front of storage: packs requests, keeps the order in which a loop asks
 * about an owner, hands them to the backend and calls back.
 *
 * Order. Backends carry out writes in the order submitted, and reads
 * whenever they like, unless told that a read is behind a write. So each
 * loop keeps a line for each owner it waits for: a read that follows an
 * unanswered write is marked as such, and a write that follows unanswered
 * reads waits in line until they are answered. Archive reads hold no write
 * up: they may be slow, and an archive only grows at its end.
 */
#include "store/req.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"

#include <stdatomic.h>

#define LOOPS_MAX 1024
#define BACKENDS_MAX 8
/* What may wait on one loop. */
#define WAITING_MAX 50000
#define WAITING_BYTES_MAX (128u << 20)

struct store_line {
	struct str owner;
	/*
	 * At the backend: writes, and reads behind them; other reads that no
	 * write may overtake; other reads.
	 */
	size_t queued, reads, loose;
	struct list waiting; /* until `reads` is 0 */
	char text[];
};

/* What a loop waits for. */
struct desk {
	struct map lines;
	size_t count;
	unsigned epoch;
	size_t asked[2]; /* in this epoch and in the one before, by parity */
	size_t bytes;
	uint64_t complained; /* when the last refusal was logged */
};

static const struct log_ctx log_store = { .source = "store" };
static const struct store_backend *backends[BACKENDS_MAX];
static const struct store_backend *backend; /* the one that is open */
static atomic_bool is_closing;
/* Each touched by its loop alone, and by store_close() after all ended. */
static struct desk *desks[LOOPS_MAX];

/* ---- backends ---------------------------------------------------------- */

void
store_register(const struct store_backend *b)
{
	for (size_t i = 0; i < BACKENDS_MAX; i++) {
		if (backends[i] == NULL || backends[i] == b) {
			backends[i] = b;
			return;
		}
	}
	must(!"too many storage backends");
}

void
store_unregister(const struct store_backend *b)
{
	must(b != backend);
	for (size_t i = 0; i < BACKENDS_MAX; i++) {
		if (backends[i] == b)
			backends[i] = NULL;
	}
}

const struct store_backend *
store_backend_find(const char *name)
{
	for (size_t i = 0; i < BACKENDS_MAX; i++) {
		if (backends[i] != NULL && strcmp(backends[i]->name, name) == 0)
			return backends[i];
	}
	return NULL;
}

int
store_open(struct arena *a, const char *driver,
    const struct store_config *config, const char **why_r)
{
	const struct store_backend *b = store_backend_find(driver);
	int err;

	must(backend == NULL);
	atomic_store(&is_closing, false);
	if (b == NULL) {
		*why_r = arena_printf(a,
		    "database driver '%s': no loaded module provides it",
		    driver);
		return ERR_CONFIG;
	}

	err = b->open(a, config, why_r);
	if (err < 0)
		return err;
	backend = b;
	log_info(&log_store, "storage is '%s'", driver);
	return 0;
}

static void
desk_free(struct desk *desk)
{
	struct store_line *line;
	struct store_req *req;

	for (size_t i = 0; (line = map_next(&desk->lines, &i)) != NULL;) {
		map_del(&desk->lines, line->owner);
		LIST_EACH(req, &line->waiting, struct store_req, node)
		{
			struct arena *a = req->arena;

			arena_free(&a);
		}
		xfree(line);
	}
	map_fini(&desk->lines);
	xfree(desk);
}

void
store_close(void)
{
	if (backend == NULL)
		return;

	atomic_store(&is_closing, true);
	backend->close();
	backend = NULL;
	for (size_t i = 0; i < LOOPS_MAX; i++) {
		if (desks[i] != NULL)
			desk_free(desks[i]);
		desks[i] = NULL;
	}
}

int
store_backup(struct arena *a, const char *path, const char **why_r)
{
	if (backend == NULL || backend->backup == NULL) {
		*why_r = "this database driver makes no backups itself";
		return ERR_STORE;
	}
	return backend->backup(a, path, why_r);
}

/* ---- order ------------------------------------------------------------- */

static struct desk *
desk_of(const struct loop *loop)
{
	unsigned i = loop_index(loop);

	must(i < LOOPS_MAX);
	if (desks[i] == NULL)
		desks[i] = xzalloc(sizeof(*desks[i]));
	return desks[i];
}

static struct store_line *
line_of(struct desk *desk, struct str owner)
{
	struct store_line *line = map_get(&desk->lines, owner);

	if (line != NULL)
		return line;

	line = xzalloc(sizeof(*line) + owner.n);
	memcpy(line->text, owner.p, owner.n);
	line->owner = str_mem(line->text, owner.n);
	list_init(&line->waiting);
	map_set(&desk->lines, line->owner, line);
	return line;
}

static bool
op_is_write(enum store_op op)
{
	return op == STORE_WRITE || op == STORE_ARCHIVE_EXPIRE;
}

/* May a later write not overtake it? */
static bool
op_holds_writes(enum store_op op)
{
	return op <= STORE_KV_OWNERS;
}

/* Gives a request to the backend, noting what it stands behind. */
static void
line_submit(struct store_line *line, struct store_req *req)
{
	req->is_behind = line->queued > 0;
	if (op_is_write(req->op) || req->is_behind)
		req->counter = &line->queued;
	else if (op_holds_writes(req->op))
		req->counter = &line->reads;
	else
		req->counter = &line->loose;
	++*req->counter;
	backend->submit(req);
}

static void
line_enter(struct store_line *line, struct store_req *req)
{
	req->line = line;
	if (!list_is_empty(&line->waiting) ||
	    (op_is_write(req->op) && line->reads > 0))
		list_add(&line->waiting, &req->node);
	else
		line_submit(line, req);
}

static void
line_leave(struct desk *desk, struct store_req *req)
{
	struct store_line *line = req->line;
	struct store_req *next;

	if (line == NULL)
		return;

	--*req->counter;
	if (line->reads == 0) {
		while ((next = LIST_FIRST(
			    &line->waiting, struct store_req, node)) != NULL) {
			list_del(&next->node);
			line_submit(line, next);
		}
	}
	if (line->queued + line->reads + line->loose == 0) {
		map_del(&desk->lines, line->owner);
		xfree(line);
	}
}

/* ---- requests ---------------------------------------------------------- */

static void
req_call_back(struct store_req *req)
{
	int err = req->err;

	switch (req->op) {
	case STORE_WRITE:
		if (req->cb.done != NULL)
			req->cb.done(req->ctx, err);
		break;
	case STORE_ACCOUNT_GET:
		req->cb.account(req->ctx, err, err == 0 ? req->row : NULL);
		break;
	case STORE_ACCOUNT_LIST:
	case STORE_KV_STORES:
	case STORE_KV_OWNERS:
	case STORE_HOSTS:
	case STORE_STORES:
	case STORE_ARCHIVE_OWNERS:
		req->cb.names(
		    req->ctx, err, req->names, err == 0 ? req->item_count : 0);
		break;
	case STORE_ACCOUNT_COUNT:
	case STORE_KV_COUNT:
	case STORE_ARCHIVE_COUNT:
	case STORE_ARCHIVE_EXPIRE:
		req->cb.count(req->ctx, err, req->count);
		break;
	case STORE_KV_GET:
		req->cb.value(req->ctx, err, err == 0 ? req->value : STR_NONE);
		break;
	case STORE_KV_LIST:
		req->cb.items(
		    req->ctx, err, req->items, err == 0 ? req->item_count : 0);
		break;
	case STORE_ARCHIVE_FIND:
	case STORE_ARCHIVE_ENDS:
		if (err != 0)
			req->page = (struct archive_page){ 0 };
		req->cb.page(req->ctx, err, &req->page);
		break;
	}
}

/* On the loop that asked. */
static void
on_answer(void *msg)
{
	struct store_req *req = msg;
	struct arena *a = req->arena;
	struct desk *desk;

	if (req->answered != NULL) {
		req->answered(req);
		return;
	}
	/* Answered while the store was being closed: see store_close(). */
	if (atomic_load(&is_closing)) {
		arena_free(&a);
		return;
	}
	desk = desk_of(req->loop);
	desk->count--;
	desk->asked[req->epoch & 1]--;
	desk->bytes -= req->bytes;
	line_leave(desk, req);
	req_call_back(req);
	arena_free(&a);
}

void
store_answer(struct store_req *req)
{
	struct arena *a = req->arena;

	if (atomic_load(&is_closing))
		arena_free(&a);
	else
		loop_post(req->loop, on_answer, req);
}

static void
req_refuse(struct desk *desk, struct store_req *req, int err)
{
	uint64_t now = clock_mono();

	if (desk->complained == 0 || now - desk->complained >= SECONDS(1)) {
		log_error(&log_store, "request refused: %s",
		    err == ERR_LIMIT ? "too many are waiting"
				     : "no storage is open");
		desk->complained = now;
	}
	req->err = err;
	req->line = NULL;
	loop_post(req->loop, on_answer, req);
}

void
req_submit(struct store_req *req)
{
	struct desk *desk = desk_of(req->loop);
	bool is_full =
	    desk->count >= WAITING_MAX || desk->bytes >= WAITING_BYTES_MAX;

	req->bytes = arena_used(req->arena);
	desk->count++;
	req->epoch = desk->epoch;
	desk->asked[req->epoch & 1]++;
	desk->bytes += req->bytes;
	if (is_full || backend == NULL)
		req_refuse(desk, req, is_full ? ERR_LIMIT : ERR_STORE);
	else if (str_is_empty(req->owner))
		backend->submit(req);
	else
		line_enter(line_of(desk, req->owner), req);
}

unsigned
store_epoch(void)
{
	struct desk *desk = desk_of(loop_self());

	if (desk->asked[~desk->epoch & 1] == 0)
		desk->epoch++;
	return desk->epoch;
}

size_t
store_waiting(void)
{
	const struct loop *loop = loop_self();

	return loop == NULL ? 0 : desk_of(loop)->count;
}

size_t
store_waiting_bytes(void)
{
	const struct loop *loop = loop_self();

	return loop == NULL ? 0 : desk_of(loop)->bytes;
}
