/* SPDX-License-Identifier: MIT */
/*
 * What guests may not do (XEP-0175, section 3): reach other servers, have
 * contacts, or keep anything: every request to change something is refused
 * but to another client. And what is told of them.
 */
#include "modules/anonymous/anonymous.h"

#include "xep/0030-disco.h"

static bool
is_allowed_set(const struct stanza *iq)
{
	const struct elem *payload = stanza_payload(iq);

	if (!str_is_none(iq->to.resource))
		return true;
	/* Of old clients: it does nothing. */
	return payload != NULL && elem_name(payload) == EL_SESSION;
}

static bool
invites_remote(const struct stanza *st)
{
	const struct elem *x = elem_child(st->root, EL_MUC_USER), *e;
	struct jid to;

	for (; x != NULL; x = elem_next(x, EL_MUC_USER))
		for (e = elem_child(x, EL_MUC_USER_INVITE); e != NULL;
		     e = elem_next(e, EL_MUC_USER_INVITE))
			if (jid_parse(st->arena, elem_attr(e, AT_TO), &to) ==
				0 &&
			    router_is_remote(to.domain))
				return true;
	return false;
}

/* By itself, or by a service here that sends it on: to several, to a room. */
static bool
is_for_remote(const struct stanza *st)
{
	return (!jid_is_none(&st->to) && router_is_remote(st->to.domain)) ||
	       elem_child(st->root, EL_ADDRESSES) != NULL || invites_remote(st);
}

static bool
may_send(struct mod *m, const struct stanza *st)
{
	const struct anonymous_options *o = mod_options(m);
	const struct elem *payload;

	if (!o->is_remote && is_for_remote(st))
		return false;
	if (st->type & PRESENCE_SUBSCRIPTIONS)
		return false;
	if (st->type == IQ_SET)
		return is_allowed_set(st);
	payload = st->type == IQ_GET ? stanza_payload(st) : NULL;
	return payload == NULL || elem_name(payload) != EL_UPLOAD_REQUEST;
}

static enum verdict
on_sent(struct mod *m, struct stanza *st)
{
	if (!guest_is(m, &st->from) || may_send(m, st))
		return STANZA_PASS;
	return stanza_refuse(st, EL_FORBIDDEN);
}

/* Who would be a contact is told so at once. */
static enum verdict
on_presence_deliver(struct mod *m, struct stanza *st)
{
	struct stanza *no;

	if (!(st->type & PRESENCE_SUBSCRIPTIONS) || !guest_is(m, &st->to))
		return STANZA_PASS;
	if (st->type == PRESENCE_SUBSCRIBE) {
		struct jid bare = jid_to_bare(&st->from);
		struct jid own = jid_to_bare(&st->to);

		no = stanza_new(EL_PRESENCE);
		stanza_set_type(no, PRESENCE_UNSUBSCRIBED);
		stanza_set_from(no, &own);
		stanza_set_to(no, &bare);
		router_send(no);
	}
	stanza_free(&st);
	return STANZA_DONE;
}

/* To anybody, unlike of other accounts: it tells of no presence. */
static enum verdict
on_info(struct mod *m, struct stanza *iq)
{
	static const char *const features[] = {
		"http://jabber.org/protocol/disco#info",
		"http://jabber.org/protocol/disco#items",
		NULL,
	};
	struct elem *query;

	if (!guest_is(m, &iq->to) ||
	    !str_is_empty(elem_attr(stanza_payload(iq), AT_NODE)))
		return STANZA_PASS;
	query = elem_add(stanza_result(iq), EL_DISCO_INFO);
	disco_add_identity(query, "account", "anonymous", STR_NONE);
	disco_add_features(query, features);
	return stanza_send_back(iq);
}

/* Before the module that answers for accounts: its name comes later. */
const struct iq_route anonymous_routes[] = {
	{ IQ_GET, TO_ACCOUNT, EL_DISCO_INFO, on_info },
	ROUTES_END,
};

const struct hook anonymous_hooks[] = {
	{ HOOK_MESSAGE_SENT, FIRST, .stanza = on_sent },
	{ HOOK_PRESENCE_SENT, FIRST, .stanza = on_sent },
	{ HOOK_IQ_SENT, FIRST, .stanza = on_sent },
	{ HOOK_PRESENCE_DELIVER, FIRST, .stanza = on_presence_deliver },
	{ HOOK_SESSION_CLOSED, LAST, .session = anonymous_closed },
	HOOKS_END,
};
