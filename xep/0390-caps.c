/* SPDX-License-Identifier: MIT */
#include "xep/0390-caps.h"

#include "base/buf.h"
#include "xep/0004-forms.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define UNIT '\x1f'
#define RECORD '\x1e'
#define GROUP '\x1d'
#define FILE_END '\x1c'

static const struct {
	const char *name, *digest;
} algos[] = {
	{ "sha-256", "SHA256" },
	{ "sha3-256", "SHA3-256" },
	{ "sha-512", "SHA512" },
	{ "sha3-512", "SHA3-512" },
};

static const EVP_MD *
digest_of(struct str algo)
{
	for (size_t i = 0; i < ARRAY_LEN(algos); i++)
		if (str_is(algo, algos[i].name))
			return EVP_get_digestbyname(algos[i].digest);
	return NULL;
}

bool
caps2_knows(struct str algo)
{
	return digest_of(algo) != NULL;
}

/* A list of texts to be sorted, of a known size. */
struct texts {
	struct str *item;
	size_t count;
};

static struct texts
texts_of(struct arena *a, size_t most)
{
	struct texts t = { arena_alloc(a, (most + 1) * sizeof(struct str)), 0 };

	return t;
}

static int
compare(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void
write_sorted(struct texts *t, struct buf *out)
{
	if (t->count > 1)
		qsort(t->item, t->count, sizeof(*t->item), compare);
	for (size_t i = 0; i < t->count; i++)
		buf_add_str(out, t->item[i]);
}

static void
add_text(struct buf *out, struct str text, char end)
{
	buf_add_str(out, text);
	buf_add_c(out, end);
}

/* What has been written, in the arena; the buffer is freed. */
static struct str
take(struct arena *a, struct buf *out)
{
	struct str text = str_dup(a, buf_str(out));

	buf_fini(out);
	return text;
}

static void
write_features(struct arena *a, const struct elem *query, struct buf *out)
{
	struct texts t = texts_of(a, elem_count(query, EL_DISCO_FEATURE));
	const struct elem *e = elem_child(query, EL_DISCO_FEATURE);

	for (; e != NULL; e = elem_next(e, EL_DISCO_FEATURE))
		t.item[t.count++] = str_printf(
		    a, STR_FMT "%c", STR_ARG(elem_attr(e, AT_VAR)), UNIT);
	write_sorted(&t, out);
	buf_add_c(out, FILE_END);
}

static void
write_identities(struct arena *a, const struct elem *query, struct buf *out)
{
	struct texts t = texts_of(a, elem_count(query, EL_DISCO_IDENTITY));
	const struct elem *e = elem_child(query, EL_DISCO_IDENTITY);

	for (; e != NULL; e = elem_next(e, EL_DISCO_IDENTITY)) {
		struct buf text = { 0 };

		add_text(&text, elem_attr(e, AT_CATEGORY), UNIT);
		add_text(&text, elem_attr(e, AT_TYPE), UNIT);
		add_text(&text, elem_lang(e), UNIT);
		add_text(&text, elem_attr(e, AT_NAME), UNIT);
		buf_add_c(&text, RECORD);
		t.item[t.count++] = take(a, &text);
	}
	write_sorted(&t, out);
	buf_add_c(out, FILE_END);
}

static struct str
field_text(struct arena *a, const struct elem *field)
{
	struct texts t = texts_of(a, elem_count(field, EL_FORM_VALUE));
	const struct elem *v = elem_child(field, EL_FORM_VALUE);
	struct buf out = { 0 };

	add_text(&out, elem_attr(field, AT_VAR), UNIT);
	for (; v != NULL; v = elem_next(v, EL_FORM_VALUE))
		t.item[t.count++] =
		    str_printf(a, STR_FMT "%c", STR_ARG(elem_text(v)), UNIT);
	write_sorted(&t, &out);
	buf_add_c(&out, RECORD);
	return take(a, &out);
}

static struct str
form_text(struct arena *a, const struct elem *form)
{
	struct texts t = texts_of(a, elem_count(form, EL_FORM_FIELD));
	const struct elem *f = elem_child(form, EL_FORM_FIELD);
	struct buf out = { 0 };

	for (; f != NULL; f = elem_next(f, EL_FORM_FIELD))
		t.item[t.count++] = field_text(a, f);
	write_sorted(&t, &out);
	buf_add_c(&out, GROUP);
	return take(a, &out);
}

static void
write_forms(struct arena *a, const struct elem *query, struct buf *out)
{
	struct texts t = texts_of(a, elem_count(query, EL_FORM));
	const struct elem *form = elem_child(query, EL_FORM);

	for (; form != NULL; form = elem_next(form, EL_FORM))
		t.item[t.count++] = form_text(a, form);
	write_sorted(&t, out);
	buf_add_c(out, FILE_END);
}

/* Fields with a hidden FORM_TYPE, and no table (steps 2 and 3). */
static bool
is_fine_form(const struct elem *form)
{
	const struct elem *e = elem_child(form, EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY))
		if (str_is(elem_local(e), "reported") ||
		    str_is(elem_local(e), "item"))
			return false;
	return elem_attr_is(form_field(form, "FORM_TYPE"), AT_TYPE, "hidden");
}

static bool
is_fine(const struct elem *query)
{
	const struct elem *e = elem_child(query, EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY))
		if (elem_name(e) != EL_DISCO_IDENTITY &&
		    elem_name(e) != EL_DISCO_FEATURE &&
		    (elem_name(e) != EL_FORM || !is_fine_form(e)))
			return false;
	return true;
}

struct str
caps2_hash(struct arena *a, const struct elem *query, struct str algo)
{
	const EVP_MD *md = digest_of(algo);
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct buf text = { 0 };
	unsigned n = 0;
	int ret;

	if (md == NULL || !is_fine(query))
		return STR_NONE;
	write_features(a, query, &text);
	write_identities(a, query, &text);
	write_forms(a, query, &text);
	ret = EVP_Digest(text.p, text.n, digest, &n, md, NULL);
	buf_fini(&text);
	if (ret != 1)
		return STR_NONE;
	return str_base64(a, str_mem(digest, n));
}
