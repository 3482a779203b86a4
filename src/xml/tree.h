/* SPDX-License-Identifier: MIT */
/* What an element looks like inside. For src/xml/ alone. */
#ifndef XML_TREE_H
#define XML_TREE_H

#include "xml/elem.h"

struct attr {
	struct str value;
	struct str local; /* only when the name is AT_NONE */
	attr_t name;
};

struct elem {
	struct elem *parent;
	struct elem *first; /* child; its `prev` is the last one */
	struct elem *next;  /* sibling, or NULL */
	struct elem *prev;  /* sibling; the first has the last here */
	struct arena *arena;
	struct attr *attrs;
	uint16_t attr_count;
	uint16_t attr_cap;
	qname_t name;
	ns_t ns;
	struct str text;   /* of a text node; or the local name, if EL_NONE */
	struct str ns_uri; /* only when the namespace is NS_NONE */
};

/* A node without a name, last of its parent (or a root when that is NULL). */
struct elem *tree_add_node(struct arena *a, struct elem *parent);
/* Room for `count` attributes in all; those past attr_count are not set. */
void tree_reserve_attrs(struct elem *e, size_t count);

static inline struct elem *
tree_last(const struct elem *e)
{
	return e->first != NULL ? e->first->prev : NULL;
}

/* Are both in the same namespace, known to us or not? */
static inline bool
tree_is_same_ns(const struct elem *a, const struct elem *b)
{
	return a->ns == b->ns &&
	       (a->ns != NS_NONE || str_eq(a->ns_uri, b->ns_uri));
}

#endif
