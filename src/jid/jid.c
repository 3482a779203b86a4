/* SPDX-License-Identifier: MIT */
#include "jid/jid.h"

#include "base/err.h"

/* Cuts a JID at its first "/", and what is before that at its first "@". */
static void
split(struct str text, struct str *local, struct str *domain,
    struct str *resource)
{
	size_t slash = str_find(text, '/'), at;

	*local = *resource = STR_NONE;
	*domain = str_sub(text, 0, slash);
	if (slash < text.n)
		*resource = str_skip(text, slash + 1);
	at = str_find(*domain, '@');
	if (at < domain->n) {
		*local = str_sub(*domain, 0, at);
		*domain = str_skip(*domain, at + 1);
	}
}

struct jid
jid_of(struct str prepared)
{
	struct jid jid = { .full = prepared };

	if (prepared.n == 0)
		return (struct jid){ 0 };
	split(prepared, &jid.local, &jid.domain, &jid.resource);
	jid.bare = jid.full;
	if (!str_is_none(jid.resource))
		jid.bare.n -= jid.resource.n + 1;
	return jid;
}

/* Prepares one part in place; notes when its bytes have changed. */
static int
prepare(int (*prep)(struct arena *, struct str, struct str *), struct arena *a,
    struct str *part, bool *is_changed)
{
	struct str prepared;

	if (str_is_none(*part))
		return 0;
	if (prep(a, *part, &prepared) < 0)
		return ERR_INVALID;
	if (prepared.p != part->p || prepared.n != part->n)
		*is_changed = true;
	*part = prepared;
	return 0;
}

int
jid_parse(struct arena *a, struct str text, struct jid *jid_r)
{
	struct str local, domain, resource;
	bool is_changed = false;

	*jid_r = (struct jid){ 0 };
	if (text.n == 0)
		return ERR_INVALID;
	split(text, &local, &domain, &resource);
	if (prepare(jid_prep_local, a, &local, &is_changed) < 0 ||
	    prepare(jid_prep_domain, a, &domain, &is_changed) < 0 ||
	    prepare(jid_prep_resource, a, &resource, &is_changed) < 0)
		return ERR_INVALID;
	*jid_r =
	    is_changed ? jid_make(a, local, domain, resource) : jid_of(text);
	return 0;
}

bool
jid_is_none(const struct jid *j)
{
	return str_is_none(j->full);
}

struct jid
jid_to_bare(const struct jid *j)
{
	struct jid bare = *j;

	bare.full = bare.bare;
	bare.resource = STR_NONE;
	return bare;
}

struct jid
jid_dup(struct arena *a, const struct jid *j)
{
	return jid_of(str_dup(a, j->full));
}

struct jid
jid_make(
    struct arena *a, struct str local, struct str domain, struct str resource)
{
	size_t n = local.n + domain.n + resource.n + 2;
	char *text = arena_bytes(a, n + 1), *p = text;

	if (!str_is_none(local)) {
		memcpy(p, local.p, local.n);
		p += local.n;
		*p++ = '@';
	}
	if (domain.n > 0)
		memcpy(p, domain.p, domain.n);
	p += domain.n;
	if (!str_is_none(resource)) {
		*p++ = '/';
		memcpy(p, resource.p, resource.n);
		p += resource.n;
	}
	*p = '\0';
	return jid_of(str_mem(text, (size_t)(p - text)));
}
