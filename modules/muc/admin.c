/* SPDX-License-Identifier: MIT */
/*
 * Roles and affiliations: lists of them, and changes (sections 8 and 9). A
 * request is checked as a whole before anything is done.
 */
#include "modules/muc/muc.h"

#define ITEMS_MAX 1000

/* One thing that is asked for. */
struct wish {
	bool is_role;
	enum role role;
	struct occupant *target; /* whose role */
	struct change change;	 /* of an affiliation */
};

struct who {
	const struct occupant *o; /* or NULL */
	enum aff aff;
	enum role role;
	struct str bare;
};

struct denial {
	enum qname condition;
	const char *text;
};

#define FINE ((struct denial){ EL_NONE, NULL })
#define DENY(condition, text) ((struct denial){ (condition), (text) })

static struct who
who_asks(const struct room *r, const struct stanza *iq)
{
	const struct occupant *o = occupant_by_jid(r, iq->from.full);

	return (struct who){ o, right_of(r, &iq->from),
		o != NULL ? (enum role)o->role : ROLE_NONE, iq->from.bare };
}

/* ---- lists ------------------------------------------------------------- */

static void
add_occupant(struct elem *query, const struct occupant *o)
{
	struct elem *item = elem_add(query, EL_MUC_ADMIN_ITEM);

	elem_set(item, AT_AFFILIATION, str_c(aff_names[o->aff]));
	elem_set_copy(item, AT_JID, o->jid);
	elem_set_copy(item, AT_NICK, o->nick);
	elem_set(item, AT_ROLE, str_c(role_names[o->role]));
}

static enum verdict
list_role(struct room *r, struct stanza *iq, enum role role)
{
	struct elem *query = elem_new(iq->arena, EL_MUC_ADMIN);
	const struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	if (o->role == role && occupant_by_nick(r, o->nick) == o)
		add_occupant(query, o);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

static enum verdict
list_aff(struct room *r, struct stanza *iq, enum aff aff)
{
	struct elem *query = elem_new(iq->arena, EL_MUC_ADMIN), *item;
	const struct affiliation *a;

	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;) {
		if (a->aff != aff)
			continue;
		item = elem_add(query, EL_MUC_ADMIN_ITEM);
		elem_set(item, AT_AFFILIATION, str_c(aff_names[aff]));
		elem_set_copy(item, AT_JID, a->jid);
		if (a->nick.n > 0)
			elem_set_copy(item, AT_NICK, a->nick);
		if (a->reason.n > 0)
			elem_add_text(item, EL_MUC_ADMIN_REASON,
			    str_dup(iq->arena, a->reason));
	}
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

/*
 * In a private group its members read who belongs to it: that is to whom they
 * encrypt. Elsewhere the owner says who may, if addresses are open at all.
 */
static bool
may_list(const struct room *r, const struct who *who, enum aff aff)
{
	if (who->aff >= AFF_ADMIN)
		return true;
	if (aff == AFF_OUTCAST)
		return false;
	if (r->config.whois == 1 && r->config.is_members_only &&
	    who->aff >= AFF_MEMBER)
		return true;
	return (who->role == ROLE_MODERATOR || r->config.whois == 1) &&
	       who->role != ROLE_NONE &&
	       r->config.member_list & 1u << who->role;
}

bool
may_read_lists(const struct room *r, const struct jid *jid)
{
	const struct occupant *o = occupant_by_jid(r, jid->full);
	struct who who = { o, right_of(r, jid),
		o != NULL ? (enum role)o->role : ROLE_NONE, jid->bare };

	return may_list(r, &who, AFF_MEMBER);
}

static enum verdict
on_list(struct room *r, struct stanza *iq)
{
	const struct elem *item =
	    elem_child(stanza_payload(iq), EL_MUC_ADMIN_ITEM);
	struct who who = who_asks(r, iq);
	enum aff aff;
	enum role role;

	if (aff_parse(elem_attr(item, AT_AFFILIATION), &aff) &&
	    aff != AFF_NONE) {
		if (!may_list(r, &who, aff))
			return room_refuse(r, iq, EL_FORBIDDEN, NULL, NULL);
		return list_aff(r, iq, aff);
	}
	if (!role_parse(elem_attr(item, AT_ROLE), &role) || role == ROLE_NONE)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	if (who.role != ROLE_MODERATOR && who.aff < AFF_ADMIN)
		return room_refuse(r, iq, EL_FORBIDDEN, NULL, NULL);
	return list_role(r, iq, role);
}

/* ---- may a role be changed? -------------------------------------------- */

static struct denial
check_role(const struct who *who, const struct wish *w)
{
	const struct occupant *t = w->target;
	enum role now = (enum role)t->role;

	if (who->role != ROLE_MODERATOR && who->aff < AFF_ADMIN)
		return DENY(EL_FORBIDDEN, "You are no moderator");
	/* Moderators are made and unmade by admins. */
	if ((w->role == ROLE_MODERATOR || now == ROLE_MODERATOR) &&
	    w->role != now && w->role != ROLE_NONE && who->aff < AFF_ADMIN)
		return DENY(EL_FORBIDDEN, "You are no admin");
	if (w->role == ROLE_NONE && (enum aff)t->aff > who->aff)
		return DENY(EL_NOT_ALLOWED, "He stands above you");
	if (w->role == ROLE_NONE && now == ROLE_MODERATOR &&
	    who->aff < AFF_ADMIN && !str_eq(occupant_bare(t), who->bare))
		return DENY(EL_NOT_ALLOWED, "Only admins remove moderators");
	/* Admins and owners have voice by what they are (section 8.4). */
	if (w->role != ROLE_NONE && w->role < ROLE_MODERATOR &&
	    t->aff >= AFF_ADMIN)
		return DENY(EL_NOT_ALLOWED, "Admins and owners are moderators");
	return FINE;
}

/* ---- may an affiliation be changed? ------------------------------------ */

static struct denial
check_aff(const struct room *r, const struct who *who, const struct wish *w)
{
	const struct change *c = &w->change;
	const struct affiliation *a = aff_find(r, c->jid.full);
	enum aff now = a != NULL ? a->aff : AFF_NONE;
	bool is_self = str_eq(c->jid.full, who->bare);

	if (who->aff < AFF_ADMIN)
		return DENY(EL_FORBIDDEN, "You are no admin");
	if (is_self && c->aff == AFF_OUTCAST)
		return DENY(EL_CONFLICT, "You can't ban yourself");
	if (now == AFF_OWNER && c->aff != AFF_OWNER && r->owners == 1)
		return DENY(EL_CONFLICT, "A room needs an owner");
	if (who->aff < AFF_OWNER && c->aff >= AFF_ADMIN && c->aff != now)
		return DENY(EL_FORBIDDEN, "You are no owner");
	if (who->aff < AFF_OWNER && now >= AFF_ADMIN && c->aff != now &&
	    !is_self)
		return DENY(EL_NOT_ALLOWED, "He stands above you");
	if (str_is_none(c->jid.local) && c->aff > AFF_NONE)
		return DENY(EL_NOT_ALLOWED, "A domain can only be banned");
	if (a == NULL && c->aff != AFF_NONE &&
	    r->affs.count >= room_options(r)->max_affiliations)
		return DENY(EL_RESOURCE_CONSTRAINT, "The list is full");
	return FINE;
}

/* A nickname that goes with membership must be free. */
static struct denial
check_nick(const struct room *r, const struct change *c)
{
	const struct affiliation *a = aff_by_nick(r, c->nick);

	if (c->nick.n > NICK_MAX)
		return DENY(EL_NOT_ACCEPTABLE, "The nickname is too long");
	if (c->nick.n > 0 && a != NULL && !str_eq(a->jid, c->jid.full))
		return DENY(EL_CONFLICT, "The nickname is taken");
	return FINE;
}

/* ---- what is asked ----------------------------------------------------- */

static struct denial
read_aff(
    struct room *r, struct stanza *iq, const struct elem *item, struct wish *w)
{
	struct change *c = &w->change;
	struct str jid = elem_attr(item, AT_JID);
	struct occupant *o;

	c->nick = elem_attr(item, AT_NICK);
	c->reason = elem_child_text(item, EL_MUC_ADMIN_REASON);
	if (!aff_parse(elem_attr(item, AT_AFFILIATION), &c->aff) ||
	    c->reason.n > REASON_MAX)
		return DENY(EL_BAD_REQUEST, NULL);
	if (!str_is_none(jid)) {
		if (jid_parse(iq->arena, jid, &c->jid) < 0)
			return DENY(EL_JID_MALFORMED, NULL);
		c->jid = jid_to_bare(&c->jid);
		if (c->nick.n > 0 &&
		    jid_prep_resource(iq->arena, c->nick, &c->nick) < 0)
			return DENY(EL_JID_MALFORMED, NULL);
		return check_nick(r, c);
	}
	/* By nickname, for who does not see addresses. */
	o = occupant_by_nick(r, c->nick);
	c->nick = STR_NONE;
	if (o == NULL)
		return DENY(EL_ITEM_NOT_FOUND, "There is nobody of that name");
	c->jid = jid_of(str_dup(iq->arena, occupant_bare(o)));
	return FINE;
}

static struct denial
read_role(struct room *r, const struct elem *item, struct wish *w)
{
	w->is_role = true;
	w->change.reason = elem_child_text(item, EL_MUC_ADMIN_REASON);
	if (!role_parse(elem_attr(item, AT_ROLE), &w->role) ||
	    w->change.reason.n > REASON_MAX ||
	    str_is_none(elem_attr(item, AT_NICK)))
		return DENY(EL_BAD_REQUEST, NULL);
	w->target = occupant_by_nick(r, elem_attr(item, AT_NICK));
	if (w->target == NULL)
		return DENY(EL_ITEM_NOT_FOUND, "There is nobody of that name");
	return FINE;
}

static struct denial
read_item(struct room *r, struct stanza *iq, const struct who *who,
    const struct elem *item, struct wish *w)
{
	bool has_aff = !str_is_none(elem_attr(item, AT_AFFILIATION));
	bool has_role = !str_is_none(elem_attr(item, AT_ROLE));
	struct denial no;

	if (has_aff == has_role)
		return DENY(EL_BAD_REQUEST,
		    "Either a role or an affiliation can be changed");
	if (has_role) {
		no = read_role(r, item, w);
		return no.condition != EL_NONE ? no : check_role(who, w);
	}
	no = read_aff(r, iq, item, w);
	return no.condition != EL_NONE ? no : check_aff(r, who, w);
}

/* ---- it is done -------------------------------------------------------- */

static void
set_role(struct occupant *o, enum role role, const struct who *who,
    struct str reason)
{
	static const uint16_t kicked[] = { 307, 0 };
	bool was_shown = o->room->config.broadcast & 1u << o->role;

	if (role == ROLE_NONE) {
		remove_nick(o, kicked, who->o, reason);
		return;
	}
	if (role == (enum role)o->role)
		return;
	for (struct occupant *s = o; s != NULL; s = ring_next(o, s))
		s->role = (uint8_t)role;
	note_tell(&(struct note){ .o = o,
	    .reason = reason,
	    .actor = who->o,
	    .was_shown = was_shown });
}

static void
apply(struct room *r, struct stanza *iq, const struct who *who,
    const struct elem *item, struct store_write *w)
{
	struct who now = who_asks(r, iq);

	for (; item != NULL; item = elem_next(item, EL_MUC_ADMIN_ITEM)) {
		struct wish wish = { 0 };

		/* Whom an earlier item removed is gone. */
		now.o = occupant_by_jid(r, iq->from.full);
		if (read_item(r, iq, who, item, &wish).condition != EL_NONE)
			continue;
		wish.change.actor = now.o;
		if (wish.is_role)
			set_role(
			    wish.target, wish.role, &now, wish.change.reason);
		else
			aff_change(r, &wish.change, w);
	}
}

static enum verdict
on_change(struct room *r, struct stanza *iq)
{
	const struct elem *first =
	    elem_child(stanza_payload(iq), EL_MUC_ADMIN_ITEM);
	struct who who = who_asks(r, iq);
	struct store_write *w;
	size_t count = 0;

	for (const struct elem *e = first; e != NULL;
	     e = elem_next(e, EL_MUC_ADMIN_ITEM)) {
		struct wish wish = { 0 };
		struct denial no = read_item(r, iq, &who, e, &wish);

		if (no.condition == EL_NONE && ++count > ITEMS_MAX)
			no = DENY(EL_RESOURCE_CONSTRAINT, NULL);
		if (no.condition != EL_NONE)
			return room_refuse(r, iq, no.condition, NULL, no.text);
	}
	if (first == NULL)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	w = room_write(r);
	apply(r, iq, &who, first, w);
	room_commit(r, w, iq);
	return STANZA_DONE;
}

enum verdict
on_admin(struct room *r, struct stanza *iq)
{
	return iq->type == IQ_GET ? on_list(r, iq) : on_change(r, iq);
}
