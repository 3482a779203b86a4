/* SPDX-License-Identifier: MIT */
/*
 * XMPP over BOSH (XEP-0124, XEP-0206), at /http-bind: for browsers behind
 * proxies that let no WebSocket through.
 */
#include "core/module.h"

static void
on_request(struct http_req *r)
{
	bosh_handle(r, (const struct bosh_conf *)mod_options(http_mod(r)));
}

static const struct option options[] = {
	OPT_SPAN("wait", struct bosh_conf, wait_ms, "60s", 1000, 600000,
	    "how long a request is held at most"),
	OPT_SPAN("inactivity", struct bosh_conf, inactivity_ms, "60s", 1000,
	    3600000, "how long a session lives without a request"),
	OPT_SPAN("pause", struct bosh_conf, pause_ms, "2m", 1000, 3600000,
	    "how long a client may ask its session to wait"),
	OPT_UINT("sessions", struct bosh_conf, sessions, "1000", 1, 1000000,
	    "sessions from one address, on each worker"),
	OPT_BOOL("allow_without_tls", struct bosh_conf, allow_without_tls,
	    "false", "take requests without TLS from other machines, too"),
	OPTIONS_END,
};

static const struct http_route http[] = {
	{ .path = "/http-bind", .fn = on_request },
	HTTP_ROUTES_END,
};

MODULE(bosh) = {
	.summary = "let browsers connect without WebSocket",
	.options_size = sizeof(struct bosh_conf),
	.options = options,
	.http = http,
};
