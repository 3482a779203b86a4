/* SPDX-License-Identifier: MIT */
/* XEP-0060, 8.7: an owner asks for the subscriptions that wait for his word. */
#include "core/pubsub_impl.h"

#include "core/adhoc.h"
#include "xep/0004-forms.h"

static bool
has_pending(const struct node *node)
{
	const struct subscription *sub;

	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	if (sub->is_pending)
		return true;
	return false;
}

/* The nodes of his for which somebody waits. */
static void
send_form(struct pubsub *ps, struct adhoc_call *call)
{
	struct elem *form, *field;
	const struct node *node;

	form = form_add(adhoc_stage(call, 1 << ADHOC_COMPLETE), "form",
	    PUBSUB_AUTHORIZATION);
	field = form_add_field(
	    form, "list-single", "pubsub#node", "Node", STR_NONE);
	for (size_t i = 0; (node = map_next(&ps->nodes, &i)) != NULL;)
		if (node_aff(node, call->who) == AFF_OWNER && has_pending(node))
			form_add_option(
			    field, NULL, str_dup(call->arena, node->name));
	adhoc_send(call);
}

/* After the answer, with which the call goes. */
static void
send_requests(struct node *node, struct adhoc_call *call)
{
	struct str text = str_heap(call->who->full);
	struct jid to = jid_of(text);
	const struct subscription *sub;

	adhoc_done(call);
	adhoc_send(call);
	LIST_EACH(sub, &node->subscriptions, struct subscription, node)
	if (sub->is_pending)
		ask_owner(node, sub, &to);
	str_free(&text);
}

void
pubsub_get_pending(struct pubsub *ps, struct adhoc_call *call)
{
	struct str name = form_value(call->form, "pubsub#node");
	struct node *node;

	if (ps == NULL || !ps->is_loaded) {
		adhoc_refuse(call, EL_SERVICE_UNAVAILABLE, EL_NONE);
		return;
	}
	if (call->action == ADHOC_EXECUTE && name.n == 0) {
		send_form(ps, call);
		return;
	}
	node = node_find(ps, name);
	if (name.n == 0) {
		adhoc_refuse(call, EL_BAD_REQUEST, EL_PE_NODEID_REQUIRED);
	} else if (node == NULL) {
		adhoc_refuse(call, EL_ITEM_NOT_FOUND, EL_NONE);
	} else if (node_aff(node, call->who) != AFF_OWNER) {
		adhoc_refuse(call, EL_FORBIDDEN, EL_NONE);
	} else {
		send_requests(node, call);
	}
}
