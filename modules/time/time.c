/* SPDX-License-Identifier: MIT */
/* XEP-0202: Entity Time of the server. */
#include "core/module.h"

#include <stdlib.h>
#include <time.h>

static struct str
zone_offset(struct arena *a)
{
	time_t now = (time_t)(clock_real() / 1000);
	struct tm local;
	long minutes;

	localtime_r(&now, &local);
	minutes = local.tm_gmtoff / 60;
	return str_printf(a, "%c%02ld:%02ld", minutes < 0 ? '-' : '+',
	    labs(minutes) / 60, labs(minutes) % 60);
}

static enum verdict
on_time(struct mod *m, struct stanza *iq)
{
	struct elem *time = elem_add(stanza_result(iq), EL_TIME);

	elem_add_text(time, EL_TIME_TZO, zone_offset(iq->arena));
	elem_add_text(
	    time, EL_TIME_UTC, clock_format(iq->arena, clock_real(), false));
	return stanza_send_back(iq);
}

static const struct iq_route routes[] = {
	{ IQ_GET, TO_HOST, EL_TIME, on_time },
	ROUTES_END,
};

static const struct feature features[] = {
	{ TO_HOST, STR_INIT("urn:xmpp:time") },
	FEATURES_END,
};

MODULE(time) = {
	.summary = "tell the server's time",
	.iq = routes,
	.features = features,
};
