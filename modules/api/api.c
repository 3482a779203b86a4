/* SPDX-License-Identifier: MIT */
/*
 * The API for applications: messages, files, users and rooms as plain JSON over
 * HTTP, for those who have a token (rookeryctl create_api_token).
 */
#include "modules/api/api.h"

#include <stdatomic.h>

/* Rates --------------------------------------------------------------------*/

/*
 * Requests of each token in the present span, counted together by all workers:
 * a span's number and a count in each slot. Tokens that share a slot share its
 * count, which is rare.
 */
#define RATE_SLOTS 4096
#define COUNT_BITS 24
#define COUNT_MASK ((1u << COUNT_BITS) - 1)

static _Atomic uint64_t counted[RATE_SLOTS];

static bool
rate_allows(const struct rate *rate, struct str token)
{
	_Atomic uint64_t *slot = &counted[str_hash(token) % RATE_SLOTS];
	uint64_t now, was, next;

	if (rate->count == 0)
		return true;
	now = (uint64_t)clock_real() / rate->per_ms;
	was = atomic_load(slot);
	do {
		next = was + 1;
		if (was >> COUNT_BITS != now)
			next = (now << COUNT_BITS) + 1;
		else if ((was & COUNT_MASK) >= rate->count ||
			 (was & COUNT_MASK) == COUNT_MASK)
			return false;
	} while (!atomic_compare_exchange_weak(slot, &was, next));
	return true;
}

/* Calls --------------------------------------------------------------------*/

struct api *
api_state(struct mod *m)
{
	return mod_state(m);
}

struct mod *
api_here(const struct host *host)
{
	return mod_find(host, "api");
}

static const struct route no_route = {
	.method = "", .path = "", .id = "a call of nothing", .status = 200
};

static struct call *
call_new(struct http_req *r)
{
	struct arena *a = arena_new(0);
	struct call *c = arena_new_of(a, struct call);

	c->arena = a;
	c->req = r;
	c->mod = http_mod(r);
	c->host = mod_host(c->mod);
	c->loop = loop_self();
	c->app = STR("nobody");
	c->route = &no_route;
	api_state(c->mod)->calls++;
	return c;
}

/* Methods that the path takes. */
static const char *
methods_of(struct call *c, struct str path)
{
	const char *all = "";

	for (const struct route *t = routes; t->path != NULL; t++)
		if (path_fits(t->path + 1, path))
			all = arena_printf(c->arena, "%s%s%s", all,
			    all[0] != '\0' ? ", " : "", t->method);
	return all;
}

static bool
find_route(struct call *c, struct str path)
{
	struct str method = http_method(c->req);
	const char *allow;

	if (str_is(method, "HEAD"))
		method = STR("GET");
	for (const struct route *t = routes; t->path != NULL; t++)
		if (path_fits(t->path + 1, path) && str_is(method, t->method)) {
			c->route = t;
			return true;
		}
	allow = methods_of(c, path);
	if (allow[0] == '\0') {
		call_problem(c, 404, "no-such-path",
		    "There is nothing here; see /api/v1/openapi.json.");
	} else {
		c->allow = allow;
		call_problem(c, 405, "no-such-method", "This takes %s.", allow);
	}
	return false;
}

static struct str
path_of(const struct call *c)
{
	return http_rest(c->req);
}

static void
call_run(struct call *c)
{
	if (!call_read_args(c, path_of(c)))
		return;
	if (c->route->actor != NULL)
		call_at_home(c);
	else
		c->route->run(c);
}

/* Before the token was looked at nobody learns what there is. */
static void
on_bearer(struct http_req *r, unsigned status, const struct app_token *t)
{
	const struct api_options *o = mod_options(http_mod(r));
	struct call *c = call_new(r);

	if (status != 200) {
		call_problem(c, status,
		    status == 401 ? "bad-token" : "unavailable", "%s",
		    status == 401 ? "This needs a token that holds."
				  : "The store does not answer.");
		return;
	}
	c->token = str_dup(c->arena, t->id);
	c->app = str_dup(c->arena, t->name);
	if (!rate_allows(&o->rate, t->id)) {
		call_problem(c, 429, "too-many-requests",
		    "The token is used more often than is allowed.");
	} else if (!find_route(c, path_of(c))) {
		return;
	} else if (c->route->scope != NULL &&
		   !app_token_has_scope(t, c->route->scope)) {
		call_problem(c, 403, "missing-scope",
		    "The token has not got the scope %s.", c->route->scope);
	} else {
		call_run(c);
	}
}

static bool
is_busy(const struct http_req *r)
{
	const struct api_options *o = mod_options(http_mod(r));

	return api_state(http_mod(r))->calls >= o->calls;
}

/* Nobody has us take a body without a word of who he is. */
static bool
on_admit(struct http_req *r)
{
	if (is_busy(r))
		call_problem(call_new(r), 503, "busy",
		    "Too much is being done already. Try again later.");
	else if (str_is_none(http_head(r, "authorization")))
		call_problem(call_new(r), 401, "no-token",
		    "This needs a token: Authorization: Bearer TOKEN");
	else
		return true;
	return false;
}

static void
on_request(struct http_req *r)
{
	http_bearer(r, on_bearer);
}

static void
on_document(struct http_req *r)
{
	struct call *c = call_new(r);

	for (c->route = routes; c->route->run != run_openapi; c->route++)
		must(c->route->path != NULL);
	run_openapi(c);
}

/* ---- the table ----------------------------------------------------------- */

static int
api_load(struct arena *a, const char **why_r)
{
	mod_publish("upload_listener", &media_listener);
	return 0;
}

static void
api_stop(struct mod *m)
{
	struct api *api = api_state(m);
	char *key;

	api->is_stopped = true;
	timer_stop(&api->sweep);
	map_fini(&api->flying);
	for (size_t i = 0; (key = map_next(&api->busy, &i)) != NULL;)
		xfree(key);
	map_fini(&api->busy);
}

static const struct option options[] = {
	OPT_RATE("rate", struct api_options, rate, "6000/1m",
	    "requests that one token may make"),
	OPT_UINT("calls", struct api_options, calls, "1000", 1, 100000,
	    "requests that one worker has under way; more are told to come "
	    "again"),
	OPTIONS_END,
};

static const struct http_route http[] = {
	{ .path = "/api/v1/", .fn = on_request, .admit = on_admit },
	{ .method = "GET", .path = "/api/v1/openapi.json", .fn = on_document },
	{ .method = "GET", .path = "/api/openapi.json", .fn = on_document },
	HTTP_ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_MESSAGE_DELIVER, FIRST, .stanza = on_deliver },
	HOOKS_END,
};

MODULE(api) = {
	.summary = "serve applications over HTTP",
	.options_size = sizeof(struct api_options),
	.state_size = sizeof(struct api),
	.options = options,
	.http = http,
	.hooks = hooks,
	.load = api_load,
	.start = sweep_start,
	.stop = api_stop,
};
