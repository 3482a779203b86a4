/* SPDX-License-Identifier: MIT */
/*
 * A BOSH session: a client stream whose transport is a series of requests.
 * They are taken in the order of their ids and held until there is something
 * to say. What was answered last is kept, to be sent again when the answer
 * was lost; it counts as queued until the client shows that it has it.
 */
#include "http/bosh.h"

#include "base/err.h"
#include "core/host.h"
#include "core/metrics.h"
#include "net/loop.h"
#include "xml/parser.h"
#include "xml/writer.h"

#define POLLING_MS 5000
/* What a request costs beside its bytes. */
#define REQUEST_COST 100
#define BURST_MS 1000
#define HTTPBIND "http://jabber.org/protocol/httpbind"

struct sent {
	uint64_t rid;
	struct wire *wire; /* NULL: none */
	size_t bytes;	   /* that may still be lost */
	uint32_t stanzas;  /* sent with it, and before */
};

struct bosh {
	struct transport base;
	struct str sid; /* heap */
	struct str authid;
	struct loop *birth;
	struct bosh_terms terms;
	unsigned requests;
	uint64_t next; /* the id of the request that is due */
	struct bosh_ask *slot[BOSH_REQUESTS_MAX]; /* by id */
	unsigned slot_count;
	struct sent sent[BOSH_REQUESTS_MAX]; /* a ring */
	unsigned sent_at;
	struct buf piece, out;
	size_t unacked;
	const char *condition; /* of the end, as far as it is known */
	uint64_t idle;	       /* since when it hears nothing */
	uint64_t pause_ms;     /* asked for; 0: none */
	uint64_t polled;       /* the last empty request; 0: none */
	uint64_t cost_due;
	uint32_t rate;
	struct timer tick, gate;
	struct deferred flush;
	bool is_opened; /* the first answer is out */
	bool is_running;
	bool is_paused;
	bool is_moving;
	bool is_closing;
	bool is_ending; /* when it has arrived */
	bool is_dead;
	struct loop *to;
	void (*arrived)(void *ctx);
	void *arrived_ctx;
};

static void bosh_run(struct bosh *b);
static void on_flush(struct deferred *d);

static struct bosh *
bosh_of(const struct transport *t)
{
	return (struct bosh *)(uintptr_t)t;
}

static void
bosh_touch(struct bosh *b)
{
	if (!b->is_dead && !b->is_moving)
		loop_defer(&b->flush, on_flush);
}

/* Answers -----------------------------------------------------------------*/

static unsigned
held_count(const struct bosh *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->slot_count; i++)
		n += b->slot[i]->is_held;
	return n;
}

static struct bosh_ask *
slot_take(struct bosh *b, unsigned i)
{
	struct bosh_ask *ask = b->slot[i];

	b->slot_count--;
	memmove(b->slot + i, b->slot + i + 1,
	    (b->slot_count - i) * sizeof(struct bosh_ask *));
	return ask;
}

static void
write_first(const struct bosh *b, struct buf *out)
{
	const struct host *host = stream_host(b->base.stream);

	buf_printf(out,
	    " sid='" STR_FMT "' wait='%u' requests='%u' hold='%u'"
	    " inactivity='%u' polling='%u' maxpause='%u' ver='1.11'"
	    " xmpp:version='1.0' xmpp:restartlogic='true'",
	    STR_ARG(b->sid), (unsigned)(b->terms.wait_ms / 1000), b->requests,
	    b->terms.hold, (unsigned)(b->terms.inactivity_ms / 1000),
	    POLLING_MS / 1000, (unsigned)(b->terms.pause_ms / 1000));
	if (host != NULL)
		buf_printf(out, " from='" STR_FMT "'", STR_ARG(host->jid.full));
	if (!str_is_none(b->authid))
		buf_printf(out, " authid='" STR_FMT "'", STR_ARG(b->authid));
	if (b->terms.has_acks)
		buf_printf(
		    out, " ack='%llu'", (unsigned long long)(b->next - 1));
}

static struct wire *
body_make(struct bosh *b, uint64_t rid, bool is_end)
{
	struct buf text = { 0 };
	struct wire *w;

	buf_add_str(
	    &text, STR("<body xmlns='" HTTPBIND "' xmlns:xmpp='urn:xmpp:xbosh'"
		       " xmlns:stream='http://etherx.jabber.org/streams'"));
	if (!b->is_opened && b->base.stream != NULL && !is_end)
		write_first(b, &text);
	else if (b->terms.has_acks && b->next - 1 > rid)
		buf_printf(
		    &text, " ack='%llu'", (unsigned long long)(b->next - 1));
	if (is_end) {
		buf_add_str(&text, STR(" type='terminate'"));
		if (b->condition != NULL)
			buf_printf(&text, " condition='%s'", b->condition);
	}
	buf_add_c(&text, '>');
	buf_add_str(&text, buf_str(&b->out));
	buf_add_str(&text, STR("</body>"));
	w = wire_new(buf_str(&text));
	buf_fini(&text);
	return w;
}

static void
answer_first(struct bosh *b)
{
	struct bosh_ask *ask = slot_take(b, 0);
	struct sent *s = &b->sent[b->sent_at];

	b->sent_at = (b->sent_at + 1) % b->requests;
	wire_unref(&s->wire);
	b->unacked -= s->bytes;
	s->wire = body_make(b, ask->rid, false);
	s->rid = ask->rid;
	s->bytes = b->out.n;
	s->stanzas = b->base.stream != NULL ? stream_sent(b->base.stream) : 0;
	b->unacked += s->bytes;
	if (s->bytes > 0)
		b->polled = 0;
	buf_clear(&b->out);
	b->is_opened = true;
	b->idle = loop_now();
	bosh_answer(ask, wire_ref(s->wire));
}

/* The end -----------------------------------------------------------------*/

/* Not inside a call of the stream's. */
static void
bosh_end(struct bosh *b, const char *condition, int err)
{
	struct stream *s = b->base.stream;

	if (b->is_dead)
		return;
	if (b->is_moving) {
		/* The stream is on its way; there. */
		b->is_ending = true;
		b->condition = condition;
		return;
	}
	b->is_dead = true;
	timer_stop(&b->tick);
	timer_stop(&b->gate);
	loop_undefer(&b->flush);
	if (b->condition == NULL)
		b->condition = condition;
	while (b->slot_count > 0) {
		struct bosh_ask *ask = slot_take(b, 0);

		bosh_answer(ask, body_make(b, ask->rid, true));
		buf_clear(&b->out);
	}
	if (s != NULL)
		stream_gone(s, err);
	bosh_ended(b->sid, b->birth);
}

void
bosh_free(struct bosh *b)
{
	for (unsigned i = 0; i < BOSH_REQUESTS_MAX; i++)
		wire_unref(&b->sent[i].wire);
	buf_fini(&b->piece);
	buf_fini(&b->out);
	str_free(&b->sid);
	str_free(&b->authid);
	xfree(b);
}

/* Time --------------------------------------------------------------------*/

static void bosh_settle(struct bosh *b);

static uint64_t
bosh_due(const struct bosh *b)
{
	if (held_count(b) > 0)
		return b->slot[0]->since + b->terms.wait_ms;
	return b->idle + MAX(b->pause_ms, b->terms.inactivity_ms);
}

static void
on_tick(struct timer *t)
{
	struct bosh *b = CONTAINER_OF(t, struct bosh, tick);

	if (loop_now() < bosh_due(b)) {
		bosh_settle(b);
	} else if (held_count(b) > 0) {
		answer_first(b);
		bosh_settle(b);
	} else {
		log_debug(stream_log(b->base.stream), "no request came");
		bosh_end(b, NULL, ERR_TIMEOUT);
	}
}

static void
on_gate(struct timer *t)
{
	bosh_run(CONTAINER_OF(t, struct bosh, gate));
}

/* Answers what is to be answered now. */
static void
bosh_settle(struct bosh *b)
{
	unsigned hold = b->pause_ms > 0 ? 0 : b->terms.hold;
	uint64_t due, now = loop_now();

	if (b->is_dead || b->is_moving)
		return;
	if (!b->is_opened)
		hold = 1;
	while (held_count(b) > hold || (held_count(b) > 0 && b->out.n > 0))
		answer_first(b);
	due = bosh_due(b);
	timer_start(&b->tick, due > now ? due - now : 0, on_tick);
}

static void
on_flush(struct deferred *d)
{
	bosh_settle(CONTAINER_OF(d, struct bosh, flush));
}

/* Requests ----------------------------------------------------------------*/

/*
 * The last answer that the client has, by what it says, or by its window; an
 * empty request comes for the want of one that is held, so it has them all.
 */
static uint64_t
last_arrived(const struct bosh *b, const struct bosh_ask *ask)
{
	uint64_t before = ask->rid - 1;

	if (b->terms.has_acks)
		return ask->has_ack ? MIN(ask->ack, before) : before;
	if (ask->is_empty && held_count(b) == 1)
		return before;
	return ask->rid > b->requests ? ask->rid - b->requests : 0;
}

static void
note_acks(struct bosh *b, const struct bosh_ask *ask)
{
	size_t before = b->unacked;
	uint64_t last = last_arrived(b, ask);

	for (unsigned i = 0; i < b->requests; i++) {
		struct sent *s = &b->sent[i];

		if (s->wire == NULL || s->rid > last)
			continue;
		b->unacked -= s->bytes;
		s->bytes = 0;
		if (b->base.stream != NULL)
			stream_confirmed(b->base.stream, s->stanzas);
	}
	if (before > 0 && b->unacked + b->out.n == 0)
		stream_drained(b->base.stream);
}

/* Empty requests one after the other, where nothing is held. */
static bool
polls_too_often(struct bosh *b, const struct bosh_ask *ask)
{
	uint64_t before = b->polled, now = loop_now();

	b->polled = ask->is_empty && !ask->has_pause ? MAX(now, 1) : 0;
	return b->terms.hold == 0 && before > 0 && b->polled > 0 &&
	       now - before < POLLING_MS;
}

/* All of a request is with the stream: it waits for its answer. */
static void
ask_done(struct bosh *b, struct bosh_ask *ask)
{
	b->next++;
	ask->is_held = true;
	ask->since = loop_now();
	b->pause_ms =
	    ask->has_pause ? MIN(ask->pause_ms, b->terms.pause_ms) : 0;
	if (polls_too_often(b, ask))
		bosh_end(b, "policy-violation", 0);
	else
		note_acks(b, ask);
}

static struct bosh_ask *
slot_find(const struct bosh *b, uint64_t rid)
{
	for (unsigned i = 0; i < b->slot_count; i++)
		if (b->slot[i]->rid == rid)
			return b->slot[i];
	return NULL;
}

/* False: the client has spent what it may for now. */
static bool
may_spend(struct bosh *b, size_t n)
{
	uint64_t now = loop_now();

	if (b->rate == 0)
		return true;
	if (b->cost_due > now + BURST_MS) {
		timer_start(&b->gate, b->cost_due - now - BURST_MS, on_gate);
		return false;
	}
	b->cost_due =
	    MAX(b->cost_due, now) + (n + REQUEST_COST) * 1000 / b->rate;
	return true;
}

static bool
is_open_for_input(const struct bosh *b)
{
	return !b->is_dead && !b->is_moving && !b->is_paused &&
	       b->base.stream != NULL && !timer_is_running(&b->gate);
}

static void
bosh_run(struct bosh *b)
{
	struct bosh_ask *ask;

	if (b->is_running)
		return;
	b->is_running = true;
	while (is_open_for_input(b) && (ask = slot_find(b, b->next)) != NULL) {
		bool is_part = ask->part_at < ask->part_count;
		struct str part = is_part ? ask->part[ask->part_at] : STR_NONE;

		if (!may_spend(b, part.n))
			break;
		/* It says goodbye, and is there for the answers. */
		if (ask->is_last && is_part)
			stream_confirmed(
			    b->base.stream, stream_sent(b->base.stream));
		if (!is_part) {
			ask_done(b, ask);
			continue;
		}
		ask->part_at++;
		metric_add(METRIC_BYTES_IN, part.n);
		stream_input(b->base.stream, part.p, part.n);
	}
	b->is_running = false;
	bosh_touch(b);
}

static struct wire *
answer_of(const struct bosh *b, uint64_t rid)
{
	for (unsigned i = 0; i < b->requests; i++)
		if (b->sent[i].wire != NULL && b->sent[i].rid == rid)
			return wire_ref(b->sent[i].wire);
	return NULL;
}

/* It comes again: its connection may have broken. */
static void
ask_repeat(struct bosh *b, struct bosh_ask *ask)
{
	struct wire *answer = answer_of(b, ask->rid);

	if (answer != NULL) {
		bosh_answer(ask, answer);
		return;
	}
	bosh_refuse(ask, "item-not-found");
	bosh_end(b, "item-not-found", 0);
}

/* The new one is answered in its place. */
static void
ask_replace(struct bosh *b, struct bosh_ask *old, struct bosh_ask *ask)
{
	ask->part_at = MIN(old->part_at, ask->part_count);
	ask->is_held = old->is_held;
	ask->since = old->since;
	for (unsigned i = 0; i < b->slot_count; i++)
		if (b->slot[i] == old)
			b->slot[i] = ask;
	bosh_answer(
	    old, wire_new(STR("<body xmlns='" HTTPBIND "' type='error'/>")));
}

static void
ask_add(struct bosh *b, struct bosh_ask *ask)
{
	unsigned i = b->slot_count++;

	for (; i > 0 && b->slot[i - 1]->rid > ask->rid; i--)
		b->slot[i] = b->slot[i - 1];
	b->slot[i] = ask;
	if (held_count(b) == 0)
		b->idle = loop_now();
	bosh_run(b);
}

void
bosh_take(struct bosh *b, struct bosh_ask *ask)
{
	struct bosh_ask *old = slot_find(b, ask->rid);

	if (b->is_dead) {
		bosh_refuse(ask, "item-not-found");
	} else if (b->terms.is_safe && !ask->is_safe) {
		bosh_refuse(ask, "policy-violation");
	} else if (old != NULL) {
		ask_replace(b, old, ask);
	} else if (ask->rid < b->next) {
		ask_repeat(b, ask);
	} else if (ask->rid >= b->next + b->requests) {
		bosh_refuse(ask, "item-not-found");
		bosh_end(b, "item-not-found", 0);
	} else if (b->slot_count == b->requests) {
		bosh_refuse(ask, "policy-violation");
		bosh_end(b, "policy-violation", 0);
	} else {
		ask_add(b, ask);
	}
}

/* What the stream asks for ------------------------------------------------*/

static struct buf *
bosh_begin(struct transport *t)
{
	return &bosh_of(t)->piece;
}

/* The stream's tags are told by <body/>'s attributes. */
static void
note_open(struct bosh *b, struct str text)
{
	struct arena *a = arena_new(0);
	const struct elem *e = xml_parse(a, text, NULL, NS_NONE, NULL);

	if (elem_name(e) == EL_FRAME_OPEN && str_is_none(b->authid))
		b->authid = str_heap(elem_attr(e, AT_ID));
	arena_free(&a);
}

static bool
has(struct str text, const char *word)
{
	return memmem(text.p, text.n, word, strlen(word)) != NULL;
}

static void
note_error(struct bosh *b, struct str text)
{
	if (has(text, "<host-unknown "))
		b->condition = "host-unknown";
	else if (has(text, "<improper-addressing "))
		b->condition = "improper-addressing";
	else if (has(text, "<system-shutdown "))
		b->condition = "system-shutdown";
	else
		b->condition = "remote-stream-error";
}

static void
bosh_end_piece(struct transport *t)
{
	struct bosh *b = bosh_of(t);
	struct str text = buf_str(&b->piece);

	if (str_has_prefix(text, STR("<open "))) {
		note_open(b, text);
	} else if (!str_has_prefix(text,
		       STR("<close xmlns='urn:ietf:params:xml:ns:xmpp-fram"))) {
		if (str_has_prefix(text, STR("<stream:error")))
			note_error(b, text);
		buf_add_str(&b->out, text);
		bosh_touch(b);
	}
	buf_clear(&b->piece);
}

static void
bosh_send_wire(struct transport *t, struct wire *w)
{
	struct bosh *b = bosh_of(t);

	buf_add_str(&b->out, wire_str(w));
	bosh_touch(b);
}

static size_t
bosh_queued(const struct transport *t)
{
	return bosh_of(t)->out.n + bosh_of(t)->unacked;
}

static void
bosh_pause(struct transport *t)
{
	bosh_of(t)->is_paused = true;
}

static void
on_resumed(void *msg)
{
	bosh_run((struct bosh *)msg);
}

static void
bosh_resume(struct transport *t)
{
	struct bosh *b = bosh_of(t);

	if (!b->is_paused)
		return;
	b->is_paused = false;
	loop_post(loop_self(), on_resumed, b);
}

static void
bosh_set_rate(struct transport *t, uint32_t bytes_per_s)
{
	bosh_of(t)->rate = bytes_per_s;
}

static void
on_arrived(void *msg)
{
	struct bosh *b = (struct bosh *)msg;

	b->is_moving = false;
	b->arrived(b->arrived_ctx);
	if (b->is_ending)
		bosh_end(b, NULL, 0);
	else
		bosh_run(b);
}

/* Nothing of this loop's stack has it in hand any more. */
static void
on_leave(void *msg)
{
	struct bosh *b = (struct bosh *)msg;

	timer_stop(&b->tick);
	timer_stop(&b->gate);
	loop_undefer(&b->flush);
	bosh_moved(b->sid, b->to);
	loop_post(b->to, on_arrived, b);
}

static void
bosh_move(
    struct transport *t, struct loop *to, void (*arrived)(void *ctx), void *ctx)
{
	struct bosh *b = bosh_of(t);

	b->is_moving = true;
	b->to = to;
	b->arrived = arrived;
	b->arrived_ctx = ctx;
	loop_post(loop_self(), on_leave, b);
}

static void
on_close(void *msg)
{
	bosh_end((struct bosh *)msg, NULL, 0);
}

static void
bosh_close(struct transport *t)
{
	struct bosh *b = bosh_of(t);

	if (b->is_closing)
		return;
	b->is_closing = true;
	loop_post(loop_self(), on_close, b);
}

static bool
bosh_is_tls(const struct transport *t)
{
	return bosh_of(t)->terms.is_tls;
}

/* The requests' connections are not the session's. */
static int
bosh_binding(const struct transport *t, enum tls_binding kind, struct arena *a,
    struct str *bytes_r)
{
	(void)t;
	(void)kind;
	(void)a;
	(void)bytes_r;
	return ERR_ABSENT;
}

static const struct addr *
bosh_peer(const struct transport *t)
{
	return &bosh_of(t)->terms.peer;
}

static struct conn *
bosh_conn(const struct transport *t)
{
	(void)t;
	return NULL;
}

static const struct transport_ops ops = {
	.name = "bosh",
	.is_framed = true,
	.can_move = true,
	.tells_arrival = true,
	.begin = bosh_begin,
	.end = bosh_end_piece,
	.send_wire = bosh_send_wire,
	.queued = bosh_queued,
	.pause = bosh_pause,
	.resume = bosh_resume,
	.set_rate = bosh_set_rate,
	.move = bosh_move,
	.close = bosh_close,
	.is_tls = bosh_is_tls,
	.binding = bosh_binding,
	.peer = bosh_peer,
	.conn = bosh_conn,
};

struct bosh *
bosh_new(struct str sid, const struct bosh_terms *terms, struct bosh_ask *first)
{
	/* For good, as streams keep it. */
	static const struct stream_policy secure = { STARTTLS_NONE, true };
	static const struct stream_policy plain = { STARTTLS_NONE, false };
	struct bosh *b = (struct bosh *)xzalloc(sizeof(*b));

	b->base.ops = &ops;
	b->sid = str_heap(sid);
	b->birth = loop_self();
	b->terms = *terms;
	b->requests = terms->hold + 1;
	b->next = first->rid;
	b->idle = loop_now();
	stream_new(&b->base, terms->is_tls ? &secure : &plain);
	ask_add(b, first);
	return b;
}
