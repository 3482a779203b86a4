/* SPDX-License-Identifier: MIT */
/*
 * Who is interested in what: contacts and sessions that are available, and
 * what their capabilities (XEP-0390, or XEP-0115) say. A worker keeps those
 * that its accounts have met lately, if their hash is right, and so does the
 * store (pubsub_known.c); others count for the one address that sent them.
 * Each is looked up, and asked for, once, however many have it.
 */
#include "core/conf.h"
#include "core/hooks.h"
#include "core/pubsub_impl.h"

#include "xep/0115-caps.h"
#include "xep/0390-caps.h"

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

/* Can what is answered be verified, and by which rules? */
enum proof { PROOF_NONE, PROOF_SHA1, PROOF_HASH };

/* What presence says: texts of its arena. */
struct claim {
	struct str node, ver; /* of XEP-0390: "ALGO.HASH" */
	struct str algo, hash;
	enum proof proof;
};

struct enquiry {
	struct str key;	       /* heap */
	struct str node, ver;  /* heap */
	struct str algo, hash; /* heap */
	enum proof proof;
	struct list contacts;
	struct contact *asked; /* NULL: the store is */
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
	while (here.by_key.count >= conf_now()->limits.capabilities)
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

/* A name's line in what is kept must stay one. */
static bool
is_name(struct str name)
{
	return name.n <= PUBSUB_ID_MAX && memchr(name.p, '\n', name.n) == NULL;
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

		if (str_has_suffix(var, suffix) && is_name(var))
			caps->names[caps->count++] =
			    str_heap(str_sub(var, 0, var.n - suffix.n));
	}
	return xrealloc(caps, sizeof(*caps) + caps->count * sizeof(struct str));
}

/* As it is kept: a version, and a line for each name. */
static struct caps *
caps_parse(struct str key, struct str text)
{
	struct caps *caps =
	    xzalloc(sizeof(*caps) + NAMES_MAX * sizeof(struct str));

	caps->key = str_heap(key);
	str_cut(&text, '\n');
	while (text.n > 0 && caps->count < NAMES_MAX)
		caps->names[caps->count++] = str_heap(str_cut(&text, '\n'));
	return xrealloc(caps, sizeof(*caps) + caps->count * sizeof(struct str));
}

static void
caps_keep(const struct caps *caps, const struct host *host)
{
	struct buf text = { 0 };

	buf_add_str(&text, STR("1"));
	for (size_t i = 0; i < caps->count; i++)
		buf_printf(&text, "\n" STR_FMT, STR_ARG(caps->names[i]));
	caps_store(host, caps->key, buf_str(&text));
	buf_fini(&text);
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
	str_free(&enquiry->algo);
	str_free(&enquiry->hash);
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

	switch (enquiry->proof) {
	case PROOF_SHA1:
		return str_eq(caps_ver(a, query), enquiry->ver);
	case PROOF_HASH:
		return str_eq(
		    caps2_hash(a, query, enquiry->algo), enquiry->hash);
	case PROOF_NONE:
		break;
	}
	return true;
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
		if (enquiry->proof != PROOF_NONE) {
			cache_add(caps);
			caps_keep(caps, c->ps->host);
		}
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

/* Who waits may have gone meanwhile. */
static void
on_stored(void *ctx, int err, struct str value)
{
	struct enquiry *enquiry = ctx;
	struct caps *caps;

	if (err < 0 || list_is_empty(&enquiry->contacts)) {
		ask(enquiry);
		return;
	}
	caps = caps_parse(enquiry->key, value);
	caps->refs++;
	cache_add(caps);
	settle(enquiry, caps);
	caps_unref(&caps);
}

static struct enquiry *
enquiry_new(struct str key, const struct claim *claim)
{
	struct enquiry *enquiry = xzalloc(sizeof(*enquiry));

	enquiry->key = str_heap(key);
	enquiry->node = str_heap(claim->node);
	enquiry->ver = str_heap(claim->ver);
	enquiry->proof = claim->proof;
	list_init(&enquiry->contacts);
	if (claim->proof == PROOF_HASH) {
		enquiry->algo = str_heap(claim->algo);
		enquiry->hash = str_heap(claim->hash);
	}
	return enquiry;
}

static void
enquire(struct contact *c, const struct claim *claim)
{
	bool is_shared = claim->proof != PROOF_NONE;
	struct enquiry *enquiry =
	    is_shared ? map_get(&here.enquiries, c->key) : NULL;
	bool is_new = enquiry == NULL;

	if (is_new) {
		enquiry = enquiry_new(c->key, claim);
		if (is_shared)
			map_set(&here.enquiries, enquiry->key, enquiry);
	}
	c->enquiry = enquiry;
	list_add(&enquiry->contacts, &c->waiting);
	if (is_new && is_shared)
		caps_find(c->ps->host, enquiry->key, on_stored, enquiry);
	else if (is_new)
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
note_caps(struct pubsub *ps, const struct jid *from, const struct claim *claim,
    struct str key)
{
	struct contact *c = contact_get(ps, from);
	struct caps *known;

	if (c == NULL || str_eq(contact_key(c), key))
		return;
	c->is_allowed = may_see(ps, from);
	contact_forget_caps(c);
	known = claim->proof != PROOF_NONE ? cache_find(key) : NULL;
	if (known == NULL) {
		c->key = str_heap(key);
		enquire(c, claim);
		return;
	}
	contact_know(c, known);
	notify_last_all(ps, &c->jid);
}

/* The first hash that we can compute. */
static bool
read_hashes(const struct elem *caps, struct claim *claim)
{
	const struct elem *e = elem_child(caps, EL_HASHES_HASH);

	while (e != NULL &&
	       (!caps2_knows(elem_attr(e, AT_ALGO)) || elem_text(e).n == 0))
		e = elem_next(e, EL_HASHES_HASH);
	if (e == NULL)
		return false;
	claim->proof = PROOF_HASH;
	claim->node = names_ns_uri(NS_CAPS2);
	claim->algo = elem_attr(e, AT_ALGO);
	claim->hash = elem_text(e);
	claim->ver = str_printf(elem_arena(caps), STR_FMT "." STR_FMT,
	    STR_ARG(claim->algo), STR_ARG(claim->hash));
	return true;
}

static bool
read_claim(const struct elem *presence, struct claim *claim)
{
	const struct elem *caps = elem_child(presence, EL_CAPS);

	if (!read_hashes(elem_child(presence, EL_CAPS2), claim)) {
		claim->node = elem_attr(caps, AT_NODE);
		claim->ver = elem_attr(caps, AT_VER);
		if (elem_attr_is(caps, AT_HASH, "sha-1"))
			claim->proof = PROOF_SHA1;
	}
	return claim->ver.n > 0 &&
	       claim->node.n + claim->ver.n <= PUBSUB_ID_MAX;
}

void
pubsub_presence(
    struct pubsub *ps, const struct jid *from, const struct elem *presence)
{
	static const char *const marks[] = { "", "sha-1 ", "hash " };
	struct claim claim = { .proof = PROOF_NONE };
	struct buf key = { 0 };

	if (!read_claim(presence, &claim) || jid_is_bare(from) ||
	    !is_known(ps, from)) {
		pubsub_absence(ps, from);
		return;
	}
	buf_printf(&key, "%s" STR_FMT "#" STR_FMT, marks[claim.proof],
	    STR_ARG(claim.node), STR_ARG(claim.ver));
	note_caps(ps, from, &claim, buf_str(&key));
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

	subscriptions_check(ps, bare);
	for (size_t i = 0; (c = map_next(&ps->contacts, &i)) != NULL;) {
		bool was_allowed = c->is_allowed;

		if (!str_eq(c->jid.bare, bare))
			continue;
		c->is_allowed = may_see(ps, &c->jid);
		if (c->is_allowed && !was_allowed)
			notify_last_all(ps, &c->jid);
	}
}
