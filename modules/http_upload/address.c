/* SPDX-License-Identifier: MIT */
/*
 * Addresses of slots. That to put is signed with a secret of the host, over
 * all that was asked for: token, name, size, type, owner and time.
 */
#include "modules/http_upload/upload.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define MAC_BYTES 32

static bool
is_type_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$&^_.+-/;= \"", c) != NULL);
}

bool
type_is_fine(struct str type)
{
	size_t slash = str_find(type, '/');

	if (type.n > TYPE_MAX_BYTES || slash == 0 || slash + 1 >= type.n)
		return false;
	for (size_t i = 0; i < type.n; i++)
		if (!is_type_char(type.p[i]))
			return false;
	return true;
}

struct str
upload_base(struct arena *a, struct mod *m)
{
	const struct upload_options *o = mod_options(m);
	struct str base = o->url.n > 0 ? o->url : host_url(a, mod_host(m));

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	return base;
}

struct str
slot_get_url(struct arena *a, struct mod *m, const struct slot *s)
{
	return str_printf(a, STR_FMT "/upload/" STR_FMT "/" STR_FMT,
	    STR_ARG(upload_base(a, m)), STR_ARG(s->token),
	    STR_ARG(str_percent(a, s->name)));
}

/* No part can hold the line's end that parts them. */
static struct str
signature(struct arena *a, const struct host *host, const struct slot *s)
{
	struct str text = str_printf(a,
	    "upload\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT
	    "\n%llu\n%lld\n%d\n%lld",
	    STR_ARG(s->token), STR_ARG(s->name), STR_ARG(s->type),
	    STR_ARG(s->owner), (unsigned long long)s->size, (long long)s->until,
	    (int)s->purpose, (long long)s->before);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	must(HMAC(EVP_sha256(), host->secret, (int)sizeof(host->secret),
		 (const unsigned char *)text.p, text.n, mac, &n) != NULL);
	must(n == MAC_BYTES);
	return str_hex(a, str_mem(mac, n));
}

struct str
slot_put_url(struct arena *a, struct mod *m, const struct slot *s)
{
	return str_printf(a,
	    STR_FMT "?size=%llu&until=%lld&for=%d&before=%lld&type=" STR_FMT
		    "&owner=" STR_FMT "&mac=" STR_FMT,
	    STR_ARG(slot_get_url(a, m, s)), (unsigned long long)s->size,
	    (long long)s->until, (int)s->purpose, (long long)s->before,
	    STR_ARG(str_percent(a, s->type)), STR_ARG(str_percent(a, s->owner)),
	    STR_ARG(signature(a, mod_host(m), s)));
}

bool
is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return s.n == TOKEN_LEN;
}

bool
slot_of_path(const struct http_req *r, struct slot *s)
{
	struct str rest = http_rest(r);

	s->token = str_cut(&rest, '/');
	s->name = rest;
	return is_token(s->token) && !str_is_none(rest) && rest.n > 0 &&
	       rest.n <= NAME_MAX_BYTES && str_find(rest, '/') == rest.n;
}

/* A number of the query; what is not one of its is fine. */
static bool
slot_number(struct slot *s, struct str name, struct str value)
{
	uint64_t n = 0;

	if (str_is(name, "size"))
		return str_to_u64(value, &s->size);
	if (str_is(name, "until"))
		return str_to_i64(value, &s->until);
	if (str_is(name, "before"))
		return str_to_i64(value, &s->before);
	if (!str_is(name, "for"))
		return true;
	if (!str_to_u64(value, &n) || n >= PURPOSES)
		return false;
	s->purpose = (enum purpose)n;
	return true;
}

bool
slot_of_request(const struct http_req *r, struct slot *s)
{
	struct str mac = STR(""), name, value;

	*s = (struct slot){ .type = STR(""), .owner = STR("") };
	if (!slot_of_path(r, s))
		return false;
	for (size_t i = 0; http_arg(r, i, &name, &value); i++) {
		if (str_is(name, "type"))
			s->type = value;
		else if (str_is(name, "owner"))
			s->owner = value;
		else if (str_is(name, "mac"))
			mac = value;
		else if (!slot_number(s, name, value))
			return false;
	}
	return str_eq_secret(
	    mac, signature(http_arena(r), mod_host(http_mod(r)), s));
}
