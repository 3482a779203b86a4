/* SPDX-License-Identifier: MIT */
/*
 * The items of nodes. In memory is only which there are, in the order of
 * publication; their keys in the store begin with the time, so that the store
 * has them in that order too. One that was published again has in its key, too,
 * when it was first: "TIME ID" or "TIME+FIRST ID".
 */
#include "core/pubsub_impl.h"

#include "base/clock.h"
#include "base/random.h"
#include "xml/parser.h"
#include "xml/writer.h"

#define STAMP_LEN 16

/* ---- the index --------------------------------------------------------- */

/* Sixteen digits. */
static uint64_t
stamp_of(const char *digits)
{
	uint64_t us = 0;

	for (size_t i = 0; i < STAMP_LEN; i++) {
		char c = digits[i];

		us = us << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return us;
}

static bool
is_key(struct str key)
{
	size_t n = STAMP_LEN + 1;

	if (key.n >= n && key.p[STAMP_LEN] == '+')
		n += STAMP_LEN + 1;
	return key.n > n && key.p[n - 1] == ' ';
}

static void
item_add(struct node *node, struct str key)
{
	struct item *item = xzalloc(sizeof(*item)), *old;

	item->key = str_heap(key);
	item->published = item->created = stamp_of(item->key.p);
	item->id = str_skip(item->key, STAMP_LEN + 1);
	if (item->key.p[STAMP_LEN] == '+') {
		item->created = stamp_of(item->id.p);
		item->id = str_skip(item->id, STAMP_LEN + 1);
	}
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
		if (is_key(items[i].key))
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
	if (node->is_loaded && node->is_purged)
		items_purge(node);
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

struct purge {
	struct pubsub *ps;
	struct str node; /* heap */
};

static void
on_purged(void *ctx, int err)
{
	struct purge *p = ctx;
	struct node *node = node_find(p->ps, p->node);

	if (err == 0 && node != NULL && !p->ps->is_dead)
		notify_purge(node);
	str_free(&p->node);
	pubsub_unref(&p->ps);
	xfree(p);
}

void
items_purge(struct node *node)
{
	struct store_write *w;
	struct purge *p;

	node->is_purged = node->is_loading;
	if (node->is_loading || (node->is_loaded && node->by_id.count == 0))
		return;
	w = store_write_new(node->ps->jid.bare);
	p = xzalloc(sizeof(*p));
	p->ps = pubsub_ref(node->ps);
	p->node = str_heap(node->name);
	items_clear(w, node);
	store_commit(&w, on_purged, p);
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
	struct str owner = node->ps->jid.bare, value, key = pubsub_now(a);
	struct elem *e = elem_new(a, EL_PUBSUB_ITEM);
	struct item *old = map_get(&node->by_id, id);

	elem_set(e, AT_ID, id);
	elem_set(e, AT_STAMP, key);
	elem_set(e, AT_PUBLISHER, publisher);
	if (payload != NULL)
		elem_add_copy(e, payload);
	value = xml_text(a, e);
	if (old != NULL) {
		key = str_printf(a, STR_FMT "+%016llx", STR_ARG(key),
		    (unsigned long long)old->created);
		item_drop(w, node, old);
	}
	key = str_printf(a, STR_FMT " " STR_FMT, STR_ARG(key), STR_ARG(id));
	kv_put(w, owner, node->store, key, value);
	kv_put(w, owner, PUBSUB_LAST, node->name, value);
	item_add(node, key);
	trim(w, node);
}

static bool
is_expired(const struct node *node, uint64_t published)
{
	uint32_t span = node->config.item_expire;

	return span != PUBSUB_MAX &&
	       published + (uint64_t)span * 1000000 < (uint64_t)clock_real_us();
}

void
items_expire(struct node *node)
{
	struct store_write *w = NULL;
	struct item *item;

	while ((item = LIST_FIRST(&node->items, struct item, node)) != NULL &&
	       is_expired(node, item->published)) {
		if (w == NULL)
			w = store_write_new(node->ps->jid.bare);
		item_drop(w, node, item);
	}
	if (w != NULL)
		store_commit(&w, NULL, NULL);
}

struct elem *
item_parse(struct arena *a, const struct node *node, struct str id,
    struct str value, enum qname name, int64_t *published_r)
{
	struct elem *stored =
	    xml_parse(a, str_dup(a, value), NULL, NS_NONE, NULL);
	struct str stamp = elem_attr(stored, AT_STAMP);
	struct elem *item, *payload;
	uint64_t us;

	if (stored == NULL)
		return NULL;
	us = stamp.n == STAMP_LEN ? stamp_of(stamp.p) : 0;
	if (us > 0 && is_expired(node, us))
		return NULL;
	if (published_r != NULL)
		*published_r = (int64_t)(us / 1000);
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

bool
item_is_of(struct arena *a, struct str value, const struct jid *who)
{
	struct elem *stored =
	    xml_parse(a, str_dup(a, value), NULL, NS_NONE, NULL);
	struct jid publisher = jid_of(elem_attr(stored, AT_PUBLISHER));

	return stored != NULL && jid_eq_bare(&publisher, who);
}
