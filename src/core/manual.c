/* SPDX-License-Identifier: MIT */
/* The rows of rookery.yml(5), from the tables that check the file. */
#include "core/manual.h"
#include "core/conf_tables.h"
#include "core/hooks.h"

#include <stdio.h>

/* What may be written for a value. */
static const char *
type_text(const struct option *o)
{
	switch (o->type) {
	case OPTION_BOOL:
		return "true | false";
	case OPTION_UINT:
		return "number";
	case OPTION_SPAN:
		return "time";
	case OPTION_SIZE:
		return "size";
	case OPTION_HOST:
		return "domain";
	case OPTION_LIST:
		return "[text, ...]";
	case OPTION_RATE:
		return "count/time | unlimited";
	default:
		return "text";
	}
}

static void
value_print(const struct option *o)
{
	if (o->type != OPTION_CHOICE) {
		printf(".It Ic %s : Ar %s\n", o->name, type_text(o));
		return;
	}
	printf(".It Ic %s : Ar ", o->name);
	for (size_t i = 0; o->choices[i] != NULL; i++)
		printf("%s%s", i > 0 ? " | " : "", o->choices[i]);
	printf("\n");
}

/* Ends a sentence of the help with a capital at its beginning. */
static void
help_print(const char *help)
{
	if (help == NULL || help[0] == '\0')
		return;
	if (help[0] >= 'a' && help[0] <= 'z')
		printf("%c%s", help[0] - 'a' + 'A', help + 1);
	else
		printf("%s%s", strchr(".'", help[0]) ? "\\&" : "", help);
	printf("%s\n", help[strlen(help) - 1] == '.' ? "" : ".");
}

static void
option_print(const struct option *o)
{
	struct buf range = { 0 };

	value_print(o);
	help_print(o->help);
	if (o->type == OPTION_UINT || o->type == OPTION_SPAN ||
	    o->type == OPTION_SIZE) {
		optval_print_range(&range, o);
		printf("It may be " STR_FMT ".\n", STR_ARG(buf_str(&range)));
		buf_fini(&range);
	}
	if (o->value != NULL && o->value[0] != '\0') {
		printf("Default:\n.Ql \"");
		for (const char *c = o->value; *c != '\0'; c++)
			printf(*c == '"' ? "\\(dq" : "%c", *c);
		printf("\" .\n");
	}
}

static void
table_print(const struct option *table)
{
	printf(".Bl -tag -width Ds\n");
	for (; table->type != OPTION_END; table++)
		option_print(table);
	printf(".El\n");
}

static void
module_print(const char *name)
{
	const struct module *m = modules_table(name);

	if (m == NULL)
		return;
	printf(".Ss Module %s\n", name);
	help_print(m->summary);
	if (m->is_optional)
		printf("It is off unless the configuration names it.\n");
	if (m->options != NULL && m->options->type != OPTION_END)
		table_print(m->options);
}

void
manual_print_options(void)
{
	struct arena *a = arena_new(0);
	const char *const *names = modules_names(a);

	for (const struct conf_section *s = conf_sections; s->options != NULL;
	     s++) {
		printf(
		    ".Ss %s\n", s->name != NULL ? s->name : "Top of the file");
		help_print(s->help);
		table_print(s->options);
	}
	for (; *names != NULL; names++)
		module_print(*names);
	arena_free(&a);
	modules_unload();
}
