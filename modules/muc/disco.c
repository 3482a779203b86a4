/* SPDX-License-Identifier: MIT */
/* What a room tells about itself (sections 6.4, 6.5, 7.12). */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"
#include "xep/0030-disco.h"

#define INFO_FORM "http://jabber.org/protocol/muc#roominfo"

static void
add_feature(struct elem *query, const char *var)
{
	disco_add_feature(query, str_c(var));
}

static void
add_identity(struct elem *query, struct str name)
{
	disco_add_identity(query, "conference", "text", name);
}

static void
add_features(const struct room *r, struct elem *query)
{
	static const char *const always[] = { "http://jabber.org/protocol/muc",
		"http://jabber.org/protocol/muc#stable_id",
		"http://jabber.org/protocol/muc#self-ping-optimization",
		"http://jabber.org/protocol/disco#info",
		"http://jabber.org/protocol/disco#items",
		"http://jabber.org/protocol/commands", "urn:xmpp:occupant-id:0",
		"urn:xmpp:message-moderate:1", "urn:xmpp:sid:0",
		"urn:xmpp:hats:0", "urn:xmpp:muc:affiliations:1",
		"urn:xmpp:ping", "vcard-temp", "jabber:iq:register",
		"http://jabber.org/protocol/muc#request", NULL };
	static const char *const archived[] = { "urn:xmpp:mam:2",
		"urn:xmpp:mam:2#extended", "urn:xmpp:fulltext:0",
		"urn:xmpp:message-retract:1#tombstone", NULL };
	const struct config *c = &r->config;

	disco_add_features(query, always);
	if (c->is_archived)
		disco_add_features(query, archived);
	add_feature(
	    query, c->has_password ? "muc_passwordprotected" : "muc_unsecured");
	if (c->may_subscribe && c->is_persistent)
		add_feature(query, "urn:xmpp:mucsub:0");
	add_feature(query, c->is_public ? "muc_public" : "muc_hidden");
	add_feature(
	    query, c->is_persistent ? "muc_persistent" : "muc_temporary");
	add_feature(query, c->is_members_only ? "muc_membersonly" : "muc_open");
	add_feature(
	    query, c->is_moderated ? "muc_moderated" : "muc_unmoderated");
	add_feature(
	    query, c->whois == 1 ? "muc_nonanonymous" : "muc_semianonymous");
}

static struct str
subject_text(const struct room *r, struct arena *a)
{
	struct elem *e = NULL;

	if (!str_is_none(r->subject))
		e = xml_parse(a, str_dup(a, r->subject), NULL, NS_CLIENT, NULL);
	return elem_child_text(e, EL_SUBJECT);
}

static void
add_contacts(const struct room *r, struct elem *form)
{
	struct elem *field = form_add_field(
	    form, NULL, "muc#roominfo_contactjid", NULL, STR_NONE);
	const struct affiliation *a;

	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		if (a->aff == AFF_OWNER)
			form_add_value(
			    field, str_dup(elem_arena(form), a->jid));
}

static void
add_field(struct elem *form, const char *var, struct str value)
{
	form_add_field(form, NULL, var, NULL,
	    value.n > 0 ? str_dup(elem_arena(form), value) : STR(""));
}

static void
add_form(const struct room *r, struct elem *query)
{
	const struct config *c = &r->config;
	struct elem *form = form_add(query, "result", INFO_FORM);
	struct arena *a = elem_arena(query);

	add_field(form, "muc#roominfo_description", c->desc);
	add_field(form, "muc#roominfo_subject", subject_text(r, a));
	add_field(form, "muc#roominfo_occupants",
	    str_printf(a, "%u", r->by_nick.count));
	add_field(form, "muc#roominfo_lang", c->lang);
	add_field(form, "muc#roomconfig_changesubject",
	    c->may_change_subject ? STR("1") : STR("0"));
	add_field(form, "muc#roominfo_subjectmod",
	    c->may_change_subject ? STR("1") : STR("0"));
	add_field(form, "muc#roomconfig_allowinvites",
	    c->may_invite ? STR("1") : STR("0"));
	add_field(form, "muc#maxhistoryfetch",
	    str_printf(a, "%llu", (unsigned long long)c->history));
	if (c->pubsub.n > 0)
		add_field(form, "muc#roominfo_pubsub", c->pubsub);
	/* Addresses of owners are not for everybody to see. */
	if (c->whois == 1)
		add_contacts(r, form);
	if (!str_is_none(c->avatar))
		add_field(form, "muc#roominfo_avatarhash", c->avatar);
	if (c->is_persistent && c->is_public && !c->is_members_only &&
	    !c->has_password)
		add_field(form, "{urn:xmpp:muc-activity}message-activity",
		    str_printf(a, "%.2f", room_activity(r)));
}

/* His nickname, if he has one that is kept for him. */
static enum verdict
own_nick(struct room *r, struct stanza *iq)
{
	const struct affiliation *a = aff_find(r, iq->from.bare);
	struct str nick = a != NULL ? a->nick : STR_NONE;
	struct elem *query = elem_new(iq->arena, EL_DISCO_INFO);

	if (nick.n == 0)
		nick = nick_registered(r->mod, iq->from.bare);
	elem_set(query, AT_NODE, STR("x-roomuser-item"));
	if (nick.n > 0)
		add_identity(query, nick);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

/* Who may not enter does not learn that it is there, if it is hidden. */
static bool
is_hidden_from(const struct room *r, const struct jid *who)
{
	return right_of(r, who) == AFF_OUTCAST;
}

enum verdict
on_disco_info(struct room *r, struct stanza *iq)
{
	struct str node = elem_attr(stanza_payload(iq), AT_NODE);
	struct elem *query;

	if (iq->type != IQ_GET)
		return room_refuse(r, iq, EL_BAD_REQUEST, NULL, NULL);
	if (is_hidden_from(r, &iq->from))
		return room_refuse(r, iq, EL_FORBIDDEN, NULL, NULL);
	if (str_is(node, "x-roomuser-item"))
		return own_nick(r, iq);
	/* Everything is let through (section 17.1.1). */
	if (str_is(node, "http://jabber.org/protocol/muc#traffic"))
		return room_refuse(r, iq, EL_SERVICE_UNAVAILABLE, NULL, NULL);
	if (node.n > 0)
		return room_refuse(r, iq, EL_ITEM_NOT_FOUND, NULL, NULL);
	query = elem_new(iq->arena, EL_DISCO_INFO);
	add_identity(
	    query, r->config.name.n > 0 ? r->config.name : r->jid.local);
	add_features(r, query);
	add_form(r, query);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

/* Occupants are told to occupants alone, and of public rooms to all. */
enum verdict
on_disco_items(struct room *r, struct stanza *iq)
{
	struct elem *query = elem_new(iq->arena, EL_DISCO_ITEMS), *item;
	struct str node = elem_attr(stanza_payload(iq), AT_NODE);
	const struct occupant *o;

	if (str_is(node, "http://jabber.org/protocol/commands"))
		return on_hats(r, iq);
	if (is_hidden_from(r, &iq->from))
		return room_refuse(r, iq, EL_FORBIDDEN, NULL, NULL);
	if (occupant_by_jid(r, iq->from.full) != NULL ||
	    (r->config.is_public && !r->config.is_members_only &&
		!r->config.has_password))
		LIST_EACH(o, &r->occupants, struct occupant, node)
		{
			struct jid jid = occupant_address(iq->arena, o);

			if (occupant_by_nick(r, o->nick) != o)
				continue;
			item = elem_add(query, EL_DISCO_ITEM);
			elem_set(item, AT_JID, jid.full);
		}
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}
