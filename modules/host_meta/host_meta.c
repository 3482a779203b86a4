/* SPDX-License-Identifier: MIT */
/*
 * XEP-0156: tells browsers where to connect, in XML and in JSON. The address
 * is that by which the question came, unless the configuration has another.
 */
#include "core/module.h"

#define REL "urn:xmpp:alt-connections:websocket"
#define REL_BOSH "urn:xmpp:alt-connections:xbosh"

struct host_meta_options {
	struct str websocket_url, bosh_url;
};

/* None when there is nothing to be told. */
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
	const struct host_meta_options *o =
	    (const struct host_meta_options *)mod_options(http_mod(r));

	return url_of(r, "websocket", o->websocket_url, "ws", "/ws");
}

static struct str
bosh_url(const struct http_req *r)
{
	const struct host_meta_options *o =
	    (const struct host_meta_options *)mod_options(http_mod(r));

	return url_of(r, "bosh", o->bosh_url, "http", "/http-bind");
}

static void
add_link(struct buf *out, const char *rel, struct str url)
{
	if (str_is_none(url))
		return;
	buf_printf(out, "  <Link rel='%s' href='", rel);
	xml_escape(out, url);
	buf_add_str(out, STR("'/>\n"));
}

static void
add_json(json_t *links, const char *rel, struct str url)
{
	if (!str_is_none(url))
		json_array_append_new(links,
		    json_pack("{s:s, s:s%}", "rel", rel, "href", url.p, url.n));
}

static void
on_xml(struct http_req *r)
{
	struct buf out = { 0 };

	buf_add_str(&out,
	    STR("<?xml version='1.0' encoding='utf-8'?>\n"
		"<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n"));
	add_link(&out, REL, websocket_url(r));
	add_link(&out, REL_BOSH, bosh_url(r));
	buf_add_str(&out, STR("</XRD>\n"));
	http_header(r, "access-control-allow-origin", "*");
	http_answer(r, 200, "application/xrd+xml", buf_str(&out));
	buf_fini(&out);
}

static int
add_text(const char *p, size_t n, void *ctx)
{
	buf_add((struct buf *)ctx, p, n);
	return 0;
}

static void
on_json(struct http_req *r)
{
	json_t *links = json_array(), *all;
	struct buf out = { 0 };

	add_json(links, REL, websocket_url(r));
	add_json(links, REL_BOSH, bosh_url(r));
	all = json_pack("{s:o}", "links", links);
	json_dump_callback(all, add_text, &out, JSON_COMPACT);
	http_header(r, "access-control-allow-origin", "*");
	http_answer(r, 200, "application/json", buf_str(&out));
	buf_fini(&out);
	json_decref(all);
}

static const struct option options[] = {
	OPT_TEXT("websocket_url", struct host_meta_options, websocket_url, "",
	    1000,
	    "where browsers connect, such as wss://example.org/ws; by default "
	    "where they ask"),
	OPT_TEXT("bosh_url", struct host_meta_options, bosh_url, "", 1000,
	    "the same for BOSH, such as https://example.org/http-bind"),
	OPTIONS_END,
};

static const struct http_route http[] = {
	{ .method = "GET", .path = "/.well-known/host-meta", .fn = on_xml },
	{ .method = "GET",
	    .path = "/.well-known/host-meta.json",
	    .fn = on_json },
	HTTP_ROUTES_END,
};

MODULE(host_meta) = {
	.summary = "tell browsers where to connect",
	.options_size = sizeof(struct host_meta_options),
	.options = options,
	.http = http,
};
