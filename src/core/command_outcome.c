/* SPDX-License-Identifier: MIT */
/* What came of a command, as HTTP and as the command line have it. */
#include "core/commands.h"

/* HTTP --------------------------------------------------------------------*/

static void
put_string(struct buf *body, const char *text)
{
	json_t *string = json_string(text);

	if (string == NULL)
		string = json_string("not UTF-8");
	cmd_json_write(body, string);
	json_decref(string);
}

static unsigned
put_error(struct buf *body, unsigned status, int code, const char *text)
{
	json_t *object = json_pack("{s:s, s:i, s:s}", "status", "error", "code",
	    code, "message", text);

	if (object != NULL)
		cmd_json_write(body, object);
	json_decref(object);
	return status;
}

static unsigned
done_http(const struct cmd_outcome *o, struct buf *body)
{
	const struct cmd_type *t = o->def->result;
	json_t *value, *wrapped;

	if (t->kind == CMD_RESCODE) {
		buf_add_c(body, '0');
		return 200;
	}
	if (t->kind == CMD_RESTUPLE) {
		put_string(body, o->text != NULL ? o->text : "");
		return 200;
	}

	value = cmd_value_to_json(t, o->value);
	if (o->version == 0 && t->kind != CMD_LIST && t->kind != CMD_TUPLE) {
		wrapped = json_object();
		json_object_set_new(wrapped, t->name, value);
		value = wrapped;
	}
	cmd_json_write(body, value);
	json_decref(value);
	return 200;
}

static unsigned
refused_http(const struct cmd_outcome *o, struct buf *body)
{
	const char *text = o->text != NULL ? o->text : "error";
	bool is_rescode = o->def->result->kind == CMD_RESCODE;

	switch (o->kind) {
	case CMD_BAD_ARG:
		put_string(body, text);
		return 400;
	case CMD_DENIED:
		put_string(body, text);
		return 401;
	case CMD_NOT_FOUND:
		if (is_rescode) {
			put_string(body, text);
			return 404;
		}
		return put_error(body, 404, o->code, text);
	default:
		if (is_rescode) {
			buf_add_c(body, '1');
			return 200;
		}
		return put_error(
		    body, o->kind == CMD_CONFLICT ? 409 : 500, o->code, text);
	}
}

unsigned
cmd_outcome_http(const struct cmd_outcome *o, struct buf *body)
{
	switch (o->what) {
	case CMD_DONE:
		return done_http(o, body);
	case CMD_REFUSED:
		return refused_http(o, body);
	case CMD_UNKNOWN:
		return put_error(body, 404, 44, "Command not found.");
	case CMD_USAGE:
		break;
	}
	put_string(body, o->text);
	return 400;
}

/* The command line --------------------------------------------------------*/

static int
done_text(const struct cmd_outcome *o, struct buf *text)
{
	const struct cmd_type *t = o->def->result;

	if (o->text != NULL)
		buf_add_str(text, str_c(o->text));
	else if (t->kind != CMD_RESCODE && t->kind != CMD_RESTUPLE)
		cmd_value_to_text(text, t, o->value, o->version);
	return 0;
}

/* ejabberd's atom before the text of an error, as "conflict: ". */
static const char *
error_word(const struct cmd_outcome *o)
{
	if (o->kind == CMD_CONFLICT)
		return "conflict: ";
	if (o->kind == CMD_NOT_FOUND && o->code != 0)
		return "not_exists: ";
	return o->code == 10001 ? "cannot_register: " : "";
}

static int
refused_text(const struct cmd_outcome *o, struct buf *text)
{
	buf_printf(text, "Error: %s%s", error_word(o),
	    o->text != NULL ? o->text : "failed");
	return o->code > 0 && o->code <= 255 ? o->code : 1;
}

int
cmd_outcome_text(const struct cmd_outcome *o, struct buf *text)
{
	switch (o->what) {
	case CMD_DONE:
		return done_text(o, text);
	case CMD_REFUSED:
		return refused_text(o, text);
	case CMD_UNKNOWN:
		buf_printf(text, "Error: %s", o->text);
		return 1;
	case CMD_USAGE:
		break;
	}
	buf_printf(text, "%s\n\n", o->text);
	command_help(text, o->def);
	return 2;
}
