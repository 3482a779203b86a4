/* SPDX-License-Identifier: MIT */
/* The server's commands, each with a form made from its row. */
#include "modules/admin/admin.h"

struct find {
	const char *name;
	struct arena *arena;
	bool is_found;
	size_t arg_count;
	struct command row; /* its texts are copies */
};

static const char *
copy(struct arena *a, const char *text)
{
	return text != NULL ? arena_printf(a, "%s", text) : NULL;
}

static void
on_command(void *ctx, const struct cmd_def *def)
{
	struct find *f = ctx;

	if (strcmp(def->row->name, f->name) != 0)
		return;
	f->is_found = true;
	f->row.name = copy(f->arena, def->row->name);
	f->row.help = copy(f->arena, def->row->help);
	f->row.result_name = copy(f->arena, def->row->result_name);
	f->arg_count = def->arg_count;
	for (size_t i = 0; i < def->arg_count; i++) {
		const struct command_arg *arg = &def->row->args[i];

		f->row.args[i] = (struct command_arg){
			.name = copy(f->arena, arg->name),
			.type = copy(f->arena, arg->type),
			.fallback = copy(f->arena, arg->fallback),
		};
	}
}

static struct find *
find(struct adhoc_call *call)
{
	struct find *f = arena_new_of(call->arena, struct find);

	f->name = call->command->node + strlen(API_NODE);
	f->arena = call->arena;
	commands_each(on_command, f);
	return f->is_found ? f : NULL;
}

/* ---- the form ---------------------------------------------------------- */

static void
add_arg(
    struct adhoc_call *call, struct elem *form, const struct command_arg *arg)
{
	struct elem *field = form_add_field(form,
	    cmd_arg_is_secret(arg) ? "text-private" : "text-single", arg->name,
	    NULL,
	    strcmp(arg->name, "host") == 0
		? str_dup(call->arena, call->at->domain)
		: str_c(arg->fallback));

	elem_set(field, AT_LABEL,
	    str_printf(call->arena, "%s (%s)", arg->name, arg->type));
	if (arg->fallback == NULL)
		elem_add(field, EL_FORM_REQUIRED);
}

static void
send_form(struct adhoc_call *call, const struct find *f)
{
	struct elem *form =
	    form_add(adhoc_stage(call, 1 << ADHOC_COMPLETE), "form", ADMIN);

	elem_add_text(form, EL_FORM_TITLE, str_c(f->row.name));
	elem_add_text(form, EL_FORM_INSTRUCTIONS, str_c(f->row.help));
	for (size_t i = 0; i < f->arg_count; i++)
		add_arg(call, form, &f->row.args[i]);
	adhoc_send(call);
}

/* ---- running it -------------------------------------------------------- */

static void
on_outcome(void *ctx, const struct cmd_outcome *o)
{
	struct adhoc_call *call = ctx;
	struct elem *command, *form, *field;
	struct buf text = { 0 };
	struct str said;
	bool is_fine;

	is_fine = cmd_outcome_text(o, &text) == 0;
	said = str_trim(str_dup(call->arena, buf_str(&text)));
	buf_fini(&text);
	if (!is_fine && said.n == 0) {
		adhoc_refuse(call, admin_condition(o), EL_NONE);
		return;
	}
	command = adhoc_done(call);
	if (!is_fine) {
		adhoc_note(command, "error", said);
	} else if (said.n > 0) {
		form = form_add(command, "result", ADMIN);
		field = form_add_field(
		    form, "text-multi", "result", "Result", STR_NONE);
		admin_add_lines(field, said);
	} else {
		adhoc_note(command, "info", STR("Done"));
	}
	adhoc_send(call);
}

/* What is left empty at the end of the form takes its fallback. */
static void
run_words(struct adhoc_call *call, const struct find *f)
{
	struct str *words =
	    arena_alloc(call->arena, (f->arg_count + 1) * sizeof(*words));
	size_t count = 0;

	for (size_t i = 0; i < f->arg_count; i++) {
		const struct command_arg *arg = &f->row.args[i];
		struct str value = form_value(call->form, arg->name);

		if (str_is_none(value) ||
		    (value.n == 0 && arg->fallback != NULL))
			value = str_c(arg->fallback);
		if (str_is_none(value)) {
			adhoc_refuse(
			    call, EL_BAD_REQUEST, EL_COMMAND_BAD_PAYLOAD);
			return;
		}
		words[count++] = value;
	}
	admin_start(call, f->row.name, words, count, on_outcome, call);
}

void
api_run(struct adhoc_call *call)
{
	const struct find *f = find(call);

	if (f == NULL)
		adhoc_refuse(call, EL_ITEM_NOT_FOUND, EL_NONE);
	else if (call->action == ADHOC_EXECUTE && f->arg_count > 0)
		send_form(call, f);
	else
		run_words(call, f);
}
