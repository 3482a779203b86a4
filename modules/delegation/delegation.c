/* SPDX-License-Identifier: MIT */
/*
 * XEP-0355: Namespace Delegation, in admin mode. Iqs of a namespace, to the
 * host or to an account's bare JID, are answered by a component that the
 * configuration names; who asks does not notice.
 */
#include "core/module.h"

#define GRANTS_MAX 100
#define ATTRS_MAX 8
#define TIMEOUT_MS SECONDS(60)
#define PREFIX "urn:xmpp:delegation:2:"
/* Of what a component tells of itself. */
#define FEATURES_MAX 100

struct delegation_options {
	struct str_list namespaces;
};

struct nested {
	struct elem *query; /* or NULL; in an arena of its own */
};

struct grant {
	struct str domain, ns, attr[ATTRS_MAX];
	size_t attr_count;
	struct nested host, bare;
};

struct delegation {
	struct arena *arena; /* of the grants */
	struct grant *grants;
	size_t count;
	struct list asked; /* iqs, and questions about disco */
};

/* ---- the configuration ------------------------------------------------- */

/* "DOMAIN NAMESPACE [ATTRIBUTE...]" */
static bool
grant_read(struct arena *a, struct grant *g, struct str text)
{
	struct jid jid;
	struct str word;

	*g = (struct grant){ 0 };
	if (jid_parse(a, str_cut(&text, ' '), &jid) < 0 ||
	    !str_is_none(jid.local) || !str_is_none(jid.resource))
		return false;
	g->domain = jid.domain;
	g->ns = str_cut(&text, ' ');
	while (text.n > 0) {
		word = str_cut(&text, ' ');
		if (word.n == 0)
			continue;
		if (g->attr_count == ATTRS_MAX)
			return false;
		g->attr[g->attr_count++] = word;
	}
	return g->ns.n > 0;
}

static void
nested_forget(struct nested *n)
{
	struct arena *a = n->query != NULL ? elem_arena(n->query) : NULL;

	n->query = NULL;
	if (a != NULL)
		arena_free(&a);
}

static void
delegation_stop(struct mod *m)
{
	struct delegation *d = mod_state(m);

	iq_waits_end(&d->asked);
	for (size_t i = 0; i < d->count; i++) {
		nested_forget(&d->grants[i].host);
		nested_forget(&d->grants[i].bare);
	}
	d->count = 0;
	arena_free(&d->arena);
}

static void
delegation_start(struct mod *m)
{
	const struct delegation_options *o = mod_options(m);
	struct delegation *d = mod_state(m);

	list_init(&d->asked);
	d->arena = arena_new(0);
	d->grants = arena_zalloc(
	    d->arena, (o->namespaces.count + 1) * sizeof(*d->grants));
	for (size_t i = 0; i < o->namespaces.count; i++) {
		struct str text = str_dup(d->arena, o->namespaces.item[i]);

		if (grant_read(d->arena, &d->grants[d->count], text))
			d->count++;
		else
			log_warn(mod_log(m),
			    "namespaces: '" STR_FMT "' is left out: write "
			    "\"DOMAIN NAMESPACE [ATTRIBUTE...]\"",
			    STR_ARG(text));
	}
}

/* ---- iqs --------------------------------------------------------------- */

static bool
grant_fits(const struct grant *g, const struct elem *payload)
{
	if (!str_eq(elem_ns_uri(payload), g->ns))
		return false;
	for (size_t i = 0; i < g->attr_count; i++) {
		if (str_is_none(elem_attr_named(payload, g->attr[i])))
			return false;
	}
	return true;
}

static struct grant *
grant_for(struct delegation *d, const struct stanza *iq)
{
	const struct elem *payload = stanza_payload(iq);

	if (payload == NULL || !(iq->type & (IQ_GET | IQ_SET)) ||
	    !jid_is_bare(&iq->to))
		return NULL;
	for (size_t i = 0; i < d->count; i++) {
		struct grant *g = &d->grants[i];

		/* 4.3.1: what it says itself is the server's business. */
		if (grant_fits(g, payload))
			return str_eq(iq->from.domain, g->domain) ? NULL : g;
	}
	return NULL;
}

/* Is it the answer to that iq, with nobody's addresses but theirs? */
static bool
is_answer(const struct stanza *iq, const struct elem *e)
{
	struct str to = elem_attr(e, AT_TO), from = elem_attr(e, AT_FROM);

	return elem_name(e) == EL_IQ && elem_attr_is(e, AT_TYPE, "result") &&
	       str_eq(to, iq->from.full) &&
	       str_eq(elem_attr(e, AT_ID), stanza_id(iq)) &&
	       (str_is_none(from) || str_eq(from, iq->to.full));
}

static void
on_answer(void *ctx, struct stanza *iq, struct stanza *answer)
{
	const struct elem *e = NULL;
	struct elem *root, *node;

	if (answer != NULL && answer->type == IQ_RESULT)
		e = elem_child(
		    elem_child(
			elem_child(answer->root, EL_DELEGATION), EL_FORWARDED),
		    EL_IQ);
	if (e == NULL || !is_answer(iq, e)) {
		stanza_refuse(iq, EL_SERVICE_UNAVAILABLE);
	} else {
		root = stanza_result(iq);
		for (node = elem_first_node(e); node != NULL;
		     node = elem_next_node(node))
			elem_add_copy(root, node);
		stanza_send_back(iq);
	}
	if (answer != NULL)
		stanza_free(&answer);
}

static enum verdict
on_iq(struct mod *m, struct stanza *iq)
{
	struct delegation *d = mod_state(m);
	const struct grant *g = grant_for(d, iq);
	struct stanza *st;
	struct jid to;

	if (g == NULL)
		return STANZA_PASS;
	if (!component_is_up(g->domain))
		return stanza_refuse(iq, EL_SERVICE_UNAVAILABLE);
	st = stanza_new(EL_IQ);
	to = jid_of(g->domain);
	stanza_set_type(st, IQ_SET);
	stanza_set_from(st, &mod_host(m)->jid);
	stanza_set_to(st, &to);
	elem_add_copy(elem_add(elem_add(st->root, EL_DELEGATION), EL_FORWARDED),
	    iq->root);
	iq_ask(&d->asked, st, TIMEOUT_MS, iq, on_answer, NULL);
	return STANZA_DONE;
}

/* ---- what the component tells of itself -------------------------------- */

static void
on_nested(void *ctx, struct stanza *none, struct stanza *answer)
{
	struct nested *n = ctx;
	const struct elem *query;

	if (answer == NULL)
		return;
	query = elem_child(answer->root, EL_DISCO_INFO);
	if (answer->type == IQ_RESULT && query != NULL &&
	    elem_count(query, EL_DISCO_FEATURE) <= FEATURES_MAX &&
	    elem_count(query, EL_DISCO_IDENTITY) <= FEATURES_MAX) {
		nested_forget(n);
		n->query = elem_copy(arena_new(0), query);
		mod_changed();
	}
	stanza_free(&answer);
}

/* 7.2: what there is at "PREFIX:NS" is nested in our own disco. */
static void
ask_nested(struct mod *m, struct grant *g, const char *kind, struct nested *n)
{
	struct stanza *st = stanza_new(EL_IQ);
	struct elem *query = elem_add(st->root, EL_DISCO_INFO);
	struct jid to = jid_of(g->domain);
	struct delegation *d = mod_state(m);

	stanza_set_type(st, IQ_GET);
	stanza_set_from(st, &mod_host(m)->jid);
	stanza_set_to(st, &to);
	elem_set(query, AT_NODE,
	    str_printf(st->arena, PREFIX "%s:" STR_FMT, kind, STR_ARG(g->ns)));
	iq_ask(&d->asked, st, TIMEOUT_MS, NULL, on_nested, n);
}

static void
add_delegated(struct elem *to, const struct grant *g)
{
	struct elem *e = elem_add(to, EL_DELEGATED);

	elem_set_copy(e, AT_NAMESPACE, g->ns);
	for (size_t i = 0; i < g->attr_count; i++)
		elem_set_copy(
		    elem_add(e, EL_DELEGATED_ATTRIBUTE), AT_NAME, g->attr[i]);
}

/* At the domain's home: says what is delegated, once. */
static void
advertise(struct mod *m, const struct jid *domain)
{
	struct delegation *d = mod_state(m);
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *to = elem_add(st->root, EL_DELEGATION);
	size_t n = 0;

	for (size_t i = 0; i < d->count; i++) {
		if (!str_eq(d->grants[i].domain, domain->domain))
			continue;
		add_delegated(to, &d->grants[i]);
		n++;
	}
	if (n == 0) {
		stanza_free(&st);
		return;
	}
	stanza_set_from(st, &mod_host(m)->jid);
	stanza_set_to(st, domain);
	elem_set(st->root, AT_ID, random_token(st->arena, 8));
	router_send(st);
}

struct coming {
	const struct host *host;
	struct str domain; /* heap */
};

/* Each worker asks for itself, as each answers disco. */
static void
ask_all(struct mod *m, struct str domain)
{
	struct delegation *d = mod_state(m);

	for (size_t i = 0; i < d->count; i++) {
		struct grant *g = &d->grants[i];

		if (!str_eq(g->domain, domain))
			continue;
		ask_nested(m, g, "", &g->host);
		ask_nested(m, g, "bare", &g->bare);
	}
}

static void
coming_part(void *ctx, unsigned worker)
{
	const struct coming *c = ctx;
	struct mod *m = mod_find(c->host, "delegation");

	if (m != NULL)
		ask_all(m, c->domain);
}

static void
on_come(void *ctx)
{
	struct coming *c = ctx;

	str_free(&c->domain);
	xfree(c);
}

static void
on_component(struct mod *m, const struct jid *domain)
{
	struct coming *c = xzalloc(sizeof(*c));

	advertise(m, domain);
	c->host = mod_host(m);
	c->domain = str_heap(domain->domain);
	worker_gather(coming_part, on_come, c);
}

static void
again(void *ctx, struct str domain)
{
	struct mod *m = ctx;
	struct jid jid = jid_of(domain);

	if (account_home(domain) == loop_self())
		advertise(m, &jid);
	ask_all(m, domain);
}

/* Those that are there hear what has changed, and are asked anew. */
static void
delegation_reload(struct mod *m)
{
	delegation_stop(m);
	delegation_start(m);
	component_each(mod_host(m), again, m);
}

/* ---- disco ------------------------------------------------------------- */

/*
 * Ours of that namespace are ignored: "NS", "NS#...". That holds while the
 * component is away, too: nobody else will answer.
 */
static bool
is_of(const struct elem *feature, struct str ns)
{
	struct str var = elem_attr(feature, AT_VAR);

	return str_eq(var, ns) ||
	       (str_has_prefix(var, ns) && var.n > ns.n && var.p[ns.n] == '#');
}

static void
nest(struct elem *query, const struct grant *g, const struct nested *n)
{
	struct elem *e = elem_child(query, EL_DISCO_FEATURE), *next;

	if (n->query == NULL)
		return;
	for (; e != NULL; e = next) {
		next = elem_next(e, EL_DISCO_FEATURE);
		if (is_of(e, g->ns))
			elem_remove(e);
	}
	for (e = elem_first_node(n->query); e != NULL; e = elem_next_node(e)) {
		if (elem_name(e) == EL_DISCO_FEATURE ||
		    elem_name(e) == EL_DISCO_IDENTITY)
			elem_add_copy(query, e);
	}
}

static void
on_info(struct mod *m, struct elem *query, const struct stanza *iq)
{
	struct delegation *d = mod_state(m);
	bool is_host = iq == NULL || str_is_none(iq->to.local);

	if (elem_attr(query, AT_NODE).n > 0)
		return;
	for (size_t i = 0; i < d->count; i++) {
		const struct grant *g = &d->grants[i];

		nest(query, g, is_host ? &g->host : &g->bare);
	}
}

/* ---- the table --------------------------------------------------------- */

static const struct option options[] = {
	OPT_LIST("namespaces", struct delegation_options, namespaces, "",
	    GRANTS_MAX,
	    "what is delegated to which component: \"DOMAIN NAMESPACE "
	    "[ATTRIBUTE...]\"; with attributes, only elements that have them"),
	OPTIONS_END,
};

static const struct hook hooks[] = {
	{ HOOK_IQ_HOST, EARLY, .stanza = on_iq },
	{ HOOK_IQ_DELIVER, EARLY, .stanza = on_iq },
	{ HOOK_COMPONENT_UP, NORMAL, .component = on_component },
	{ HOOK_DISCO_INFO, LAST, .disco = on_info },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_HOST, STR_INIT("urn:xmpp:delegation:2") },
	FEATURES_END,
};

MODULE(delegation) = {
	.summary = "let components answer for the server",
	.is_optional = true,
	.options_size = sizeof(struct delegation_options),
	.state_size = sizeof(struct delegation),
	.options = options,
	.hooks = hooks,
	.features = features,
	.start = delegation_start,
	.reload = delegation_reload,
	.stop = delegation_stop,
};
