/* SPDX-License-Identifier: MIT */
/*
 * Registrations that admins approve (section 9.9): they are sent a form, in
 * the room or not, and whoever of them answers it admits the person. Nothing
 * is kept meanwhile: the form says all, and an admin may do all that it says.
 */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"

#define FORM_TYPE "http://jabber.org/protocol/muc#register"

/* Strangers can have forms sent to all admins: not too many. */
static const struct rate requests = { 10, MINUTES(1) };

/* ---- asking ------------------------------------------------------------ */

static void
add_form(struct stanza *st, const struct jid *who, struct str nick)
{
	struct arena *a = st->arena;
	struct elem *form = form_add(st->root, "form", FORM_TYPE);

	elem_add_text(form, EL_FORM_TITLE, STR("Registration request"));
	elem_add_text(form, EL_FORM_INSTRUCTIONS,
	    STR("To let this person register with the room, choose so and "
		"submit the form."));
	form_add_field(
	    form, "jid-single", "muc#jid", "User ID", str_dup(a, who->bare));
	form_add_field(form, "text-single", "muc#register_roomnick",
	    "Desired nickname", str_dup(a, nick));
	form_add_field(form, "boolean", "muc#register_allow",
	    "Allow this person to register with the room?", STR("false"));
}

bool
approval_ask(struct room *r, const struct jid *who, struct str nick)
{
	const struct affiliation *a;
	struct stanza *st;
	struct fanout *f;

	if (r->asked_at == 0)
		r->asked = -1;
	if (!rate_take(&r->asked, &r->asked_at, &requests))
		return false;
	st = stanza_new(EL_MESSAGE);
	stanza_set_from(st, &r->jid);
	add_form(st, who, nick);
	f = fanout_new(st);
	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;) {
		struct jid to = jid_of(a->jid);

		if (a->aff >= AFF_ADMIN)
			fanout_add(f, &to);
	}
	fanout_send(&f);
	return true;
}

/* ---- the answer -------------------------------------------------------- */

/* Status 101: his affiliation changed while he was not there. */
static void
tell_admitted(struct room *r, const struct change *c)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *x = elem_add(st->root, EL_MUC_USER), *item;

	stanza_set_from(st, &r->jid);
	stanza_set_to(st, &c->jid);
	item = elem_add(x, EL_MUC_USER_ITEM);
	elem_set_copy(item, AT_JID, c->jid.full);
	elem_set(item, AT_AFFILIATION, str_c(aff_names[c->aff]));
	elem_set(item, AT_ROLE, STR("none"));
	elem_set_copy(item, AT_NICK, c->nick);
	add_status(x, 101);
	router_send(st);
}

static void
on_stored(void *ctx, int err)
{
	struct receipt *receipt = ctx;

	if (err < 0)
		receipt_fail(&receipt);
	else
		receipt_done(&receipt);
}

static void
admit(struct room *r, struct stanza *st, const struct jid *who, struct str nick)
{
	struct change c = { .jid = *who,
		.aff = AFF_MEMBER,
		.nick = nick,
		.actor = occupant_by_jid(r, st->from.full) };
	struct store_write *w = room_write(r);

	aff_change(r, &c, w);
	if (w != NULL)
		store_commit(&w, on_stored, receipt_ref(st->receipt));
	tell_admitted(r, &c);
	stanza_free(&st);
}

static void
take_answer(struct room *r, struct stanza *st, const struct elem *form)
{
	struct str nick = form_value(form, "muc#register_roomnick");
	const char *text = NULL;
	struct jid who;
	enum qname why;

	if (jid_parse(st->arena, form_value(form, "muc#jid"), &who) < 0 ||
	    str_is_none(who.local) ||
	    jid_prep_resource(st->arena, nick, &nick) < 0) {
		room_refuse(r, st, EL_BAD_REQUEST, NULL, NULL);
		return;
	}
	who = jid_to_bare(&who);
	why = nick_check(r, &who, nick, &text);
	if (why != EL_NONE)
		room_refuse(r, st, why, NULL, text);
	/* Another admin was quicker, or knew better. */
	else if (aff_of(r, &who) != AFF_NONE)
		stanza_free(&st);
	else if (r->affs.count >= room_options(r)->max_affiliations)
		room_refuse(r, st, EL_RESOURCE_CONSTRAINT, NULL, NULL);
	else
		admit(r, st, &who, nick);
}

bool
take_approval(struct room *r, struct stanza *st)
{
	const struct elem *form = form_of(st->root, FORM_TYPE);

	if (form == NULL)
		return false;
	if (right_of(r, &st->from) < AFF_ADMIN)
		room_refuse(r, st, EL_FORBIDDEN, NULL, "You are no admin");
	else if (elem_attr_is(form, AT_TYPE, "submit") &&
		 form_bool(form, "muc#register_allow", false))
		take_answer(r, st, form);
	else
		stanza_free(&st);
	return true;
}
