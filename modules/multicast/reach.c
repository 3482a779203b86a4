/* SPDX-License-Identifier: MIT */
/*
 * Which other servers have a multicast service: their domain itself, or one
 * below it that they list. What is for them waits while they are asked.
 */
#include "modules/multicast/multicast.h"

#define ASK_MS SECONDS(10)
/* As long as the XEP lets an answer be kept; a failure, shorter. */
#define KNOWN_MS HOURS(24)
#define FAILED_MS MINUTES(10)
#define TARGETS_MAX 1000
#define WAITING_MAX 100
/* Of their services, so many are asked. */
#define ITEMS_MAX 10

struct target {
	struct mod *m;
	struct str domain;  /* heap; the key */
	struct str service; /* heap, or none: it has none */
	uint64_t until;	    /* loop_now(); 0: it is being asked */
	unsigned asked;	    /* questions under way */
	struct list waiting;
	size_t count;
};

/* ---- what is known ----------------------------------------------------- */

static struct map *
targets_of(struct mod *m)
{
	struct multicast *mc = mod_state(m);

	return &mc->targets;
}

static void
target_free(struct target *t)
{
	iq_forget(t);
	map_del(targets_of(t->m), t->domain);
	str_free(&t->domain);
	str_free(&t->service);
	xfree(t);
}

static void
target_send(struct target *t, struct stanza *st)
{
	struct jid to;

	if (str_is_none(t->service)) {
		multicast_deliver(t->m, st, false);
		return;
	}
	to = jid_of(t->service);
	stanza_set_to(st, &to);
	router_send(st);
}

/* It is known now; or not to be known, and then kept less long. */
static void
target_settle(struct target *t, struct str service, uint64_t ms)
{
	struct stanza *st;

	iq_forget(t);
	t->asked = 0;
	str_free(&t->service);
	t->service = str_is_none(service) ? STR_NONE : str_heap(service);
	t->until = loop_now() + ms;
	t->count = 0;
	while ((st = LIST_FIRST(&t->waiting, struct stanza, node)) != NULL) {
		list_del(&st->node);
		target_send(t, st);
	}
}

/* ---- questions --------------------------------------------------------- */

static void
target_ask(struct target *t, const struct jid *to, enum qname what,
    iq_answer_fn *answer)
{
	struct stanza *iq = stanza_new(EL_IQ);

	stanza_set_type(iq, IQ_GET);
	stanza_set_from(iq, &mod_host(t->m)->jid);
	stanza_set_to(iq, to);
	elem_add(iq->root, what);
	t->asked++;
	iq_send(iq, ASK_MS, answer, t);
}

/* An answer and its payload; else NULL, and the answer is freed. */
static const struct elem *
result_of(struct target *t, struct stanza **answer, enum qname name)
{
	struct elem *query = NULL;

	t->asked--;
	if (*answer != NULL && (*answer)->type == IQ_RESULT)
		query = stanza_payload(*answer);
	if (elem_name(query) == name)
		return query;
	if (*answer != NULL)
		stanza_free(answer);
	return NULL;
}

static bool
has_feature(const struct elem *query)
{
	const struct elem *e = elem_child(query, EL_DISCO_FEATURE);

	while (e != NULL &&
	       !str_eq(elem_attr(e, AT_VAR), names_ns_uri(NS_ADDRESS)))
		e = elem_next(e, EL_DISCO_FEATURE);
	return e != NULL;
}

static void
on_service_info(void *ctx, struct stanza *answer)
{
	struct target *t = ctx;
	const struct elem *query = result_of(t, &answer, EL_DISCO_INFO);

	if (query != NULL && has_feature(query))
		target_settle(t, answer->from.full, KNOWN_MS);
	else if (t->asked == 0)
		target_settle(t, STR_NONE, KNOWN_MS);
	if (query != NULL)
		stanza_free(&answer);
}

/* A server speaks for what is below it, and for no other domain. */
static bool
is_below(struct str name, struct str domain)
{
	struct str rest;

	if (name.n <= domain.n + 1)
		return false;
	rest = str_skip(name, name.n - domain.n);
	return str_eq(rest, domain) && name.p[name.n - domain.n - 1] == '.';
}

static void
on_items(void *ctx, struct stanza *answer)
{
	struct target *t = ctx;
	const struct elem *query = result_of(t, &answer, EL_DISCO_ITEMS), *e;

	for (e = elem_child(query, EL_DISCO_ITEM);
	     e != NULL && t->asked < ITEMS_MAX;
	     e = elem_next(e, EL_DISCO_ITEM)) {
		struct jid jid;

		if (jid_parse(answer->arena, elem_attr(e, AT_JID), &jid) == 0 &&
		    str_is_none(jid.local) && jid_is_bare(&jid) &&
		    is_below(jid.domain, t->domain))
			target_ask(t, &jid, EL_DISCO_INFO, on_service_info);
	}
	if (t->asked == 0)
		target_settle(
		    t, STR_NONE, query != NULL ? KNOWN_MS : FAILED_MS);
	if (query != NULL)
		stanza_free(&answer);
}

static void
on_info(void *ctx, struct stanza *answer)
{
	struct target *t = ctx;
	const struct elem *query = result_of(t, &answer, EL_DISCO_INFO);
	struct jid to = jid_of(t->domain);

	if (query == NULL)
		target_settle(t, STR_NONE, FAILED_MS);
	else if (has_feature(query))
		target_settle(t, t->domain, KNOWN_MS);
	else
		target_ask(t, &to, EL_DISCO_ITEMS, on_items);
	if (query != NULL)
		stanza_free(&answer);
}

/* ---- sending ----------------------------------------------------------- */

/* NULL: all that are known are being asked. */
static struct target *
target_new(struct mod *m, struct str domain)
{
	struct map *targets = targets_of(m);
	struct target *t = NULL;

	for (size_t i = 0; targets->count >= TARGETS_MAX &&
			   (t = map_next(targets, &i)) != NULL;)
		if (t->until != 0)
			target_free(t);
	if (targets->count >= TARGETS_MAX)
		return NULL;
	t = xzalloc(sizeof(*t));
	t->m = m;
	t->domain = str_heap(domain);
	list_init(&t->waiting);
	map_set(targets, t->domain, t);
	return t;
}

void
reach_send(struct mod *m, struct str domain, struct stanza *st)
{
	struct target *t = map_get(targets_of(m), domain);
	struct jid to;
	bool is_new = t == NULL || (t->until != 0 && t->until <= loop_now());

	if (t == NULL)
		t = target_new(m, domain);
	if (t == NULL) {
		multicast_deliver(m, st, false);
		return;
	}
	if (!is_new && t->until != 0) {
		target_send(t, st);
		return;
	}
	if (t->count == WAITING_MAX) {
		stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
		return;
	}
	list_add(&t->waiting, &st->node);
	t->count++;
	if (is_new) {
		t->until = 0;
		to = jid_of(t->domain);
		target_ask(t, &to, EL_DISCO_INFO, on_info);
	}
}

void
reach_stop(struct mod *m)
{
	struct map *targets = targets_of(m);
	struct target *t;
	struct stanza *st;

	for (size_t i = 0; (t = map_next(targets, &i)) != NULL;) {
		while ((st = LIST_FIRST(&t->waiting, struct stanza, node)) !=
		       NULL) {
			list_del(&st->node);
			stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
		}
		target_free(t);
	}
	map_fini(targets);
}
