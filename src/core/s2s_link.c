/* SPDX-License-Identifier: MIT */
/*
 * Links: stanzas from one of our domains to another server's. While a link has
 * no stream, stanzas wait for one, in bounds; when none can be had they are
 * refused, and for a while all that follow. A stream that breaks under stream
 * management is resumed, and until that is hopeless nothing is refused.
 */
#include "core/account.h"
#include "core/conf.h"
#include "core/edited.h"
#include "core/hooks.h"
#include "core/router.h"
#include "core/s2s_impl.h"

#include "base/map.h"
#include "base/random.h"

#include <stdio.h>

#define QUEUE_STANZAS 1000
#define RETRY_FIRST_MS 1000

struct s2s_link {
	struct str key;		  /* both domains, on the heap */
	struct str local, remote; /* views of it */
	struct s2s_out *out;	  /* under way, or up */
	/* What carries stanzas: the one of `out`, or the peer's own (0288). */
	struct s2s_stream *via;
	struct s2s_sm *sm; /* of `via`, or of a stream that broke */
	struct list queue; /* struct stanza */
	size_t count, bytes;
	uint64_t retry_at; /* loop_now(); before that, all is refused */
	uint64_t retry_ms;
	enum qname condition; /* with which, */
	char why[200];	      /* and with this text */
	struct timer retry, give_up, forget;
};

static _Thread_local struct map links;
static _Thread_local bool is_ending;

static void
link_free(struct s2s_link *l)
{
	map_del(&links, l->key);
	timer_stop(&l->retry);
	timer_stop(&l->give_up);
	timer_stop(&l->forget);
	str_free(&l->key);
	xfree(l);
}

/* Nothing is known of it that were worth its memory. */
static void
on_forget(struct timer *t)
{
	struct s2s_link *l = CONTAINER_OF(t, struct s2s_link, forget);

	if (l->out == NULL && l->via == NULL && l->sm == NULL && l->count == 0)
		link_free(l);
}

static void link_dial(struct s2s_link *l);

/* Refused ------------------------------------------------------------------ */

/* What comes of it may be for this link again. */
static void
link_refuse(struct s2s_link *l, enum qname condition, const char *text)
{
	struct list queue;
	struct stanza *st;

	timer_stop(&l->retry);
	timer_stop(&l->give_up);
	timer_start(&l->forget, 2 * conf_now()->s2s.retry_ms, on_forget);
	l->count = l->bytes = 0;
	list_init(&queue);
	list_splice(&queue, &l->queue);
	s2s_sm_free(&l->sm, condition, text);
	while ((st = LIST_FIRST(&queue, struct stanza, node)) != NULL) {
		list_del(&st->node);
		(void)stanza_refuse_with(st, condition, text, EL_NONE);
	}
}

static void
on_give_up(struct timer *t)
{
	struct s2s_link *l = CONTAINER_OF(t, struct s2s_link, give_up);

	out_forget(&l->out);
	link_refuse(l, EL_REMOTE_SERVER_TIMEOUT,
	    "the stream to the other server broke, and could not be resumed");
}

/* Up and down -------------------------------------------------------------- */

/* What an old stream left when this one could not resume it. */
static void
link_inherit(struct s2s_link *l, struct s2s_stream *s)
{
	struct s2s_sm *old = l->sm;

	l->sm = s->sm;
	if (old == NULL || old == s->sm)
		return;
	if (out_may_resend(l->out) && s->sm != NULL) {
		s2s_sm_inherit(s->sm, old);
		s2s_sm_resend(s->sm);
	}
	s2s_sm_free(&old, EL_REMOTE_SERVER_TIMEOUT,
	    "the stream to the other server broke, and it does not tell "
	    "whether this has arrived");
}

static void
link_flush(struct s2s_link *l)
{
	struct stanza *st;

	while (l->via != NULL && !l->via->is_closing &&
	       (st = LIST_FIRST(&l->queue, struct stanza, node)) != NULL) {
		list_del(&st->node);
		l->count--;
		l->bytes -= arena_used(st->arena);
		s2s_put(l->via, st);
	}
}

static void
on_up(void *ctx)
{
	struct s2s_link *l = (struct s2s_link *)ctx;

	timer_stop(&l->give_up);
	timer_stop(&l->retry);
	l->via = out_stream(l->out);
	l->retry_ms = 0;
	link_inherit(l, l->via);
	link_flush(l);
}

/* After a failure; the end of a stream that was up is none. */
static void
link_back_off(struct s2s_link *l, enum qname condition, const char *text)
{
	uint64_t max = conf_now()->s2s.retry_ms;

	l->condition = condition;
	snprintf(l->why, sizeof(l->why), "%s", text != NULL ? text : "");
	l->retry_ms =
	    MIN(l->retry_ms > 0 ? l->retry_ms * 2 : RETRY_FIRST_MS, max);
	/* Those who lost the same peer need not all come back at once. */
	l->retry_at =
	    loop_now() + l->retry_ms - random_u64() % (l->retry_ms / 4 + 1);
}

static void
on_retry(struct timer *t)
{
	link_dial(CONTAINER_OF(t, struct s2s_link, retry));
}

/* The stream was up. */
static void
link_broke(struct s2s_link *l, bool was_ended, bool has_bidi)
{
	/* With nothing under way there is nothing to resume. */
	was_ended |= l->sm != NULL && s2s_sm_count(l->sm) == 0 && !has_bidi;
	if (l->sm != NULL && (was_ended || str_is_none(s2s_sm_id(l->sm))))
		s2s_sm_free(&l->sm, EL_REMOTE_SERVER_TIMEOUT,
		    "the stream to the other server ended, and it did not "
		    "tell whether this has arrived");
	if (l->sm != NULL)
		timer_start(&l->give_up, conf_now()->s2s.resume_ms, on_give_up);
	timer_start(&l->forget, 2 * conf_now()->s2s.retry_ms, on_forget);
	if (l->out == NULL && (l->sm != NULL || l->count > 0))
		link_dial(l);
}

static void
on_down(void *ctx, enum qname condition, const char *text)
{
	struct s2s_link *l = (struct s2s_link *)ctx;
	bool was_up = l->via != NULL;
	bool was_ended = out_stream(l->out)->was_ended;
	bool has_bidi = out_has_bidi(l->out);

	l->out = NULL;
	l->via = NULL;
	if (was_up) {
		link_broke(l, was_ended, has_bidi);
		return;
	}
	link_back_off(l, condition, text);
	if (l->sm == NULL) {
		link_refuse(l, condition, text);
		return;
	}
	timer_start(&l->retry, l->retry_at - loop_now(), on_retry);
}

static const struct out_user link_user = { .up = on_up, .down = on_down };

static void
link_dial(struct s2s_link *l)
{
	if (l->out == NULL)
		l->out = out_start(l->local, l->remote, &link_user, l, l->sm);
}

static struct str
link_key(struct arena *a, struct str local, struct str remote)
{
	return str_printf(
	    a, STR_FMT " " STR_FMT, STR_ARG(local), STR_ARG(remote));
}

void
link_lost(struct s2s_stream *s)
{
	struct arena *a = arena_new(0);
	struct s2s_link *l = NULL;

	if (!str_is_none(s->remote) && links.count > 0)
		l = (struct s2s_link *)map_get(
		    &links, link_key(a, s->local, s->remote));
	arena_free(&a);
	if (l != NULL && l->via == s)
		l->via = NULL;
}

static struct s2s_link *
link_of(struct arena *a, struct str local, struct str remote)
{
	struct str key = link_key(a, local, remote);
	struct s2s_link *l = (struct s2s_link *)map_get(&links, key);

	if (l != NULL)
		return l;
	l = (struct s2s_link *)xzalloc(sizeof(*l));
	l->key = str_heap(key);
	l->local = str_mem(l->key.p, local.n);
	l->remote = str_skip(l->key, local.n + 1);
	list_init(&l->queue);
	map_set(&links, l->key, l);
	return l;
}

/* Is there a stream that takes stanzas now? */
static bool
link_is_up(struct s2s_link *l)
{
	/* The peer's own is as good, if it brings ours back. */
	if (l->via == NULL && l->out == NULL && l->sm == NULL)
		l->via = in_find_bidi(l->local, l->remote);
	if (l->via == NULL || l->via->is_closing || l->via->conn == NULL) {
		if (l->out == NULL)
			l->via = NULL;
		return false;
	}
	return true;
}

static void
link_put(struct s2s_link *l, struct stanza *st)
{
	size_t size = arena_used(st->arena);

	if (l->count == 0 && link_is_up(l)) {
		s2s_put(l->via, st);
		return;
	}
	if (l->out == NULL && l->sm == NULL && loop_now() < l->retry_at) {
		(void)stanza_refuse_with(st, l->condition,
		    l->why[0] != '\0' ? l->why : NULL, EL_NONE);
		return;
	}
	if (l->count == QUEUE_STANZAS ||
	    l->bytes + size > conf_now()->limits.session_queue) {
		(void)stanza_refuse_with(st, EL_RESOURCE_CONSTRAINT,
		    "too much waits for the other server", EL_NONE);
		return;
	}
	timer_stop(&l->forget);
	list_add(&l->queue, &st->node);
	l->count++;
	l->bytes += size;
	if (!timer_is_running(&l->retry))
		link_dial(l);
}

static void
send_here(void *msg)
{
	struct stanza *st = (struct stanza *)msg;

	if (is_ending || !router_is_ours(st->from.domain)) {
		receipt_fail(&st->receipt);
		stanza_free(&st);
		return;
	}
	if (!edited_is_read()) {
		(void)stanza_refuse_with(st, EL_REMOTE_SERVER_TIMEOUT,
		    "this server has just started", EL_NONE);
		return;
	}
	if (!s2s_is_allowed(st->to.domain)) {
		(void)stanza_refuse_with(st, EL_NOT_ALLOWED,
		    "this server does not talk to that domain", EL_NONE);
		return;
	}
	/* But for our own answers, by which he learns so. */
	if (!st->is_ours && !s2s_is_welcome(&st->to)) {
		(void)stanza_refuse_with(st, EL_NOT_ALLOWED,
		    "this server does not talk to that address", EL_NONE);
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
		s2s_sm_drop(&l->sm);
		LIST_EACH(st, &l->queue, struct stanza, node)
		{
			list_del(&st->node);
			receipt_fail(&st->receipt);
			stanza_free(&st);
		}
		link_free(l);
	}
	map_fini(&links);
}
