/* SPDX-License-Identifier: MIT */
#include "core/blocklist.h"

#include "core/module.h"

#include "xep/0059-rsm.h"

#include <openssl/evp.h>

#define HASH_LEN 32
#define ANSWER_MS SECONDS(60)
#define AGAIN_MS MINUTES(1)
#define FIRST_MS 200
#define REFRESH_MS HOURS(1)
#define PAGE 1000

/* The key of the map is its bytes. */
struct entry {
	unsigned char hash[HASH_LEN];
	uint64_t round; /* of reading all, when it was seen last */
};

struct blocklist {
	struct list node; /* in all */
	struct mod *mod;
	void (*on_added)(struct mod *m);
	struct str key; /* on the heap: subscriber, service and node */
	struct jid subscriber, service;
	struct str node_id;
	struct map entries;
	uint64_t max;
	bool is_full; /* and that was said */
	uint64_t round;
	struct timer timer;
	/* While all is read: */
	size_t found;
	struct str after; /* the last of the page before; heap */
};

/* Of this worker. */
static _Thread_local struct list all;

/* ---- hashes ------------------------------------------------------------ */

static void
hash_of(struct str text, unsigned char *hash)
{
	must(EVP_Digest(text.p, text.n, hash, NULL, EVP_sha256(), NULL) == 1);
}

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
hash_parse(struct str text, unsigned char *hash)
{
	if (text.n != 2 * HASH_LEN)
		return false;
	for (size_t i = 0; i < HASH_LEN; i++) {
		int high = digit_of(text.p[2 * i]);
		int low = digit_of(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		hash[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static struct str
key_of(const unsigned char *hash)
{
	return str_mem((const char *)hash, HASH_LEN);
}

static bool
has(const struct blocklist *b, struct str text)
{
	unsigned char hash[HASH_LEN];

	hash_of(text, hash);
	return map_get(&b->entries, key_of(hash)) != NULL;
}

bool
blocklist_has(const struct blocklist *b, const struct jid *who)
{
	if (b == NULL || b->entries.count == 0)
		return false;
	return has(b, who->bare) || has(b, who->domain);
}

/* ---- changes, in one worker -------------------------------------------- */

/* All is read between BEGIN and END; what was not added by then goes. */
enum change_kind { ADD, REMOVE, CLEAR, BEGIN, END };

struct change {
	struct str key; /* on the heap: of which list */
	enum change_kind kind;
	size_t found; /* at its END */
	size_t count;
	unsigned char hashes[][HASH_LEN];
};

static bool
add(struct blocklist *b, const unsigned char *hash)
{
	struct entry *e = map_get(&b->entries, key_of(hash));

	if (e == NULL && b->entries.count >= b->max) {
		if (!b->is_full)
			log_warn(mod_log(b->mod),
			    "block list of " STR_FMT ": more than %llu entries",
			    STR_ARG(b->service.full),
			    (unsigned long long)b->max);
		b->is_full = true;
		return false;
	}
	if (e != NULL) {
		e->round = b->round;
		return false;
	}
	e = xmalloc(sizeof(*e));
	memcpy(e->hash, hash, HASH_LEN);
	e->round = b->round;
	map_set(&b->entries, key_of(e->hash), e);
	return true;
}

/* Those that were not seen in this round; all with `round` of 0. */
static void
drop_before(struct blocklist *b, uint64_t round)
{
	struct entry *e;

	for (size_t i = 0; (e = map_next(&b->entries, &i)) != NULL;)
		if (round == 0 || e->round < round) {
			map_del(&b->entries, key_of(e->hash));
			xfree(e);
		}
}

static void
clear(struct blocklist *b)
{
	struct entry *e;

	for (size_t i = 0; (e = map_next(&b->entries, &i)) != NULL;)
		xfree(e);
	map_fini(&b->entries);
}

static void
apply(struct blocklist *b, const struct change *c)
{
	bool is_more = false;

	if (c->kind == BEGIN)
		b->round++;
	for (size_t i = 0; i < c->count; i++) {
		if (c->kind == REMOVE)
			xfree(map_del(&b->entries, key_of(c->hashes[i])));
		else if (add(b, c->hashes[i]))
			is_more = true;
	}
	if (c->kind == CLEAR)
		clear(b);
	if (c->kind == END)
		drop_before(b, b->round);
	if (is_more && b->on_added != NULL)
		b->on_added(b->mod);
}

/* This worker's. */
static struct blocklist *
find(const struct change *c)
{
	struct blocklist *b;

	if (all.next == NULL)
		return NULL;
	LIST_EACH(b, &all, struct blocklist, node)
	if (str_eq(b->key, c->key))
		return b;
	return NULL;
}

static void
apply_here(void *ctx, unsigned worker)
{
	const struct change *c = ctx;
	struct blocklist *b;

	b = find(c);
	if (b != NULL)
		apply(b, c);
}

/* It holds on all workers. */
static void
on_applied(void *ctx)
{
	struct change *c = ctx;
	struct blocklist *b = c->kind == END ? find(c) : NULL;

	if (b != NULL)
		log_info(mod_log(b->mod),
		    "block list of " STR_FMT ": %zu entries",
		    STR_ARG(b->service.full), c->found);
	str_free(&c->key);
	xfree(c);
}

static struct change *
change_new(struct blocklist *b, enum change_kind kind, size_t max)
{
	struct change *c = xzalloc(sizeof(*c) + max * HASH_LEN);

	c->key = str_heap(b->key);
	c->kind = kind;
	return c;
}

static void
change_add(struct change *c, const struct elem *item)
{
	struct str id = elem_attr(item, AT_ID);
	struct arena *a;
	struct jid jid;

	if (hash_parse(id, c->hashes[c->count])) {
		c->count++;
		return;
	}
	/* Some lists of domains have their names. */
	a = arena_new(0);
	if (jid_parse(a, id, &jid) == 0)
		hash_of(jid.bare, c->hashes[c->count++]);
	arena_free(&a);
}

static void
tell(struct change *c)
{
	worker_gather(apply_here, on_applied, c);
}

/* ---- asking for it ----------------------------------------------------- */

static void ask(struct blocklist *b);
static void ask_page(struct blocklist *b);

static void
on_time(struct timer *t)
{
	ask(CONTAINER_OF(t, struct blocklist, timer));
}

static struct stanza *
request(struct blocklist *b, int type, struct elem **pubsub_r)
{
	struct stanza *iq = stanza_new(EL_IQ);

	stanza_set_type(iq, type);
	stanza_set_from(iq, &b->subscriber);
	stanza_set_to(iq, &b->service);
	*pubsub_r = elem_add(iq->root, EL_PUBSUB);
	return iq;
}

static void
fail(struct blocklist *b, const char *what)
{
	log_notice(mod_log(b->mod), "block list of " STR_FMT ": %s",
	    STR_ARG(b->service.full), what);
	timer_start(&b->timer, AGAIN_MS, on_time);
}

/* Is there more? Who knows of no pages gives all, or the same once more. */
static bool
go_on(struct blocklist *b, const struct elem *pubsub, size_t count)
{
	struct str last =
	    elem_child_text(elem_child(pubsub, EL_RSM), EL_RSM_LAST);

	if (count == 0 || b->found > b->max || last.n == 0 ||
	    str_eq(last, b->after))
		return false;
	str_free(&b->after);
	b->after = str_heap(last);
	ask_page(b);
	return true;
}

static void
on_items(void *ctx, struct stanza *answer)
{
	struct blocklist *b = ctx;
	const struct elem *pubsub, *items, *e;
	struct change *c;
	size_t count;

	if (answer == NULL || answer->type != IQ_RESULT) {
		fail(b, "its items could not be read");
		stanza_free(&answer);
		return;
	}
	pubsub = elem_child(answer->root, EL_PUBSUB);
	items = elem_child(pubsub, EL_PUBSUB_ITEMS);
	count = elem_count(items, EL_PUBSUB_ITEM);
	c = change_new(b, ADD, count);
	for (e = elem_child(items, EL_PUBSUB_ITEM); e != NULL;
	     e = elem_next(e, EL_PUBSUB_ITEM))
		change_add(c, e);
	b->found += c->count;
	tell(c);
	if (!go_on(b, pubsub, count)) {
		c = change_new(b, END, 0);
		c->found = b->found;
		tell(c);
		timer_start(&b->timer, REFRESH_MS, on_time);
	}
	stanza_free(&answer);
}

static void
ask_page(struct blocklist *b)
{
	struct elem *pubsub, *set;
	struct stanza *iq = request(b, IQ_GET, &pubsub);

	elem_set_copy(elem_add(pubsub, EL_PUBSUB_ITEMS), AT_NODE, b->node_id);
	set = elem_add(pubsub, EL_RSM);
	elem_add_text(set, EL_RSM_MAX, str_printf(iq->arena, "%d", PAGE));
	if (b->after.n > 0)
		elem_add_text(set, EL_RSM_AFTER, str_dup(iq->arena, b->after));
	iq_send(iq, ANSWER_MS, on_items, b);
}

static void
on_subscribed(void *ctx, struct stanza *answer)
{
	struct blocklist *b = ctx;

	if (answer == NULL || answer->type != IQ_RESULT) {
		fail(b, "no subscription");
		stanza_free(&answer);
		return;
	}
	stanza_free(&answer);
	tell(change_new(b, BEGIN, 0));
	b->found = 0;
	str_free(&b->after);
	ask_page(b);
}

static void
ask(struct blocklist *b)
{
	struct elem *pubsub, *e;
	struct stanza *iq = request(b, IQ_SET, &pubsub);

	e = elem_add(pubsub, EL_PUBSUB_SUBSCRIBE);
	elem_set_copy(e, AT_NODE, b->node_id);
	elem_set_copy(e, AT_JID, b->subscriber.full);
	iq_send(iq, ANSWER_MS, on_subscribed, b);
}

/* ---- what changes ------------------------------------------------------ */

static void
take_items(struct blocklist *b, const struct elem *items)
{
	size_t count = elem_count(items, EL_ANY);
	struct change *added = change_new(b, ADD, count);
	struct change *removed = change_new(b, REMOVE, count);
	const struct elem *e = elem_child(items, EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY)) {
		if (elem_name(e) == EL_EVENT_ITEM)
			change_add(added, e);
		else if (elem_name(e) == EL_EVENT_RETRACT)
			change_add(removed, e);
	}
	tell(removed);
	tell(added);
}

bool
blocklist_message(struct blocklist *b, const struct stanza *st)
{
	const struct elem *event = elem_child(st->root, EL_EVENT), *e;

	if (b == NULL || event == NULL || st->type == MESSAGE_ERROR ||
	    !str_eq(st->from.full, b->service.full))
		return false;
	e = elem_child(event, EL_ANY);
	if (!str_eq(elem_attr(e, AT_NODE), b->node_id))
		return false;
	if (elem_name(e) == EL_EVENT_ITEMS)
		take_items(b, e);
	else if (elem_name(e) == EL_EVENT_PURGE ||
		 elem_name(e) == EL_EVENT_DELETE)
		tell(change_new(b, CLEAR, 0));
	return true;
}

/* ---- life -------------------------------------------------------------- */

static struct str
key_for(struct arena *a, const struct blocklist_rules *rules)
{
	return str_printf(a, STR_FMT "\n" STR_FMT "\n" STR_FMT,
	    STR_ARG(rules->subscriber.full), STR_ARG(rules->service),
	    STR_ARG(rules->node));
}

static struct blocklist *
blocklist_new(
    struct mod *m, const struct blocklist_rules *rules, struct str key)
{
	struct blocklist *b = xzalloc(sizeof(*b));
	struct str rest;

	b->mod = m;
	b->on_added = rules->on_added;
	b->key = rest = str_heap(key);
	b->subscriber = jid_of(str_cut(&rest, '\n'));
	b->service = jid_of(str_cut(&rest, '\n'));
	b->node_id = rest;
	if (all.next == NULL)
		list_init(&all);
	list_add(&all, &b->node);
	/* A little later the list's own service runs too, if it is ours. */
	if (account_home(b->subscriber.bare) == loop_self())
		timer_start(&b->timer, FIRST_MS, on_time);
	return b;
}

void
blocklist_renew(
    struct blocklist **b, struct mod *m, const struct blocklist_rules *rules)
{
	struct arena *a = arena_new(0);
	struct blocklist_rules prepared = *rules;
	struct jid service;

	if (rules->service.n == 0) {
		blocklist_free(b);
	} else if (jid_parse(a, rules->service, &service) < 0) {
		log_error(mod_log(m), "block list: no address: " STR_FMT,
		    STR_ARG(rules->service));
		blocklist_free(b);
	} else {
		prepared.service = service.full;
		if (*b != NULL && !str_eq((*b)->key, key_for(a, &prepared)))
			blocklist_free(b);
		if (*b == NULL)
			*b = blocklist_new(m, rules, key_for(a, &prepared));
		(*b)->max = rules->max;
		(*b)->is_full = false;
	}
	arena_free(&a);
}

void
blocklist_free(struct blocklist **b)
{
	if (*b == NULL)
		return;
	list_del(&(*b)->node);
	timer_stop(&(*b)->timer);
	iq_forget(*b);
	clear(*b);
	str_free(&(*b)->after);
	str_free(&(*b)->key);
	xfree(*b);
	*b = NULL;
}
