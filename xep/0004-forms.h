/* SPDX-License-Identifier: MIT */
/* XEP-0004: data forms, made and read. Elements live in their arena. */
#ifndef XEP_0004_FORMS_H
#define XEP_0004_FORMS_H

#include "xml/elem.h"

/*
 * A form of that type ("form", "result", "submit", "cancel") as a child of
 * `parent`, with its hidden FORM_TYPE unless that is NULL. Texts are static.
 */
API struct elem *form_add(
    struct elem *parent, const char *type, const char *form_type);
/*
 * A field; type NULL where it says nothing (in results). Values are kept, not
 * copied. Add more values to what it returns with form_add_value().
 */
API struct elem *form_add_field(struct elem *form, const char *type,
    const char *var, const char *label, struct str value);
API void form_add_value(struct elem *field, struct str value);
API void form_add_option(
    struct elem *field, const char *label, struct str value);

/* The form among the children, of that FORM_TYPE (NULL: any); or NULL. */
API struct elem *form_of(const struct elem *parent, const char *form_type);
API struct elem *form_field(const struct elem *form, const char *var);
/* The first value of a field; none when there is no such field or value. */
API struct str form_value(const struct elem *form, const char *var);
/* "1" or "true", "0" or "false"; `fallback` for anything else. */
API bool form_bool(const struct elem *form, const char *var, bool fallback);

#endif
