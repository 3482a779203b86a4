/* SPDX-License-Identifier: MIT */
/*
 * Types of arguments and results: from their short texts to small trees, and
 * values by them. Inside the core, a value has one shape: a tuple is a JSON
 * object of its fields, a list an array, an atom a string.
 */
#ifndef CORE_COMMAND_TYPE_H
#define CORE_COMMAND_TYPE_H

#include "base/arena.h"
#include "base/buf.h"

#include <jansson.h>

enum cmd_kind {
	CMD_STRING,
	CMD_INTEGER,
	CMD_ATOM,
	CMD_RESCODE,
	CMD_RESTUPLE,
	CMD_TUPLE,
	CMD_LIST,
};

struct cmd_type {
	enum cmd_kind kind;
	const char *name;	/* of the value; "" for a nameless one */
	struct cmd_type *items; /* fields of a tuple, the item of a list */
	struct cmd_type *next;	/* field */
	size_t count;		/* of items */
};

/* NULL when the text is not a type. `name` is kept. */
struct cmd_type *cmd_type_parse(
    struct arena *a, const char *name, const char *text);
/* As it is written in help: "[{jid:string, nick:string}]". */
void cmd_type_write(struct buf *out, const struct cmd_type *t);

/*
 * A new value of the type from what a caller sent: numbers may be texts,
 * tuples arrays, a list of pairs an object. NULL: it is not of the type.
 */
json_t *cmd_value_of_json(const struct cmd_type *t, const json_t *json);
/*
 * The same from a word of the command line: "a,b,c" for a list, "x:y" for a
 * tuple, with \ before a separator that is none; or JSON.
 */
json_t *cmd_value_of_text(
    struct arena *a, const struct cmd_type *t, struct str text);

/*
 * A result as the HTTP API shows it: a new value. Lists are sorted; pairs
 * whose first is an atom, or of "name" and "value", become one object.
 */
json_t *cmd_value_to_json(const struct cmd_type *t, const json_t *value);
/* As the command line shows it. Version 0 joined inner lists by ";". */
void cmd_value_to_text(struct buf *out, const struct cmd_type *t,
    const json_t *value, unsigned version);

/* A new array of the same items in ascending order; takes `array`. */
json_t *cmd_json_sorted(json_t *array);
/* Compact JSON at the end of the buffer. */
void cmd_json_write(struct buf *out, const json_t *value);

#endif
