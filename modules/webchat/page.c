/* SPDX-License-Identifier: MIT */
/*
 * What the server makes for the client: the page that loads it, and the call
 * that starts it. No script stands in the page itself, so that the policy can
 * forbid all that did not come from us as a file.
 */
#include "modules/webchat/webchat.h"

static const char page[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, "
    "initial-scale=1\">\n"
    "<title>Chat</title>\n"
    "<link rel=\"icon\" href=\"images/favicon.ico\">\n"
    "<link rel=\"stylesheet\" href=\"converse.min.css\">\n"
    "<script src=\"" WEBCHAT_MAIN "\" defer></script>\n"
    "<script src=\"start.js\" defer></script>\n"
    "</head>\n"
    "<body class=\"converse-fullscreen\">\n"
    "<noscript>This client needs JavaScript.</noscript>\n"
    "<div id=\"conversejs-bg\"></div>\n"
    "</body>\n"
    "</html>\n";

static const char help[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head><meta charset=\"utf-8\"><title>No web client yet</title></head>\n"
    "<body>\n"
    "<h1>The web client is not installed</h1>\n"
    "<p>Where the server was built, run:</p>\n"
    "<pre>make -C build webchat</pre>\n"
    "<p>and, if the server was installed, <code>sudo make -C build install"
    "</code>. It fetches Converse.js, for which <code>npm</code> must be "
    "there. Then load this page again.</p>\n"
    "</body>\n"
    "</html>\n";

/*
 * In place of the client's own footer, which loads pictures from others' sites
 * before anybody has logged in.
 */
static const char footer[] =
    "customElements.define(\"converse-footer\", class extends HTMLElement {\n"
    " connectedCallback() {\n"
    "  this.innerHTML = '<p class=\"text-center\"><a target=\"_blank\" "
    "rel=\"noopener\" href=\"https://conversejs.org\">Converse.js</a></p>';\n"
    " }\n"
    "});\n";

static struct str
url_of(const struct http_req *r, const char *module, struct str configured,
    const char *scheme, const char *path)
{
	if (configured.n > 0)
		return configured;
	if (mod_find(http_host(r), module) == NULL)
		return STR_NONE;
	return http_url(r, scheme, path);
}

static struct str
websocket_url(const struct http_req *r)
{
	const struct webchat_options *o = mod_options(http_mod(r));

	return url_of(r, "websocket", o->websocket_url, "ws", "/ws");
}

static struct str
bosh_url(const struct http_req *r)
{
	const struct webchat_options *o = mod_options(http_mod(r));

	return url_of(r, "bosh", o->bosh_url, "http", "/http-bind");
}

/* The part of an address that a policy may name; none if it is no address. */
static struct str
origin_of(struct str url)
{
	struct str rest = url, scheme = str_cut(&rest, ':');
	size_t n;

	if (!str_has_prefix(rest, STR("//")))
		return STR_NONE;
	for (n = 2; n < rest.n && rest.p[n] != '/'; n++)
		if (strchr(" ;,'\"\r\n", rest.p[n]) != NULL)
			return STR_NONE;
	return str_mem(url.p, scheme.n + 1 + n);
}

/*
 * Scripts are ours alone. Pictures, and files to be put, may be elsewhere.
 * Converse.js styles elements in place.
 */
static const char *
policy(const struct http_req *r)
{
	return arena_printf(http_arena(r),
	    "default-src 'none'; script-src 'self'; style-src 'self' "
	    "'unsafe-inline'; img-src 'self' data: blob: https:; media-src "
	    "'self' data: blob: https:; font-src 'self' data:; connect-src "
	    "'self' https: wss: " STR_FMT " " STR_FMT "; worker-src 'self'; "
	    "manifest-src 'self'; base-uri 'none'; form-action 'self'; "
	    "frame-ancestors 'self'",
	    STR_ARG(origin_of(websocket_url(r))),
	    STR_ARG(origin_of(bosh_url(r))));
}

static void
answer_page(struct http_req *r, unsigned status, const char *text)
{
	http_header(r, "cache-control", "no-cache");
	http_header(r, "content-security-policy", policy(r));
	http_answer(r, status, "text/html; charset=utf-8", str_c(text));
}

void
webchat_page(struct http_req *r)
{
	answer_page(r, 200, page);
}

void
webchat_help(struct http_req *r)
{
	answer_page(r, 503, help);
}

/* How it starts -----------------------------------------------------------*/

static void
set_text(json_t *o, const char *name, struct str text)
{
	if (!str_is_none(text))
		json_object_set_new(o, name, json_stringn(text.p, text.n));
}

static bool
may_sign_up(const struct host *host)
{
	const struct register_offer *offer = mod_lookup("register");

	return offer != NULL && offer->is_open(host);
}

/* In the words of Converse.js. */
static json_t *
settings(const struct http_req *r)
{
	const struct host *host = http_host(r);
	struct str name = host->jid.domain;
	json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:b, s:s}", "view_mode",
	    "fullscreen", "authentication", "login", "assets_path", "/chat/",
	    "discover_connection_methods", 0, "allow_registration",
	    may_sign_up(host), "persistent_store", "IndexedDB");

	set_text(o, "websocket_url", websocket_url(r));
	set_text(o, "bosh_service_url", bosh_url(r));
	set_text(o, "default_domain", name);
	set_text(o, "domain_placeholder", name);
	set_text(o, "registration_domain", name);
	return o;
}

static int
add_text(const char *p, size_t n, void *ctx)
{
	buf_add((struct buf *)ctx, p, n);
	return 0;
}

void
webchat_start(struct http_req *r)
{
	json_t *all = settings(r);
	struct buf out = { 0 };

	buf_add_str(&out, str_c(footer));
	buf_add_str(&out, STR("converse.initialize("));
	json_dump_callback(all, add_text, &out, JSON_INDENT(1));
	buf_add_str(&out, STR(");\n"));
	http_header(r, "cache-control", "no-store");
	http_answer(r, 200, "text/javascript; charset=utf-8", buf_str(&out));
	buf_fini(&out);
	json_decref(all);
}
