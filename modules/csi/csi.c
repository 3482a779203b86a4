/* SPDX-License-Identifier: MIT */
/*
 * XEP-0352: Client State Indication. What a client that nobody looks at can
 * do without for now (presence, chat states, receipts, notifications of
 * pubsub) is held, the latest of its kind only; whatever is important takes
 * all that is held along, so that order is kept and the radio wakes once.
 */
#include "core/module.h"

/* More than this is not held: a client that wakes would wait for it. */
#define HELD_MAX 2000

struct csi {
	bool is_inactive, is_flushing;
	struct list held;   /* of struct held, in order */
	struct map by_what; /* of struct held: what a newer one replaces */
	unsigned count;
};

struct held {
	struct list node;
	struct stanza *stanza;
	struct str what; /* on the heap; none: nothing replaces it */
};

/* ---- what is important ------------------------------------------------- */

/* One's own presence in a room, or the end of it: the client must know. */
static bool
is_own_room_presence(const struct stanza *st)
{
	struct elem *x = elem_child(st->root, EL_MUC_USER);
	struct elem *status = elem_child(x, EL_MUC_USER_STATUS);

	for (; status != NULL; status = elem_next(status, EL_MUC_USER_STATUS))
		if (elem_attr_is(status, AT_CODE, "110"))
			return true;
	return false;
}

/* Children that say nothing which a sleeping client must hear. */
static bool
is_idle_talk(const struct elem *e)
{
	switch (elem_ns(e)) {
	case NS_CHATSTATES:
	case NS_HINTS:
	case NS_DELAY:
	case NS_SID:
	case NS_MARKERS:
	case NS_PUBSUB_EVENT:
		return true;
	default:
		return elem_name(e) == EL_RECEIPT_RECEIVED ||
		       elem_name(e) == EL_THREAD ||
		       elem_name(e) == EL_CARBONS_SENT;
	}
}

static bool
is_idle_message(const struct elem *message)
{
	const struct elem *e = elem_child(message, EL_ANY);

	while (e != NULL && is_idle_talk(e))
		e = elem_next(e, EL_ANY);
	return e == NULL;
}

static bool
is_idle_carbon(const struct elem *message)
{
	const struct elem *e = elem_child(message, EL_CARBONS_RECEIVED);

	e = elem_child(elem_child(e, EL_FORWARDED), EL_MESSAGE);
	return e != NULL && is_idle_message(e);
}

static bool
can_wait(const struct stanza *st)
{
	switch (st->kind) {
	case STANZA_PRESENCE:
		return st->type & (PRESENCE_AVAILABLE | PRESENCE_UNAVAILABLE) &&
		       !is_own_room_presence(st);
	case STANZA_MESSAGE:
		return st->type != MESSAGE_ERROR &&
		       (is_idle_message(st->root) || is_idle_carbon(st->root));
	default:
		return false;
	}
}

/* ---- holding ----------------------------------------------------------- */

/*
 * What a later one of the same kind makes pointless: presence of an address,
 * its chat state.
 */
static struct str
what_of(const struct stanza *st)
{
	struct elem *e = elem_child(st->root, EL_ANY);

	if (st->kind == STANZA_PRESENCE)
		return str_printf(
		    st->arena, "p " STR_FMT, STR_ARG(st->from.full));
	for (; e != NULL; e = elem_next(e, EL_ANY))
		if (elem_ns(e) != NS_CHATSTATES && elem_ns(e) != NS_HINTS)
			return STR_NONE;
	return str_printf(st->arena, "c " STR_FMT, STR_ARG(st->from.full));
}

static void
held_free(struct csi *c, struct held *h)
{
	list_del(&h->node);
	if (!str_is_none(h->what))
		map_del(&c->by_what, h->what);
	str_free(&h->what);
	xfree(h);
	c->count--;
}

static void
hold(struct csi *c, struct stanza *st)
{
	struct str what = what_of(st);
	struct held *h;

	if (!str_is_none(what)) {
		h = map_get(&c->by_what, what);
		if (h != NULL) {
			stanza_free(&h->stanza);
			held_free(c, h);
		}
	}
	h = xzalloc(sizeof(*h));
	h->stanza = st;
	list_add(&c->held, &h->node);
	c->count++;
	if (!str_is_none(what)) {
		h->what = str_heap(what);
		map_set(&c->by_what, h->what, h);
	}
}

static void
flush(struct session *s, struct csi *c)
{
	struct held *h;

	c->is_flushing = true;
	while ((h = LIST_FIRST(&c->held, struct held, node)) != NULL) {
		struct stanza *st = h->stanza;

		held_free(c, h);
		session_send(s, st);
	}
	c->is_flushing = false;
}

static enum verdict
on_send(struct mod *m, struct session *s, struct stanza *st)
{
	struct csi *c = session_slot_peek(s, m);

	if (c == NULL || !c->is_inactive || c->is_flushing)
		return STANZA_PASS;
	if (can_wait(st)) {
		hold(c, st);
		if (c->count > HELD_MAX)
			flush(s, c);
		return STANZA_DONE;
	}
	flush(s, c);
	return STANZA_PASS;
}

/* ---- the client's state ------------------------------------------------ */

static struct csi *
csi_of(struct mod *m, struct session *s)
{
	struct csi *c = session_slot(s, m);

	if (c->held.next == NULL)
		list_init(&c->held);
	return c;
}

static void
set_inactive(struct mod *m, struct session *s, bool is_inactive)
{
	struct csi *c = csi_of(m, s);

	if (is_inactive && !c->is_inactive)
		s->filters++;
	else if (!is_inactive && c->is_inactive)
		s->filters--;
	c->is_inactive = is_inactive;
	flush(s, c);
}

static enum verdict
on_nonza(struct mod *m, struct session *s, struct elem *e)
{
	switch (elem_name(e)) {
	case EL_CSI_ACTIVE:
		set_inactive(m, s, false);
		return STANZA_DONE;
	case EL_CSI_INACTIVE:
		set_inactive(m, s, true);
		return STANZA_DONE;
	default:
		return STANZA_PASS;
	}
}

/*
 * A lost link: what was held goes into the session's queue with the rest.
 * A client that resumes says anew what it is.
 */
static void
on_detached(struct mod *m, struct session *s)
{
	if (session_slot_peek(s, m) != NULL)
		set_inactive(m, s, false);
}

static void
csi_free(struct mod *m, void *state)
{
	struct csi *c = state;
	struct held *h;

	if (c->held.next == NULL)
		return;
	while ((h = LIST_FIRST(&c->held, struct held, node)) != NULL) {
		stanza_free(&h->stanza);
		held_free(c, h);
	}
	map_fini(&c->by_what);
}

static void
on_features(struct mod *m, struct stream *s, struct elem *features)
{
	if (stream_is_authenticated(s))
		elem_add(features, EL_CSI);
}

static void
on_bind_features(struct mod *m, struct stream *s, struct elem *list)
{
	elem_set(
	    elem_add(list, EL_BIND2_FEATURE), AT_VAR, STR("urn:xmpp:csi:0"));
}

static void
on_bind(struct mod *m, struct session *s, const struct elem *bind,
    struct elem *bound)
{
	if (elem_child(bind, EL_CSI_INACTIVE) != NULL)
		set_inactive(m, s, true);
}

/* ---- the table --------------------------------------------------------- */

static const struct hook hooks[] = {
	{ HOOK_SESSION_SEND, LAST, .send = on_send },
	{ HOOK_SESSION_NONZA, NORMAL, .nonza = on_nonza },
	{ HOOK_SESSION_DETACHED, FIRST, .session = on_detached },
	{ HOOK_STREAM_FEATURES, NORMAL, .features = on_features },
	{ HOOK_BIND_FEATURES, NORMAL, .features = on_bind_features },
	{ HOOK_BIND_REQUEST, NORMAL, .bind = on_bind },
	HOOKS_END,
};

MODULE(csi) = {
	.summary = "let sleeping clients sleep",
	.session_size = sizeof(struct csi),
	.hooks = hooks,
	.session_free = csi_free,
};
