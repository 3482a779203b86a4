/* SPDX-License-Identifier: MIT */
/*
 * Owners and admins in the form of the configuration (section 10.1.3): a list
 * that is given takes the place of the present one.
 */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"

#define OWNERS "muc#roomconfig_roomowners"
#define ADMINS "muc#roomconfig_roomadmins"
#define LISTED_MAX 1000

struct jids {
	bool is_given;
	struct jid *items;
	size_t count;
};

struct officers {
	struct jids owners, admins;
};

/* ---- in the form ------------------------------------------------------- */

static void
add_list(const struct room *r, struct elem *form, const char *var,
    const char *label, enum aff aff)
{
	struct elem *field =
	    form_add_field(form, "jid-multi", var, label, STR_NONE);
	const struct affiliation *a;

	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		if (a->aff == aff)
			form_add_value(
			    field, str_dup(elem_arena(form), a->jid));
}

void
officers_add(const struct room *r, struct elem *form)
{
	add_list(r, form, ADMINS, "Admins of the room", AFF_ADMIN);
	add_list(r, form, OWNERS, "Owners of the room", AFF_OWNER);
}

/* ---- what comes back --------------------------------------------------- */

static bool
read_list(struct arena *a, const struct elem *form, const char *var,
    struct jids *list)
{
	const struct elem *field = form_field(form, var), *e;
	size_t count = elem_count(field, EL_FORM_VALUE);

	if (field == NULL)
		return true;
	if (count > LISTED_MAX)
		return false;
	list->is_given = true;
	list->items = arena_alloc(a, (count + 1) * sizeof(*list->items));
	for (e = elem_child(field, EL_FORM_VALUE); e != NULL;
	     e = elem_next(e, EL_FORM_VALUE)) {
		struct jid jid;

		if (elem_text(e).n == 0)
			continue;
		if (jid_parse(a, elem_text(e), &jid) < 0 ||
		    str_is_none(jid.local))
			return false;
		list->items[list->count++] = jid_to_bare(&jid);
	}
	return true;
}

/* For whom there will be a new entry; who is named twice counts twice. */
static size_t
count_fresh(const struct room *r, const struct jids *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->count; i++)
		n += aff_find(r, list->items[i].bare) == NULL;
	return n;
}

enum qname
officers_read(struct room *r, struct arena *a, const struct elem *form,
    struct officers **o_r)
{
	struct officers *o = arena_new_of(a, struct officers);
	size_t fresh;

	*o_r = o;
	if (!read_list(a, form, OWNERS, &o->owners) ||
	    !read_list(a, form, ADMINS, &o->admins))
		return EL_NOT_ACCEPTABLE;
	/* Somebody has to answer for the room (section 10.5). */
	if (o->owners.is_given && o->owners.count == 0)
		return EL_CONFLICT;
	/* Those who come are entered before others leave. */
	fresh = count_fresh(r, &o->owners) + count_fresh(r, &o->admins);
	if (fresh > 0 &&
	    r->affs.count + fresh > room_options(r)->max_affiliations)
		return EL_RESOURCE_CONSTRAINT;
	return EL_NONE;
}

/* ---- doing it ---------------------------------------------------------- */

static bool
is_in(const struct jids *list, struct str bare)
{
	for (size_t i = 0; i < list->count; i++)
		if (str_eq(list->items[i].bare, bare))
			return true;
	return false;
}

static enum aff
wished(const struct officers *o, struct str bare, enum aff now)
{
	if (is_in(&o->owners, bare))
		return AFF_OWNER;
	if (now == AFF_OWNER && !o->owners.is_given)
		return AFF_OWNER;
	if (is_in(&o->admins, bare))
		return AFF_ADMIN;
	if (now == AFF_OWNER || (now == AFF_ADMIN && o->admins.is_given))
		return AFF_NONE;
	return now;
}

static void
change(struct room *r, const struct officers *o, struct str bare, enum aff now,
    struct store_write *w)
{
	struct change c = { .aff = wished(o, bare, now) };

	if (c.aff == now)
		return;
	c.jid = jid_of(bare);
	aff_change(r, &c, w);
}

void
officers_set(struct room *r, struct arena *arena, const struct officers *o,
    struct store_write *w)
{
	const struct jids *lists[] = { &o->owners, &o->admins };
	const struct affiliation *a;
	struct str *held;
	size_t count = 0;

	/* First who comes: never is there no owner. */
	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		for (size_t i = 0; i < lists[k]->count; i++) {
			struct str bare = lists[k]->items[i].bare;

			a = aff_find(r, bare);
			change(r, o, bare, a != NULL ? a->aff : AFF_NONE, w);
		}
	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		if (a->aff >= AFF_ADMIN)
			count += 1;
	held = arena_alloc(arena, (count + 1) * sizeof(*held));
	count = 0;
	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		if (a->aff >= AFF_ADMIN)
			held[count++] = str_dup(arena, a->jid);
	for (size_t i = 0; i < count; i++) {
		a = aff_find(r, held[i]);
		change(r, o, held[i], a != NULL ? a->aff : AFF_NONE, w);
	}
}
