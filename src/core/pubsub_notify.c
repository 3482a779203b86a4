/* SPDX-License-Identifier: MIT */
/* Who is told of what happens at a node: one message, rendered once. */
#include "core/hooks.h"
#include "core/metrics.h"
#include "core/pubsub_impl.h"

#include "base/clock.h"
#include "base/random.h"

/* In the order of the configuration's choices. */
static const enum stanza_type message_types[] = { MESSAGE_HEADLINE,
	MESSAGE_NORMAL, MESSAGE_CHAT };

struct stanza *
notice_new(const struct node *node, struct elem **event_r)
{
	struct stanza *st = stanza_new(EL_MESSAGE);

	/* Nobody keeps headlines for those who are not there. */
	stanza_set_type(st, node->config.by_presence
				? MESSAGE_HEADLINE
				: message_types[node->config.message]);
	stanza_set_from(st, &node->ps->jid);
	elem_set(st->root, AT_ID, random_token(st->arena, 12));
	*event_r = elem_add(st->root, EL_EVENT);
	return st;
}

/* ---- to whom ----------------------------------------------------------- */

static bool
is_readable(const struct node *node, const struct jid *who)
{
	enum qname condition, specific;

	return node_may_read(node, who, &condition, &specific);
}

/* The account's presence is hidden from who is blocked, and so are these. */
static bool
is_open_to(const struct pubsub *ps, const struct jid *who)
{
	return ps->acct == NULL || jid_eq_bare(who, &ps->jid) ||
	       hook_presence_allow(ps->acct, who);
}

/* Those whose clients have not been told already. */
static void
add_subscribers(struct fanout *f, const struct node *node)
{
	const struct subscription *sub;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	{
		if (!sub->is_pending && !sub->is_quiet && !sub->is_told &&
		    is_readable(node, &sub->jid) &&
		    is_open_to(node->ps, &sub->jid))
			fanout_add(f, &sub->jid);
	}
}

/* That there is no such node any more they hear as well (8.4.2). */
static void
add_pending(struct fanout *f, const struct node *node)
{
	const struct subscription *sub;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	if (sub->is_pending && is_open_to(node->ps, &sub->jid))
		fanout_add(f, &sub->jid);
}

/* Sees the account's presence: a contact, or a session of its own. */
static bool
is_contact(const struct pubsub *ps, const struct jid *who)
{
	const struct roster_item *item;

	if (jid_eq_bare(who, &ps->jid))
		return true;
	item = roster_find(ps->acct, who->bare);
	return item != NULL && item->sub & ROSTER_FROM;
}

static bool
is_interested(const struct node *node, const struct contact *c)
{
	return contact_wants(c, node->name) && is_contact(node->ps, &c->jid) &&
	       is_readable(node, &c->jid) && is_open_to(node->ps, &c->jid);
}

/*
 * The clients that are interested; of one who has subscribed by his bare
 * address, these instead of that (XEP-0163, 4.3.2).
 */
static void
add_contacts(struct fanout *f, struct node *node)
{
	const struct contact *c;
	struct subscription *sub;
	struct jid bare;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	sub->is_told = false;
	for (size_t i = 0; (c = map_next(&node->ps->contacts, &i)) != NULL;) {
		bare = jid_to_bare(&c->jid);
		if (!is_interested(node, c) ||
		    node_subscription(node, &c->jid) != NULL)
			continue;
		sub = node_subscription(node, &bare);
		if (sub != NULL && sub->is_quiet)
			continue;
		if (sub != NULL)
			sub->is_told = true;
		fanout_add(f, &c->jid);
	}
}

static void
send_to_all(struct node *node, struct stanza *notice, bool is_last)
{
	struct fanout *f = fanout_new(notice);

	if (node->config.notify) {
		add_contacts(f, node);
		add_subscribers(f, node);
		if (is_last)
			add_pending(f, node);
	}
	fanout_send(&f);
}

void
notice_send(struct node *node, struct stanza *notice)
{
	send_to_all(node, notice, false);
}

void
notice_send_last(struct node *node, struct stanza *notice)
{
	send_to_all(node, notice, true);
}

void
notice_send_to(struct node *node, struct stanza *notice, const struct jid *to)
{
	stanza_set_to(notice, to);
	router_send(notice);
}

/* ---- items ------------------------------------------------------------- */

static struct elem *
items_add(struct elem *event, const struct node *node)
{
	struct elem *items = elem_add(event, EL_EVENT_ITEMS);

	elem_set_copy(items, AT_NODE, node->name);
	return items;
}

void
notify_item(struct node *node, struct str id, const struct elem *payload,
    struct str publisher)
{
	struct elem *event, *items, *e;
	struct stanza *notice = notice_new(node, &event);

	items = items_add(event, node);
	if (id.n == 0) {
		notice_send(node, notice);
		return;
	}
	e = elem_add(items, EL_EVENT_ITEM);
	elem_set_copy(e, AT_ID, id);
	if (node->config.reply == REPLY_PUBLISHER)
		elem_set_copy(e, AT_PUBLISHER, publisher);
	else if (node->config.reply == REPLY_OWNER)
		elem_set_copy(e, AT_PUBLISHER, node->creator);
	if (payload != NULL && node->config.payloads)
		elem_add_copy(e, payload);
	notice_send(node, notice);
}

void
notify_retract(struct node *node, struct str id)
{
	struct elem *event, *e;
	struct stanza *notice = notice_new(node, &event);

	e = elem_add(items_add(event, node), EL_EVENT_RETRACT);
	elem_set_copy(e, AT_ID, id);
	notice_send(node, notice);
}

void
notify_purge(struct node *node)
{
	struct stanza *notice;
	struct elem *event;

	if (!node->config.notify_retract)
		return;
	notice = notice_new(node, &event);
	elem_set_copy(elem_add(event, EL_EVENT_PURGE), AT_NODE, node->name);
	notice_send(node, notice);
}

void
notify_subscription(struct list *notices, struct node *node,
    const struct jid *who, struct str subid, const char *state)
{
	struct elem *event, *e;
	struct stanza *notice = notice_new(node, &event);

	e = elem_add(event, EL_EVENT_SUBSCRIPTION);
	elem_set_copy(e, AT_NODE, node->name);
	elem_set_copy(e, AT_JID, who->full);
	elem_set_copy(e, AT_SUBID, subid);
	elem_set(e, AT_SUBSCRIPTION, str_c(state));
	stanza_set_to(notice, who);
	list_add(notices, &notice->node);
}

void
notices_send(struct list *notices)
{
	struct stanza *notice;

	while ((notice = LIST_FIRST(notices, struct stanza, node)) != NULL) {
		list_del(&notice->node);
		router_send(notice);
	}
}

void
notices_drop(struct list *notices)
{
	struct stanza *notice;

	while ((notice = LIST_FIRST(notices, struct stanza, node)) != NULL) {
		list_del(&notice->node);
		stanza_free(&notice);
	}
}

/* ---- the last item ----------------------------------------------------- */

/* Asked of the store; on the heap. */
struct last {
	struct pubsub *ps;
	struct jid to;	 /* view of a heap text */
	struct str node; /* heap; none: all that he is interested in */
};

static struct last *
last_new(struct pubsub *ps, const struct jid *to)
{
	struct last *last = xzalloc(sizeof(*last));

	last->ps = pubsub_ref(ps);
	last->to = jid_of(str_heap(to->full));
	return last;
}

static void
last_free(struct last *last)
{
	struct str text = last->to.full;

	str_free(&text);
	str_free(&last->node);
	pubsub_unref(&last->ps);
	xfree(last);
}

static void
send_last(struct node *node, struct str value, const struct jid *to)
{
	struct elem *event, *item, *delay;
	struct stanza *notice = notice_new(node, &event);
	struct arena *a = notice->arena;
	int64_t published;

	item = item_parse(a, node, STR_NONE, value, EL_EVENT_ITEM, &published);
	if (item == NULL) {
		stanza_free(&notice);
		return;
	}
	if (!node->config.payloads)
		elem_set_text(item, STR_NONE);
	elem_append(items_add(event, node), item);
	delay = elem_add(notice->root, EL_DELAY);
	elem_set(delay, AT_STAMP, clock_format(a, published, true));
	notice_send_to(node, notice, to);
}

static void
on_last(void *ctx, int err, struct str value)
{
	struct last *last = ctx;
	struct node *node = node_find(last->ps, last->node);

	if (err == 0 && node != NULL && !last->ps->is_dead &&
	    is_readable(node, &last->to))
		send_last(node, value, &last->to);
	last_free(last);
}

void
notify_last(struct node *node, const struct jid *to)
{
	struct last *last = last_new(node->ps, to);

	last->node = str_heap(node->name);
	metric_add(METRIC_PUBSUB_READS, 1);
	kv_get(node->ps->jid.bare, PUBSUB_LAST, node->name, on_last, last);
}

/* Up to so many nodes are read one by one: what others have may be large. */
#define READS_MAX 8

static bool
is_sent_at_once(const struct node *node, const struct contact *c)
{
	return node->config.persist && node->config.notify &&
	       node->config.send_last == SEND_ON_SUB_AND_PRESENCE &&
	       is_interested(node, c);
}

static void
on_last_all(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct last *last = ctx;
	struct pubsub *ps = last->ps;
	struct contact *c = map_get(&ps->contacts, last->to.full);
	struct node *node;

	for (size_t i = 0; i < count && c != NULL && !ps->is_dead; i++) {
		node = node_find(ps, items[i].key);
		if (node != NULL && is_sent_at_once(node, c))
			send_last(node, items[i].value, &c->jid);
	}
	last_free(last);
}

void
notify_last_all(struct pubsub *ps, const struct jid *to)
{
	const struct contact *c = map_get(&ps->contacts, to->full);
	struct node *node, *found[READS_MAX];
	size_t count = 0;

	for (size_t i = 0; c != NULL && count <= READS_MAX &&
			   (node = map_next(&ps->nodes, &i)) != NULL;)
		if (is_sent_at_once(node, c)) {
			if (count < READS_MAX)
				found[count] = node;
			count++;
		}
	for (size_t i = 0; count <= READS_MAX && i < count; i++)
		notify_last(found[i], to);
	if (count <= READS_MAX)
		return;
	metric_add(METRIC_PUBSUB_READS, 1);
	kv_list(ps->jid.bare, PUBSUB_LAST, STR_NONE, false,
	    ps->limits.max_nodes, on_last_all, last_new(ps, to));
}
