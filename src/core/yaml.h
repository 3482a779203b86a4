/* SPDX-License-Identifier: MIT */
/*
 * YAML as a small tree with line numbers: maps, lists and texts. Bounded in
 * size and depth; anchors, aliases, tags and further documents are refused.
 */
#ifndef CORE_YAML_H
#define CORE_YAML_H

#include "core/problem.h"

#define YAML_BYTES_MAX (1u << 20)
#define YAML_DEPTH_MAX 12
#define YAML_NODES_MAX 20000

enum tree_kind { TREE_TEXT, TREE_LIST, TREE_MAP };

struct tree {
	enum tree_kind kind;
	unsigned line;
	/* In a map: its key, unique there. */
	struct str key;
	unsigned key_line;
	struct str text; /* TREE_TEXT; ended by a NUL, and has no other */
	bool is_quoted;
	struct tree *first, *last; /* children, */
	struct tree *next;	   /* and the one beside it */
	size_t count;
};

/*
 * Reads a document into the arena; an empty one is an empty map. NULL when
 * it is not YAML as we take it: then a problem says why.
 */
struct tree *yaml_read(
    struct arena *a, struct str text, struct problems *problems);
/* The value of a key in a map; NULL if there is none, or no map. */
struct tree *tree_get(const struct tree *map, const char *key);
/* "a text", "a list", "a map". */
const char *tree_kind_name(const struct tree *t);

#endif
