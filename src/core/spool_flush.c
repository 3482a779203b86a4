/* SPDX-License-Identifier: MIT */
/*
 * Sending what the spool has to a session, page by page, as fast as the
 * session takes it. What comes live meanwhile waits behind it, so that the
 * order is kept. The flush also remembers what was written to a session that
 * does not acknowledge, until the kernel has it and it may be deleted.
 */
#include "core/spool_internal.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/session_internal.h"
#include "core/stream_internal.h"
#include "store/store.h"
#include "xml/parser.h"

#define PAGE 50
/* How often a slow session is looked at. */
#define LOOK_MS 200
/* More queries than that do not wait: a client may see something twice. */
#define ASKED_MAX 16

struct asked {
	struct stanza *iq;
	void (*go_on)(void *ctx);
	void *ctx;
};

struct flush {
	struct session *session; /* NULL: it has ended */
	struct account *account; /* pinned */
	struct timer timer;
	char after[UUID_LEN + 1]; /* the last one sent */
	bool is_reading;	  /* a page has been asked for */
	bool is_running;	  /* there may be more in the spool */
	bool is_looking;	  /* a receipt is out */
	bool is_busy;		  /* in use further up the stack */
	struct list held;	  /* live messages */
	struct asked *asked;	  /* queries of the archive; ASKED_MAX */
	unsigned asked_count;
	struct parcel **wrote; /* to be deleted */
	size_t wrote_count, wrote_cap;
};

static void flush_step(struct flush *f);
static void on_look(void *ctx, uint32_t seq, bool is_kept);

static struct flush *
flush_of(struct session *s)
{
	struct flush *f = s->flush;

	if (f != NULL)
		return f;
	f = (struct flush *)xzalloc(sizeof(*f));
	f->session = s;
	f->account = s->account;
	list_init(&f->held);
	account_pin(f->account);
	s->flush = f;
	return f;
}

/* Frees it when nothing is left to be done. */
static void
flush_settle(struct flush *f)
{
	struct account *acct = f->account;

	if (f->is_busy || f->is_reading || f->is_looking || f->is_running ||
	    f->wrote_count > 0)
		return;
	must(list_is_empty(&f->held) && f->asked_count == 0);
	timer_stop(&f->timer);
	if (f->session != NULL)
		f->session->flush = NULL;
	xfree(f->wrote);
	xfree(f->asked);
	xfree(f);
	account_unpin(acct);
}

/* ---- live messages behind it ---- */

bool
flush_holds(const struct session *s, const struct stanza *st)
{
	return s->flush != NULL && s->flush->is_running &&
	       st->kind == STANZA_MESSAGE && !st->is_resent && !st->is_part;
}

void
flush_add(struct session *s, struct stanza *st)
{
	if (session_is_detached(s))
		session_keep_unsent(s->account, st);
	else
		list_add(&s->flush->held, &st->node);
}

static void
held_send(struct flush *f)
{
	struct stanza *st;

	while (!f->is_running &&
	       (st = LIST_FIRST(&f->held, struct stanza, node)) != NULL) {
		list_del(&st->node);
		session_send_now(f->session, st);
	}
}

/* They have not been sent, and go where they would be found. */
static void
held_keep(struct flush *f)
{
	struct stanza *st;

	while ((st = LIST_FIRST(&f->held, struct stanza, node)) != NULL) {
		list_del(&st->node);
		session_keep_unsent(f->account, st);
	}
}

/* ---- queries behind it ---- */

bool
flush_ask(
    struct session *s, struct stanza *iq, void (*go_on)(void *ctx), void *ctx)
{
	struct flush *f = s->flush;

	if (f == NULL || !f->is_running || f->asked_count == ASKED_MAX)
		return false;
	if (f->asked == NULL)
		f->asked =
		    (struct asked *)xmalloc(ASKED_MAX * sizeof(f->asked[0]));
	f->asked[f->asked_count++] = (struct asked){ iq, go_on, ctx };
	return true;
}

static void
asked_go_on(struct flush *f)
{
	for (unsigned i = 0; i < f->asked_count; i++)
		f->asked[i].go_on(f->asked[i].ctx);
	f->asked_count = 0;
}

/* Nobody is there to be answered any more. */
static void
asked_drop(struct flush *f)
{
	for (unsigned i = 0; i < f->asked_count; i++)
		stanza_free(&f->asked[i].iq);
	f->asked_count = 0;
}

/* ---- what was written to a session that does not count ---- */

static void
flush_look(struct flush *f)
{
	struct receipt *r;

	if (f->is_looking)
		return;
	f->is_looking = true;
	r = receipt_new(on_look, f, 0);
	receipt_done_after_flush(&r);
}

static void
wrote_drop(struct flush *f, bool has_them)
{
	for (size_t i = 0; i < f->wrote_count; i++) {
		struct parcel *p = f->wrote[i];

		if (has_them)
			parcel_acked(p, f->session, true);
		else
			parcel_let_go(p, true);
		parcel_unref(&p);
	}
	f->wrote_count = 0;
}

static bool
session_is_clear(const struct session *s)
{
	const struct transport *t;

	if (s->stream == NULL || s->stream->transport == NULL)
		return false;
	t = s->stream->transport;
	return t->ops->queued(t) == 0;
}

static void
on_timer(struct timer *t)
{
	flush_step(CONTAINER_OF(t, struct flush, timer));
}

static void
on_look(void *ctx, uint32_t seq, bool is_kept)
{
	struct flush *f = (struct flush *)ctx;

	f->is_looking = false;
	flush_step(f);
}

void
flush_wrote(struct session *s, struct parcel *p)
{
	struct flush *f = flush_of(s);

	if (f->wrote_count == f->wrote_cap) {
		f->wrote_cap = f->wrote_cap > 0 ? f->wrote_cap * 2 : 16;
		f->wrote = (struct parcel **)xrealloc(
		    f->wrote, f->wrote_cap * sizeof(f->wrote[0]));
	}
	parcel_hold(p);
	f->wrote[f->wrote_count++] = parcel_ref(p);
	flush_look(f);
}

/* ---- pages ---- */

/* The client has it already, or waits to acknowledge it. */
static bool
is_known(const struct session *s, const struct parcel *p)
{
	return !p->is_stored || parcel_was_had_by(p, s) ||
	       session_has_parcel(s, p);
}

static void
send_item(struct flush *f, const struct kv_item *item)
{
	static const struct xml_limits *const none = NULL;
	struct parcel *p = spool_parcel(f->account, item->key);
	enum qname condition;
	enum xml_error why;
	struct arena *a;
	struct elem *root;
	struct stanza *st;

	if (is_known(f->session, p)) {
		parcel_unref(&p);
		return;
	}
	a = arena_new(item->value.n * 2);
	root = xml_parse(a, str_dup(a, item->value), none, NS_CLIENT, &why);
	if (root == NULL || stanza_of(root, &st, &condition) < 0) {
		log_warn(stream_log(f->session->stream),
		    "the spool has something that is no message: " STR_FMT,
		    STR_ARG(item->key));
		spool_del(f->account, item->key);
		arena_free(&a);
	} else if (session_will_read(f->session, st) ||
		   !hook_spool_allow(f->account, &st->from)) {
		spool_del(f->account, item->key);
		stanza_free(&st);
	} else {
		st->is_resent = true;
		st->received = p->received;
		st->spool_key = str_dup(a, item->key);
		session_send_now(f->session, st);
	}
	parcel_unref(&p);
}

/* Does the session still have much to do? */
static bool
session_is_loaded(const struct session *s)
{
	return session_queued(s) > conf_now()->limits.session_queue / 2;
}

static void
on_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct flush *f = (struct flush *)ctx;
	struct session *s = f->session;
	bool is_cut = false;

	f->is_reading = false;
	f->is_busy = true;
	if (err < 0)
		f->is_running = false;
	for (size_t i = 0; err == 0 && i < count; i++) {
		size_t n = MIN(items[i].key.n, UUID_LEN);

		/* It may end, or lose its link, at any of them. */
		if (f->session == NULL || !f->is_running ||
		    session_is_detached(s))
			break;
		/* A page of big ones is more than it may have waiting. */
		is_cut = session_is_loaded(s);
		if (is_cut)
			break;
		send_item(f, &items[i]);
		memcpy(f->after, items[i].key.p, n);
		f->after[n] = '\0';
	}
	if (err == 0 && count < PAGE && !is_cut && f->is_running &&
	    f->session != NULL && !session_is_detached(s))
		f->is_running = false;
	flush_step(f);
}

static void
flush_read(struct flush *f)
{
	f->is_reading = true;
	spool_commit(f->account);
	kv_list(f->account->jid.bare, STR("spool"),
	    f->after[0] != '\0' ? str_c(f->after) : STR_NONE, false, PAGE,
	    on_page, f);
}

/* Does what can be done now; looks again later at a session that is slow. */
static void
flush_step(struct flush *f)
{
	struct session *s = f->session;
	bool is_late = false;

	f->is_busy = true;
	if (f->wrote_count > 0 && !f->is_looking) {
		if (session_is_clear(s))
			wrote_drop(f, true);
		else
			is_late = true;
	}
	if (f->is_running && !f->is_reading && !session_is_detached(s)) {
		if (session_is_loaded(s))
			is_late = true;
		else
			flush_read(f);
	}
	held_send(f);
	if (!f->is_running)
		asked_go_on(f);
	if (is_late && f->session != NULL)
		timer_start(&f->timer, LOOK_MS, on_timer);
	f->is_busy = false;
	flush_settle(f);
}

void
spool_flush(struct account *acct, struct session *s)
{
	struct session *other;
	struct flush *f;

	if (s->is_closing)
		return;
	LIST_EACH(other, &acct->sessions, struct session, node)
	if (other != s)
		session_spool(other);
	if (spool_count(acct) == 0)
		return;
	f = flush_of(s);
	if (f->is_running)
		return;
	f->after[0] = '\0';
	f->is_running = true;
	flush_step(f);
}

/* ---- the session's life ---- */

/* A resumption waits for the answers, so they can't wait for that. */
void
flush_stop(struct session *s)
{
	if (s->flush == NULL)
		return;
	timer_stop(&s->flush->timer);
	wrote_drop(s->flush, false);
	held_keep(s->flush);
	asked_go_on(s->flush);
}

void
flush_resume(struct session *s)
{
	if (s->flush != NULL)
		flush_step(s->flush);
}

void
flush_end(struct session *s)
{
	struct flush *f = s->flush;

	if (f == NULL)
		return;
	asked_drop(f);
	flush_stop(s);
	s->flush = NULL;
	f->session = NULL;
	f->is_running = false;
	flush_settle(f);
}
