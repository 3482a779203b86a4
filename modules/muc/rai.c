/* SPDX-License-Identifier: MIT */
/*
 * XEP-0437: a session that asks the service for it is told of activity in the
 * rooms where its account is a member and that it is not in: once for each,
 * until it has been there. All workers know who has asked; each room's own
 * keeps who has been told of it.
 */
#include "modules/muc/muc.h"

/* So many rooms are looked at when somebody asks. */
#define ROOMS_MAX 200

struct told {
	struct str local;
	char text[];
};

struct indicator {
	struct str jid;		/* full: the key */
	struct indicator *next; /* of the same account */
	struct map told;	/* local parts of rooms whose home is here */
	uint32_t bare_len;
	char text[];
};

static struct str
bare_of(const struct indicator *i)
{
	return str_sub(i->jid, 0, i->bare_len);
}

/* ---- what each worker knows -------------------------------------------- */

static struct indicator *
find(const struct muc *muc, const struct jid *jid)
{
	struct indicator *i = map_get(&muc->indicators, jid->bare);

	while (i != NULL && !str_eq(i->jid, jid->full))
		i = i->next;
	return i;
}

static void
indicator_free(struct indicator *i)
{
	struct told *t;

	for (size_t k = 0; (t = map_next(&i->told, &k)) != NULL;)
		xfree(t);
	map_fini(&i->told);
	xfree(i);
}

static void
forget(struct muc *muc, const struct jid *jid)
{
	struct indicator *i = find(muc, jid);
	struct indicator *first = map_get(&muc->indicators, jid->bare);

	if (i == NULL)
		return;
	/* The map's key is a view of the first's. */
	map_del(&muc->indicators, jid->bare);
	if (first == i) {
		first = i->next;
	} else {
		struct indicator *before = first;

		while (before->next != i)
			before = before->next;
		before->next = i->next;
	}
	if (first != NULL)
		map_set(&muc->indicators, bare_of(first), first);
	indicator_free(i);
}

static void
add(struct muc *muc, const struct jid *jid)
{
	struct indicator *i = xzalloc(sizeof(*i) + jid->full.n);

	forget(muc, jid);
	memcpy(i->text, jid->full.p, jid->full.n);
	i->jid = str_mem(i->text, jid->full.n);
	i->bare_len = (uint32_t)jid->bare.n;
	i->next = map_get(&muc->indicators, jid->bare);
	map_del(&muc->indicators, jid->bare);
	map_set(&muc->indicators, bare_of(i), i);
	muc->indicator_epoch++;
}

void
indicators_clear(struct muc *muc)
{
	struct indicator *i, *next;

	for (size_t k = 0; (i = map_next(&muc->indicators, &k)) != NULL;)
		for (; i != NULL; i = next) {
			next = i->next;
			indicator_free(i);
		}
	map_fini(&muc->indicators);
}

/* False when it had been told of that room before. */
static bool
note_told(struct indicator *i, struct str local)
{
	struct told *t;

	if (map_get(&i->told, local) != NULL)
		return false;
	t = xmalloc(sizeof(*t) + local.n);
	memcpy(t->text, local.p, local.n);
	t->local = str_mem(t->text, local.n);
	map_set(&i->told, t->local, t);
	return true;
}

/* ---- something is said ------------------------------------------------- */

static void
add_activity(struct elem *rai, struct str room)
{
	elem_add_text(rai, EL_RAI_ACTIVITY, str_dup(elem_arena(rai), room));
}

static void
send_one(const struct room *r, const struct indicator *i)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct jid to = jid_of(str_dup(st->arena, i->jid));

	stanza_set_from(st, mod_service(r->mod));
	stanza_set_to(st, &to);
	add_activity(elem_add(st->root, EL_RAI), r->jid.full);
	router_send(st);
}

void
indicators_tell(struct room *r)
{
	struct muc *muc = mod_state(r->mod);
	const struct affiliation *a;
	struct indicator *i;

	/* Nobody is new, and nobody left since all were told. */
	if (muc->indicators.count == 0 ||
	    r->indicator_epoch == muc->indicator_epoch)
		return;
	r->indicator_epoch = muc->indicator_epoch;
	for (size_t k = 0; (a = map_next(&r->affs, &k)) != NULL;) {
		if (a->aff < AFF_MEMBER)
			continue;
		i = map_get(&muc->indicators, a->jid);
		for (; i != NULL; i = i->next)
			if (occupant_by_jid(r, i->jid) == NULL &&
			    note_told(i, r->jid.local))
				send_one(r, i);
	}
}

/* ---- somebody comes, somebody goes ------------------------------------- */

void
indicators_entered(struct room *r, const struct jid *who)
{
	struct muc *muc = mod_state(r->mod);
	struct indicator *i = find(muc, who);

	if (i != NULL)
		xfree(map_del(&i->told, r->jid.local));
}

/* From now on there may be something new to him. */
void
indicators_left(struct room *r, const struct occupant *o)
{
	struct muc *muc = mod_state(r->mod);
	struct affiliation *a = aff_find(r, occupant_bare(o));
	struct store_write *w;

	muc->indicator_epoch++;
	if (a == NULL || a->aff < AFF_MEMBER || !r->config.is_archived ||
	    !room_options(r)->indicators)
		return;
	a->left = r->left = MAX(clock_real(), r->spoken);
	w = room_write(r);
	save_aff(r, w, a);
	if (w != NULL)
		store_commit(&w, NULL, NULL);
}

/* ---- asking ------------------------------------------------------------ */

struct candidate {
	struct jid room;
	int64_t left;
	bool is_news;
};

struct asked {
	struct arena *arena; /* it lives in it */
	struct host *host;
	struct jid who;
	struct str service, prefix;
	bool is_end;
	struct candidate *list;
	size_t count, at;
};

static void
asked_free(struct asked *q)
{
	struct arena *a = q->arena;

	arena_free(&a);
}

static void
on_marked(void *ctx)
{
	struct asked *q = ctx;
	struct jid from = jid_of(q->service);
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *rai = elem_add(st->root, EL_RAI);

	stanza_set_from(st, &from);
	stanza_set_to(st, &q->who);
	for (size_t i = 0; i < q->count; i++)
		if (q->list[i].is_news)
			add_activity(rai, q->list[i].room.full);
	if (elem_child(rai, EL_RAI_ACTIVITY) != NULL)
		router_send(st);
	else
		stanza_free(&st);
	asked_free(q);
}

/* What is in memory is ahead of the store. */
static bool
is_news(const struct room *r, const struct candidate *c, const struct jid *who)
{
	const struct affiliation *a;

	if (r == NULL || !r->is_there)
		return c->is_news;
	a = aff_find(r, who->bare);
	if (a == NULL || a->aff < AFF_MEMBER ||
	    occupant_by_jid(r, who->full) != NULL)
		return false;
	if (r->spoken > 0 || a->left > c->left)
		return r->spoken > a->left;
	return c->is_news;
}

/* What it was told of meanwhile is no news either. */
static void
mark_part(void *ctx, unsigned worker)
{
	struct asked *q = ctx;
	struct mod *m = mod_find(q->host, "muc");
	struct indicator *i = m != NULL ? find(mod_state(m), &q->who) : NULL;

	for (size_t k = 0; k < q->count; k++) {
		struct candidate *c = &q->list[k];

		if (account_home(c->room.bare) != loop_self())
			continue;
		c->is_news = i != NULL &&
			     is_news(room_peek(m, c->room.bare), c, &q->who) &&
			     note_told(i, c->room.local);
	}
}

static void look(struct asked *q);

static void
on_looked(void *ctx, int err, const struct archive_page *page)
{
	struct asked *q = ctx;

	q->list[q->at++].is_news = err == 0 && page->count > 0;
	look(q);
}

static void
look(struct asked *q)
{
	struct candidate *c = &q->list[q->at];
	struct archive_filter filter = { .limit = 1 };

	if (q->at == q->count) {
		worker_gather(mark_part, on_marked, q);
		return;
	}
	filter.start = c->left + 1;
	archive_find(c->room.full, &filter, on_looked, q);
}

/* The index has: affiliation, space, when he left it last. */
static void
on_rooms(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct asked *q = ctx;

	q->list = arena_alloc(q->arena, (count + 1) * sizeof(*q->list));
	for (size_t i = 0; i < count; i++) {
		struct str rest = items[i].value;
		struct candidate *c = &q->list[q->count];
		enum aff aff;

		if (!str_has_prefix(items[i].key, q->prefix))
			break;
		if (!aff_parse(str_cut(&rest, ' '), &aff) || aff < AFF_MEMBER)
			continue;
		if (str_is_none(rest) || clock_parse(rest, &c->left) < 0)
			c->left = 0;
		c->is_news = false;
		c->room = jid_make(q->arena,
		    str_skip(items[i].key, q->prefix.n), q->service, STR_NONE);
		q->count++;
	}
	look(q);
}

static void
on_known(void *ctx)
{
	struct asked *q = ctx;

	if (q->is_end)
		asked_free(q);
	else
		kv_list(q->service, STORE_AFF_ROOMS, q->prefix, false,
		    ROOMS_MAX, on_rooms, q);
}

static void
know_part(void *ctx, unsigned worker)
{
	const struct asked *q = ctx;
	struct mod *m = mod_find(q->host, "muc");

	if (m == NULL)
		return;
	if (q->is_end)
		forget(mod_state(m), &q->who);
	else
		add(mod_state(m), &q->who);
}

/* Only our own: what they begin is sure to end with their sessions. */
void
service_presence(struct mod *m, struct stanza *st)
{
	const struct muc_options *o = mod_options(m);
	bool is_end = st->type == PRESENCE_UNAVAILABLE;
	struct arena *a;
	struct asked *q;

	if (!o->indicators || host_find(st->from.domain) == NULL ||
	    str_is_none(st->from.local) || str_is_none(st->from.resource) ||
	    (is_end ? find(mod_state(m), &st->from) == NULL
		    : st->type != PRESENCE_AVAILABLE ||
			  elem_child(st->root, EL_RAI) == NULL))
		return;
	a = arena_new(0);
	q = arena_new_of(a, struct asked);
	q->arena = a;
	q->host = mod_host(m);
	q->who = jid_of(str_dup(a, st->from.full));
	q->service = str_dup(a, mod_service(m)->full);
	q->prefix = index_key(a, q->who.bare, STR(""));
	q->is_end = is_end;
	worker_gather(know_part, on_known, q);
}
