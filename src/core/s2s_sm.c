/* SPDX-License-Identifier: MIT */
/*
 * Stream management between servers: what a stream counts and keeps. It is
 * the same for both directions of a stream and for both who open it. What has
 * come is acknowledged when it is durable, as to clients; what was sent is
 * kept, with its receipt, until the peer has it.
 */
#include "base/random.h"
#include "core/conf.h"
#include "core/s2s_impl.h"
#include "core/sm.h"
#include "core/stanza_impl.h"

/* How often the peer is asked what it has. */
#define ASK_EVERY 32
#define ASK_MS 250
#define ANSWER_MS 1500
#define SETTLE_MS 5000
#define PENDING_MAX 4096
/* Sessions of each worker that wait to be resumed. */
#define KEPT_MAX 1000

struct s2s_sm {
	struct list node;     /* of `incoming`, when the peer may resume it */
	struct s2s_stream *s; /* NULL: the link is broken */
	struct str local, remote; /* on the heap */
	struct sm_in *in;
	struct list sent; /* struct stanza */
	size_t count, bytes;
	uint32_t acked;
	uint32_t unasked;
	bool is_asked;
	bool owes; /* an <a/>, when owed_at is reached */
	bool is_kept;
	uint32_t owed_at;
	uint64_t ask_due, ack_due, answer_due, settle_due, expiry_due;
	void (*ready)(void *ctx);
	void *ctx;
	struct timer timer;
	struct str id; /* on the heap, or none */
};

static _Thread_local struct list incoming;
static _Thread_local size_t kept;

static void s2s_sm_arm(struct s2s_sm *sm);

/* Elements ----------------------------------------------------------------- */

void
s2s_send_sm(struct s2s_stream *s, enum qname name, struct str id, int64_t h,
    bool resume)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, name);

	if (!str_is_none(id))
		elem_set(e, name == EL_SM_ENABLED ? AT_ID : AT_PREVID, id);
	if (h >= 0)
		elem_set(e, AT_H, str_printf(a, "%llu", (unsigned long long)h));
	if (resume)
		elem_set(e, AT_RESUME, STR("true"));
	if (resume && name == EL_SM_ENABLED)
		elem_set(e, AT_MAX,
		    str_printf(a, "%llu",
			(unsigned long long)conf_now()->s2s.resume_ms / 1000));
	s2s_send_elem(s, e);
	arena_free(&a);
}

void
s2s_send_sm_failed(struct s2s_stream *s, enum qname condition, int64_t h)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_SM_FAILED);

	if (h >= 0)
		elem_set(e, AT_H, str_printf(a, "%llu", (unsigned long long)h));
	elem_add(e, condition);
	s2s_send_elem(s, e);
	arena_free(&a);
}

/* What has come ------------------------------------------------------------ */

uint32_t
s2s_sm_handled(const struct s2s_sm *sm)
{
	return sm->in->durable;
}

static void
send_answer(struct s2s_sm *sm)
{
	sm->owes = false;
	sm->answer_due = 0;
	if (sm->s != NULL)
		s2s_send_sm(
		    sm->s, EL_SM_A, STR_NONE, s2s_sm_handled(sm), false);
}

static void
pause_or_resume(struct s2s_sm *sm)
{
	uint32_t pending = sm_in_pending(sm->in);
	struct s2s_stream *s = sm->s;

	if (s == NULL || s->conn == NULL || s->is_moving)
		return;
	if (!s->is_paused && !sm->in->is_failed && pending >= PENDING_MAX) {
		s->is_paused = true;
		conn_pause(s->conn);
	} else if (s->is_paused && pending < PENDING_MAX / 2) {
		s->is_paused = false;
		conn_resume(s->conn);
	}
}

/* Not from inside a receipt: it may free all of this. */
static void
on_moved(void *ctx)
{
	struct s2s_sm *sm = (struct s2s_sm *)ctx;

	pause_or_resume(sm);
	if (sm->owes && (int32_t)(sm->in->durable - sm->owed_at) >= 0)
		send_answer(sm);
	if (sm->ready != NULL && sm_in_pending(sm->in) == 0) {
		sm->settle_due = loop_now();
		s2s_sm_arm(sm);
	}
}

struct receipt *
s2s_sm_came(struct s2s_sm *sm)
{
	struct receipt *r = sm_in_next(sm->in);

	pause_or_resume(sm);
	return r;
}

static void
on_request(struct s2s_sm *sm)
{
	uint32_t seq = sm->in->is_failed ? sm->in->durable : sm->in->seq;

	sm->owes = true;
	sm->owed_at = seq;
	if (sm->in->durable == seq) {
		send_answer(sm);
		return;
	}
	if (sm->answer_due == 0)
		sm->answer_due = loop_now() + ANSWER_MS;
	s2s_sm_arm(sm);
}

void
s2s_sm_last(struct s2s_sm *sm)
{
	send_answer(sm);
}

/* What was sent ------------------------------------------------------------ */

static void
ask(struct s2s_sm *sm)
{
	sm->unasked = 0;
	sm->ask_due = 0;
	sm->is_asked = true;
	sm->ack_due = loop_now() + conf_now()->s2s.dead_ms;
	s2s_send_sm(sm->s, EL_SM_R, STR_NONE, -1, false);
	s2s_sm_arm(sm);
}

static void
sent_on(struct s2s_sm *sm)
{
	if (++sm->unasked >= ASK_EVERY && !sm->is_asked) {
		ask(sm);
	} else if (sm->ask_due == 0 && !sm->is_asked) {
		sm->ask_due = loop_now() + ASK_MS;
		s2s_sm_arm(sm);
	}
}

void
s2s_sm_sent(struct s2s_sm *sm, struct stanza *st)
{
	/*
	 * Only our clients wait for the peer. If other servers did, two that
	 * answer each other could wait in a circle.
	 */
	if (!st->is_from_local)
		receipt_done(&st->receipt);
	list_add(&sm->sent, &st->node);
	sm->count++;
	sm->bytes += arena_used(st->arena);
	sent_on(sm);
}

bool
s2s_sm_is_full(const struct s2s_sm *sm)
{
	return sm->bytes > conf_now()->limits.session_queue;
}

size_t
s2s_sm_count(const struct s2s_sm *sm)
{
	return sm->count;
}

static struct stanza *
sent_take(struct s2s_sm *sm)
{
	struct stanza *st = LIST_FIRST(&sm->sent, struct stanza, node);

	if (st == NULL)
		return NULL;
	list_del(&st->node);
	sm->count--;
	sm->bytes -= arena_used(st->arena);
	return st;
}

bool
s2s_sm_acked(struct s2s_sm *sm, uint32_t h)
{
	uint32_t n = h - sm->acked;

	if (n > sm->count)
		return false;
	sm->acked = h;
	while (n-- > 0) {
		struct stanza *st = sent_take(sm);

		stanza_free(&st);
	}
	return true;
}

void
s2s_sm_resend(struct s2s_sm *sm)
{
	struct buf *out = conn_out(sm->s->conn);
	struct stanza *st;

	LIST_EACH(st, &sm->sent, struct stanza, node)
	{
		stanza_write(out, st, XML_IN_STREAM);
	}
	conn_touched(sm->s->conn);
	if (sm->count > 0)
		ask(sm);
}

void
s2s_sm_inherit(struct s2s_sm *to, struct s2s_sm *from)
{
	struct stanza *st;

	while ((st = sent_take(from)) != NULL) {
		list_add(&to->sent, &st->node);
		to->count++;
		to->bytes += arena_used(st->arena);
	}
}

static void
on_answer(struct s2s_sm *sm, const struct elem *e)
{
	uint64_t h;

	if (!str_to_u64(elem_attr(e, AT_H), &h) || h > UINT32_MAX ||
	    !s2s_sm_acked(sm, (uint32_t)h)) {
		s2s_fail(sm->s, EL_SE_UNDEFINED_CONDITION,
		    "more stanzas are acknowledged than were sent");
		return;
	}
	sm->is_asked = false;
	sm->ack_due = 0;
	if (sm->unasked >= ASK_EVERY) {
		ask(sm);
	} else if (sm->count > 0) {
		sm->ask_due = loop_now() + ASK_MS;
		s2s_sm_arm(sm);
	}
}

bool
s2s_sm_on_nonza(struct s2s_stream *s, const struct elem *e)
{
	enum qname name = elem_name(e);

	if (s->sm == NULL || (name != EL_SM_R && name != EL_SM_A))
		return false;
	if (name == EL_SM_R)
		on_request(s->sm);
	else
		on_answer(s->sm, e);
	return true;
}

/* Time --------------------------------------------------------------------- */

static bool
is_due(uint64_t *due)
{
	if (*due == 0 || *due > loop_now())
		return false;
	*due = 0;
	return true;
}

static void
on_timer(struct timer *t)
{
	struct s2s_sm *sm = CONTAINER_OF(t, struct s2s_sm, timer);

	if (is_due(&sm->expiry_due)) {
		s2s_sm_free(&sm, EL_REMOTE_SERVER_TIMEOUT,
		    "the stream to the other server broke, and it did not "
		    "come back in time");
		return;
	}
	if (is_due(&sm->settle_due) && sm->ready != NULL) {
		void (*ready)(void *ctx) = sm->ready;

		sm->ready = NULL;
		ready(sm->ctx);
		return;
	}
	if (sm->s != NULL && is_due(&sm->ack_due)) {
		log_notice(&sm->s->log, "no acknowledgement: the link is dead");
		conn_abort(sm->s->conn);
		return;
	}
	if (is_due(&sm->answer_due) && sm->owes)
		send_answer(sm);
	if (sm->s != NULL && is_due(&sm->ask_due) && !sm->is_asked)
		ask(sm);
	s2s_sm_arm(sm);
}

static void
s2s_sm_arm(struct s2s_sm *sm)
{
	const uint64_t due[] = { sm->ask_due, sm->ack_due, sm->answer_due,
		sm->settle_due, sm->expiry_due };
	uint64_t first = 0, now = loop_now();

	for (size_t i = 0; i < ARRAY_LEN(due); i++)
		if (due[i] != 0 && (first == 0 || due[i] < first))
			first = due[i];
	if (first == 0)
		timer_stop(&sm->timer);
	else
		timer_start(
		    &sm->timer, first > now ? first - now : 0, on_timer);
}

/* Life --------------------------------------------------------------------- */

struct s2s_sm *
s2s_sm_new(struct s2s_stream *s, bool is_resumable)
{
	struct s2s_sm *sm = (struct s2s_sm *)xzalloc(sizeof(*sm));
	struct arena *a = arena_new(0);

	if (incoming.next == NULL)
		list_init(&incoming);
	list_init(&sm->sent);
	sm->s = s;
	s->sm = sm;
	sm->local = str_heap(s->local);
	sm->remote = str_heap(s->remote);
	sm->in = sm_in_new(on_moved, sm, 0);
	if (is_resumable) {
		sm->id = str_heap(random_token(a, SM_ID_BYTES));
		list_add(&incoming, &sm->node);
	}
	arena_free(&a);
	return sm;
}

void
s2s_sm_detach(struct s2s_sm *sm)
{
	if (sm->s != NULL)
		sm->s->sm = NULL;
	sm->s = NULL;
	sm->is_asked = sm->owes = false;
	sm->ask_due = sm->ack_due = sm->answer_due = 0;
	sm->unasked = 0;
	s2s_sm_arm(sm);
}

static void
sm_unkeep(struct s2s_sm *sm)
{
	if (sm->is_kept)
		kept--;
	sm->is_kept = false;
	sm->expiry_due = 0;
}

bool
s2s_sm_attach(struct s2s_sm *sm, struct s2s_stream *s, uint32_t h)
{
	uint32_t durable = sm->in->durable;

	if (!s2s_sm_acked(sm, h))
		return false;
	sm_unkeep(sm);
	sm->ready = NULL;
	sm->settle_due = 0;
	/* What was not kept comes again. */
	sm_in_drop(&sm->in);
	sm->in = sm_in_new(on_moved, sm, durable);
	sm->s = s;
	s->sm = sm;
	s2s_sm_arm(sm);
	return true;
}

static void
sm_forget(struct s2s_sm **smp)
{
	struct s2s_sm *sm = *smp;

	*smp = NULL;
	s2s_sm_detach(sm);
	sm_unkeep(sm);
	timer_stop(&sm->timer);
	list_del(&sm->node);
	sm_in_drop(&sm->in);
	str_free(&sm->local);
	str_free(&sm->remote);
	str_free(&sm->id);
	xfree(sm);
}

void
s2s_sm_free(struct s2s_sm **smp, enum qname condition, const char *text)
{
	struct list lost;
	struct stanza *st;

	if (*smp == NULL)
		return;
	list_init(&lost);
	list_splice(&lost, &(*smp)->sent);
	(*smp)->count = 0;
	sm_forget(smp);
	/* What comes of it may be for the same link again. */
	while ((st = LIST_FIRST(&lost, struct stanza, node)) != NULL) {
		list_del(&st->node);
		(void)stanza_refuse_with(st, condition, text, EL_NONE);
	}
}

void
s2s_sm_drop(struct s2s_sm **smp)
{
	struct stanza *st;

	if (*smp == NULL)
		return;
	while ((st = sent_take(*smp)) != NULL) {
		receipt_fail(&st->receipt);
		stanza_free(&st);
	}
	sm_forget(smp);
}

/* For resumptions ---------------------------------------------------------- */

struct str
s2s_sm_id(const struct s2s_sm *sm)
{
	return sm->id;
}

void
s2s_sm_set_id(struct s2s_sm *sm, struct str id)
{
	str_free(&sm->id);
	sm->id = str_is_none(id) ? STR_NONE : str_heap(id);
}

struct s2s_stream *
s2s_sm_stream(const struct s2s_sm *sm)
{
	return sm->s;
}

bool
s2s_sm_settle(struct s2s_sm *sm, void (*ready)(void *ctx), void *ctx)
{
	if (sm->ready != NULL)
		return false;
	sm_unkeep(sm);
	sm->ready = ready;
	sm->ctx = ctx;
	sm->settle_due =
	    loop_now() + (sm_in_pending(sm->in) > 0 ? SETTLE_MS : 0);
	sm->settle_due += sm->settle_due == 0;
	s2s_sm_arm(sm);
	return true;
}

void
s2s_sm_keep(struct s2s_sm *sm)
{
	struct s2s_sm *old, *oldest = NULL;

	sm->is_kept = true;
	sm->expiry_due = loop_now() + conf_now()->s2s.resume_ms;
	list_del(&sm->node);
	list_add(&incoming, &sm->node);
	s2s_sm_arm(sm);
	if (++kept <= KEPT_MAX)
		return;
	LIST_EACH(old, &incoming, struct s2s_sm, node)
	{
		if (old->is_kept) {
			oldest = old;
			break;
		}
	}
	s2s_sm_free(&oldest, EL_REMOTE_SERVER_TIMEOUT, NULL);
}

struct s2s_sm *
s2s_sm_find(struct str id, struct str local, struct str remote)
{
	struct s2s_sm *sm;

	if (incoming.next == NULL)
		return NULL;
	LIST_EACH(sm, &incoming, struct s2s_sm, node)
	{
		if (str_eq_secret(sm->id, id) && str_eq(sm->local, local) &&
		    str_eq(sm->remote, remote))
			return sm;
	}
	return NULL;
}

void
s2s_sms_stop(void)
{
	struct s2s_sm *sm;

	if (incoming.next == NULL)
		return;
	while ((sm = LIST_FIRST(&incoming, struct s2s_sm, node)) != NULL)
		s2s_sm_drop(&sm);
}
