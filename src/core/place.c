/* SPDX-License-Identifier: MIT */
/* Where a host is: in the file system, and on the web. */
#include "core/conf.h"
#include "core/host.h"

const char *
host_folder(struct arena *a, const struct host *host, const char *kind)
{
	return arena_printf(a, "%s/%s/" STR_FMT, conf_now()->data_dir, kind,
	    STR_ARG(host->jid.full));
}

static bool
is_https(const struct listen_conf *l)
{
	return l->policy.is_direct_tls || l->type == LISTEN_MUX;
}

/* TLS before none, and then the first. */
static const struct listen_conf *
web_listener(const struct conf *conf)
{
	const struct listen_conf *found = NULL;

	for (size_t i = 0; i < conf->listen_count; i++) {
		const struct listen_conf *l = &conf->listen[i];

		if (l->type != LISTEN_HTTP && l->type != LISTEN_MUX)
			continue;
		if (found == NULL || (is_https(l) && !is_https(found)))
			found = l;
	}
	return found;
}

struct str
host_url(struct arena *a, const struct host *host)
{
	const struct listen_conf *l = web_listener(conf_now());
	bool is_tls;

	if (l == NULL)
		return STR_NONE;
	is_tls = is_https(l);
	if (addr_port(&l->addr) == (is_tls ? 443 : 80))
		return str_printf(a, "http%s://" STR_FMT, is_tls ? "s" : "",
		    STR_ARG(host->jid.full));
	return str_printf(a, "http%s://" STR_FMT ":%u", is_tls ? "s" : "",
	    STR_ARG(host->jid.full), addr_port(&l->addr));
}
