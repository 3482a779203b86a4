/* SPDX-License-Identifier: MIT */
#include "core/command_args.h"

bool
cmd_arg_is_secret(const struct command_arg *arg)
{
	static const char *const names[] = { "password", "newpass",
		"passwordhash", "secret", "token" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(arg->name, names[i]) == 0)
			return true;
	return false;
}

static const char *
type_text(struct arena *a, const struct cmd_type *t)
{
	struct buf b = { 0 };
	const char *text;

	cmd_type_write(&b, t);
	text = str_dup_c(a, buf_str(&b));
	buf_fini(&b);
	return text;
}

static const char *
not_in_format(struct arena *a, const struct cmd_def *def, size_t i)
{
	return arena_printf(a, "Arg %s is not in format %s",
	    def->row->args[i].name, type_text(a, def->args[i]));
}

/* What an argument that was not given is: NULL if it must be. */
static json_t *
value_when_missing(struct arena *a, const struct cmd_def *def, size_t i)
{
	const struct command_arg *arg = &def->row->args[i];

	if (arg->fallback != NULL)
		return cmd_value_of_text(a, def->args[i], str_c(arg->fallback));
	return def->args[i]->kind == CMD_LIST ? json_array() : NULL;
}

static const json_t *
member_of(const struct command_arg *arg, const json_t *object, bool *twice_r)
{
	const json_t *now = json_object_get(object, arg->name);
	const json_t *old = arg->old_name != NULL
				? json_object_get(object, arg->old_name)
				: NULL;

	*twice_r = now != NULL && old != NULL;
	return now != NULL ? now : old;
}

/* The argument's value; NULL with *why_r if there is none that serves. */
static json_t *
value_of_member(struct arena *a, const struct cmd_def *def, size_t i,
    const json_t *object, size_t *found, const char **why_r)
{
	const struct command_arg *arg = &def->row->args[i];
	bool twice;
	const json_t *member = member_of(arg, object, &twice);
	json_t *value;

	if (twice) {
		*why_r = arena_printf(
		    a, "Request have duplicate argument: %s", arg->name);
		return NULL;
	}
	if (member == NULL) {
		value = value_when_missing(a, def, i);
		if (value == NULL)
			*why_r = arena_printf(
			    a, "Request have missing argument: %s", arg->name);
		return value;
	}
	*found += 1;
	value = cmd_value_of_json(def->args[i], member);
	if (value == NULL)
		*why_r = not_in_format(a, def, i);
	return value;
}

static bool
is_known(const struct cmd_def *def, const char *name)
{
	for (size_t i = 0; i < def->arg_count; i++) {
		const struct command_arg *arg = &def->row->args[i];

		if (strcmp(arg->name, name) == 0 ||
		    (arg->old_name != NULL && strcmp(arg->old_name, name) == 0))
			return true;
	}
	return false;
}

static const char *
unknown_arguments(
    struct arena *a, const struct cmd_def *def, const json_t *object)
{
	json_t *members = (json_t *)(uintptr_t)object, *value;
	struct buf b = { 0 };
	const char *key, *text;

	json_object_foreach(
	    members, key, value) if (!is_known(def, key) && b.n < 200)
	    buf_printf(&b, "%s%.64s", b.n > 0 ? "," : "", key);
	text = arena_printf(a, "Request have unknown arguments: [" STR_FMT "]",
	    STR_ARG(buf_str(&b)));
	buf_fini(&b);
	return text;
}

json_t *
cmd_args_of_object(struct arena *a, const struct cmd_def *def,
    const json_t *object, const char **why_r)
{
	json_t *args = json_object();
	size_t found = 0;

	for (size_t i = 0; i < def->arg_count; i++) {
		json_t *value =
		    value_of_member(a, def, i, object, &found, why_r);

		if (value == NULL) {
			json_decref(args);
			return NULL;
		}
		json_object_set_new(args, def->row->args[i].name, value);
	}
	if (found < json_object_size(object)) {
		*why_r = unknown_arguments(a, def, object);
		json_decref(args);
		return NULL;
	}
	return args;
}

static const char *
wrong_count(struct arena *a, const struct cmd_def *def, size_t given)
{
	bool few = given < def->needed;
	size_t n = few ? def->needed - given : given - def->arg_count;

	return arena_printf(a,
	    "Error: the command '%s' requires %zu %s argument%s.",
	    def->row->name, n, few ? "more" : "less", n == 1 ? "" : "s");
}

json_t *
cmd_args_of_words(struct arena *a, const struct cmd_def *def,
    const json_t *words, bool *is_usage_r, const char **why_r)
{
	size_t given = json_array_size(words);
	json_t *args;

	*is_usage_r = given < def->needed || given > def->arg_count;
	if (*is_usage_r) {
		*why_r = wrong_count(a, def, given);
		return NULL;
	}

	args = json_object();
	for (size_t i = 0; i < def->arg_count; i++) {
		const json_t *word = json_array_get(words, i);
		json_t *value;

		if (word == NULL)
			value = value_when_missing(a, def, i);
		else
			value = cmd_value_of_text(a, def->args[i],
			    str_mem(json_string_value(word),
				json_string_length(word)));
		if (value == NULL) {
			*why_r = not_in_format(a, def, i);
			json_decref(args);
			return NULL;
		}
		json_object_set_new(args, def->row->args[i].name, value);
	}
	return args;
}
