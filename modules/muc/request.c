/* SPDX-License-Identifier: MIT */
/* Asking for voice, and a moderator's answer (sections 7.13, 8.6). */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"

#define FORM_TYPE "http://jabber.org/protocol/muc#request"

static void
add_roles(struct elem *form)
{
	struct elem *field = form_add_field(form, "list-single", "muc#role",
	    "Requested role", STR("participant"));

	form_add_option(field, "participant", STR("participant"));
}

static void
ask(struct room *r, const struct occupant *o)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct arena *a = st->arena;
	struct fanout *f;
	struct elem *form;
	struct occupant *m;

	stanza_set_from(st, &r->jid);
	form = form_add(st->root, "form", FORM_TYPE);
	elem_add_text(form, EL_FORM_TITLE, STR("Voice request"));
	elem_add_text(form, EL_FORM_INSTRUCTIONS,
	    STR("To let this person speak, choose so and submit the form."));
	add_roles(form);
	form_add_field(
	    form, "jid-single", "muc#jid", "User ID", str_dup(a, o->jid));
	form_add_field(form, "text-single", "muc#roomnick", "Nickname",
	    str_dup(a, o->nick));
	form_add_field(form, "boolean", "muc#request_allow",
	    "Grant voice to this person?", STR("false"));
	f = fanout_new(st);
	LIST_EACH(m, &r->occupants, struct occupant, node)
	{
		struct jid to = occupant_jid(m);

		if (m->role == ROLE_MODERATOR)
			fanout_add(f, &to);
	}
	fanout_send(&f);
}

static void
grant(struct room *r, const struct elem *form)
{
	struct str nick = form_value(form, "muc#roomnick");
	struct occupant *o = occupant_by_nick(r, nick);

	if (o == NULL)
		o = occupant_by_jid(r, form_value(form, "muc#jid"));
	if (o == NULL || o->role != ROLE_VISITOR)
		return;
	for (struct occupant *s = o; s != NULL; s = ring_next(o, s))
		s->role = ROLE_PARTICIPANT;
	note_tell(&(struct note){ .o = o, .was_shown = true });
}

bool
take_request(struct room *r, struct stanza *st)
{
	const struct elem *form = form_of(st->root, FORM_TYPE);
	struct occupant *o = occupant_by_jid(r, st->from.full);

	if (form == NULL || o == NULL)
		return false;
	if (o->role == ROLE_MODERATOR) {
		if (form_bool(form, "muc#request_allow", false))
			grant(r, form);
		stanza_free(&st);
	} else if (!r->config.may_ask_voice) {
		room_refuse(
		    r, st, EL_FORBIDDEN, NULL, "Voice can't be requested here");
	} else if (!rate_take(
		       &o->words, &o->worded, &room_options(r)->message_rate)) {
		room_refuse(r, st, EL_RESOURCE_CONSTRAINT, NULL, NULL);
	} else {
		if (o->role == ROLE_VISITOR)
			ask(r, o);
		stanza_free(&st);
	}
	return true;
}
