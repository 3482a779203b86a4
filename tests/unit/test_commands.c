/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "core/command_args.h"
#include "core/commands.h"

#include "net_help.h"

static struct arena *a;

static int
setup(void **state)
{
	a = arena_new(0);
	return 0;
}

static int
teardown(void **state)
{
	arena_free(&a);
	return 0;
}

/* What is in the buffer, which is emptied. */
static const char *
text_in(struct buf *b)
{
	const char *text = b->n > 0 ? str_dup_c(a, buf_str(b)) : "";

	buf_fini(b);
	return text;
}

static const char *
written(const json_t *json)
{
	struct buf b = { 0 };

	if (json == NULL)
		return NULL;
	cmd_json_write(&b, json);
	return text_in(&b);
}

static json_t *
json_of(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(json);
	return json;
}

static struct cmd_type *
type_of(const char *text)
{
	struct cmd_type *t = cmd_type_parse(a, "res", text);

	assert_non_null(t);
	return t;
}

/* Types -------------------------------------------------------------------*/

static const struct {
	const char *text, *again; /* NULL: it is not a type */
} types[] = {
	{ "string", "string" },
	{ "binary", "string" },
	{ " integer ", "integer" },
	{ "rescode", "rescode" },
	{ "[name:string]", "[name:string]" },
	{ "{a:string,b:integer}", "{a:string, b:integer}" },
	{ "[{jid:string, groups:[group:string]}]",
	    "[{jid:string, groups:[group:string]}]" },
	{ "[u:{a:atom, b:{c:string}}]", "[u:{a:atom, b:{c:string}}]" },
	{ "", NULL },
	{ "strin", NULL },
	{ "string x", NULL },
	{ "[string]", NULL },
	{ "[a:string", NULL },
	{ "{a:string,}", NULL },
	{ "{}", NULL },
	{ "{:string}", NULL },
	{ "[[[[[[[[[[[[a:string]]]]]]]]]]]]", NULL },
};

static void
test_types(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct cmd_type *t = cmd_type_parse(a, "x", types[i].text);
		struct buf b = { 0 };

		if (types[i].again == NULL) {
			assert_null(t);
			continue;
		}
		assert_non_null(t);
		cmd_type_write(&b, t);
		assert_string_equal(text_in(&b), types[i].again);
	}
}

/* Values that callers send ------------------------------------------------*/

static const struct {
	const char *type, *json, *value; /* NULL: refused */
} sent[] = {
	{ "string", "\"a\"", "\"a\"" },
	{ "string", "1", NULL },
	{ "string", "null", NULL },
	{ "integer", "7", "7" },
	{ "integer", "\"-7\"", "-7" },
	{ "integer", "\"7a\"", NULL },
	{ "integer", "7.5", NULL },
	{ "integer", "\"\"", NULL },
	{ "[n:string]", "[\"a\",\"b\"]", "[\"a\",\"b\"]" },
	{ "[n:string]", "[]", "[]" },
	{ "[n:string]", "[\"a\",1]", NULL },
	{ "[n:string]", "\"a\"", NULL },
	{ "[n:integer]", "[1,\"2\"]", "[1,2]" },
	{ "{a:string, b:integer}", "{\"b\":\"2\",\"a\":\"x\"}",
	    "{\"a\":\"x\",\"b\":2}" },
	{ "{a:string, b:integer}", "[\"x\",2]", "{\"a\":\"x\",\"b\":2}" },
	{ "{a:string, b:integer}", "{\"x\":2}", "{\"a\":\"x\",\"b\":2}" },
	{ "{a:string, b:integer}", "{\"a\":\"x\",\"c\":2}", NULL },
	{ "{a:string, b:integer}", "[\"x\"]", NULL },
	{ "{a:string, b:integer}", "\"x\"", NULL },
	{ "[{name:string, value:string}]",
	    "[{\"name\":\"a\",\"value\":\"1\"},{\"name\":\"b\",\"value\":"
	    "\"2\"}]",
	    "[{\"name\":\"a\",\"value\":\"1\"},{\"name\":\"b\",\"value\":"
	    "\"2\"}]" },
	{ "[{name:string, value:string}]", "{\"a\":\"1\",\"b\":\"2\"}",
	    "[{\"name\":\"a\",\"value\":\"1\"},{\"name\":\"b\",\"value\":"
	    "\"2\"}]" },
	{ "[{name:string, value:string}]", "{\"a\":1}", NULL },
};

static void
test_values_of_json(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		json_t *json = json_of(sent[i].json);
		json_t *value = cmd_value_of_json(type_of(sent[i].type), json);

		if (sent[i].value == NULL)
			assert_null(value);
		else
			assert_string_equal(written(value), sent[i].value);
		json_decref(value);
		json_decref(json);
	}
}

static const struct {
	const char *type, *word, *value; /* NULL: refused */
} words[] = {
	{ "string", "a,b:c", "\"a,b:c\"" },
	{ "string", "", "\"\"" },
	{ "string", "a\\,b", "\"a\\\\,b\"" },
	{ "integer", "12", "12" },
	{ "integer", "x", NULL },
	{ "[n:string]", "", "[]" },
	{ "[n:string]", "a", "[\"a\"]" },
	{ "[n:string]", "a,b c", "[\"a\",\"b c\"]" },
	{ "[n:string]", "a\\,b,c\\\\", "[\"a,b\",\"c\\\\\"]" },
	{ "[n:string]", "[\"x\",\"y\"]", "[\"x\",\"y\"]" },
	{ "[n:string]", "[x", "[\"[x\"]" },
	{ "{a:string, b:string}", "x:y:z", "{\"a\":\"x\",\"b\":\"y:z\"}" },
	{ "{a:string, b:string}", "x\\:y:z", "{\"a\":\"x:y\",\"b\":\"z\"}" },
	{ "{a:string, b:string}", "x", NULL },
	{ "[{name:string, value:string}]", "m:true,o:u=x@y;v=w",
	    "[{\"name\":\"m\",\"value\":\"true\"},"
	    "{\"name\":\"o\",\"value\":\"u=x@y;v=w\"}]" },
	{ "[{name:string, value:string}]", "m:a\\,b",
	    "[{\"name\":\"m\",\"value\":\"a,b\"}]" },
	{ "[{name:string, value:string}]", "{\"m\":\"1\"}",
	    "[{\"name\":\"m\",\"value\":\"1\"}]" },
};

static void
test_values_of_text(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		json_t *value = cmd_value_of_text(
		    a, type_of(words[i].type), str_c(words[i].word));

		if (words[i].value == NULL)
			assert_null(value);
		else
			assert_string_equal(written(value), words[i].value);
		json_decref(value);
	}
}

/* Results -----------------------------------------------------------------*/

static const struct {
	const char *type, *value, *json, *text;
} results[] = {
	{ "string", "\"a\"", "\"a\"", "a" },
	{ "atom", "\"info\"", "\"info\"", "info" },
	{ "integer", "5", "5", "5" },
	{ "[n:string]", "[\"b\",\"a\",\"a\"]", "[\"a\",\"a\",\"b\"]",
	    "b\na\na" },
	{ "[n:string]", "[]", "[]", "" },
	{ "[n:integer]", "[10,9]", "[9,10]", "10\n9" },
	{ "{t:string, s:string}", "{\"s\":\"y\",\"t\":\"x\"}",
	    "{\"t\":\"x\",\"s\":\"y\"}", "x\ty" },
	{ "{t:string, n:integer}", "[\"x\",3]", "{\"t\":\"x\",\"n\":3}",
	    "x\t3" },
	{ "[{jid:string, groups:[g:string]}]",
	    "[{\"jid\":\"b\",\"groups\":[\"z\",\"y\"]},"
	    "{\"jid\":\"a\",\"groups\":[]}]",
	    "[{\"jid\":\"a\",\"groups\":[]},"
	    "{\"jid\":\"b\",\"groups\":[\"y\",\"z\"]}]",
	    "b\tz,y\na\t" },
	{ "[{a:atom, b:integer}]", "[[\"x\",1],[\"w\",2]]", "{\"x\":1,\"w\":2}",
	    "x\t1\nw\t2" },
	{ "[{name:string, value:string}]", "[{\"name\":\"x\",\"value\":\"1\"}]",
	    "{\"x\":\"1\"}", "x\t1" },
	{ "[{name:string, value:string}]", "[]", "{}", "" },
	{ "[{key:string, value:string}]", "[[\"b\",\"1\"],[\"a\",\"2\"]]",
	    "[{\"key\":\"a\",\"value\":\"2\"},"
	    "{\"key\":\"b\",\"value\":\"1\"}]",
	    "b\t1\na\t2" },
};

static void
test_results(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		struct cmd_type *t = type_of(results[i].type);
		json_t *value = json_of(results[i].value);
		json_t *json = cmd_value_to_json(t, value);
		struct buf text = { 0 };

		assert_string_equal(written(json), results[i].json);
		cmd_value_to_text(&text, t, value, 3);
		assert_string_equal(text_in(&text), results[i].text);
		json_decref(json);
		json_decref(value);
	}
}

/* A registry of our own ---------------------------------------------------*/

static struct cmd *held; /* the command that answers when it is told to */

static void
run_ok(struct cmd *c)
{
	cmd_ok(c, NULL);
}

static void
run_text(struct cmd *c)
{
	cmd_ok(
	    c, arena_printf(cmd_arena(c), STR_FMT "/%lld",
		   STR_ARG(cmd_str(c, "user")), (long long)cmd_int(c, "num")));
}

static void
run_hold(struct cmd *c)
{
	held = c;
}

static void
run_no(struct cmd *c)
{
	cmd_fail(c, CMD_FAILED, 0, "no %d", 1);
}

static void
run_conflict(struct cmd *c)
{
	cmd_fail(c, CMD_CONFLICT, 10090, "User %s exists", "x");
}

static void
run_not_found(struct cmd *c)
{
	cmd_fail(c, CMD_NOT_FOUND, 0, "unregistered_user");
}

static void
run_bad(struct cmd *c)
{
	cmd_fail(c, CMD_BAD_ARG, 0, "Room already exists");
}

static void
run_days(struct cmd *c)
{
	int64_t days;

	if (cmd_days(c, &days))
		cmd_ok(c, arena_printf(cmd_arena(c), "%lld", (long long)days));
}

static struct cmd_job job = { .what = "tidying" };

static void
run_job_begin(struct cmd *c)
{
	if (cmd_job_begin(c, &job))
		job.count += 3;
}

static void
run_job_end(struct cmd *c)
{
	cmd_job_end(&job, cmd_int(c, "err"));
	cmd_ok(c, NULL);
}

static void
run_job_tell(struct cmd *c)
{
	cmd_job_tell(c, &job);
}

static void
run_number(struct cmd *c)
{
	cmd_result(c, json_integer(4));
}

static void
run_list(struct cmd *c)
{
	cmd_result(c, json_of("[\"b\",\"a\"]"));
}

static json_t *
part(const struct cmd *c)
{
	return json_integer(1 + loop_index(loop_self()));
}

static void
run_gather(struct cmd *c)
{
	cmd_gather(c, part, NULL);
}

#define COMMON .tag = "test", .help = "A test"

static const struct command rows[] = {
	{ .name = "do_it",
	    COMMON,
	    .args = { ARG("user", "string"),
		ARG_OLD("host", "string", "server"), ARG("num", "integer"),
		ARG("groups", "[group:string]") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_text },
	{ .name = "fall_back",
	    COMMON,
	    .args = { ARG("user", "string"),
		{ .name = "num", .type = "integer", .fallback = "7" } },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_text },
	{ .name = "ok",
	    COMMON,
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_ok },
	{ .name = "hold",
	    COMMON,
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_hold },
	{ .name = "no",
	    COMMON,
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_no },
	{ .name = "no_text",
	    COMMON,
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_no },
	{ .name = "conflict",
	    COMMON,
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_conflict },
	{ .name = "not_found",
	    COMMON,
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_not_found },
	{ .name = "bad",
	    COMMON,
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_bad },
	{ .name = "days",
	    COMMON,
	    .args = { ARG("days", "integer") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_days },
	{ .name = "job_begin",
	    COMMON,
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_job_begin },
	{ .name = "job_end",
	    COMMON,
	    .args = { ARG("err", "integer") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = run_job_end },
	{ .name = "job_tell",
	    COMMON,
	    .result_name = "state",
	    .result = "string",
	    .run = run_job_tell },
	{ .name = "number",
	    COMMON,
	    .result_name = "num",
	    .result = "integer",
	    .run = run_number },
	{ .name = "list",
	    COMMON,
	    .result_name = "names",
	    .result = "[name:string]",
	    .version = 2,
	    .run = run_list },
	{ .name = "list",
	    COMMON,
	    .result_name = "num",
	    .result = "integer",
	    .run = run_number },
	{ .name = "gather",
	    COMMON,
	    .result_name = "sum",
	    .result = "integer",
	    .run = run_gather },
	COMMANDS_END,
};

/* Calls: what comes of them, both ways ------------------------------------*/

#define JOB_TOLD(text_) \
	{ \
		"job_tell", -1, "{}", 200, "\"" text_ "\"", 0, text_ \
	}

static const struct {
	const char *name;
	int version;	  /* -1: the newest */
	const char *args; /* an object, or an array of words */
	unsigned status;
	const char *json;
	int exit;
	const char *text;
} calls[] = {
	{ "do_it", -1, "{\"user\":\"u\",\"host\":\"h\",\"num\":\"3\"}", 200,
	    "\"u/3\"", 0, "u/3" },
	{ "do-it", -1, "{\"user\":\"u\",\"server\":\"h\",\"num\":3}", 200,
	    "\"u/3\"", 0, "u/3" },
	{ "do_it", -1, "[\"u\",\"h\",\"3\",\"\"]", 200, "\"u/3\"", 0, "u/3" },
	{ "do_it", -1, "{\"user\":\"u\",\"num\":3}", 400,
	    "\"Request have missing argument: host\"", 1,
	    "Error: Request have missing argument: host" },
	{ "do_it", -1,
	    "{\"user\":\"u\",\"host\":\"h\",\"server\":\"h\",\"num\":3}", 400,
	    "\"Request have duplicate argument: host\"", 1,
	    "Error: Request have duplicate argument: host" },
	{ "do_it", -1,
	    "{\"user\":\"u\",\"host\":\"h\",\"num\":3,\"x\":1,\"y\":1}", 400,
	    "\"Request have unknown arguments: [x,y]\"", 1,
	    "Error: Request have unknown arguments: [x,y]" },
	{ "do_it", -1, "{\"user\":\"u\",\"host\":\"h\",\"num\":\"x\"}", 400,
	    "\"Arg num is not in format integer\"", 1,
	    "Error: Arg num is not in format integer" },
	{ "fall_back", -1, "[\"u\"]", 200, "\"u/7\"", 0, "u/7" },
	{ "fall_back", -1, "{\"user\":\"u\",\"num\":2}", 200, "\"u/2\"", 0,
	    "u/2" },
	{ "ok", -1, "{}", 200, "0", 0, "" },
	{ "no", -1, "{}", 200, "1", 1, "Error: no 1" },
	{ "no_text", -1, "{}", 500,
	    "{\"status\":\"error\",\"code\":0,\"message\":\"no 1\"}", 1,
	    "Error: no 1" },
	{ "conflict", -1, "{}", 409,
	    "{\"status\":\"error\",\"code\":10090,\"message\":\"User x "
	    "exists\"}",
	    1, "Error: conflict: User x exists" },
	{ "not_found", -1, "{}", 404, "\"unregistered_user\"", 1,
	    "Error: unregistered_user" },
	{ "bad", -1, "{}", 400, "\"Room already exists\"", 1,
	    "Error: Room already exists" },
	{ "number", -1, "{}", 200, "4", 0, "4" },
	{ "number", 0, "{}", 200, "{\"num\":4}", 0, "4" },
	{ "list", -1, "{}", 200, "[\"a\",\"b\"]", 0, "b\na" },
	{ "list", 2, "{}", 200, "[\"a\",\"b\"]", 0, "b\na" },
	{ "list", 1, "{}", 200, "4", 0, "4" },
	{ "gather", -1, "{}", 200, "6", 0, "6" },
	{ "days", -1, "[\"0\"]", 200, "\"0\"", 0, "0" },
	{ "days", -1, "[\"36500\"]", 200, "\"36500\"", 0, "36500" },
	{ "days", -1, "[\"-1\"]", 400, "\"days: 0 to 36500\"", 1,
	    "Error: days: 0 to 36500" },
	{ "days", -1, "[\"36501\"]", 400, "\"days: 0 to 36500\"", 1,
	    "Error: days: 0 to 36500" },
	JOB_TOLD("Operation not started, deleted 0 messages"),
	{ "job_begin", -1, "{}", 200, "\"Starting tidying in the background\"",
	    0, "Starting tidying in the background" },
	{ "job_begin", -1, "{}", 409,
	    "{\"status\":\"error\",\"code\":0,\"message\":\"Operation in "
	    "progress\"}",
	    1, "Error: conflict: Operation in progress" },
	JOB_TOLD("Operation in progress, deleted 3 messages"),
	{ "job_end", -1, "{\"err\":-10004}", 200, "\"\"", 0, "" },
	JOB_TOLD("Operation failed, deleted 3 messages: storage failed"),
	{ "job_begin", -1, "{}", 200, "\"Starting tidying in the background\"",
	    0, "Starting tidying in the background" },
	JOB_TOLD("Operation in progress, deleted 3 messages"),
	{ "job_end", -1, "{\"err\":0}", 200, "\"\"", 0, "" },
	JOB_TOLD("Operation finished, deleted 3 messages"),
	{ "numbr", -1, "{}", 404,
	    "{\"status\":\"error\",\"code\":44,\"message\":\"Command not "
	    "found.\"}",
	    1, "Error: unknown command 'numbr'. Did you mean 'number'?" },
};

struct call {
	struct cmd_call call;
	struct gate told;
	unsigned status;
	int exit;
	const char *json, *text;
	bool is_usage;
};

static void
on_told(void *ctx, const struct cmd_outcome *o)
{
	struct call *c = (struct call *)ctx;
	struct buf json = { 0 }, text = { 0 };

	c->is_usage = o->what == CMD_USAGE;
	c->status = cmd_outcome_http(o, &json);
	c->exit = cmd_outcome_text(o, &text);
	c->json = text_in(&json);
	c->text = text_in(&text);
	gate_add(&c->told, 1);
}

static void
start(void *arg)
{
	struct call *c = (struct call *)arg;

	cmd_start(&c->call, on_told, c);
}

static void
call(struct call *c, const char *name, int version, const char *args)
{
	json_t *json = json_of(args);

	*c = (struct call){ .told = GATE_INIT };
	c->call.name = str_c(name);
	c->call.version =
	    version < 0 ? COMMAND_VERSION_NEWEST : (unsigned)version;
	c->call.args = json;
	c->call.is_words = json_is_array(json);
	c->call.origin = "test";
	on_loop(1, start, c);
	json_decref(json);
}

static void
test_calls(void **state)
{
	struct call c;

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		call(&c, calls[i].name, calls[i].version, calls[i].args);
		gate_wait(&c.told, 1);
		assert_int_equal(c.status, calls[i].status);
		assert_string_equal(c.json, calls[i].json);
		assert_int_equal(c.exit, calls[i].exit);
		assert_string_equal(c.text, calls[i].text);
	}
}

static void
test_wrong_count(void **state)
{
	static const struct {
		const char *args, *text;
	} counts[] = {
		{ "[]",
		    "Error: the command 'do_it' requires 4 more arguments." },
		{ "[\"u\",\"h\",\"1\"]",
		    "Error: the command 'do_it' requires 1 more argument." },
		{ "[\"u\",\"h\",\"1\",\"a\",\"b\",\"c\"]",
		    "Error: the command 'do_it' requires 2 less arguments." },
	};
	struct call c;

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		call(&c, "do_it", -1, counts[i].args);
		gate_wait(&c.told, 1);
		assert_true(c.is_usage);
		assert_int_equal(c.exit, 2);
		assert_memory_equal(
		    c.text, counts[i].text, strlen(counts[i].text));
		assert_non_null(strstr(
		    c.text, "Usage: rookeryctl do_it user host num groups"));
	}
}

static void
answer_held(void *arg)
{
	cmd_ok(held, NULL);
}

static void
do_nothing(void *arg)
{
}

/* A module's commands are not let go of while one runs. */
static void
test_removal_waits(void **state)
{
	struct call c;

	commands_add("mod", rows);
	call(&c, "hold", -1, "{}");
	assert_false(commands_remove("mod") && commands_remove(NULL));
	assert_int_equal(gate_count(&c.told), 0);
	on_loop(0, answer_held, NULL);
	gate_wait(&c.told, 1);
	assert_string_equal(c.json, "0");
	/* It is let go of just after it was told. */
	on_loop(1, do_nothing, NULL);
	assert_true(commands_remove("mod"));
	assert_true(commands_remove(NULL));
	assert_null(command_hold(STR("hold"), COMMAND_VERSION_NEWEST));
	commands_add(NULL, rows);
}

/* Help --------------------------------------------------------------------*/

static const struct {
	const char *words;
	int exit;
	const char *has;
} helps[] = {
	{ "[]", 0, "\n  do_it user host num groups" },
	{ "[\"fall_back\"]", 0, "Usage: rookeryctl fall_back user [num]\n" },
	{ "[\"fall-back\"]", 0, "num::integer (default \"7\")" },
	{ "[\"n*\"]", 0, "  not_found" },
	{ "[\"zz*\"]", 1, "Error: no command matches" },
	{ "[\"tags\"]", 0, "Tag: test\n" },
	{ "[\"tags/test\"]", 0, "  number" },
	{ "[\"tags\",\"test\"]", 0, "  number" },
	{ "[\"tags/nix\"]", 1, "Error: no tag 'nix'" },
	{ "[\"lisd\"]", 1,
	    "Error: unknown command 'lisd'. Did you mean "
	    "'list'?" },
};

static void
test_help(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(helps); i++) {
		json_t *json = json_of(helps[i].words);
		struct buf out = { 0 };

		assert_int_equal(commands_help(&out, json), helps[i].exit);
		buf_add_c(&out, '\0');
		assert_non_null(strstr(out.p, helps[i].has));
		buf_fini(&out);
		json_decref(json);
	}
}

static void
test_secrets(void **state)
{
	static const struct command_arg secret = ARG("newpass", "string");
	static const struct command_arg open = ARG("user", "string");

	assert_true(cmd_arg_is_secret(&secret));
	assert_false(cmd_arg_is_secret(&open));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_values_of_json),
		cmocka_unit_test(test_values_of_text),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_wrong_count),
		cmocka_unit_test(test_removal_waits),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_secrets),
	};
	int failed;

	log_set_level(LOG_LEVEL_WARNING);
	commands_add(NULL, rows);
	loops_up(3);
	a = NULL;
	failed = cmocka_run_group_tests(tests, setup, teardown);
	loops_down();
	commands_fini();
	return failed;
}
