/* SPDX-License-Identifier: MIT */
/* Invitations by way of the room, and what comes back (section 7.8.2). */
#include "modules/muc/muc.h"

#define INVITES_MAX 20

/* ---- inviting ---------------------------------------------------------- */

static bool
may_invite(const struct room *r, const struct occupant *o, enum aff right)
{
	if (right >= AFF_ADMIN)
		return true;
	if (o == NULL)
		return false;
	if (r->config.is_members_only || !r->config.may_invite)
		return r->config.may_invite && right >= AFF_MEMBER;
	return true;
}

static void
send_invite(struct room *r, const struct stanza *st, const struct elem *invite,
    const struct jid *to)
{
	struct stanza *out = stanza_new(EL_MESSAGE);
	struct elem *x = elem_add(out->root, EL_MUC_USER), *e, *direct;
	struct str reason = elem_child_text(invite, EL_MUC_USER_REASON);

	stanza_set_from(out, &r->jid);
	stanza_set_to(out, to);
	out->receipt = receipt_ref(st->receipt);
	elem_set_copy(out->root, AT_ID, stanza_id(st));
	e = elem_add(x, EL_MUC_USER_INVITE);
	elem_set_copy(e, AT_FROM, st->from.full);
	if (reason.n > 0)
		elem_add_text(
		    e, EL_MUC_USER_REASON, str_dup(out->arena, reason));
	if (elem_child(invite, EL_MUC_USER_CONTINUE) != NULL)
		elem_add_copy(e, elem_child(invite, EL_MUC_USER_CONTINUE));
	/* What older clients understand (XEP-0249). */
	direct = elem_add(out->root, EL_CONFERENCE);
	elem_set_copy(direct, AT_JID, r->jid.full);
	if (reason.n > 0)
		elem_set_copy(direct, AT_REASON, reason);
	if (r->config.has_password) {
		elem_add_text(x, EL_MUC_USER_PASSWORD,
		    str_dup(out->arena, r->config.password));
		elem_set_copy(direct, AT_PASSWORD, r->config.password);
	}
	router_send(out);
}

/* Whoever is invited to a room of members becomes one. */
static void
admit(struct room *r, const struct occupant *o, const struct jid *to,
    struct store_write *w)
{
	struct change c = { .aff = AFF_MEMBER, .actor = o };

	c.jid = jid_to_bare(to);
	if (r->config.is_members_only && aff_of(r, &c.jid) == AFF_NONE &&
	    r->affs.count < room_options(r)->max_affiliations)
		aff_change(r, &c, w);
}

static bool
parse_invites(
    struct stanza *st, const struct elem *x, struct jid *to, size_t *count_r)
{
	const struct elem *e = elem_child(x, EL_MUC_USER_INVITE);

	for (*count_r = 0; e != NULL; e = elem_next(e, EL_MUC_USER_INVITE)) {
		if (*count_r == INVITES_MAX ||
		    jid_parse(st->arena, elem_attr(e, AT_TO), &to[*count_r]) <
			0)
			return false;
		++*count_r;
	}
	return true;
}

static void
invite(struct room *r, struct stanza *st, const struct elem *x)
{
	struct occupant *o = occupant_by_jid(r, st->from.full);
	const struct elem *e = elem_child(x, EL_MUC_USER_INVITE);
	struct jid to[INVITES_MAX];
	struct store_write *w;
	size_t count;

	if (o == NULL && right_of(r, &st->from) < AFF_ADMIN) {
		room_refuse(r, st, EL_NOT_ACCEPTABLE, "cancel",
		    "Only occupants may invite others");
		return;
	}
	if (!may_invite(r, o, right_of(r, &st->from))) {
		room_refuse(r, st, EL_FORBIDDEN, NULL,
		    "You may not invite others to this room");
		return;
	}
	if (!parse_invites(st, x, to, &count)) {
		room_refuse(r, st, EL_JID_MALFORMED, NULL, NULL);
		return;
	}
	w = room_write(r);
	for (size_t i = 0; i < count; i++) {
		admit(r, o, &to[i], w);
		send_invite(r, st, e, &to[i]);
		e = elem_next(e, EL_MUC_USER_INVITE);
	}
	if (w != NULL)
		store_commit(&w, NULL, NULL);
	stanza_free(&st);
}

/* ---- declining --------------------------------------------------------- */

/* To whom it is sent: somebody who is in the room, or may invite to it. */
static bool
is_inviter(const struct room *r, const struct jid *jid)
{
	const struct occupant *o;

	if (aff_of(r, jid) >= AFF_MEMBER)
		return true;
	LIST_EACH(o, &r->occupants, struct occupant, node)
	if (str_eq(occupant_bare(o), jid->bare))
		return true;
	return false;
}

static void
decline(struct room *r, struct stanza *st, const struct elem *x)
{
	const struct elem *e = elem_child(x, EL_MUC_USER_DECLINE);
	struct str reason = elem_child_text(e, EL_MUC_USER_REASON);
	struct stanza *out;
	struct elem *said;
	struct jid to;

	if (jid_parse(st->arena, elem_attr(e, AT_TO), &to) < 0) {
		room_refuse(r, st, EL_JID_MALFORMED, NULL, NULL);
		return;
	}
	if (!is_inviter(r, &to)) {
		room_refuse(r, st, EL_ITEM_NOT_FOUND, NULL, NULL);
		return;
	}
	out = stanza_new(EL_MESSAGE);
	stanza_set_from(out, &r->jid);
	stanza_set_to(out, &to);
	out->receipt = receipt_ref(st->receipt);
	elem_set_copy(out->root, AT_ID, stanza_id(st));
	said = elem_add(elem_add(out->root, EL_MUC_USER), EL_MUC_USER_DECLINE);
	elem_set_copy(said, AT_FROM, st->from.bare);
	if (reason.n > 0)
		elem_add_text(
		    said, EL_MUC_USER_REASON, str_dup(out->arena, reason));
	router_send(out);
	stanza_free(&st);
}

bool
take_invite(struct room *r, struct stanza *st)
{
	const struct elem *x = elem_child(st->root, EL_MUC_USER);

	if (elem_child(x, EL_MUC_USER_INVITE) != NULL)
		invite(r, st, x);
	else if (elem_child(x, EL_MUC_USER_DECLINE) != NULL)
		decline(r, st, x);
	else
		return false;
	return true;
}
