/* SPDX-License-Identifier: MIT */
/*
 * XEP-0280: Message Carbons. What one device of an account sends or gets,
 * its other devices see as well. Section 6.1 whole: errors too, when they
 * answer a message that was copied.
 */
#include "core/module.h"

/* Ids of messages that were copied when sent, for errors that come back. */
#define REMEMBERED 32

struct sent {
	uint64_t id[REMEMBERED];
	unsigned next;
};

/* ---- which messages ---------------------------------------------------- */

static bool
is_from_room(const struct stanza *st)
{
	struct elem *x = elem_child(st->root, EL_MUC_USER);

	return x != NULL && elem_child(x, EL_MUC_USER_INVITE) == NULL &&
	       elem_child(x, EL_MUC_USER_DECLINE) == NULL;
}

static bool
has_im_payload(const struct elem *message)
{
	return elem_child_in(message, NS_RECEIPTS) != NULL ||
	       elem_child_in(message, NS_CHATSTATES) != NULL ||
	       elem_child_in(message, NS_MARKERS) != NULL ||
	       elem_child(message, EL_CONFERENCE) != NULL ||
	       elem_child(message, EL_MUC_USER) != NULL;
}

/* Section 6.1, but for errors. */
static bool
is_eligible(const struct stanza *st)
{
	if (elem_child(st->root, EL_CARBONS_PRIVATE) != NULL)
		return false;
	switch (st->type) {
	case MESSAGE_CHAT:
		return true;
	case MESSAGE_NORMAL:
		return elem_child(st->root, EL_BODY) != NULL ||
		       has_im_payload(st->root);
	case MESSAGE_HEADLINE:
		return has_im_payload(st->root);
	default:
		return false;
	}
}

/* What is told of a message to recognise an error that answers it. */
static uint64_t
mark_of(struct str id, const struct jid *peer)
{
	return id.n == 0 ? 0 : (str_hash(id) ^ str_hash(peer->bare)) | 1;
}

static void
remember(struct mod *m, struct account *acct, const struct stanza *st)
{
	struct sent *sent = account_slot(acct, m);
	uint64_t mark = mark_of(stanza_id(st), &st->to);

	if (mark != 0)
		sent->id[sent->next++ % REMEMBERED] = mark;
}

static bool
is_remembered(struct mod *m, struct account *acct, const struct stanza *st)
{
	const struct sent *sent = account_slot_peek(acct, m);
	uint64_t mark = mark_of(stanza_id(st), &st->from);

	for (unsigned i = 0; sent != NULL && mark != 0 && i < REMEMBERED; i++)
		if (sent->id[i] == mark)
			return true;
	return false;
}

/* ---- copies ------------------------------------------------------------ */

static bool
is_on(const struct session *s)
{
	return s->copies_since > 0 && !s->is_closing;
}

static void
send_copy(struct session *s, const struct stanza *st, enum qname direction)
{
	struct stanza *copy = stanza_new(EL_MESSAGE);
	struct elem *e;

	stanza_set_from(copy, &s->account->jid);
	stanza_set_to(copy, &s->jid);
	stanza_set_type(copy, st->type);
	copy->is_carbon = true;
	e = elem_add(copy->root, direction);
	e = elem_add(e, EL_FORWARDED);
	e = elem_add_copy(e, st->root);
	if (direction == EL_CARBONS_SENT && !str_is_none(st->archive_id)) {
		e = elem_add(e, EL_STANZA_ID);
		elem_set_copy(e, AT_BY, s->account->jid.bare);
		elem_set_copy(e, AT_ID, st->archive_id);
	}
	session_send(s, copy);
}

/* By another device of the account, and not to the account as a whole. */
static enum verdict
on_sent(struct mod *m, struct stanza *st)
{
	struct account *acct = account_peek(st->from.bare);
	bool is_copied = false;
	struct session *s;

	if (acct == NULL || !is_eligible(st) ||
	    (jid_is_bare(&st->to) && str_eq(st->to.bare, acct->jid.bare)))
		return STANZA_PASS;
	LIST_EACH(s, &acct->sessions, struct session, node)
	{
		if (!is_on(s) || str_eq(s->jid.full, st->from.full) ||
		    str_eq(s->jid.full, st->to.full))
			continue;
		send_copy(s, st, EL_CARBONS_SENT);
		is_copied = true;
	}
	if (is_copied)
		remember(m, acct, st);
	return STANZA_PASS;
}

/* Did the session get the message itself (RFC 6121 section 8.5)? */
static bool
has_it(const struct session *s, const struct stanza *st)
{
	if (s == st->chosen)
		return true;
	if (str_eq(st->chosen->jid.resource, st->to.resource))
		return false;
	return session_is_available(s) && s->priority >= 0;
}

static enum verdict
on_routed(struct mod *m, struct stanza *st)
{
	struct account *acct = st->chosen->account;
	struct session *s;

	/* What a device sends to another of its own was copied on its way. */
	if (str_eq(st->from.bare, acct->jid.bare) || is_from_room(st))
		return STANZA_PASS;
	if (!is_eligible(st) &&
	    !(st->type == MESSAGE_ERROR && is_remembered(m, acct, st)))
		return STANZA_PASS;
	LIST_EACH(s, &acct->sessions, struct session, node)
	{
		if (!is_on(s) || has_it(s, st))
			continue;
		send_copy(s, st, EL_CARBONS_RECEIVED);
		st->is_copied = true;
	}
	return STANZA_PASS;
}

static bool
is_unforged(struct mod *m, const struct stanza *st)
{
	return elem_child(st->root, EL_CARBONS_SENT) == NULL &&
	       elem_child(st->root, EL_CARBONS_RECEIVED) == NULL;
}

/* Each device is in the room by itself. */
static bool
is_groupchat(struct mod *m, const struct stanza *st)
{
	return st->type == MESSAGE_GROUPCHAT;
}

/* Nobody but us makes carbons: a wrapper from outside is a forgery. */
static enum verdict
on_forged(struct mod *m, struct stanza *st)
{
	struct elem *e;

	while ((e = elem_child(st->root, EL_CARBONS_SENT)) != NULL ||
	       (e = elem_child(st->root, EL_CARBONS_RECEIVED)) != NULL)
		elem_remove(e);
	return STANZA_PASS;
}

/* ---- on and off -------------------------------------------------------- */

static void
turn(struct session *s, bool is_wanted)
{
	if (!is_wanted)
		s->copies_since = 0;
	else if (s->copies_since == 0)
		s->copies_since = clock_real();
}

static enum verdict
on_switch(struct mod *m, struct stanza *iq)
{
	struct session *s = iq_session(iq);
	bool is_wanted = elem_name(stanza_payload(iq)) == EL_CARBONS_ENABLE;

	if (s != NULL)
		turn(s, is_wanted);
	return stanza_reply(iq);
}

static void
on_bind_features(struct mod *m, struct stream *s, struct elem *list)
{
	elem_set(elem_add(list, EL_BIND2_FEATURE), AT_VAR,
	    STR("urn:xmpp:carbons:2"));
}

static void
on_bind(struct mod *m, struct session *s, const struct elem *bind,
    struct elem *bound)
{
	if (elem_child(bind, EL_CARBONS_ENABLE) != NULL)
		turn(s, true);
}

/* ---- the table --------------------------------------------------------- */

static const struct iq_route routes[] = {
	{ IQ_SET, TO_SELF, EL_CARBONS_ENABLE, on_switch },
	{ IQ_SET, TO_SELF, EL_CARBONS_DISABLE, on_switch },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_MESSAGE_SENT, FIRST, .stanza = on_forged },
	{ HOOK_MESSAGE_SENT, LATE, .stanza = on_sent },
	{ HOOK_MESSAGE_DELIVER, FIRST, .stanza = on_forged,
	    .skips = is_unforged },
	{ HOOK_MESSAGE_ROUTED, NORMAL, .stanza = on_routed,
	    .skips = is_groupchat },
	{ HOOK_BIND_FEATURES, NORMAL, .features = on_bind_features },
	{ HOOK_BIND_REQUEST, NORMAL, .bind = on_bind },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:carbons:2") },
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:carbons:rules:0") },
	FEATURES_END,
};

MODULE(carbons) = {
	.summary = "copy messages to the other devices of an account",
	.account_size = sizeof(struct sent),
	.iq = routes,
	.hooks = hooks,
	.features = features,
};
