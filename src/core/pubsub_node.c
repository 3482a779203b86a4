/* SPDX-License-Identifier: MIT */
/* Nodes: their records, and who may do what with them. */
#include "core/pubsub_impl.h"

#include "base/clock.h"
#include "base/random.h"
#include "xml/parser.h"
#include "xml/writer.h"

#include "xep/0004-forms.h"

static const char *const aff_names[] = { "none", "outcast", "publish-only",
	"member", "publisher", "owner" };

const char *
aff_name(enum pubsub_aff aff)
{
	return aff_names[aff];
}

bool
aff_of(struct str name, enum pubsub_aff *aff_r)
{
	for (unsigned i = 0; i < ARRAY_LEN(aff_names); i++)
		if (str_is(name, aff_names[i])) {
			*aff_r = (enum pubsub_aff)i;
			return true;
		}
	return false;
}

/* ---- life -------------------------------------------------------------- */

struct node *
node_find(const struct pubsub *ps, struct str name)
{
	return map_get(&ps->nodes, name);
}

static struct node *
node_alloc(struct pubsub *ps, struct str name)
{
	struct node *node = xzalloc(sizeof(*node));
	struct buf store = { 0 };

	node->ps = ps;
	node->name = str_heap(name);
	buf_add_str(&store, STR("pubsub/"));
	buf_add_str(&store, name);
	node->store = str_heap(buf_str(&store));
	buf_fini(&store);
	list_init(&node->affiliations);
	list_init(&node->subscriptions);
	list_init(&node->items);
	list_init(&node->waiting);
	pubsub_config_init(&node->config, &ps->bounds, name);
	map_set(&ps->nodes, node->name, node);
	return node;
}

struct node *
node_new(struct pubsub *ps, struct str name, const struct jid *creator)
{
	struct node *node = node_alloc(ps, name);

	node->creator = str_heap(creator->bare);
	node->created = clock_real();
	node->is_loaded = true;
	if (ps->acct == NULL)
		node_set_aff(node, creator->bare, AFF_OWNER);
	return node;
}

static void
aff_free(struct affiliation *aff)
{
	list_del(&aff->node);
	str_free(&aff->jid);
	xfree(aff);
}

void
node_free(struct node *node)
{
	struct affiliation *aff;
	struct subscription *sub;
	struct op *op;

	/* It may have been taken out, and another have its name. */
	if (node_find(node->ps, node->name) == node)
		map_del(&node->ps->nodes, node->name);
	while ((op = LIST_FIRST(&node->waiting, struct op, link)) != NULL) {
		list_del(&op->link);
		op_refuse(op, EL_ITEM_NOT_FOUND, EL_NONE);
	}
	while ((aff = LIST_FIRST(
		    &node->affiliations, struct affiliation, node)) != NULL)
		aff_free(aff);
	while ((sub = LIST_FIRST(
		    &node->subscriptions, struct subscription, node)) != NULL)
		node_unsubscribe(node, sub);
	items_free(node);
	pubsub_config_fini(&node->config);
	str_free(&node->creator);
	str_free(&node->store);
	str_free(&node->name);
	xfree(node);
}

/* ---- records ----------------------------------------------------------- */

static void
write_lists(struct elem *record, const struct node *node)
{
	struct affiliation *aff;
	struct subscription *sub;
	struct elem *list, *e;

	list = elem_add(record, EL_OWNER_AFFILIATIONS);
	LIST_EACH(aff, &node->affiliations, struct affiliation, node)
	{
		e = elem_add(list, EL_OWNER_AFFILIATION);
		elem_set(e, AT_JID, aff->jid);
		elem_set(e, AT_AFFILIATION, str_c(aff_name(aff->aff)));
	}
	list = elem_add(record, EL_OWNER_SUBSCRIPTIONS);
	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	{
		e = elem_add(list, EL_OWNER_SUBSCRIPTION);
		elem_set(e, AT_JID, sub->jid.full);
		elem_set(e, AT_SUBID, sub->subid);
		elem_set(e, AT_SUBSCRIPTION,
		    sub->is_pending ? STR("pending") : STR("subscribed"));
		if (sub->is_quiet)
			elem_set(e, AT_NOTIFY, STR("0"));
	}
}

void
node_put(struct store_write *w, const struct node *node)
{
	struct arena *a = store_write_arena(w);
	struct elem *record = elem_new(a, EL_OWNER_PUBSUB);

	elem_set(record, AT_PUBLISHER, node->creator);
	elem_set(record, AT_STAMP, clock_format(a, node->created, false));
	pubsub_config_form(elem_add(record, EL_OWNER_CONFIGURE), "submit",
	    &node->config, &node->ps->bounds);
	write_lists(record, node);
	kv_put(w, node->ps->jid.bare, PUBSUB_STORE, node->name,
	    xml_text(a, record));
}

void
node_erase(struct store_write *w, const struct node *node)
{
	struct str owner = node->ps->jid.bare;

	kv_del(w, owner, PUBSUB_STORE, node->name);
	kv_del(w, owner, PUBSUB_LAST, node->name);
	kv_clear(w, owner, node->store);
}

static void
read_lists(struct node *node, const struct elem *record)
{
	struct elem *list = elem_child(record, EL_OWNER_AFFILIATIONS);
	struct elem *e = elem_child(list, EL_OWNER_AFFILIATION);
	enum pubsub_aff aff;

	for (; e != NULL; e = elem_next(e, EL_OWNER_AFFILIATION))
		if (aff_of(elem_attr(e, AT_AFFILIATION), &aff))
			node_set_aff(node, elem_attr(e, AT_JID), aff);
	list = elem_child(record, EL_OWNER_SUBSCRIPTIONS);
	e = elem_child(list, EL_OWNER_SUBSCRIPTION);
	for (; e != NULL; e = elem_next(e, EL_OWNER_SUBSCRIPTION)) {
		struct jid jid = jid_of(elem_attr(e, AT_JID));
		struct subscription *sub = node_subscribe(
		    node, &jid, elem_attr_is(e, AT_SUBSCRIPTION, "pending"));

		if (sub == NULL)
			break;
		sub->is_quiet = elem_attr_is(e, AT_NOTIFY, "0");
		str_free(&sub->subid);
		sub->subid = str_heap(elem_attr(e, AT_SUBID));
	}
}

struct node *
node_of(struct pubsub *ps, struct str name, struct str record)
{
	struct arena *a = arena_new(0);
	struct elem *e = xml_parse(a, str_dup(a, record), NULL, NS_NONE, NULL);
	struct node *node = NULL;

	if (e != NULL) {
		node = node_alloc(ps, name);
		node->creator = str_heap(elem_attr(e, AT_PUBLISHER));
		if (clock_parse(elem_attr(e, AT_STAMP), &node->created) < 0)
			node->created = 0;
		/* Bounds may be narrower than when it was stored. */
		pubsub_config_read(&node->config,
		    form_of(elem_child(e, EL_OWNER_CONFIGURE), NULL),
		    &ps->bounds, false);
		read_lists(node, e);
	}
	arena_free(&a);
	return node;
}

/* ---- affiliations ------------------------------------------------------ */

static struct affiliation *
aff_find(const struct node *node, struct str bare)
{
	struct affiliation *aff;

	LIST_EACH(aff, &node->affiliations, struct affiliation, node)
	if (str_eq(aff->jid, bare))
		return aff;
	return NULL;
}

enum pubsub_aff
node_listed(const struct node *node, struct str bare)
{
	const struct affiliation *aff = aff_find(node, bare);

	return aff != NULL ? aff->aff : AFF_NONE;
}

enum pubsub_aff
node_aff(const struct node *node, const struct jid *who)
{
	struct jid bare = jid_to_bare(who);

	if (node->ps->acct != NULL ? str_eq(who->bare, node->ps->jid.bare)
				   : host_is_admin(&bare))
		return AFF_OWNER;
	return node_listed(node, who->bare);
}

int
node_set_aff(struct node *node, struct str bare, enum pubsub_aff aff)
{
	struct affiliation *entry = aff_find(node, bare);

	if (aff == AFF_NONE) {
		if (entry != NULL) {
			aff_free(entry);
			node->aff_count--;
		}
		return 0;
	}
	if (entry == NULL) {
		if (node->aff_count >= node->ps->limits.max_subscriptions)
			return ERR_LIMIT;
		entry = xzalloc(sizeof(*entry));
		entry->jid = str_heap(bare);
		list_add(&node->affiliations, &entry->node);
		node->aff_count++;
	}
	entry->aff = aff;
	return 0;
}

/* ---- subscriptions ----------------------------------------------------- */

struct subscription *
node_subscription(const struct node *node, const struct jid *jid)
{
	struct subscription *sub;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	if (jid_eq(&sub->jid, jid))
		return sub;
	return NULL;
}

bool
node_is_subscriber(const struct node *node, const struct jid *who)
{
	struct subscription *sub;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	if (jid_eq_bare(&sub->jid, who) && !sub->is_pending)
		return true;
	return false;
}

struct subscription *
node_subscribe(struct node *node, const struct jid *jid, bool is_pending)
{
	struct subscription *sub = node_subscription(node, jid);
	struct arena *a;

	if (sub == NULL) {
		if (node->sub_count >= node->ps->limits.max_subscriptions)
			return NULL;
		a = arena_new(0);
		sub = xzalloc(sizeof(*sub));
		sub->jid = jid_of(str_heap(jid->full));
		sub->subid = str_heap(random_token(a, 9));
		list_add(&node->subscriptions, &sub->node);
		node->sub_count++;
		arena_free(&a);
	}
	sub->is_pending = is_pending;
	return sub;
}

void
node_unsubscribe(struct node *node, struct subscription *sub)
{
	struct str text = sub->jid.full;

	list_del(&sub->node);
	node->sub_count--;
	str_free(&text);
	str_free(&sub->subid);
	xfree(sub);
}

/* ---- what is allowed --------------------------------------------------- */

static bool
is_in_groups(const struct roster_item *item, struct str groups)
{
	while (groups.n > 0) {
		struct str group = str_cut(&groups, '\n');

		for (size_t i = 0; i < item->groups.count; i++)
			if (str_eq(item->groups.item[i], group))
				return true;
	}
	return false;
}

static bool
deny(enum qname condition, enum qname specific, enum qname *condition_r,
    enum qname *specific_r)
{
	*condition_r = condition;
	*specific_r = specific;
	return false;
}

bool
node_may_read(const struct node *node, const struct jid *who,
    enum qname *condition_r, enum qname *specific_r)
{
	enum pubsub_aff aff = node_aff(node, who);
	const struct account *acct = node->ps->acct;
	const struct roster_item *item =
	    acct != NULL ? roster_find(acct, who->bare) : NULL;
	bool is_contact = item != NULL && item->sub & ROSTER_FROM;

	if (aff == AFF_OUTCAST || aff == AFF_PUBLISH_ONLY)
		return deny(EL_FORBIDDEN, EL_NONE, condition_r, specific_r);
	if (aff != AFF_NONE)
		return true;
	switch ((enum pubsub_access)node->config.access) {
	case ACCESS_OPEN:
		return true;
	case ACCESS_PRESENCE:
		return is_contact || deny(EL_NOT_AUTHORIZED,
					 EL_PE_PRESENCE_SUBSCRIPTION_REQUIRED,
					 condition_r, specific_r);
	case ACCESS_ROSTER:
		return (is_contact &&
			   is_in_groups(item, node->config.groups)) ||
		       deny(EL_NOT_AUTHORIZED, EL_PE_NOT_IN_ROSTER_GROUP,
			   condition_r, specific_r);
	case ACCESS_AUTHORIZE:
		return node_is_subscriber(node, who) ||
		       deny(EL_NOT_AUTHORIZED, EL_PE_NOT_SUBSCRIBED,
			   condition_r, specific_r);
	case ACCESS_WHITELIST:
		break;
	}
	return deny(EL_NOT_ALLOWED, EL_PE_CLOSED_NODE, condition_r, specific_r);
}

bool
node_may_publish(const struct node *node, const struct jid *who)
{
	enum pubsub_aff aff = node_aff(node, who);

	if (aff == AFF_OWNER || aff == AFF_PUBLISHER || aff == AFF_PUBLISH_ONLY)
		return true;
	if (aff == AFF_OUTCAST)
		return false;
	return node->config.publish == PUBLISH_OPEN ||
	       (node->config.publish == PUBLISH_SUBSCRIBERS &&
		   node_is_subscriber(node, who));
}
