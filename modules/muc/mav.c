/* SPDX-License-Identifier: MIT */
/*
 * XEP-0463: the affiliations have versions, and who comes back is told only
 * what has changed, if that is not too much.
 */
#include "modules/muc/muc.h"

#define CHANGES_MAX 50

struct mav_change {
	struct list node;
	uint64_t version; /* that it led to */
	enum aff aff;
	struct str jid;
	char text[];
};

/* Rooms of one name, one after the other, have versions of their own. */
static struct str
version_text(struct arena *a, const struct room *r, uint64_t version)
{
	return str_printf(a, "%llx-%llu", (unsigned long long)r->config.created,
	    (unsigned long long)version);
}

static bool
version_parse(const struct room *r, struct str text, uint64_t *version_r)
{
	char epoch[24];
	struct str rest = text, first = str_cut(&rest, '-');

	snprintf(epoch, sizeof(epoch), "%llx",
	    (unsigned long long)r->config.created);
	return str_is(first, epoch) && str_to_u64(rest, version_r) &&
	       *version_r <= r->version;
}

/* ---- changes ----------------------------------------------------------- */

static void
change_free(struct mav_change *c)
{
	list_del(&c->node);
	xfree(c);
}

static void
change_add(struct room *r, uint64_t version, struct str jid, enum aff aff)
{
	struct mav_change *c = xzalloc(sizeof(*c) + jid.n);

	memcpy(c->text, jid.p, jid.n);
	c->jid = str_mem(c->text, jid.n);
	c->version = version;
	c->aff = aff;
	list_add(&r->changes, &c->node);
	if (r->change_count < CHANGES_MAX)
		r->change_count++;
	else
		change_free(LIST_FIRST(&r->changes, struct mav_change, node));
}

void
mav_note(struct room *r, struct str jid, enum aff aff)
{
	change_add(r, ++r->version, jid, aff);
}

void
mav_clear(struct room *r)
{
	struct mav_change *c;

	LIST_EACH(c, &r->changes, struct mav_change, node)
	change_free(c);
	r->change_count = 0;
	r->version = 0;
}

/* ---- in the store ------------------------------------------------------ */

static void
add_item(struct elem *parent, struct str jid, enum aff aff)
{
	struct elem *item = elem_add(parent, EL_MUC_USER_ITEM);

	elem_set_copy(item, AT_JID, jid);
	elem_set(item, AT_AFFILIATION, str_c(aff_names[aff]));
}

struct elem *
mav_dump(struct arena *a, const struct room *r)
{
	struct elem *mav = elem_new(a, EL_MAV);
	const struct mav_change *c;

	elem_set_uint(mav, AT_VERSION, r->version);
	LIST_EACH(c, &r->changes, struct mav_change, node)
	add_item(mav, c->jid, c->aff);
	return mav;
}

void
mav_load(struct room *r, const struct elem *mav)
{
	const struct elem *item = elem_child(mav, EL_MUC_USER_ITEM);
	uint64_t version = 0;
	enum aff aff;

	str_to_u64(elem_attr(mav, AT_VERSION), &version);
	r->version = version;
	version -= MIN(version, elem_count(mav, EL_MUC_USER_ITEM));
	for (; item != NULL; item = elem_next(item, EL_MUC_USER_ITEM))
		if (aff_parse(elem_attr(item, AT_AFFILIATION), &aff))
			change_add(r, ++version, elem_attr(item, AT_JID), aff);
}

/* ---- what is told ------------------------------------------------------ */

void
mav_add(struct elem *x, const struct room *r, uint64_t version)
{
	struct arena *a = elem_arena(x);
	struct elem *mav = elem_add(x, EL_MAV);

	elem_set(mav, AT_SINCE, version_text(a, r, version - 1));
	elem_set(mav, AT_UNTIL, version_text(a, r, version));
}

void
mav_add_now(struct elem *x, const struct room *r)
{
	elem_set(elem_add(x, EL_MAV), AT_UNTIL,
	    version_text(elem_arena(x), r, r->version));
}

/* Who is banned is not everybody's to know. */
static void
add_seen(struct elem *x, struct str jid, enum aff aff, bool is_admin)
{
	if (aff == AFF_OUTCAST && !is_admin)
		aff = AFF_NONE;
	add_item(x, jid, aff);
}

static void
add_all(struct elem *x, const struct room *r, bool is_admin)
{
	const struct affiliation *a;

	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		if (a->aff != AFF_OUTCAST || is_admin)
			add_seen(x, a->jid, a->aff, is_admin);
}

/* Each address once, with what it is now. */
static void
add_changes(struct elem *x, const struct room *r, uint64_t since, bool is_admin)
{
	const struct mav_change *c;
	struct map seen = { 0 };

	LIST_EACH(c, &r->changes, struct mav_change, node)
	{
		const struct affiliation *a = aff_find(r, c->jid);
		struct str key = str_dup(elem_arena(x), c->jid);

		if (c->version <= since || map_get(&seen, key) != NULL)
			continue;
		map_set(&seen, key, x);
		add_seen(x, key, a != NULL ? a->aff : AFF_NONE, is_admin);
	}
	map_fini(&seen);
}

static bool
is_known(const struct room *r, struct str since, uint64_t *version_r)
{
	const struct mav_change *first =
	    LIST_FIRST(&r->changes, struct mav_change, node);

	if (!version_parse(r, since, version_r))
		return false;
	return *version_r == r->version ||
	       (first != NULL && first->version <= *version_r + 1);
}

static void
refuse(const struct room *r, const struct jid *to)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *error;

	stanza_set_type(st, MESSAGE_ERROR);
	stanza_set_from(st, &r->jid);
	stanza_set_to(st, to);
	error = elem_add(st->root, EL_ERROR);
	elem_set(error, AT_TYPE, STR("auth"));
	elem_set_copy(error, AT_BY, r->jid.full);
	elem_add(error, EL_FORBIDDEN);
	router_send(st);
}

bool
mav_answer(const struct room *r, const struct stanza *presence)
{
	const struct elem *mav =
	    elem_child(elem_child(presence->root, EL_MUC), EL_MAV);
	bool is_admin = right_of(r, &presence->from) >= AFF_ADMIN;
	uint64_t since = 0;
	struct stanza *st;
	struct elem *x;

	if (mav == NULL)
		return false;
	if (!may_read_lists(r, &presence->from)) {
		refuse(r, &presence->from);
		return false;
	}
	st = stanza_new(EL_MESSAGE);
	stanza_set_from(st, &r->jid);
	stanza_set_to(st, &presence->from);
	st->is_private = true;
	x = elem_add(st->root, EL_MUC_USER);
	mav_add_now(x, r);
	if (!is_known(r, elem_attr(mav, AT_SINCE), &since)) {
		add_all(x, r, is_admin);
	} else if (since == r->version) {
		stanza_free(&st);
		return true;
	} else {
		elem_set_copy(
		    elem_child(x, EL_MAV), AT_SINCE, elem_attr(mav, AT_SINCE));
		add_changes(x, r, since, is_admin);
	}
	router_send(st);
	return true;
}
