/* SPDX-License-Identifier: MIT */
/*
 * XEP-0191: Blocking Command. What a blocked address sends is answered as if
 * the account did not exist, and it is sent nothing, presence included. With
 * XEP-0377: a report that comes with a block is logged, and told to the
 * administrators.
 */
#include "core/module.h"

#define STORE STR("blocking")
/* What max_items can be. */
#define ITEMS_MAX 100000

struct blocking_options {
	uint64_t max_items;
	bool tell_admins;
	struct rate report_rate;
};

struct blocking {
	struct key_rate reports; /* of late, by account */
};

/* In each account that has blocked somebody; keys of the map are its own. */
struct blocklist {
	struct map jids; /* of struct str * */
	size_t coming;	 /* more, on their way to the store */
};

/* In each session: has it asked for the list? Then it gets pushes. */
struct watcher {
	bool is_interested;
};

/* ---- the list ---------------------------------------------------------- */

static void
blocks_add(struct blocklist *list, struct str jid)
{
	struct str *item;

	if (map_get(&list->jids, jid) != NULL)
		return;
	item = xmalloc(sizeof(*item));
	*item = str_heap(jid);
	map_set(&list->jids, *item, item);
}

/* Was it there? */
static bool
blocks_remove(struct blocklist *list, struct str jid)
{
	struct str *item = map_del(&list->jids, jid);

	if (item == NULL)
		return false;
	str_free(item);
	xfree(item);
	return true;
}

static void
blocks_clear(struct blocklist *list)
{
	struct str *item;

	for (size_t i = 0; (item = map_next(&list->jids, &i)) != NULL;) {
		str_free(item);
		xfree(item);
	}
	map_fini(&list->jids);
}

static void
blocks_free(struct mod *m, void *state)
{
	blocks_clear(state);
}

/* Section 2: a full JID, a bare one, a domain's resource, a domain. */
static bool
blocks_have(const struct blocklist *list, const struct jid *jid)
{
	char text[2 * JID_PART_MAX + 2];
	int n;

	if (list == NULL || list->jids.count == 0)
		return false;
	if (map_get(&list->jids, jid->full) != NULL ||
	    map_get(&list->jids, jid->bare) != NULL ||
	    map_get(&list->jids, jid->domain) != NULL)
		return true;
	if (str_is_none(jid->local) || str_is_none(jid->resource))
		return false;
	n = snprintf(text, sizeof(text), STR_FMT "/" STR_FMT,
	    STR_ARG(jid->domain), STR_ARG(jid->resource));
	return map_get(&list->jids, str_mem(text, (size_t)n)) != NULL;
}

static bool
is_blocked(struct mod *m, const struct account *acct, const struct jid *jid)
{
	/* The account itself and its server can't be shut out. */
	if (acct == NULL || str_eq(jid->bare, acct->jid.bare) ||
	    (str_is_none(jid->local) && str_is_none(jid->resource) &&
		str_eq(jid->domain, acct->jid.domain)))
		return false;
	return blocks_have(account_slot_peek(acct, m), jid);
}

struct load {
	struct mod *mod;
	struct account *acct;
};

static void
on_loaded(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct load *load = ctx;

	if (count > 0) {
		struct blocklist *list = account_slot(load->acct, load->mod);

		for (size_t i = 0; i < count; i++)
			blocks_add(list, items[i].key);
	}
	account_load_release(load->acct, err);
	xfree(load);
}

static void
on_load(struct mod *m, struct account *acct)
{
	struct load *load = xmalloc(sizeof(*load));

	load->mod = m;
	load->acct = acct;
	account_load_hold(acct);
	/* All that there are, though fewer may be allowed by now. */
	kv_list(
	    acct->jid.bare, STORE, STR_NONE, false, ITEMS_MAX, on_loaded, load);
}

/* ---- presence when the list changes ------------------------------------ */

/* To one address, from each available session: goodbye, or hello again. */
static void
tell(struct account *acct, const struct jid *contact, bool is_hello)
{
	struct session *s;

	LIST_EACH(s, &acct->sessions, struct session, node)
	{
		struct stanza *st;

		if (!session_is_available(s))
			continue;
		if (is_hello) {
			st = stanza_copy(s->presence);
		} else {
			st = stanza_new(EL_PRESENCE);
			stanza_set_type(st, PRESENCE_UNAVAILABLE);
			stanza_set_from(st, &s->jid);
		}
		stanza_set_to(st, contact);
		router_send(st);
	}
}

/*
 * Contacts that see our presence, and match the address; of a resource, that
 * alone. Not those who are blocked by another address, too.
 */
static void
tell_contacts(
    struct mod *m, struct account *acct, struct str blocked, bool is_hello)
{
	struct blocklist one = { { 0 }, 0 };
	struct jid jid = jid_of(blocked);
	const struct roster_item *item;

	if (!jid_is_bare(&jid)) {
		item = roster_find(acct, jid.bare);
		if (item != NULL && item->sub & ROSTER_FROM &&
		    !is_blocked(m, acct, &jid))
			tell(acct, &jid, is_hello);
		return;
	}
	blocks_add(&one, blocked);
	for (size_t i = 0; (item = roster_next(acct, &i)) != NULL;)
		if (item->sub & ROSTER_FROM && blocks_have(&one, &item->jid) &&
		    !is_blocked(m, acct, &item->jid))
			tell(acct, &item->jid, is_hello);
	blocks_clear(&one);
}

struct asker {
	struct mod *mod;
	struct account *acct;
};

static bool
on_directed(void *ctx, const struct jid *jid)
{
	const struct asker *asker = ctx;

	return is_blocked(asker->mod, asker->acct, jid);
}

/* Those who got it directly see no more of it, either. */
static void
withdraw(struct mod *m, struct account *acct)
{
	struct asker asker = { m, acct };
	struct session *s;

	LIST_EACH(s, &acct->sessions, struct session, node)
	session_withdraw(s, on_directed, &asker);
}

/* ---- block and unblock ------------------------------------------------- */

struct change {
	struct mod *mod;
	struct stanza *iq;
	bool is_block;
	struct str *jids; /* prepared; none for "unblock all" */
	size_t count;
	size_t added; /* of those, not in the list yet */
};

static void
push(struct change *change, struct account *acct)
{
	struct session *s;

	LIST_EACH(s, &acct->sessions, struct session, node)
	{
		struct watcher *w = session_slot_peek(s, change->mod);
		struct stanza *st;
		struct elem *e;

		if (w == NULL || !w->is_interested)
			continue;
		st = stanza_new(EL_IQ);
		stanza_set_type(st, IQ_SET);
		stanza_set_from(st, &acct->jid);
		stanza_set_to(st, &s->jid);
		elem_set(st->root, AT_ID, random_token(st->arena, 9));
		e = elem_add(
		    st->root, change->is_block ? EL_BLOCK : EL_UNBLOCK);
		for (size_t i = 0; i < change->count; i++)
			elem_set_copy(elem_add(e, EL_BLOCK_ITEM), AT_JID,
			    change->jids[i]);
		session_send(s, st);
	}
}

/* Everything is unblocked: says so, one address after the other. */
static void
unblock_all(struct mod *m, struct account *acct, struct blocklist *list)
{
	struct map old = list->jids;
	struct str *item;

	memset(&list->jids, 0, sizeof(list->jids));
	for (size_t i = 0; (item = map_next(&old, &i)) != NULL;) {
		tell_contacts(m, acct, *item, true);
		str_free(item);
		xfree(item);
	}
	map_fini(&old);
}

static void
uncount(struct change *change, struct blocklist *list)
{
	list->coming -= MIN(list->coming, change->added);
}

static void
block(struct change *change, struct account *acct, struct blocklist *list)
{
	uncount(change, list);
	for (size_t i = 0; i < change->count; i++) {
		tell_contacts(change->mod, acct, change->jids[i], false);
		blocks_add(list, change->jids[i]);
	}
	withdraw(change->mod, acct);
}

static void
apply(struct change *change, struct account *acct)
{
	struct blocklist *list = account_slot(acct, change->mod);

	if (change->is_block)
		block(change, acct, list);
	else if (change->count == 0)
		unblock_all(change->mod, acct, list);
	for (size_t i = 0; !change->is_block && i < change->count; i++)
		if (blocks_remove(list, change->jids[i]))
			tell_contacts(change->mod, acct, change->jids[i], true);
}

static void
on_stored(void *ctx, int err)
{
	struct change *change = ctx;
	struct stanza *iq = change->iq;
	struct account *acct = iq_account(iq);
	struct stanza *answer;

	if (err < 0) {
		if (acct != NULL)
			uncount(change, account_slot(acct, change->mod));
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	/* The change lives in the iq's arena, so the answer is a copy. */
	answer = stanza_copy(iq);
	stanza_reply(answer);
	if (acct != NULL) {
		apply(change, acct);
		push(change, acct);
	}
	stanza_free(&iq);
}

/* ---- reports (XEP-0377) ------------------------------------------------ */

static const char *
report_reason(const struct elem *report)
{
	struct str reason = elem_attr(report, AT_REASON);

	if (str_has_suffix(reason, STR(":spam")))
		return "spam";
	return str_has_suffix(reason, STR(":abuse")) ? "abuse" : NULL;
}

static void
tell_admins(struct mod *m, const struct stanza *iq, struct str text)
{
	const struct str *admins;
	size_t count = host_admins(iq->arena, &admins);

	for (size_t i = 0; i < count; i++) {
		struct stanza *st = stanza_new(EL_MESSAGE);
		struct jid to = jid_of(admins[i]);

		stanza_set_from(st, &mod_host(m)->jid);
		stanza_set_to(st, &to);
		elem_add_text(st->root, EL_SUBJECT, STR("Abuse report"));
		elem_add_text(st->root, EL_BODY, str_dup(st->arena, text));
		router_send(st);
	}
}

/* Nobody buries what others report, nor the administrators. */
static bool
may_report(struct mod *m, const struct stanza *iq)
{
	const struct blocking_options *o = mod_options(m);
	struct blocking *b = mod_state(m);

	switch (key_rate_take(&b->reports, &o->report_rate, iq->from.bare)) {
	case RATE_FINE:
		return true;
	case RATE_ENDS:
		log_notice(mod_log(m), "too many reports by " STR_FMT,
		    STR_ARG(iq->from.bare));
		break;
	case RATE_OVER:
		break;
	}
	return false;
}

static void
take_report(struct mod *m, const struct stanza *iq, struct str jid,
    const struct elem *report)
{
	const struct blocking_options *o = mod_options(m);
	const char *reason = report_reason(report);
	struct str said = elem_child_text(report, EL_REPORT_TEXT), text;

	if (reason == NULL || !may_report(m, iq))
		return;
	said.n = MIN(said.n, 1000);
	while (said.n > 0 && !str_is_utf8(said))
		said.n--;
	text = str_printf(iq->arena,
	    STR_FMT " reports " STR_FMT " for %s%s" STR_FMT,
	    STR_ARG(iq->from.bare), STR_ARG(jid), reason,
	    said.n > 0 ? ": " : "", STR_ARG(said));
	log_notice(mod_log(m), STR_FMT, STR_ARG(text));
	if (o->tell_admins)
		tell_admins(m, iq, text);
}

/* ---- iqs --------------------------------------------------------------- */

static enum verdict
on_list(struct mod *m, struct stanza *iq)
{
	struct session *s = iq_session(iq);
	struct blocklist *list = account_slot_peek(iq_account(iq), m);
	struct elem *answer = elem_add(stanza_result(iq), EL_BLOCKLIST);
	struct str *item;

	for (size_t i = 0;
	     list != NULL && (item = map_next(&list->jids, &i)) != NULL;)
		elem_set_copy(elem_add(answer, EL_BLOCK_ITEM), AT_JID, *item);
	if (s != NULL) {
		struct watcher *w = session_slot(s, m);

		w->is_interested = true;
	}
	return stanza_send_back(iq);
}

/* The addresses of the items; EL_NONE, or the error. */
static enum qname
read_items(struct change *change)
{
	struct stanza *iq = change->iq;
	struct elem *e = stanza_payload(iq);
	struct elem *item = elem_child(e, EL_BLOCK_ITEM);

	change->jids = arena_alloc(
	    iq->arena, (elem_count(e, EL_BLOCK_ITEM) + 1) * sizeof(struct str));
	for (; item != NULL; item = elem_next(item, EL_BLOCK_ITEM)) {
		struct jid jid;

		if (jid_parse(iq->arena, elem_attr(item, AT_JID), &jid) < 0)
			return EL_JID_MALFORMED;
		change->jids[change->count++] = str_dup(iq->arena, jid.full);
	}
	return EL_NONE;
}

/* Those on their way to the store count, too. False: the list is full. */
static bool
take_room(struct change *change)
{
	const struct blocking_options *o = mod_options(change->mod);
	struct blocklist *list =
	    account_slot(iq_account(change->iq), change->mod);

	for (size_t i = 0; i < change->count; i++)
		change->added += map_get(&list->jids, change->jids[i]) == NULL;
	if (change->added > 0 &&
	    list->jids.count + list->coming + change->added > o->max_items)
		return false;
	list->coming += change->added;
	return true;
}

static void
commit(struct change *change)
{
	struct str owner = change->iq->from.bare;
	struct store_write *w = store_write_new(owner);

	if (!change->is_block && change->count == 0)
		kv_clear(w, owner, STORE);
	for (size_t i = 0; i < change->count; i++) {
		if (change->is_block)
			kv_put(w, owner, STORE, change->jids[i], STR("1"));
		else
			kv_del(w, owner, STORE, change->jids[i]);
	}
	store_commit(&w, on_stored, change);
}

static enum verdict
on_change(struct mod *m, struct stanza *iq)
{
	struct change *change = arena_new_of(iq->arena, struct change);
	struct elem *payload = stanza_payload(iq), *item;
	enum qname error;

	change->mod = m;
	change->iq = iq;
	change->is_block = elem_name(payload) == EL_BLOCK;
	error = read_items(change);
	if (error != EL_NONE)
		return stanza_refuse(iq, error);
	if (change->is_block && change->count == 0)
		return stanza_refuse(iq, EL_BAD_REQUEST);
	if (change->is_block && !take_room(change))
		return stanza_refuse(iq, EL_RESOURCE_CONSTRAINT);
	item = elem_child(payload, EL_BLOCK_ITEM);
	for (size_t i = 0; change->is_block && i < change->count; i++) {
		take_report(
		    m, iq, change->jids[i], elem_child(item, EL_REPORT));
		item = elem_next(item, EL_BLOCK_ITEM);
	}
	commit(change);
	return STANZA_DONE;
}

/* ---- hooks ------------------------------------------------------------- */

static enum verdict
on_sent(struct mod *m, struct stanza *st)
{
	if (jid_is_none(&st->to) ||
	    !is_blocked(m, account_peek(st->from.bare), &st->to))
		return STANZA_PASS;
	/* XEP-0191 section 3.3: it is no use to modify it. */
	if (stanza_make_error(st, EL_NOT_ACCEPTABLE, NULL, EL_BLOCKED)) {
		elem_set(
		    elem_child(st->root, EL_ERROR), AT_TYPE, STR("cancel"));
		router_send(st);
	} else {
		stanza_free(&st);
	}
	return STANZA_DONE;
}

static bool
skips(struct mod *m, const struct stanza *st)
{
	return !is_blocked(m, account_peek(st->to.bare), &st->from);
}

static enum verdict
on_deliver(struct mod *m, struct stanza *st)
{
	/* What the server answers in their name is not theirs. */
	if (jid_is_none(&st->from) || st->is_ours ||
	    !is_blocked(m, account_peek(st->to.bare), &st->from))
		return STANZA_PASS;
	/*
	 * A room would take the error for the end of the stay, where just one
	 * of its occupants is blocked.
	 */
	if (st->kind == STANZA_PRESENCE || st->type == MESSAGE_GROUPCHAT) {
		stanza_free(&st);
		return STANZA_DONE;
	}
	return stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
}

static enum verdict
on_allow(struct mod *m, struct account *acct, const struct jid *contact)
{
	return is_blocked(m, acct, contact) ? STANZA_DONE : STANZA_PASS;
}

static void
blocking_stop(struct mod *m)
{
	struct blocking *b = mod_state(m);

	key_rate_fini(&b->reports);
}

/* ---- the table --------------------------------------------------------- */

static const struct option options[] = {
	OPT_UINT("max_items", struct blocking_options, max_items, "1000", 1,
	    ITEMS_MAX, "addresses that an account may block"),
	OPT_BOOL("tell_admins", struct blocking_options, tell_admins, "true",
	    "send reports of spam and abuse to the administrators"),
	OPT_RATE("report_rate", struct blocking_options, report_rate, "30/1h",
	    "reports of one account that are heard"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_SELF, EL_BLOCKLIST, on_list },
	{ IQ_SET, TO_SELF, EL_BLOCK, on_change },
	{ IQ_SET, TO_SELF, EL_UNBLOCK, on_change },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_ACCOUNT_LOAD, NORMAL, .account = on_load },
	{ HOOK_MESSAGE_SENT, FIRST, .stanza = on_sent },
	{ HOOK_PRESENCE_SENT, FIRST, .stanza = on_sent },
	{ HOOK_IQ_SENT, FIRST, .stanza = on_sent },
	{ HOOK_MESSAGE_DELIVER, FIRST, .stanza = on_deliver, .skips = skips },
	{ HOOK_PRESENCE_DELIVER, FIRST, .stanza = on_deliver, .skips = skips },
	{ HOOK_IQ_DELIVER, FIRST, .stanza = on_deliver },
	{ HOOK_PRESENCE_ALLOW, NORMAL, .contact = on_allow },
	{ HOOK_SPOOL_ALLOW, NORMAL, .contact = on_allow },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:blocking") },
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:reporting:1") },
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:reporting:spam") },
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:reporting:abuse") },
	/* What clients of the earlier version look for. */
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:reporting:reason:spam:0") },
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:reporting:reason:abuse:0") },
	FEATURES_END,
};

MODULE(blocking) = {
	.summary = "let accounts block addresses, and report them",
	.options_size = sizeof(struct blocking_options),
	.state_size = sizeof(struct blocking),
	.account_size = sizeof(struct blocklist),
	.session_size = sizeof(struct watcher),
	.options = options,
	.hooks = hooks,
	.iq = routes,
	.features = features,
	.account_free = blocks_free,
	.stop = blocking_stop,
};
