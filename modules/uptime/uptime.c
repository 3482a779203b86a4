/* SPDX-License-Identifier: MIT */
/* XEP-0012, of the server itself: for how long it has been running. */
#include "core/module.h"

struct uptime {
	uint64_t started; /* clock_mono() */
};

static enum verdict
on_last(struct mod *m, struct stanza *iq)
{
	const struct uptime *u = mod_state(m);
	struct elem *query = elem_add(stanza_result(iq), EL_LAST);

	elem_set_uint(
	    query, AT_SECONDS, (clock_mono() - u->started) / SECONDS(1));
	return stanza_send_back(iq);
}

static void
uptime_start(struct mod *m)
{
	struct uptime *u = mod_state(m);

	u->started = clock_mono();
}

static const struct iq_route routes[] = {
	{ IQ_GET, TO_HOST, EL_LAST, on_last },
	ROUTES_END,
};

static const struct feature features[] = {
	{ TO_HOST, STR_INIT("jabber:iq:last") },
	FEATURES_END,
};

MODULE(uptime) = {
	.summary = "tell for how long the server has been running",
	.state_size = sizeof(struct uptime),
	.iq = routes,
	.features = features,
	.start = uptime_start,
};
