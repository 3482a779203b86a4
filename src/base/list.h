/* SPDX-License-Identifier: MIT */
/* Intrusive, circular, doubly linked lists. The head is a node of its own. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list {
	struct list *prev;
	struct list *next;
};

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool
list_is_empty(const struct list *l)
{
	return l->next == l;
}

/* Is this node in a list? Its memory must have been list_init()ed or zero. */
static inline bool
list_is_linked(const struct list *node)
{
	return node->next != NULL && node->next != node;
}

static inline void
list_insert(struct list *prev, struct list *next, struct list *node)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

/* At the end of the list, or at its beginning. */
static inline void
list_add(struct list *head, struct list *node)
{
	list_insert(head->prev, head, node);
}

static inline void
list_push(struct list *head, struct list *node)
{
	list_insert(head, head->next, node);
}

/* Unlinks; harmless on a node that is in no list. */
static inline void
list_del(struct list *node)
{
	if (node->next == NULL)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Moves all of `from` to the end of `to`. */
static inline void
list_splice(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define LIST_FIRST(head, type, member) \
	(list_is_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))

/* `e` may be unlinked or freed in the body, but not the one after it. */
#define LIST_EACH(e, head, type, member) \
	for (struct list *e##_l = (head)->next, *e##_n = e##_l->next; \
	     e##_l != (head) && \
	     ((e) = CONTAINER_OF(e##_l, type, member), true); \
	     e##_l = e##_n, e##_n = e##_n->next)

#endif
