/* SPDX-License-Identifier: MIT */
/*
 * Output of a session. Without stream management a stanza is rendered into
 * the connection's buffer and forgotten; with it, the bytes are kept.
 */
#include "core/sm.h"

#include "base/random.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/metrics.h"
#include "core/session_internal.h"
#include "core/stanza_impl.h"
#include "xml/writer.h"

/*
 * The message that was last sent to several sessions of an account as one
 * wire: they share its parcel. Until the turn's end.
 */
static __thread struct {
	struct wire *wire;
	struct parcel *parcel;
	struct deferred forget;
} shared;

static void
shared_forget(struct deferred *d)
{
	parcel_unref(&shared.parcel);
	wire_unref(&shared.wire);
}

static struct parcel *
shared_parcel(struct account *acct, struct wire *w, const struct stanza *st)
{
	if (shared.wire != w || shared.parcel->account != acct) {
		shared_forget(NULL);
		shared.wire = wire_ref(w);
		shared.parcel = parcel_new(acct, st->received);
		loop_defer(&shared.forget, shared_forget);
	}
	return shared.parcel;
}

/* ---- the bound ---- */

size_t
session_queued(const struct session *s)
{
	const struct transport *t =
	    s->stream != NULL ? s->stream->transport : NULL;
	size_t kept = s->sm != NULL ? s->sm->bytes : 0;

	return MAX(kept, t != NULL ? t->ops->queued(t) : 0);
}

static void
on_overflow(void *msg)
{
	struct session *s = (struct session *)msg;

	if (s->is_closing || !s->is_overflowing)
		return;
	s->is_overflowing = false;
	if (session_is_detached(s)) {
		session_expired(s, "too much was waiting for it");
		return;
	}
	log_notice(stream_log(s->stream),
	    "the client does not take what is sent to it");
	if (sm_can_resume(s->sm))
		session_link_dead(s);
	else
		session_close(s, EL_SE_RESOURCE_CONSTRAINT,
		    "too much is waiting to be read");
}

/* Not at once: whoever sends may be walking the account's sessions. */
static void
check_bound(struct session *s)
{
	if (s->is_overflowing ||
	    session_queued(s) <= conf_now()->limits.session_queue)
		return;
	s->is_overflowing = true;
	loop_post(loop_self(), on_overflow, s);
}

/* ---- sending ---- */

/* Writes it and keeps a copy; detached, it is only kept. */
static struct wire *
write_and_keep(struct session *s, const struct stanza *stanza)
{
	struct stream *st = s->stream;
	struct transport *t = st != NULL ? st->transport : NULL;
	struct buf scratch = { 0 }, *out = &scratch;
	struct wire *w;
	size_t at;

	if (t != NULL)
		out = t->ops->begin(t);
	at = out->n;
	stanza_write(out, stanza, t != NULL ? stream_scope(st) : XML_IN_STREAM);
	w = wire_new(str_mem(out->p + at, out->n - at));
	if (t != NULL)
		t->ops->end(t);
	buf_fini(&scratch);
	return w;
}

void
session_send_parcel(struct session *s, struct stanza *st, struct parcel *p)
{
	if (s->sm != NULL) {
		sm_sent(s->sm, write_and_keep(s, st), st, &st->receipt, p);
	} else {
		stream_send_stanza(s->stream, st);
		if (p != NULL)
			flush_wrote(s, p);
		parcel_unref(&p);
		receipt_done_after_flush(&st->receipt);
	}
	metric_add(METRIC_STANZAS_OUT, 1);
	stanza_free(&st);
	check_bound(s);
}

/* A session that is about to end takes nothing more. */
static bool
session_takes(const struct session *s)
{
	return !s->is_closing && !(s->is_overflowing && s->sm == NULL);
}

void
session_send_now(struct session *s, struct stanza *st)
{
	struct parcel *p = NULL;

	if (!session_takes(s)) {
		session_keep_unsent(s->account, st);
		return;
	}
	if (s->filters > 0 && hook_session_send(s, st) == STANZA_DONE)
		return;
	if (st->is_resent && st->spool_key.n > 0)
		p = spool_parcel(s->account, st->spool_key);
	session_send_parcel(s, st, p);
}

void
session_send(struct session *s, struct stanza *st)
{
	if (flush_holds(s, st))
		flush_add(s, st);
	else
		session_send_now(s, st);
}

bool
session_takes_bytes(const struct session *s)
{
	return s->filters == 0 && s->flush == NULL;
}

void
session_send_wire(struct session *s, struct wire *w, const struct stanza *st)
{
	struct parcel *p = NULL;
	struct receipt *r;

	if (s->filters > 0 || flush_holds(s, st) || st->is_resent ||
	    !session_takes(s)) {
		session_send(s, stanza_copy(st));
		return;
	}
	r = receipt_ref(st->receipt);
	if (st->kind == STANZA_MESSAGE)
		p = shared_parcel(s->account, w, st);
	if (s->stream != NULL)
		stream_send_wire(s->stream, w);
	if (s->sm != NULL) {
		sm_sent(s->sm, wire_ref(w), st, &r, parcel_ref(p));
	} else {
		if (p != NULL)
			parcel_had(p, s);
		receipt_done_after_flush(&r);
	}
	metric_add(METRIC_STANZAS_OUT, 1);
	check_bound(s);
}

/* ---- for the spool ---- */

void
session_spool(struct session *s)
{
	if (s->sm != NULL)
		sm_spool(s->sm, true);
}

bool
session_has_parcel(const struct session *s, const struct parcel *p)
{
	return s->sm != NULL && sm_has_parcel(s->sm, p);
}

/*
 * What came later it may have asked for too early, so it is sent that: rather
 * twice than never.
 */
bool
session_will_read(const struct session *s, const struct stanza *st)
{
	const struct elem *e = elem_child(st->root, EL_STANZA_ID);
	int64_t when;

	while (e != NULL && !str_eq(elem_attr(e, AT_BY), s->account->jid.bare))
		e = elem_next(e, EL_STANZA_ID);
	return s->reads_archive && e != NULL &&
	       uuid7_time(elem_attr(e, AT_ID), &when) == 0 && when < s->since;
}
