/* SPDX-License-Identifier: MIT */
/* Asking every worker, and putting together what they say. */
#include "core/command.h"
#include "net/loop.h"

#include <stdatomic.h>

struct gather {
	void (*part)(void *ctx, unsigned worker);
	void (*done)(void *ctx);
	void *ctx;
	struct loop *loop;
	atomic_uint left;
};

static void
on_all(void *msg)
{
	struct gather *g = (struct gather *)msg;

	g->done(g->ctx);
	xfree(g);
}

static void
on_worker(void *msg)
{
	struct gather *g = (struct gather *)msg;

	g->part(g->ctx, loop_index(loop_self()));
	if (atomic_fetch_sub(&g->left, 1) == 1)
		loop_post(g->loop, on_all, g);
}

void
worker_gather(void (*part)(void *ctx, unsigned worker), void (*done)(void *ctx),
    void *ctx)
{
	struct gather *g = (struct gather *)xzalloc(sizeof(*g));
	unsigned n = loop_count();

	must(loop_self() != NULL);
	g->part = part;
	g->done = done;
	g->ctx = ctx;
	g->loop = loop_self();
	atomic_init(&g->left, n);
	for (unsigned i = 0; i < n; i++)
		loop_post(loop_at(i), on_worker, g);
}

/* Results -----------------------------------------------------------------*/

struct result_gather {
	struct cmd *cmd;
	json_t *(*part)(const struct cmd *c);
	void (*done)(struct cmd *c, json_t *whole);
	json_t *parts[]; /* by worker */
};

static void
on_result_part(void *ctx, unsigned worker)
{
	struct result_gather *g = (struct result_gather *)ctx;

	g->parts[worker] = g->part(g->cmd);
}

/* Adds `part` to the whole, and drops it. */
static json_t *
join(json_t *whole, json_t *part)
{
	if (whole == NULL)
		return part;
	if (json_is_integer(whole))
		json_integer_set(whole,
		    json_integer_value(whole) + json_integer_value(part));
	else
		json_array_extend(whole, part);
	json_decref(part);
	return whole;
}

static void
on_result(void *ctx)
{
	struct result_gather *g = (struct result_gather *)ctx;
	json_t *whole = NULL;

	for (unsigned i = 0; i < loop_count(); i++)
		whole = join(whole, g->parts[i]);
	if (g->done != NULL)
		g->done(g->cmd, whole);
	else
		cmd_result(g->cmd, whole);
	xfree(g);
}

void
cmd_gather(struct cmd *c, json_t *(*part)(const struct cmd *c),
    void (*done)(struct cmd *c, json_t *whole))
{
	struct result_gather *g = (struct result_gather *)xzalloc(
	    sizeof(*g) + loop_count() * sizeof(json_t *));

	g->cmd = c;
	g->part = part;
	g->done = done;
	worker_gather(on_result_part, on_result, g);
}
