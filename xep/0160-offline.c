/* SPDX-License-Identifier: MIT */
#include "xep/0160-offline.h"

static bool
is_type_kept(const struct elem *message)
{
	struct str type = elem_attr(message, AT_TYPE);

	/* Unknown types are normal ones (RFC 6121 section 5.2.2). */
	return !str_is(type, "error") && !str_is(type, "headline") &&
	       !str_is(type, "groupchat");
}

/* What says nothing by itself. */
static bool
is_idle_talk(const struct elem *child)
{
	return elem_ns(child) == NS_CHATSTATES || elem_ns(child) == NS_HINTS ||
	       elem_ns(child) == NS_DELAY || elem_name(child) == EL_THREAD;
}

bool
offline_is_worth(const struct elem *message)
{
	const struct elem *child;

	if (!is_type_kept(message) ||
	    elem_child(message, EL_HINT_NO_STORE) != NULL)
		return false;
	if (elem_child(message, EL_HINT_STORE) != NULL)
		return true;
	child = elem_child(message, EL_ANY);
	while (child != NULL && is_idle_talk(child))
		child = elem_next(child, EL_ANY);
	return child != NULL;
}

bool
offline_is_chat_state(const struct elem *message)
{
	const struct elem *child = elem_child(message, EL_ANY);

	if (!is_type_kept(message) ||
	    elem_child_in(message, NS_CHATSTATES) == NULL)
		return false;
	while (child != NULL && is_idle_talk(child))
		child = elem_next(child, EL_ANY);
	return child == NULL;
}
