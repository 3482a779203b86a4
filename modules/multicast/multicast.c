/* SPDX-License-Identifier: MIT */
/*
 * XEP-0033: Extended Stanza Addressing. A message or a presence to the service
 * goes to all whom its addresses name. Own users may name anyone; others only
 * those whom they could reach here anyway: nobody's mail is relayed. Who named
 * his presence's recipients is taken back from all of them when he goes.
 */
#include "modules/multicast/multicast.h"

#include "xep/0030-disco.h"

#define DISCO "http://jabber.org/protocol/disco#info"
#define ADDRESS "http://jabber.org/protocol/address"

/* ---- what is asked ----------------------------------------------------- */

static void
on_info(struct mod *m, struct stanza *iq)
{
	static const char *const features[] = { DISCO, ADDRESS, NULL };
	struct str node = elem_attr(stanza_payload(iq), AT_NODE);
	struct elem *query;

	if (node.n > 0) {
		stanza_refuse(iq, EL_ITEM_NOT_FOUND);
		return;
	}
	query = elem_add(stanza_result(iq), EL_DISCO_INFO);
	disco_add_identity(query, "service", "multicast", STR("Multicast"));
	disco_add_features(query, features);
	stanza_send_back(iq);
}

static void
on_iq(struct mod *m, struct stanza *iq)
{
	qname_t payload = elem_name(stanza_payload(iq));

	if (iq->type != IQ_GET) {
		stanza_refuse(iq, EL_SERVICE_UNAVAILABLE);
	} else if (payload == EL_DISCO_INFO) {
		on_info(m, iq);
	} else if (payload == EL_DISCO_ITEMS) {
		elem_add(stanza_result(iq), EL_DISCO_ITEMS);
		stanza_send_back(iq);
	} else {
		stanza_refuse(iq, EL_SERVICE_UNAVAILABLE);
	}
}

/* ---- addresses --------------------------------------------------------- */

enum how { TO, CC, BCC, REPLYTO, REPLYROOM, OFROM, NOREPLY, HOWS };

static const char *const hows[] = { "to", "cc", "bcc", "replyto", "replyroom",
	"ofrom", "noreply" };

struct address {
	struct elem *e;
	struct jid jid;
	enum how how;
	bool is_due; /* still to be delivered, by us or another service */
};

struct plan {
	struct elem *parent; /* <addresses/> */
	struct address *row; /* in the order of the elements */
	size_t count;
};

static enum how
how_of(const struct elem *e)
{
	size_t i = 0;

	while (i < HOWS && !elem_attr_is(e, AT_TYPE, hows[i]))
		i++;
	return (enum how)i;
}

/* EL_NONE, or what is wrong with it. */
static enum qname
address_read(struct arena *a, struct elem *e, struct address *r)
{
	struct str jid = elem_attr(e, AT_JID), uri = elem_attr(e, AT_URI);

	*r = (struct address){ .e = e, .how = how_of(e) };
	if (r->how == HOWS || (!str_is_none(jid) && !str_is_none(uri)))
		return EL_BAD_REQUEST;
	if (r->how == NOREPLY)
		return EL_NONE;
	if (!str_is_none(uri))
		return EL_JID_MALFORMED; /* of other networks */
	if (str_is_none(jid))
		return EL_BAD_REQUEST;
	if (jid_parse(a, jid, &r->jid) < 0)
		return EL_JID_MALFORMED;
	r->is_due = r->how <= BCC && !elem_attr_is(e, AT_DELIVERED, "true") &&
		    !elem_attr_is(e, AT_DELIVERED, "1");
	return EL_NONE;
}

/* Who is named twice gets it once. */
static void
plan_thin(struct plan *p)
{
	struct map seen = { 0 };

	for (size_t i = 0; i < p->count; i++) {
		struct address *r = &p->row[i];

		if (!r->is_due)
			continue;
		if (map_get(&seen, r->jid.full) != NULL)
			r->is_due = false;
		else
			map_set(&seen, r->jid.full, r);
	}
	map_fini(&seen);
}

/* Of a stanza that was looked at before, nothing can be wrong. */
static enum qname
plan_read(const struct stanza *st, size_t max, struct plan *p)
{
	struct elem *e;
	enum qname fault;
	size_t count;

	*p = (struct plan){ .parent = elem_child(st->root, EL_ADDRESSES) };
	if (p->parent == NULL || elem_next(p->parent, EL_ADDRESSES) != NULL)
		return EL_BAD_REQUEST;
	count = elem_count(p->parent, EL_ADDRESS);
	if (count > max)
		return EL_NOT_ACCEPTABLE;
	p->row = arena_zalloc(st->arena, (count + 1) * sizeof(*p->row));
	for (e = elem_child(p->parent, EL_ADDRESS); e != NULL;
	     e = elem_next(e, EL_ADDRESS)) {
		fault = address_read(st->arena, e, &p->row[p->count]);
		if (fault != EL_NONE)
			return fault;
		p->count++;
	}
	plan_thin(p);
	return EL_NONE;
}

/*
 * What recipients see: whom else it reached, and no blind copies. Who is at
 * `domain` (if that is not none) is left as he was, for the service there.
 */
static void
plan_mark(struct plan *p, struct str domain)
{
	for (size_t i = 0; i < p->count; i++) {
		struct address *r = &p->row[i];

		if (r->how > BCC ||
		    (r->is_due && str_eq(r->jid.domain, domain)))
			continue;
		if (r->how == BCC)
			elem_remove(r->e);
		else
			elem_set(r->e, AT_DELIVERED, STR("true"));
	}
}

/* ---- delivery ---------------------------------------------------------- */

static bool
is_batched(const struct plan *p, struct str domain)
{
	size_t n = 0;

	if (router_is_ours(domain))
		return false;
	for (size_t i = 0; i < p->count; i++)
		n += p->row[i].is_due && str_eq(p->row[i].jid.domain, domain);
	return n > 1;
}

/* What is for several of one other server, as one for it. */
static void
deliver_groups(struct mod *m, struct stanza *st, struct plan *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct str domain = p->row[i].jid.domain;
		struct stanza *part;
		struct plan of_part;

		if (!p->row[i].is_due || !is_batched(p, domain))
			continue;
		part = stanza_copy(st);
		must(plan_read(part, p->count, &of_part) == EL_NONE);
		plan_mark(&of_part, domain);
		for (size_t k = i; k < p->count; k++)
			if (str_eq(p->row[k].jid.domain, domain))
				p->row[k].is_due = false;
		reach_send(m, domain, part);
	}
}

static void
send_blind(const struct stanza *st, const struct jid *to)
{
	struct stanza *copy = stanza_copy(st);
	struct elem *e =
	    elem_add(elem_child(copy->root, EL_ADDRESSES), EL_ADDRESS);

	/* So that no service, of ours or another's, sends it on once more. */
	elem_set(e, AT_DELIVERED, STR("true"));
	elem_set(e, AT_TYPE, STR("bcc"));
	elem_set_copy(e, AT_JID, to->full);
	stanza_set_to(copy, to);
	router_send(copy);
}

void
multicast_deliver(struct mod *m, struct stanza *st, bool may_group)
{
	struct fanout *f;
	struct plan p;

	must(plan_read(st, SIZE_MAX, &p) == EL_NONE);
	if (may_group)
		deliver_groups(m, st, &p);
	plan_mark(&p, STR_NONE);
	for (size_t i = 0; i < p.count; i++)
		if (p.row[i].is_due && p.row[i].how == BCC)
			send_blind(st, &p.row[i].jid);
	f = fanout_new(st);
	for (size_t i = 0; i < p.count; i++)
		if (p.row[i].is_due && p.row[i].how != BCC)
			fanout_add(f, &p.row[i].jid);
	fanout_send(&f);
}

/* ---- the service ------------------------------------------------------- */

/* To everyone, if he is one of ours; or else to none. */
static bool
may_reach(const struct plan *p, bool is_own)
{
	if (is_own)
		return true;
	for (size_t i = 0; i < p->count; i++)
		if (p->row[i].is_due && !router_is_ours(p->row[i].jid.domain))
			return false;
	return true;
}

/* Who gets it now is not told again. */
static void
presence_gone(struct mod *m, struct stanza *st, const struct plan *p)
{
	struct map told = { 0 };

	for (size_t i = 0; i < p->count; i++)
		if (p->row[i].is_due)
			map_set(&told, p->row[i].jid.full, &p->row[i]);
	shown_end(m, st, &told);
	map_fini(&told);
}

static bool
presence_shown(struct mod *m, struct stanza *st, const struct plan *p, bool own)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->row[i].is_due &&
		    !shown_add(m, &st->from, own, &p->row[i].jid))
			return false;
	return true;
}

static void
on_addressed(struct mod *m, struct stanza *st)
{
	const struct multicast_options *o = mod_options(m);
	bool is_own = router_is_ours(st->from.domain);
	struct plan p;
	enum qname fault = plan_read(st, o->max, &p);

	if (fault == EL_NONE && !may_reach(&p, is_own))
		fault = EL_FORBIDDEN;
	if (fault == EL_NONE && st->type == PRESENCE_AVAILABLE &&
	    !presence_shown(m, st, &p, is_own))
		fault = EL_NOT_ACCEPTABLE;
	if (fault != EL_NONE) {
		stanza_refuse(st, fault);
		return;
	}
	if (st->type == PRESENCE_UNAVAILABLE)
		presence_gone(m, st, &p);
	multicast_deliver(m, st, st->kind == STANZA_MESSAGE);
}

static void
on_service(struct mod *m, struct stanza *st)
{
	bool has_any = elem_child(st->root, EL_ADDRESSES) != NULL;

	if (st->kind == STANZA_IQ && jid_is_bare(&st->to) &&
	    str_is_none(st->to.local)) {
		on_iq(m, st);
	} else if (st->type & (MESSAGE_ERROR | PRESENCE_ERROR)) {
		stanza_free(&st);
	} else if (!str_is_none(st->to.local) || !jid_is_bare(&st->to)) {
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	} else if (st->kind == STANZA_PRESENCE &&
		   !(st->type & (PRESENCE_AVAILABLE | PRESENCE_UNAVAILABLE))) {
		/* A roster knows of no such way. */
		if (has_any)
			stanza_refuse(st, EL_BAD_REQUEST);
		else
			stanza_free(&st);
	} else if (has_any || st->kind == STANZA_MESSAGE) {
		on_addressed(m, st);
	} else {
		if (st->type == PRESENCE_UNAVAILABLE)
			shown_end(m, st, NULL);
		stanza_free(&st);
	}
}

/* ---- the module -------------------------------------------------------- */

static void
multicast_start(struct mod *m)
{
	struct multicast *mc = mod_state(m);

	for (size_t i = 0; i < ARRAY_LEN(mc->shown.oldest); i++)
		list_init(&mc->shown.oldest[i]);
}

static void
multicast_stop(struct mod *m)
{
	reach_stop(m);
	shown_stop(m);
}

static const struct option options[] = {
	OPT_HOST("host", struct multicast_options, host, "multicast.@HOST@",
	    "the domain of the service"),
	OPT_UINT("max", struct multicast_options, max, "50", 1, 1000,
	    "addresses of one stanza"),
	OPT_UINT("presences", struct multicast_options, presences, "1000", 1,
	    100000,
	    "of so many users, and as many of other servers, it is remembered "
	    "to whom their presence was shown, so that it is taken back; if "
	    "there are more, from those who came first at once"),
	OPTIONS_END,
};

MODULE(multicast) = {
	.summary = "send one stanza to several recipients",
	.is_optional = true,
	.options_size = sizeof(struct multicast_options),
	.state_size = sizeof(struct multicast),
	.options = options,
	.service_option = "host",
	.service = on_service,
	.start = multicast_start,
	.stop = multicast_stop,
};
