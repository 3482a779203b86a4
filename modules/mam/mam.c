/* SPDX-License-Identifier: MIT */
/*
 * XEP-0313: Message Archive Management, for accounts. Each message that an
 * account sends or gets is archived once, before it goes on; its sender is
 * acknowledged when that is durable. Messages of rooms are in the archives
 * of rooms.
 */
#include "modules/mam/mam.h"

#include "xep/0160-offline.h"

/* ---- archiving --------------------------------------------------------- */

/* Hints, and what says something (XEP-0334, XEP-0313 section 7). */
static bool
is_worth(const struct stanza *st)
{
	return offline_is_worth(st->root) &&
	       elem_child(st->root, EL_HINT_NO_PERMANENT_STORE) == NULL &&
	       elem_child(st->root, EL_MAM_RESULT) == NULL;
}

static void
on_kept(void *ctx, int err)
{
	struct excuse *x = ctx;

	excuse_end(&x, err, "The message could not be archived");
}

static bool
is_uuid7(struct str id)
{
	int64_t when;

	return uuid7_time(id, &when) == 0;
}

/* Answers the id, in the stanza's arena. */
static struct str
keep(struct mod *m, struct account *acct, struct stanza *st, bool is_outgoing)
{
	struct mam_prefs *prefs = account_slot(acct, m);
	struct arena *a = st->arena;
	char *id = arena_bytes(a, UUID_LEN + 1);
	struct archive_item item = { .is_outgoing = is_outgoing };
	struct store_write *w = store_write_new(acct->jid.bare);

	uuid7(id);
	item.id = str_mem(id, UUID_LEN);
	/* What an application was told it is called. */
	if (st->is_by_app && is_outgoing && is_uuid7(stanza_id(st)))
		item.id = stanza_id(st);
	item.with = is_outgoing ? st->to.full : st->from.full;
	item.xml = xml_text(a, st->root);
	item.body = elem_child_text(st->root, EL_BODY);
	item.origin_id = stanza_id(st);
	if (item.origin_id.n == 0)
		item.origin_id =
		    elem_attr(elem_child(st->root, EL_ORIGIN_ID), AT_ID);
	mam_media(st->root, &item);
	archive_append(w, acct->jid.bare, &item);
	store_commit(&w, on_kept, excuse_new(st));
	prefs->kept++;
	return item.id;
}

/* What is said in our name by others is not true (XEP-0359 section 5). */
static void
strip_ids(struct stanza *st, struct str by)
{
	struct elem *e = elem_child(st->root, EL_STANZA_ID), *next;

	for (; e != NULL; e = next) {
		next = elem_next(e, EL_STANZA_ID);
		if (str_eq(elem_attr(e, AT_BY), by))
			elem_remove(e);
	}
}

/* One's own notes are archived where they arrive, once. */
static enum verdict
on_sent(struct mod *m, struct stanza *st)
{
	struct account *acct = account_peek(st->from.bare);

	if (acct == NULL)
		return STANZA_PASS;
	strip_ids(st, acct->jid.bare);
	if (str_eq(st->to.bare, acct->jid.bare) || !is_worth(st) ||
	    !mam_wants(m, acct, &st->to))
		return STANZA_PASS;
	st->archive_id = keep(m, acct, st, true);
	return mam_retract(acct, st, true);
}

/* Rooms keep archives of their own. */
static bool
skips(struct mod *m, const struct stanza *st)
{
	const struct elem *e = elem_child(st->root, EL_STANZA_ID);

	for (; e != NULL; e = elem_next(e, EL_STANZA_ID))
		if (str_eq(elem_attr(e, AT_BY), st->to.bare))
			return false;
	return st->type == MESSAGE_GROUPCHAT;
}

static enum verdict
on_deliver(struct mod *m, struct stanza *st)
{
	struct account *acct = account_peek(st->to.bare);
	struct elem *e;

	if (acct == NULL)
		return STANZA_PASS;
	strip_ids(st, acct->jid.bare);
	if (!is_worth(st) || !mam_wants(m, acct, &st->from))
		return STANZA_PASS;
	/* The archived copy has no id of its own in it: the result tells. */
	e = elem_new(st->arena, EL_STANZA_ID);
	elem_set_copy(e, AT_BY, acct->jid.bare);
	elem_set(e, AT_ID, keep(m, acct, st, false));
	elem_append(st->root, e);
	st->is_archived = true;
	return mam_retract(acct, st, false);
}

/* Nobody but a server makes results of queries. */
static enum verdict
on_forged(struct mod *m, struct stanza *st)
{
	struct elem *e;

	while ((e = elem_child(st->root, EL_MAM_RESULT)) != NULL)
		elem_remove(e);
	return STANZA_PASS;
}

static void
on_load(struct mod *m, struct account *acct)
{
	mam_prefs_load(m, acct);
}

/* ---- queries ----------------------------------------------------------- */

static enum verdict
on_query(struct mod *m, struct stanza *iq)
{
	const struct mam_options *o = mod_options(m);
	struct history_rules rules = { .page_max = o->page_max };
	struct session *s = iq_session(iq);

	if (s != NULL && iq->type == IQ_SET)
		mam_note_device(m, s);
	return history_query(iq, &rules);
}

static enum verdict
on_other(struct mod *m, struct stanza *iq)
{
	return stanza_refuse(iq, EL_FORBIDDEN);
}

static void
on_bound(struct mod *m, struct session *s)
{
	s->reads_archive |= mam_is_device(m, s);
}

/* ---- the table --------------------------------------------------------- */

static const struct option options[] = {
	OPT_CHOICE("default", struct mam_options, by_default, "always",
	    mam_defaults, "what is archived for those who did not choose"),
	OPT_SPAN("retention", struct mam_options, retention, "0", 0,
	    DAYS(36500), "how long messages are kept; 0: for ever"),
	OPT_UINT("page_max", struct mam_options, page_max, "250", 1, 1000,
	    "most results sent for one query"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET | IQ_SET, TO_SELF, EL_MAM_QUERY, on_query },
	{ IQ_GET, TO_SELF, EL_MAM_METADATA, on_query },
	{ IQ_GET | IQ_SET, TO_SELF, EL_MAM_PREFS, mam_on_prefs },
	{ IQ_GET | IQ_SET, TO_ACCOUNT, EL_MAM_QUERY, on_other },
	{ IQ_GET, TO_ACCOUNT, EL_MAM_METADATA, on_other },
	{ IQ_GET | IQ_SET, TO_ACCOUNT, EL_MAM_PREFS, on_other },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_MESSAGE_SENT, FIRST, .stanza = on_forged },
	{ HOOK_MESSAGE_SENT, NORMAL, .stanza = on_sent },
	{ HOOK_MESSAGE_DELIVER, NORMAL, .stanza = on_deliver, .skips = skips },
	{ HOOK_ACCOUNT_LOAD, NORMAL, .account = on_load },
	{ HOOK_SESSION_BOUND, NORMAL, .session = on_bound },
	{ HOOK_BIND_PREPARE, NORMAL, .login = mam_on_prepare },
	{ HOOK_BIND_REQUEST, NORMAL, .bind = mam_on_bind },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:mam:2") },
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:mam:2#extended") },
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:sid:0") },
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:fulltext:0") },
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:message-retract:1#tombstone") },
	FEATURES_END,
};

MODULE(mam) = {
	.summary = "keep messages and let their owner search them",
	.options_size = sizeof(struct mam_options),
	.state_size = sizeof(struct mam),
	.account_size = sizeof(struct mam_prefs),
	.options = options,
	.hooks = hooks,
	.iq = routes,
	.features = features,
	.commands = mam_commands,
	.start = mam_retention_start,
	.stop = mam_retention_stop,
	.account_free = mam_prefs_free,
};
