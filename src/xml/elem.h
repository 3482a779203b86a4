/* SPDX-License-Identifier: MIT */
/*
 * An XML element tree that lives in an arena.
 *
 * Elements die with their arena, never one by one. Names are interned: to
 * compare two is to compare integers; names that are not in our tables keep
 * their text. Getters accept NULL, so look-ups chain:
 *	body = elem_text(elem_child(msg, EL_BODY));
 * Text is a node of its own among the children (mixed content is kept);
 * adjacent text is one node.
 */
#ifndef XML_ELEM_H
#define XML_ELEM_H

#include "base/arena.h"
#include "xml/names.h"

struct elem;

/* Getters lend: what they return lives as long as the element's arena. */
API qname_t elem_name(const struct elem *e); /* EL_NONE also for NULL */
API ns_t elem_ns(const struct elem *e);
API struct str elem_local(const struct elem *e);
API struct str elem_ns_uri(const struct elem *e);
API struct arena *elem_arena(const struct elem *e);
API struct elem *elem_parent(const struct elem *e);

/* First child element of that name, next sibling of that name (or EL_ANY). */
API struct elem *elem_child(const struct elem *e, qname_t name);
API struct elem *elem_next(const struct elem *e, qname_t name);
/* First child element in that namespace; the same by text, "" any local. */
API struct elem *elem_child_in(const struct elem *e, ns_t ns);
API struct elem *elem_find(
    const struct elem *e, struct str ns_uri, struct str local);
API size_t elem_count(const struct elem *e, qname_t name);

/*
 * The value of an attribute, or none. By text for names we do not know: just
 * "local" without a namespace, "xml:..." for those of XML itself, and
 * "{uri}local" in any other namespace. The root of a stream also has what it
 * declares: "xmlns" and "xmlns:PREFIX".
 */
API struct str elem_attr(const struct elem *e, attr_t name);
API struct str elem_attr_named(const struct elem *e, struct str local);
API bool elem_attr_is(const struct elem *e, attr_t name, const char *value);
/* The first text node among the children, or none. */
API struct str elem_text(const struct elem *e);
API struct str elem_child_text(const struct elem *e, qname_t name);
/* The nearest xml:lang, looking upwards; or none. */
API struct str elem_lang(const struct elem *e);

/* All nodes, text included; text nodes answer EL_CHARS as their name. */
API struct elem *elem_first_node(const struct elem *e);
API struct elem *elem_next_node(const struct elem *e);
API struct str elem_chars(const struct elem *text_node);
/* All attributes: false when `i` is past the last. */
API bool elem_attr_at(const struct elem *e, size_t i, attr_t *name_r,
    struct str *local_r, struct str *value_r);

/* A new root in `a`, and a new last child of `parent`. Neither can fail. */
API struct elem *elem_new(struct arena *a, qname_t name);
API struct elem *elem_add(struct elem *parent, qname_t name);
/* The same for names that are not in the tables; texts are kept. */
API struct elem *elem_new_named(
    struct arena *a, struct str ns_uri, struct str local);
API struct elem *elem_add_named(
    struct elem *parent, struct str ns_uri, struct str local);
/* A child with text. */
API struct elem *elem_add_text(
    struct elem *parent, qname_t name, struct str text);

/*
 * Texts and values are kept, not copied: they must be static or in the same
 * arena. A value of none removes the attribute.
 */
API void elem_set(struct elem *e, attr_t name, struct str value);
API void elem_set_named(struct elem *e, struct str local, struct str value);
/* Copies the value into the element's arena. */
API void elem_set_copy(struct elem *e, attr_t name, struct str value);
API void elem_set_uint(struct elem *e, attr_t name, uint64_t value);
/*
 * Replaces all children by this text; adds text after the last child. The
 * text is kept as well; empty text adds no node.
 */
API void elem_set_text(struct elem *e, struct str text);
API void elem_append_text(struct elem *e, struct str text);

/* Unlinks a node from its parent; it stays in the arena. */
API void elem_remove(struct elem *e);
/* Appends a node of the same arena, taking it from where it was. */
API void elem_append(struct elem *parent, struct elem *child);
API void elem_prepend(struct elem *parent, struct elem *child);
/* Deep copies, with all their texts. */
API struct elem *elem_copy(struct arena *a, const struct elem *e);
API struct elem *elem_add_copy(struct elem *parent, const struct elem *e);
/* A number that changes when any tree in the element's arena does. */
uint32_t elem_edits(const struct elem *e);
/* Changes the name in place: a request into its reply, say. */
API void elem_rename(struct elem *e, qname_t name);

#endif
