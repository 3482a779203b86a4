/* SPDX-License-Identifier: MIT */
/* XEP-0092: Software Version of the server. */
#include "core/module.h"

#include <sys/utsname.h>

struct version_options {
	bool show_os;
};

static enum verdict
on_version(struct mod *m, struct stanza *iq)
{
	const struct version_options *o = mod_options(m);
	struct elem *query;
	struct utsname os;

	query = elem_add(stanza_result(iq), EL_VERSION);
	elem_add_text(query, EL_VERSION_NAME, STR("Rookery"));
	elem_add_text(query, EL_VERSION_VERSION, STR(ROOKERY_VERSION));
	if (o->show_os && uname(&os) == 0)
		elem_add_text(query, EL_VERSION_OS,
		    str_printf(iq->arena, "%s %s", os.sysname, os.release));
	return stanza_send_back(iq);
}

static const struct option options[] = {
	OPT_BOOL("show_os", struct version_options, show_os, "false",
	    "tell the operating system as well"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_HOST, EL_VERSION, on_version },
	ROUTES_END,
};

static const struct feature features[] = {
	{ TO_HOST, STR_INIT("jabber:iq:version") },
	FEATURES_END,
};

MODULE(version) = {
	.summary = "tell name and version of the server",
	.options_size = sizeof(struct version_options),
	.options = options,
	.iq = routes,
	.features = features,
};
