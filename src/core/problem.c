/* SPDX-License-Identifier: MIT */
#include "core/problem.h"

#include "base/buf.h"

#include <stdio.h>

#define NAME_MAX_COMPARED 64
#define NAMES_LISTED 24
/* Edits at most, and no more than half of the name. */
#define NEAR 3

static bool
is_known(const struct problems *p, unsigned line, const char *text)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->item[i].line == line &&
		    strcmp(p->item[i].text, text) == 0)
			return true;
	}
	return false;
}

void
problem_add(struct problems *p, unsigned line, const char *fmt, ...)
{
	const char *text;
	size_t at;
	va_list ap;

	if (p->count == PROBLEMS_MAX) {
		p->more++;
		return;
	}
	va_start(ap, fmt);
	text = arena_vprintf(p->arena, fmt, ap);
	va_end(ap);
	if (is_known(p, line, text))
		return;

	for (at = p->count; at > 0 && p->item[at - 1].line > line; at--)
		p->item[at] = p->item[at - 1];
	p->item[at] = (struct problem){ line, text };
	p->count++;
}

const char *
problem_line(const struct problems *p, size_t index)
{
	const struct problem *item = &p->item[index];

	if (item->line == 0)
		return arena_printf(p->arena, "%s: %s", p->file, item->text);
	return arena_printf(
	    p->arena, "%s:%u: %s", p->file, item->line, item->text);
}

void
problems_print(const struct problems *p)
{
	for (size_t i = 0; i < p->count; i++)
		fprintf(stderr, "%s\n", problem_line(p, i));
	if (p->more > 0)
		fprintf(stderr, "%s: and %zu more\n", p->file, p->more);
}

/*
 * Insertions, deletions, changes of a letter, and two letters swapped. Three
 * rows are kept of the usual table.
 */
static size_t
edit_distance(struct str a, struct str b)
{
	size_t rows[3][NAME_MAX_COMPARED + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2], *spare;

	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		spare = before;
		before = above;
		above = row;
		row = spare;
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t cost = a.p[i - 1] != b.p[j - 1];

			row[j] = MIN(above[j] + 1, row[j - 1] + 1);
			row[j] = MIN(row[j], above[j - 1] + cost);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
	}
	return row[b.n];
}

const char *
name_nearest(struct str name, const char *const *names)
{
	size_t best = MIN((name.n + 1) / 2, (size_t)NEAR) + 1;
	const char *nearest = NULL;

	if (name.n > NAME_MAX_COMPARED)
		return NULL;
	for (; *names != NULL; names++) {
		struct str other = str_c(*names);
		size_t d;

		if (other.n > NAME_MAX_COMPARED)
			continue;
		d = edit_distance(name, other);
		if (d < best) {
			best = d;
			nearest = *names;
		}
	}
	return nearest;
}

void
problem_unknown(struct problems *p, unsigned line, const char *what,
    struct str name, const char *where, const char *const *names)
{
	const char *nearest = name_nearest(name, names);
	struct buf b = { 0 };
	size_t count = 0;

	buf_printf(
	    &b, "unknown %s '" STR_FMT "'%s", what, STR_ARG(name), where);
	while (names[count] != NULL)
		count++;
	if (nearest != NULL)
		buf_printf(&b, "; did you mean '%s'?", nearest);
	else if (count > 0 && count <= NAMES_LISTED)
		buf_add_str(&b, STR("; there are: "));
	for (size_t i = 0;
	     nearest == NULL && i < count && count <= NAMES_LISTED; i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", names[i]);
	problem_add(p, line, STR_FMT, STR_ARG(buf_str(&b)));
	buf_fini(&b);
}
