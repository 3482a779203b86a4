/* SPDX-License-Identifier: MIT */
/*
 * XEP-0163: Personal Eventing. Every account is a service of publish-subscribe
 * (core/pubsub.h): its contacts hear of what it publishes, if their clients
 * say that they are interested.
 */
#include "core/module.h"

#include "xep/0030-disco.h"

struct pep_options {
	uint64_t max_nodes, max_items, max_payload, max_subscriptions;
};

/* Of the instance. */
struct state {
	struct adhoc *adhoc; /* of all accounts */
};

/* In the account's slot. */
struct pep {
	struct pubsub *ps;
};

static struct pubsub *
make(struct mod *m, struct account *acct)
{
	const struct pep_options *o = mod_options(m);
	const struct pubsub_limits limits = { o->max_nodes, o->max_items,
		o->max_payload, o->max_subscriptions };

	return pubsub_new_account(acct, &limits);
}

static void
on_load(struct mod *m, struct account *acct)
{
	struct pep *pep = account_slot(acct, m);

	if (pep->ps == NULL)
		pep->ps = make(m, acct);
}

/* Made here if the account was loaded before this module. */
static struct pubsub *
pep_of(struct mod *m, struct account *acct)
{
	on_load(m, acct);
	return ((struct pep *)account_slot(acct, m))->ps;
}

static void
pep_free(struct mod *m, void *state)
{
	struct pep *pep = state;

	pubsub_free(&pep->ps);
}

/* ---- requests ---------------------------------------------------------- */

static enum verdict
on_iq(struct mod *m, struct stanza *iq)
{
	struct account *acct = iq_account(iq);

	return acct != NULL ? pubsub_iq(pep_of(m, acct), iq) : STANZA_PASS;
}

/* ---- commands ---------------------------------------------------------- */

static void
get_pending(struct adhoc_call *call)
{
	struct account *acct = account_peek(call->at->bare);

	pubsub_get_pending(acct != NULL ? pep_of(call->ctx, acct) : NULL, call);
}

static bool
may_command(void *ctx, const struct stanza *iq)
{
	return jid_eq_bare(&iq->from, &iq->to);
}

static const struct adhoc_command commands[] = {
	{ PUBSUB_GET_PENDING, "Pending subscriptions", may_command,
	    get_pending },
	ADHOC_END,
};

static void
pep_start(struct mod *m)
{
	struct state *state = mod_state(m);

	state->adhoc = adhoc_new(commands, m);
}

static void
pep_stop(struct mod *m)
{
	struct state *state = mod_state(m);

	adhoc_free(&state->adhoc);
}

/* ---- disco, archives --------------------------------------------------- */

static bool
is_disco(const struct stanza *iq)
{
	qname_t name = elem_name(stanza_payload(iq));

	return iq->type == IQ_GET &&
	       (name == EL_DISCO_INFO || name == EL_DISCO_ITEMS);
}

static bool
is_history(const struct stanza *iq)
{
	qname_t name = elem_name(stanza_payload(iq));

	return iq->type & (IQ_GET | IQ_SET) &&
	       (name == EL_MAM_QUERY || name == EL_MAM_METADATA);
}

/*
 * Disco of a node: one of ours is answered here, before others look. So are
 * all queries of a node's archive (XEP-0442).
 */
static enum verdict
on_deliver(struct mod *m, struct stanza *iq)
{
	struct state *state = mod_state(m);
	struct str node = elem_attr(stanza_payload(iq), AT_NODE);
	struct account *acct;

	if (jid_is_bare(&iq->to) && may_command(m, iq) &&
	    adhoc_is_for(state->adhoc, iq))
		return adhoc_iq(state->adhoc, iq);
	if (!jid_is_bare(&iq->to) || (!is_disco(iq) && !is_history(iq)))
		return STANZA_PASS;
	if (node.n == 0)
		return pubsub_disco_is_fine(iq)
			   ? STANZA_PASS
			   : stanza_refuse(iq, EL_BAD_REQUEST);
	acct = account_peek(iq->to.bare);
	if (acct == NULL ||
	    (is_disco(iq) && !pubsub_has_node(pep_of(m, acct), node)))
		return STANZA_PASS;
	return pubsub_iq(pep_of(m, acct), iq);
}

static void
on_items(struct mod *m, struct elem *query, const struct stanza *iq)
{
	struct account *acct;

	if (iq == NULL || str_is_none(iq->to.local) ||
	    elem_attr(query, AT_NODE).n > 0)
		return;
	acct = account_peek(iq->to.bare);
	if (acct != NULL)
		pubsub_disco_items(pep_of(m, acct), query, iq);
}

static void
on_info(struct mod *m, struct elem *query, const struct stanza *iq)
{
	static const char *const own[] = {
		"http://jabber.org/protocol/pubsub#access-presence",
		"http://jabber.org/protocol/pubsub#access-roster",
		"http://jabber.org/protocol/pubsub#auto-subscribe",
		"http://jabber.org/protocol/pubsub#filtered-notifications",
		"http://jabber.org/protocol/pubsub#presence-notifications",
		"http://jabber.org/protocol/pubsub#pubsub-on-a-jid",
		NULL,
	};

	if (iq == NULL || str_is_none(iq->to.local) ||
	    elem_attr(query, AT_NODE).n > 0)
		return;
	disco_add_features(query, pubsub_features);
	disco_add_features(query, own);
}

/* The owner's word on who asked to subscribe. */
static enum verdict
on_message(struct mod *m, struct stanza *msg)
{
	struct account *acct;

	if (!jid_is_bare(&msg->to) || !jid_eq_bare(&msg->to, &msg->from) ||
	    elem_child(msg->root, EL_FORM) == NULL || !pubsub_is_answer(msg))
		return STANZA_PASS;
	acct = account_peek(msg->to.bare);
	return acct != NULL ? pubsub_message(pep_of(m, acct), msg)
			    : STANZA_PASS;
}

/* ---- who is there ------------------------------------------------------ */

static bool
has_caps(const struct stanza *st)
{
	return elem_child(st->root, EL_CAPS) != NULL ||
	       elem_child(st->root, EL_CAPS2) != NULL;
}

/*
 * To the account itself, or in answer to a probe of one of its sessions: who
 * was there before the account was in memory is known by these only.
 */
static enum verdict
on_presence(struct mod *m, struct stanza *st)
{
	struct account *acct;

	if (!(st->type & (PRESENCE_AVAILABLE | PRESENCE_UNAVAILABLE)) ||
	    (!jid_is_bare(&st->to) &&
		(st->type == PRESENCE_UNAVAILABLE || !has_caps(st))))
		return STANZA_PASS;
	acct = account_peek(st->to.bare);
	if (acct == NULL)
		return STANZA_PASS;
	if (st->type == PRESENCE_AVAILABLE)
		pubsub_presence(pep_of(m, acct), &st->from, st->root);
	else
		pubsub_absence(pep_of(m, acct), &st->from);
	return STANZA_PASS;
}

static void
on_available(struct mod *m, struct session *s)
{
	pubsub_presence(pep_of(m, s->account), &s->jid, s->presence->root);
	pubsub_visit(s);
}

/* The first presence is looked at when it has been broadcast. */
static void
on_broadcast(struct mod *m, struct session *s, struct elem *presence)
{
	if (s->presence != NULL)
		pubsub_presence(pep_of(m, s->account), &s->jid, presence);
}

static void
on_unavailable(struct mod *m, struct session *s)
{
	pubsub_absence(pep_of(m, s->account), &s->jid);
}

static void
on_offline(struct mod *m, struct account *acct)
{
	pubsub_offline(pep_of(m, acct));
}

static void
on_roster(struct mod *m, struct account *acct, const struct roster_item *item)
{
	pubsub_roster_changed(pep_of(m, acct), item->jid.bare);
}

/* ---- the table --------------------------------------------------------- */

#define OPT(type, name, field, ...) \
	OPT_##type(name, struct pep_options, field, __VA_ARGS__)

static const struct option options[] = {
	OPT(UINT, "max_nodes", max_nodes, "200", 1, 100000,
	    "nodes that an account may have"),
	OPT(UINT, "max_items", max_items, "1000", 1, 100000,
	    "items that a node may keep"),
	OPT(SIZE, "max_payload", max_payload, "256KiB", 1024, 1 << 24,
	    "size of an item"),
	OPT(UINT, "max_subscriptions", max_subscriptions, "1000", 1, 100000,
	    "explicit subscriptions, and affiliations, of a node"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET | IQ_SET, TO_ACCOUNT, EL_PUBSUB, on_iq },
	{ IQ_GET | IQ_SET, TO_ACCOUNT, EL_OWNER_PUBSUB, on_iq },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_ACCOUNT_LOAD, NORMAL, .account = on_load },
	{ HOOK_IQ_DELIVER, LATE, .stanza = on_deliver },
	{ HOOK_MESSAGE_DELIVER, EARLY, .stanza = on_message },
	{ HOOK_PRESENCE_DELIVER, LATE, .stanza = on_presence },
	{ HOOK_PRESENCE_BROADCAST, LATE, .presence = on_broadcast },
	{ HOOK_SESSION_AVAILABLE, LATE, .session = on_available },
	{ HOOK_SESSION_UNAVAILABLE, NORMAL, .session = on_unavailable },
	{ HOOK_ACCOUNT_OFFLINE, NORMAL, .account = on_offline },
	{ HOOK_ROSTER_CHANGED, NORMAL, .roster = on_roster },
	{ HOOK_DISCO_INFO, NORMAL, .disco = on_info },
	{ HOOK_DISCO_ITEMS, NORMAL, .disco = on_items },
	HOOKS_END,
};

static const struct identity identities[] = {
	{ TO_ACCOUNT, "pubsub", "pep", NULL },
	{ 0 },
};

static const struct feature features[] = {
	{ TO_ACCOUNT, STR_INIT("http://jabber.org/protocol/pubsub") },
	FEATURES_END,
};

MODULE(pep) = {
	.summary = "tell contacts of what an account publishes",
	.options_size = sizeof(struct pep_options),
	.state_size = sizeof(struct state),
	.account_size = sizeof(struct pep),
	.options = options,
	.iq = routes,
	.hooks = hooks,
	.features = features,
	.identities = identities,
	.start = pep_start,
	.stop = pep_stop,
	.account_free = pep_free,
};
