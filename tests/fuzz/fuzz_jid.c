/* SPDX-License-Identifier: MIT */
/*
 * Addresses. What jid_parse() takes must be what it makes of its own result,
 * and its parts must prepare to themselves.
 */
#include "base/err.h"
#include "jid/jid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_part(struct arena *a, struct str part,
    int (*prep)(struct arena *, struct str, struct str *))
{
	struct str again;

	if (str_is_none(part))
		return;
	must(part.n > 0 && part.n <= JID_PART_MAX && str_is_utf8(part));
	must(prep(a, part, &again) == 0 && str_eq(part, again));
}

static void
check_jid(struct arena *a, const struct jid *j)
{
	struct jid again, made;

	must(!jid_is_none(j) && !str_is_none(j->domain));
	must(jid_parse(a, j->full, &again) == 0 && jid_eq(j, &again));
	made = jid_make(a, j->local, j->domain, j->resource);
	must(jid_eq(j, &made) && jid_eq_bare(j, &made));
	must(str_eq(j->local, made.local));
	must(str_eq(j->domain, made.domain));
	must(str_eq(j->resource, made.resource));
	check_part(a, j->local, jid_prep_local);
	check_part(a, j->domain, jid_prep_domain);
	check_part(a, j->resource, jid_prep_resource);
	must(str_find(j->bare, '/') == j->bare.n);
	must(str_find(j->local, '@') == j->local.n);
	must(str_find(j->domain, '@') == j->domain.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_mem(data, size), prepared, again;
	struct arena *a = arena_new(0);
	struct jid jid;

	if (jid_parse(a, text, &jid) == 0)
		check_jid(a, &jid);
	else
		must(jid_is_none(&jid) && str_is_none(jid.domain));
	if (jid_saslprep(a, text, &prepared) == 0) {
		must(str_is_utf8(prepared) && prepared.n > 0);
		must(jid_saslprep(a, prepared, &again) == 0 &&
		     str_eq(prepared, again));
	}
	jid_is_assigned(text);
	arena_free(&a);
	return 0;
}
