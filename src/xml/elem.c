/* SPDX-License-Identifier: MIT */
#include "xml/elem.h"

#include "xml/tree.h"

#define ATTRS_MAX UINT16_MAX

/* Building and linking ----------------------------------------------------- */

static void
link_last(struct elem *parent, struct elem *e)
{
	struct elem *last = tree_last(parent);

	e->parent = parent;
	e->next = NULL;
	if (last == NULL) {
		parent->first = e;
		e->prev = e;
		return;
	}
	last->next = e;
	e->prev = last;
	parent->first->prev = e;
}

static void
link_first(struct elem *parent, struct elem *e)
{
	struct elem *first = parent->first;

	if (first == NULL) {
		link_last(parent, e);
		return;
	}
	e->parent = parent;
	e->next = first;
	e->prev = first->prev;
	first->prev = e;
	parent->first = e;
}

void
elem_remove(struct elem *e)
{
	struct elem *parent = e->parent;

	if (parent == NULL)
		return;
	arena_touch(e->arena);
	if (parent->first == e)
		parent->first = e->next;
	else
		e->prev->next = e->next;
	if (e->next != NULL)
		e->next->prev = e->prev;
	else if (parent->first != NULL)
		parent->first->prev = e->prev;
	e->parent = e->next = e->prev = NULL;
}

struct elem *
tree_add_node(struct arena *a, struct elem *parent)
{
	struct elem *e = arena_new_of(a, struct elem);

	e->arena = a;
	if (parent != NULL)
		link_last(parent, e);
	return e;
}

void
elem_append(struct elem *parent, struct elem *child)
{
	must(parent->arena == child->arena);
	elem_remove(child);
	arena_touch(child->arena);
	link_last(parent, child);
}

void
elem_prepend(struct elem *parent, struct elem *child)
{
	must(parent->arena == child->arena);
	elem_remove(child);
	arena_touch(child->arena);
	link_first(parent, child);
}

void
elem_rename(struct elem *e, qname_t name)
{
	arena_touch(e->arena);
	e->name = name;
	e->ns = names_elem_ns(name);
	e->text = e->ns_uri = STR_NONE;
}

/* Names by text: by number where we know them, with copies otherwise. */
static void
set_name(struct elem *e, struct str ns_uri, struct str local)
{
	arena_touch(e->arena);
	e->ns = names_ns(ns_uri);
	e->name = names_elem(e->ns, local);
	if (e->ns == NS_NONE && ns_uri.n > 0) {
		e->name = EL_NONE;
		e->ns_uri = str_dup(e->arena, ns_uri);
	}
	if (e->name == EL_NONE)
		e->text = str_dup(e->arena, local);
}

struct elem *
elem_new(struct arena *a, qname_t name)
{
	struct elem *e = tree_add_node(a, NULL);

	elem_rename(e, name);
	return e;
}

struct elem *
elem_add(struct elem *parent, qname_t name)
{
	struct elem *e = tree_add_node(parent->arena, parent);

	elem_rename(e, name);
	return e;
}

struct elem *
elem_new_named(struct arena *a, struct str ns_uri, struct str local)
{
	struct elem *e = tree_add_node(a, NULL);

	set_name(e, ns_uri, local);
	return e;
}

struct elem *
elem_add_named(struct elem *parent, struct str ns_uri, struct str local)
{
	struct elem *e = tree_add_node(parent->arena, parent);

	set_name(e, ns_uri, local);
	return e;
}

struct elem *
elem_add_text(struct elem *parent, qname_t name, struct str text)
{
	struct elem *e = elem_add(parent, name);

	elem_append_text(e, text);
	return e;
}

static struct elem *
copy_into(struct arena *a, struct elem *parent, const struct elem *from)
{
	struct elem *e = tree_add_node(a, parent);

	e->name = from->name;
	e->ns = from->ns;
	e->text = str_dup(a, from->text);
	e->ns_uri = str_dup(a, from->ns_uri);
	tree_reserve_attrs(e, from->attr_count);
	for (; e->attr_count < from->attr_count; e->attr_count++) {
		const struct attr *attr = &from->attrs[e->attr_count];

		e->attrs[e->attr_count] = (struct attr){
			.name = attr->name,
			.local = str_dup(a, attr->local),
			.value = str_dup(a, attr->value),
		};
	}
	for (from = from->first; from != NULL; from = from->next)
		copy_into(a, e, from);
	return e;
}

struct elem *
elem_copy(struct arena *a, const struct elem *e)
{
	return copy_into(a, NULL, e);
}

struct elem *
elem_add_copy(struct elem *parent, const struct elem *e)
{
	arena_touch(parent->arena);
	return copy_into(parent->arena, parent, e);
}

/* Names and walks ---------------------------------------------------------- */

qname_t
elem_name(const struct elem *e)
{
	return e != NULL ? e->name : EL_NONE;
}

ns_t
elem_ns(const struct elem *e)
{
	return e != NULL ? e->ns : NS_NONE;
}

struct str
elem_local(const struct elem *e)
{
	if (e == NULL || e->name == EL_CHARS)
		return STR_NONE;
	return e->name != EL_NONE ? names_elem_local(e->name) : e->text;
}

struct str
elem_ns_uri(const struct elem *e)
{
	if (e == NULL)
		return STR_NONE;
	return e->ns != NS_NONE ? names_ns_uri(e->ns) : e->ns_uri;
}

struct arena *
elem_arena(const struct elem *e)
{
	return e != NULL ? e->arena : NULL;
}

struct elem *
elem_parent(const struct elem *e)
{
	return e != NULL ? e->parent : NULL;
}

/* The first from `e` on among its siblings that is called so. */
static struct elem *
seek(struct elem *e, qname_t name)
{
	while (e != NULL && e->name != name &&
	       (name != EL_ANY || e->name == EL_CHARS))
		e = e->next;
	return e;
}

struct elem *
elem_child(const struct elem *e, qname_t name)
{
	return e != NULL ? seek(e->first, name) : NULL;
}

struct elem *
elem_next(const struct elem *e, qname_t name)
{
	return e != NULL ? seek(e->next, name) : NULL;
}

struct elem *
elem_child_in(const struct elem *e, ns_t ns)
{
	struct elem *c = elem_child(e, EL_ANY);

	while (c != NULL && c->ns != ns)
		c = elem_next(c, EL_ANY);
	return c;
}

struct elem *
elem_find(const struct elem *e, struct str ns_uri, struct str local)
{
	struct elem *c = elem_child(e, EL_ANY);

	while (c != NULL && !(str_eq(elem_ns_uri(c), ns_uri) &&
				(local.n == 0 || str_eq(elem_local(c), local))))
		c = elem_next(c, EL_ANY);
	return c;
}

size_t
elem_count(const struct elem *e, qname_t name)
{
	size_t count = 0;

	for (e = elem_child(e, name); e != NULL; e = elem_next(e, name))
		count++;
	return count;
}

struct elem *
elem_first_node(const struct elem *e)
{
	return e != NULL ? e->first : NULL;
}

struct elem *
elem_next_node(const struct elem *e)
{
	return e != NULL ? e->next : NULL;
}

/* Text --------------------------------------------------------------------- */

struct str
elem_chars(const struct elem *text_node)
{
	if (text_node == NULL || text_node->name != EL_CHARS)
		return STR_NONE;
	return text_node->text;
}

struct str
elem_text(const struct elem *e)
{
	return elem_chars(elem_child(e, EL_CHARS));
}

struct str
elem_child_text(const struct elem *e, qname_t name)
{
	return elem_text(elem_child(e, name));
}

void
elem_append_text(struct elem *e, struct str text)
{
	struct elem *last = tree_last(e);
	char *joined;

	if (text.n == 0)
		return;
	arena_touch(e->arena);
	if (last == NULL || last->name != EL_CHARS) {
		last = tree_add_node(e->arena, e);
		last->name = EL_CHARS;
		last->text = text;
		return;
	}
	joined = arena_bytes(e->arena, last->text.n + text.n);
	memcpy(joined, last->text.p, last->text.n);
	memcpy(joined + last->text.n, text.p, text.n);
	last->text = str_mem(joined, last->text.n + text.n);
}

void
elem_set_text(struct elem *e, struct str text)
{
	while (e->first != NULL)
		elem_remove(e->first);
	elem_append_text(e, text);
}

/* Attributes --------------------------------------------------------------- */

void
tree_reserve_attrs(struct elem *e, size_t count)
{
	if (count <= e->attr_cap)
		return;
	must(count <= ATTRS_MAX);
	e->attrs = (struct attr *)arena_grow(e->arena, e->attrs,
	    e->attr_cap * sizeof(struct attr), count * sizeof(struct attr));
	e->attr_cap = (uint16_t)count;
}

static struct attr *
attr_find(const struct elem *e, attr_t name, struct str local)
{
	for (size_t i = 0; e != NULL && i < e->attr_count; i++) {
		struct attr *attr = &e->attrs[i];

		if (attr->name == name &&
		    (name != AT_NONE || str_eq(attr->local, local)))
			return attr;
	}
	return NULL;
}

static struct str
attr_value(const struct elem *e, attr_t name, struct str local)
{
	const struct attr *attr = attr_find(e, name, local);

	return attr != NULL ? attr->value : STR_NONE;
}

struct str
elem_attr(const struct elem *e, attr_t name)
{
	return name != AT_NONE ? attr_value(e, name, STR_NONE) : STR_NONE;
}

struct str
elem_attr_named(const struct elem *e, struct str local)
{
	return attr_value(e, names_attr(local), local);
}

bool
elem_attr_is(const struct elem *e, attr_t name, const char *value)
{
	struct str there = elem_attr(e, name);

	return !str_is_none(there) && str_is(there, value);
}

struct str
elem_lang(const struct elem *e)
{
	struct str lang = STR_NONE;

	for (; e != NULL && str_is_none(lang); e = e->parent)
		lang = elem_attr(e, AT_XML_LANG);
	return lang;
}

bool
elem_attr_at(const struct elem *e, size_t i, attr_t *name_r,
    struct str *local_r, struct str *value_r)
{
	const struct attr *attr;

	if (e == NULL || i >= e->attr_count)
		return false;
	attr = &e->attrs[i];
	*name_r = attr->name;
	*local_r =
	    attr->name != AT_NONE ? names_attr_local(attr->name) : attr->local;
	*value_r = attr->value;
	return true;
}

static void
attr_set(struct elem *e, attr_t name, struct str local, struct str value)
{
	struct attr *attr = attr_find(e, name, local);

	arena_touch(e->arena);
	if (str_is_none(value)) {
		if (attr == NULL)
			return;
		e->attr_count--;
		memmove(attr, attr + 1,
		    (size_t)(e->attrs + e->attr_count - attr) * sizeof(*attr));
		return;
	}
	if (attr == NULL) {
		if (e->attr_count == e->attr_cap)
			tree_reserve_attrs(e, e->attr_cap + 4u);
		attr = &e->attrs[e->attr_count++];
		attr->name = name;
		attr->local = local;
	}
	attr->value = value;
}

void
elem_set(struct elem *e, attr_t name, struct str value)
{
	must(name != AT_NONE);
	attr_set(e, name, STR_NONE, value);
}

void
elem_set_named(struct elem *e, struct str local, struct str value)
{
	attr_t name = names_attr(local);

	attr_set(e, name, name != AT_NONE ? STR_NONE : local, value);
}

void
elem_set_copy(struct elem *e, attr_t name, struct str value)
{
	elem_set(e, name, str_dup(e->arena, value));
}

void
elem_set_uint(struct elem *e, attr_t name, uint64_t value)
{
	elem_set(
	    e, name, str_printf(e->arena, "%llu", (unsigned long long)value));
}

uint32_t
elem_edits(const struct elem *e)
{
	return arena_touches(e->arena);
}
