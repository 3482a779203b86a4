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
	struct pubsub_config config;
	struct elem *e;

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
	notice_send(node, notice);
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

/* All are checked before the first is changed. */
static bool
check_affiliations(struct op *op)
{
	struct elem *e = elem_child(op->action, EL_OWNER_AFFILIATION);
	enum pubsub_aff aff;
	struct jid jid;

	for (; e != NULL; e = elem_next(e, EL_OWNER_AFFILIATION)) {
		if (jid_parse(op->iq->arena, elem_attr(e, AT_JID), &jid) < 0 ||
		    !aff_of(elem_attr(e, AT_AFFILIATION), &aff)) {
			op_refuse(op, EL_BAD_REQUEST, EL_NONE);
			return false;
		}
		if (op->ps->acct != NULL &&
		    str_eq(jid.bare, op->ps->jid.bare) && aff != AFF_OWNER) {
			op_refuse(op, EL_NOT_ACCEPTABLE, EL_NONE);
			return false;
		}
		elem_set(e, AT_JID, jid.bare);
	}
	return true;
}

static void
on_managed(struct op *op, struct node *node)
{
	op_reply(op);
}

static void
on_failed(struct op *op, struct node *node)
{
	op_refuse(op, op->condition, op->specific);
}

static bool
fail(struct op *op, enum qname condition, enum qname specific)
{
	op->condition = condition;
	op->specific = specific;
	return false;
}

/* What was changed before the first that was refused stays changed. */
static void
store_managed(struct op *op, struct node *node, bool is_fine)
{
	struct store_write *w = store_write_new(node->ps->jid.bare);

	node_put(w, node);
	op_commit(op, &w, is_fine ? on_managed : on_failed);
}

/* Puts back what an affiliation was, if the last owner would go. */
static bool
set_one(struct op *op, struct node *node, const struct elem *e)
{
	struct str bare = elem_attr(e, AT_JID);
	struct jid jid = jid_of(bare);
	enum pubsub_aff aff = AFF_NONE, old = node_aff(node, &jid);

	aff_of(elem_attr(e, AT_AFFILIATION), &aff);
	if (op->ps->acct != NULL && str_eq(bare, op->ps->jid.bare))
		return true;
	if (node_set_aff(node, bare, aff) < 0)
		return fail(op, EL_RESOURCE_CONSTRAINT, EL_NONE);
	if (op->ps->acct == NULL && owners(node) == 0) {
		node_set_aff(node, bare, old);
		return fail(op, EL_NOT_ACCEPTABLE, EL_NONE);
	}
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
	struct elem *e = elem_child(op->action, EL_OWNER_AFFILIATION);
	bool is_fine = true;

	if (e == NULL) {
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
		return;
	}
	if (!check_affiliations(op))
		return;
	while (is_fine && e != NULL) {
		is_fine = set_one(op, node, e);
		e = elem_next(e, EL_OWNER_AFFILIATION);
	}
	settle_pending(op, node);
	drop_subscribers(op, node);
	store_managed(op, node, is_fine);
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
		e = elem_add(list, EL_OWNER_SUBSCRIPTION);
		elem_set_copy(e, AT_JID, sub->jid.full);
		elem_set(e, AT_SUBSCRIPTION,
		    sub->is_pending ? STR("pending") : STR("subscribed"));
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
		    (!str_is(state, "none") && !str_is(state, "subscribed") &&
			!str_is(state, "pending"))) {
			op_refuse(op, EL_BAD_REQUEST, EL_NONE);
			return false;
		}
		elem_set(e, AT_JID, jid.full);
	}
	return true;
}

static bool
set_subscription(struct op *op, struct node *node, const struct elem *e)
{
	struct str state = elem_attr(e, AT_SUBSCRIPTION);
	struct jid jid = jid_of(elem_attr(e, AT_JID));
	struct subscription *sub = node_subscription(node, &jid);

	if (str_is(state, "none")) {
		if (sub == NULL)
			return true;
		notify_subscription(
		    &op->notices, node, &sub->jid, sub->subid, "none");
		node_unsubscribe(node, sub);
		return true;
	}
	sub = node_subscribe(node, &jid, str_is(state, "pending"));
	if (sub == NULL)
		return fail(
		    op, EL_RESOURCE_CONSTRAINT, EL_PE_TOO_MANY_SUBSCRIPTIONS);
	notify_subscription(&op->notices, node, &sub->jid, sub->subid,
	    sub->is_pending ? "pending" : "subscribed");
	return true;
}

void
do_set_owner_subscriptions(struct op *op, struct node *node)
{
	struct elem *e = elem_child(op->action, EL_OWNER_SUBSCRIPTION);
	bool is_fine = true;

	if (e == NULL) {
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
		return;
	}
	if (!check_subscriptions(op))
		return;
	while (is_fine && e != NULL) {
		is_fine = set_subscription(op, node, e);
		e = elem_next(e, EL_OWNER_SUBSCRIPTION);
	}
	store_managed(op, node, is_fine);
}
