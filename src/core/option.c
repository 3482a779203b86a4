/* SPDX-License-Identifier: MIT */
/* Reading values of options. */
#include "core/optval.h"

#include "core/units.h"
#include "jid/jid.h"

#define FIELD(values, o, type) \
	((type *)(void *)((char *)(values) + (o)->offset))

bool
bool_parse(struct str text, bool *value_r)
{
	static const char *const yes[] = { "true", "yes", "on" };
	static const char *const no[] = { "false", "no", "off" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (str_is(text, yes[i]) || str_is(text, no[i])) {
			*value_r = str_is(text, yes[i]);
			return true;
		}
	}
	return false;
}

/* Every @HOST@ replaced, when there is a host. */
static struct str
host_insert(struct arena *a, struct str text, struct str host)
{
	static const struct str mark = STR_INIT("@HOST@");
	struct buf b = { 0 };
	struct str done;

	if (str_is_none(host) || memchr(text.p, '@', text.n) == NULL)
		return str_dup(a, text);
	while (text.n > 0) {
		if (str_has_prefix(text, mark)) {
			buf_add_str(&b, host);
			text = str_skip(text, mark.n);
		} else {
			buf_add_c(&b, text.p[0]);
			text = str_skip(text, 1);
		}
	}
	done = str_dup(a, buf_str(&b));
	buf_fini(&b);
	return done;
}

static bool
range_refuse(struct arena *a, const struct option *o, const char **why_r)
{
	struct buf b = { 0 };

	optval_print_range(&b, o);
	*why_r =
	    arena_printf(a, "is out of range: " STR_FMT, STR_ARG(buf_str(&b)));
	buf_fini(&b);
	return false;
}

static bool
number_parse(struct arena *a, const struct option *o, struct str text,
    uint64_t *value_r, const char **why_r)
{
	uint64_t n;

	if (o->type == OPTION_UINT && !str_to_u64(text, &n)) {
		*why_r = "is not a whole number";
		return false;
	}
	if (o->type == OPTION_SPAN && !span_parse(text, &n)) {
		*why_r = "is not a span of time, such as 30s, 5m, 1h or 7d";
		return false;
	}
	if (o->type == OPTION_SIZE && !size_parse(text, &n)) {
		*why_r = "is not a size, such as 512, 100KiB or 1GiB";
		return false;
	}
	if (n < o->min || n > o->max)
		return range_refuse(a, o, why_r);
	*value_r = n;
	return true;
}

static bool
rate_set(struct str text, struct rate *rate_r, const char **why_r)
{
	if (rate_parse(text, rate_r))
		return true;
	*why_r = "is not a rate, such as 3/1h, or unlimited";
	return false;
}

static bool
choice_parse(struct arena *a, const struct option *o, struct str text,
    unsigned *value_r, const char **why_r)
{
	struct buf b = { 0 };

	for (unsigned i = 0; o->choices[i] != NULL; i++) {
		if (str_is(text, o->choices[i])) {
			*value_r = i;
			buf_fini(&b);
			return true;
		}
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", o->choices[i]);
	}
	*why_r =
	    arena_printf(a, "is not one of: " STR_FMT, STR_ARG(buf_str(&b)));
	buf_fini(&b);
	return false;
}

static bool
text_parse(struct arena *a, const struct option *o, struct str text,
    struct str host, struct str *value_r, const char **why_r)
{
	struct str value = host_insert(a, text, host);

	if (value.n < o->min) {
		*why_r = "is too short";
		return false;
	}
	if (value.n > o->max) {
		*why_r = arena_printf(
		    a, "is longer than %llu bytes", (unsigned long long)o->max);
		return false;
	}
	*value_r = value;
	return true;
}

static bool
host_parse(struct arena *a, const struct option *o, struct str text,
    struct str host, struct str *value_r, const char **why_r)
{
	struct str value;

	if (!text_parse(a, o, text, host, &value, why_r))
		return false;
	if (jid_prep_domain(a, value, &value) < 0) {
		*why_r = "is not a domain";
		return false;
	}
	*value_r = str_dup(a, value);
	return true;
}

bool
optval_parse(struct arena *a, const struct option *o, struct str text,
    struct str host, void *values, const char **why_r)
{
	switch (o->type) {
	case OPTION_BOOL:
		*why_r = "is neither true nor false";
		return bool_parse(text, FIELD(values, o, bool));
	case OPTION_UINT:
	case OPTION_SPAN:
	case OPTION_SIZE:
		return number_parse(
		    a, o, text, FIELD(values, o, uint64_t), why_r);
	case OPTION_TEXT:
		return text_parse(
		    a, o, text, host, FIELD(values, o, struct str), why_r);
	case OPTION_HOST:
		return host_parse(
		    a, o, text, host, FIELD(values, o, struct str), why_r);
	case OPTION_CHOICE:
		return choice_parse(
		    a, o, text, FIELD(values, o, unsigned), why_r);
	case OPTION_RATE:
		return rate_set(text, FIELD(values, o, struct rate), why_r);
	case OPTION_LIST:
	case OPTION_END:
		break;
	}
	*why_r = "is not a list";
	return false;
}

/* ---- lists ---- */

/* A default is written "a, b, c". */
static void
list_default(struct optval_scope *scope, const struct option *o, void *values)
{
	struct str rest = str_c(o->value), item;
	struct str *items = NULL;
	size_t count = 0;

	while (o->value != NULL && !str_is_none(rest)) {
		item = str_trim(str_cut(&rest, ','));
		if (item.n == 0)
			continue;
		items = (struct str *)arena_grow(scope->arena, items,
		    count * sizeof(*items), (count + 1) * sizeof(*items));
		items[count++] = host_insert(scope->arena, item, scope->host);
	}
	*FIELD(values, o, struct str_list) = (struct str_list){ items, count };
}

static bool
list_read(struct optval_scope *scope, const struct option *o,
    const struct tree *list, void *values)
{
	struct str *items;
	size_t i = 0;

	if (list->kind != TREE_LIST) {
		problem_add(scope->problems, list->line,
		    "'%s'%s: a list is expected, such as [a, b]", o->name,
		    scope->where);
		return false;
	}
	if (list->count < o->min || list->count > o->max) {
		problem_add(scope->problems, list->line,
		    "'%s'%s: %zu items are too %s", o->name, scope->where,
		    list->count, list->count < o->min ? "few" : "many");
		return false;
	}
	items = (struct str *)arena_alloc(
	    scope->arena, (list->count + 1) * sizeof(*items));
	for (const struct tree *t = list->first; t != NULL; t = t->next) {
		if (t->kind != TREE_TEXT) {
			problem_add(scope->problems, t->line,
			    "'%s'%s: a text is expected, not %s", o->name,
			    scope->where, tree_kind_name(t));
			return false;
		}
		items[i++] = host_insert(scope->arena, t->text, scope->host);
	}
	*FIELD(values, o, struct str_list) = (struct str_list){ items, i };
	return true;
}

/* ---- tables ---- */

void
optvals_default(
    struct optval_scope *scope, const struct option *table, void *values)
{
	const char *why;

	for (; table != NULL && table->type != OPTION_END; table++) {
		if (table->type == OPTION_LIST) {
			list_default(scope, table, values);
			continue;
		}
		if (table->value == NULL)
			continue;
		/* An empty text is none given, whatever the range. */
		if (table->value[0] == '\0' &&
		    (table->type == OPTION_TEXT || table->type == OPTION_HOST))
			*FIELD(values, table, struct str) = STR("");
		else if (!optval_parse(scope->arena, table, str_c(table->value),
			     scope->host, values, &why))
			problem_add(scope->problems, 0,
			    "'%s'%s: its default, '%s', %s", table->name,
			    scope->where, table->value, why);
	}
}

static bool
optval_read(struct optval_scope *scope, const struct option *o,
    const struct tree *t, void *values)
{
	const char *why;

	if (o->type == OPTION_LIST)
		return list_read(scope, o, t, values);
	if (t->kind != TREE_TEXT) {
		problem_add(scope->problems, t->line,
		    "'%s'%s: a text is expected, not %s", o->name, scope->where,
		    tree_kind_name(t));
		return false;
	}
	if (optval_parse(scope->arena, o, t->text, scope->host, values, &why))
		return true;
	problem_add(scope->problems, t->line, "'%s'%s: '" STR_FMT "' %s",
	    o->name, scope->where, STR_ARG(o->is_secret ? STR("***") : t->text),
	    why);
	return false;
}

static const struct option *
option_find(const struct option *table, struct str name)
{
	for (; table != NULL && table->type != OPTION_END; table++) {
		if (str_is(name, table->name))
			return table;
	}
	return NULL;
}

static bool
is_among(struct str name, const char *const *names)
{
	for (; names != NULL && *names != NULL; names++) {
		if (str_is(name, *names))
			return true;
	}
	return false;
}

static void
key_refuse(struct optval_scope *scope, const struct option *table,
    const char *const *also, const struct tree *t)
{
	const char **names;
	size_t count = 0, more = 0, n = 0;

	while (table != NULL && table[count].type != OPTION_END)
		count++;
	while (also != NULL && also[more] != NULL)
		more++;
	names = (const char **)arena_zalloc(
	    scope->arena, (count + more + 1) * sizeof(*names));
	for (; n < count; n++)
		names[n] = table[n].name;
	for (; n < count + more; n++)
		names[n] = also[n - count];
	problem_unknown(
	    scope->problems, t->key_line, "key", t->key, scope->where, names);
}

bool
optvals_read(struct optval_scope *scope, const struct option *table,
    const struct tree *map, const char *const *also, void *values)
{
	bool is_good = true;

	if (map->kind != TREE_MAP) {
		problem_add(scope->problems, map->line,
		    "a map is expected here, such as {name: value}");
		return false;
	}
	for (const struct tree *t = map->first; t != NULL; t = t->next) {
		const struct option *o = option_find(table, t->key);

		if (o != NULL) {
			is_good &= optval_read(scope, o, t, values);
		} else if (!is_among(t->key, also)) {
			key_refuse(scope, table, also, t);
			is_good = false;
		}
	}
	return is_good;
}
