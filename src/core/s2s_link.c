/* SPDX-License-Identifier: MIT */
/*
 * Links: stanzas from one of our domains to another server's. While a link has
 * no stream, stanzas wait for one, in bounds; when none can be had they are
 * refused, and for a while all that follow.
 */
#include "core/account.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/router.h"
#include "core/s2s_impl.h"

#include "base/map.h"

#define QUEUE_STANZAS 1000
#define RETRY_FIRST_MS 1000

struct s2s_link {
	struct str key; /* both domains, on the heap */
	struct s2s_out *out;
	struct list queue; /* struct stanza */
	size_t count, bytes;
	uint64_t retry_at; /* loop_now(); before that, all is refused */
	uint64_t retry_ms;
	enum qname condition; /* with which */
	bool is_up;
	struct timer forget;
};

static _Thread_local struct map links;
static _Thread_local bool is_ending;

static void
link_free(struct s2s_link *l)
{
	map_del(&links, l->key);
	timer_stop(&l->forget);
	str_free(&l->key);
	xfree(l);
}

/* Nothing is known of it that were worth its memory. */
static void
on_forget(struct timer *t)
{
	link_free(CONTAINER_OF(t, struct s2s_link, forget));
}

static void
on_up(void *ctx)
{
	struct s2s_link *l = (struct s2s_link *)ctx;
	struct stanza *st;

	l->is_up = true;
	l->retry_ms = 0;
	LIST_EACH(st, &l->queue, struct stanza, node)
	{
		list_del(&st->node);
		if (out_write(l->out, st))
			stanza_free(&st);
		else
			stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
	}
	l->count = l->bytes = 0;
}

/* After a failure; the end of a stream that was up is none. */
static void
link_back_off(struct s2s_link *l, enum qname condition)
{
	uint64_t max = conf_now()->s2s.retry_ms;

	l->condition = condition;
	l->retry_ms =
	    MIN(l->retry_ms > 0 ? l->retry_ms * 2 : RETRY_FIRST_MS, max);
	l->retry_at = loop_now() + l->retry_ms;
}

static void
on_down(void *ctx, enum qname condition)
{
	struct s2s_link *l = (struct s2s_link *)ctx;
	struct list queue;
	struct stanza *st;

	l->out = NULL;
	if (!l->is_up)
		link_back_off(l, condition);
	l->is_up = false;
	l->count = l->bytes = 0;
	list_init(&queue);
	list_splice(&queue, &l->queue);
	timer_start(&l->forget, 2 * conf_now()->s2s.retry_ms, on_forget);
	/* What comes of it may be for this link again. */
	while ((st = LIST_FIRST(&queue, struct stanza, node)) != NULL) {
		list_del(&st->node);
		stanza_refuse(st, condition);
	}
}

static const struct out_user link_user = { .up = on_up, .down = on_down };

static struct s2s_link *
link_of(struct arena *a, struct str local, struct str remote)
{
	struct str key =
	    str_printf(a, STR_FMT " " STR_FMT, STR_ARG(local), STR_ARG(remote));
	struct s2s_link *l = (struct s2s_link *)map_get(&links, key);

	if (l != NULL)
		return l;
	l = (struct s2s_link *)xzalloc(sizeof(*l));
	l->key = str_heap(key);
	list_init(&l->queue);
	map_set(&links, l->key, l);
	return l;
}

static void
link_put(struct s2s_link *l, struct stanza *st)
{
	size_t size = arena_used(st->arena);

	if (l->is_up) {
		if (out_write(l->out, st))
			stanza_free(&st);
		else
			stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
		return;
	}
	if (l->out == NULL && loop_now() < l->retry_at) {
		stanza_refuse(st, l->condition);
		return;
	}
	if (l->count == QUEUE_STANZAS ||
	    l->bytes + size > conf_now()->limits.session_queue) {
		stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
		return;
	}
	timer_stop(&l->forget);
	list_add(&l->queue, &st->node);
	l->count++;
	l->bytes += size;
	if (l->out == NULL)
		l->out =
		    out_start(st->from.domain, st->to.domain, &link_user, l);
}

static void
send_here(void *msg)
{
	struct stanza *st = (struct stanza *)msg;

	if (is_ending || !s2s_is_ours(st->from.domain)) {
		stanza_free(&st);
		return;
	}
	link_put(link_of(st->arena, st->from.domain, st->to.domain), st);
}

void
s2s_send(struct stanza *st)
{
	struct loop *home = account_home(st->to.domain);

	if (!conf_now()->is_federated) {
		stanza_refuse(st, EL_REMOTE_SERVER_NOT_FOUND);
		return;
	}
	if (home == loop_self())
		send_here(st);
	else
		loop_post(home, send_here, st);
}

void
links_stop(void)
{
	struct s2s_link *l;
	struct stanza *st;

	is_ending = true;
	for (size_t i = 0; (l = (struct s2s_link *)map_next(&links, &i));) {
		out_forget(&l->out);
		LIST_EACH(st, &l->queue, struct stanza, node)
		{
			list_del(&st->node);
			stanza_free(&st);
		}
		link_free(l);
	}
	map_fini(&links);
}
