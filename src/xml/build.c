/* SPDX-License-Identifier: MIT */
#include "xml/build.h"

#include "xml/tree.h"

/* Namespace, local name and prefix; none where there is none. */
struct raw_name {
	struct str uri;
	struct str local;
	struct str prefix;
};

static struct raw_name
name_split(const char *name)
{
	const char *sep = strchr(name, (unsigned char)BUILD_SEPARATOR), *local,
		   *end;

	if (sep == NULL) /* no namespace */
		return (struct raw_name){ STR_NONE, str_c(name), STR_NONE };
	local = sep + 1;
	end = strchr(local, (unsigned char)BUILD_SEPARATOR);
	return (struct raw_name){
		.uri = str_mem(name, (size_t)(sep - name)),
		.local = end != NULL ? str_mem(local, (size_t)(end - local))
				     : str_c(local),
		.prefix = end != NULL ? str_c(end + 1) : STR_NONE,
	};
}

struct str
build_prefix(const char *name)
{
	return name_split(name).prefix;
}

static ns_t
ns_of(struct build *b, struct str uri)
{
	ns_t ns;

	if (uri.n == 0)
		return b->bare_ns;
	if (uri.n == b->last_len && memcmp(uri.p, b->last_uri, uri.n) == 0)
		return b->last_ns;
	ns = str_eq(uri, b->content) ? NS_CLIENT : names_ns(uri);
	if (uri.n <= sizeof(b->last_uri)) {
		memcpy(b->last_uri, uri.p, uri.n);
		b->last_len = uri.n;
		b->last_ns = ns;
	}
	return ns;
}

static struct str
keep(struct arena *a, struct str s)
{
	char *p = arena_bytes(a, s.n);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return str_mem(p, s.n);
}

/* Attributes of a namespace: "xml:lang" and the like, "{uri}local". */
static struct str
attr_local(struct arena *a, struct raw_name raw)
{
	if (str_is_none(raw.uri))
		return raw.local;
	if (str_eq(raw.uri, names_ns_uri(NS_XML)))
		return str_printf(a, "xml:" STR_FMT, STR_ARG(raw.local));
	return str_printf(
	    a, "{" STR_FMT "}" STR_FMT, STR_ARG(raw.uri), STR_ARG(raw.local));
}

static void
attr_fill(struct build *b, struct arena *a, struct attr *attr, const char *name,
    const char *value)
{
	struct raw_name raw = name_split(name);
	struct str local = attr_local(a, raw);

	attr->name = names_attr(local);
	attr->local = STR_NONE;
	if (attr->name == AT_NONE)
		attr->local = keep(a, local);
	if (attr->name == AT_NONE || !str_is_none(raw.prefix))
		b->strange++;
	attr->value = keep(a, str_c(value));
}

static void
name_fill(struct build *b, struct elem *e, struct raw_name raw)
{
	e->ns = ns_of(b, raw.uri);
	if (e->ns != NS_NONE)
		e->name = names_elem(e->ns, raw.local);
	else if (e->parent != NULL && e->parent->ns == NS_NONE &&
		 str_eq(raw.uri, e->parent->ns_uri))
		e->ns_uri = e->parent->ns_uri;
	else if (raw.uri.n > 0)
		e->ns_uri = keep(e->arena, raw.uri);
	if (e->name == EL_NONE)
		e->text = keep(e->arena, raw.local);
	if (e->name == EL_NONE || !str_is_none(raw.prefix))
		b->strange++;
}

struct elem *
build_elem(struct build *b, struct arena *a, struct elem *parent,
    const char *name, const char **attrs, size_t attr_count)
{
	struct elem *e = tree_add_node(a, parent);

	name_fill(b, e, name_split(name));
	tree_reserve_attrs(e, attr_count);
	for (size_t i = 0; i < attr_count; i++)
		attr_fill(b, a, &e->attrs[i], attrs[2 * i], attrs[2 * i + 1]);
	e->attr_count = (uint16_t)attr_count;
	return e;
}

void
build_text(struct elem *e, const char *text, size_t n)
{
	struct elem *last = tree_last(e);
	char *joined;

	if (last == NULL || last->name != EL_CHARS) {
		last = tree_add_node(e->arena, e);
		last->name = EL_CHARS;
		last->text = keep(e->arena, str_mem(text, n));
		return;
	}
	joined = (char *)arena_grow(e->arena, (void *)(uintptr_t)last->text.p,
	    last->text.n, last->text.n + n);
	memcpy(joined + last->text.n, text, n);
	last->text = str_mem(joined, last->text.n + n);
}
