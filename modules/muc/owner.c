/* SPDX-License-Identifier: MIT */
/* Configuration and the end of a room (sections 10.1, 10.2, 10.9). */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"

#define FORM_TYPE "http://jabber.org/protocol/muc#roomconfig"

/* ---- a new configuration ----------------------------------------------- */

/* What every occupant should know of (section 10.2.1). */
static void
tell_changes(struct room *r, const struct config *old)
{
	const struct config *c = &r->config;
	uint16_t codes[4] = { 0 };
	size_t i = 0;

	if (c->is_logged != old->is_logged)
		codes[i++] = c->is_logged ? 170 : 171;
	if (c->whois != old->whois)
		codes[i++] = c->whois == 1 ? 172 : 173;
	if (i == 0)
		codes[i++] = 104;
	room_tell_codes(r, codes);
}

static struct occupant *
next_stranger(const struct room *r)
{
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	if (o->aff < AFF_MEMBER)
		return o;
	return NULL;
}

/* Now for members only: the others go. */
static void
remove_strangers(struct room *r)
{
	static const uint16_t codes[] = { 322, 0 };
	struct occupant *o;

	while ((o = next_stranger(r)) != NULL)
		remove_nick(o, codes, NULL, STR_NONE);
}

/* Moderated or not any more: who is nobody gains or loses his voice. */
static void
adjust_voices(struct room *r)
{
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	{
		enum role fit = role_by_default(r, AFF_NONE);

		if (o->aff != AFF_NONE || o->role == ROLE_MODERATOR ||
		    o->role == fit || occupant_by_nick(r, o->nick) != o)
			continue;
		for (struct occupant *s = o; s != NULL; s = ring_next(o, s))
			s->role = (uint8_t)fit;
		note_tell(&(struct note){ .o = o, .was_shown = true });
	}
}

void
room_configure(struct room *r, struct config *c, struct store_write *w)
{
	struct config old = r->config;

	r->config = *c;
	r->config.was_open = old.was_open;
	if (r->config.is_persistent && !r->is_stored)
		save_all(r, w);
	else if (r->config.is_persistent)
		save_config(r, w);
	else if (r->is_stored)
		save_nothing(r, w);
	r->is_locked = false;
	tell_changes(r, &old);
	if (r->config.is_members_only && !old.is_members_only)
		remove_strangers(r);
	subs_prune(r, r->is_stored ? w : NULL);
	if (r->config.is_moderated != old.is_moderated)
		adjust_voices(r);
	config_fini(&old);
}

static enum verdict
configure(struct room *r, struct stanza *iq, const struct elem *form)
{
	struct store_write *w = NULL;
	struct config c;
	struct officers *officers;
	enum qname why;
	const char *bad;

	why = officers_read(r, iq->arena, form, &officers);
	if (why != EL_NONE)
		return room_refuse(r, iq, why, NULL, "Owners and admins");
	config_copy(&c, &r->config);
	bad = config_read(&c, form);
	if (bad != NULL) {
		config_fini(&c);
		return room_refuse(r, iq, EL_NOT_ACCEPTABLE, NULL, bad);
	}
	if (c.max_users > room_options(r)->max_users)
		c.max_users = room_options(r)->max_users;
	if (c.is_persistent || r->is_stored)
		w = store_write_new(r->jid.full);
	room_configure(r, &c, w);
	officers_set(
	    r, iq->arena, officers, r->config.is_persistent ? w : NULL);
	room_commit(r, w, iq);
	return STANZA_DONE;
}

/* ---- the end ----------------------------------------------------------- */

void
room_destroy(
    struct room *r, const struct elem *destroy, store_done_fn *done, void *ctx)
{
	r->holds++;
	room_evict(r, destroy);
	room_erase(r, done, ctx);
	r->holds--;
}

struct end {
	struct room *room;
	struct stanza *iq;
};

static void
on_erased(void *ctx, int err)
{
	struct end *end = ctx;
	struct room *r = end->room;

	if (err < 0)
		room_refuse(r, end->iq, EL_INTERNAL_SERVER_ERROR, NULL, NULL);
	else
		stanza_reply(end->iq);
	room_release(r);
}

static enum verdict
destroy(struct room *r, struct stanza *iq, const struct elem *asked)
{
	struct elem *e = elem_new(iq->arena, EL_MUC_USER_DESTROY);
	struct str reason = elem_child_text(asked, EL_MUC_OWNER_REASON);
	struct str password = elem_child_text(asked, EL_MUC_OWNER_PASSWORD);
	struct end *end = arena_new_of(iq->arena, struct end);
	struct jid venue;

	if (!str_is_none(elem_attr(asked, AT_JID))) {
		if (jid_parse(iq->arena, elem_attr(asked, AT_JID), &venue) < 0)
			return room_refuse(r, iq, EL_JID_MALFORMED, NULL, NULL);
		elem_set(e, AT_JID, venue.full);
	}
	if (reason.n > 0)
		elem_add_text(e, EL_MUC_USER_REASON, reason);
	if (password.n > 0)
		elem_add_text(e, EL_MUC_USER_PASSWORD, password);
	end->room = r;
	end->iq = iq;
	room_hold(r);
	subs_tell_end(r, e);
	room_destroy(r, e, on_erased, end);
	return STANZA_DONE;
}

/* ---- requests ---------------------------------------------------------- */

static enum verdict
send_form(struct room *r, struct stanza *iq)
{
	struct elem *query = elem_new(iq->arena, EL_MUC_OWNER);

	config_form(r, query);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

static enum verdict
on_submit(struct room *r, struct stanza *iq, const struct elem *form)
{
	struct elem *none;

	if (elem_attr_is(form, AT_TYPE, "submit"))
		return configure(r, iq, form);
	if (!elem_attr_is(form, AT_TYPE, "cancel"))
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	if (!r->is_locked)
		return stanza_reply(iq);
	/* He does not want it after all (section 10.1.3). */
	none = elem_new(iq->arena, EL_MUC_OWNER_DESTROY);
	return destroy(r, iq, none);
}

enum verdict
on_owner(struct room *r, struct stanza *iq)
{
	const struct elem *query = stanza_payload(iq);
	const struct elem *form = elem_child(query, EL_FORM);
	const struct elem *end = elem_child(query, EL_MUC_OWNER_DESTROY);

	if (right_of(r, &iq->from) < AFF_OWNER)
		return room_refuse(
		    r, iq, EL_FORBIDDEN, NULL, "Only owners configure a room");
	if (iq->type == IQ_GET)
		return send_form(r, iq);
	if (end != NULL)
		return destroy(r, iq, end);
	if (form == NULL)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	return on_submit(r, iq, form);
}
