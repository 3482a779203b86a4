/* SPDX-License-Identifier: MIT */
/*
 * One stanza to many: one post for each worker where recipients live, and
 * one rendering there, in which only the address differs.
 */
#include "core/account_impl.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/metrics.h"
#include "core/router.h"
#include "core/session_internal.h"
#include "core/stanza_impl.h"
#include "xml/writer.h"

/* Recipients on one worker, or (the last batch) those elsewhere. */
struct batch {
	struct arena *arena; /* the batch itself lives in it */
	struct stanza *st;
	struct jid *to;
	size_t count, cap;
	struct wire *rendered; /* without `to`, once it is needed */
	struct buf address;    /* scratch */
};

struct fanout {
	struct stanza *st; /* in whose arena this is */
	unsigned loops;
	struct batch *batch[];
};

struct fanout *
fanout_new(struct stanza *st)
{
	unsigned loops = loop_count();
	struct fanout *f = arena_zalloc(
	    st->arena, sizeof(*f) + (loops + 1) * sizeof(struct batch *));

	f->st = st;
	f->loops = loops;
	return f;
}

static struct batch *
batch_new(void)
{
	struct arena *a = arena_new(0);
	struct batch *b = arena_new_of(a, struct batch);

	b->arena = a;
	return b;
}

void
fanout_add(struct fanout *f, const struct jid *to)
{
	bool is_account =
	    !str_is_none(to->local) && host_find(to->domain) != NULL;
	unsigned place =
	    is_account ? loop_index(account_home(to->bare)) : f->loops;
	struct batch *b = f->batch[place];

	if (b == NULL)
		b = f->batch[place] = batch_new();
	if (b->count == b->cap) {
		size_t cap = b->cap > 0 ? b->cap * 2 : 4;

		b->to = arena_grow(b->arena, b->to, b->cap * sizeof(*b->to),
		    cap * sizeof(*b->to));
		b->cap = cap;
	}
	b->to[b->count++] = jid_dup(b->arena, to);
}

/*
 * The recipient's account; NULL if it is not worth a look-up in the store:
 * presence is of no use where nobody is online.
 */
static struct account *
recipient(const struct stanza *st, const struct jid *to)
{
	struct account *acct = account_lookup(to->bare);
	struct host *host;

	if (acct != NULL && acct->state != ACCOUNT_ABSENT)
		return acct;
	if (st->type &
	    (PRESENCE_AVAILABLE | PRESENCE_UNAVAILABLE | PRESENCE_PROBE))
		return NULL;
	host = host_find(to->domain);
	return host != NULL ? account_at(to, host) : NULL;
}

static void
batch_free(struct batch *b)
{
	struct arena *a = b->arena;

	wire_unref(&b->rendered);
	buf_fini(&b->address);
	stanza_free(&b->st);
	arena_free(&a);
}

/* ---- the short way ------------------------------------------------------ */

/* It goes from here to one session, if that is there, and nowhere else. */
static bool
is_for_session(const struct stanza *st)
{
	return st->type &
	       (MESSAGE_GROUPCHAT | PRESENCE_AVAILABLE | PRESENCE_UNAVAILABLE);
}

static bool
is_nobodys(const struct account *acct, const struct stanza *st)
{
	if (st->kind == STANZA_PRESENCE)
		return hook_skips(HOOK_PRESENCE_DELIVER, acct->host, st);
	return hook_skips(HOOK_MESSAGE_DELIVER, acct->host, st) &&
	       hook_skips(HOOK_MESSAGE_ROUTED, acct->host, st);
}

static struct wire *
batch_rendered(struct batch *b)
{
	if (b->rendered == NULL) {
		metric_add(METRIC_FANOUT_RENDERS, 1);
		b->rendered = stanza_render(b->st);
	}
	return b->rendered;
}

static struct wire *
wire_for(struct batch *b, const struct jid *to)
{
	struct str name = elem_local(b->st->root);
	struct str all = wire_str(batch_rendered(b));

	buf_clear(&b->address);
	buf_add_str(&b->address, STR(" to='"));
	xml_escape(&b->address, to->full);
	buf_add_c(&b->address, '\'');
	return wire_join((struct str[]){ str_sub(all, 0, 1 + name.n),
			     buf_str(&b->address), str_skip(all, 1 + name.n) },
	    3);
}

/*
 * Bytes, straight to the session, if all that the long way would do is the
 * same. False if it might be more.
 */
static bool
deliver_bytes(struct batch *b, struct account *acct, const struct jid *to)
{
	struct stanza about = *b->st;
	struct session *s;
	struct wire *w;

	if (!is_for_session(b->st) || jid_is_bare(to) ||
	    acct->state != ACCOUNT_READY || acct->is_deleted ||
	    !lane_is_idle(&acct->in))
		return false;
	about.to = *to;
	s = account_session(acct, to->resource);
	if (s == NULL || !session_takes_bytes(s) || !is_nobodys(acct, &about))
		return false;
	w = wire_for(b, to);
	session_send_wire(s, w, &about);
	wire_unref(&w);
	return true;
}

/* ---- all of them -------------------------------------------------------- */

/* At the recipients' home. */
static void
batch_deliver(void *msg)
{
	struct batch *b = msg;
	struct account *acct;
	struct stanza *st;

	for (size_t i = 0; i < b->count; i++) {
		acct = recipient(b->st, &b->to[i]);
		if (acct == NULL || deliver_bytes(b, acct, &b->to[i]))
			continue;
		st = stanza_copy(b->st);
		stanza_set_to(st, &b->to[i]);
		if (b->count > 1)
			stanza_share(st, batch_rendered(b));
		lane_put(&acct->in, st);
	}
	batch_free(b);
}

static void
batch_route(struct batch *b)
{
	struct stanza *st;

	for (size_t i = 0; i < b->count; i++) {
		st = stanza_copy(b->st);
		stanza_set_to(st, &b->to[i]);
		router_send(st);
	}
	batch_free(b);
}

void
fanout_send(struct fanout **fp)
{
	struct fanout *f = *fp;
	struct stanza *st = f->st;
	struct jid nobody = { 0 };
	struct batch *b;

	*fp = NULL;
	stanza_set_to(st, &nobody);
	for (unsigned i = 0; i <= f->loops; i++) {
		if ((b = f->batch[i]) == NULL)
			continue;
		b->st = stanza_copy(st);
		metric_add(METRIC_FANOUT_POSTS, 1);
		if (i == f->loops)
			batch_route(b);
		else if (loop_at(i) == loop_self())
			batch_deliver(b);
		else
			loop_post(loop_at(i), batch_deliver, b);
	}
	stanza_free(&st);
}
