/* SPDX-License-Identifier: MIT */
/* Arguments as they come in, checked against a command's row. */
#ifndef CORE_COMMAND_ARGS_H
#define CORE_COMMAND_ARGS_H

#include "core/commands.h"

/*
 * A new object with every argument by its name; or NULL, with *why_r from `a`
 * as ejabberd words it. From an object, or from the words of a command line,
 * where a wrong count sets *is_usage_r.
 */
json_t *cmd_args_of_object(struct arena *a, const struct cmd_def *def,
    const json_t *object, const char **why_r);
json_t *cmd_args_of_words(struct arena *a, const struct cmd_def *def,
    const json_t *words, bool *is_usage_r, const char **why_r);

#endif
