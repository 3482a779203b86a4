/* SPDX-License-Identifier: MIT */
/*
 * XEP-0442: a node's items as an archive. There is no second copy: what the
 * node keeps is what can be asked for, so that what was retracted is gone and
 * bounds and access of the node hold. The id of an item in it is a UUIDv7 that
 * says when it was published, to the microsecond.
 */
#include "core/history.h"
#include "core/pubsub_impl.h"

#include "base/clock.h"
#include "base/random.h"
#include "xml/writer.h"

/* Most results sent for one query. */
#define PAGE_MAX 50
#define ID_TAIL STR("8000-000000000000")

/* ---- ids --------------------------------------------------------------- */

static struct str
id_of(struct arena *a, uint64_t us)
{
	uint64_t ms = us / 1000;

	return str_printf(a, "%08llx-%04llx-7%03llx-" STR_FMT,
	    (unsigned long long)(ms >> 16), (unsigned long long)(ms & 0xffff),
	    (unsigned long long)(us % 1000), STR_ARG(ID_TAIL));
}

/* The item of that id, or NULL. */
static const struct item *
find_id(struct arena *a, const struct node *node, struct str id)
{
	const struct item *item;
	int64_t ms;

	if (uuid7_time(id, &ms) < 0)
		return NULL;
	LIST_EACH(item, &node->items, struct item, node)
	if (item->published / 1000 == (uint64_t)ms &&
	    str_eq(id_of(a, item->published), id))
		return item;
	return NULL;
}

/* ---- what is asked for ------------------------------------------------- */

/* A query under way, and one of the items that it reads. */
struct reading {
	struct pubsub *ps;
	struct arena *arena; /* of the iq */
	struct str node;
	archive_page_fn *done;
	void *ctx;
	struct archive_page page;
	struct archive_item *items; /* of the page */
	size_t waiting;
	bool is_failed;
};

struct reading_item {
	struct reading *r;
	size_t index;
};

/* The bounds that ids set, as times; false when an id is not known. */
static bool
read_bound(struct arena *a, const struct node *node, struct str id,
    bool is_lower, uint64_t *bound)
{
	const struct item *item;

	if (str_is_none(id) || id.n == 0)
		return true;
	item = find_id(a, node, id);
	if (item == NULL)
		return false;
	*bound = is_lower ? MAX(*bound, item->published + 1)
			  : MIN(*bound, item->published - 1);
	return true;
}

static bool
is_among(struct arena *a, const struct item *item, const struct str *ids,
    size_t count)
{
	struct str id = id_of(a, item->published);

	for (size_t i = 0; i < count; i++)
		if (str_eq(ids[i], id))
			return true;
	return count == 0;
}

/* What lies between two times, and is among the ids that are asked for. */
static size_t
select_items(struct arena *a, const struct node *node,
    const struct archive_filter *f, uint64_t low, uint64_t high,
    const struct item **found)
{
	const struct item *item;
	size_t count = 0;

	LIST_EACH(item, &node->items, struct item, node)
	if (item->published >= low && item->published <= high &&
	    (f->id_count == 0 || is_among(a, item, f->ids, f->id_count)))
		found[count++] = item;
	return count;
}

/* ---- messages ---------------------------------------------------------- */

static void
finish(struct reading *r)
{
	struct pubsub *ps = r->ps;

	r->page.items = r->items;
	r->done(r->ctx, r->is_failed ? ERR_STORE : 0, &r->page);
	if (ps->acct != NULL)
		account_unpin(ps->acct);
	pubsub_unref(&ps);
}

/* An item that went, or expired, meanwhile: an event that says nothing. */
static struct str
message_of(struct arena *a, const struct node *node, struct str value)
{
	struct elem *message = elem_new(a, EL_MESSAGE), *items, *item = NULL;

	if (value.n > 0)
		item =
		    item_parse(a, node, STR_NONE, value, EL_EVENT_ITEM, NULL);
	elem_set(message, AT_TYPE, STR("headline"));
	items = elem_add(elem_add(message, EL_EVENT), EL_EVENT_ITEMS);
	elem_set_copy(items, AT_NODE, node->name);
	if (item != NULL && !node->config.payloads)
		elem_set_text(item, STR_NONE);
	if (item != NULL)
		elem_append(items, item);
	return xml_text(a, message);
}

static void
on_item(void *ctx, int err, struct str value)
{
	struct reading_item *ri = ctx;
	struct reading *r = ri->r;
	struct node *node = node_find(r->ps, r->node);

	if ((err < 0 && err != ERR_ABSENT) || node == NULL || r->ps->is_dead)
		r->is_failed = true;
	else
		r->items[ri->index].xml =
		    message_of(r->arena, node, err == 0 ? value : STR_NONE);
	if (--r->waiting == 0)
		finish(r);
}

static void
read_items(struct reading *r, const struct node *node,
    const struct item *const *found, size_t count)
{
	r->items = arena_zalloc(r->arena, (count + 1) * sizeof(*r->items));
	r->page.count = r->waiting = count;
	if (count == 0)
		finish(r);
	for (size_t i = 0; i < count; i++) {
		struct reading_item *ri =
		    arena_new_of(r->arena, struct reading_item);

		ri->r = r;
		ri->index = i;
		r->items[i].id = id_of(r->arena, found[i]->published);
		kv_get(node->ps->jid.bare, node->store, found[i]->key, on_item,
		    ri);
	}
}

/* ---- pages ------------------------------------------------------------- */

static struct reading *
reading_new(
    struct node *node, struct arena *a, archive_page_fn *done, void *ctx)
{
	struct reading *r = arena_new_of(a, struct reading);

	r->ps = pubsub_ref(node->ps);
	if (r->ps->acct != NULL)
		account_pin(r->ps->acct);
	r->arena = a;
	r->node = str_dup(a, node->name);
	r->done = done;
	r->ctx = ctx;
	return r;
}

static bool
are_known(
    struct arena *a, const struct node *node, const struct archive_filter *f)
{
	for (size_t i = 0; i < f->id_count; i++)
		if (find_id(a, node, f->ids[i]) == NULL)
			return false;
	return true;
}

/* `ctx`: the iq's arena and the node, until this returns. */
struct place {
	struct arena *arena;
	struct node *node;
};

static void
find(void *ctx, const struct archive_filter *f, archive_page_fn *done,
    void *done_ctx)
{
	struct place *at = ctx;
	struct arena *a = at->arena;
	struct node *node = at->node;
	uint64_t low = (uint64_t)MAX(f->start, 0) * 1000, high = UINT64_MAX;
	const struct item **found =
	    arena_alloc(a, (node->by_id.count + 1) * sizeof(*found));
	struct reading *r;
	size_t count, total;

	if (f->end > 0)
		high = (uint64_t)f->end * 1000 + 999;
	if (!are_known(a, node, f) ||
	    !read_bound(a, node, f->after_id, true, &low) ||
	    !read_bound(a, node, f->before_id, false, &high)) {
		done(done_ctx, ERR_ABSENT, NULL);
		return;
	}
	total = select_items(a, node, f, low, high, found);
	if (!read_bound(a, node, f->page_after, true, &low) ||
	    !read_bound(a, node, f->page_before, false, &high)) {
		done(done_ctx, ERR_ABSENT, NULL);
		return;
	}
	r = reading_new(node, a, done, done_ctx);
	r->page.total = total;
	count = select_items(a, node, f, low, high, found);
	r->page.is_complete = count <= f->limit;
	if (f->is_backwards && count > f->limit)
		found += count - f->limit;
	read_items(r, node, found, MIN(count, f->limit));
}

/* ---- the operation ----------------------------------------------------- */

static void
add_end(struct elem *parent, enum qname name, const struct item *item)
{
	struct arena *a = elem_arena(parent);
	struct elem *e = elem_add(parent, name);

	elem_set(e, AT_ID, id_of(a, item->published));
	elem_set(e, AT_TIMESTAMP,
	    clock_format(a, (int64_t)(item->published / 1000), true));
}

static void
send_metadata(struct op *op, const struct node *node)
{
	struct elem *e = op_result(op, EL_MAM_METADATA);

	if (node->by_id.count > 0) {
		add_end(e, EL_MAM_START,
		    LIST_FIRST(&node->items, struct item, node));
		add_end(e, EL_MAM_END,
		    CONTAINER_OF(node->items.prev, struct item, node));
	}
	op_send(op);
}

void
do_history(struct op *op, struct node *node)
{
	struct place *at = arena_new_of(op->iq->arena, struct place);
	const struct history_rules rules = {
		.page_max = PAGE_MAX, .find = find, .ctx = at
	};

	if (elem_name(op->action) == EL_MAM_METADATA) {
		send_metadata(op, node);
		return;
	}
	at->arena = op->iq->arena;
	at->node = node;
	history_query(op_end(op), &rules);
}
