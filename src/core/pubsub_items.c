/* SPDX-License-Identifier: MIT */
/*
 * Items: published, retracted, purged. In memory is only which there are, in
 * the order of publication; their keys in the store begin with the time, so
 * that the store has them in that order too.
 */
#include "core/pubsub_impl.h"

#include "base/clock.h"
#include "base/random.h"
#include "xml/parser.h"
#include "xml/writer.h"

#include "xep/0004-forms.h"

#define STAMP_LEN 16

/* ---- the index --------------------------------------------------------- */

static void
item_add(struct node *node, struct str key)
{
	struct item *item = xzalloc(sizeof(*item)), *old;

	item->key = str_heap(key);
	item->id = str_skip(item->key, STAMP_LEN + 1);
	old = map_get(&node->by_id, item->id);
	if (old != NULL) {
		map_del(&node->by_id, old->id);
		list_del(&old->node);
		str_free(&old->key);
		xfree(old);
	}
	map_set(&node->by_id, item->id, item);
	list_add(&node->items, &item->node);
}

static void
item_remove(struct node *node, struct item *item)
{
	map_del(&node->by_id, item->id);
	list_del(&item->node);
	str_free(&item->key);
	xfree(item);
}

void
items_free(struct node *node)
{
	struct item *item;

	while ((item = LIST_FIRST(&node->items, struct item, node)) != NULL)
		item_remove(node, item);
	map_fini(&node->by_id);
	node->is_loaded = false;
}

struct items_loading {
	struct pubsub *ps;
	struct str name;  /* of the node; heap */
	struct str after; /* heap */
};

#define LOAD_PAGE 200

static void items_load_page(struct items_loading *load, struct node *node);

static void
loading_free(struct items_loading *load)
{
	pubsub_unref(&load->ps);
	str_free(&load->name);
	str_free(&load->after);
	xfree(load);
}

static void
run_waiting(struct node *node)
{
	struct pubsub *ps = node->ps;
	struct str name = str_heap(node->name);
	struct op *op;

	/* Each may delete the node. */
	while ((node = node_find(ps, name)) != NULL &&
	       (op = LIST_FIRST(&node->waiting, struct op, link)) != NULL) {
		list_del(&op->link);
		if (node->is_loaded)
			op->fn(op, node);
		else
			op_refuse(op, EL_INTERNAL_SERVER_ERROR, EL_NONE);
	}
	str_free(&name);
}

static void
on_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct items_loading *load = ctx;
	struct node *node = node_find(load->ps, load->name);

	if (node == NULL || !node->is_loading) {
		loading_free(load);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (items[i].key.n > STAMP_LEN)
			item_add(node, items[i].key);
	if (err == 0 && count == LOAD_PAGE) {
		str_free(&load->after);
		load->after = str_heap(items[count - 1].key);
		items_load_page(load, node);
		return;
	}
	node->is_loading = false;
	if (err < 0)
		items_free(node);
	else
		node->is_loaded = true;
	items_expire(node);
	run_waiting(node);
	loading_free(load);
}

static void
items_load_page(struct items_loading *load, struct node *node)
{
	kv_list(load->ps->jid.bare, node->store, load->after, false, LOAD_PAGE,
	    on_page, load);
}

void
items_load(struct node *node)
{
	struct items_loading *load;

	if (node->is_loading)
		return;
	node->is_loading = true;
	load = xzalloc(sizeof(*load));
	load->ps = pubsub_ref(node->ps);
	load->name = str_heap(node->name);
	items_load_page(load, node);
}

/* ---- changes ----------------------------------------------------------- */

void
item_drop(struct store_write *w, struct node *node, struct item *item)
{
	struct str owner = node->ps->jid.bare;

	kv_del(w, owner, node->store, item->key);
	if (item->node.next == &node->items)
		kv_del(w, owner, PUBSUB_LAST, node->name);
	item_remove(node, item);
}

void
items_clear(struct store_write *w, struct node *node)
{
	kv_clear(w, node->ps->jid.bare, node->store);
	kv_del(w, node->ps->jid.bare, PUBSUB_LAST, node->name);
	items_free(node);
	node->is_loaded = true;
}

/* Those beyond what the node is to keep. */
static void
trim(struct store_write *w, struct node *node)
{
	uint32_t max = pubsub_config_items(&node->config, &node->ps->bounds);
	struct item *item;

	while (node->by_id.count > max &&
	       (item = LIST_FIRST(&node->items, struct item, node)) != NULL)
		item_drop(w, node, item);
}

void
item_put(struct store_write *w, struct node *node, struct str id,
    const struct elem *payload, struct str publisher)
{
	struct arena *a = store_write_arena(w);
	struct str owner = node->ps->jid.bare, value, key;
	struct elem *e = elem_new(a, EL_PUBSUB_ITEM);
	struct item *old;

	elem_set(e, AT_ID, id);
	elem_set(e, AT_PUBLISHER, publisher);
	if (payload != NULL)
		elem_add_copy(e, payload);
	value = xml_text(a, e);
	key = str_printf(
	    a, STR_FMT " " STR_FMT, STR_ARG(pubsub_now(a)), STR_ARG(id));
	old = map_get(&node->by_id, id);
	if (old != NULL)
		item_drop(w, node, old);
	kv_put(w, owner, node->store, key, value);
	kv_put(w, owner, PUBSUB_LAST, node->name, value);
	item_add(node, key);
	trim(w, node);
}

static uint64_t
item_time(const struct item *item)
{
	uint64_t us = 0;

	for (size_t i = 0; i < STAMP_LEN; i++) {
		char c = item->key.p[i];

		us = us << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return us;
}

void
items_expire(struct node *node)
{
	uint64_t now = (uint64_t)clock_real_us(), span;
	struct store_write *w = NULL;
	struct item *item;

	if (node->config.item_expire == PUBSUB_MAX)
		return;
	span = (uint64_t)node->config.item_expire * 1000000;
	while ((item = LIST_FIRST(&node->items, struct item, node)) != NULL &&
	       item_time(item) + span < now) {
		if (w == NULL)
			w = store_write_new(node->ps->jid.bare);
		item_drop(w, node, item);
	}
	if (w != NULL)
		store_commit(&w, NULL, NULL);
}

struct elem *
item_parse(struct arena *a, const struct node *node, struct str id,
    struct str value, enum qname name)
{
	struct elem *stored =
	    xml_parse(a, str_dup(a, value), NULL, NS_NONE, NULL);
	struct elem *item, *payload;

	if (stored == NULL)
		return NULL;
	item = elem_new(a, name);
	elem_set(item, AT_ID,
	    str_is_none(id) ? elem_attr(stored, AT_ID) : str_dup(a, id));
	if (node->config.reply == REPLY_PUBLISHER)
		elem_set(item, AT_PUBLISHER, elem_attr(stored, AT_PUBLISHER));
	else if (node->config.reply == REPLY_OWNER)
		elem_set(item, AT_PUBLISHER, str_dup(a, node->creator));
	payload = elem_child(stored, EL_ANY);
	if (payload != NULL)
		elem_append(item, payload);
	return item;
}

/* ---- publish ----------------------------------------------------------- */

/* What becomes of one request to publish. */
struct publication {
	struct str id;
	struct elem *payload;
};

static void
on_published(struct op *op, struct node *node)
{
	struct publication *p = op->data;
	struct elem *result, *e;

	if (node != NULL)
		notify_item(node, p->id, p->payload, op->iq->from.bare);
	result = op_result(op, EL_PUBSUB);
	e = elem_add(result, EL_PUBLISH);
	elem_set(e, AT_NODE, op->node_name);
	elem_set(elem_add(e, EL_PUBSUB_ITEM), AT_ID, p->id);
	op_send(op);
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

/* Is the item as the node (NULL: one that is to be made) wants it? */
static bool
check_item(struct op *op, const struct node *node, const struct elem *item)
{
	struct elem *payload = elem_child(item, EL_ANY);
	size_t max = op->ps->bounds.max_payload;
	bool is_empty_fine =
	    node != NULL && !node->config.payloads && !node->config.persist;

	if (node != NULL)
		max = MIN(max, node->config.max_payload);
	if (payload == NULL && !is_empty_fine)
		op_refuse(op, EL_BAD_REQUEST, EL_PE_ITEM_REQUIRED);
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
	if (p->id.n == 0)
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
	else if (item == NULL)
		op_refuse(op, EL_BAD_REQUEST, EL_PE_ITEM_REQUIRED);
	else if (elem_next(item, EL_PUBSUB_ITEM) != NULL)
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

void
do_retract(struct op *op, struct node *node)
{
	struct elem *e = elem_child(op->action, EL_PUBSUB_ITEM);
	struct str id = elem_attr(e, AT_ID);
	struct item *item = map_get(&node->by_id, id);
	struct publication *p;
	struct store_write *w;

	if (e == NULL || id.n == 0) {
		op_refuse(op, EL_BAD_REQUEST, EL_PE_ITEM_REQUIRED);
		return;
	}
	if (!node_may_publish(node, &op->iq->from) ||
	    (node->config.publish != PUBLISH_PUBLISHERS &&
		node_aff(node, &op->iq->from) < AFF_PUBLISHER)) {
		op_refuse(op, EL_FORBIDDEN, EL_NONE);
		return;
	}
	if (item == NULL) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return;
	}
	p = arena_new_of(op->iq->arena, struct publication);
	p->id = id;
	op->data = p;
	w = store_write_new(op->ps->jid.bare);
	item_drop(w, node, item);
	op_commit(op, &w, on_retracted);
}

static void
on_purged(struct op *op, struct node *node)
{
	struct elem *event;
	struct stanza *notice;

	if (node != NULL && node->config.notify_retract) {
		notice = notice_new(node, &event);
		elem_set_copy(
		    elem_add(event, EL_EVENT_PURGE), AT_NODE, node->name);
		notice_send(node, notice);
	}
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
