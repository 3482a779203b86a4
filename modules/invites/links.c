/* SPDX-License-Identifier: MIT */
/* The addresses that carry a token. */
#include "modules/invites/invites.h"

/* RFC 5122: what may stand in a node as it is. */
static void
add_escaped(struct buf *b, struct str s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (size_t i = 0; i < s.n; i++) {
		char hex[4];

		if (s.p[i] != '\0' && strchr(plain, s.p[i]) != NULL) {
			buf_add(b, &s.p[i], 1);
			continue;
		}
		snprintf(hex, sizeof(hex), "%%%02X", (unsigned char)s.p[i]);
		buf_add_str(b, str_c(hex));
	}
}

static void
add_address(struct buf *b, struct str local, struct str domain)
{
	buf_add_str(b, STR("xmpp:"));
	if (local.n > 0) {
		add_escaped(b, local);
		buf_add_str(b, STR("@"));
	}
	buf_add_str(b, domain);
}

struct str
invite_uri(struct arena *a, const struct host *host, const struct invite *inv,
    struct str token)
{
	struct buf b = { 0 };
	struct str uri;

	if (inv->kind == INVITE_CONTACT) {
		struct jid by = jid_of(inv->by);

		add_address(&b, by.local, by.domain);
		buf_add_str(&b, STR("?roster;preauth="));
		buf_add_str(&b, token);
		if (inv->makes_account)
			buf_add_str(&b, STR(";ibr=y"));
	} else {
		add_address(&b, inv->name, host->jid.full);
		buf_add_str(&b, STR("?register;preauth="));
		buf_add_str(&b, token);
	}
	uri = str_dup(a, buf_str(&b));
	buf_fini(&b);
	return uri;
}

struct str
invite_url(struct arena *a, struct mod *m, struct str token)
{
	const struct invites_options *o = mod_options(m);
	struct str base = o->url;

	if (base.n == 0)
		base = host_url(a, mod_host(m));
	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	if (base.n == 0)
		return STR_NONE;
	return str_printf(
	    a, STR_FMT "/invite/" STR_FMT, STR_ARG(base), STR_ARG(token));
}
