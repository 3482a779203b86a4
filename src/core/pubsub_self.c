/* SPDX-License-Identifier: MIT */
#include "core/pubsub_self.h"

#include "core/account.h"

struct stanza *
self_iq(const struct account *acct, enum stanza_type type)
{
	struct stanza *iq = stanza_new(EL_IQ);

	stanza_set_type(iq, type);
	stanza_set_from(iq, &acct->jid);
	stanza_set_to(iq, &acct->jid);
	return iq;
}

struct stanza *
self_items(const struct account *acct, ns_t node, struct str id, bool is_last)
{
	struct stanza *iq = self_iq(acct, IQ_GET);
	struct elem *items =
	    elem_add(elem_add(iq->root, EL_PUBSUB), EL_PUBSUB_ITEMS);

	elem_set(items, AT_NODE, names_ns_uri(node));
	if (id.n > 0)
		elem_set_copy(elem_add(items, EL_PUBSUB_ITEM), AT_ID, id);
	else if (is_last)
		elem_set(items, AT_MAX_ITEMS, STR("1"));
	return iq;
}

struct stanza *
self_publish(
    const struct account *acct, ns_t node, struct str id, struct elem **item_r)
{
	struct stanza *iq = self_iq(acct, IQ_SET);
	struct elem *publish =
	    elem_add(elem_add(iq->root, EL_PUBSUB), EL_PUBLISH);

	elem_set(publish, AT_NODE, names_ns_uri(node));
	*item_r = elem_add(publish, EL_PUBSUB_ITEM);
	elem_set_copy(*item_r, AT_ID, id);
	return iq;
}

struct elem *
answer_item(const struct stanza *answer)
{
	struct elem *items;

	if (answer == NULL || answer->type != IQ_RESULT)
		return NULL;
	items =
	    elem_child(elem_child(answer->root, EL_PUBSUB), EL_PUBSUB_ITEMS);
	return elem_child(items, EL_PUBSUB_ITEM);
}

bool
answer_is_absent(const struct stanza *answer)
{
	return answer != NULL && answer->type == IQ_ERROR &&
	       elem_child(elem_child(answer->root, EL_ERROR),
		   EL_ITEM_NOT_FOUND) != NULL;
}
