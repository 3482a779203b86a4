/* SPDX-License-Identifier: MIT */
#include "xep/0059-rsm.h"

#include "base/err.h"

/* Its text, "" when it is empty; none when it is not there. */
static struct str
text_of(const struct elem *set, enum qname name)
{
	const struct elem *e = elem_child(set, name);
	struct str text = elem_text(e);

	return e != NULL && str_is_none(text) ? STR("") : text;
}

int
rsm_read(const struct elem *parent, struct rsm *rsm_r)
{
	const struct elem *set = elem_child(parent, EL_RSM);
	struct str max;

	memset(rsm_r, 0, sizeof(*rsm_r));
	if (set == NULL)
		return 0;
	rsm_r->is_there = true;
	rsm_r->after = text_of(set, EL_RSM_AFTER);
	rsm_r->before = text_of(set, EL_RSM_BEFORE);
	max = text_of(set, EL_RSM_MAX);
	rsm_r->has_max = !str_is_none(max);
	if (rsm_r->has_max && !str_to_u64(max, &rsm_r->max))
		return ERR_INVALID;
	return elem_child(set, EL_RSM_INDEX) != NULL ? ERR_INVALID : 0;
}

struct elem *
rsm_add(struct elem *parent, struct str first, struct str last, int64_t count)
{
	struct elem *set = elem_add(parent, EL_RSM);

	if (!str_is_none(first)) {
		elem_add_text(set, EL_RSM_FIRST, first);
		elem_add_text(set, EL_RSM_LAST, last);
	}
	if (count >= 0)
		elem_add_text(set, EL_RSM_COUNT,
		    str_printf(elem_arena(parent), "%lld", (long long)count));
	return set;
}
