/* SPDX-License-Identifier: MIT */
#include "xep/0030-disco.h"

void
disco_add_identity(
    struct elem *query, const char *category, const char *type, struct str name)
{
	struct elem *e = elem_add(query, EL_DISCO_IDENTITY);

	elem_set(e, AT_CATEGORY, str_c(category));
	elem_set(e, AT_TYPE, str_c(type));
	if (!str_is_none(name))
		elem_set_copy(e, AT_NAME, name);
}

void
disco_add_feature(struct elem *query, struct str var)
{
	elem_set(elem_add(query, EL_DISCO_FEATURE), AT_VAR, var);
}

void
disco_add_features(struct elem *query, const char *const *vars)
{
	for (; *vars != NULL; vars++)
		disco_add_feature(query, str_c(*vars));
}
