/* SPDX-License-Identifier: MIT */
/*
 * Hats (XEP-0317): titles that admins make and give to people, managed by
 * commands of the room (XEP-0050) that need one step each.
 */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"

#define FORM_TYPE "urn:xmpp:hats:commands"
#define NS_TEXT "http://jabber.org/protocol/commands"
#define PREFIX "urn:xmpp:hats:commands:"
#define HATS_MAX 50
#define WEARERS_MAX 1000
#define TEXT_MAX 512

struct wearer {
	struct str jid;
	char text[];
};

/* ---- in memory --------------------------------------------------------- */

static struct hat *
hat_find(const struct room *r, struct str uri)
{
	struct hat *h;

	LIST_EACH(h, &r->hats, struct hat, node)
	if (str_eq(h->uri, uri))
		return h;
	return NULL;
}

static void
take_off(struct hat *h, struct str jid)
{
	xfree(map_del(&h->jids, jid));
}

static void
put_on(struct hat *h, struct str jid)
{
	struct wearer *w;

	if (map_get(&h->jids, jid) != NULL)
		return;
	w = xmalloc(sizeof(*w) + jid.n);
	memcpy(w->text, jid.p, jid.n);
	w->jid = str_mem(w->text, jid.n);
	map_set(&h->jids, w->jid, w);
}

static void
hat_free(struct hat *h)
{
	struct wearer *w;

	for (size_t i = 0; (w = map_next(&h->jids, &i)) != NULL;)
		xfree(w);
	map_fini(&h->jids);
	str_free(&h->uri);
	str_free(&h->title);
	str_free(&h->hue);
	list_del(&h->node);
	xfree(h);
}

void
hats_clear(struct room *r)
{
	struct hat *h;

	LIST_EACH(h, &r->hats, struct hat, node)
	hat_free(h);
}

static struct hat *
hat_set(struct room *r, struct str uri, struct str title, struct str hue)
{
	struct hat *h = hat_find(r, uri);

	if (h == NULL) {
		h = xzalloc(sizeof(*h));
		h->uri = str_heap(uri);
		list_add(&r->hats, &h->node);
	}
	str_free(&h->title);
	str_free(&h->hue);
	h->title = str_heap(title);
	h->hue = hue.n > 0 ? str_heap(hue) : STR_NONE;
	return h;
}

static struct elem *
add_hat(struct elem *parent, const struct hat *h)
{
	struct elem *e = elem_add(parent, EL_HAT);

	elem_set_copy(e, AT_URI, h->uri);
	elem_set_copy(e, AT_TITLE, h->title);
	if (!str_is_none(h->hue))
		elem_set_copy(e, AT_HUE, h->hue);
	return e;
}

void
hats_add(const struct room *r, struct elem *presence, struct str bare)
{
	struct elem *hats = NULL;
	const struct hat *h;

	LIST_EACH(h, &r->hats, struct hat, node)
	{
		if (map_get(&h->jids, bare) == NULL)
			continue;
		if (hats == NULL)
			hats = elem_add(presence, EL_HATS);
		add_hat(hats, h);
	}
}

/* ---- in the store ------------------------------------------------------ */

struct elem *
hats_dump(struct arena *a, const struct room *r)
{
	struct elem *hats = elem_new(a, EL_HATS), *e;
	const struct wearer *w;
	const struct hat *h;

	LIST_EACH(h, &r->hats, struct hat, node)
	{
		e = add_hat(hats, h);
		for (size_t i = 0; (w = map_next(&h->jids, &i)) != NULL;)
			elem_set_copy(
			    elem_add(e, EL_MUC_ADMIN_ITEM), AT_JID, w->jid);
	}
	return hats;
}

void
hats_load(struct room *r, const struct elem *hats)
{
	const struct elem *e = elem_child(hats, EL_HAT), *item;

	for (; e != NULL; e = elem_next(e, EL_HAT)) {
		struct hat *h = hat_set(r, elem_attr(e, AT_URI),
		    elem_attr(e, AT_TITLE), elem_attr(e, AT_HUE));

		item = elem_child(e, EL_MUC_ADMIN_ITEM);
		for (; item; item = elem_next(item, EL_MUC_ADMIN_ITEM))
			put_on(h, elem_attr(item, AT_JID));
	}
}

/* ---- what a change leads to -------------------------------------------- */

static bool
wears(const struct hat *h, const struct occupant *o)
{
	return map_get(&h->jids, occupant_bare(o)) != NULL;
}

/* Those whose hats look different now, by what was before and is now. */
static void
tell_wearers(struct room *r, const struct hat *h, struct str jid)
{
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	if (occupant_by_nick(r, o->nick) == o &&
	    (str_is_none(jid) ? wears(h, o) : str_eq(occupant_bare(o), jid)))
		note_tell(&(struct note){ .o = o });
}

static void
tell_list(struct room *r)
{
	static const uint16_t codes[] = { 104, 0 };

	room_tell_codes(r, codes);
}

/* ---- the commands ------------------------------------------------------ */

struct hat_command {
	const char *name, *title;
	void (*add_fields)(const struct room *r, struct elem *form);
	/* EL_NONE when it is done. */
	enum qname (*run)(struct room *r, const struct elem *form);
};

static void
create_fields(const struct room *r, struct elem *form)
{
	struct elem *f;

	f = form_add_field(
	    form, "text-single", "hats#title", "Hat Title", STR_NONE);
	elem_add(f, EL_FORM_REQUIRED);
	f = form_add_field(
	    form, "text-single", "hats#uri", "Hat URI", STR_NONE);
	elem_add(f, EL_FORM_REQUIRED);
	form_add_field(form, "text-single", "hats#hue", "Hat Hue", STR_NONE);
}

static void
choice_field(const struct room *r, struct elem *form)
{
	struct elem *f = form_add_field(
	    form, "list-single", "hats#uri", "The hat", STR_NONE);
	struct arena *a = elem_arena(form);
	const struct hat *h;

	LIST_EACH(h, &r->hats, struct hat, node)
	form_add_option(f, str_dup(a, h->title).p, str_dup(a, h->uri));
}

static void
assign_fields(const struct room *r, struct elem *form)
{
	struct elem *f = form_add_field(
	    form, "jid-single", "hats#jid", "User Address", STR_NONE);

	elem_add(f, EL_FORM_REQUIRED);
	choice_field(r, form);
}

static enum qname
create(struct room *r, const struct elem *form)
{
	struct str uri = form_value(form, "hats#uri");
	struct str title = form_value(form, "hats#title");
	struct str hue = form_value(form, "hats#hue");
	struct hat *h = hat_find(r, uri);
	size_t count = 0;

	if (uri.n == 0 || title.n == 0 || uri.n > TEXT_MAX ||
	    title.n > TEXT_MAX || hue.n > 16)
		return EL_BAD_REQUEST;
	for (struct list *l = r->hats.next; l != &r->hats; l = l->next)
		count++;
	if (h == NULL && count >= HATS_MAX)
		return EL_RESOURCE_CONSTRAINT;
	tell_wearers(r, hat_set(r, uri, title, hue), STR_NONE);
	tell_list(r);
	return EL_NONE;
}

static enum qname
destroy(struct room *r, const struct elem *form)
{
	struct hat *h = hat_find(r, form_value(form, "hats#uri"));
	struct map bare;
	struct occupant *o;
	struct wearer *w;

	if (h == NULL)
		return EL_ITEM_NOT_FOUND;
	bare = h->jids;
	memset(&h->jids, 0, sizeof(h->jids));
	hat_free(h);
	LIST_EACH(o, &r->occupants, struct occupant, node)
	if (map_get(&bare, occupant_bare(o)) != NULL &&
	    occupant_by_nick(r, o->nick) == o)
		note_tell(&(struct note){ .o = o });
	for (size_t i = 0; (w = map_next(&bare, &i)) != NULL;)
		xfree(w);
	map_fini(&bare);
	tell_list(r);
	return EL_NONE;
}

static enum qname
change(struct room *r, const struct elem *form, bool is_on)
{
	struct hat *h = hat_find(r, form_value(form, "hats#uri"));
	struct arena *a = elem_arena(form);
	struct jid jid;

	if (jid_parse(a, form_value(form, "hats#jid"), &jid) < 0)
		return EL_JID_MALFORMED;
	if (h == NULL)
		return EL_ITEM_NOT_FOUND;
	if (is_on && h->jids.count >= WEARERS_MAX)
		return EL_RESOURCE_CONSTRAINT;
	if (is_on)
		put_on(h, jid.bare);
	else
		take_off(h, jid.bare);
	tell_wearers(r, h, jid.bare);
	return EL_NONE;
}

static enum qname
assign(struct room *r, const struct elem *form)
{
	return change(r, form, true);
}

static enum qname
unassign(struct room *r, const struct elem *form)
{
	return change(r, form, false);
}

static const struct hat_command commands[] = {
	{ "create", "Create a hat", create_fields, create },
	{ "destroy", "Destroy a hat", choice_field, destroy },
	{ "assign", "Assign a hat", assign_fields, assign },
	{ "unassign", "Remove a hat", assign_fields, unassign },
	{ "list", "List hats", NULL, NULL },
	{ "list-assigned", "List assigned hats", NULL, NULL },
};

/* ---- answers ----------------------------------------------------------- */

static struct elem *
begin(struct stanza *iq, const struct hat_command *c, const char *status)
{
	struct arena *a = iq->arena;
	struct str session =
	    elem_attr_named(stanza_payload(iq), STR("sessionid"));
	struct elem *e;

	if (session.n == 0 || session.n > 64)
		session = random_token(a, 12);
	e = elem_add_named(stanza_result(iq), STR(NS_TEXT), STR("command"));
	elem_set(e, AT_NODE, str_printf(a, PREFIX "%s", c->name));
	elem_set_named(e, STR("sessionid"), session);
	elem_set(e, AT_STATUS, str_c(status));
	return e;
}

static enum verdict
send_form(struct room *r, struct stanza *iq, const struct hat_command *c)
{
	struct elem *e = begin(iq, c, "executing");
	struct elem *actions = elem_add_named(e, STR(NS_TEXT), STR("actions"));
	struct elem *form;

	elem_add_named(actions, STR(NS_TEXT), STR("complete"));
	form = form_add(e, "form", FORM_TYPE);
	elem_add_text(form, EL_FORM_TITLE, str_c(c->title));
	c->add_fields(r, form);
	return stanza_send_back(iq);
}

static void
add_value(struct elem *item, const char *var, struct str value)
{
	if (!str_is_none(value))
		form_add_field(
		    item, NULL, var, NULL, str_dup(elem_arena(item), value));
}

static void
add_row(struct elem *form, const struct hat *h, struct str jid)
{
	struct elem *item = elem_add(form, EL_FORM_ITEM);

	add_value(item, "hats#jid", jid);
	add_value(item, "hats#uri", h->uri);
	add_value(item, "hats#title", h->title);
	add_value(item, "hats#hue", h->hue);
}

static enum verdict
send_list(struct room *r, struct stanza *iq, const struct hat_command *c,
    bool is_assigned)
{
	struct elem *form = form_add(begin(iq, c, "completed"), "result", NULL);
	struct elem *reported = elem_add(form, EL_FORM_REPORTED);
	const struct wearer *w;
	const struct hat *h;

	if (is_assigned)
		form_add_field(reported, NULL, "hats#jid", NULL, STR_NONE);
	form_add_field(reported, NULL, "hats#uri", NULL, STR_NONE);
	form_add_field(reported, NULL, "hats#title", NULL, STR_NONE);
	form_add_field(reported, NULL, "hats#hue", NULL, STR_NONE);
	LIST_EACH(h, &r->hats, struct hat, node)
	{
		if (!is_assigned)
			add_row(form, h, STR_NONE);
		for (size_t i = 0;
		     is_assigned && (w = map_next(&h->jids, &i)) != NULL;)
			add_row(form, h, w->jid);
	}
	return stanza_send_back(iq);
}

static enum verdict
run(struct room *r, struct stanza *iq, const struct hat_command *c)
{
	const struct elem *form = elem_child(stanza_payload(iq), EL_FORM);
	struct store_write *w;
	enum qname why;

	if (str_is(
		elem_attr_named(stanza_payload(iq), STR("action")), "cancel")) {
		begin(iq, c, "canceled");
		return stanza_send_back(iq);
	}
	if (form == NULL)
		return send_form(r, iq, c);
	why = c->run(r, form);
	if (why != EL_NONE)
		return room_refuse(r, iq, why, NULL, NULL);
	w = room_write(r);
	save_hats(r, w);
	if (w != NULL)
		store_commit(&w, NULL, NULL);
	begin(iq, c, "completed");
	return stanza_send_back(iq);
}

static enum verdict
send_commands(struct room *r, struct stanza *iq)
{
	struct elem *query = elem_new(iq->arena, EL_DISCO_ITEMS), *item;
	bool is_admin = right_of(r, &iq->from) >= AFF_ADMIN;

	elem_set(query, AT_NODE, STR(NS_TEXT));
	for (size_t i = 0; i < ARRAY_LEN(commands) && is_admin; i++) {
		item = elem_add(query, EL_DISCO_ITEM);
		elem_set_copy(item, AT_JID, r->jid.full);
		elem_set(item, AT_NODE,
		    str_printf(iq->arena, PREFIX "%s", commands[i].name));
		elem_set(item, AT_NAME, str_c(commands[i].title));
	}
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

enum verdict
on_hats(struct room *r, struct stanza *iq)
{
	struct str node = elem_attr(stanza_payload(iq), AT_NODE);

	if (elem_name(stanza_payload(iq)) == EL_DISCO_ITEMS)
		return send_commands(r, iq);
	if (iq->type != IQ_SET || !str_has_prefix(node, STR(PREFIX)))
		return room_refuse(r, iq, EL_ITEM_NOT_FOUND, NULL, NULL);
	if (right_of(r, &iq->from) < AFF_ADMIN)
		return room_refuse(
		    r, iq, EL_FORBIDDEN, NULL, "Only admins deal with hats");
	node = str_skip(node, strlen(PREFIX));
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct hat_command *c = &commands[i];

		if (!str_is(node, c->name))
			continue;
		if (c->run != NULL)
			return run(r, iq, c);
		return send_list(
		    r, iq, c, strcmp(c->name, "list-assigned") == 0);
	}
	return room_refuse(r, iq, EL_ITEM_NOT_FOUND, NULL, NULL);
}
