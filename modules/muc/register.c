/* SPDX-License-Identifier: MIT */
/*
 * Registering with a room (section 7.10): a nickname is kept for who does so,
 * and he becomes a member. Into a room of members one is let by its admins, and
 * then may choose his nickname, or where they approve registrations asks so.
 */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"

#define FORM_TYPE "http://jabber.org/protocol/muc#register"

static enum verdict
send_form(struct room *r, struct stanza *iq)
{
	struct elem *query = elem_new(iq->arena, EL_REGISTER), *form, *field;

	elem_add_text(query, EL_REGISTER_INSTRUCTIONS,
	    STR("Choose the nickname that is to be kept for you."));
	form = form_add(query, "form", FORM_TYPE);
	elem_add_text(form, EL_FORM_TITLE, STR("Registration"));
	field = form_add_field(form, "text-single", "muc#register_roomnick",
	    "Desired nickname", STR_NONE);
	elem_add(field, EL_FORM_REQUIRED);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

static enum verdict
send_registered(struct room *r, struct stanza *iq, const struct affiliation *a)
{
	struct elem *query = elem_new(iq->arena, EL_REGISTER);

	elem_add(query, EL_REGISTER_REGISTERED);
	elem_add_text(query, EL_REGISTER_USERNAME, str_dup(iq->arena, a->nick));
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

/* A member may always have his nickname kept. */
static bool
may_register(const struct room *r, const struct jid *who)
{
	enum aff aff = aff_of(r, who);

	if (aff == AFF_OUTCAST)
		return false;
	return aff >= AFF_MEMBER ||
	       (r->config.may_register &&
		   (!r->config.is_members_only || r->config.is_approving));
}

static void
change(struct room *r, struct stanza *iq, enum aff aff, struct str nick)
{
	struct change c = { .aff = aff, .nick = nick };
	struct store_write *w = room_write(r);

	c.jid = jid_to_bare(&iq->from);
	aff_change(r, &c, w);
	room_commit(r, w, iq);
}

/* The answer says only that the request has come (section 7.10). */
static enum verdict
ask(struct room *r, struct stanza *iq, struct str nick)
{
	struct jid who = jid_to_bare(&iq->from);

	if (!approval_ask(r, &who, nick))
		return room_refuse(r, iq, EL_RESOURCE_CONSTRAINT, NULL,
		    "Too many wish to register; try again later");
	return stanza_reply(iq);
}

static enum verdict
submit(struct room *r, struct stanza *iq, const struct elem *form)
{
	struct str nick = form_value(form, "muc#register_roomnick");
	enum aff aff = aff_of(r, &iq->from);
	const char *text;
	enum qname why;

	if (nick.n == 0 || !elem_attr_is(form, AT_TYPE, "submit"))
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	if (jid_prep_resource(iq->arena, nick, &nick) < 0)
		return room_refuse(r, iq, EL_JID_MALFORMED, NULL, NULL);
	why = nick_check(r, &iq->from, nick, &text);
	if (why != EL_NONE)
		return room_refuse(r, iq, why, NULL, text);
	if (aff == AFF_NONE &&
	    r->affs.count >= room_options(r)->max_affiliations)
		return room_refuse(r, iq, EL_RESOURCE_CONSTRAINT, NULL, NULL);
	if (aff == AFF_NONE && r->config.is_approving)
		return ask(r, iq, nick);
	change(r, iq, MAX(aff, AFF_MEMBER), nick);
	return STANZA_DONE;
}

/* He gives up the nickname, and the membership that came with it. */
static enum verdict
withdraw(struct room *r, struct stanza *iq)
{
	const struct affiliation *a = aff_find(r, iq->from.bare);

	if (a == NULL || a->aff == AFF_OUTCAST)
		return room_refuse(r, iq, EL_REGISTRATION_REQUIRED, NULL, NULL);
	change(r, iq, a->aff == AFF_MEMBER ? AFF_NONE : a->aff, STR(""));
	return STANZA_DONE;
}

enum verdict
on_register(struct room *r, struct stanza *iq)
{
	const struct affiliation *a = aff_find(r, iq->from.bare);
	const struct elem *query = stanza_payload(iq);
	const struct elem *form = form_of(query, FORM_TYPE);

	if (!may_register(r, &iq->from))
		return room_refuse(r, iq, EL_NOT_ALLOWED, NULL,
		    "Ask an admin of the room for membership");
	if (iq->type == IQ_GET)
		return a != NULL && a->nick.n > 0 ? send_registered(r, iq, a)
						  : send_form(r, iq);
	if (elem_child(query, EL_REGISTER_REMOVE) != NULL)
		return withdraw(r, iq);
	if (form == NULL)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	return submit(r, iq, form);
}
