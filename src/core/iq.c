/* SPDX-License-Identifier: MIT */
/*
 * Iqs that the server sends, and their answers. The id has a token of the
 * process, which nobody can guess, and the worker that waits.
 */
#include "base/clock.h"
#include "base/map.h"
#include "base/random.h"
#include "core/iq_impl.h"
#include "core/router.h"
#include "net/loop.h"

#include <pthread.h>

/* One worker's iqs under way; more get no answer. */
#define PENDING_MAX 100000
#define TOKEN_LEN 16
#define ID_MAX 64

struct pending {
	struct list of_ctx; /* those with the same ctx, in a ring */
	struct timer timer;
	iq_answer_fn *answer;
	void *ctx;
	struct str id;
	struct str from, to; /* as it was sent; an answer has them turned */
	char text[];
};

static _Thread_local struct {
	struct map by_id;
	struct map by_ctx; /* the first of each ring; key: the pointer */
	uint64_t sent;
} here;

static char token[TOKEN_LEN + 1];
static pthread_once_t token_once = PTHREAD_ONCE_INIT;

static void
make_token(void)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t r = random_u64();

	for (size_t i = 0; i < TOKEN_LEN; i++, r >>= 4)
		token[i] = digits[r & 15];
}

static struct str
ctx_key(struct pending *p)
{
	return str_mem(&p->ctx, sizeof(p->ctx));
}

static void
enter(struct pending *p)
{
	struct pending *first = map_get(&here.by_ctx, ctx_key(p));

	map_set(&here.by_id, p->id, p);
	list_init(&p->of_ctx);
	if (first != NULL)
		list_add(&first->of_ctx, &p->of_ctx);
	else
		map_set(&here.by_ctx, ctx_key(p), p);
}

static void
leave(struct pending *p)
{
	timer_stop(&p->timer);
	map_del(&here.by_id, p->id);
	if (map_get(&here.by_ctx, ctx_key(p)) == p) {
		map_del(&here.by_ctx, ctx_key(p));
		if (list_is_linked(&p->of_ctx)) {
			struct pending *next = CONTAINER_OF(
			    p->of_ctx.next, struct pending, of_ctx);

			map_set(&here.by_ctx, ctx_key(next), next);
		}
	}
	list_del(&p->of_ctx);
}

static void
on_timeout(struct timer *t)
{
	struct pending *p = CONTAINER_OF(t, struct pending, timer);

	leave(p);
	p->answer(p->ctx, NULL);
	xfree(p);
}

static char *
keep(char *pos, struct str text, struct str *kept)
{
	*kept = STR_NONE;
	if (text.n == 0)
		return pos;
	memcpy(pos, text.p, text.n);
	*kept = str_mem(pos, text.n);
	return pos + text.n;
}

void
iq_send(struct stanza *iq, uint64_t timeout_ms, iq_answer_fn *answer, void *ctx)
{
	struct str id;
	struct pending *p;
	char *pos;

	pthread_once(&token_once, make_token);
	id = str_printf(iq->arena, "%s-%u-%llu", token, loop_index(loop_self()),
	    (unsigned long long)++here.sent);
	must(id.n <= ID_MAX);
	p = xzalloc(sizeof(*p) + id.n + iq->from.full.n + iq->to.full.n);
	pos = keep(p->text, id, &p->id);
	pos = keep(pos, iq->from.full, &p->from);
	keep(pos, iq->to.full, &p->to);
	p->answer = answer;
	p->ctx = ctx;
	enter(p);
	if (here.by_id.count > PENDING_MAX) {
		/* As if the answer did not come; in a later turn, as always. */
		timer_start(&p->timer, 0, on_timeout);
		stanza_free(&iq);
		return;
	}
	timer_start(&p->timer, timeout_ms, on_timeout);
	elem_set(iq->root, AT_ID, id);
	router_send(iq);
}

void
iq_forget(void *ctx)
{
	struct pending *p;
	struct str key = str_mem(&ctx, sizeof(ctx));

	while ((p = map_get(&here.by_ctx, key)) != NULL) {
		leave(p);
		xfree(p);
	}
}

/* On behalf of what waits -------------------------------------------------- */

struct wait {
	struct list node;
	struct stanza *waiting;
	iq_waited_fn *answer;
	void *ctx;
};

static void
on_waited(void *ctx, struct stanza *answer)
{
	struct wait *w = ctx;
	struct wait was = *w;

	list_del(&w->node);
	xfree(w);
	was.answer(was.ctx, was.waiting, answer);
}

void
iq_ask(struct list *waits, struct stanza *iq, uint64_t timeout_ms,
    struct stanza *waiting, iq_waited_fn *answer, void *ctx)
{
	struct wait *w = xzalloc(sizeof(*w));

	w->waiting = waiting;
	w->answer = answer;
	w->ctx = ctx;
	list_add(waits, &w->node);
	iq_send(iq, timeout_ms, on_waited, w);
}

void
iq_waits_end(struct list *waits)
{
	struct wait *w;

	while ((w = LIST_FIRST(waits, struct wait, node)) != NULL) {
		struct stanza *waiting = w->waiting;

		iq_forget(w);
		list_del(&w->node);
		xfree(w);
		if (waiting != NULL)
			stanza_refuse(waiting, EL_SERVICE_UNAVAILABLE);
	}
}

/* Answers ------------------------------------------------------------------ */

bool
iq_is_ours(const struct stanza *st)
{
	pthread_once(&token_once, make_token);
	return str_has_prefix(stanza_id(st), str_mem(token, TOKEN_LEN));
}

static void
answered_here(void *msg)
{
	struct stanza *st = msg;
	struct pending *p = map_get(&here.by_id, stanza_id(st));

	if (p == NULL || !str_eq(st->from.full, p->to) ||
	    (p->from.n > 0 && !str_eq(st->to.full, p->from))) {
		stanza_free(&st);
		return;
	}
	leave(p);
	p->answer(p->ctx, st);
	xfree(p);
}

void
iq_answered(struct stanza *st)
{
	struct str rest = stanza_id(st), worker;
	uint64_t index;

	if (!iq_is_ours(st)) {
		stanza_free(&st);
		return;
	}
	rest = str_skip(rest, TOKEN_LEN + 1);
	worker = str_cut(&rest, '-');
	if (!str_to_u64(worker, &index) || index >= loop_count())
		stanza_free(&st);
	else if (loop_at((unsigned)index) == loop_self())
		answered_here(st);
	else
		loop_post(loop_at((unsigned)index), answered_here, st);
}

void
iqs_stop(void)
{
	struct pending *p;

	for (size_t i = 0; (p = map_next(&here.by_id, &i)) != NULL;) {
		map_del(&here.by_id, p->id);
		timer_stop(&p->timer);
		xfree(p);
	}
	map_fini(&here.by_id);
	map_fini(&here.by_ctx);
}
