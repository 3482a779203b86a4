/* SPDX-License-Identifier: MIT */
/* Where an object is: as a path below the bucket's, or below its own name. */
#include "modules/blob_s3/s3.h"

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-.:[]", c) != NULL);
}

/* "https://NAME:PORT", perhaps with a path. */
static bool
endpoint_cut(struct str text, struct str *scheme_r, struct str *host_r,
    struct str *path_r)
{
	static const struct str mark = STR_INIT("://");
	struct str rest = text;

	*scheme_r = str_cut(&rest, ':');
	if (!str_is(*scheme_r, "https") && !str_is(*scheme_r, "http"))
		return false;
	rest = str_skip(text, scheme_r->n);
	if (!str_has_prefix(rest, mark))
		return false;
	rest = str_skip(rest, mark.n);
	*host_r = str_sub(rest, 0, str_find(rest, '/'));
	*path_r = str_skip(rest, host_r->n);
	while (str_has_suffix(*path_r, STR("/")))
		path_r->n--;
	for (size_t i = 0; i < host_r->n; i++)
		if (!is_name_char(host_r->p[i]))
			return false;
	return host_r->n > 0;
}

bool
endpoint_is_fine(struct str endpoint)
{
	struct str scheme, host, path;

	return endpoint_cut(endpoint, &scheme, &host, &path);
}

/* The slashes in it stay. */
static struct str
path_escape(struct arena *a, struct str path)
{
	struct str rest = path, out = STR("");

	while (!str_is_none(rest)) {
		struct str part = str_percent(a, str_cut(&rest, '/'));

		out = str_printf(a, STR_FMT STR_FMT "%s", STR_ARG(out),
		    STR_ARG(part), str_is_none(rest) ? "" : "/");
	}
	return out;
}

bool
address_of(struct arena *a, struct s3 *s, enum whose whose, struct str token,
    struct s3_request *r)
{
	const struct s3_options *o = mod_options(s->mod);
	bool is_public = whose == PUBLIC && o->public_endpoint.n > 0;
	bool is_path = o->addressing == ADDRESS_PATH;
	struct str path, key;

	if (o->bucket.n == 0 ||
	    !endpoint_cut(is_public ? o->public_endpoint : o->endpoint,
		&r->scheme, &r->host, &path))
		return false;
	key = str_printf(a, STR_FMT STR_FMT "/" STR_FMT, STR_ARG(o->prefix),
	    STR_ARG(mod_host(s->mod)->jid.full), STR_ARG(token));
	if (is_path)
		key = str_printf(
		    a, STR_FMT "/" STR_FMT, STR_ARG(o->bucket), STR_ARG(key));
	else
		r->host = str_printf(a, STR_FMT "." STR_FMT, STR_ARG(o->bucket),
		    STR_ARG(r->host));
	r->path = str_printf(a, STR_FMT "/" STR_FMT, STR_ARG(path),
	    STR_ARG(path_escape(a, key)));
	return true;
}

struct str
address_now(
    struct arena *a, struct s3 *s, struct s3_request *r, uint64_t good_s)
{
	struct s3_keys keys;

	if (!keys_get(s, &keys))
		return STR_NONE;
	r->time_s = clock_real() / 1000;
	r->good_s = good_s;
	return s3_presign(a, &keys, r);
}
