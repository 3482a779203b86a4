/* SPDX-License-Identifier: MIT */
/*
 * RFC 7395: XMPP over WebSocket, at /ws (also at /xmpp-websocket, where many
 * clients look). Which host is meant is said by the stream. Clients log in by
 * SASL, not by what a browser knows, so that other sites may connect harms
 * nobody; `origins` narrows it all the same.
 */
#include "core/module.h"

struct websocket_options {
	struct str_list origins;
	bool allow_without_tls;
};

static bool
origin_is_fine(const struct http_req *r, const struct websocket_options *o)
{
	struct str origin = http_head(r, "origin");

	if (o->origins.count == 0 || str_is_none(origin))
		return true;
	for (size_t i = 0; i < o->origins.count; i++)
		if (str_eq_nocase(origin, o->origins.item[i]))
			return true;
	return false;
}

/* Sixteen bytes in Base64. */
static bool
key_is_fine(const struct http_req *r)
{
	struct str key = http_head(r, "sec-websocket-key"), bytes;

	return !str_is_none(key) && key.n == 24 &&
	       str_unbase64(http_arena(r), key, &bytes) && bytes.n == 16;
}

/* From this machine, a proxy on it included, or by TLS. */
static bool
is_safe(const struct http_req *r, const struct websocket_options *o)
{
	return http_is_tls(r) || addr_is_loopback(http_peer(r)) ||
	       o->allow_without_tls;
}

static bool
is_upgrade(const struct http_req *r)
{
	return http_has_word(http_head(r, "connection"), "upgrade") &&
	       http_has_word(http_head(r, "upgrade"), "websocket");
}

static void
accept_it(struct http_req *r)
{
	struct str headers = str_printf(http_arena(r),
	    "upgrade: websocket\r\nconnection: upgrade\r\n"
	    "sec-websocket-protocol: xmpp\r\nsec-websocket-accept: %s\r\n",
	    websocket_accept(http_arena(r), http_head(r, "sec-websocket-key")));

	websocket_start(http_take(r, headers));
}

static void
on_websocket(struct http_req *r)
{
	const struct websocket_options *o =
	    (const struct websocket_options *)mod_options(http_mod(r));

	if (!str_is(http_method(r), "GET") || http_is_local(r)) {
		http_answer_text(r, 405, "Method Not Allowed");
	} else if (!is_upgrade(r)) {
		http_header(r, "upgrade", "websocket");
		http_answer_text(r, 426, "This is for WebSocket clients.");
	} else if (!str_is(http_head(r, "sec-websocket-version"), "13")) {
		http_header(r, "sec-websocket-version", "13");
		http_answer_text(r, 426, "Upgrade Required");
	} else if (!http_has_word(
		       http_head(r, "sec-websocket-protocol"), "xmpp")) {
		http_answer_text(r, 400, "The subprotocol is xmpp.");
	} else if (!key_is_fine(r) || http_length(r) > 0) {
		http_answer_text(r, 400, "Bad Request");
	} else if (!origin_is_fine(r, o)) {
		http_answer_text(r, 403, "Not from that origin.");
	} else if (!is_safe(r, o)) {
		http_answer_text(r, 403, "TLS is needed.");
	} else {
		accept_it(r);
	}
}

static const struct option options[] = {
	OPT_LIST("origins", struct websocket_options, origins, NULL, 100,
	    "sites whose pages may connect, such as https://chat.example.org; "
	    "none: all"),
	OPT_BOOL("allow_without_tls", struct websocket_options,
	    allow_without_tls, "false",
	    "take connections without TLS from other machines, too"),
	OPTIONS_END,
};

static const struct http_route http[] = {
	{ .method = "GET", .path = "/ws", .fn = on_websocket },
	{ .method = "GET", .path = "/xmpp-websocket", .fn = on_websocket },
	HTTP_ROUTES_END,
};

MODULE(websocket) = {
	.summary = "let browsers connect",
	.options_size = sizeof(struct websocket_options),
	.options = options,
	.http = http,
};
