/* SPDX-License-Identifier: MIT */
/*
 * XEP-0060: a service of publish-subscribe with a domain of its own. What it
 * does is core/pubsub.h's; here is who may make nodes, and disco.
 */
#include "core/module.h"

#include "xep/0030-disco.h"

struct pubsub_options {
	struct str host, name;
	unsigned create;
	uint64_t max_nodes, max_items, max_payload, max_subscriptions;
};

enum create { CREATE_LOCAL, CREATE_ADMIN, CREATE_ALL };

/* `ps` is only at the home of the domain. */
struct state {
	struct pubsub *ps;
	struct adhoc *adhoc;
};

static void
get_pending(struct adhoc_call *call)
{
	struct state *state = mod_state(call->ctx);

	pubsub_get_pending(state->ps, call);
}

static const struct adhoc_command commands[] = {
	{ PUBSUB_GET_PENDING, "Pending subscriptions", NULL, get_pending },
	ADHOC_END,
};

/* ---- who may make nodes ------------------------------------------------ */

static bool
may_create_local(const struct jid *who)
{
	struct jid bare = jid_to_bare(who);

	return host_is_admin(&bare) || host_find(who->domain) != NULL;
}

static bool
may_create_admin(const struct jid *who)
{
	struct jid bare = jid_to_bare(who);

	return host_is_admin(&bare);
}

static bool
may_create_all(const struct jid *who)
{
	return true;
}

static bool (*const may_create[])(const struct jid *who) = {
	[CREATE_LOCAL] = may_create_local,
	[CREATE_ADMIN] = may_create_admin,
	[CREATE_ALL] = may_create_all,
};

/* ---- disco of the service itself --------------------------------------- */

static enum verdict
on_info(struct mod *m, struct stanza *iq)
{
	static const char *const own[] = { "http://jabber.org/protocol/pubsub",
		"http://jabber.org/protocol/pubsub#instant-nodes",
		"http://jabber.org/protocol/disco#info",
		"http://jabber.org/protocol/disco#items", "urn:xmpp:mam:2",
		"urn:xmpp:mam:2#extended", NULL };
	const struct pubsub_options *o = mod_options(m);
	struct elem *query;

	query = elem_add(stanza_result(iq), EL_DISCO_INFO);
	disco_add_identity(query, "pubsub", "service", o->name);
	disco_add_features(query, own);
	disco_add_features(query, pubsub_features);
	return stanza_send_back(iq);
}

static enum verdict
on_items(struct pubsub *ps, struct stanza *iq)
{
	struct elem *query = elem_new(iq->arena, EL_DISCO_ITEMS);

	if (!pubsub_disco_is_fine(iq))
		return stanza_refuse(iq, EL_BAD_REQUEST);
	if (!pubsub_disco_items(ps, query, iq))
		return stanza_refuse(iq, EL_ITEM_NOT_FOUND);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

/* ---- what comes -------------------------------------------------------- */

static enum verdict
on_iq(struct mod *m, struct pubsub *ps, struct stanza *iq)
{
	struct state *state = mod_state(m);
	const struct elem *payload = stanza_payload(iq);
	bool has_node = elem_attr(payload, AT_NODE).n > 0;

	if (iq->type & (IQ_RESULT | IQ_ERROR)) {
		stanza_free(&iq);
		return STANZA_DONE;
	}
	if (adhoc_is_for(state->adhoc, iq))
		return adhoc_iq(state->adhoc, iq);
	switch (elem_name(payload)) {
	case EL_PUBSUB:
	case EL_OWNER_PUBSUB:
	case EL_MAM_QUERY:
	case EL_MAM_METADATA:
		return pubsub_iq(ps, iq);
	case EL_DISCO_INFO:
		if (iq->type == IQ_GET)
			return has_node ? pubsub_iq(ps, iq) : on_info(m, iq);
		break;
	case EL_DISCO_ITEMS:
		if (iq->type == IQ_GET)
			return has_node ? pubsub_iq(ps, iq) : on_items(ps, iq);
		break;
	case EL_PING:
		if (iq->type == IQ_GET)
			return stanza_reply(iq);
		break;
	default:
		break;
	}
	return stanza_refuse(iq, EL_SERVICE_UNAVAILABLE);
}

static void
on_stanza(struct mod *m, struct stanza *st)
{
	struct state *state = mod_state(m);

	if (state->ps == NULL || !str_is_none(st->to.local)) {
		stanza_refuse(st, EL_ITEM_NOT_FOUND);
		return;
	}
	if (st->kind == STANZA_IQ)
		on_iq(m, state->ps, st);
	else if (st->kind == STANZA_MESSAGE)
		pubsub_message(state->ps, st);
	else
		stanza_free(&st);
}

static void
pubsub_start(struct mod *m)
{
	const struct pubsub_options *o = mod_options(m);
	const struct pubsub_limits limits = { o->max_nodes, o->max_items,
		o->max_payload, o->max_subscriptions };
	struct state *state = mod_state(m);
	const struct jid *domain = mod_service(m);

	state->adhoc = adhoc_new(commands, m);
	if (domain != NULL && account_home(domain->bare) == loop_self())
		state->ps = pubsub_new_service(
		    domain, mod_host(m), &limits, may_create[o->create]);
}

static void
pubsub_stop(struct mod *m)
{
	struct state *state = mod_state(m);

	pubsub_free(&state->ps);
	adhoc_free(&state->adhoc);
}

/* ---- the table --------------------------------------------------------- */

static const char *const create_names[] = { "local", "admin", "all", NULL };

#define OPT(type, name, field, ...) \
	OPT_##type(name, struct pubsub_options, field, __VA_ARGS__)

static const struct option options[] = {
	OPT(HOST, "host", host, "pubsub.@HOST@", "domain of the service"),
	OPT(TEXT, "name", name, "Publish-Subscribe", 256,
	    "name of the service"),
	OPT_CHOICE("create", struct pubsub_options, create, "local",
	    create_names,
	    "who may create nodes: users of this server, administrators, all"),
	OPT(UINT, "max_nodes", max_nodes, "10000", 1, 1000000,
	    "nodes that the service may have"),
	OPT(UINT, "max_items", max_items, "1000", 1, 100000,
	    "items that a node may keep"),
	OPT(SIZE, "max_payload", max_payload, "256KiB", 1024, 1 << 24,
	    "size of an item"),
	OPT(UINT, "max_subscriptions", max_subscriptions, "5000", 1, 100000,
	    "subscriptions, and affiliations, of a node"),
	OPTIONS_END,
};

MODULE(pubsub) = {
	.summary = "a service of publish-subscribe",
	.options_size = sizeof(struct pubsub_options),
	.state_size = sizeof(struct state),
	.options = options,
	.service_option = "host",
	.service = on_stanza,
	.start = pubsub_start,
	.stop = pubsub_stop,
};
