/* SPDX-License-Identifier: MIT */
#include "core/yaml.h"

#include <yaml.h>

struct reader {
	struct arena *a;
	struct problems *problems;
	struct str text;
	yaml_parser_t parser;
	struct tree *open[YAML_DEPTH_MAX]; /* the maps and lists around */
	unsigned depth;
	size_t nodes;
	struct str key; /* of the open map, read and without a value */
	unsigned key_line;
	struct tree *root;
	unsigned documents;
};

/* False always, for the caller to return. */
static bool
refuse(struct reader *r, const yaml_event_t *ev, const char *why)
{
	problem_add(r->problems, (unsigned)ev->start_mark.line + 1, "%s", why);
	return false;
}

static struct tree *
tree_find(const struct tree *map, struct str key)
{
	for (struct tree *t = map->first; t != NULL; t = t->next) {
		if (str_eq(t->key, key))
			return t;
	}
	return NULL;
}

struct tree *
tree_get(const struct tree *map, const char *key)
{
	if (map == NULL || map->kind != TREE_MAP)
		return NULL;
	return tree_find(map, str_c(key));
}

const char *
tree_kind_name(const struct tree *t)
{
	static const char *const names[] = { "a text", "a list", "a map" };

	return names[t->kind];
}

static bool
key_set(struct reader *r, const yaml_event_t *ev, struct tree *map)
{
	struct str key;
	struct tree *before;

	if (ev->type != YAML_SCALAR_EVENT)
		return refuse(r, ev, "a key must be a plain text");
	key = str_mem(ev->data.scalar.value, ev->data.scalar.length);
	if (key.n == 0 || memchr(key.p, '\0', key.n) != NULL)
		return refuse(r, ev, "a key must be a plain text");
	before = tree_find(map, key);
	if (before != NULL) {
		problem_add(r->problems, (unsigned)ev->start_mark.line + 1,
		    "key '" STR_FMT "' is there already, in line %u",
		    STR_ARG(key), before->key_line);
		return false;
	}
	r->key = str_dup(r->a, key);
	r->key_line = (unsigned)ev->start_mark.line + 1;
	return true;
}

static void
tree_append(struct reader *r, struct tree *t)
{
	struct tree *parent;

	if (r->depth == 0) {
		r->root = t;
		return;
	}
	parent = r->open[r->depth - 1];
	if (parent->kind == TREE_MAP) {
		t->key = r->key;
		t->key_line = r->key_line;
		r->key = STR_NONE;
	}
	if (parent->last != NULL)
		parent->last->next = t;
	else
		parent->first = t;
	parent->last = t;
	parent->count++;
}

static bool
node_add(struct reader *r, const yaml_event_t *ev, enum tree_kind kind)
{
	struct tree *parent = r->depth > 0 ? r->open[r->depth - 1] : NULL;
	struct tree *t;

	if (parent != NULL && parent->kind == TREE_MAP && str_is_none(r->key))
		return key_set(r, ev, parent);
	if (++r->nodes > YAML_NODES_MAX)
		return refuse(r, ev, "there is too much in this file");

	t = arena_new_of(r->a, struct tree);
	t->kind = kind;
	t->line = (unsigned)ev->start_mark.line + 1;
	if (kind == TREE_TEXT) {
		struct str s =
		    str_mem(ev->data.scalar.value, ev->data.scalar.length);

		if (s.n > 0 && memchr(s.p, '\0', s.n) != NULL)
			return refuse(r, ev, "a text may not contain a NUL");
		t->text = str_dup(r->a, s);
		t->is_quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	}
	tree_append(r, t);
	if (kind == TREE_TEXT)
		return true;
	if (r->depth == YAML_DEPTH_MAX)
		return refuse(r, ev, "this is nested too deep");
	r->open[r->depth++] = t;
	return true;
}

static bool
has_tag(const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return ev->data.scalar.tag != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return ev->data.sequence_start.tag != NULL;
	case YAML_MAPPING_START_EVENT:
		return ev->data.mapping_start.tag != NULL;
	default:
		return false;
	}
}

static bool
has_anchor(const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_ALIAS_EVENT:
		return true;
	case YAML_SCALAR_EVENT:
		return ev->data.scalar.anchor != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return ev->data.sequence_start.anchor != NULL;
	case YAML_MAPPING_START_EVENT:
		return ev->data.mapping_start.anchor != NULL;
	default:
		return false;
	}
}

static bool
event_take(struct reader *r, const yaml_event_t *ev)
{
	if (has_anchor(ev))
		return refuse(r, ev,
		    "anchors and aliases (& and *) are not taken here; put "
		    "the text in quotes if it is one");
	if (has_tag(ev))
		return refuse(r, ev,
		    "tags (!) are not taken here; put the text in quotes if "
		    "it is one");
	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++r->documents > 1)
			return refuse(r, ev, "a second document begins here");
		return true;
	case YAML_SCALAR_EVENT:
		return node_add(r, ev, TREE_TEXT);
	case YAML_SEQUENCE_START_EVENT:
		return node_add(r, ev, TREE_LIST);
	case YAML_MAPPING_START_EVENT:
		return node_add(r, ev, TREE_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->depth--;
		return true;
	default:
		return true;
	}
}

static unsigned
line_at(const struct reader *r, size_t offset)
{
	struct str rest = str_sub(r->text, 0, MIN(offset, r->text.n));
	unsigned line = 1;

	for (size_t i = 0; i < rest.n; i++)
		line += rest.p[i] == '\n';
	return line;
}

static void
parser_refuse(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	unsigned line = (unsigned)p->problem_mark.line + 1;

	if (p->error == YAML_READER_ERROR) {
		problem_add(r->problems, line_at(r, p->problem_offset),
		    "not UTF-8 text: %s", p->problem);
		return;
	}
	problem_add(r->problems, line, "not YAML: %s%s%s",
	    p->context != NULL ? p->context : "",
	    p->context != NULL ? ": " : "",
	    p->problem != NULL ? p->problem : "cannot be parsed");
}

static bool
events_read(struct reader *r)
{
	for (;;) {
		yaml_event_t ev;
		bool is_end, is_taken;

		if (yaml_parser_parse(&r->parser, &ev) == 0) {
			parser_refuse(r);
			return false;
		}
		is_end = ev.type == YAML_STREAM_END_EVENT;
		is_taken = event_take(r, &ev);
		yaml_event_delete(&ev);
		if (!is_taken || is_end)
			return is_taken;
	}
}

/* An empty document has one empty text. */
static bool
is_empty(const struct tree *t)
{
	return t == NULL ||
	       (t->kind == TREE_TEXT && t->text.n == 0 && !t->is_quoted);
}

struct tree *
yaml_read(struct arena *a, struct str text, struct problems *problems)
{
	struct reader r = { .a = a, .problems = problems, .text = text };
	bool is_read;

	if (text.n > YAML_BYTES_MAX) {
		problem_add(
		    problems, 0, "larger than %u bytes", YAML_BYTES_MAX);
		return NULL;
	}
	must(yaml_parser_initialize(&r.parser) != 0);
	yaml_parser_set_input_string(
	    &r.parser, (const unsigned char *)text.p, text.n);
	is_read = events_read(&r);
	yaml_parser_delete(&r.parser);
	if (!is_read)
		return NULL;
	if (is_empty(r.root)) {
		r.root = arena_new_of(a, struct tree);
		r.root->kind = TREE_MAP;
		r.root->line = 1;
	}
	return r.root;
}
