/* SPDX-License-Identifier: MIT */
/* Affiliations: who stands how to a room, whether he is in it or not. */
#include "modules/muc/muc.h"

const char *const aff_names[] = { "outcast", "none", "member", "admin", "owner",
	NULL };
const char *const role_names[] = { "none", "visitor", "participant",
	"moderator", NULL };

static bool
name_parse(struct str text, const char *const *names, unsigned *i_r)
{
	for (unsigned i = 0; names[i] != NULL; i++)
		if (str_is(text, names[i])) {
			*i_r = i;
			return true;
		}
	return false;
}

bool
aff_parse(struct str text, enum aff *aff_r)
{
	unsigned i;

	if (!name_parse(text, aff_names, &i))
		return false;
	*aff_r = (enum aff)i;
	return true;
}

bool
role_parse(struct str text, enum role *role_r)
{
	unsigned i;

	if (!name_parse(text, role_names, &i))
		return false;
	*role_r = (enum role)i;
	return true;
}

/* ---- the map ----------------------------------------------------------- */

static struct affiliation *
aff_new(struct str jid, enum aff aff, struct str nick, struct str reason)
{
	struct affiliation *a = xmalloc(sizeof(*a) + jid.n + nick.n + reason.n);
	char *p = a->text;

	a->aff = aff;
	a->mark = 0;
	a->left = 0;
	memcpy(p, jid.p, jid.n);
	a->jid = str_mem(p, jid.n);
	p += jid.n;
	if (nick.n > 0)
		memcpy(p, nick.p, nick.n);
	a->nick = nick.n > 0 ? str_mem(p, nick.n) : STR_NONE;
	p += nick.n;
	if (reason.n > 0)
		memcpy(p, reason.p, reason.n);
	a->reason = reason.n > 0 ? str_mem(p, reason.n) : STR_NONE;
	return a;
}

static void
aff_drop(struct room *r, struct affiliation *a)
{
	if (a == NULL)
		return;
	map_del(&r->affs, a->jid);
	if (a->nick.n > 0 && map_get(&r->reserved, a->nick) == a)
		map_del(&r->reserved, a->nick);
	r->owners -= a->aff == AFF_OWNER;
	xfree(a);
}

struct affiliation *
aff_find(const struct room *r, struct str bare)
{
	return map_get(&r->affs, bare);
}

struct affiliation *
aff_by_nick(const struct room *r, struct str nick)
{
	return map_get(&r->reserved, nick);
}

struct affiliation *
aff_set(struct room *r, struct str bare, enum aff aff, struct str nick,
    struct str reason)
{
	struct affiliation *old = aff_find(r, bare), *a;

	if (aff == AFF_NONE) {
		aff_drop(r, old);
		return NULL;
	}
	if (old != NULL && str_is_none(nick))
		nick = old->nick;
	if (old != NULL && str_is_none(reason))
		reason = old->reason;
	/* An outcast keeps no nick from others (section 9.1). */
	a = aff_new(bare, aff, aff == AFF_OUTCAST ? STR_NONE : nick, reason);
	if (old != NULL)
		a->left = old->left;
	aff_drop(r, old);
	map_set(&r->affs, a->jid, a);
	if (a->nick.n > 0)
		map_set(&r->reserved, a->nick, a);
	r->owners += aff == AFF_OWNER;
	return a;
}

void
affs_clear(struct room *r)
{
	struct affiliation *a;

	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		xfree(a);
	map_fini(&r->affs);
	map_fini(&r->reserved);
	r->owners = 0;
}

enum aff
aff_of(const struct room *r, const struct jid *jid)
{
	const struct affiliation *a = aff_find(r, jid->bare);

	if (a == NULL)
		a = aff_find(r, jid->domain);
	return a != NULL ? a->aff : AFF_NONE;
}

enum aff
right_of(const struct room *r, const struct jid *jid)
{
	struct jid bare = jid_to_bare(jid);

	return host_is_admin(&bare) ? AFF_OWNER : aff_of(r, jid);
}

enum role
role_by_default(const struct room *r, enum aff aff)
{
	switch (aff) {
	case AFF_OWNER:
	case AFF_ADMIN:
		return ROLE_MODERATOR;
	case AFF_MEMBER:
		return ROLE_PARTICIPANT;
	case AFF_NONE:
		return r->config.is_moderated ? ROLE_VISITOR : ROLE_PARTICIPANT;
	case AFF_OUTCAST:
		break;
	}
	return ROLE_NONE;
}

/* ---- changes, as the occupants see them -------------------------------- */

/* What somebody in the room may do now: section 5.1.2's default roles. */
static enum role
role_after(const struct occupant *o, enum aff aff)
{
	enum role fit = role_by_default(o->room, aff);

	if (aff >= AFF_ADMIN || o->aff >= AFF_ADMIN)
		return fit;
	if (o->role == ROLE_MODERATOR)
		return ROLE_MODERATOR;
	return fit;
}

static bool
is_meant(const struct occupant *o, const struct jid *jid)
{
	struct jid own = occupant_jid(o);

	if (str_eq(own.bare, jid->bare))
		return true;
	return str_is_none(jid->local) && str_eq(own.domain, jid->full) &&
	       aff_find(o->room, own.bare) == NULL;
}

static void
tell_occupant(struct occupant *o, const struct change *c, enum role role)
{
	struct room *r = o->room;
	bool was_shown = r->config.broadcast & 1u << o->role;

	for (struct occupant *s = o; s != NULL; s = ring_next(o, s)) {
		s->aff = (uint8_t)c->aff;
		s->role = (uint8_t)role;
	}
	note_tell(&(struct note){ .o = o,
	    .reason = c->reason,
	    .actor = c->actor,
	    .was_shown = was_shown,
	    .version = r->version });
}

static void
apply_to_nick(struct occupant *o, const struct change *c)
{
	static const uint16_t banned[] = { 301, 0 }, removed[] = { 321, 0 };
	struct room *r = o->room;

	if (c->aff == AFF_OUTCAST) {
		for (struct occupant *s = o; s != NULL; s = ring_next(o, s))
			s->aff = AFF_OUTCAST;
		remove_changed(o, banned, c);
	} else if (r->config.is_members_only && c->aff < AFF_MEMBER &&
		   c->aff < (enum aff)o->aff) {
		for (struct occupant *s = o; s != NULL; s = ring_next(o, s))
			s->aff = (uint8_t)c->aff;
		remove_changed(o, removed, c);
	} else if ((enum aff)o->aff != c->aff) {
		tell_occupant(o, c, role_after(o, c->aff));
	}
}

/* Nobody of that name is there: those who may know are told all the same. */
static void
tell_absent(struct room *r, const struct change *c)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *x, *item;

	stanza_set_type(st, MESSAGE_GROUPCHAT);
	stanza_set_from(st, &r->jid);
	x = elem_add(st->root, EL_MUC_USER);
	mav_add(x, r, r->version);
	item = elem_add(x, EL_MUC_USER_ITEM);
	elem_set_copy(item, AT_JID, c->jid.full);
	elem_set(item, AT_AFFILIATION, str_c(aff_names[c->aff]));
	elem_set(item, AT_ROLE, STR("none"));
	if (c->nick.n > 0)
		elem_set_copy(item, AT_NICK, c->nick);
	if (c->reason.n > 0)
		elem_add_text(
		    item, EL_MUC_USER_REASON, str_dup(st->arena, c->reason));
	subs_tell(r, SUB_AFFILIATIONS, st);
	room_spread(r, st, true);
}

/* One of each ring that is meant; NULL when there are no more. */
static struct occupant *
next_meant(struct room *r, const struct jid *jid, const struct change *c)
{
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	if (is_meant(o, jid) && (enum aff)o->aff != c->aff)
		return o;
	return NULL;
}

void
aff_change(struct room *r, const struct change *c, struct store_write *w)
{
	enum aff before = aff_of(r, &c->jid);
	struct affiliation *a =
	    aff_set(r, c->jid.full, c->aff, c->nick, c->reason);
	struct occupant *o;
	bool is_there = false;

	subs_prune(r, w);
	mav_note(r, c->jid.full, c->aff);
	save_changes(r, w);
	if (w != NULL && a != NULL)
		save_aff(r, w, a);
	else
		save_no_aff(r, w, c->jid.full);
	r->holds++;
	while ((o = next_meant(r, &c->jid, c)) != NULL) {
		is_there = true;
		apply_to_nick(o, c);
	}
	if (!is_there && before != c->aff)
		tell_absent(r, c);
	r->holds--;
}
