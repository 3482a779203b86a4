/* SPDX-License-Identifier: MIT */
/* What owners do: create, configure and delete nodes, and manage who may. */
#include "core/pubsub_impl.h"

#include "base/random.h"
#include "xml/writer.h"

#include "xep/0004-forms.h"

/* ---- create ------------------------------------------------------------ */

bool
may_make_node(struct op *op)
{
	struct pubsub *ps = op->ps;

	if (ps->acct != NULL ? !str_eq(op->iq->from.bare, ps->jid.bare)
			     : !ps->may_create(&op->iq->from))
		op_refuse(op, EL_FORBIDDEN, EL_NONE);
	else if (ps->nodes.count >= ps->limits.max_nodes)
		op_refuse(op, EL_RESOURCE_CONSTRAINT, EL_PE_MAX_NODES_EXCEEDED);
	else
		return true;
	return false;
}

static void
on_created(struct op *op, struct node *node)
{
	bool is_instant = elem_attr(op->action, AT_NODE).n == 0;
	struct elem *result;

	if (!is_instant) {
		op_reply(op);
		return;
	}
	result = op_result(op, EL_PUBSUB);
	elem_set(elem_add(result, EL_PUBSUB_CREATE), AT_NODE, op->node_name);
	op_send(op);
}

/* Refuses what is wrong in the form. */
static bool
read_form(struct op *op, struct pubsub_config *config, const struct elem *form)
{
	int err = pubsub_config_read(config, form, &op->ps->bounds, false);

	if (err == ERR_DENIED)
		op_refuse(
		    op, EL_NOT_ACCEPTABLE, EL_PE_UNSUPPORTED_ACCESS_MODEL);
	else if (err < 0)
		op_refuse(op, EL_NOT_ACCEPTABLE, EL_NONE);
	return err == 0;
}

void
do_create(struct op *op, struct node *node)
{
	struct elem *wrap =
	    elem_child(elem_parent(op->action), EL_PUBSUB_CONFIGURE);
	struct elem *form = form_of(wrap, NULL);
	struct pubsub_config config;
	struct store_write *w;

	if (node != NULL) {
		op_refuse(op, EL_CONFLICT, EL_NONE);
		return;
	}
	if (op->node_name.n > PUBSUB_ID_MAX) {
		op_refuse(op, EL_NOT_ACCEPTABLE, EL_NONE);
		return;
	}
	if (op->ps->acct != NULL && op->node_name.n == 0) {
		op_refuse(op, EL_NOT_ACCEPTABLE, EL_PE_NODEID_REQUIRED);
		return;
	}
	if (!may_make_node(op))
		return;
	pubsub_config_init(&config, &op->ps->bounds, op->node_name);
	if (form != NULL && !read_form(op, &config, form)) {
		pubsub_config_fini(&config);
		return;
	}
	if (op->node_name.n == 0)
		op->node_name = random_token(op->iq->arena, 12);
	node = node_new(op->ps, op->node_name, &op->iq->from);
	pubsub_config_fini(&node->config);
	node->config = config;
	w = store_write_new(op->ps->jid.bare);
	node_put(w, node);
	op_commit(op, &w, on_created);
}

/* ---- configure --------------------------------------------------------- */

void
do_get_configure(struct op *op, struct node *node)
{
	struct elem *e;

	e = elem_add(op_result(op, EL_OWNER_PUBSUB), EL_OWNER_CONFIGURE);
	elem_set(e, AT_NODE, op->node_name);
	pubsub_config_form(e, "form", &node->config, &op->ps->bounds);
	op_send(op);
}

void
do_default(struct op *op, struct node *node)
{
	struct str type = elem_attr(op->action, AT_TYPE);
	struct pubsub_config config;
	struct elem *e;

	if (type.n > 0 && !str_is(type, "leaf")) {
		op_unsupported(op, "collections");
		return;
	}
	pubsub_config_init(&config, &op->ps->bounds, STR_NONE);
	e = elem_add(op_result(op, EL_OWNER_PUBSUB), EL_OWNER_DEFAULT);
	pubsub_config_form(e, "form", &config, &op->ps->bounds);
	pubsub_config_fini(&config);
	op_send(op);
}

static void
on_configured(struct op *op, struct node *node)
{
	struct stanza *notice;
	struct elem *event, *e;

	if (node != NULL && node->config.notify_config) {
		notice = notice_new(node, &event);
		e = elem_add(event, EL_EVENT_CONFIGURATION);
		elem_set_copy(e, AT_NODE, node->name);
		if (node->config.payloads)
			pubsub_config_form(
			    e, "result", &node->config, &op->ps->bounds);
		notice_send(node, notice);
	}
	op_reply(op);
}

/* Subscribers that may not read any more lose their subscription (8.2.5). */
static void
drop_subscribers(struct op *op, struct node *node)
{
	struct subscription *sub;
	enum qname condition, specific;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	{
		if (sub->is_pending ||
		    node_may_read(node, &sub->jid, &condition, &specific))
			continue;
		notify_subscription(
		    &op->notices, node, &sub->jid, sub->subid, "none");
		node_unsubscribe(node, sub);
	}
}

void
do_configure(struct op *op, struct node *node)
{
	struct elem *form = form_of(op->action, NULL);
	struct pubsub_config config;
	struct store_write *w;
	struct item *item;

	if (form == NULL) {
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
		return;
	}
	if (elem_attr_is(form, AT_TYPE, "cancel")) {
		op_reply(op);
		return;
	}
	config = pubsub_config_copy(&node->config);
	if (!read_form(op, &config, form)) {
		pubsub_config_fini(&config);
		return;
	}
	pubsub_config_fini(&node->config);
	node->config = config;
	w = store_write_new(op->ps->jid.bare);
	if (!config.persist && node->by_id.count > 0)
		items_clear(w, node);
	while (
	    node->by_id.count > pubsub_config_items(&config, &op->ps->bounds) &&
	    (item = LIST_FIRST(&node->items, struct item, node)) != NULL)
		item_drop(w, node, item);
	drop_subscribers(op, node);
	node_put(w, node);
	op_commit(op, &w, on_configured);
}

/* ---- delete ------------------------------------------------------------ */

static void
tell_deleted(struct op *op, struct node *node)
{
	struct elem *redirect = elem_child(op->action, EL_OWNER_REDIRECT);
	struct str uri = elem_attr(redirect, AT_URI);
	struct stanza *notice;
	struct elem *event, *e;

	if (!node->config.notify_delete)
		return;
	notice = notice_new(node, &event);
	e = elem_add(event, EL_EVENT_DELETE);
	elem_set_copy(e, AT_NODE, node->name);
	if (uri.n > 0) {
		e = elem_add_named(
		    e, names_ns_uri(NS_PUBSUB_EVENT), STR("redirect"));
		elem_set_copy(e, AT_URI, uri);
	}
	notice_send_last(node, notice);
}

/* A node of the same name may have been made meanwhile. */
static void
on_deleted(struct op *op, struct node *other)
{
	tell_deleted(op, op->gone);
	op_reply(op);
}

void
do_delete(struct op *op, struct node *node)
{
	struct store_write *w = store_write_new(op->ps->jid.bare);

	map_del(&op->ps->nodes, node->name);
	op->gone = node;
	node_erase(w, node);
	op_commit(op, &w, on_deleted);
}

/* ---- affiliations ------------------------------------------------------ */

void
do_get_owner_affiliations(struct op *op, struct node *node)
{
	struct affiliation *aff;
	struct elem *list, *e;

	list = elem_add(op_result(op, EL_OWNER_PUBSUB), EL_OWNER_AFFILIATIONS);
	elem_set(list, AT_NODE, op->node_name);
	if (op->ps->acct != NULL) {
		e = elem_add(list, EL_OWNER_AFFILIATION);
		elem_set_copy(e, AT_JID, op->ps->jid.bare);
		elem_set(e, AT_AFFILIATION, STR("owner"));
	}
	LIST_EACH(aff, &node->affiliations, struct affiliation, node)
	{
		e = elem_add(list, EL_OWNER_AFFILIATION);
		elem_set_copy(e, AT_JID, aff->jid);
		elem_set(e, AT_AFFILIATION, str_c(aff_name(aff->aff)));
	}
	op_send(op);
}

static unsigned
owners(const struct node *node)
{
	const struct affiliation *aff;
	unsigned count = 0;

	LIST_EACH(aff, &node->affiliations, struct affiliation, node)
	if (aff->aff == AFF_OWNER)
		count++;
	return count;
}

/* Makes the address bare; says what is asked, if anything is. */
static bool
read_affiliation(struct elem *e)
{
	struct str name = elem_attr(e, AT_AFFILIATION);
	enum pubsub_aff aff;
	struct jid jid;

	if (jid_parse(elem_arena(e), elem_attr(e, AT_JID), &jid) < 0 ||
	    (!str_is_none(name) && !aff_of(name, &aff)))
		return false;
	elem_set(e, AT_JID, jid.bare);
	return true;
}

/* All are checked before the first is changed; nobody is there twice. */
static bool
check_affiliations(struct op *op)
{
	struct elem *e = elem_child(op->action, EL_OWNER_AFFILIATION);
	struct map seen = { 0 };
	bool is_fine = e != NULL;

	for (; is_fine && e != NULL; e = elem_next(e, EL_OWNER_AFFILIATION)) {
		is_fine = read_affiliation(e) &&
			  map_get(&seen, elem_attr(e, AT_JID)) == NULL;
		if (is_fine)
			map_set(&seen, elem_attr(e, AT_JID), e);
	}
	map_fini(&seen);
	if (!is_fine)
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
	return is_fine;
}

static void
on_managed(struct op *op, struct node *node)
{
	op_reply(op);
}

/* The error has what could not be changed, however long the request was. */
static void
on_failed(struct op *op, struct node *node)
{
	enum qname condition = op->condition, specific = op->specific;
	struct elem *payload = stanza_payload(op->iq);
	struct stanza *iq = op_end(op);

	elem_remove(payload);
	if (!stanza_make_error(iq, condition, NULL, specific)) {
		stanza_free(&iq);
		return;
	}
	elem_prepend(iq->root, payload);
	router_send(iq);
}

/* The first failure gives the error its condition. */
static bool
fail(struct op *op, enum qname condition, enum qname specific)
{
	if (op->condition == EL_NONE) {
		op->condition = condition;
		op->specific = specific;
	}
	return false;
}

/*
 * One after the other; in the request stays what was refused, as it is then
 * (8.8.2.4, 8.9.2.4). What was changed stays changed.
 */
static void
set_each(struct op *op, struct node *node, enum qname name,
    bool (*set)(struct op *op, struct node *node, struct elem *e))
{
	struct elem *e = elem_child(op->action, name), *next;

	for (; e != NULL; e = next) {
		next = elem_next(e, name);
		if (set(op, node, e))
			elem_remove(e);
	}
}

static void
store_managed(struct op *op, struct node *node)
{
	struct store_write *w = store_write_new(node->ps->jid.bare);

	node_put(w, node);
	op_commit(op, &w, op->condition == EL_NONE ? on_managed : on_failed);
}

/* The state chart: owners resign, and publishers do not become members. */
static bool
is_step(enum pubsub_aff from, enum pubsub_aff to)
{
	if (from == AFF_OWNER)
		return to == AFF_OWNER || to == AFF_NONE;
	return from != AFF_PUBLISHER || to != AFF_MEMBER;
}

static bool
fail_affiliation(
    struct op *op, struct elem *e, enum pubsub_aff is, enum qname condition)
{
	elem_set(e, AT_AFFILIATION, str_c(aff_name(is)));
	return fail(op, condition, EL_NONE);
}

/* An account owns its nodes, a service's have one owner at least. */
static bool
set_affiliation(struct op *op, struct node *node, struct elem *e)
{
	struct str name = elem_attr(e, AT_AFFILIATION);
	struct str bare = elem_attr(e, AT_JID);
	bool is_account = op->ps->acct != NULL;
	bool is_self = is_account && str_eq(bare, op->ps->jid.bare);
	enum pubsub_aff old = is_self ? AFF_OWNER : node_listed(node, bare);
	enum pubsub_aff aff = old;

	if (!str_is_none(name))
		aff_of(name, &aff);
	if (aff == old)
		return true;
	if (is_self || !is_step(old, aff) ||
	    (!is_account && old == AFF_OWNER && owners(node) == 1))
		return fail_affiliation(op, e, old, EL_NOT_ACCEPTABLE);
	if (node_set_aff(node, bare, aff) < 0)
		return fail_affiliation(op, e, old, EL_RESOURCE_CONSTRAINT);
	return true;
}

/* Whose affiliation says it all need not wait any longer (8.7). */
static void
settle_pending(struct op *op, struct node *node)
{
	struct subscription *sub;
	enum qname condition, specific;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	{
		enum pubsub_aff aff = node_aff(node, &sub->jid);

		if (!sub->is_pending || aff == AFF_NONE)
			continue;
		sub->is_pending = false;
		if (node_may_read(node, &sub->jid, &condition, &specific))
			notify_subscription(&op->notices, node, &sub->jid,
			    sub->subid, "subscribed");
	}
}

void
do_set_owner_affiliations(struct op *op, struct node *node)
{
	if (!check_affiliations(op))
		return;
	set_each(op, node, EL_OWNER_AFFILIATION, set_affiliation);
	settle_pending(op, node);
	drop_subscribers(op, node);
	store_managed(op, node);
}

/* ---- subscriptions ----------------------------------------------------- */

void
do_get_owner_subscriptions(struct op *op, struct node *node)
{
	struct subscription *sub;
	struct elem *list, *e;

	list = elem_add(op_result(op, EL_OWNER_PUBSUB), EL_OWNER_SUBSCRIPTIONS);
	elem_set(list, AT_NODE, op->node_name);
	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	{
		if (sub->is_pending)
			continue;
		e = elem_add(list, EL_OWNER_SUBSCRIPTION);
		elem_set_copy(e, AT_JID, sub->jid.full);
		elem_set(e, AT_SUBSCRIPTION, STR("subscribed"));
		elem_set_copy(e, AT_SUBID, sub->subid);
	}
	op_send(op);
}

static bool
check_subscriptions(struct op *op)
{
	struct elem *e = elem_child(op->action, EL_OWNER_SUBSCRIPTION);
	struct jid jid;

	for (; e != NULL; e = elem_next(e, EL_OWNER_SUBSCRIPTION)) {
		struct str state = elem_attr(e, AT_SUBSCRIPTION);

		if (jid_parse(op->iq->arena, elem_attr(e, AT_JID), &jid) < 0 ||
		    (!str_is_none(state) && !str_is(state, "none") &&
			!str_is(state, "subscribed") &&
			!str_is(state, "pending"))) {
			op_refuse(op, EL_BAD_REQUEST, EL_NONE);
			return false;
		}
		elem_set(e, AT_JID, jid.full);
	}
	return true;
}

static bool
set_subscription(struct op *op, struct node *node, struct elem *e)
{
	struct str state = elem_attr(e, AT_SUBSCRIPTION);
	struct jid jid = jid_of(elem_attr(e, AT_JID));
	struct subscription *sub = node_subscription(node, &jid);

	if (str_is_none(state))
		return true;
	if (str_is(state, "none")) {
		if (sub == NULL)
			return true;
		notify_subscription(
		    &op->notices, node, &sub->jid, sub->subid, "none");
		node_unsubscribe(node, sub);
		return true;
	}
	sub = node_subscribe(node, &jid, str_is(state, "pending"));
	if (sub == NULL) {
		elem_set(e, AT_SUBSCRIPTION, STR("none"));
		return fail(
		    op, EL_RESOURCE_CONSTRAINT, EL_PE_TOO_MANY_SUBSCRIPTIONS);
	}
	notify_subscription(&op->notices, node, &sub->jid, sub->subid,
	    sub->is_pending ? "pending" : "subscribed");
	return true;
}

void
do_set_owner_subscriptions(struct op *op, struct node *node)
{
	if (elem_child(op->action, EL_OWNER_SUBSCRIPTION) == NULL) {
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
		return;
	}
	if (!check_subscriptions(op))
		return;
	set_each(op, node, EL_OWNER_SUBSCRIPTION, set_subscription);
	store_managed(op, node);
}
