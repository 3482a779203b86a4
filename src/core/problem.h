/* SPDX-License-Identifier: MIT */
/* What is wrong with a configuration: collected, told all at once. */
#ifndef CORE_PROBLEM_H
#define CORE_PROBLEM_H

#include "base/arena.h"
#include "base/str.h"

#define PROBLEMS_MAX 20

struct problem {
	unsigned line; /* 0: of the file as a whole */
	const char *text;
};

/* The first twenty, by line; `more` counts what there was beyond. */
struct problems {
	struct arena *arena; /* of the caller; texts live there */
	const char *file;
	struct problem item[PROBLEMS_MAX];
	size_t count;
	size_t more;
};

/* Adds one, unless the same is there for that line already. */
void problem_add(struct problems *p, unsigned line, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* "FILE:LINE: text", in the arena. */
const char *problem_line(const struct problems *p, size_t index);
/* All of them, one a line, to stderr. */
void problems_print(const struct problems *p);

/*
 * The name nearest to a mistyped one, by edit distance; NULL when none is
 * near. `names` is ended by NULL.
 */
const char *name_nearest(struct str name, const char *const *names);
/*
 * "unknown WHAT 'name'WHERE; did you mean 'x'?", or the names when they are
 * few and none is near.
 */
void problem_unknown(struct problems *p, unsigned line, const char *what,
    struct str name, const char *where, const char *const *names);

#endif
