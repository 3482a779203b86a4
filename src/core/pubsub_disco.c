/* SPDX-License-Identifier: MIT */
/* What disco tells of nodes and items, and what is offered. */
#include "core/pubsub_impl.h"

#include "base/clock.h"

#include "xep/0004-forms.h"
#include "xep/0030-disco.h"
#include "xep/0059-rsm.h"

#include <stdlib.h>

#define META_DATA "http://jabber.org/protocol/pubsub#meta-data"
/* Most names in one answer. */
#define PAGE_MAX 500
#define F(name) "http://jabber.org/protocol/pubsub#" name

const char *const pubsub_features[] = {
	F("access-authorize"),
	F("access-open"),
	F("access-whitelist"),
	F("auto-create"),
	F("config-node"),
	F("config-node-max"),
	F("create-and-configure"),
	F("create-nodes"),
	F("delete-items"),
	F("delete-nodes"),
	F("get-pending"),
	F("item-ids"),
	F("last-published"),
	F("manage-subscriptions"),
	F("member-affiliation"),
	F("meta-data"),
	F("modify-affiliations"),
	F("multi-items"),
	F("outcast-affiliation"),
	F("persistent-items"),
	F("publish"),
	F("publish-node-full"),
	F("publish-only-affiliation"),
	F("publish-options"),
	F("publisher-affiliation"),
	F("purge-nodes"),
	F("retract-items"),
	F("retrieve-affiliations"),
	F("retrieve-default"),
	F("retrieve-default-sub"),
	F("retrieve-items"),
	F("retrieve-subscriptions"),
	F("rsm"),
	F("subscribe"),
	F("subscription-notifications"),
	F("subscription-options"),
	"http://jabber.org/protocol/commands",
	"urn:xmpp:order-by:1",
	"urn:xmpp:order-by:1@http://jabber.org/protocol/pubsub",
	"urn:xmpp:pubsub-filter:0",
	NULL,
};

static bool
is_readable(const struct node *node, const struct stanza *iq)
{
	enum qname condition, specific;

	return node_may_read(node, &iq->from, &condition, &specific);
}

/* ---- pages ------------------------------------------------------------- */

/* Names, in an order that stays. */
struct page {
	struct str *names;
	size_t first, end, count;
	bool is_cut; /* there are others */
};

static size_t
index_of(const struct page *p, struct str name)
{
	size_t i = 0;

	while (i < p->count && !str_eq(p->names[i], name))
		i++;
	return i;
}

/* Which of them are asked for. False if it is by one that is not there. */
static bool
page_choose(struct page *p, const struct elem *query)
{
	struct rsm rsm;
	size_t max = PAGE_MAX;

	p->first = 0;
	p->end = p->count;
	if (rsm_read(query, &rsm) < 0)
		return false;
	if (rsm.has_max && rsm.max < max)
		max = (size_t)rsm.max;
	if (rsm.after.n > 0)
		p->first = index_of(p, rsm.after) + 1;
	if (rsm.before.n > 0)
		p->end = index_of(p, rsm.before);
	if (p->first > p->count || (rsm.before.n > 0 && p->end == p->count))
		return false;
	p->first = MIN(p->first, p->end);
	p->is_cut = rsm.is_there || p->end - p->first > max;
	if (p->end - p->first > max && !str_is_none(rsm.before))
		p->first = p->end - max;
	else
		p->end = MIN(p->end, p->first + max);
	return true;
}

static void
page_tell(const struct page *p, struct elem *query)
{
	bool is_empty = p->first == p->end;

	if (p->is_cut)
		rsm_add(query, is_empty ? STR_NONE : p->names[p->first],
		    is_empty ? STR_NONE : p->names[p->end - 1],
		    (int64_t)p->count);
}

/* ---- a node ------------------------------------------------------------ */

static void
add_affiliated(
    struct elem *field, const struct node *node, enum pubsub_aff wanted)
{
	const struct affiliation *aff;

	LIST_EACH(aff, &node->affiliations, struct affiliation, node)
	if (aff->aff == wanted)
		form_add_value(field, str_dup(elem_arena(field), aff->jid));
}

static void
add_meta(struct elem *query, const struct node *node)
{
	struct arena *a = elem_arena(query);
	struct elem *form = form_add(query, "result", META_DATA), *field;
	const struct pubsub_config *c = &node->config;

	form_add_field(form, NULL, "pubsub#title", NULL, str_dup(a, c->title));
	form_add_field(
	    form, NULL, "pubsub#description", NULL, str_dup(a, c->description));
	form_add_field(form, NULL, "pubsub#type", NULL, str_dup(a, c->type));
	form_add_field(
	    form, NULL, "pubsub#creator", NULL, str_dup(a, node->creator));
	form_add_field(form, NULL, "pubsub#creation_date", NULL,
	    clock_format(a, node->created, false));
	form_add_field(form, NULL, "pubsub#access_model", NULL,
	    str_c(pubsub_access_name(c->access)));
	form_add_field(form, NULL, "pubsub#publish_model", NULL,
	    str_c(pubsub_publish_name(c->publish)));
	form_add_field(form, NULL, "pubsub#max_items", NULL,
	    str_printf(a, "%u", pubsub_config_items(c, &node->ps->bounds)));
	form_add_field(form, NULL, "pubsub#num_subscribers", NULL,
	    str_printf(a, "%zu", node->sub_count));
	field = form_add_field(form, NULL, "pubsub#owner", NULL, STR_NONE);
	if (node->ps->acct != NULL)
		form_add_value(field, str_dup(a, node->ps->jid.bare));
	add_affiliated(field, node, AFF_OWNER);
	field = form_add_field(form, NULL, "pubsub#publisher", NULL, STR_NONE);
	add_affiliated(field, node, AFF_PUBLISHER);
}

void
do_disco_info(struct op *op, struct node *node)
{
	static const ns_t features[] = { NS_PUBSUB, NS_DISCO_INFO, NS_MAM };
	struct elem *query;

	query = op_result(op, EL_DISCO_INFO);
	elem_set(query, AT_NODE, op->node_name);
	disco_add_identity(query, "pubsub", "leaf",
	    node->config.title.n > 0 ? node->config.title : STR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		disco_add_feature(query, names_ns_uri(features[i]));
	add_meta(query, node);
	op_send(op);
}

void
do_disco_items(struct op *op, struct node *node)
{
	struct arena *a = op->iq->arena;
	struct page p = { .names = arena_alloc(
			      a, (node->by_id.count + 1) * sizeof(*p.names)) };
	struct elem *query, *e;
	const struct item *item;

	LIST_EACH(item, &node->items, struct item, node)
	p.names[p.count++] = str_dup(a, item->id);
	if (!page_choose(&p, op->action)) {
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
		return;
	}
	query = op_result(op, EL_DISCO_ITEMS);
	elem_set(query, AT_NODE, op->node_name);
	for (size_t i = p.first; i < p.end; i++) {
		e = elem_add(query, EL_DISCO_ITEM);
		elem_set_copy(e, AT_JID, op->ps->jid.full);
		elem_set(e, AT_NAME, p.names[i]);
	}
	page_tell(&p, query);
	op_send(op);
}

/* ---- all nodes --------------------------------------------------------- */

static struct elem *
filter_of(const struct elem *query)
{
	return form_of(
	    elem_child(query, EL_PUBSUB_FILTER), "urn:xmpp:pubsub-filter:0");
}

bool
pubsub_disco_is_fine(const struct stanza *iq)
{
	const struct elem *query = stanza_payload(iq), *form = filter_of(query);
	struct rsm rsm;

	if (rsm_read(query, &rsm) < 0)
		return false;
	if (elem_child(query, EL_PUBSUB_FILTER) == NULL)
		return true;
	return form != NULL && (form_field(form, "included-types") == NULL ||
				   form_field(form, "excluded-types") == NULL);
}

static bool
has_value(const struct elem *field, struct str value)
{
	struct elem *e = elem_child(field, EL_FORM_VALUE);

	while (e != NULL && !str_eq(elem_text(e), value))
		e = elem_next(e, EL_FORM_VALUE);
	return e != NULL;
}

static bool
is_wanted(const struct elem *form, struct str type)
{
	struct elem *included = form_field(form, "included-types");
	struct elem *excluded = form_field(form, "excluded-types");

	return (included == NULL || has_value(included, type)) &&
	       !has_value(excluded, type);
}

static int
compare_names(const void *x, const void *y)
{
	return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

/* He may read it, or ask whether he may; and wants that type. */
static bool
is_shown(const struct node *node, const struct stanza *iq)
{
	const struct elem *form = filter_of(stanza_payload(iq));

	return (is_readable(node, iq) ||
		   node->config.access == ACCESS_AUTHORIZE) &&
	       (form == NULL || is_wanted(form, node->config.type));
}

bool
pubsub_disco_items(
    struct pubsub *ps, struct elem *query, const struct stanza *iq)
{
	struct arena *a = elem_arena(query);
	struct page p = { .names = arena_alloc(
			      a, (ps->nodes.count + 1) * sizeof(*p.names)) };
	const struct node *node;
	struct elem *e;

	for (size_t i = 0; (node = map_next(&ps->nodes, &i)) != NULL;)
		if (is_shown(node, iq))
			p.names[p.count++] = node->name;
	if (p.count > 1)
		qsort(p.names, p.count, sizeof(*p.names), compare_names);
	if (!page_choose(&p, stanza_payload(iq)))
		return false;
	for (size_t i = p.first; i < p.end; i++) {
		node = node_find(ps, p.names[i]);
		p.names[i] = str_dup(a, node->name);
		e = elem_add(query, EL_DISCO_ITEM);
		elem_set_copy(e, AT_JID, ps->jid.full);
		elem_set(e, AT_NODE, p.names[i]);
		if (node->config.title.n > 0)
			elem_set_copy(e, AT_NAME, node->config.title);
	}
	page_tell(&p, query);
	return true;
}

bool
pubsub_has_node(const struct pubsub *ps, struct str node)
{
	return node_find(ps, node) != NULL;
}
