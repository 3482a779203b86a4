/* SPDX-License-Identifier: MIT */
/*
 * Enabling, counting, asking and answering while the client is there. What
 * it does not acknowledge in time is spooled, and at last its link is taken
 * for dead.
 */
#include "core/sm.h"

#include "base/clock.h"
#include "base/random.h"
#include "core/conf.h"
#include "core/session_internal.h"
#include "xep/0160-offline.h"

#include <stdio.h>

/* Waits with an answer for effects to be durable, but not longer. */
#define ANSWER_MS 1500
/* So long may a sender's receipt depend on a client's acknowledgement. */
#define SPOOL_MS 1000
#define SPOOL_BYTES 65536
/*
 * A client that was asked and is silent for so long has a dead link. As long as
 * it is heard its answer may be behind what it sends, or what we do not read
 * yet (limits.c2s_rate); but not for ever.
 */
#define ACK_MS 60000
#define ACK_BEHIND_MS 600000
/* Asks again after so many stanzas, though an answer is due. */
#define ASK_STANZAS 50
/* Stanzas whose effects are not durable, before reading stops. */
#define PENDING_MAX 4096

/* ---- the timer ---- */

static void
sooner(uint64_t *first, uint64_t due)
{
	if (due != 0 && (*first == 0 || due < *first))
		*first = due;
}

/* The time when nothing more is to be hoped for, or 0: that is now. */
static uint64_t
ack_later(const struct sm *sm, uint64_t now)
{
	uint64_t silent = sm->is_paused ? 0 : session_silence(sm->session);
	uint64_t last = sm->asked + ACK_BEHIND_MS;

	if (silent >= ACK_MS || now >= last)
		return 0;
	return MIN(now + ACK_MS - silent, last);
}

static void
on_due(struct sm *sm)
{
	uint64_t now = loop_now();

	if (sm->ack_due != 0 && sm->ack_due <= now) {
		sm->ack_due = ack_later(sm, now);
		if (sm->ack_due == 0) {
			session_link_dead(sm->session);
			return;
		}
	}

	if (sm->answer_due != 0 && sm->answer_due <= now) {
		sm->owed_at = sm->in->durable;
		sm_answer_if_due(sm);
	}
	if (sm->spool_due != 0 && sm->spool_due <= now)
		sm_spool(sm, false);
	if (sm->resume_due != 0 && sm->resume_due <= now)
		sm_resume_now(sm);
	if (sm->expiry_due != 0 && sm->expiry_due <= now) {
		sm->expiry_due = 0;
		session_expired(sm->session, "not resumed in time");
	}
}

static void
on_timer(struct timer *t)
{
	struct sm *sm = CONTAINER_OF(t, struct sm, timer);

	if (sm->session->is_closing)
		return;
	on_due(sm);
	if (!sm->session->is_closing)
		sm_arm(sm);
}

void
sm_arm(struct sm *sm)
{
	uint64_t first = 0, now = loop_now();

	sooner(&first, sm->answer_due);
	sooner(&first, sm->spool_due);
	sooner(&first, sm->ack_due);
	sooner(&first, sm->expiry_due);
	sooner(&first, sm->resume_due);
	if (first == 0)
		timer_stop(&sm->timer);
	/* One that rings too early does no harm, and costs less. */
	else if (!timer_is_running(&sm->timer) || sm->timer.due > first)
		timer_start(
		    &sm->timer, first > now ? first - now : 0, on_timer);
}

/* ---- inbound ---- */

static void
send_answer(struct sm *sm)
{
	struct stream *s = sm->session->stream;
	char text[64];

	if (s == NULL)
		return;
	snprintf(text, sizeof(text), "<a xmlns='urn:xmpp:sm:3' h='%u'/>",
	    (unsigned)sm->in->durable);
	stream_send_text(s, str_c(text));
}

/* Has the count come as far as `seq`? */
static bool
has_reached(const struct sm *sm, uint32_t seq)
{
	return (int32_t)(sm->in->durable - seq) >= 0;
}

void
sm_answer_if_due(struct sm *sm)
{
	struct stream *s = sm->session->stream;

	if (sm->is_paused && sm_in_pending(sm->in) < PENDING_MAX / 2 &&
	    s != NULL && s->transport != NULL) {
		sm->is_paused = false;
		s->transport->ops->resume(s->transport);
	}
	if (sm->resumer != NULL && sm_in_pending(sm->in) == 0) {
		sm->resume_due = 1; /* not from inside a receipt */
		sm_arm(sm);
	}
	if (!sm->owes || !has_reached(sm, sm->owed_at))
		return;
	send_answer(sm);
	sm->owes = sm->owes_more && !has_reached(sm, sm->owed_last);
	sm->owes_more = false;
	sm->owed_at = sm->owed_last;
	sm->answer_due = sm->owes ? loop_now() + ANSWER_MS : 0;
	if (sm->owes)
		sm_arm(sm);
}

void
sm_on_moved(void *ctx)
{
	sm_answer_if_due((struct sm *)ctx);
}

/* Behind a stanza that could not be kept there is nothing to wait for. */
static void
on_request(struct sm *sm)
{
	uint32_t seq = sm->in->is_failed ? sm->in->durable : sm->in->seq;

	if (sm->owes) {
		sm->owes_more = true;
		sm->owed_last = seq;
		return;
	}
	sm->owes = true;
	sm->owed_at = sm->owed_last = seq;
	sm->answer_due = loop_now() + ANSWER_MS;
	sm_answer_if_due(sm);
	if (sm->owes)
		sm_arm(sm);
}

void
sm_last_answer(struct sm *sm)
{
	if (sm->owes)
		send_answer(sm);
}

struct receipt *
sm_receipt(struct sm *sm)
{
	struct session *s = sm->session;
	struct receipt *r = sm_in_next(sm->in);

	if (r != NULL && sm_in_pending(sm->in) >= PENDING_MAX &&
	    !sm->is_paused && s->stream != NULL) {
		sm->is_paused = true;
		s->stream->transport->ops->pause(s->stream->transport);
	}
	return r;
}

/* ---- outbound ---- */

void
sm_ask(struct sm *sm)
{
	struct stream *s = sm->session->stream;

	if (s == NULL || sm->count == 0 || sm->is_silent)
		return;
	if (sm->is_asked && ++sm->since_ask < ASK_STANZAS)
		return;
	stream_send_text(s, STR("<r xmlns='urn:xmpp:sm:3'/>"));
	sm->since_ask = 0;
	if (sm->is_asked)
		return;
	sm->is_asked = true;
	sm->asked = loop_now();
	sm->ack_due = sm->asked + ACK_MS;
	sm_arm(sm);
}

/*
 * What a stanza that is not to be kept has caused is done when it is out;
 * the receipt of a message waits for the client, or for the spool.
 */
static void
item_receipt(struct sm *sm, struct sm_item *item, struct receipt **r)
{
	if (!item->is_worth) {
		receipt_done_after_flush(r);
		return;
	}
	item->receipt = *r;
	*r = NULL;
	if (item->receipt != NULL)
		sm->held_bytes += item->wire->n;
	if (sm->session->stream == NULL) {
		sm_item_spool(sm, item);
		return;
	}
	if (item->receipt == NULL)
		return;
	if (sm->held_bytes > SPOOL_BYTES) {
		sm_spool(sm, false);
	} else if (sm->spool_due == 0) {
		sm->spool_due = item->sent + SPOOL_MS;
		sm_arm(sm);
	}
}

void
sm_sent(struct sm *sm, struct wire *w, const struct stanza *st,
    struct receipt **receipt, struct parcel *p)
{
	struct sm_item *item = (struct sm_item *)xzalloc(sizeof(*item));

	item->wire = w;
	item->parcel = p;
	item->received = st->received;
	item->sent = loop_now();
	item->kind = (uint8_t)st->kind;
	item->is_late = st->is_resent;
	item->is_archived = st->is_archived;
	item->is_copied = st->is_copied;
	item->is_worth = st->kind == STANZA_MESSAGE && !st->is_carbon &&
			 (st->is_resent || offline_is_worth(st->root));
	if (p != NULL)
		parcel_hold(p);
	list_add(&sm->queue, &item->node);
	sm->count++;
	sm->bytes += w->n;
	item_receipt(sm, item, receipt);
	sm_ask(sm);
}

void
sm_item_free(struct sm *sm, struct sm_item *item)
{
	list_del(&item->node);
	sm->count--;
	sm->bytes -= item->wire->n;
	if (item->receipt != NULL)
		sm->held_bytes -= MIN(sm->held_bytes, item->wire->n);
	receipt_done(&item->receipt);
	parcel_unref(&item->parcel);
	wire_unref(&item->wire);
	xfree(item);
}

bool
sm_acked(struct sm *sm, uint32_t h)
{
	uint32_t n = h - sm->acked;
	struct sm_item *item;

	if (n > sm->count)
		return false;
	sm->acked = h;
	for (; n > 0; n--) {
		item = LIST_FIRST(&sm->queue, struct sm_item, node);
		if (item->parcel != NULL)
			parcel_acked(item->parcel, sm->session, item->is_late);
		sm_item_free(sm, item);
	}
	if (sm->count == 0)
		sm->spool_due = 0;
	return true;
}

bool
sm_is_behind(const struct sm *sm, uint32_t h)
{
	return h - sm->acked > sm->count && h < sm->acked;
}

static void
on_ack(struct sm *sm, const struct elem *e)
{
	struct stream *s = sm->session->stream;
	uint64_t h;

	if (!str_to_u64(elem_attr(e, AT_H), &h) || h > UINT32_MAX) {
		stream_fail(s, EL_SE_BAD_FORMAT, "an <a/> needs a count h");
		return;
	}
	if (!sm_acked(sm, (uint32_t)h) && !sm_is_behind(sm, (uint32_t)h)) {
		sm_fail_count(sm, s, (uint32_t)h);
		return;
	}
	sm->is_asked = false;
	sm->ack_due = 0;
	sm_ask(sm);
	session_drained(sm->session);
}

void
sm_fail_count(struct sm *sm, struct stream *s, uint32_t h)
{
	uint32_t sent = sm->acked + sm->count;
	char specific[160], text[96];

	snprintf(specific, sizeof(specific),
	    "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='%u' "
	    "send-count='%u'/>",
	    (unsigned)h, (unsigned)sent);
	snprintf(text, sizeof(text),
	    "you acknowledged %u stanzas, but only %u were sent", (unsigned)h,
	    (unsigned)sent);
	stream_fail_with(s, EL_SE_UNDEFINED_CONDITION, text, str_c(specific));
}

static bool
item_is_loose(const struct sm_item *item)
{
	return item->parcel == NULL || !item->parcel->is_stored;
}

void
sm_spool(struct sm *sm, bool is_all)
{
	struct sm_item *item;

	sm->spool_due = 0;
	LIST_EACH(item, &sm->queue, struct sm_item, node)
	if (item->is_worth &&
	    (item->receipt != NULL || (is_all && item_is_loose(item))))
		sm_item_spool(sm, item);
}

bool
sm_has_parcel(const struct sm *sm, const struct parcel *p)
{
	struct sm_item *item;

	LIST_EACH(
	    item, (struct list *)(uintptr_t)&sm->queue, struct sm_item, node)
	if (item->parcel == p)
		return true;
	return false;
}

/* ---- elements of the protocol ---- */

struct elem *
sm_failed(struct arena *a, enum qname condition, int64_t h)
{
	struct elem *e = elem_new(a, EL_SM_FAILED);

	if (h >= 0)
		elem_set_uint(e, AT_H, (uint64_t)h);
	elem_add(e, (qname_t)condition);
	return e;
}

void
sm_send_failed(struct stream *s, enum qname condition, int64_t h)
{
	struct arena *a = arena_new(0);

	stream_send_elem(s, sm_failed(a, condition, h));
	arena_free(&a);
}

static bool
is_true(struct str value)
{
	return str_is(value, "true") || str_is(value, "1");
}

static struct elem *
enabled(struct arena *a, const struct sm *sm)
{
	struct elem *e = elem_new(a, EL_SM_ENABLED);

	if (sm_can_resume(sm)) {
		elem_set_copy(e, AT_ID, str_c(sm->id));
		elem_set(e, AT_RESUME, STR("true"));
		elem_set_uint(e, AT_MAX, sm->resume_ms / 1000);
		if (conf_now()->limits.resume_location.n > 0)
			elem_set_copy(
			    e, AT_LOCATION, conf_now()->limits.resume_location);
	}
	return e;
}

void
sm_add_enabled(const struct sm *sm, struct elem *parent)
{
	elem_append(parent, enabled(elem_arena(parent), sm));
}

static void
send_enabled(const struct sm *sm)
{
	struct arena *a = arena_new(0);

	stream_send_elem(sm->session->stream, enabled(a, sm));
	arena_free(&a);
}

/* How long it waits: what the client asks for, within the configured bound. */
static uint32_t
resume_time(const struct elem *enable)
{
	uint64_t max = conf_now()->limits.resume_ms, asked;

	if (str_to_u64(elem_attr(enable, AT_MAX), &asked) && asked > 0 &&
	    asked < max / 1000)
		max = asked * 1000;
	return (uint32_t)MIN(max, UINT32_MAX);
}

static struct sm *
sm_new(struct session *s)
{
	struct sm *sm = (struct sm *)xzalloc(sizeof(*sm));

	sm->session = s;
	sm->in = sm_in_new(sm_on_moved, sm, 0);
	list_init(&sm->queue);
	return sm;
}

void
sm_watch(struct session *s)
{
	s->sm = sm_new(s);
	s->sm->is_silent = true;
}

/* The client counts from now on; what came before is taken to have arrived. */
static void
sm_unwatch(struct session *s)
{
	if (s->sm == NULL)
		return;
	sm_acked(s->sm, s->sm->acked + s->sm->count);
	sm_free(&s->sm);
}

void
sm_enable(struct session *s, const struct elem *enable)
{
	struct sm *sm = sm_new(s);
	struct arena *a;
	struct str id;

	sm->resume_ms = resume_time(enable);
	if (is_true(elem_attr(enable, AT_RESUME)) && sm->resume_ms > 0) {
		a = arena_new(0);
		id = random_token(a, SM_ID_BYTES);
		memcpy(sm->id, id.p, MIN(id.n, SM_ID_LEN));
		arena_free(&a);
	}
	sm_unwatch(s);
	s->sm = sm;
}

void
sm_on_nonza(struct session *s, const struct elem *e)
{
	struct sm *sm = sm_counts(s->sm) ? s->sm : NULL;

	switch (elem_name(e)) {
	case EL_SM_ENABLE:
		if (sm != NULL)
			sm_send_failed(s->stream, EL_UNEXPECTED_REQUEST, -1);
		else {
			sm_enable(s, e);
			send_enabled(s->sm);
		}
		return;
	case EL_SM_R:
		if (sm != NULL) {
			on_request(sm);
			return;
		}
		break;
	case EL_SM_A:
		if (sm != NULL) {
			on_ack(sm, e);
			return;
		}
		break;
	default:
		break;
	}
	sm_send_failed(s->stream, EL_UNEXPECTED_REQUEST, -1);
}

void
sm_free(struct sm **smp)
{
	struct sm *sm = *smp;

	*smp = NULL;
	if (sm == NULL)
		return;
	timer_stop(&sm->timer);
	sm_in_drop(&sm->in);
	must(sm->count == 0);
	xfree(sm);
}
