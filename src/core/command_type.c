/* SPDX-License-Identifier: MIT */
#include "core/command_type.h"

#include <stdlib.h>

/* Types nest this deep at most; so do values. */
#define DEPTH_MAX 8

static const struct {
	const char *word;
	enum cmd_kind kind;
} words[] = {
	{ "string", CMD_STRING },
	{ "binary", CMD_STRING },
	{ "integer", CMD_INTEGER },
	{ "atom", CMD_ATOM },
	{ "rescode", CMD_RESCODE },
	{ "restuple", CMD_RESTUPLE },
};

/* Texts to trees ------------------------------------------------------------*/

struct reader {
	struct arena *arena;
	const char *p;
};

static bool read_type(struct reader *r, struct cmd_type *t, int depth);

static void
skip_space(struct reader *r)
{
	while (*r->p == ' ')
		r->p++;
}

static bool
take(struct reader *r, char c)
{
	skip_space(r);
	if (*r->p != c)
		return false;
	r->p++;
	return true;
}

static struct str
read_word(struct reader *r)
{
	size_t n;

	skip_space(r);
	n = strspn(r->p, "abcdefghijklmnopqrstuvwxyz_0123456789");
	r->p += n;
	return (struct str){ r->p - n, n };
}

static bool
read_scalar(struct reader *r, struct cmd_type *t)
{
	struct str word = read_word(r);

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_is(word, words[i].word)) {
			t->kind = words[i].kind;
			return true;
		}
	}
	return false;
}

/* "name:type", or a tuple or a list without a name. */
static struct cmd_type *
read_field(struct reader *r, int depth)
{
	struct cmd_type *t = arena_new_of(r->arena, struct cmd_type);

	t->name = "";
	skip_space(r);
	if (*r->p != '{' && *r->p != '[') {
		t->name = str_dup_c(r->arena, read_word(r));
		if (*t->name == '\0' || !take(r, ':'))
			return NULL;
	}
	return read_type(r, t, depth) ? t : NULL;
}

static bool
read_tuple(struct reader *r, struct cmd_type *t, int depth)
{
	struct cmd_type **end = &t->items;

	t->kind = CMD_TUPLE;
	do {
		*end = read_field(r, depth);
		if (*end == NULL)
			return false;
		end = &(*end)->next;
		t->count++;
	} while (take(r, ','));
	return take(r, '}');
}

static bool
read_list(struct reader *r, struct cmd_type *t, int depth)
{
	t->kind = CMD_LIST;
	t->items = read_field(r, depth);
	t->count = 1;
	return t->items != NULL && take(r, ']');
}

static bool
read_type(struct reader *r, struct cmd_type *t, int depth)
{
	if (depth > DEPTH_MAX)
		return false;
	if (take(r, '{'))
		return read_tuple(r, t, depth + 1);
	if (take(r, '['))
		return read_list(r, t, depth + 1);
	return read_scalar(r, t);
}

struct cmd_type *
cmd_type_parse(struct arena *a, const char *name, const char *text)
{
	struct reader r = { a, text };
	struct cmd_type *t = arena_new_of(a, struct cmd_type);

	t->name = name;
	if (!read_type(&r, t, 0))
		return NULL;
	skip_space(&r);
	return *r.p == '\0' ? t : NULL;
}

static const char *
kind_word(enum cmd_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].kind == kind)
			return words[i].word;
	return "";
}

void
cmd_type_write(struct buf *out, const struct cmd_type *t)
{
	if (t->kind != CMD_TUPLE && t->kind != CMD_LIST) {
		buf_add_str(out, str_c(kind_word(t->kind)));
		return;
	}

	buf_add_c(out, t->kind == CMD_TUPLE ? '{' : '[');
	for (const struct cmd_type *f = t->items; f != NULL; f = f->next) {
		if (f != t->items)
			buf_add_str(out, STR(", "));
		if (*f->name != '\0')
			buf_printf(out, "%s:", f->name);
		cmd_type_write(out, f);
	}
	buf_add_c(out, t->kind == CMD_TUPLE ? '}' : ']');
}

/* What callers send ---------------------------------------------------------*/

static json_t *
integer_of(const json_t *json)
{
	struct str text;
	int64_t n;

	if (json_is_integer(json))
		return json_integer(json_integer_value(json));
	if (!json_is_string(json))
		return NULL;
	text = str_mem(json_string_value(json), json_string_length(json));
	return str_to_i64(text, &n) ? json_integer(n) : NULL;
}

/* Adds the pair to the object, or fails; takes `value`. */
static bool
put_field(json_t *object, const char *name, json_t *value)
{
	return value != NULL && json_object_set_new(object, name, value) == 0;
}

static bool
tuple_of_array(const struct cmd_type *t, const json_t *array, json_t *tuple)
{
	size_t i = 0;

	if (json_array_size(array) != t->count)
		return false;
	for (const struct cmd_type *f = t->items; f != NULL; f = f->next) {
		const json_t *item = json_array_get(array, i++);

		if (!put_field(tuple, f->name, cmd_value_of_json(f, item)))
			return false;
	}
	return true;
}

static bool
tuple_of_object(const struct cmd_type *t, const json_t *object, json_t *tuple)
{
	if (json_object_size(object) != t->count)
		return false;
	for (const struct cmd_type *f = t->items; f != NULL; f = f->next) {
		const json_t *item = json_object_get(object, f->name);

		if (item == NULL ||
		    !put_field(tuple, f->name, cmd_value_of_json(f, item)))
			return false;
	}
	return true;
}

static bool
is_pair(const struct cmd_type *t)
{
	return t->kind == CMD_TUPLE && t->count == 2 &&
	       t->items->kind == CMD_STRING;
}

/* The pair that an object's member is: {"Stockholm": "Sweden"}. */
static json_t *
pair_of_member(const struct cmd_type *t, const char *key, const json_t *json)
{
	json_t *tuple = json_object();
	const struct cmd_type *second = t->items->next;

	if (put_field(tuple, t->items->name, json_string(key)) &&
	    put_field(tuple, second->name, cmd_value_of_json(second, json)))
		return tuple;
	json_decref(tuple);
	return NULL;
}

static json_t *
tuple_of(const struct cmd_type *t, const json_t *json)
{
	json_t *tuple;
	bool ok = false;

	if (is_pair(t) && json_object_size(json) == 1) {
		void *it = json_object_iter((json_t *)(uintptr_t)json);

		return pair_of_member(
		    t, json_object_iter_key(it), json_object_iter_value(it));
	}

	tuple = json_object();
	if (json_is_array(json))
		ok = tuple_of_array(t, json, tuple);
	else if (json_is_object(json))
		ok = tuple_of_object(t, json, tuple);
	if (!ok) {
		json_decref(tuple);
		return NULL;
	}
	return tuple;
}

/* Appends, or fails and leaves nothing behind; takes `item`. */
static bool
list_append(json_t **list, json_t *item)
{
	if (item != NULL && json_array_append_new(*list, item) == 0)
		return true;
	json_decref(*list);
	*list = NULL;
	return false;
}

static json_t *
list_of_object(const struct cmd_type *item, const json_t *json)
{
	json_t *list = json_array();
	json_t *object = (json_t *)(uintptr_t)json, *value;
	const char *key;

	json_object_foreach(object, key,
	    value) if (!list_append(&list,
			   pair_of_member(item, key, value))) return NULL;
	return list;
}

static json_t *
list_of(const struct cmd_type *t, const json_t *json)
{
	json_t *list;

	if (json_is_object(json) && is_pair(t->items))
		return list_of_object(t->items, json);
	if (!json_is_array(json))
		return NULL;

	list = json_array();
	for (size_t i = 0; i < json_array_size(json); i++) {
		const json_t *item = json_array_get(json, i);

		if (!list_append(&list, cmd_value_of_json(t->items, item)))
			return NULL;
	}
	return list;
}

json_t *
cmd_value_of_json(const struct cmd_type *t, const json_t *json)
{
	switch (t->kind) {
	case CMD_INTEGER:
		return integer_of(json);
	case CMD_TUPLE:
		return tuple_of(t, json);
	case CMD_LIST:
		return list_of(t, json);
	default:
		return json_is_string(json)
			   ? json_stringn(json_string_value(json),
				 json_string_length(json))
			   : NULL;
	}
}

/* Words of the command line -----------------------------------------------*/

/* Cuts at the first `c` without a backslash before it, and drops those. */
static struct str
cut_escaped(struct arena *a, struct str *rest, char c)
{
	char *out = arena_bytes(a, rest->n + 1);
	size_t n = 0, i;

	for (i = 0; i < rest->n && rest->p[i] != c; i++) {
		if (rest->p[i] == '\\' && i + 1 < rest->n &&
		    strchr(",:\\", rest->p[i + 1]) != NULL)
			i++;
		out[n++] = rest->p[i];
	}
	*rest = i < rest->n ? str_skip(*rest, i + 1) : STR_NONE;
	return (struct str){ out, n };
}

/* Like cut_escaped(), but what is inside is unescaped later. */
static struct str
cut_raw(struct str *rest, char c)
{
	struct str all = *rest;
	size_t i;

	for (i = 0; i < all.n && all.p[i] != c; i++)
		if (all.p[i] == '\\' && i + 1 < all.n)
			i++;
	*rest = i < all.n ? str_skip(all, i + 1) : STR_NONE;
	return str_sub(all, 0, i);
}

static json_t *
scalar_of_text(const struct cmd_type *t, struct str text)
{
	json_t *string = json_stringn(text.p != NULL ? text.p : "", text.n);
	json_t *value = string != NULL ? cmd_value_of_json(t, string) : NULL;

	json_decref(string);
	return value;
}

/* The last field takes all that is left, colons too. */
static json_t *
tuple_of_text(struct arena *a, const struct cmd_type *t, struct str text)
{
	json_t *tuple = json_object();

	for (const struct cmd_type *f = t->items; f != NULL; f = f->next) {
		char c = f->next != NULL ? ':' : '\0';
		struct str word;
		json_t *value = NULL;

		if (f->kind != CMD_TUPLE && f->kind != CMD_LIST &&
		    !str_is_none(text)) {
			word = cut_escaped(a, &text, c);
			value = scalar_of_text(f, word);
		}
		if (!put_field(tuple, f->name, value)) {
			json_decref(tuple);
			return NULL;
		}
	}
	return tuple;
}

static json_t *
list_of_text(struct arena *a, const struct cmd_type *t, struct str text)
{
	json_t *list = json_array();
	const struct cmd_type *item = t->items;

	while (!str_is_empty(text)) {
		struct str word = cut_raw(&text, ',');
		json_t *value;

		if (item->kind == CMD_TUPLE) {
			value = tuple_of_text(a, item, word);
		} else {
			word = cut_escaped(a, &word, '\0');
			value = scalar_of_text(item, word);
		}
		if (!list_append(&list, value))
			return NULL;
	}
	return list;
}

static json_t *
value_of_json_text(const struct cmd_type *t, struct str text)
{
	json_t *json = json_loadb(text.p, text.n, 0, NULL);
	json_t *value;

	if (json == NULL)
		return NULL;
	value = cmd_value_of_json(t, json);
	json_decref(json);
	return value;
}

json_t *
cmd_value_of_text(struct arena *a, const struct cmd_type *t, struct str text)
{
	json_t *value;

	if (t->kind != CMD_TUPLE && t->kind != CMD_LIST)
		return scalar_of_text(t, text);
	if (text.n > 0 && (text.p[0] == '[' || text.p[0] == '{')) {
		value = value_of_json_text(t, text);
		if (value != NULL)
			return value;
	}
	return t->kind == CMD_TUPLE ? tuple_of_text(a, t, text)
				    : list_of_text(a, t, text);
}

/* Results -------------------------------------------------------------------*/

/* A field of a tuple that is an object by name, or an array by place. */
static const json_t *
field_of(const struct cmd_type *f, const json_t *tuple, size_t place)
{
	if (json_is_array(tuple))
		return json_array_get(tuple, place);
	return json_object_get(tuple, f->name);
}

static json_t *
tuple_to_json(const struct cmd_type *t, const json_t *value)
{
	json_t *object = json_object();
	size_t i = 0;

	for (const struct cmd_type *f = t->items; f != NULL; f = f->next)
		json_object_set_new(object, f->name,
		    cmd_value_to_json(f, field_of(f, value, i++)));
	return object;
}

static int value_cmp(const json_t *a, const json_t *b);

static int
array_cmp(const json_t *a, const json_t *b)
{
	for (size_t i = 0;; i++) {
		const json_t *x = json_array_get(a, i);
		const json_t *y = json_array_get(b, i);
		int order;

		if (x == NULL || y == NULL)
			return (x != NULL) - (y != NULL);
		order = value_cmp(x, y);
		if (order != 0)
			return order;
	}
}

/* Both have the same keys in the same order. */
static int
object_cmp(const json_t *a, const json_t *b)
{
	json_t *object = (json_t *)(uintptr_t)a, *x;
	const char *key;

	json_object_foreach(object, key, x)
	{
		int order = value_cmp(x, json_object_get(b, key));

		if (order != 0)
			return order;
	}
	return 0;
}

static int
value_cmp(const json_t *a, const json_t *b)
{
	if (b == NULL || json_typeof(a) != json_typeof(b))
		return b == NULL ? 1 : (int)json_typeof(a) - json_typeof(b);
	if (json_is_string(a))
		return str_cmp(
		    str_mem(json_string_value(a), json_string_length(a)),
		    str_mem(json_string_value(b), json_string_length(b)));
	if (json_is_integer(a))
		return (json_integer_value(a) > json_integer_value(b)) -
		       (json_integer_value(a) < json_integer_value(b));
	return json_is_array(a) ? array_cmp(a, b) : object_cmp(a, b);
}

static int
by_value(const void *a, const void *b)
{
	return value_cmp(*(json_t *const *)a, *(json_t *const *)b);
}

json_t *
cmd_json_sorted(json_t *array)
{
	size_t n = json_array_size(array);
	json_t *sorted = json_array();
	json_t **items = (json_t **)xmalloc((n + 1) * sizeof(json_t *));

	for (size_t i = 0; i < n; i++)
		items[i] = json_array_get(array, i);
	qsort(items, n, sizeof(json_t *), by_value);
	for (size_t i = 0; i < n; i++)
		json_array_append(sorted, items[i]);
	xfree(items);
	json_decref(array);
	return sorted;
}

static bool
is_named_pair(const struct cmd_type *t)
{
	if (t->kind != CMD_TUPLE || t->count != 2)
		return false;
	return t->items->kind == CMD_ATOM ||
	       (t->items->kind == CMD_STRING &&
		   str_is(str_c(t->items->name), "name") &&
		   str_is(str_c(t->items->next->name), "value"));
}

static json_t *
pairs_to_object(const struct cmd_type *pair, const json_t *list)
{
	json_t *object = json_object();

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		const char *key =
		    json_string_value(field_of(pair->items, item, 0));
		const struct cmd_type *second = pair->items->next;

		if (key != NULL)
			json_object_set_new(object, key,
			    cmd_value_to_json(
				second, field_of(second, item, 1)));
	}
	return object;
}

static json_t *
list_to_json(const struct cmd_type *t, const json_t *value)
{
	json_t *array;

	if (is_named_pair(t->items))
		return pairs_to_object(t->items, value);
	array = json_array();
	for (size_t i = 0; i < json_array_size(value); i++)
		json_array_append_new(array,
		    cmd_value_to_json(t->items, json_array_get(value, i)));
	return cmd_json_sorted(array);
}

json_t *
cmd_value_to_json(const struct cmd_type *t, const json_t *value)
{
	switch (t->kind) {
	case CMD_TUPLE:
		return tuple_to_json(t, value);
	case CMD_LIST:
		return list_to_json(t, value);
	case CMD_INTEGER:
	case CMD_RESCODE:
		return json_integer(json_integer_value(value));
	default:
		return json_is_string(value)
			   ? json_incref((json_t *)(uintptr_t)value)
			   : json_string("");
	}
}

static void
items_to_text(struct buf *out, const struct cmd_type *t, const json_t *value,
    unsigned version, const char *between)
{
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (i > 0)
			buf_add_str(out, str_c(between));
		cmd_value_to_text(
		    out, t->items, json_array_get(value, i), version);
	}
}

static void
tuple_to_text(struct buf *out, const struct cmd_type *t, const json_t *value,
    unsigned version)
{
	size_t i = 0;

	for (const struct cmd_type *f = t->items; f != NULL; f = f->next) {
		const json_t *field = field_of(f, value, i);

		if (i++ > 0)
			buf_add_c(out, '\t');
		if (f->kind == CMD_LIST)
			items_to_text(
			    out, f, field, version, version > 0 ? "," : ";");
		else
			cmd_value_to_text(out, f, field, version);
	}
}

void
cmd_value_to_text(struct buf *out, const struct cmd_type *t,
    const json_t *value, unsigned version)
{
	switch (t->kind) {
	case CMD_TUPLE:
		tuple_to_text(out, t, value, version);
		break;
	case CMD_LIST:
		items_to_text(out, t, value, version, "\n");
		break;
	case CMD_INTEGER:
	case CMD_RESCODE:
		buf_printf(out, "%lld", (long long)json_integer_value(value));
		break;
	default:
		buf_add_str(out, str_mem(json_string_value(value),
				     json_string_length(value)));
	}
}

static int
on_json_bytes(const char *p, size_t n, void *ctx)
{
	buf_add((struct buf *)ctx, p, n);
	return 0;
}

void
cmd_json_write(struct buf *out, const json_t *value)
{
	json_dump_callback(
	    value, on_json_bytes, out, JSON_COMPACT | JSON_ENCODE_ANY);
}
