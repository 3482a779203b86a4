/* SPDX-License-Identifier: MIT */
#include "cards.h"

/* Beyond so many properties of one card the rest is not looked at. */
#define FIELDS_MAX 200

struct part {
	const char *temp, *v4;
};

enum shape {
	SHAPE_TEXT,  /* one value */
	SHAPE_PARTS, /* a child for each part */
	SHAPE_LIST,  /* several values: the first, and others */
	SHAPE_GEO,
};

struct field {
	const char *temp, *v4;
	enum shape shape;
	const char *inner; /* the element in vcard-temp's that has the value */
	const char *type;  /* of the value in vCard4's */
	const char *scheme;
	bool has_types;
	const struct part *parts; /* ended by NULL */
};

static const struct part name_parts[] = {
	{ "FAMILY", "surname" },
	{ "GIVEN", "given" },
	{ "MIDDLE", "additional" },
	{ "PREFIX", "prefix" },
	{ "SUFFIX", "suffix" },
	{ NULL, NULL },
};

static const struct part address_parts[] = {
	{ "POBOX", "pobox" },
	{ "EXTADD", "ext" },
	{ "STREET", "street" },
	{ "LOCALITY", "locality" },
	{ "REGION", "region" },
	{ "PCODE", "code" },
	{ "CTRY", "country" },
	{ NULL, NULL },
};

/* Of lists: the first value's name, and the others'. */
static const struct part org_parts[] = { { "ORGNAME", "ORGUNIT" } };
static const struct part word_parts[] = { { "KEYWORD", "KEYWORD" } };

static const struct part types[] = {
	{ "HOME", "home" },
	{ "WORK", "work" },
	{ "VOICE", "voice" },
	{ "FAX", "fax" },
	{ "PAGER", "pager" },
	{ "CELL", "cell" },
	{ "VIDEO", "video" },
};

#define TEXT(temp_, v4_, type_) \
	{ \
		.temp = (temp_), .v4 = (v4_), .type = (type_) \
	}

static const struct field fields[] = {
	TEXT("FN", "fn", "text"),
	{ "N", "n", SHAPE_PARTS, .parts = name_parts },
	TEXT("NICKNAME", "nickname", "text"),
	TEXT("BDAY", "bday", "date"),
	{ "ADR", "adr", SHAPE_PARTS, .parts = address_parts,
	    .has_types = true },
	{ "TEL", "tel", SHAPE_TEXT, "NUMBER", "uri", "tel:", true, NULL },
	{ "EMAIL", "email", SHAPE_TEXT, "USERID", "text", NULL, true, NULL },
	{ "JABBERID", "impp", SHAPE_TEXT, NULL, "uri", "xmpp:", false, NULL },
	TEXT("TZ", "tz", "text"),
	{ "GEO", "geo", SHAPE_GEO, .type = "uri", .scheme = "geo:" },
	TEXT("TITLE", "title", "text"),
	TEXT("ROLE", "role", "text"),
	{ "ORG", "org", SHAPE_LIST, .parts = org_parts },
	{ "CATEGORIES", "categories", SHAPE_LIST, .parts = word_parts },
	TEXT("NOTE", "note", "text"),
	TEXT("URL", "url", "uri"),
};

/* ---- elements ---------------------------------------------------------- */

static struct elem *
add(struct elem *parent, const char *local)
{
	return elem_add_named(parent, elem_ns_uri(parent), str_c(local));
}

static void
add_text(struct elem *parent, const char *local, struct str text)
{
	if (text.n > 0)
		elem_set_text(
		    add(parent, local), str_dup(elem_arena(parent), text));
}

static struct str
text_of(const struct elem *e, const char *local)
{
	struct elem *child = elem_find(e, elem_ns_uri(e), str_c(local));

	return str_trim(elem_text(child));
}

/* The value of a property of vCard4, whatever its type. */
static struct str
value_of(const struct elem *e)
{
	struct elem *child = elem_child(e, EL_ANY);

	while (child != NULL && str_is(elem_local(child), "parameters"))
		child = elem_next(child, EL_ANY);
	return str_trim(elem_text(child));
}

/* Without the scheme; none if it has another. */
static struct str
unschemed(struct str value, const char *scheme)
{
	struct str prefix = str_c(scheme);

	if (scheme == NULL || value.n == 0)
		return value;
	if (str_has_prefix(value, prefix))
		return str_skip(value, prefix.n);
	return str_find(value, ':') < value.n ? STR_NONE : value;
}

/* ---- types ------------------------------------------------------------- */

static void
types_to_4(struct elem *to, const struct elem *from)
{
	struct elem *list = NULL;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (elem_find(from, elem_ns_uri(from), str_c(types[i].temp)) ==
		    NULL)
			continue;
		if (list == NULL)
			list = add(add(to, "parameters"), "type");
		add_text(list, "text", str_c(types[i].v4));
	}
}

static void
types_to_temp(struct elem *to, const struct elem *from)
{
	struct str ns = elem_ns_uri(from);
	struct elem *list =
	    elem_find(elem_find(from, ns, STR("parameters")), ns, STR("type"));
	struct elem *e;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		for (e = elem_child(list, EL_ANY);
		     e != NULL && !str_is(elem_text(e), types[i].v4);
		     e = elem_next(e, EL_ANY))
			;
		if (e != NULL)
			add(to, types[i].temp);
	}
}

/* ---- one property ------------------------------------------------------ */

static void
geo_to_4(struct elem *to, const struct elem *from)
{
	struct str lat = text_of(from, "LAT"), lon = text_of(from, "LON");

	if (lat.n > 0 && lon.n > 0)
		add_text(to, "uri",
		    str_printf(elem_arena(to), "geo:" STR_FMT "," STR_FMT,
			STR_ARG(lat), STR_ARG(lon)));
}

static void
geo_to_temp(struct elem *to, const struct elem *from)
{
	struct str rest = unschemed(value_of(from), "geo:");
	struct str lat = str_cut(&rest, ',');

	/* What follows is the altitude, or parameters. */
	rest = str_cut(&rest, ';');
	rest = str_cut(&rest, ',');
	if (lat.n > 0 && rest.n > 0) {
		add_text(to, "LAT", lat);
		add_text(to, "LON", rest);
	}
}

static void
list_to_4(struct elem *to, const struct elem *from, const struct field *f)
{
	struct elem *e = elem_child(from, EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY))
		if (str_is(elem_local(e), f->parts->temp) ||
		    str_is(elem_local(e), f->parts->v4))
			add_text(to, "text", str_trim(elem_text(e)));
}

static void
list_to_temp(struct elem *to, const struct elem *from, const struct field *f)
{
	struct elem *e = elem_child(from, EL_ANY);
	const char *name = f->parts->temp;

	for (; e != NULL; e = elem_next(e, EL_ANY)) {
		if (!str_is(elem_local(e), "text"))
			continue;
		add_text(to, name, str_trim(elem_text(e)));
		name = f->parts->v4;
	}
}

static void
fill_4(struct elem *to, const struct elem *from, const struct field *f)
{
	struct str text;

	if (f->has_types)
		types_to_4(to, from);
	switch (f->shape) {
	case SHAPE_TEXT:
		text = f->inner != NULL ? text_of(from, f->inner)
					: str_trim(elem_text(from));
		text = unschemed(text, f->scheme);
		if (text.n > 0)
			add_text(to, f->type,
			    str_printf(elem_arena(to), "%s" STR_FMT,
				f->scheme != NULL ? f->scheme : "",
				STR_ARG(text)));
		break;
	case SHAPE_PARTS:
		for (const struct part *p = f->parts; p->temp != NULL; p++)
			add_text(to, p->v4, text_of(from, p->temp));
		break;
	case SHAPE_LIST:
		list_to_4(to, from, f);
		break;
	case SHAPE_GEO:
		geo_to_4(to, from);
		break;
	}
}

static void
fill_temp(struct elem *to, const struct elem *from, const struct field *f)
{
	struct str text;

	if (f->has_types)
		types_to_temp(to, from);
	switch (f->shape) {
	case SHAPE_TEXT:
		text = unschemed(value_of(from), f->scheme);
		if (f->inner != NULL)
			add_text(to, f->inner, text);
		else if (text.n > 0)
			elem_set_text(to, str_dup(elem_arena(to), text));
		break;
	case SHAPE_PARTS:
		for (const struct part *p = f->parts; p->temp != NULL; p++)
			add_text(to, p->temp, text_of(from, p->v4));
		break;
	case SHAPE_LIST:
		list_to_temp(to, from, f);
		break;
	case SHAPE_GEO:
		geo_to_temp(to, from);
		break;
	}
}

/* Is there anything in it but types? */
static bool
says_something(const struct elem *e)
{
	struct elem *child = elem_child(e, EL_ANY);

	if (str_trim(elem_text(e)).n > 0)
		return true;
	for (; child != NULL; child = elem_next(child, EL_ANY))
		if (elem_text(child).n > 0)
			return true;
	return false;
}

/* The property in the other format; NULL if that has no such. */
static struct elem *
convert(struct arena *a, const struct elem *e, enum card_format is)
{
	struct str ns = names_ns_uri(is == CARD_TEMP ? NS_VCARD4 : NS_VCARD);

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[i];
		struct elem *made;

		if (!str_is(elem_local(e), is == CARD_TEMP ? f->temp : f->v4))
			continue;
		made = elem_new_named(
		    a, ns, str_c(is == CARD_TEMP ? f->v4 : f->temp));
		if (is == CARD_TEMP)
			fill_4(made, e, f);
		else
			fill_temp(made, e, f);
		return says_something(made) ? made : NULL;
	}
	return NULL;
}

/* ---- the card ---------------------------------------------------------- */

/* What of it the other format can say, as that says it. */
static size_t
converted(struct arena *a, const struct elem *card, enum card_format is,
    struct elem **made)
{
	struct elem *e = elem_child(card, EL_ANY);
	size_t count = 0;

	for (; e != NULL && count < FIELDS_MAX; e = elem_next(e, EL_ANY)) {
		made[count] = convert(a, e, is);
		if (made[count] != NULL)
			count++;
	}
	return count;
}

/* Order may be meant: it counts. */
static bool
is_same(struct arena *a, struct elem *const *x, size_t x_count,
    struct elem *const *y, size_t y_count)
{
	if (x_count != y_count)
		return false;
	for (size_t i = 0; i < x_count; i++)
		if (!str_eq(xml_text(a, x[i]), xml_text(a, y[i])))
			return false;
	return true;
}

bool
card_carry(struct elem *to, const struct elem *from, enum card_format f)
{
	enum card_format other = f == CARD_TEMP ? CARD_4 : CARD_TEMP;
	struct arena *a = elem_arena(to);
	struct elem *wanted[FIELDS_MAX], *back[FIELDS_MAX], *e, *next;
	struct elem *there = elem_new(a, f == CARD_TEMP ? EL_VCARD : EL_VCARD4);
	size_t count = converted(a, from, f, wanted);
	size_t back_count = converted(a, to, other, back);

	/* What is there already is compared as it comes back from there. */
	for (size_t i = 0; i < back_count; i++)
		elem_append(there, back[i]);
	back_count = converted(a, there, f, back);
	if (is_same(a, wanted, count, back, back_count))
		return false;
	for (e = elem_child(to, EL_ANY); e != NULL; e = next) {
		next = elem_next(e, EL_ANY);
		if (convert(a, e, other) != NULL)
			elem_remove(e);
	}
	for (size_t i = 0; i < count; i++)
		elem_append(to, wanted[i]);
	return true;
}
