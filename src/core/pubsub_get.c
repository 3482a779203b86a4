/* SPDX-License-Identifier: MIT */
/* Items retrieved: the newest, those of some ids, or page by page. */
#include "core/pubsub_impl.h"

#include "xep/0059-rsm.h"

#include <stdlib.h>

/* Most items in one answer, by pages or by id; and bytes of all its items. */
#define PAGE_MAX 250
#define ANSWER_MAX (1 << 20)
/* So many are read at a time. */
#define BATCH 16

/* Retrieval under way; in the arena of its iq. */
struct retrieval {
	struct elem **found; /* <item/> */
	size_t count, waiting;
	size_t bytes;	       /* of what was found */
	struct wanted *wanted; /* of those by id */
	size_t next;	       /* of these */
	size_t left; /* of a range; of these: those that are counted */
	bool is_backwards, is_failed;
	bool is_ordered, by_creation, is_descending; /* XEP-0413 */
	struct rsm rsm;
	size_t total;
};

static void
answer(struct op *op)
{
	struct retrieval *r = op->data;
	struct elem *result, *items;
	struct str first = STR_NONE, last = STR_NONE;

	if (r->is_failed) {
		op_refuse(op, EL_INTERNAL_SERVER_ERROR, EL_NONE);
		return;
	}
	result = op_result(op, EL_PUBSUB);
	items = elem_add(result, EL_PUBSUB_ITEMS);
	elem_set(items, AT_NODE, op->node_name);
	for (size_t i = 0; i < r->count; i++) {
		struct elem *e =
		    r->found[r->is_backwards ? r->count - 1 - i : i];

		if (e == NULL)
			continue;
		elem_append(items, e);
		last = elem_attr(e, AT_ID);
		if (str_is_none(first))
			first = last;
	}
	if (r->rsm.is_there)
		rsm_add(result, first, last, (int64_t)r->total);
	op_send(op);
}

/* Is there room for another? If not, the answer says that it is cut. */
static bool
has_room(struct retrieval *r, size_t bytes)
{
	if (r->bytes > 0 && r->bytes + bytes > ANSWER_MAX) {
		r->rsm.is_there = true;
		return false;
	}
	r->bytes += bytes;
	return true;
}

/* ---- a range ----------------------------------------------------------- */

static void read_range(struct op *op, struct node *node, struct str after);

static void
on_range(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct op *op = ctx;
	struct retrieval *r = op->data;
	struct node *node = node_find(op->ps, op->node_name);
	size_t asked = MIN(r->left, BATCH), i;

	if (node == NULL || op->ps->is_dead) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return;
	}
	r->is_failed = err < 0;
	for (i = 0; i < count && has_room(r, items[i].value.n); i++)
		r->found[r->count++] = item_parse(op->iq->arena, node, STR_NONE,
		    items[i].value, EL_PUBSUB_ITEM, NULL);
	r->left -= i;
	if (err < 0 || i < asked || r->left == 0)
		answer(op);
	else
		read_range(op, node, str_dup(op->iq->arena, items[i - 1].key));
}

static void
read_range(struct op *op, struct node *node, struct str after)
{
	struct retrieval *r = op->data;

	kv_list(op->ps->jid.bare, node->store, after, r->is_backwards,
	    MIN(r->left, BATCH), on_range, op);
}

static void
get_range(
    struct op *op, struct node *node, struct str after, bool back, size_t limit)
{
	struct retrieval *r = op->data;

	r->is_backwards = back;
	r->left = MIN(limit, node->by_id.count);
	r->found =
	    arena_zalloc(op->iq->arena, (r->left + 1) * sizeof(*r->found));
	read_range(op, node, after);
}

/*
 * Without <set/>: the newest, as many as are wanted. With one: pages in the
 * order of publication.
 */
static void
get_page(struct op *op, struct node *node, uint64_t limit)
{
	struct retrieval *r = op->data;
	struct str at = STR_NONE, id;
	const struct item *item;
	bool back = !r->rsm.is_there || !str_is_none(r->rsm.before);

	r->total = node->by_id.count;
	if (r->rsm.has_max)
		limit = MIN(limit, r->rsm.max);
	else if (r->rsm.is_there)
		limit = MIN(limit, PAGE_MAX);
	id = back ? r->rsm.before : r->rsm.after;
	if (id.n > 0) {
		item = map_get(&node->by_id, id);
		if (item == NULL) {
			op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
			return;
		}
		at = str_dup(op->iq->arena, item->key);
	}
	if (limit == 0 || node->by_id.count == 0)
		answer(op);
	else
		get_range(op, node, at, back, (size_t)limit);
}

/* ---- by id ------------------------------------------------------------- */

/* One of the items asked for by id. */
struct wanted {
	struct op *op;
	size_t index;
	struct str id, key;
	size_t bytes;
};

static void read_batch(struct op *op, const struct node *node);

static void
on_item(void *ctx, int err, struct str value)
{
	struct wanted *w = ctx;
	struct op *op = w->op;
	struct retrieval *r = op->data;
	struct node *node = node_find(op->ps, op->node_name);

	w->bytes = err == 0 ? value.n : 0;
	if (err == 0 && node != NULL)
		r->found[w->index] = item_parse(
		    op->iq->arena, node, w->id, value, EL_PUBSUB_ITEM, NULL);
	else if (err != ERR_ABSENT && err < 0)
		r->is_failed = true;
	if (--r->waiting > 0)
		return;
	if (node == NULL || op->ps->is_dead)
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
	else
		read_batch(op, node);
}

/* What was read goes as far as there is room; then the next are. */
static void
read_batch(struct op *op, const struct node *node)
{
	struct retrieval *r = op->data;
	size_t end;

	while (r->left < r->next && has_room(r, r->wanted[r->left].bytes))
		r->left++;
	if (r->left < r->next)
		r->count = r->next = r->left;
	end = MIN(r->next + BATCH, r->count);
	if (r->is_failed || r->next == end) {
		answer(op);
		return;
	}
	r->waiting = end - r->next;
	for (size_t i = r->next; i < end; i++)
		kv_get(op->ps->jid.bare, node->store, r->wanted[i].key, on_item,
		    &r->wanted[i]);
	r->next = end;
}

static void
fetch(struct op *op, struct node *node, const struct item *const *item,
    size_t count)
{
	struct arena *a = op->iq->arena;
	struct retrieval *r = op->data;

	r->count = count;
	r->found = arena_zalloc(a, (count + 1) * sizeof(struct elem *));
	r->wanted = arena_zalloc(a, (count + 1) * sizeof(*r->wanted));
	for (size_t i = 0; i < count; i++) {
		struct wanted *w = &r->wanted[i];

		w->op = op;
		w->index = i;
		w->id = str_dup(a, item[i]->id);
		w->key = str_dup(a, item[i]->key);
	}
	read_batch(op, node);
}

/* Ids that there are not are left out (6.5.9.12). */
static void
get_by_id(struct op *op, struct node *node)
{
	struct arena *a = op->iq->arena;
	struct retrieval *r = op->data;
	struct elem *e = elem_child(op->action, EL_PUBSUB_ITEM);
	size_t asked = MIN(elem_count(op->action, EL_PUBSUB_ITEM), PAGE_MAX);
	const struct item **item = arena_alloc(a, asked * sizeof(*item));

	for (; e != NULL && r->count < asked;
	     e = elem_next(e, EL_PUBSUB_ITEM)) {
		item[r->count] = map_get(&node->by_id, elem_attr(e, AT_ID));
		if (item[r->count] != NULL)
			r->count++;
	}
	r->total = r->count;
	fetch(op, node, item, r->count);
}

/* ---- in another order (XEP-0413) --------------------------------------- */

/* The first <order/> decides: no two items have the same time. */
static bool
read_order(struct op *op)
{
	struct elem *order = elem_child(elem_parent(op->action), EL_ORDER);
	struct str desc = elem_attr(order, AT_DESC);
	struct retrieval *r = op->data;

	r->is_ordered = order != NULL;
	r->by_creation = elem_attr_is(order, AT_BY, "creation");
	r->is_descending = str_is(desc, "true") || str_is(desc, "1");
	return order == NULL || r->by_creation ||
	       elem_attr_is(order, AT_BY, "modification");
}

static int
compare_created(const void *x, const void *y)
{
	const struct item *a = *(const struct item *const *)x;
	const struct item *b = *(const struct item *const *)y;

	return a->created < b->created ? -1 : a->created > b->created;
}

/* All items, in the order that is asked for. */
static const struct item **
sorted(struct op *op, const struct node *node)
{
	size_t count = node->by_id.count, n = 0;
	const struct retrieval *r = op->data;
	const struct item **all =
	    arena_alloc(op->iq->arena, (count + 1) * sizeof(*all));
	const struct item *item;

	LIST_EACH(item, &node->items, struct item, node)
	all[n++] = item;
	if (r->by_creation && n > 1)
		qsort(all, n, sizeof(*all), compare_created);
	for (size_t i = 0; r->is_descending && i < n / 2; i++) {
		item = all[i];
		all[i] = all[n - 1 - i];
		all[n - 1 - i] = item;
	}
	return all;
}

/* Where the item is; `count` if it is not. */
static size_t
index_of(const struct item *const *all, size_t count, struct str id)
{
	size_t i = 0;

	while (i < count && !str_eq(all[i]->id, id))
		i++;
	return i;
}

static void
get_ordered(struct op *op, struct node *node, uint64_t limit)
{
	struct retrieval *r = op->data;
	const struct item **all = sorted(op, node);
	size_t count = node->by_id.count, first = 0, end = count;

	r->total = count;
	limit = MIN(limit,
	    r->rsm.has_max ? MIN(r->rsm.max, PAGE_MAX) : (uint64_t)PAGE_MAX);
	if (r->rsm.after.n > 0)
		first = index_of(all, count, r->rsm.after) + 1;
	if (r->rsm.before.n > 0)
		end = index_of(all, count, r->rsm.before);
	if (first > count || (r->rsm.before.n > 0 && end == count)) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return;
	}
	/* Both may be given; no page then lies outside of them. */
	first = MIN(first, end);
	if (end - first > limit) {
		if (!str_is_none(r->rsm.before))
			first = end - (size_t)limit;
		else
			end = first + (size_t)limit;
		r->rsm.is_there = true;
	}
	fetch(op, node, all + first, end - first);
}

/* Of one who has subscribed: is the id that he says one of his? */
static bool
is_subid_fine(const struct op *op, const struct node *node)
{
	struct str subid = elem_attr(op->action, AT_SUBID);
	const struct subscription *sub;
	bool has_any = false;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	{
		if (!jid_eq_bare(&sub->jid, &op->iq->from))
			continue;
		has_any = true;
		if (str_eq(sub->subid, subid))
			return true;
	}
	return subid.n == 0 || !has_any;
}

void
do_items(struct op *op, struct node *node)
{
	struct retrieval *r = arena_new_of(op->iq->arena, struct retrieval);
	struct str max = elem_attr(op->action, AT_MAX_ITEMS);
	enum qname condition, specific;
	uint64_t limit = node->ps->limits.max_items;

	op->data = r;
	if (!node_may_read(node, &op->iq->from, &condition, &specific))
		op_refuse(op, condition, specific);
	else if (!is_subid_fine(op, node))
		op_refuse(op, EL_NOT_ACCEPTABLE, EL_PE_INVALID_SUBID);
	else if (!str_is_none(max) && (!str_to_u64(max, &limit) || limit == 0))
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
	else if (rsm_read(elem_parent(op->action), &r->rsm) < 0)
		op_refuse(op, EL_FEATURE_NOT_IMPLEMENTED, EL_NONE);
	else if (!read_order(op))
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
	else if (!node->config.persist)
		op_unsupported(op, "persistent-items");
	else if (elem_child(op->action, EL_PUBSUB_ITEM) != NULL)
		get_by_id(op, node);
	else if (r->is_ordered)
		get_ordered(op, node, limit);
	else
		get_page(op, node, MIN(limit, node->ps->limits.max_items));
}
