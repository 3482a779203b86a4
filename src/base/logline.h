/* SPDX-License-Identifier: MIT */
/*
 * The text of one line of the log. Private to log.c and its tests: nothing
 * here takes a lock or writes anywhere.
 */
#ifndef BASE_LOGLINE_H
#define BASE_LOGLINE_H

#include "base/log.h"

#define LOGLINE_MAX 4096   /* with its newline; at most PIPE_BUF on Linux */
#define LOGLINE_VALUE 1024 /* of one field, escaped */

struct logline {
	char p[LOGLINE_MAX];
	size_t n;
};

/*
 * Both answer the whole line, ended by a newline, in `l`. What is not
 * printable is escaped, and what is too long is cut and marked by "...".
 */
struct str logline_text(struct logline *l, const char *level,
    const struct log_ctx *ctx, struct str text, bool with_time);
struct str logline_json(struct logline *l, const char *level,
    const struct log_ctx *ctx, struct str text);

#endif
