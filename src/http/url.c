/* SPDX-License-Identifier: MIT */
/* Our own address, as clients see it. */
#include "core/web.h"

#include <string.h>

bool
http_is_secure(const struct http_req *r)
{
	return http_is_tls(r) ||
	       (addr_is_loopback(http_peer(r)) &&
		   str_eq_nocase(
		       http_head(r, "x-forwarded-proto"), STR("https")));
}

/* A name and perhaps a port, and nothing that could mean more. */
static bool
is_authority(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && strchr("-.:[]", c) == NULL)
			return false;
	}
	return s.n > 0;
}

struct str
http_url(const struct http_req *r, const char *scheme, const char *path)
{
	struct str at = http_head(r, "host");

	if (!is_authority(at))
		return STR_NONE;
	return str_printf(http_arena(r), "%s%s://" STR_FMT "%s", scheme,
	    http_is_secure(r) ? "s" : "", STR_ARG(at), path);
}
