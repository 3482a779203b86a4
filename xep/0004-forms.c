/* SPDX-License-Identifier: MIT */
#include "xep/0004-forms.h"

struct elem *
form_add(struct elem *parent, const char *type, const char *form_type)
{
	struct elem *form = elem_add(parent, EL_FORM);

	elem_set(form, AT_TYPE, str_c(type));
	if (form_type != NULL)
		form_add_field(
		    form, "hidden", "FORM_TYPE", NULL, str_c(form_type));
	return form;
}

struct elem *
form_add_field(struct elem *form, const char *type, const char *var,
    const char *label, struct str value)
{
	struct elem *field = elem_add(form, EL_FORM_FIELD);

	elem_set(field, AT_TYPE, str_c(type));
	elem_set(field, AT_VAR, str_c(var));
	elem_set(field, AT_LABEL, str_c(label));
	if (!str_is_none(value))
		form_add_value(field, value);
	return field;
}

void
form_add_value(struct elem *field, struct str value)
{
	elem_add_text(field, EL_FORM_VALUE, value);
}

void
form_add_option(struct elem *field, const char *label, struct str value)
{
	struct elem *option = elem_add(field, EL_FORM_OPTION);

	elem_set(option, AT_LABEL, str_c(label));
	form_add_value(option, value);
}

struct elem *
form_of(const struct elem *parent, const char *form_type)
{
	struct elem *form = elem_child(parent, EL_FORM);

	while (form != NULL && form_type != NULL &&
	       !str_is(form_value(form, "FORM_TYPE"), form_type))
		form = elem_next(form, EL_FORM);
	return form;
}

struct elem *
form_field(const struct elem *form, const char *var)
{
	struct elem *field = elem_child(form, EL_FORM_FIELD);

	while (field != NULL && !elem_attr_is(field, AT_VAR, var))
		field = elem_next(field, EL_FORM_FIELD);
	return field;
}

struct str
form_value(const struct elem *form, const char *var)
{
	struct elem *value = elem_child(form_field(form, var), EL_FORM_VALUE);
	struct str text = elem_text(value);

	return value != NULL && str_is_none(text) ? STR("") : text;
}

bool
form_bool(const struct elem *form, const char *var, bool fallback)
{
	struct str value = form_value(form, var);

	if (str_is(value, "1") || str_is(value, "true"))
		return true;
	if (str_is(value, "0") || str_is(value, "false"))
		return false;
	return fallback;
}
