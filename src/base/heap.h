/* SPDX-License-Identifier: MIT */
/*
 * Intrusive binary heaps: the node with the smallest key is first. For
 * timers, say. The heap borrows its nodes; one thread at a time.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/base.h"

/* {0} is a node that is in no heap. */
struct heap_node {
	uint64_t key;
	size_t place; /* in the heap's array, from 1; 0: in no heap */
};

/* {0} is an empty heap, and takes no memory. */
struct heap {
	struct heap_node **nodes;
	size_t count;
	size_t cap;
};

/* Frees the array; the nodes are in no heap then. */
API void heap_fini(struct heap *h);
/* Puts a node in, or moves it when it is in already. */
API void heap_put(struct heap *h, struct heap_node *node, uint64_t key);
/* Takes a node out; harmless when it is in no heap. */
API void heap_del(struct heap *h, struct heap_node *node);

/* The node with the smallest key, or NULL. */
static inline struct heap_node *
heap_first(const struct heap *h)
{
	return h->count > 0 ? h->nodes[0] : NULL;
}

static inline bool
heap_is_in(const struct heap_node *node)
{
	return node->place != 0;
}

#endif
