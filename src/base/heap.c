/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

void
heap_fini(struct heap *h)
{
	for (size_t i = 0; i < h->count; i++)
		h->nodes[i]->place = 0;
	xfree(h->nodes);
	*h = (struct heap){ 0 };
}

static void
place_at(struct heap *h, size_t i, struct heap_node *node)
{
	h->nodes[i] = node;
	node->place = i + 1;
}

/* Moves the node at `i` towards the root as far as it must. */
static void
sift_up(struct heap *h, size_t i)
{
	struct heap_node *node = h->nodes[i];

	while (i > 0 && h->nodes[(i - 1) / 2]->key > node->key) {
		place_at(h, i, h->nodes[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place_at(h, i, node);
}

static void
sift_down(struct heap *h, size_t i)
{
	struct heap_node *node = h->nodes[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= h->count)
			break;
		if (child + 1 < h->count &&
		    h->nodes[child + 1]->key < h->nodes[child]->key)
			child++;
		if (h->nodes[child]->key >= node->key)
			break;
		place_at(h, i, h->nodes[child]);
		i = child;
	}
	place_at(h, i, node);
}

void
heap_put(struct heap *h, struct heap_node *node, uint64_t key)
{
	if (node->place == 0) {
		if (h->count == h->cap) {
			h->cap = MAX(h->cap * 2, 16);
			h->nodes = (struct heap_node **)xrealloc(
			    h->nodes, h->cap * sizeof(struct heap_node *));
		}
		place_at(h, h->count++, node);
	}
	node->key = key;
	sift_up(h, node->place - 1);
	sift_down(h, node->place - 1);
}

void
heap_del(struct heap *h, struct heap_node *node)
{
	size_t i = node->place - 1;
	struct heap_node *last;

	if (node->place == 0)
		return;
	must(i < h->count && h->nodes[i] == node);
	last = h->nodes[--h->count];
	node->place = 0;
	if (last == node)
		return;
	place_at(h, i, last);
	sift_up(h, i);
	sift_down(h, last->place - 1);
}
