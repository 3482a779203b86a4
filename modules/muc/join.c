/* SPDX-License-Identifier: MIT */
/*
 * Entering a room (section 7.2): may he, under that name? Then in this order:
 * who is there, himself, what was said, the subject. What was said is read
 * from the archive first, and what he sends and what others say meanwhile
 * waits, so that nothing is missed or told twice.
 */
#include "modules/muc/sub.h"

#define JOIN_WAITING_MAX 100
#define MISSED_MAX 200
/* Beyond the limit, for those who have to keep order (section 7.2.9). */
#define SPARE 10

/* ---- may he? ----------------------------------------------------------- */

static bool
is_blank(struct str nick)
{
	for (size_t i = 0; i < nick.n; i++)
		if (nick.p[i] != ' ')
			return false;
	return true;
}

enum qname
nick_check(const struct room *r, const struct jid *who, struct str nick,
    const char **text_r)
{
	const struct occupant *o = occupant_by_nick(r, nick);
	const struct affiliation *a = aff_by_nick(r, nick);
	const struct sub *s = sub_by_nick(r, nick);

	*text_r = NULL;
	if (is_blank(nick) || nick.n > NICK_MAX) {
		*text_r = "That is no nickname";
		return EL_NOT_ACCEPTABLE;
	}
	if ((o != NULL && !str_eq(occupant_bare(o), who->bare)) ||
	    (a != NULL && !str_eq(a->jid, who->bare)) ||
	    (s != NULL && !str_eq(s->jid, who->bare)) ||
	    nick_is_taken(r, nick, who->bare)) {
		*text_r = "That nickname belongs to somebody else";
		return EL_CONFLICT;
	}
	return EL_NONE;
}

static uint64_t
limit_of(const struct room *r, enum aff aff)
{
	uint64_t limit = room_options(r)->max_users;

	if (r->config.max_users > 0 && r->config.max_users < limit)
		limit = r->config.max_users;
	return aff >= AFF_ADMIN ? limit + SPARE : limit;
}

static bool
has_password(const struct room *r, const struct elem *presence)
{
	struct str given =
	    elem_child_text(elem_child(presence, EL_MUC), EL_MUC_PASSWORD);

	return !r->config.has_password ||
	       str_eq_secret(given, r->config.password);
}

struct refusal {
	enum qname condition;
	const char *type, *text;
};

static struct refusal
check_entry(const struct room *r, const struct stanza *st)
{
	enum aff aff = aff_of(r, &st->from), right = right_of(r, &st->from);
	struct refusal no = { EL_NONE, NULL, NULL };

	if (r->is_locked && right < AFF_OWNER)
		return (struct refusal){ EL_ITEM_NOT_FOUND, NULL,
			"The room is not ready yet" };
	if (right == AFF_OUTCAST || rtbl_bans(r, &st->from))
		return (struct refusal){ EL_FORBIDDEN, NULL,
			"You are banned from this room" };
	if (r->config.is_members_only && right < AFF_MEMBER)
		return (struct refusal){ EL_REGISTRATION_REQUIRED, NULL,
			"This room is for members only" };
	if (!has_password(r, st->root) && right < AFF_OWNER)
		return (struct refusal){ EL_NOT_AUTHORIZED, NULL,
			"This room needs a password" };
	no.condition = nick_check(r, &st->from, st->to.resource, &no.text);
	if (no.condition != EL_NONE)
		return (struct refusal){ no.condition, "cancel", no.text };
	if (room_size(r) >= limit_of(r, aff) &&
	    occupant_by_jid(r, st->from.full) == NULL)
		return (struct refusal){ EL_SERVICE_UNAVAILABLE, "wait",
			"The room is full" };
	return no;
}

/* ---- what was said ----------------------------------------------------- */

struct past *
past_new(struct str id, struct str xml)
{
	struct past *p = xzalloc(sizeof(*p) + id.n + xml.n);

	if (id.n > 0)
		memcpy(p->text, id.p, id.n);
	memcpy(p->text + id.n, xml.p, xml.n);
	p->id = str_mem(p->text, id.n);
	p->xml = str_mem(p->text + id.n, xml.n);
	return p;
}

void
past_free(struct past *p)
{
	list_del(&p->node);
	xfree(p);
}

void
past_drop(struct room *r, struct str id)
{
	struct past *p;

	LIST_EACH(p, &r->past, struct past, node)
	if (str_eq(p->id, id)) {
		past_free(p);
		r->past_count--;
	}
}

struct wish {
	uint64_t stanzas, chars;
	int64_t since; /* 0: all */
};

static struct wish
wish_of(const struct room *r, const struct elem *presence)
{
	const struct elem *h =
	    elem_child(elem_child(presence, EL_MUC), EL_MUC_HISTORY);
	struct wish w = { r->config.history, UINT64_MAX, 0 };
	uint64_t n;

	if (str_to_u64(elem_attr(h, AT_MAXSTANZAS), &n) && n < w.stanzas)
		w.stanzas = n;
	if (str_to_u64(elem_attr(h, AT_MAXCHARS), &n))
		w.chars = n;
	if (clock_parse(elem_attr(h, AT_SINCE), &w.since) < 0)
		w.since = 0;
	if (str_to_u64(elem_attr(h, AT_SECONDS), &n)) {
		int64_t since = clock_real();

		since -= n < 100000000 ? (int64_t)SECONDS(n) : since;
		if (since > w.since)
			w.since = since;
		if (n == 0)
			w.stanzas = 0;
	}
	if (w.chars == 0)
		w.stanzas = 0;
	return w;
}

static void
send_past(struct occupant *o, struct str id, struct str xml)
{
	struct room *r = o->room;
	struct arena *a = arena_new(xml.n * 3);
	struct elem *root =
			xml_parse(a, str_dup(a, xml), NULL, NS_CLIENT, NULL),
		    *e;
	struct jid to = occupant_jid(o);
	struct stanza *st;
	enum qname why;
	int64_t when;

	if (root == NULL) {
		arena_free(&a);
		return;
	}
	if (stanza_of(root, &st, &why) < 0) {
		stanza_free(&st);
		return;
	}
	stanza_set_to(st, &to);
	if (!may_see_jids(r, o) && (e = elem_child(root, EL_MUC_USER)))
		elem_remove(e);
	if (uuid7_time(id, &when) == 0)
		stanza_delay(st, r->jid.full, when);
	e = elem_add(root, EL_STANZA_ID);
	elem_set_copy(e, AT_BY, r->jid.full);
	elem_set_copy(e, AT_ID, id);
	router_send(st);
}

/* Of what is left of a retracted message there is nothing to show. */
static bool
is_worth_showing(struct str xml)
{
	struct arena *a = arena_new(xml.n * 3);
	struct elem *e = xml_parse(a, str_dup(a, xml), NULL, NS_CLIENT, NULL);
	bool is_worth = e != NULL && elem_child(e, EL_RETRACTED) == NULL &&
			(elem_child(e, EL_BODY) != NULL || message_is_kept(e));

	arena_free(&a);
	return is_worth;
}

struct said {
	struct str id, xml;
};

/* The latest that fit. */
static void
send_history(struct occupant *o, const struct said *said, size_t count,
    const struct wish *w)
{
	uint64_t chars = 0;
	size_t first = count;

	while (first > 0 && count - first < w->stanzas &&
	       chars + said[first - 1].xml.n <= w->chars) {
		first--;
		chars += said[first].xml.n;
	}
	for (; first < count; first++)
		if (is_worth_showing(said[first].xml))
			send_past(o, said[first].id, said[first].xml);
}

static void
send_subject(struct occupant *o)
{
	struct room *r = o->room;
	struct jid to = occupant_jid(o);
	struct stanza *st = NULL;
	enum qname why;

	if (!str_is_none(r->subject)) {
		struct arena *a = arena_new(r->subject.n * 3);
		struct elem *e =
		    xml_parse(a, str_dup(a, r->subject), NULL, NS_CLIENT, NULL);

		if (e == NULL)
			arena_free(&a);
		else if (stanza_of(e, &st, &why) < 0)
			stanza_free(&st);
	}
	if (st == NULL) {
		st = stanza_new(EL_MESSAGE);
		stanza_set_type(st, MESSAGE_GROUPCHAT);
		stanza_set_from(st, &r->jid);
		elem_add(st->root, EL_SUBJECT);
	}
	stanza_set_to(st, &to);
	router_send(st);
}

/* ---- he is in ---------------------------------------------------------- */

static void
tell_joined(struct occupant *o, bool is_new, bool is_other, bool is_versioned)
{
	const struct config *c = &o->room->config;
	struct note n = { .o = o };
	size_t i = 0;

	if (c->whois == 1)
		n.own_codes[i++] = 100;
	if (c->is_logged)
		n.own_codes[i++] = 170;
	if (is_new)
		n.own_codes[i++] = 201;
	if (is_other)
		note_tell_others(&n);
	n.tells_version = is_versioned;
	note_tell_own(&n, o);
	/* His other clients learn what this one says. */
	if (is_other)
		for (struct occupant *s = ring_next(o, o); s != NULL;
		     s = ring_next(o, s))
			note_tell_own(&(struct note){ .o = o }, s);
}

/* Comes again: he has lost track, and is told everything anew. */
static struct occupant *
again(struct room *r, struct stanza *st, bool *is_other_r)
{
	struct occupant *o = occupant_by_jid(r, st->from.full);
	struct str before = str_dup(st->arena, o->presence);

	occupant_heard(o);
	*is_other_r =
	    presence_keep(o, st->root) && !str_eq(before, o->presence);
	return o;
}

static struct occupant *
enter(struct room *r, struct stanza *st)
{
	enum aff aff = aff_of(r, &st->from);
	enum role role = role_by_default(r, MAX(aff, AFF_NONE));
	struct occupant *first = occupant_by_nick(r, st->to.resource), *o;

	if (first != NULL)
		role = (enum role)first->role;
	o = occupant_new(r, &st->from, st->to.resource, aff, role);
	presence_keep(o, st->root);
	return o;
}

static void
join_finish(struct room *r, struct stanza *st, const struct said *said,
    size_t count, bool is_new)
{
	bool is_other = true, is_versioned;
	struct wish w = wish_of(r, st->root);
	struct occupant *o = occupant_by_jid(r, st->from.full);

	o = o != NULL ? again(r, st, &is_other) : enter(r, st);
	indicators_entered(r, &st->from);
	is_versioned = mav_answer(r, st);
	presence_show_all(o);
	tell_joined(o, is_new, is_other, is_versioned);
	avatar_tell(r, o);
	send_history(o, said, count, &w);
	send_subject(o);
	stanza_free(&st);
}

/* ---- waiting for the archive ------------------------------------------- */

struct join *
join_find(const struct room *r, struct str full)
{
	struct join *j;

	LIST_EACH(j, &r->joins, struct join, node)
	if (str_eq(j->st->from.full, full))
		return j;
	return NULL;
}

void
join_wait(struct join *j, struct stanza *st)
{
	if (j->count >= JOIN_WAITING_MAX) {
		stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
		return;
	}
	list_add(&j->waiting, &st->node);
	j->count++;
}

void
joins_note(struct room *r, struct str id, struct str xml)
{
	struct join *j;
	struct past *p;

	LIST_EACH(j, &r->joins, struct join, node)
	{
		p = past_new(id, xml);
		list_add(&j->missed, &p->node);
		if (j->missed_count < MISSED_MAX)
			j->missed_count++;
		else
			past_free(LIST_FIRST(&j->missed, struct past, node));
	}
}

/* Its waiting stanzas go on, behind what it has led to. */
static void
join_end(struct join *j)
{
	struct room *r = j->room;
	struct stanza *st;
	struct past *p;

	list_del(&j->node);
	while ((st = LIST_FIRST(&j->waiting, struct stanza, node)) != NULL) {
		list_del(&st->node);
		room_put(r, st);
	}
	LIST_EACH(p, &j->missed, struct past, node)
	past_free(p);
	xfree(j);
	room_release(r);
}

static size_t
collect(
    const struct join *j, const struct archive_page *page, struct said *said)
{
	struct past *p;
	size_t n = 0;

	for (size_t i = 0; page != NULL && i < page->count; i++)
		said[n++] =
		    (struct said){ page->items[i].id, page->items[i].xml };
	LIST_EACH(p, &j->missed, struct past, node)
	if (n == 0 || str_cmp(said[n - 1].id, p->id) < 0)
		said[n++] = (struct said){ p->id, p->xml };
	return n;
}

static void
on_history(void *ctx, int err, const struct archive_page *page)
{
	struct join *j = ctx;
	struct room *r = j->room;
	struct stanza *st = j->st;
	struct refusal no;
	struct said *said;
	size_t count;

	if (err < 0)
		page = NULL;
	said = arena_alloc(st->arena,
	    (j->missed_count + 1 + (page != NULL ? page->count : 0)) *
		sizeof(*said));
	count = collect(j, page, said);
	/* Much may have happened meanwhile. */
	no = check_entry(r, st);
	if (!r->is_there)
		room_refuse(r, st, EL_ITEM_NOT_FOUND, NULL, NULL);
	else if (no.condition != EL_NONE)
		room_refuse(r, st, no.condition, no.type, no.text);
	else
		join_finish(r, st, said, count, false);
	join_end(j);
}

static void
join_by_archive(struct room *r, struct stanza *st, const struct wish *w)
{
	struct archive_filter filter = {
		.start = w->since,
		.is_backwards = true,
		.limit = (size_t)w->stanzas,
	};
	struct join *j = xzalloc(sizeof(*j));

	j->room = r;
	j->st = st;
	list_init(&j->waiting);
	list_init(&j->missed);
	list_add(&r->joins, &j->node);
	room_hold(r);
	archive_find(r->jid.full, &filter, on_history, j);
}

static void
join_by_memory(struct room *r, struct stanza *st, const struct wish *w)
{
	struct said *said =
	    arena_alloc(st->arena, (r->past_count + 1) * sizeof(*said));
	struct past *p;
	size_t n = 0;
	int64_t when;

	LIST_EACH(p, &r->past, struct past, node)
	if (uuid7_time(p->id, &when) == 0 && when >= w->since)
		said[n++] = (struct said){ p->id, p->xml };
	join_finish(r, st, said, n, false);
}

static void
join_new(struct room *r, struct stanza *st)
{
	const struct muc *muc = mod_state(r->mod);
	const char *text;
	enum qname why = nick_check(r, &st->from, st->to.resource, &text);

	if (!may_create(r->mod, &st->from)) {
		room_refuse(r, st, EL_NOT_ALLOWED, NULL,
		    "You may not create rooms here");
	} else if (why != EL_NONE) {
		room_refuse(r, st, why, "cancel", text);
	} else if (muc->rooms.count > room_options(r)->max_rooms) {
		room_refuse(r, st, EL_RESOURCE_CONSTRAINT, NULL, NULL);
	} else {
		room_create(r, &st->from);
		r->is_locked = true;
		join_finish(r, st, NULL, 0, true);
	}
}

void
join_room(struct room *r, struct stanza *st)
{
	struct wish w = wish_of(r, st->root);
	struct refusal no;

	if (!r->is_there) {
		join_new(r, st);
		return;
	}
	no = check_entry(r, st);
	if (no.condition != EL_NONE)
		room_refuse(r, st, no.condition, no.type, no.text);
	else if (w.stanzas == 0)
		join_finish(r, st, NULL, 0, false);
	else if (r->config.is_archived)
		join_by_archive(r, st, &w);
	else
		join_by_memory(r, st, &w);
}
