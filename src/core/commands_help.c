/* SPDX-License-Identifier: MIT */
/* Help of the command line, and the manual's rows, from the tables. */
#include "core/command_args.h"

#include <fnmatch.h>

/* Column at which the help line begins, and how wide a line may be. */
#define HELP_COLUMN 28
#define LINE_WIDTH 80

static const char usage[] =
    "Usage: rookeryctl [-c FILE] [--socket PATH] [--format text|json] "
    "[--version N]\n"
    "                  COMMAND [ARGUMENT...]\n";

/* One command -------------------------------------------------------------*/

static void
put_synopsis(struct buf *out, const struct cmd_def *def)
{
	buf_add_str(out, str_c(def->row->name));
	for (size_t i = 0; i < def->arg_count; i++)
		buf_printf(out, i < def->needed ? " %s" : " [%s]",
		    def->row->args[i].name);
}

static void
put_argument(struct buf *out, const struct cmd_def *def, size_t i)
{
	const struct command_arg *arg = &def->row->args[i];

	buf_printf(out, "%s%s::", i == 0 ? "  Arguments: " : "             ",
	    arg->name);
	cmd_type_write(out, def->args[i]);
	if (arg->fallback != NULL)
		buf_printf(out, " (default \"%s\")", arg->fallback);
	buf_add_c(out, '\n');
}

void
command_help(struct buf *out, const struct cmd_def *def)
{
	const char *module = cmd_def_module(def);

	buf_add_str(out, STR("  Command Name: "));
	buf_add_str(out, str_c(def->row->name));
	buf_add_str(out, STR("\n\n  Usage: rookeryctl "));
	put_synopsis(out, def);
	buf_add_str(out, STR("\n\n"));
	for (size_t i = 0; i < def->arg_count; i++)
		put_argument(out, def, i);
	if (def->arg_count > 0)
		buf_add_c(out, '\n');
	buf_printf(out, "  Result: %s::", def->row->result_name);
	cmd_type_write(out, def->result);
	buf_printf(out, "\n\n  Tags: %s\n", def->row->tag);
	if (module != NULL)
		buf_printf(out, "\n  Module: %s\n", module);
	buf_printf(out, "\n  Description: %s\n", def->row->help);
}

/* The text from the help column on, in lines of their own; `width` is used. */
static void
put_wrapped(struct buf *out, size_t width, struct str text)
{
	while (!str_is_empty(text)) {
		struct str word = str_cut(&text, ' ');

		if (width > HELP_COLUMN && width + 1 + word.n > LINE_WIDTH) {
			buf_add_c(out, '\n');
			width = 0;
		}
		do
			buf_add_c(out, ' ');
		while (++width < HELP_COLUMN);
		buf_add_str(out, word);
		width += word.n;
	}
	buf_add_c(out, '\n');
}

static void
put_line(struct buf *out, const struct cmd_def *def)
{
	size_t start = out->n, width;

	buf_add_str(out, STR("  "));
	put_synopsis(out, def);
	width = out->n - start;
	if (width + 1 > HELP_COLUMN) {
		buf_add_c(out, '\n');
		width = 0;
	}
	put_wrapped(out, width, str_c(def->row->help));
}

/* Lists -------------------------------------------------------------------*/

struct listing {
	struct buf *out;
	const char *pattern; /* NULL: all */
	struct str tag;	     /* none: all */
	size_t count;
};

/* Is the word one of a list with commas between? */
static bool
has_tag(const char *tags, struct str tag)
{
	struct str rest = str_c(tags);

	while (!str_is_none(rest))
		if (str_eq(str_trim(str_cut(&rest, ',')), tag))
			return true;
	return false;
}

static void
on_listed(void *ctx, const struct cmd_def *def)
{
	struct listing *l = (struct listing *)ctx;

	if (l->pattern != NULL && fnmatch(l->pattern, def->row->name, 0) != 0)
		return;
	if (!str_is_none(l->tag) && !has_tag(def->row->tag, l->tag))
		return;
	put_line(l->out, def);
	l->count++;
}

static int
help_all(struct buf *out)
{
	struct listing l = { .out = out };

	buf_add_str(out, str_c(usage));
	buf_add_str(out, STR("\nCommands of this server:\n"));
	commands_each(on_listed, &l);
	buf_add_str(out,
	    STR("\nMore help:\n"
		"  rookeryctl help COMMAND    what one of them does and takes\n"
		"  rookeryctl help get_*      those that match\n"
		"  rookeryctl help tags       all, by subject\n"
		"  rookeryctl help tags/TAG   those of one subject\n"));
	return 0;
}

static int
help_pattern(struct buf *out, const char *pattern)
{
	struct listing l = { .out = out, .pattern = pattern };

	commands_each(on_listed, &l);
	if (l.count > 0)
		return 0;
	buf_printf(out, "Error: no command matches '%s'.\n", pattern);
	return 1;
}

#define TAGS_MAX 100

struct tags {
	struct arena *arena;
	struct str item[TAGS_MAX]; /* in order */
	size_t count;
};

/* Notes the command's first tag, once. */
static void
on_tag(void *ctx, const struct cmd_def *def)
{
	struct tags *tags = (struct tags *)ctx;
	struct str rest = str_c(def->row->tag);
	struct str tag = str_trim(str_cut(&rest, ','));
	size_t i = 0;

	while (i < tags->count && str_cmp(tags->item[i], tag) < 0)
		i++;
	if (tags->count == TAGS_MAX ||
	    (i < tags->count && str_eq(tags->item[i], tag)))
		return;
	memmove(&tags->item[i + 1], &tags->item[i],
	    (tags->count - i) * sizeof(struct str));
	tags->item[i] = str_dup(tags->arena, tag);
	tags->count++;
}

static size_t
help_tag(struct buf *out, struct str tag)
{
	struct listing l = { .out = out, .tag = tag };

	buf_printf(out, "\nTag: " STR_FMT "\n", STR_ARG(tag));
	commands_each(on_listed, &l);
	return l.count;
}

static int
help_tags(struct buf *out)
{
	struct tags tags = { .arena = arena_new(0) };

	commands_each(on_tag, &tags);
	for (size_t i = 0; i < tags.count; i++)
		help_tag(out, tags.item[i]);
	arena_free(&tags.arena);
	return 0;
}

static int
help_one_tag(struct buf *out, struct str tag)
{
	if (help_tag(out, tag) > 0)
		return 0;
	buf_clear(out);
	buf_printf(out, "Error: no tag '" STR_FMT "'.\n", STR_ARG(tag));
	return 1;
}

static int
help_command(struct buf *out, struct str name)
{
	struct cmd_def *def = command_hold(name, COMMAND_VERSION_NEWEST);
	struct arena *a;
	const char *like;

	if (def != NULL) {
		command_help(out, def);
		command_release(def);
		return 0;
	}
	a = arena_new(0);
	like = command_like(a, name);
	buf_printf(out, "Error: unknown command '" STR_FMT "'.",
	    STR_ARG(str_sub(name, 0, 64)));
	if (like != NULL)
		buf_printf(out, " Did you mean '%s'?", like);
	arena_free(&a);
	return 1;
}

int
commands_help(struct buf *out, const json_t *words)
{
	const char *word = json_string_value(json_array_get(words, 0));
	const char *second = json_string_value(json_array_get(words, 1));
	struct str text = str_c(word);

	if (word == NULL)
		return help_all(out);
	if (strcmp(word, "tags") == 0 || strcmp(word, "--tags") == 0)
		return second != NULL ? help_one_tag(out, str_c(second))
				      : help_tags(out);
	if (str_has_prefix(text, STR("tags/")))
		return help_one_tag(out, str_skip(text, 5));
	if (strpbrk(word, "*?[") != NULL)
		return help_pattern(out, word);
	return help_command(out, text);
}

/* The manual --------------------------------------------------------------*/

/* A line of mdoc may not begin with a control character, nor hold "\". */
static void
manual_text(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			fputs("\\e", out);
		else
			fputc(*text, out);
	}
	fputc('\n', out);
}

struct manual {
	FILE *out;
	struct str tag;
};

static void
on_manual(void *ctx, const struct cmd_def *def)
{
	struct manual *m = (struct manual *)ctx;
	struct str rest = str_c(def->row->tag);

	if (!str_eq(str_trim(str_cut(&rest, ',')), m->tag))
		return;
	fprintf(m->out, ".It Cm %s", def->row->name);
	for (size_t i = 0; i < def->arg_count; i++)
		fprintf(m->out, i < def->needed ? " Ar %s" : " Op Ar %s",
		    def->row->args[i].name);
	fputc('\n', m->out);
	manual_text(m->out, def->row->help);
}

void
commands_write_manual(FILE *out)
{
	struct tags tags = { .arena = arena_new(0) };

	commands_each(on_tag, &tags);
	for (size_t i = 0; i < tags.count; i++) {
		struct manual m = { out, tags.item[i] };

		fprintf(out, ".Ss " STR_FMT "\n.Bl -tag -width Ds\n",
		    STR_ARG(m.tag));
		commands_each(on_manual, &m);
		fputs(".El\n", out);
	}
	arena_free(&tags.arena);
}
