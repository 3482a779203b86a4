/* SPDX-License-Identifier: MIT */
/*
 * XEP-0030: Service Discovery of the host and of accounts, with the addresses
 * of XEP-0157 and XEP-0455 as forms (XEP-0128), and XEP-0115 and XEP-0390: the
 * host's capabilities in its stream features. An account tells what it can only
 * to itself and to those who may see its presence.
 */
#include "core/module.h"

#include "xep/0004-forms.h"
#include "xep/0030-disco.h"
#include "xep/0115-caps.h"
#include "xep/0390-caps.h"

#define NODE "https://xmpp.org/software/rookery"
#define CAPS2_NODE "urn:xmpp:caps"

struct disco_options {
	struct str_list abuse, admin, feedback, sales, security, status,
	    support;
	struct str_list outage;
};

/* The hash functions of our capabilities (XEP-0300 requires these). */
static const char *const algos[] = { "sha-256", "sha3-256" };

/* Our own hashes, made when first needed after modules have changed. */
struct disco {
	unsigned generation;
	struct str ver; /* on the heap */
	struct str hash[ARRAY_LEN(algos)];
};

/* XEP-0157's fields, and where each is in the options. */
static const struct {
	const char *var;
	size_t offset;
} contacts[] = {
	{ "abuse-addresses", offsetof(struct disco_options, abuse) },
	{ "admin-addresses", offsetof(struct disco_options, admin) },
	{ "feedback-addresses", offsetof(struct disco_options, feedback) },
	{ "sales-addresses", offsetof(struct disco_options, sales) },
	{ "security-addresses", offsetof(struct disco_options, security) },
	{ "status-addresses", offsetof(struct disco_options, status) },
	{ "support-addresses", offsetof(struct disco_options, support) },
};

/* ---- disco#info -------------------------------------------------------- */

static void
add_feature(void *ctx, struct str var)
{
	disco_add_feature(ctx, var);
}

static void
add_identity(void *ctx, const struct identity *id)
{
	disco_add_identity(ctx, id->category, id->type,
	    id->name != NULL ? str_c(id->name) : STR_NONE);
}

/* Nobody named for abuse or administration: it is the admins. */
static void
add_admins(struct elem *field)
{
	const struct str *admins;
	size_t count = host_admins(elem_arena(field), &admins);

	for (size_t i = 0; i < count; i++)
		form_add_value(field, str_printf(elem_arena(field),
					  "xmpp:" STR_FMT, STR_ARG(admins[i])));
}

static bool
has_fallback(const char *var)
{
	return strcmp(var, "abuse-addresses") == 0 ||
	       strcmp(var, "admin-addresses") == 0;
}

static void
add_contacts(struct mod *m, struct elem *query)
{
	const char *options = mod_options(m);
	const struct str *unused;
	struct elem *form = NULL;

	for (size_t i = 0; i < ARRAY_LEN(contacts); i++) {
		const struct str_list *list =
		    (const void *)(options + contacts[i].offset);
		struct elem *field;

		if (list->count == 0 &&
		    !(has_fallback(contacts[i].var) &&
			host_admins(elem_arena(query), &unused) > 0))
			continue;
		if (form == NULL)
			form = form_add(query, "result",
			    "http://jabber.org/network/serverinfo");
		field = form_add_field(
		    form, "list-multi", contacts[i].var, NULL, STR_NONE);
		for (size_t k = 0; k < list->count; k++)
			form_add_value(
			    field, str_dup(elem_arena(form), list->item[k]));
		if (list->count == 0)
			add_admins(field);
	}
}

/* XEP-0455: where it is said what is wrong when we can't say it. */
static void
add_outage(struct mod *m, struct elem *query)
{
	const struct disco_options *o = mod_options(m);
	struct elem *field;

	if (o->outage.count == 0)
		return;
	field = form_add_field(form_add(query, "result", "urn:xmpp:sos:0"),
	    "list-multi", "external-status-addresses", NULL, STR_NONE);
	for (size_t i = 0; i < o->outage.count; i++)
		form_add_value(
		    field, str_dup(elem_arena(query), o->outage.item[i]));
}

/* `iq` is NULL when the answer is for our own hash. */
static void
fill_info(struct mod *m, int where, struct elem *query, const struct stanza *iq)
{
	const struct host *host = mod_host(m);

	mod_each_identity(host, where, add_identity, query);
	mod_each_feature(host, where, add_feature, query);
	if (where == TO_HOST) {
		add_contacts(m, query);
		add_outage(m, query);
	}
	hook_disco(HOOK_DISCO_INFO, host, query, iq);
}

static void
forget_hashes(struct disco *d)
{
	str_free(&d->ver);
	for (size_t i = 0; i < ARRAY_LEN(algos); i++)
		str_free(&d->hash[i]);
}

static const struct disco *
own_hashes(struct mod *m)
{
	struct disco *d = mod_state(m);

	if (d->ver.n == 0 || d->generation != mod_generation()) {
		struct arena *a = arena_new(0);
		struct elem *query = elem_new(a, EL_DISCO_INFO);

		fill_info(m, TO_HOST, query, NULL);
		forget_hashes(d);
		d->ver = str_heap(caps_ver(a, query));
		for (size_t i = 0; i < ARRAY_LEN(algos); i++)
			d->hash[i] =
			    str_heap(caps2_hash(a, query, str_c(algos[i])));
		d->generation = mod_generation();
		arena_free(&a);
	}
	return d;
}

/* Nodes are other modules' business, but for that of our capabilities. */
static bool
is_own_node(struct mod *m, struct str node)
{
	const struct disco *d = own_hashes(m);
	struct str rest = node;

	if (str_has_prefix(node, STR(NODE "#")))
		return str_eq(str_skip(node, strlen(NODE "#")), d->ver);
	if (!str_has_prefix(node, STR(CAPS2_NODE "#")))
		return false;
	rest = str_skip(node, strlen(CAPS2_NODE "#"));
	for (size_t i = 0; i < ARRAY_LEN(algos); i++) {
		struct str text = rest;

		if (str_eq(str_cut(&text, '.'), str_c(algos[i])) &&
		    str_eq(text, d->hash[i]))
			return true;
	}
	return false;
}

static bool
may_see(const struct stanza *iq)
{
	const struct account *acct;
	const struct roster_item *item;

	if (str_is_none(iq->to.local) || str_eq(iq->from.bare, iq->to.bare))
		return true;
	acct = iq_account(iq);
	item = acct != NULL ? roster_find(acct, iq->from.bare) : NULL;
	return item != NULL && (item->sub & ROSTER_FROM);
}

static enum verdict
on_info(struct mod *m, struct stanza *iq)
{
	struct str node = elem_attr(stanza_payload(iq), AT_NODE);
	int where = str_is_none(iq->to.local) ? TO_HOST : TO_ACCOUNT;
	struct arena *a = iq->arena;
	struct elem *query;

	if (!may_see(iq))
		return stanza_refuse(iq, EL_SERVICE_UNAVAILABLE);
	if (node.n > 0 && !(where == TO_HOST && is_own_node(m, node))) {
		query = elem_new(a, EL_DISCO_INFO);
		elem_set(query, AT_NODE, node);
		hook_disco(HOOK_DISCO_INFO, mod_host(m), query, iq);
		if (elem_first_node(query) == NULL)
			return stanza_refuse(iq, EL_ITEM_NOT_FOUND);
		elem_append(stanza_result(iq), query);
		return stanza_send_back(iq);
	}
	query = elem_new(a, EL_DISCO_INFO);
	if (node.n > 0)
		elem_set(query, AT_NODE, node);
	fill_info(m, where, query, iq);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

/* ---- disco#items ------------------------------------------------------- */

static void
add_service(void *ctx, const struct jid *domain)
{
	struct elem *item = elem_add(ctx, EL_DISCO_ITEM);

	elem_set_copy(item, AT_JID, domain->full);
}

static void
add_component(void *ctx, struct str domain)
{
	elem_set_copy(elem_add(ctx, EL_DISCO_ITEM), AT_JID, domain);
}

static enum verdict
on_items(struct mod *m, struct stanza *iq)
{
	struct str node = elem_attr(stanza_payload(iq), AT_NODE);
	struct elem *query;

	if (!may_see(iq))
		return stanza_refuse(iq, EL_SERVICE_UNAVAILABLE);
	query = elem_new(iq->arena, EL_DISCO_ITEMS);
	if (node.n > 0)
		elem_set(query, AT_NODE, node);
	else if (str_is_none(iq->to.local)) {
		mod_each_service(mod_host(m), add_service, query);
		component_each(mod_host(m), add_component, query);
	}
	hook_disco(HOOK_DISCO_ITEMS, mod_host(m), query, iq);
	if (node.n > 0 && elem_first_node(query) == NULL)
		return stanza_refuse(iq, EL_ITEM_NOT_FOUND);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

/* ---- capabilities ------------------------------------------------------ */

static void
on_features(struct mod *m, struct stream *s, struct elem *features)
{
	const struct disco *d = own_hashes(m);
	struct elem *caps;

	if (!stream_is_authenticated(s))
		return;
	caps = elem_add(features, EL_CAPS);
	elem_set(caps, AT_HASH, STR("sha-1"));
	elem_set(caps, AT_NODE, STR(NODE));
	elem_set_copy(caps, AT_VER, d->ver);
	caps = elem_add(features, EL_CAPS2);
	for (size_t i = 0; i < ARRAY_LEN(algos); i++) {
		struct elem *hash = elem_add_text(caps, EL_HASHES_HASH,
		    str_dup(elem_arena(caps), d->hash[i]));

		elem_set(hash, AT_ALGO, str_c(algos[i]));
	}
}

static void
disco_stop(struct mod *m)
{
	struct disco *d = mod_state(m);

	forget_hashes(d);
}

/* Clients fetch it without asking us, and believe it. */
static void
disco_check(struct mod *m, struct check *c)
{
	const struct disco_options *o = mod_options(m);

	for (size_t i = 0; i < o->outage.count; i++)
		if (!str_has_prefix(o->outage.item[i], STR("https://")))
			check_say(c, CHECK_WARNING,
			    "disco: {external_status: [https://...]}",
			    "outage status", STR_FMT " is no address by HTTPS",
			    STR_ARG(o->outage.item[i]));
}

/* ---- the table --------------------------------------------------------- */

#define CONTACT(name, field) \
	OPT_LIST(name, struct disco_options, field, "", 20, \
	    "addresses (mailto:, xmpp:, https:) for " name)

static const struct option options[] = {
	CONTACT("abuse", abuse),
	CONTACT("admin", admin),
	CONTACT("feedback", feedback),
	CONTACT("sales", sales),
	CONTACT("security", security),
	CONTACT("status", status),
	CONTACT("support", support),
	OPT_LIST("external_status", struct disco_options, outage, "", 10,
	    "addresses of files, on other machines, that say what is wrong "
	    "with this server (XEP-0455)"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_HOST | TO_ACCOUNT, EL_DISCO_INFO, on_info },
	{ IQ_GET, TO_HOST | TO_ACCOUNT, EL_DISCO_ITEMS, on_items },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_STREAM_FEATURES, LATE, .features = on_features },
	HOOKS_END,
};

static const struct identity identities[] = {
	{ TO_HOST, "server", "im", "Rookery" },
	{ TO_ACCOUNT, "account", "registered", NULL },
	{ 0 },
};

static const struct feature features[] = {
	{ TO_HOST | TO_ACCOUNT,
	    STR_INIT("http://jabber.org/protocol/disco#info") },
	{ TO_HOST | TO_ACCOUNT,
	    STR_INIT("http://jabber.org/protocol/disco#items") },
	{ TO_HOST, STR_INIT("urn:xmpp:caps") },
	FEATURES_END,
};

MODULE(disco) = {
	.summary = "tell what the server and its accounts can do",
	.options_size = sizeof(struct disco_options),
	.state_size = sizeof(struct disco),
	.options = options,
	.hooks = hooks,
	.iq = routes,
	.features = features,
	.identities = identities,
	.stop = disco_stop,
	.check = disco_check,
};
