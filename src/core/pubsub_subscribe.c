/* SPDX-License-Identifier: MIT */
/* What subscribers do, and the owners' word on those who ask. */
#include "core/pubsub_impl.h"

#include "base/random.h"

#include "xep/0004-forms.h"

#define OPTIONS_FORM "http://jabber.org/protocol/pubsub#subscribe_options"

struct elem *
subscription_add(struct elem *parent, enum qname name, const struct node *node,
    const struct subscription *sub)
{
	struct elem *e = elem_add(parent, name);

	elem_set_copy(e, AT_NODE, node->name);
	elem_set_copy(e, AT_JID, sub->jid.full);
	elem_set_copy(e, AT_SUBID, sub->subid);
	elem_set(e, AT_SUBSCRIPTION,
	    sub->is_pending ? STR("pending") : STR("subscribed"));
	return e;
}

/* The JID attribute: it must be of who asks. Refuses if not. */
static bool
read_jid(struct op *op, struct jid *jid_r)
{
	struct str text = elem_attr(op->action, AT_JID);

	if (str_is_none(text)) {
		op_refuse(op, EL_BAD_REQUEST, EL_PE_JID_REQUIRED);
		return false;
	}
	if (jid_parse(op->iq->arena, text, jid_r) < 0) {
		op_refuse(op, EL_BAD_REQUEST, EL_PE_INVALID_JID);
		return false;
	}
	return true;
}

/* The subscription that is meant. Refuses if there is none. */
static struct subscription *
read_subscription(struct op *op, struct node *node)
{
	struct str subid = elem_attr(op->action, AT_SUBID);
	struct subscription *sub;
	struct jid jid;

	if (!read_jid(op, &jid))
		return NULL;
	if (!jid_eq_bare(&jid, &op->iq->from)) {
		op_refuse(op, EL_FORBIDDEN, EL_NONE);
		return NULL;
	}
	sub = node_subscription(node, &jid);
	if (sub == NULL) {
		op_refuse(op, EL_UNEXPECTED_REQUEST, EL_PE_NOT_SUBSCRIBED);
		return NULL;
	}
	if (subid.n > 0 && !str_eq(subid, sub->subid)) {
		op_refuse(op, EL_NOT_ACCEPTABLE, EL_PE_INVALID_SUBID);
		return NULL;
	}
	return sub;
}

/* ---- options ----------------------------------------------------------- */

static bool
read_options(struct op *op, const struct elem *form, bool *is_quiet_r)
{
	struct str deliver = form_value(form, "pubsub#deliver");

	if (form == NULL ||
	    (deliver.n > 0 && !str_is(deliver, "0") && !str_is(deliver, "1") &&
		!str_is(deliver, "true") && !str_is(deliver, "false"))) {
		op_refuse(op, EL_BAD_REQUEST, EL_PE_INVALID_OPTIONS);
		return false;
	}
	*is_quiet_r = !form_bool(form, "pubsub#deliver", true);
	return true;
}

static void
add_options(struct elem *parent, const char *type, bool is_quiet)
{
	struct elem *form = form_add(parent, type, OPTIONS_FORM);

	form_add_field(form, "boolean", "pubsub#deliver",
	    "Whether notifications are wanted", is_quiet ? STR("0") : STR("1"));
}

void
do_get_options(struct op *op, struct node *node)
{
	struct subscription *sub = read_subscription(op, node);
	struct elem *e;

	if (sub == NULL)
		return;
	e = elem_add(op_result(op, EL_PUBSUB), EL_PUBSUB_OPTIONS);
	elem_set(e, AT_NODE, op->node_name);
	elem_set_copy(e, AT_JID, sub->jid.full);
	elem_set_copy(e, AT_SUBID, sub->subid);
	add_options(e, "form", sub->is_quiet);
	op_send(op);
}

static void
on_stored(struct op *op, struct node *node)
{
	op_reply(op);
}

static void
store(struct op *op, struct node *node,
    void (*fn)(struct op *op, struct node *node))
{
	struct store_write *w = store_write_new(op->ps->jid.bare);

	node_put(w, node);
	op_commit(op, &w, fn);
}

void
do_set_options(struct op *op, struct node *node)
{
	struct subscription *sub = read_subscription(op, node);

	if (sub == NULL ||
	    !read_options(op, form_of(op->action, NULL), &sub->is_quiet))
		return;
	store(op, node, on_stored);
}

void
do_subscribe_default(struct op *op, struct node *node)
{
	struct elem *e;

	if (op->node_name.n > 0 && node == NULL) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return;
	}
	e = elem_add(op_result(op, EL_PUBSUB), EL_PUBSUB_DEFAULT);
	if (op->node_name.n > 0)
		elem_set(e, AT_NODE, op->node_name);
	add_options(e, "form", false);
	op_send(op);
}

/* ---- subscribe --------------------------------------------------------- */

void
ask_owner(
    struct node *node, const struct subscription *sub, const struct jid *owner)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct arena *a = st->arena;
	struct elem *form;

	stanza_set_from(st, &node->ps->jid);
	stanza_set_to(st, owner);
	elem_set(st->root, AT_ID, random_token(a, 9));
	form = form_add(st->root, "form", PUBSUB_AUTHORIZATION);
	elem_add_text(form, EL_FORM_TITLE, STR("Subscription request"));
	form_add_field(
	    form, "hidden", "pubsub#subid", NULL, str_dup(a, sub->subid));
	form_add_field(
	    form, "text-single", "pubsub#node", "Node", str_dup(a, node->name));
	form_add_field(form, "jid-single", "pubsub#subscriber_jid",
	    "Subscriber", str_dup(a, sub->jid.full));
	form_add_field(form, "boolean", "pubsub#allow",
	    "Whether to allow this subscription", STR("0"));
	router_send(st);
}

static void
each_owner(struct node *node, const struct subscription *sub,
    struct list *notices,
    void (*fn)(struct node *node, const struct subscription *sub,
	const struct jid *owner, struct list *notices))
{
	const struct affiliation *aff;
	struct jid jid;

	if (node->ps->acct != NULL)
		fn(node, sub, &node->ps->jid, notices);
	LIST_EACH(aff, &node->affiliations, struct affiliation, node)
	{
		if (aff->aff != AFF_OWNER)
			continue;
		jid = jid_of(aff->jid);
		fn(node, sub, &jid, notices);
	}
}

static void
ask_each(struct node *node, const struct subscription *sub,
    const struct jid *owner, struct list *notices)
{
	ask_owner(node, sub, owner);
}

static void
tell_new(struct node *node, const struct subscription *sub,
    const struct jid *owner, struct list *notices)
{
	struct elem *event;
	struct stanza *notice = notice_new(node, &event);

	subscription_add(event, EL_EVENT_SUBSCRIPTION, node, sub);
	notice_send_to(node, notice, owner);
}

/* When that is in the store. */
static void
tell_gone(struct node *node, const struct subscription *sub,
    const struct jid *owner, struct list *notices)
{
	struct elem *event, *e;
	struct stanza *notice = notice_new(node, &event);

	e = subscription_add(event, EL_EVENT_SUBSCRIPTION, node, sub);
	elem_set(e, AT_SUBSCRIPTION, STR("none"));
	stanza_set_to(notice, owner);
	list_add(notices, &notice->node);
}

/* What on_subscribed() needs of the request; in its arena. */
struct subscribing {
	struct jid jid;
	bool has_options;
};

static void
on_subscribed(struct op *op, struct node *node)
{
	struct subscribing *s = op->data;
	struct subscription *sub =
	    node != NULL ? node_subscription(node, &s->jid) : NULL;
	struct elem *result;

	if (sub == NULL) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return;
	}
	result = op_result(op, EL_PUBSUB);
	subscription_add(result, EL_PUBSUB_SUBSCRIPTION, node, sub);
	if (s->has_options)
		add_options(elem_add(result, EL_PUBSUB_OPTIONS), "result",
		    sub->is_quiet);
	if (sub->is_pending)
		each_owner(node, sub, NULL, ask_each);
	else if (node->config.notify_sub)
		each_owner(node, sub, NULL, tell_new);
	if (!sub->is_pending && node->config.send_last != SEND_NEVER)
		notify_last(node, &s->jid);
	op_send(op);
}

/* May he, and at once? */
static bool
may_subscribe(struct op *op, const struct node *node, bool *is_pending_r)
{
	enum qname condition, specific;

	*is_pending_r = false;
	if (!node->config.subscribe) {
		op_unsupported(op, "subscribe");
		return false;
	}
	if (node_may_read(node, &op->iq->from, &condition, &specific))
		return true;
	if (node->config.access == ACCESS_AUTHORIZE &&
	    condition != EL_FORBIDDEN) {
		*is_pending_r = true;
		return true;
	}
	op_refuse(op, condition, specific);
	return false;
}

/* Options come behind, and say no node and no address (6.3.7). */
static bool
are_options_placed(const struct op *op, const struct elem *wrap)
{
	return wrap == NULL ||
	       (wrap == elem_next(op->action, EL_PUBSUB_OPTIONS) &&
		   str_is_none(elem_attr(wrap, AT_NODE)) &&
		   str_is_none(elem_attr(wrap, AT_JID)));
}

void
do_subscribe(struct op *op, struct node *node)
{
	struct elem *wrap =
	    elem_child(elem_parent(op->action), EL_PUBSUB_OPTIONS);
	bool is_pending, is_quiet = false;
	struct subscription *sub;
	struct subscribing *s = arena_new_of(op->iq->arena, struct subscribing);
	struct jid *jid = &s->jid;

	if (!read_jid(op, jid))
		return;
	if (!are_options_placed(op, wrap)) {
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
		return;
	}
	if (!jid_eq_bare(jid, &op->iq->from)) {
		op_refuse(op, EL_BAD_REQUEST, EL_PE_INVALID_JID);
		return;
	}
	if (!may_subscribe(op, node, &is_pending))
		return;
	if (wrap != NULL && !read_options(op, form_of(wrap, NULL), &is_quiet))
		return;
	sub = node_subscription(node, jid);
	if (sub != NULL && sub->is_pending && is_pending) {
		op_refuse(op, EL_NOT_AUTHORIZED, EL_PE_PENDING_SUBSCRIPTION);
		return;
	}
	sub = node_subscribe(node, jid, is_pending);
	if (sub == NULL) {
		op_refuse(
		    op, EL_POLICY_VIOLATION, EL_PE_TOO_MANY_SUBSCRIPTIONS);
		return;
	}
	if (wrap != NULL)
		sub->is_quiet = is_quiet;
	s->has_options = wrap != NULL;
	op->data = s;
	store(op, node, on_subscribed);
}

void
do_unsubscribe(struct op *op, struct node *node)
{
	struct subscription *sub = read_subscription(op, node);

	if (sub == NULL)
		return;
	if (node->config.notify_sub && !sub->is_pending)
		each_owner(node, sub, &op->notices, tell_gone);
	node_unsubscribe(node, sub);
	store(op, node, on_stored);
}

/* ---- lists ------------------------------------------------------------- */

typedef void add_fn(
    struct elem *list, const struct node *node, const struct jid *who);

/* What is his at that node, or at all of them. */
static void
list_his(struct op *op, const struct node *node, enum qname name, add_fn *add)
{
	struct elem *list;
	struct jid who = jid_dup(op->iq->arena, &op->iq->from);
	bool is_one = op->node_name.n > 0;

	if (is_one && node == NULL) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return;
	}
	list = elem_add(op_result(op, EL_PUBSUB), name);
	if (is_one) {
		elem_set(list, AT_NODE, op->node_name);
		add(list, node, &who);
	}
	for (size_t i = 0;
	     !is_one && (node = map_next(&op->ps->nodes, &i)) != NULL;)
		add(list, node, &who);
	op_send(op);
}

static void
add_subscriptions(
    struct elem *list, const struct node *node, const struct jid *who)
{
	const struct subscription *sub;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	if (jid_eq_bare(&sub->jid, who))
		subscription_add(list, EL_PUBSUB_SUBSCRIPTION, node, sub);
}

void
do_get_subscriptions(struct op *op, struct node *node)
{
	list_his(op, node, EL_PUBSUB_SUBSCRIPTIONS, add_subscriptions);
}

static void
add_affiliation(
    struct elem *list, const struct node *node, const struct jid *who)
{
	enum pubsub_aff aff = node_aff(node, who);
	struct elem *e;

	if (aff == AFF_NONE)
		return;
	e = elem_add(list, EL_PUBSUB_AFFILIATION);
	elem_set_copy(e, AT_NODE, node->name);
	elem_set(e, AT_AFFILIATION, str_c(aff_name(aff)));
}

void
do_get_affiliations(struct op *op, struct node *node)
{
	list_his(op, node, EL_PUBSUB_AFFILIATIONS, add_affiliation);
}

/* ---- lost access ------------------------------------------------------- */

struct loss {
	struct pubsub *ps;
	struct list notices;
};

static void
on_cancelled(void *ctx, int err)
{
	struct loss *loss = ctx;

	if (err == 0)
		notices_send(&loss->notices);
	else
		notices_drop(&loss->notices);
	pubsub_unref(&loss->ps);
	xfree(loss);
}

/* What of the node is his and may not be any more; was there any? */
static bool
cancel(struct node *node, struct str bare, struct list *notices)
{
	struct subscription *sub;
	enum qname condition, specific;
	bool has_any = false;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	{
		if (sub->is_pending || !str_eq(sub->jid.bare, bare) ||
		    node_may_read(node, &sub->jid, &condition, &specific))
			continue;
		notify_subscription(
		    notices, node, &sub->jid, sub->subid, "none");
		node_unsubscribe(node, sub);
		has_any = true;
	}
	return has_any;
}

void
subscriptions_check(struct pubsub *ps, struct str bare)
{
	struct loss *loss = NULL;
	struct store_write *w = NULL;
	struct list notices;
	struct node *node;

	list_init(&notices);
	for (size_t i = 0; (node = map_next(&ps->nodes, &i)) != NULL;) {
		if (!cancel(node, bare, &notices))
			continue;
		if (w == NULL)
			w = store_write_new(ps->jid.bare);
		node_put(w, node);
	}
	if (w == NULL)
		return;
	loss = xzalloc(sizeof(*loss));
	loss->ps = pubsub_ref(ps);
	list_init(&loss->notices);
	list_splice(&loss->notices, &notices);
	store_commit(&w, on_cancelled, loss);
}

/* ---- the owner's word -------------------------------------------------- */

struct decision {
	struct pubsub *ps;
	struct stanza *msg; /* in whose arena this is */
	struct list notices;
	struct jid who;
	struct str node;
};

static void
on_decided(void *ctx, int err)
{
	struct decision *d = ctx;
	struct stanza *msg = d->msg;
	struct pubsub *ps = d->ps;
	struct node *node = node_find(ps, d->node);

	if (err < 0) {
		notices_drop(&d->notices);
		stanza_refuse(msg, EL_INTERNAL_SERVER_ERROR);
		pubsub_unref(&ps);
		return;
	}
	notices_send(&d->notices);
	if (node != NULL && !ps->is_dead &&
	    node_subscription(node, &d->who) != NULL &&
	    node->config.send_last != SEND_NEVER)
		notify_last(node, &d->who);
	stanza_free(&msg);
	pubsub_unref(&ps);
}

static void
decide(struct node *node, struct stanza *msg, struct subscription *sub,
    bool is_allowed)
{
	struct store_write *w = store_write_new(node->ps->jid.bare);
	struct decision *d = arena_new_of(msg->arena, struct decision);

	d->ps = pubsub_ref(node->ps);
	d->msg = msg;
	d->who = jid_dup(msg->arena, &sub->jid);
	d->node = str_dup(msg->arena, node->name);
	list_init(&d->notices);
	sub->is_pending = false;
	notify_subscription(&d->notices, node, &d->who, sub->subid,
	    is_allowed ? "subscribed" : "none");
	if (!is_allowed)
		node_unsubscribe(node, sub);
	node_put(w, node);
	store_commit(&w, on_decided, d);
}

bool
pubsub_is_answer(const struct stanza *msg)
{
	const struct elem *form = form_of(msg->root, PUBSUB_AUTHORIZATION);

	return elem_attr_is(form, AT_TYPE, "submit") ||
	       elem_attr_is(form, AT_TYPE, "cancel");
}

void
pubsub_authorized(struct pubsub *ps, struct stanza *msg)
{
	struct elem *form = form_of(msg->root, PUBSUB_AUTHORIZATION);
	struct node *node = node_find(ps, form_value(form, "pubsub#node"));
	struct subscription *sub;
	struct jid jid;

	/* One who does not want to decide leaves it as it is. */
	if (!pubsub_is_answer(msg) || elem_attr_is(form, AT_TYPE, "cancel")) {
		stanza_free(&msg);
		return;
	}
	if (node == NULL) {
		stanza_refuse(msg, EL_ITEM_NOT_FOUND);
		return;
	}
	if (node_aff(node, &msg->from) != AFF_OWNER) {
		stanza_refuse(msg, EL_FORBIDDEN);
		return;
	}
	if (jid_parse(msg->arena, form_value(form, "pubsub#subscriber_jid"),
		&jid) < 0 ||
	    (sub = node_subscription(node, &jid)) == NULL || !sub->is_pending) {
		stanza_refuse(msg, EL_ITEM_NOT_FOUND);
		return;
	}
	decide(node, msg, sub, form_bool(form, "pubsub#allow", false));
}
