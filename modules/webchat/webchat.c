/* SPDX-License-Identifier: MIT */
/*
 * /chat/: a client in the browser, so that nobody need install one. The client
 * is Converse.js, which `make webchat` puts beside the server; what it is to
 * connect to is told by the server, so that there is nothing to set up.
 */
#include "modules/webchat/webchat.h"

#include <sys/stat.h>

/* Is the client there? It may come while we run. */
struct look {
	struct http_req *req;
	const char *path;
	bool is_there;
};

/* On a thread of the pool. */
static void
look_work(void *arg)
{
	struct look *l = arg;
	struct stat st;

	l->is_there = stat(l->path, &st) == 0 && S_ISREG(st.st_mode);
}

static void
look_done(void *arg)
{
	struct look *l = arg;

	if (l->is_there)
		webchat_page(l->req);
	else
		webchat_help(l->req);
}

static void
look(struct http_req *r)
{
	struct arena *a = http_arena(r);
	struct look *l = arena_new_of(a, struct look);

	l->req = r;
	l->path =
	    arena_printf(a, "%s/" WEBCHAT_MAIN, webchat_folder(a, http_mod(r)));
	loop_work(look_work, look_done, l);
}

static void
on_get(struct http_req *r)
{
	struct str rest = http_rest(r);

	http_header(r, "x-content-type-options", "nosniff");
	http_header(r, "referrer-policy", "no-referrer");
	if (rest.n == 0)
		look(r);
	else if (str_is(rest, "start.js"))
		webchat_start(r);
	else
		webchat_file(r);
}

static void
on_bare(struct http_req *r)
{
	http_header(r, "location", "/chat/");
	http_answer_text(r, 308, "It is at /chat/.");
}

static const struct option options[] = {
	OPT_TEXT("dir", struct webchat_options, dir, "", 1000,
	    "the folder of Converse.js; by default where \"make webchat\" and "
	    "\"make install\" put it"),
	OPT_TEXT("websocket_url", struct webchat_options, websocket_url, "",
	    1000,
	    "where the client connects, such as wss://example.org/ws; by "
	    "default where the page is"),
	OPT_TEXT("bosh_url", struct webchat_options, bosh_url, "", 1000,
	    "the same for BOSH, such as https://example.org/http-bind"),
	OPTIONS_END,
};

static const struct http_route http[] = {
	{ .method = "GET", .path = "/chat", .fn = on_bare },
	{ .method = "GET", .path = "/chat/", .fn = on_get },
	HTTP_ROUTES_END,
};

MODULE(webchat) = {
	.summary = "serve a client for browsers",
	.options_size = sizeof(struct webchat_options),
	.options = options,
	.http = http,
};
