/* SPDX-License-Identifier: MIT */
/*
 * Commands over HTTP, as ejabberd has them: /api/COMMAND[/vN] of mod_http_api,
 * with an object of arguments and a result in JSON; /ctl/COMMAND[/vN] of its
 * CTL_OVER_HTTP, with an array of words and the command line's text. Who may
 * open the socket may do everything; who comes over the network has to be an
 * administrator, and /ctl/ is not for him.
 */
#include "core/commands.h"
#include "http/http.h"

#define JSON "application/json"

/* COMMAND[/vN]; false when it is neither. */
static bool
parse_target(struct str rest, struct str *name_r, unsigned *version_r)
{
	uint64_t n;

	*name_r = str_cut(&rest, '/');
	*version_r = COMMAND_VERSION_NEWEST;
	if (str_is_none(rest))
		return !str_is_empty(*name_r);
	if (rest.n < 2 || rest.p[0] != 'v' ||
	    !str_to_u64(str_skip(rest, 1), &n) || n >= COMMAND_VERSION_NEWEST)
		return false;
	*version_r = (unsigned)n;
	return !str_is_empty(*name_r);
}

/* /api/ -------------------------------------------------------------------*/

static void
api_headers(struct http_req *r)
{
	http_header(r, "access-control-allow-origin", "*");
	http_header(r, "access-control-allow-headers",
	    "Content-Type, Authorization, X-Admin");
	http_header(r, "access-control-allow-methods", "GET, POST, OPTIONS");
	http_header(r, "access-control-max-age", "86400");
}

static void
api_refuse(struct http_req *r, const char *text)
{
	struct str body = str_printf(http_arena(r), "\"%s\"", text);

	http_answer(r, 400, JSON, body);
}

/* "api admin@localhost", or "socket". */
static const char *
origin_of(const struct http_req *r)
{
	return http_user(r) != NULL
		   ? arena_printf(http_arena(r), "api %s", http_user(r))
		   : "socket";
}

static void
on_api_done(void *ctx, const struct cmd_outcome *o)
{
	struct http_req *r = (struct http_req *)ctx;
	struct buf body = { 0 };
	unsigned status = cmd_outcome_http(o, &body);

	http_answer(r, status, JSON, buf_str(&body));
	buf_fini(&body);
}

/* The arguments of ?arg=value, as texts; NULL if one comes twice. */
static json_t *
args_of_query(const struct http_req *r)
{
	json_t *args = json_object();
	struct str name, value;

	for (size_t i = 0; http_arg(r, i, &name, &value); i++) {
		const char *key = str_dup_c(http_arena(r), name);

		if (json_object_get(args, key) != NULL) {
			json_decref(args);
			return NULL;
		}
		json_object_set_new(args, key, json_stringn(value.p, value.n));
	}
	return args;
}

/* The arguments of the body; NULL with *why_r. */
static json_t *
args_of_body(struct str body, const char **why_r)
{
	json_error_t error;
	json_t *args;

	if (str_is_empty(body)) {
		*why_r = "Missing POST data";
		return NULL;
	}
	if (str_is_empty(str_trim(body)))
		return json_object();
	args = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &error);
	if (args == NULL) {
		*why_r = json_error_code(&error) == json_error_duplicate_key
			     ? "Request have duplicate argument"
			     : "Invalid JSON input";
		return NULL;
	}
	if (!json_is_object(args)) {
		*why_r = "Invalid JSON input";
		json_decref(args);
		return NULL;
	}
	return args;
}

static json_t *
api_args(const struct http_req *r, const char **why_r)
{
	if (str_is(http_method(r), "POST"))
		return args_of_body(http_body(r), why_r);
	*why_r = "Request have duplicate argument";
	return args_of_query(r);
}

static void
api_run(struct http_req *r, struct cmd_call *call)
{
	const char *why;
	json_t *args = api_args(r, &why);

	if (args == NULL) {
		api_refuse(r, why);
		return;
	}
	call->args = args;
	call->origin = origin_of(r);
	cmd_start(call, on_api_done, r);
	json_decref(args);
}

static void
api_error(struct http_req *r, unsigned status, int code, const char *message)
{
	http_answer(r, status, JSON,
	    str_printf(http_arena(r),
		"{\"status\":\"error\",\"code\":%d,\"message\":\"%s\"}", code,
		message));
}

static void
api_serve(struct http_req *r)
{
	struct cmd_call call = { 0 };

	if (!str_is(http_method(r), "GET") && !str_is(http_method(r), "POST")) {
		http_answer(r, 405, "text/plain", STR("Method Not Allowed"));
	} else if (!parse_target(http_rest(r), &call.name, &call.version)) {
		api_error(r, 404, 40, "Endpoint not found.");
	} else {
		api_run(r, &call);
	}
}

static void
on_local_api(struct http_req *r)
{
	api_headers(r);
	if (str_is(http_method(r), "OPTIONS"))
		http_answer(r, 200, "text/plain", STR_NONE);
	else
		api_serve(r);
}

/* Who comes over the network must be an administrator ---------------------*/

static void
api_unauthorized(struct http_req *r)
{
	http_header(r, "www-authenticate", "Basic realm=\"rookery\"");
	api_error(r, 401, 10, "You are not authorized to call this command.");
}

/* Nobody has us take a body without a word of who he is. */
static bool
api_admit(struct http_req *r)
{
	api_headers(r);
	if (str_is(http_method(r), "OPTIONS"))
		http_answer(r, 200, "text/plain", STR_NONE);
	else if (str_is_none(http_head(r, "authorization")))
		api_unauthorized(r);
	else
		return true;
	return false;
}

static void
on_authenticated(struct http_req *r, unsigned status)
{
	if (status == 200)
		api_serve(r);
	else if (status == 403)
		api_error(r, 403, 32,
		    "AccessRules: Account does not have the right to perform "
		    "the operation.");
	else if (status == 401)
		api_unauthorized(r);
	else
		api_error(r, status, 0, "Try again later.");
}

static void
on_api(struct http_req *r)
{
	http_authenticate(r, on_authenticated);
}

/* /ctl/ -------------------------------------------------------------------*/

static bool
wants_json(const struct http_req *r)
{
	return str_is(http_head(r, "accept"), JSON);
}

static void
ctl_answer(struct http_req *r, int status, const char *type, struct str text)
{
	http_header(
	    r, "status-code", arena_printf(http_arena(r), "%d", status));
	http_answer(r, 200, type, text);
}

/*
 * The argument that was not given, if it is the only one and a secret: who is
 * at a terminal can be asked for it.
 */
static const char *
missing_secret(const struct cmd_outcome *o)
{
	const struct command_arg *last;

	if (o->what != CMD_USAGE || o->given + 1 != o->def->needed)
		return NULL;
	last = &o->def->row->args[o->given];
	return cmd_arg_is_secret(last) ? last->name : NULL;
}

/* With JSON wanted, a success is as in the API; errors are for people. */
static void
on_ctl_done(void *ctx, const struct cmd_outcome *o)
{
	struct http_req *r = (struct http_req *)ctx;
	struct buf text = { 0 };
	const char *type = "text/plain; charset=utf-8";
	int status = cmd_outcome_text(o, &text);

	if (o->what == CMD_DONE && wants_json(r)) {
		buf_clear(&text);
		cmd_outcome_http(o, &text);
		type = JSON;
	}
	if (missing_secret(o) != NULL)
		http_header(r, "missing-secret", missing_secret(o));
	ctl_answer(r, status, type, buf_str(&text));
	buf_fini(&text);
}

/* Is this word the command's own name? */
static bool
is_own_name(const json_t *word, struct str name)
{
	struct str text =
	    str_mem(json_string_value(word), json_string_length(word));

	return str_eq(text, name);
}

/* The words after the command's name, with which the array may begin. */
static json_t *
ctl_words(struct str body, struct str name)
{
	json_t *words = str_is_empty(body)
			    ? json_array()
			    : json_loadb(body.p, body.n, 0, NULL);

	for (size_t i = 0; i < json_array_size(words); i++) {
		if (json_is_string(json_array_get(words, i)))
			continue;
		json_decref(words);
		return NULL;
	}
	if (is_own_name(json_array_get(words, 0), name))
		json_array_remove(words, 0);
	if (!json_is_array(words)) {
		json_decref(words);
		return NULL;
	}
	return words;
}

static void
ctl_help(struct http_req *r, const json_t *words)
{
	struct buf text = { 0 };
	int status = commands_help(&text, words);

	ctl_answer(r, status, "text/plain; charset=utf-8", buf_str(&text));
	buf_fini(&text);
}

static void
on_ctl(struct http_req *r)
{
	struct cmd_call call = { .is_words = true, .origin = "ctl" };
	json_t *words = NULL;

	if (parse_target(http_rest(r), &call.name, &call.version))
		words = ctl_words(http_body(r), call.name);
	if (words == NULL) {
		http_answer(r, 400, "text/plain", STR("Bad Request"));
		return;
	}
	call.args = words;
	if (str_is(call.name, "help"))
		ctl_help(r, words);
	else
		cmd_start(&call, on_ctl_done, r);
	json_decref(words);
}

const struct http_route http_admin_routes[] = {
	{ .path = "/api/", .fn = on_local_api },
	{ .method = "POST", .path = "/ctl/", .fn = on_ctl },
	HTTP_ROUTES_END,
};

const struct http_route http_public_routes[] = {
	{ .path = "/api/", .fn = on_api, .admit = api_admit },
	{ .method = "GET", .path = "/healthz", .fn = status_health },
	{ .method = "GET", .path = "/readyz", .fn = status_ready },
	{ .method = "GET", .path = "/metrics", .fn = status_metrics },
	HTTP_ROUTES_END,
};
