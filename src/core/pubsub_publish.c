/* SPDX-License-Identifier: MIT */
/* What publishers do: publish, retract; and what owners purge. */
#include "core/pubsub_impl.h"

#include "base/random.h"
#include "xml/writer.h"

#include "xep/0004-forms.h"

/* ---- publish ----------------------------------------------------------- */

/* What becomes of one request to publish. */
struct publication {
	struct str id; /* none: the node has no items */
	struct elem *payload;
	struct str oldest; /* the item that goes for it, if that is told */
	/* Of a retraction: key of the item that is known to be his own... */
	struct str own_key;
	/* ...key and value of the item before it. */
	struct str last_key, last;
};

static void
on_published(struct op *op, struct node *node)
{
	struct publication *p = op->data;
	struct elem *result, *e;

	if (node != NULL && p->oldest.n > 0)
		notify_retract(node, p->oldest);
	if (node != NULL)
		notify_item(node, p->id, p->payload, op->iq->from.bare);
	result = op_result(op, EL_PUBSUB);
	e = elem_add(result, EL_PUBLISH);
	elem_set(e, AT_NODE, op->node_name);
	if (p->id.n > 0)
		elem_set(elem_add(e, EL_PUBSUB_ITEM), AT_ID, p->id);
	op_send(op);
}

/*
 * One item more than there may be. The oldest one's going is told, except
 * where there is but one, which everybody takes for the other's successor.
 */
static bool
make_room(struct op *op, const struct node *node)
{
	const struct pubsub_config *c = &node->config;
	uint32_t max = pubsub_config_items(c, &node->ps->bounds);
	struct publication *p = op->data;
	const struct item *oldest;

	if (node->by_id.count < max || map_get(&node->by_id, p->id) != NULL)
		return true;
	if (c->full == FULL_REJECT) {
		op_refuse(op, EL_CONFLICT, EL_PE_NODE_FULL);
		return false;
	}
	oldest = LIST_FIRST(&node->items, struct item, node);
	if (max > 1 && c->full == FULL_RETRACT && c->notify_retract)
		p->oldest = str_dup(op->iq->arena, oldest->id);
	return true;
}

static void
publish_now(struct op *op, struct node *node)
{
	struct publication *p = op->data;
	struct store_write *w;

	if (!node->config.persist) {
		on_published(op, node);
		return;
	}
	if (!make_room(op, node))
		return;
	w = store_write_new(op->ps->jid.bare);
	item_put(w, node, p->id, p->payload, op->iq->from.full);
	op_commit(op, &w, on_published);
}

/* Made by the publication itself (auto-create). */
static struct node *
auto_create(struct op *op, const struct elem *options)
{
	struct node *node;
	struct store_write *w;
	int err = 0;

	if (op->node_name.n > PUBSUB_ID_MAX) {
		op_refuse(op, EL_NOT_ACCEPTABLE, EL_NONE);
		return NULL;
	}
	if (op->ps->acct != NULL &&
	    !str_eq(op->iq->from.bare, op->ps->jid.bare)) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return NULL;
	}
	if (!may_make_node(op))
		return NULL;
	node = node_new(op->ps, op->node_name, &op->iq->from);
	if (options != NULL)
		err = pubsub_config_read(
		    &node->config, options, &op->ps->bounds, true);
	if (err < 0) {
		node_free(node);
		op_refuse(op, EL_CONFLICT, EL_PE_PRECONDITION_NOT_MET);
		return NULL;
	}
	w = store_write_new(op->ps->jid.bare);
	node_put(w, node);
	store_commit(&w, NULL, NULL);
	return node;
}

/*
 * Is the item (or that there is none) as the node (NULL: one that is to be
 * made) wants it (7.1.3.6)?
 */
static bool
check_item(struct op *op, const struct node *node, const struct elem *item)
{
	struct elem *payload = elem_child(item, EL_ANY);
	size_t max = op->ps->bounds.max_payload;
	bool has_payloads = node == NULL || node->config.payloads;
	bool has_items = has_payloads || node->config.persist;

	if (node != NULL)
		max = MIN(max, node->config.max_payload);
	if (item == NULL && has_items)
		op_refuse(op, EL_BAD_REQUEST, EL_PE_ITEM_REQUIRED);
	else if (item != NULL && !has_items)
		op_refuse(op, EL_BAD_REQUEST, EL_PE_ITEM_FORBIDDEN);
	else if (payload == NULL && has_payloads)
		op_refuse(op, EL_BAD_REQUEST, EL_PE_PAYLOAD_REQUIRED);
	else if (payload != NULL && elem_next(payload, EL_ANY) != NULL)
		op_refuse(op, EL_BAD_REQUEST, EL_PE_INVALID_PAYLOAD);
	else if (payload != NULL && xml_text(op->iq->arena, payload).n > max)
		op_refuse(op, EL_NOT_ACCEPTABLE, EL_PE_PAYLOAD_TOO_BIG);
	else if (elem_attr(item, AT_ID).n > PUBSUB_ID_MAX)
		op_refuse(op, EL_NOT_ACCEPTABLE, EL_NONE);
	else
		return true;
	return false;
}

static void
publish_to(struct op *op, struct node *node, struct elem *item)
{
	struct publication *p = arena_new_of(op->iq->arena, struct publication);

	p->payload = elem_child(item, EL_ANY);
	p->id = elem_attr(item, AT_ID);
	if (item != NULL && p->id.n == 0)
		p->id = random_token(op->iq->arena, 12);
	op->data = p;
	op_with_items(op, node, publish_now);
}

void
do_publish(struct op *op, struct node *node)
{
	struct elem *root = elem_parent(op->action);
	struct elem *wrap = elem_child(root, EL_PUBLISH_OPTIONS);
	struct elem *options = form_of(wrap, PUBSUB_PUBLISH_OPTIONS);
	struct elem *item = elem_child(op->action, EL_PUBSUB_ITEM);

	if (op->node_name.n == 0)
		op_refuse(op, EL_BAD_REQUEST, EL_PE_NODEID_REQUIRED);
	else if (item != NULL && elem_next(item, EL_PUBSUB_ITEM) != NULL)
		op_refuse(op, EL_NOT_ALLOWED, EL_NONE);
	else if (wrap != NULL && options == NULL)
		op_refuse(op, EL_BAD_REQUEST, EL_PE_INVALID_OPTIONS);
	else if (node != NULL && !node_may_publish(node, &op->iq->from))
		op_refuse(op, EL_FORBIDDEN, EL_NONE);
	else if (node != NULL && options != NULL &&
		 !pubsub_config_meets(&node->config, options, &op->ps->bounds))
		op_refuse(op, EL_CONFLICT, EL_PE_PRECONDITION_NOT_MET);
	else if (check_item(op, node, item) &&
		 (node != NULL || (node = auto_create(op, options)) != NULL))
		publish_to(op, node, item);
}

/* ---- retract and purge ------------------------------------------------- */

static void
on_retracted(struct op *op, struct node *node)
{
	struct publication *p = op->data;
	struct str notify = elem_attr(op->action, AT_NOTIFY);
	bool is_loud = str_is(notify, "1") || str_is(notify, "true");

	if (node != NULL && (is_loud || node->config.notify_retract))
		notify_retract(node, p->id);
	op_reply(op);
}

/* What is the last item when the newest goes; none: it is not known yet. */
static struct item *
before(const struct node *node, const struct item *item)
{
	if (item->node.next != &node->items || item->node.prev == &node->items)
		return NULL;
	return CONTAINER_OF(item->node.prev, struct item, node);
}

static void on_previous(void *ctx, int err, struct str value);
static void on_own(void *ctx, int err, struct str value);

/* Others than these retract what they have published themselves (4.1). */
static bool
may_retract_all(const struct op *op, const struct node *node)
{
	return node_aff(node, &op->iq->from) >= AFF_PUBLISHER;
}

/* The item that is the last then is read first, to be written as such. */
static void
retract_now(struct op *op, struct node *node)
{
	struct publication *p = op->data;
	struct item *item = map_get(&node->by_id, p->id), *last;
	struct store_write *w;

	if (item == NULL) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return;
	}
	if (!may_retract_all(op, node) && !str_eq(item->key, p->own_key)) {
		p->own_key = str_dup(op->iq->arena, item->key);
		kv_get(op->ps->jid.bare, node->store, item->key, on_own, op);
		return;
	}
	last = before(node, item);
	if (last != NULL && !str_eq(last->key, p->last_key)) {
		p->last_key = str_dup(op->iq->arena, last->key);
		kv_get(
		    op->ps->jid.bare, node->store, last->key, on_previous, op);
		return;
	}
	w = store_write_new(op->ps->jid.bare);
	item_drop(w, node, item);
	if (last != NULL && p->last.n > 0)
		kv_put(w, op->ps->jid.bare, PUBSUB_LAST, node->name, p->last);
	op_commit(op, &w, on_retracted);
}

/* The node still, after the store was asked; NULL when that was the end. */
static struct node *
node_again(struct op *op, int err)
{
	struct node *node = node_find(op->ps, op->node_name);

	if (err < 0 && err != ERR_ABSENT)
		op_refuse(op, EL_INTERNAL_SERVER_ERROR, EL_NONE);
	else if (node == NULL || op->ps->is_dead)
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
	else
		return node;
	return NULL;
}

static void
on_own(void *ctx, int err, struct str value)
{
	struct op *op = ctx;
	struct node *node = node_again(op, err);

	if (node == NULL)
		return;
	if (err == 0 && !item_is_of(op->iq->arena, value, &op->iq->from))
		op_refuse(op, EL_FORBIDDEN, EL_NONE);
	else
		op_with_items(op, node, retract_now);
}

static void
on_previous(void *ctx, int err, struct str value)
{
	struct op *op = ctx;
	struct publication *p = op->data;
	struct node *node = node_again(op, err);

	if (node == NULL)
		return;
	p->last = err == 0 ? str_dup(op->iq->arena, value) : STR_NONE;
	op_with_items(op, node, retract_now);
}

void
do_retract(struct op *op, struct node *node)
{
	struct elem *e = elem_child(op->action, EL_PUBSUB_ITEM);
	struct publication *p;

	if (e == NULL || elem_attr(e, AT_ID).n == 0) {
		op_refuse(op, EL_BAD_REQUEST, EL_PE_ITEM_REQUIRED);
		return;
	}
	if (!node_may_publish(node, &op->iq->from)) {
		op_refuse(op, EL_FORBIDDEN, EL_NONE);
		return;
	}
	if (!node->config.persist) {
		op_unsupported(op, "persistent-items");
		return;
	}
	p = arena_new_of(op->iq->arena, struct publication);
	p->id = elem_attr(e, AT_ID);
	op->data = p;
	retract_now(op, node);
}

static void
on_purged(struct op *op, struct node *node)
{
	if (node != NULL)
		notify_purge(node);
	op_reply(op);
}

void
do_purge(struct op *op, struct node *node)
{
	struct store_write *w;

	if (!node->config.persist) {
		op_unsupported(op, "persistent-items");
		return;
	}
	w = store_write_new(op->ps->jid.bare);
	items_clear(w, node);
	op_commit(op, &w, on_purged);
}
