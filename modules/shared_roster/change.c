/* SPDX-License-Identifier: MIT */
/* One change after the other: kept, then told to all workers. */
#include "modules/shared_roster/shared_roster.h"

#define PAGE 100
#define AGAIN_MS 5000

static void next_op(struct mod *m);

static struct loop *
lead_of(const struct host *host)
{
	return account_home(host->jid.bare);
}

bool
shared_is_lead(const struct mod *m)
{
	return lead_of(mod_host(m)) == loop_self();
}

/* ---- ops --------------------------------------------------------------- */

struct op *
shared_op(struct host *host, bool (*run)(struct mod *, struct op *))
{
	struct arena *a = arena_new(0);
	struct op *op = arena_new_of(a, struct op);

	op->arena = a;
	op->host = host;
	op->run = run;
	return op;
}

static void
op_end(struct op *op, int err)
{
	struct arena *a = op->arena;

	list_del(&op->node);
	if (op->cmd != NULL)
		cmd_on_done(op->cmd, err);
	else
		arena_free(&a);
}

static void
on_posted(void *msg)
{
	struct op *op = msg;
	struct mod *m = mod_find(op->host, "shared_roster");
	struct shared *s = m != NULL ? mod_state(m) : NULL;

	if (s == NULL || s->is_stopped) {
		op_end(op, ERR_CLOSED);
		return;
	}
	list_add(&s->ops, &op->node);
	next_op(m);
}

void
shared_post(struct op *op)
{
	loop_post(lead_of(op->host), on_posted, op);
}

void
op_change(struct op *op, struct str id, json_t *j)
{
	struct change *grown;
	char *text;

	if ((op->count & (op->count - 1)) == 0) {
		grown = arena_alloc(
		    op->arena, MAX(2 * op->count, 1) * sizeof(*grown));
		for (size_t i = 0; i < op->count; i++)
			grown[i] = op->change[i];
		op->change = grown;
	}
	op->change[op->count].id = str_dup(op->arena, id);
	op->change[op->count].text = STR_NONE;
	if (j != NULL) {
		text = json_dumps(j, JSON_COMPACT);
		must(text != NULL);
		op->change[op->count].text = str_dup(op->arena, str_c(text));
		free(text); /* lint: malloc */
		json_decref(j);
	}
	op->count++;
}

/* ---- carrying out ------------------------------------------------------ */

static void
learn_part(void *ctx, unsigned worker)
{
	const struct op *op = ctx;
	struct mod *m = mod_find(op->host, "shared_roster");
	struct shared *s = m != NULL ? mod_state(m) : NULL;

	if (s == NULL || s->is_stopped)
		return;
	for (size_t i = 0; i < op->count; i++)
		table_set(&s->table, op->change[i].id, op->change[i].text);
	if (!s->is_ready)
		return;
	table_index(&s->table);
	shared_sync(m);
}

static void
go_on(struct host *host, int err)
{
	struct mod *m = mod_find(host, "shared_roster");
	struct shared *s = m != NULL ? mod_state(m) : NULL;

	if (s == NULL || s->is_stopped)
		return;
	s->is_busy = false;
	if (err < 0)
		shared_people_again(m);
	else if (!table_is_whole(&s->table))
		shared_people_soon(m);
	next_op(m);
}

static void
on_learnt(void *ctx)
{
	struct op *op = ctx;
	struct host *host = op->host;

	op_end(op, 0);
	go_on(host, 0);
}

static void
on_kept(void *ctx, int err)
{
	struct op *op = ctx;
	struct host *host = op->host;

	if (err < 0) {
		op_end(op, err);
		go_on(host, err);
	} else {
		worker_gather(learn_part, on_learnt, op);
	}
}

static void
carry_out(struct op *op)
{
	struct str owner = op->host->jid.bare;
	struct store_write *w = store_write_new(owner);

	for (size_t i = 0; i < op->count; i++) {
		const struct change *c = &op->change[i];

		if (str_is_none(c->text))
			kv_del(w, owner, STR(STORE), c->id);
		else
			kv_put(w, owner, STR(STORE), c->id, c->text);
	}
	store_commit(&w, on_kept, op);
}

static void
fail_commands(struct shared *s)
{
	struct op *op;

	LIST_EACH(op, &s->ops, struct op, node)
	{
		if (op->cmd != NULL)
			op_end(op, s->load_err);
	}
}

/* On the lead. What only reads has answered its command itself. */
static void
next_op(struct mod *m)
{
	struct shared *s = mod_state(m);
	struct op *op;
	bool is_ours;

	if (s->load_err < 0)
		fail_commands(s);
	while (s->is_ready && !s->is_busy &&
	       (op = LIST_FIRST(&s->ops, struct op, node)) != NULL) {
		/* One of a command that has answered is gone. */
		is_ours = op->cmd == NULL;
		list_del(&op->node);
		if (op->run(m, op)) {
			s->is_busy = true;
			carry_out(op);
		} else if (is_ours) {
			op_end(op, 0);
		}
	}
}

/* ---- the beginning ----------------------------------------------------- */

static void load_page(struct mod *m, struct str after);
static void on_load(struct timer *t);

static void
on_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct mod *m = ctx;
	struct shared *s = mod_state(m);

	if (s->is_stopped)
		return;
	if (err < 0) {
		if (s->load_err == 0)
			log_error(mod_log(m), "its groups can't be read: %s",
			    err_text(err));
		s->load_err = err;
		next_op(m);
		timer_start(&s->load, AGAIN_MS, on_load);
		return;
	}
	for (size_t i = 0; i < count; i++)
		table_set(&s->table, items[i].key, items[i].value);
	if (count == PAGE) {
		load_page(m, items[count - 1].key);
		return;
	}
	table_index(&s->table);
	s->load_err = 0;
	s->is_ready = true;
	shared_sync(m);
	if (!shared_is_lead(m))
		return;
	if (s->table.all->count > 0)
		shared_people_soon(m);
	shared_source_start(m);
	next_op(m);
}

static void
load_page(struct mod *m, struct str after)
{
	kv_list(
	    mod_host(m)->jid.bare, STR(STORE), after, false, PAGE, on_page, m);
}

static void
on_load(struct timer *t)
{
	struct mod *m = shared_mod(CONTAINER_OF(t, struct shared, load));

	if (m != NULL)
		load_page(m, STR_NONE);
}

void
shared_ops_start(struct mod *m)
{
	struct shared *s = mod_state(m);

	list_init(&s->ops);
	load_page(m, STR_NONE);
}

void
shared_ops_stop(struct mod *m)
{
	struct shared *s = mod_state(m);
	struct op *op;

	timer_stop(&s->load);
	while ((op = LIST_FIRST(&s->ops, struct op, node)) != NULL)
		op_end(op, ERR_CLOSED);
}
