/* SPDX-License-Identifier: MIT */
/* Roster items as memory, as the store's text and as clients see them. */
#include "base/err.h"
#include "core/roster_impl.h"
#include "xml/parser.h"
#include "xml/writer.h"

static const char *const sub_names[] = { "none", "to", "from", "both" };

const char *
roster_sub_name(enum roster_sub sub)
{
	return sub_names[sub & ROSTER_BOTH];
}

static enum roster_sub
sub_of(struct str name)
{
	for (unsigned i = 0; i < ARRAY_LEN(sub_names); i++)
		if (str_is(name, sub_names[i]))
			return (enum roster_sub)i;
	return ROSTER_NONE;
}

bool
roster_item_is_void(const struct roster_item *item)
{
	return !item->is_in_roster && !item->is_pending_in &&
	       item->shared == ROSTER_NONE;
}

/* Memory ------------------------------------------------------------------ */

static size_t
text_size(const struct roster_item *item)
{
	size_t n = item->jid.full.n + item->name.n + item->request.n +
		   item->shared_name.n;

	for (size_t i = 0; i < item->groups.count; i++)
		n += item->groups.item[i].n;
	return n;
}

static struct str
put(char **pos, struct str text)
{
	struct str to = str_mem(*pos, text.n);

	if (str_is_none(text))
		return STR_NONE;
	if (text.n > 0)
		memcpy(*pos, text.p, text.n);
	*pos += text.n;
	return to;
}

/* `groups` and `pos` have room for what the item holds. */
static struct roster_item
item_move(const struct roster_item *from, struct str *groups, char *pos)
{
	struct roster_item to = *from;

	to.jid = jid_of(put(&pos, from->jid.full));
	to.name = put(&pos, from->name);
	to.request = put(&pos, from->request);
	to.shared_name = put(&pos, from->shared_name);
	for (size_t i = 0; i < from->groups.count; i++)
		groups[i] = put(&pos, from->groups.item[i]);
	to.groups.item = groups;
	return to;
}

struct roster_entry *
roster_entry_new(const struct roster_item *item)
{
	size_t groups = item->groups.count * sizeof(struct str);
	struct roster_entry *e = xzalloc(sizeof(*e) + groups + text_size(item));
	struct str *after = (struct str *)(e + 1);

	e->item = item_move(item, after, (char *)(after + item->groups.count));
	return e;
}

struct roster_item
roster_item_copy(struct arena *a, const struct roster_item *item)
{
	struct str *groups =
	    arena_alloc(a, item->groups.count * sizeof(*groups) + 1);

	return item_move(item, groups, arena_bytes(a, text_size(item) + 1));
}

/* What clients see -------------------------------------------------------- */

static struct elem *
add(struct elem *e, const struct roster_item *item)
{
	struct arena *a = elem_arena(e);

	elem_set_copy(e, AT_JID, item->jid.full);
	if (!str_is_empty(item->name))
		elem_set_copy(e, AT_NAME, item->name);
	if (item->is_in_roster)
		elem_set(e, AT_SUBSCRIPTION, str_c(roster_sub_name(item->sub)));
	if (item->is_asking)
		elem_set(e, AT_ASK, STR("subscribe"));
	if (item->is_approved)
		elem_set(e, AT_APPROVED, STR("true"));
	for (size_t i = 0; i < item->groups.count; i++)
		elem_add_text(
		    e, EL_ROSTER_GROUP, str_dup(a, item->groups.item[i]));
	return e;
}

void
roster_item_add(struct elem *query, const struct roster_item *item)
{
	struct elem *e = elem_add(query, EL_ROSTER_ITEM);

	if (item->is_in_roster) {
		add(e, item);
		return;
	}
	elem_set_copy(e, AT_JID, item->jid.full);
	elem_set(e, AT_SUBSCRIPTION, STR("remove"));
}

/* What the store keeps ---------------------------------------------------- */

static void
add_shared(struct elem *e, const struct roster_item *item)
{
	elem_set(e, AT_SHARED, str_c(roster_sub_name(item->shared)));
	if (item->is_own)
		elem_set(e, AT_OWN, str_c(roster_sub_name(item->own)));
	if (item->shared_groups > 0)
		elem_set(e, AT_SHARED_GROUPS,
		    str_printf(elem_arena(e), "%zu", item->shared_groups));
	if (!str_is_empty(item->shared_name))
		elem_set_copy(e, AT_SHARED_NAME, item->shared_name);
}

/*
 * The same, without a subscription if it is not in the roster, and with the
 * request that waits for an answer, a presence stanza, if there is one.
 */
struct str
roster_item_text(struct arena *a, const struct roster_item *item)
{
	struct elem *e = add(elem_new(a, EL_ROSTER_ITEM), item);
	struct elem *request = NULL;

	if (item->shared != ROSTER_NONE)
		add_shared(e, item);
	if (!item->is_pending_in)
		return xml_text(a, e);
	if (!str_is_empty(item->request))
		request = xml_parse(a, item->request, NULL, NS_CLIENT, NULL);
	if (request != NULL)
		elem_append(e, request);
	else
		elem_add(e, EL_PRESENCE);
	return xml_text(a, e);
}

static struct str_list
groups_of(struct arena *a, const struct elem *e)
{
	size_t n = elem_count(e, EL_ROSTER_GROUP), i = 0;
	struct str *groups = arena_alloc(a, n * sizeof(*groups) + 1);

	for (e = elem_child(e, EL_ROSTER_GROUP); e != NULL;
	     e = elem_next(e, EL_ROSTER_GROUP))
		groups[i++] = elem_text(e);
	return (struct str_list){ groups, n };
}

static void
take_shared(const struct elem *e, struct roster_item *item)
{
	struct str own = elem_attr(e, AT_OWN);
	uint64_t groups = 0;

	item->shared = sub_of(elem_attr(e, AT_SHARED));
	item->is_own = item->is_in_roster;
	item->own = item->sub;
	if (item->shared == ROSTER_NONE)
		return;
	item->is_own = !str_is_none(own);
	item->own = sub_of(own);
	item->sub = (enum roster_sub)(item->own | item->shared);
	item->shared_name = elem_attr(e, AT_SHARED_NAME);
	str_to_u64(elem_attr(e, AT_SHARED_GROUPS), &groups);
	item->shared_groups = (size_t)MIN(groups, item->groups.count);
}

int
roster_item_parse(struct arena *a, struct str text, struct roster_item *item_r)
{
	const struct elem *request;
	struct elem *e = xml_parse(a, text, NULL, NS_NONE, NULL);
	struct str sub = elem_attr(e, AT_SUBSCRIPTION);

	*item_r = (struct roster_item){ 0 };
	if (elem_name(e) != EL_ROSTER_ITEM)
		return ERR_INVALID;
	item_r->jid = jid_of(elem_attr(e, AT_JID));
	if (jid_is_none(&item_r->jid))
		return ERR_INVALID;
	item_r->name = elem_attr(e, AT_NAME);
	item_r->is_in_roster = !str_is_none(sub);
	item_r->sub = sub_of(sub);
	item_r->is_asking = !str_is_none(elem_attr(e, AT_ASK));
	item_r->is_approved = !str_is_none(elem_attr(e, AT_APPROVED));
	item_r->groups = groups_of(a, e);
	take_shared(e, item_r);
	request = elem_child(e, EL_PRESENCE);
	item_r->is_pending_in = request != NULL;
	if (request != NULL)
		item_r->request = xml_text(a, request);
	return 0;
}

/* What clients ask for ---------------------------------------------------- */

/* RFC 6121 section 2.3.3. */
static enum qname
groups_fault(const struct str_list *groups)
{
	if (groups->count > ROSTER_GROUPS_MAX)
		return EL_NOT_ACCEPTABLE;
	for (size_t i = 0; i < groups->count; i++) {
		if (str_is_empty(groups->item[i]) ||
		    groups->item[i].n > ROSTER_NAME_MAX)
			return EL_NOT_ACCEPTABLE;
		for (size_t k = 0; k < i; k++)
			if (str_eq(groups->item[i], groups->item[k]))
				return EL_BAD_REQUEST;
	}
	return EL_NONE;
}

int
roster_item_of(struct arena *a, const struct elem *e,
    struct roster_item *item_r, enum qname *condition_r)
{
	*item_r = (struct roster_item){ 0 };
	*condition_r = EL_BAD_REQUEST;
	if (str_is_none(elem_attr(e, AT_JID)))
		return ERR_INVALID;
	*condition_r = EL_JID_MALFORMED;
	if (jid_parse(a, elem_attr(e, AT_JID), &item_r->jid) < 0)
		return ERR_INVALID;
	*condition_r = EL_NOT_ACCEPTABLE;
	item_r->name = elem_attr(e, AT_NAME);
	if (item_r->name.n > ROSTER_NAME_MAX)
		return ERR_INVALID;
	item_r->groups = groups_of(a, e);
	*condition_r = groups_fault(&item_r->groups);
	return *condition_r == EL_NONE ? 0 : ERR_INVALID;
}
