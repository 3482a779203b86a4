/* SPDX-License-Identifier: MIT */
/* Values of options as text, and compared. */
#include "core/optval.h"

#include "core/units.h"

#define FIELD(values, o, type) \
	((const type *)(const void *)((const char *)(values) + (o)->offset))

/* Could a reader take it for something else than this very text? */
static bool
is_plain(struct str text)
{
	static const char *const words[] = { "true", "false", "yes", "no", "on",
		"off", "null", "~" };

	if (text.n == 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq_nocase(text, str_c(words[i])))
			return false;
	}
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool is_alpha = (c >= 'a' && c <= 'z') ||
				(c >= 'A' && c <= 'Z') || c == '/' || c == '_';

		if (!is_alpha && (i == 0 || strchr("0123456789.-", c) == NULL))
			return false;
	}
	return true;
}

void
yaml_print_text(struct buf *b, struct str text)
{
	if (is_plain(text)) {
		buf_add_str(b, text);
		return;
	}
	buf_add_c(b, '"');
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else
			buf_add_c(b, (char)c);
	}
	buf_add_c(b, '"');
}

static void
list_print(struct buf *b, const struct str_list *list)
{
	buf_add_c(b, '[');
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			buf_add_str(b, STR(", "));
		yaml_print_text(b, list->item[i]);
	}
	buf_add_c(b, ']');
}

static void
number_print(struct buf *b, enum option_type type, uint64_t n)
{
	switch (type) {
	case OPTION_SPAN:
		span_print(b, n);
		break;
	case OPTION_SIZE:
		size_print(b, n);
		break;
	default:
		buf_printf(b, "%llu", (unsigned long long)n);
	}
}

bool
optval_is_given(const struct option *o, const void *values)
{
	return (o->type != OPTION_TEXT && o->type != OPTION_HOST) ||
	       FIELD(values, o, struct str)->n > 0;
}

void
optval_print(struct buf *b, const struct option *o, const void *values)
{
	if (o->is_secret && optval_is_given(o, values)) {
		buf_add_str(b, STR("\"***\""));
		return;
	}
	switch (o->type) {
	case OPTION_BOOL:
		buf_add_str(
		    b, *FIELD(values, o, bool) ? STR("true") : STR("false"));
		break;
	case OPTION_UINT:
	case OPTION_SPAN:
	case OPTION_SIZE:
		number_print(b, o->type, *FIELD(values, o, uint64_t));
		break;
	case OPTION_TEXT:
	case OPTION_HOST:
		yaml_print_text(b, *FIELD(values, o, struct str));
		break;
	case OPTION_CHOICE:
		buf_add_str(b, str_c(o->choices[*FIELD(values, o, unsigned)]));
		break;
	case OPTION_LIST:
		list_print(b, FIELD(values, o, struct str_list));
		break;
	case OPTION_RATE:
		rate_print(b, FIELD(values, o, struct rate));
		break;
	case OPTION_END:
		break;
	}
}

void
optval_print_range(struct buf *b, const struct option *o)
{
	buf_add_str(b, STR("from "));
	number_print(b, o->type, o->min);
	buf_add_str(b, STR(" to "));
	number_print(b, o->type, o->max);
}

static bool
list_equal(const struct str_list *a, const struct str_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!str_eq(a->item[i], b->item[i]))
			return false;
	}
	return true;
}

bool
optval_equal(const struct option *o, const void *values, const void *others)
{
	const struct rate *r, *s;

	switch (o->type) {
	case OPTION_BOOL:
		return *FIELD(values, o, bool) == *FIELD(others, o, bool);
	case OPTION_UINT:
	case OPTION_SPAN:
	case OPTION_SIZE:
		return *FIELD(values, o, uint64_t) ==
		       *FIELD(others, o, uint64_t);
	case OPTION_TEXT:
	case OPTION_HOST:
		return str_eq(*FIELD(values, o, struct str),
		    *FIELD(others, o, struct str));
	case OPTION_CHOICE:
		return *FIELD(values, o, unsigned) ==
		       *FIELD(others, o, unsigned);
	case OPTION_LIST:
		return list_equal(FIELD(values, o, struct str_list),
		    FIELD(others, o, struct str_list));
	case OPTION_RATE:
		r = FIELD(values, o, struct rate);
		s = FIELD(others, o, struct rate);
		return r->count == s->count && r->per_ms == s->per_ms;
	case OPTION_END:
		break;
	}
	return true;
}

bool
optvals_equal(
    const struct option *table, const void *values, const void *others)
{
	for (; table != NULL && table->type != OPTION_END; table++) {
		if (!optval_equal(table, values, others))
			return false;
	}
	return true;
}
