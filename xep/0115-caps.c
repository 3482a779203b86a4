/* SPDX-License-Identifier: MIT */
#include "xep/0115-caps.h"

#include "base/buf.h"
#include "xep/0004-forms.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* A growing list of texts, to be sorted. */
struct texts {
	struct arena *arena;
	struct str *item;
	size_t count, cap;
};

static void
texts_add(struct texts *t, struct str s)
{
	if (t->count == t->cap) {
		size_t cap = t->cap > 0 ? 2 * t->cap : 16;

		t->item = arena_grow(t->arena, t->item,
		    t->cap * sizeof(*t->item), cap * sizeof(*t->item));
		t->cap = cap;
	}
	t->item[t->count++] = s;
}

static int
compare(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Sorts; false when two are equal. */
static bool
texts_sort(struct texts *t)
{
	if (t->count > 1)
		qsort(t->item, t->count, sizeof(*t->item), compare);
	for (size_t i = 1; i < t->count; i++)
		if (str_eq(t->item[i - 1], t->item[i]))
			return false;
	return true;
}

/* Sorts and appends each with a "<" behind it. */
static bool
texts_write(struct texts *t, struct buf *out)
{
	bool is_unique = texts_sort(t);

	for (size_t i = 0; i < t->count; i++) {
		buf_add_str(out, t->item[i]);
		buf_add_c(out, '<');
	}
	return is_unique;
}

static bool
write_identities(struct arena *a, const struct elem *query, struct buf *out)
{
	const struct elem *e = elem_child(query, EL_DISCO_IDENTITY);
	struct texts t = { .arena = a };

	for (; e != NULL; e = elem_next(e, EL_DISCO_IDENTITY))
		texts_add(&t,
		    str_printf(a, STR_FMT "/" STR_FMT "/" STR_FMT "/" STR_FMT,
			STR_ARG(elem_attr(e, AT_CATEGORY)),
			STR_ARG(elem_attr(e, AT_TYPE)),
			STR_ARG(elem_attr(e, AT_XML_LANG)),
			STR_ARG(elem_attr(e, AT_NAME))));
	return texts_write(&t, out);
}

static bool
write_features(struct arena *a, const struct elem *query, struct buf *out)
{
	const struct elem *e = elem_child(query, EL_DISCO_FEATURE);
	struct texts t = { .arena = a };

	for (; e != NULL; e = elem_next(e, EL_DISCO_FEATURE))
		texts_add(&t, elem_attr(e, AT_VAR));
	return texts_write(&t, out);
}

/* "var<value<value<" */
static struct str
field_text(struct arena *a, const struct elem *field)
{
	const struct elem *v = elem_child(field, EL_FORM_VALUE);
	struct texts t = { .arena = a };
	struct buf out = { 0 };
	struct str text;

	buf_add_str(&out, elem_attr(field, AT_VAR));
	buf_add_c(&out, '<');
	for (; v != NULL; v = elem_next(v, EL_FORM_VALUE))
		texts_add(&t, elem_text(v));
	texts_write(&t, &out);
	text = str_dup(a, buf_str(&out));
	buf_fini(&out);
	return text;
}

/* "FORM_TYPE<field...field...": sorting these sorts by the form's type. */
static struct str
form_text(struct arena *a, const struct elem *form)
{
	const struct elem *f = elem_child(form, EL_FORM_FIELD);
	struct texts t = { .arena = a };
	struct buf out = { 0 };
	struct str text;

	buf_add_str(&out, form_value(form, "FORM_TYPE"));
	buf_add_c(&out, '<');
	for (; f != NULL; f = elem_next(f, EL_FORM_FIELD))
		if (!elem_attr_is(f, AT_VAR, "FORM_TYPE"))
			texts_add(&t, field_text(a, f));
	texts_sort(&t);
	for (size_t i = 0; i < t.count; i++)
		buf_add_str(&out, t.item[i]);
	text = str_dup(a, buf_str(&out));
	buf_fini(&out);
	return text;
}

/* Forms without a hidden FORM_TYPE are left out (section 5.4, 3.6). */
static bool
write_forms(struct arena *a, const struct elem *query, struct buf *out)
{
	const struct elem *form = elem_child(query, EL_FORM);
	struct texts t = { .arena = a }, types = { .arena = a };

	for (; form != NULL; form = elem_next(form, EL_FORM)) {
		struct elem *type = form_field(form, "FORM_TYPE");

		if (!elem_attr_is(type, AT_TYPE, "hidden"))
			continue;
		texts_add(&types, form_value(form, "FORM_TYPE"));
		texts_add(&t, form_text(a, form));
	}
	texts_sort(&t);
	for (size_t i = 0; i < t.count; i++)
		buf_add_str(out, t.item[i]);
	return texts_sort(&types);
}

struct str
caps_ver(struct arena *a, const struct elem *query)
{
	unsigned char digest[20];
	struct buf text = { 0 };
	bool is_fine = write_identities(a, query, &text);

	is_fine &= write_features(a, query, &text);
	is_fine &= write_forms(a, query, &text);
	if (is_fine)
		is_fine = EVP_Digest(text.p, text.n, digest, NULL, EVP_sha1(),
			      NULL) == 1;
	buf_fini(&text);
	if (!is_fine)
		return STR_NONE;
	return str_base64(a, str_mem(digest, sizeof(digest)));
}
