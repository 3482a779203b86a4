/* SPDX-License-Identifier: MIT */
/*
 * Who is interested in what: contacts and sessions that are available, and
 * what their capabilities (XEP-0115) say. A worker keeps those that its
 * accounts have met lately, if their hash is right; others count for the one
 * address that sent them. Each is asked for once, however many have it.
 */
#include "core/hooks.h"
#include "core/pubsub_impl.h"

#include "xep/0115-caps.h"

#define CACHE_MAX 2000
#define NAMES_MAX 256
#define CONTACTS_MAX 5000
#define ASK_TIMEOUT SECONDS(60)

/* The nodes in which clients of this kind are interested. */
struct caps {
	struct list lru; /* in the cache, or unlinked */
	unsigned refs;
	struct str key; /* heap */
	size_t count;
	struct str names[]; /* heap */
};

struct enquiry {
	struct str key;	      /* heap */
	struct str node, ver; /* heap */
	bool is_shared;	      /* its answer can be verified */
	struct list contacts;
	struct contact *asked;
};

static _Thread_local struct {
	unsigned users; /* struct pubsub */
	struct map by_key, enquiries;
	struct list lru; /* the latest first */
} here;

/* ---- the cache --------------------------------------------------------- */

static void
caps_unref(struct caps **capsp)
{
	struct caps *caps = *capsp;

	*capsp = NULL;
	if (caps == NULL || --caps->refs > 0)
		return;
	for (size_t i = 0; i < caps->count; i++)
		str_free(&caps->names[i]);
	str_free(&caps->key);
	xfree(caps);
}

static void
cache_drop(struct caps *caps)
{
	map_del(&here.by_key, caps->key);
	list_del(&caps->lru);
	caps_unref(&caps);
}

static void
cache_add(struct caps *caps)
{
	if (here.by_key.count >= CACHE_MAX)
		cache_drop(CONTAINER_OF(here.lru.prev, struct caps, lru));
	caps->refs++;
	map_set(&here.by_key, caps->key, caps);
	list_push(&here.lru, &caps->lru);
}

static struct caps *
cache_find(struct str key)
{
	struct caps *caps = map_get(&here.by_key, key);

	if (caps != NULL) {
		list_del(&caps->lru);
		list_push(&here.lru, &caps->lru);
	}
	return caps;
}

void
caps_use(void)
{
	if (here.users++ == 0)
		list_init(&here.lru);
}

void
caps_unuse(void)
{
	struct caps *caps;

	if (--here.users > 0)
		return;
	while ((caps = LIST_FIRST(&here.lru, struct caps, lru)) != NULL)
		cache_drop(caps);
	map_fini(&here.by_key);
	map_fini(&here.enquiries);
}

static struct caps *
caps_of(struct str key, const struct elem *query)
{
	struct str suffix = STR("+notify");
	struct elem *e = elem_child(query, EL_DISCO_FEATURE);
	struct caps *caps =
	    xzalloc(sizeof(*caps) + NAMES_MAX * sizeof(struct str));

	caps->key = str_heap(key);
	for (; e != NULL && caps->count < NAMES_MAX;
	     e = elem_next(e, EL_DISCO_FEATURE)) {
		struct str var = elem_attr(e, AT_VAR);

		if (str_has_suffix(var, suffix) && var.n <= PUBSUB_ID_MAX)
			caps->names[caps->count++] =
			    str_heap(str_sub(var, 0, var.n - suffix.n));
	}
	return xrealloc(caps, sizeof(*caps) + caps->count * sizeof(struct str));
}

bool
contact_wants(const struct contact *c, struct str node)
{
	for (size_t i = 0; c->caps != NULL && i < c->caps->count; i++)
		if (str_eq(c->caps->names[i], node))
			return true;
	return false;
}

/* ---- enquiries --------------------------------------------------------- */

static void ask(struct enquiry *enquiry);

static void
enquiry_free(struct enquiry *enquiry)
{
	iq_forget(enquiry);
	if (map_get(&here.enquiries, enquiry->key) == enquiry)
		map_del(&here.enquiries, enquiry->key);
	str_free(&enquiry->key);
	str_free(&enquiry->node);
	str_free(&enquiry->ver);
	xfree(enquiry);
}

static void
contact_leave(struct contact *c)
{
	struct enquiry *enquiry = c->enquiry;

	if (enquiry == NULL)
		return;
	c->enquiry = NULL;
	list_del(&c->waiting);
	if (enquiry->asked != c)
		return;
	iq_forget(enquiry);
	ask(enquiry);
}

/* The key need not be kept twice. */
static void
contact_know(struct contact *c, struct caps *caps)
{
	caps->refs++;
	c->caps = caps;
	str_free(&c->key);
}

static struct str
contact_key(const struct contact *c)
{
	return c->caps != NULL ? c->caps->key : c->key;
}

static void
settle(struct enquiry *enquiry, struct caps *caps)
{
	struct contact *c;

	while ((c = LIST_FIRST(&enquiry->contacts, struct contact, waiting)) !=
	       NULL) {
		list_del(&c->waiting);
		c->enquiry = NULL;
		contact_know(c, caps);
		notify_last_all(c->ps, &c->jid);
	}
	enquiry_free(enquiry);
}

static bool
is_right(const struct enquiry *enquiry, const struct elem *query)
{
	struct arena *a = elem_arena(query);

	return !enquiry->is_shared || str_eq(caps_ver(a, query), enquiry->ver);
}

/* What is not right counts for him who said it; the next one is asked. */
static void
on_answer(void *ctx, struct stanza *answer)
{
	struct enquiry *enquiry = ctx;
	struct contact *c = enquiry->asked;
	struct elem *query = answer != NULL && answer->type == IQ_RESULT
				 ? elem_child(answer->root, EL_DISCO_INFO)
				 : NULL;
	struct caps *caps = query != NULL ? caps_of(enquiry->key, query) : NULL;

	enquiry->asked = NULL;
	if (caps != NULL && is_right(enquiry, query)) {
		caps->refs++;
		if (enquiry->is_shared)
			cache_add(caps);
		settle(enquiry, caps);
		caps_unref(&caps);
	} else {
		list_del(&c->waiting);
		c->enquiry = NULL;
		if (caps != NULL) {
			contact_know(c, caps);
			notify_last_all(c->ps, &c->jid);
		}
		ask(enquiry);
	}
	stanza_free(&answer);
}

/* The first that waits. Frees the enquiry if nobody does. */
static void
ask(struct enquiry *enquiry)
{
	struct contact *c =
	    LIST_FIRST(&enquiry->contacts, struct contact, waiting);
	struct stanza *iq;
	struct elem *query;

	enquiry->asked = c;
	if (c == NULL) {
		enquiry_free(enquiry);
		return;
	}
	iq = stanza_new(EL_IQ);
	stanza_set_type(iq, IQ_GET);
	stanza_set_from(iq, &c->ps->jid);
	stanza_set_to(iq, &c->jid);
	query = elem_add(iq->root, EL_DISCO_INFO);
	elem_set(query, AT_NODE,
	    str_printf(iq->arena, STR_FMT "#" STR_FMT, STR_ARG(enquiry->node),
		STR_ARG(enquiry->ver)));
	iq_send(iq, ASK_TIMEOUT, on_answer, enquiry);
}

static void
enquire(struct contact *c, const struct elem *caps, bool is_shared)
{
	struct enquiry *enquiry =
	    is_shared ? map_get(&here.enquiries, c->key) : NULL;
	bool is_new = enquiry == NULL;

	if (is_new) {
		enquiry = xzalloc(sizeof(*enquiry));
		enquiry->key = str_heap(c->key);
		enquiry->node = str_heap(elem_attr(caps, AT_NODE));
		enquiry->ver = str_heap(elem_attr(caps, AT_VER));
		enquiry->is_shared = is_shared;
		list_init(&enquiry->contacts);
		if (is_shared)
			map_set(&here.enquiries, enquiry->key, enquiry);
	}
	c->enquiry = enquiry;
	list_add(&enquiry->contacts, &c->waiting);
	if (is_new)
		ask(enquiry);
}

/* ---- contacts ---------------------------------------------------------- */

static void
contact_forget_caps(struct contact *c)
{
	contact_leave(c);
	caps_unref(&c->caps);
	str_free(&c->key);
}

static void
contact_free(struct contact *c)
{
	struct str text = c->jid.full;

	contact_forget_caps(c);
	map_del(&c->ps->contacts, c->jid.full);
	str_free(&text);
	xfree(c);
}

void
contacts_free(struct pubsub *ps)
{
	struct contact *c;

	for (size_t i = 0; (c = map_next(&ps->contacts, &i)) != NULL;)
		contact_free(c);
	map_fini(&ps->contacts);
}

static struct contact *
contact_get(struct pubsub *ps, const struct jid *from)
{
	struct contact *c = map_get(&ps->contacts, from->full);

	if (c != NULL || ps->contacts.count >= CONTACTS_MAX)
		return c;
	c = xzalloc(sizeof(*c));
	c->ps = ps;
	c->jid = jid_of(str_heap(from->full));
	map_set(&ps->contacts, c->jid.full, c);
	return c;
}

static bool
may_see(const struct pubsub *ps, const struct jid *from)
{
	const struct roster_item *item;

	if (jid_eq_bare(from, &ps->jid))
		return true;
	item = roster_find(ps->acct, from->bare);
	return item != NULL && item->sub & ROSTER_FROM &&
	       hook_presence_allow(ps->acct, from);
}

/* One who may not see it yet may be allowed to while he is there. */
static bool
is_known(const struct pubsub *ps, const struct jid *from)
{
	const struct roster_item *item = roster_find(ps->acct, from->bare);

	return jid_eq_bare(from, &ps->jid) ||
	       (item != NULL && item->sub != ROSTER_NONE);
}

static void
note_caps(struct pubsub *ps, const struct jid *from, const struct elem *caps,
    struct str key, bool is_shared)
{
	struct contact *c = contact_get(ps, from);
	struct caps *known;

	if (c == NULL || str_eq(contact_key(c), key))
		return;
	c->is_allowed = may_see(ps, from);
	contact_forget_caps(c);
	known = is_shared ? cache_find(key) : NULL;
	if (known == NULL) {
		c->key = str_heap(key);
		enquire(c, caps, is_shared);
		return;
	}
	contact_know(c, known);
	notify_last_all(ps, &c->jid);
}

void
pubsub_presence(
    struct pubsub *ps, const struct jid *from, const struct elem *presence)
{
	struct elem *caps = elem_child(presence, EL_CAPS);
	bool is_shared = elem_attr_is(caps, AT_HASH, "sha-1");
	struct str node = elem_attr(caps, AT_NODE);
	struct str ver = elem_attr(caps, AT_VER);
	struct buf key = { 0 };

	if (caps == NULL || ver.n == 0 || jid_is_bare(from) ||
	    node.n + ver.n > PUBSUB_ID_MAX || !is_known(ps, from)) {
		pubsub_absence(ps, from);
		return;
	}
	buf_printf(&key, "%s" STR_FMT "#" STR_FMT, is_shared ? "sha-1 " : "",
	    STR_ARG(node), STR_ARG(ver));
	note_caps(ps, from, caps, buf_str(&key), is_shared);
	buf_fini(&key);
}

void
pubsub_absence(struct pubsub *ps, const struct jid *from)
{
	struct contact *c = map_get(&ps->contacts, from->full);

	if (c != NULL)
		contact_free(c);
}

void
pubsub_roster_changed(struct pubsub *ps, struct str bare)
{
	struct contact *c;

	for (size_t i = 0; (c = map_next(&ps->contacts, &i)) != NULL;) {
		bool was_allowed = c->is_allowed;

		if (!str_eq(c->jid.bare, bare))
			continue;
		c->is_allowed = may_see(ps, &c->jid);
		if (c->is_allowed && !was_allowed)
			notify_last_all(ps, &c->jid);
	}
}
