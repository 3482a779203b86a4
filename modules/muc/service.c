/* SPDX-License-Identifier: MIT */
/*
 * The service's own address: what it can do (section 6.2), the rooms that are
 * public (6.3, by pages), names for new rooms (XEP-0307). Its home is the
 * worker of its domain.
 */
#include "modules/muc/muc.h"

#include "xep/0030-disco.h"
#include "xep/0059-rsm.h"

#define PAGE_MAX 500

bool
may_create(struct mod *m, const struct jid *who)
{
	const struct muc_options *o = mod_options(m);
	struct jid bare = jid_to_bare(who);

	if (host_is_admin(&bare) || o->create == CREATE_ALL)
		return true;
	return o->create == CREATE_LOCAL && host_find(who->domain) != NULL;
}

/* ---- disco#info -------------------------------------------------------- */

static enum verdict
on_info(struct mod *m, struct stanza *iq)
{
	static const char *const vars[] = { "http://jabber.org/protocol/muc",
		"http://jabber.org/protocol/muc#stable_id",
		"http://jabber.org/protocol/muc#unique",
		"http://jabber.org/protocol/disco#info",
		"http://jabber.org/protocol/disco#items",
		"http://jabber.org/protocol/rsm", "jabber:iq:register",
		"urn:xmpp:occupant-id:0", "urn:xmpp:ping", "vcard-temp", NULL };
	const struct muc_options *o = mod_options(m);
	struct elem *query;

	if (elem_attr(stanza_payload(iq), AT_NODE).n > 0)
		return stanza_refuse(iq, EL_ITEM_NOT_FOUND);
	query = elem_add(stanza_result(iq), EL_DISCO_INFO);
	disco_add_identity(query, "conference", "text", o->name);
	disco_add_features(query, vars);
	if (o->indicators)
		disco_add_feature(query, STR("urn:xmpp:rai:0"));
	return stanza_send_back(iq);
}

/* ---- disco#items ------------------------------------------------------- */

struct found {
	struct str local, name;
};

/* Of one worker: rooms that are in memory only. */
struct part {
	struct arena *arena;
	struct found *items;
	size_t count;
};

struct listing {
	struct stanza *iq;
	struct host *host;
	struct str service;
	struct rsm rsm;
	size_t limit;
	struct part *parts;
	struct found *temporary; /* in order */
	size_t temporary_count;
	struct found *page;
	size_t page_count;
	bool has_more;
};

static bool
is_listed(const struct room *r)
{
	return r->is_there && !r->is_locked && r->config.is_public &&
	       !r->config.is_persistent;
}

static void
collect(void *ctx, unsigned worker)
{
	struct listing *l = ctx;
	struct part *p = &l->parts[worker];
	struct mod *m = mod_find(l->host, "muc");
	struct muc *muc = m != NULL ? mod_state(m) : NULL;
	struct room *r;

	p->arena = arena_new(0);
	if (muc == NULL)
		return;
	p->items =
	    arena_alloc(p->arena, (muc->rooms.count + 1) * sizeof(*p->items));
	for (size_t i = 0; (r = map_next(&muc->rooms, &i)) != NULL;) {
		if (!is_listed(r))
			continue;
		p->items[p->count++] = (struct found){
			str_dup(p->arena, r->jid.local),
			str_dup(p->arena, r->config.name.n > 0 ? r->config.name
							       : r->jid.local)
		};
	}
}

static int
found_compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return str_cmp(x->local, y->local);
}

/* Copies what was found into the iq's arena, in order. */
static void
join_parts(struct listing *l)
{
	struct arena *a = l->iq->arena;
	size_t total = 0, n = 0;

	for (unsigned i = 0; i < loop_count(); i++)
		total += l->parts[i].count;
	l->temporary = arena_alloc(a, (total + 1) * sizeof(*l->temporary));
	for (unsigned i = 0; i < loop_count(); i++) {
		struct part *p = &l->parts[i];

		for (size_t k = 0; k < p->count; k++)
			l->temporary[n++] =
			    (struct found){ str_dup(a, p->items[k].local),
				    str_dup(a, p->items[k].name) };
		arena_free(&p->arena);
	}
	l->temporary_count = n;
	qsort(l->temporary, n, sizeof(*l->temporary), found_compare);
}

static bool
is_backwards(const struct listing *l)
{
	return !str_is_none(l->rsm.before);
}

/* In the range that is asked for, in the order of the page. */
static bool
is_wanted(const struct listing *l, struct str local)
{
	if (is_backwards(l))
		return l->rsm.before.n == 0 ||
		       str_cmp(local, l->rsm.before) < 0;
	return str_is_none(l->rsm.after) || str_cmp(local, l->rsm.after) > 0;
}

static const struct found *
next_temporary(const struct listing *l, size_t *i)
{
	while (*i < l->temporary_count) {
		size_t at = is_backwards(l) ? l->temporary_count - 1 - *i : *i;

		++*i;
		if (is_wanted(l, l->temporary[at].local))
			return &l->temporary[at];
	}
	return NULL;
}

static bool
goes_first(const struct listing *l, struct str a, struct str b)
{
	int order = str_cmp(a, b);

	return is_backwards(l) ? order > 0 : order < 0;
}

static void
merge(struct listing *l, const struct kv_item *kept, size_t count)
{
	struct arena *a = l->iq->arena;
	size_t i = 0, k = 0;
	const struct found *t = next_temporary(l, &i);

	l->page = arena_alloc(a, (l->limit + 1) * sizeof(*l->page));
	while (l->page_count < l->limit && (t != NULL || k < count)) {
		struct found *f = &l->page[l->page_count++];

		if (t != NULL &&
		    (k == count || goes_first(l, t->local, kept[k].key))) {
			*f = *t;
			t = next_temporary(l, &i);
		} else {
			f->local = str_dup(a, kept[k].key);
			f->name = str_dup(a, kept[k].value);
			k++;
		}
	}
	l->has_more = t != NULL || k < count;
}

static void
send_page(struct listing *l, uint64_t total)
{
	struct stanza *iq = l->iq;
	struct arena *a = iq->arena;
	struct elem *query = elem_new(a, EL_DISCO_ITEMS), *item;
	struct str first = STR_NONE, last = STR_NONE;
	size_t n = l->page_count;

	for (size_t i = 0; i < n; i++) {
		const struct found *f =
		    &l->page[is_backwards(l) ? n - 1 - i : i];
		struct jid jid = jid_make(a, f->local, l->service, STR_NONE);

		item = elem_add(query, EL_DISCO_ITEM);
		elem_set(item, AT_JID, jid.full);
		elem_set(item, AT_NAME, f->name);
		if (i == 0)
			first = f->local;
		last = f->local;
	}
	if (l->rsm.is_there || l->has_more)
		rsm_add(query, first, last, (int64_t)total);
	elem_append(stanza_result(iq), query);
	stanza_send_back(iq);
}

static void
on_count(void *ctx, int err, uint64_t count)
{
	struct listing *l = ctx;

	if (err < 0)
		stanza_refuse(l->iq, EL_INTERNAL_SERVER_ERROR);
	else
		send_page(l, count + l->temporary_count);
}

static void
on_kept(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct listing *l = ctx;

	if (err < 0) {
		stanza_refuse(l->iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	merge(l, items, count);
	kv_count(l->service, STORE_PUBLIC, on_count, l);
}

static void
on_collected(void *ctx)
{
	struct listing *l = ctx;
	struct str from = is_backwards(l) ? l->rsm.before : l->rsm.after;

	join_parts(l);
	kv_list(l->service, STORE_PUBLIC, from.n > 0 ? from : STR_NONE,
	    is_backwards(l), l->limit + 1, on_kept, l);
}

static enum verdict
on_items(struct mod *m, struct stanza *iq)
{
	struct listing *l = arena_new_of(iq->arena, struct listing);

	if (elem_attr(stanza_payload(iq), AT_NODE).n > 0)
		return stanza_refuse(iq, EL_ITEM_NOT_FOUND);
	if (rsm_read(stanza_payload(iq), &l->rsm) < 0)
		return stanza_refuse(iq, EL_BAD_REQUEST);
	l->iq = iq;
	l->host = mod_host(m);
	l->service = str_dup(iq->arena, mod_service(m)->full);
	l->limit = PAGE_MAX;
	if (l->rsm.has_max && l->rsm.max < PAGE_MAX)
		l->limit = (size_t)l->rsm.max;
	l->parts = arena_zalloc(iq->arena, loop_count() * sizeof(*l->parts));
	worker_gather(collect, on_collected, l);
	return STANZA_DONE;
}

/* ---- names for rooms --------------------------------------------------- */

static enum verdict
on_unique(struct mod *m, struct stanza *iq)
{
	char *id = arena_bytes(iq->arena, UUID_LEN + 1);

	if (!may_create(m, &iq->from))
		return stanza_refuse(iq, EL_NOT_ALLOWED);
	uuid7(id);
	elem_add_text(stanza_result(iq), EL_MUC_UNIQUE, str_mem(id, UUID_LEN));
	return stanza_send_back(iq);
}

static enum verdict
on_ping(struct mod *m, struct stanza *iq)
{
	return stanza_reply(iq);
}

static const struct {
	enum qname payload;
	int types;
	enum verdict (*fn)(struct mod *m, struct stanza *iq);
} routes[] = {
	{ EL_DISCO_INFO, IQ_GET, on_info },
	{ EL_DISCO_ITEMS, IQ_GET, on_items },
	{ EL_MUC_UNIQUE, IQ_GET, on_unique },
	{ EL_REGISTER, IQ_GET | IQ_SET, service_register },
	{ EL_PING, IQ_GET, on_ping },
	{ EL_MUCSUB_SUBSCRIPTIONS, IQ_GET, service_subscriptions },
};

void
service_stanza(struct mod *m, struct stanza *st)
{
	enum qname payload = elem_name(stanza_payload(st));

	if (st->kind == STANZA_PRESENCE)
		service_presence(m, st);
	if (st->kind == STANZA_PRESENCE ||
	    (st->kind == STANZA_MESSAGE &&
		blocklist_message(((struct muc *)mod_state(m))->rtbl, st))) {
		stanza_free(&st);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (st->kind == STANZA_IQ && jid_is_bare(&st->to) &&
		    routes[i].payload == payload &&
		    routes[i].types & (int)st->type) {
			routes[i].fn(m, st);
			return;
		}
	stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
}
