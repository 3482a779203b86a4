/* SPDX-License-Identifier: MIT */
/* Options' values: from text and YAML into structs, and back to text. */
#ifndef CORE_OPTVAL_H
#define CORE_OPTVAL_H

#include "base/buf.h"
#include "core/option.h"
#include "core/yaml.h"

/* Where options are read for. */
struct optval_scope {
	struct arena *arena; /* of the values */
	struct problems *problems;
	struct str host;   /* in place of @HOST@; none: there is none */
	const char *where; /* in messages: "", " of 'limits'" */
};

/* Sets every field of the table to its default. */
void optvals_default(
    struct optval_scope *scope, const struct option *table, void *values);
/*
 * Reads what a map gives for the table into `values`; the other fields stay.
 * `also`, ended by NULL, are keys that are somebody else's; it may be NULL.
 * False: problems told why.
 */
bool optvals_read(struct optval_scope *scope, const struct option *table,
    const struct tree *map, const char *const *also, void *values);
/* One value from text (not a list); false with *why_r from the arena. */
bool optval_parse(struct arena *a, const struct option *o, struct str text,
    struct str host, void *values, const char **why_r);

/* False for a text that is empty, as when it was not given. */
bool optval_is_given(const struct option *o, const void *values);
/* As YAML in one line; a secret as "***". */
void optval_print(struct buf *b, const struct option *o, const void *values);
/* A text as YAML: in quotes where it must be. */
void yaml_print_text(struct buf *b, struct str text);
/* "from 1 to 500", of numbers, spans and sizes in their own notation. */
void optval_print_range(struct buf *b, const struct option *o);
bool optvals_equal(
    const struct option *table, const void *values, const void *others);
bool optval_equal(
    const struct option *o, const void *values, const void *others);

/* "true", "yes", "on" and their opposites. */
bool bool_parse(struct str text, bool *value_r);

#endif
