/* SPDX-License-Identifier: MIT */
/*
 * XEP-0357: Push Notifications. A device that sleeps is told through its
 * maker's service that something waits: when a message goes to the spool
 * because nobody is there, and when it waits for a session whose link was
 * lost, also if a room said it. Registrations that the service refuses for
 * good are taken away.
 */
#include "modules/push/push.h"

#include "xep/0160-offline.h"

#define STORE STR("push")

/* ---- registrations ----------------------------------------------------- */

struct push *
push_of(struct mod *m, const struct account *acct)
{
	struct push *p = account_slot_peek(acct, m);

	return p != NULL && p->all.next != NULL && !list_is_empty(&p->all)
		   ? p
		   : NULL;
}

static void
registration_free(struct registration *r)
{
	struct push *p = account_slot(r->account, r->mod);
	struct str service = r->service.full;

	if (r->is_asked) {
		iq_forget(r);
		account_unpin(r->account);
	}
	list_del(&r->node);
	p->count--;
	str_free(&r->key);
	str_free(&r->xml);
	str_free(&service);
	str_free(&r->node_id);
	str_free(&r->resource);
	str_free(&r->sender);
	str_free(&r->body);
	xfree(r);
}

void
push_forget(struct registration *r)
{
	struct str owner = r->account->jid.bare;
	struct store_write *w = store_write_new(owner);

	kv_del(w, owner, STORE, r->key);
	store_commit(&w, NULL, NULL);
	registration_free(r);
}

static struct registration *
find(struct push *p, struct str key)
{
	struct registration *r;

	if (p == NULL)
		return NULL;
	LIST_EACH(r, &p->all, struct registration, node)
	{
		if (str_eq(r->key, key))
			return r;
	}
	return NULL;
}

static struct str
key_of(struct arena *a, const struct elem *e)
{
	return str_printf(a, STR_FMT " " STR_FMT, STR_ARG(elem_attr(e, AT_JID)),
	    STR_ARG(elem_attr(e, AT_NODE)));
}

/* From what is kept: an <enable/> with a prepared address. */
static void
add(struct mod *m, struct account *acct, struct str key, struct str xml)
{
	struct arena *a = arena_new(0);
	struct elem *e = xml_parse(a, str_dup(a, xml), NULL, NS_NONE, NULL);
	struct push *p = account_slot(acct, m);
	struct registration *r = find(push_of(m, acct), key);

	if (p->all.next == NULL)
		list_init(&p->all);
	if (r != NULL)
		registration_free(r);
	if (e != NULL) {
		r = xzalloc(sizeof(*r));
		r->mod = m;
		r->account = acct;
		r->key = str_heap(key);
		r->xml = str_heap(xml);
		r->service = jid_of(str_heap(elem_attr(e, AT_JID)));
		r->node_id = str_heap(elem_attr(e, AT_NODE));
		r->resource = str_heap(elem_attr(e, AT_RESOURCE));
		list_add(&p->all, &r->node);
		p->count++;
	}
	arena_free(&a);
}

struct load {
	struct mod *mod;
	struct account *acct;
};

static void
on_loaded(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct load *load = ctx;

	for (size_t i = 0; i < count; i++)
		add(load->mod, load->acct, items[i].key, items[i].value);
	account_load_release(load->acct, err);
	xfree(load);
}

static void
on_load(struct mod *m, struct account *acct)
{
	const struct push_options *o = mod_options(m);
	struct load *load = xmalloc(sizeof(*load));

	load->mod = m;
	load->acct = acct;
	account_load_hold(acct);
	kv_list(acct->jid.bare, STORE, STR_NONE, false, o->max_registrations,
	    on_loaded, load);
}

static void
push_free(struct mod *m, void *state)
{
	struct push *p = state;
	struct registration *r;

	if (p->all.next == NULL)
		return;
	while ((r = LIST_FIRST(&p->all, struct registration, node)) != NULL)
		registration_free(r);
}

/* ---- enable and disable ------------------------------------------------ */

struct change {
	struct mod *mod;
	struct stanza *iq;
	struct str key, xml;
};

static void
on_enabled(void *ctx, int err)
{
	struct change *change = ctx;
	struct stanza *iq = change->iq;
	struct account *acct = iq_account(iq);

	if (err < 0) {
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	if (acct != NULL)
		add(change->mod, acct, change->key, change->xml);
	stanza_reply(iq);
}

static enum verdict
on_enable(struct mod *m, struct stanza *iq)
{
	const struct push_options *o = mod_options(m);
	struct push *p = push_of(m, iq_account(iq));
	struct elem *e = stanza_payload(iq);
	struct change *change;
	struct store_write *w;
	struct jid service;

	if (jid_parse(iq->arena, elem_attr(e, AT_JID), &service) < 0)
		return stanza_refuse(iq, EL_BAD_REQUEST);
	if (elem_attr(e, AT_NODE).n > 1023 || xml_text(iq->arena, e).n > 8192)
		return stanza_refuse(iq, EL_NOT_ACCEPTABLE);
	elem_set(e, AT_JID, service.full);
	elem_set(e, AT_RESOURCE, iq->from.resource);
	change = arena_new_of(iq->arena, struct change);
	change->mod = m;
	change->iq = iq;
	change->key = key_of(iq->arena, e);
	change->xml = xml_text(iq->arena, e);
	if (p != NULL && find(p, change->key) == NULL &&
	    p->count >= o->max_registrations)
		return stanza_refuse(iq, EL_RESOURCE_CONSTRAINT);
	w = store_write_new(iq->from.bare);
	kv_put(w, iq->from.bare, STORE, change->key, change->xml);
	store_commit(&w, on_enabled, change);
	return STANZA_DONE;
}

/* Without a node: all of that service (section 6). */
static enum verdict
on_disable(struct mod *m, struct stanza *iq)
{
	struct push *p = push_of(m, iq_account(iq));
	struct elem *e = stanza_payload(iq);
	struct str node = elem_attr(e, AT_NODE);
	struct store_write *w;
	struct registration *r;
	struct jid service;

	if (jid_parse(iq->arena, elem_attr(e, AT_JID), &service) < 0)
		return stanza_refuse(iq, EL_BAD_REQUEST);
	w = store_write_new(iq->from.bare);
	if (p != NULL) {
		LIST_EACH(r, &p->all, struct registration, node)
		{
			if (!jid_eq(&r->service, &service) ||
			    (!str_is_none(node) && !str_eq(r->node_id, node)))
				continue;
			kv_del(w, iq->from.bare, STORE, r->key);
			registration_free(r);
		}
	}
	store_commit(&w, stanza_on_done, iq);
	return STANZA_DONE;
}

/* ---- when to tell ------------------------------------------------------ */

/* Nobody is there: all devices are told, unless it was refused (FIRST). */
static enum verdict
on_offline(struct mod *m, struct stanza *st)
{
	struct account *acct = account_peek(st->to.bare);
	struct push *p = acct != NULL ? push_of(m, acct) : NULL;
	struct registration *r;

	if (p == NULL || !offline_is_worth(st->root))
		return STANZA_PASS;
	LIST_EACH(r, &p->all, struct registration, node)
	{
		push_notify(r, st, true);
	}
	return STANZA_PASS;
}

/* What is encrypted may do without a body (XEP-0380). */
static bool
is_encrypted(const struct elem *message)
{
	const struct elem *e = elem_child(message, EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY))
		if (str_is(elem_ns_uri(e), "urn:xmpp:eme:0"))
			return true;
	return false;
}

/*
 * What rooms send is never kept for later, but a device that is still joined
 * has to hear of it: of what is said, that is, and not of subjects, markers
 * and the like.
 */
static bool
is_worth_waking(const struct stanza *st)
{
	const struct elem *message = st->root;

	if (st->kind != STANZA_MESSAGE)
		return false;
	if (st->type != MESSAGE_GROUPCHAT)
		return offline_is_worth(message);
	return elem_child(message, EL_HINT_NO_STORE) == NULL &&
	       (elem_child_text(message, EL_BODY).n > 0 ||
		   is_encrypted(message));
}

static bool
is_for_device(const struct stanza *st)
{
	return is_worth_waking(st) &&
	       elem_child(st->root, EL_CARBONS_SENT) == NULL;
}

static void
tell_device(struct push *p, const struct session *s, const struct stanza *st,
    bool is_coming)
{
	struct registration *r;

	LIST_EACH(r, &p->all, struct registration, node)
	{
		if (str_eq(r->resource, s->jid.resource))
			push_notify(r, st, is_coming);
	}
}

/* It waits in the queue of a session without a link: its device is told. */
static enum verdict
on_send(struct mod *m, struct session *s, struct stanza *st)
{
	struct push *p = push_of(m, s->account);

	if (p != NULL && session_is_detached(s) && is_for_device(st))
		tell_device(p, s, st, true);
	return STANZA_PASS;
}

struct unheard {
	struct mod *mod;
	struct session *session;
};

static void
on_unheard(void *ctx, const struct stanza *st)
{
	const struct unheard *u = ctx;

	if (is_for_device(st))
		tell_device(push_of(u->mod, u->session->account), u->session,
		    st, false);
}

/* What was sent into a link that turns out to be dead has not been heard. */
static void
on_detached(struct mod *m, struct session *s)
{
	struct unheard u = { m, s };

	s->filters++;
	if (push_of(m, s->account) != NULL)
		session_each_unacked(s, on_unheard, &u);
}

static void
on_resumed(struct mod *m, struct session *s)
{
	if (s->filters > 0)
		s->filters--;
}

/* ---- the table --------------------------------------------------------- */

static const struct option options[] = {
	OPT_BOOL("include_sender", struct push_options, include_sender, "false",
	    "tell push services who wrote"),
	OPT_BOOL("include_body", struct push_options, include_body, "false",
	    "tell push services what was written"),
	OPT_UINT("max_registrations", struct push_options, max_registrations,
	    "20", 1, 1000, "devices that an account may register"),
	OPT_UINT("max_errors", struct push_options, max_errors, "5", 1, 1000,
	    "errors in a row after which a registration is taken away"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_SET, TO_SELF, EL_PUSH_ENABLE, on_enable },
	{ IQ_SET, TO_SELF, EL_PUSH_DISABLE, on_disable },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_ACCOUNT_LOAD, NORMAL, .account = on_load },
	{ HOOK_MESSAGE_OFFLINE, NORMAL, .stanza = on_offline },
	{ HOOK_SESSION_SEND, NORMAL, .send = on_send },
	{ HOOK_SESSION_DETACHED, NORMAL, .session = on_detached },
	{ HOOK_SESSION_RESUMED, NORMAL, .session = on_resumed },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:push:0") },
	FEATURES_END,
};

MODULE(push) = {
	.summary = "tell sleeping devices that something waits",
	.options_size = sizeof(struct push_options),
	.account_size = sizeof(struct push),
	.options = options,
	.iq = routes,
	.hooks = hooks,
	.features = features,
	.account_free = push_free,
};
