/* SPDX-License-Identifier: MIT */
/*
 * People whom an account does not know: who is not in its roster, and whom it
 * has not written to first. What they send is bounded, by sender, by domain
 * and by recipient, and so is their share of what is kept for later; and
 * real-time block lists shut out who is known for abuse. What our own servers,
 * services and components say is no stranger's, nor is what administrators do.
 */
#include "modules/strangers/strangers.h"

#include "xep/0160-offline.h"

#define LISTS_MAX 4

struct bound {
	size_t rate; /* of its option */
	enum { BY_SENDER, BY_DOMAIN, BY_ACCOUNT } by;
	int types;
	const char *what;
};

#define MESSAGES \
	(MESSAGE_NORMAL | MESSAGE_CHAT | MESSAGE_GROUPCHAT | MESSAGE_HEADLINE)
#define BOUND(field, by, types, what) \
	{ \
		offsetof(struct strangers_options, field), by, types, what \
	}

static const struct bound bounds[] = {
	BOUND(sender_messages, BY_SENDER, MESSAGES, "messages from"),
	BOUND(domain_messages, BY_DOMAIN, MESSAGES, "messages from"),
	BOUND(account_messages, BY_ACCOUNT, MESSAGES, "messages to"),
	BOUND(sender_requests, BY_SENDER, PRESENCE_SUBSCRIBE, "requests from"),
	BOUND(domain_requests, BY_DOMAIN, PRESENCE_SUBSCRIBE, "requests from"),
	BOUND(account_requests, BY_ACCOUNT, PRESENCE_SUBSCRIBE, "requests to"),
};

struct strangers {
	struct key_rate counts[ARRAY_LEN(bounds)];
	struct blocklist *lists[LISTS_MAX];
};

/* ---- who is one -------------------------------------------------------- */

/* Invitations come from a room, in the name of whoever is in it. */
static bool
is_invitation(const struct stanza *st)
{
	return elem_child(elem_child(st->root, EL_MUC_USER),
		   EL_MUC_USER_INVITE) != NULL;
}

static bool
is_contact(const struct account *acct, struct str jid)
{
	const struct roster_item *item = roster_find(acct, jid);

	return item != NULL && item->is_in_roster;
}

/* Does the account know who sent it? */
static bool
is_known(struct mod *m, const struct account *acct, const struct stanza *st)
{
	const struct jid *from = &st->from;

	if (jid_is_none(from) || str_eq(from->bare, acct->jid.bare) ||
	    host_is_admin(from))
		return true;
	if (router_is_ours(from->domain) && host_find(from->domain) == NULL &&
	    !is_invitation(st))
		return true;
	if (str_is_none(from->local) && router_is_ours(from->domain))
		return true;
	/* Who has a gateway in his roster knows whom it is for. */
	return is_contact(acct, from->bare) || is_contact(acct, from->domain) ||
	       known_has(m, acct, from->bare);
}

static bool
is_counted(struct mod *m, const struct stanza *st)
{
	const struct strangers_options *o = mod_options(m);

	return o->counts_local || host_find(st->from.domain) == NULL;
}

static bool
is_listed(struct mod *m, const struct stanza *st)
{
	struct strangers *s = mod_state(m);

	for (size_t i = 0; i < LISTS_MAX; i++)
		if (blocklist_has(s->lists[i], &st->from))
			return true;
	return false;
}

/* ---- what comes -------------------------------------------------------- */

static struct str
key_of(const struct bound *b, const struct stanza *st)
{
	switch (b->by) {
	case BY_SENDER:
		return st->from.bare;
	case BY_DOMAIN:
		return st->from.domain;
	case BY_ACCOUNT:
		break;
	}
	return st->to.bare;
}

/* Counts it; false when it is too much. Each excess is told once. */
static bool
take(struct mod *m, const struct stanza *st)
{
	const char *options = mod_options(m);
	struct strangers *s = mod_state(m);

	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		const struct bound *b = &bounds[i];
		const struct rate *rate = (const void *)(options + b->rate);
		struct str key = key_of(b, st);
		enum rate_state state;

		if (!(b->types & (int)st->type))
			continue;
		state = key_rate_take(&s->counts[i], rate, key);
		if (state == RATE_ENDS)
			log_notice(mod_log(m),
			    "strangers: more than %u %s " STR_FMT
			    ", the last from " STR_FMT,
			    rate->count, b->what, STR_ARG(key),
			    STR_ARG(st->from.bare));
		if (state != RATE_FINE)
			return false;
	}
	return true;
}

/* Something for the eyes of the recipient. */
static bool
has_words(const struct stanza *st)
{
	const struct elem *e = elem_child(st->root, EL_ANY);

	if (!(st->type & MESSAGES))
		return false;
	for (; e != NULL; e = elem_next(e, EL_ANY)) {
		switch (elem_ns(e)) {
		case NS_CHATSTATES:
		case NS_HINTS:
		case NS_RECEIPTS:
		case NS_MARKERS:
		case NS_DELAY:
			break;
		default:
			return true;
		}
	}
	return false;
}

static enum verdict
refuse_listed(struct mod *m, struct stanza *st)
{
	metric_add(METRIC_BLOCKLISTED, 1);
	log_info(mod_log(m), "strangers: " STR_FMT " is on a block list",
	    STR_ARG(st->from.bare));
	/* Who watches for presence need not hear that anybody is there. */
	if (st->kind == STANZA_PRESENCE && st->type != PRESENCE_SUBSCRIBE) {
		stanza_free(&st);
		return STANZA_DONE;
	}
	return stanza_refuse_with(
	    st, EL_FORBIDDEN, "The sender is on a list of abusers", EL_NONE);
}

/* Answers, and what the server itself has to say, are nobody's intrusion. */
static bool
is_exempt(const struct stanza *st)
{
	return st->is_ours || st->is_resent || st->is_carbon ||
	       st->type &
		   (MESSAGE_ERROR | PRESENCE_ERROR | IQ_RESULT | IQ_ERROR);
}

static struct account *
recipient_of_stranger(struct mod *m, const struct stanza *st)
{
	struct account *acct;

	if (is_exempt(st))
		return NULL;
	acct = account_peek(st->to.bare);
	return acct != NULL && !is_known(m, acct, st) ? acct : NULL;
}

static bool
skips(struct mod *m, const struct stanza *st)
{
	return recipient_of_stranger(m, st) == NULL;
}

static enum verdict
on_deliver(struct mod *m, struct stanza *st)
{
	const struct strangers_options *o = mod_options(m);

	if (recipient_of_stranger(m, st) == NULL)
		return STANZA_PASS;
	if (is_listed(m, st))
		return refuse_listed(m, st);
	if (!is_counted(m, st))
		return STANZA_PASS;
	if (o->bodies == BODIES_REFUSE && has_words(st)) {
		metric_add(METRIC_STRANGERS_REFUSED, 1);
		return stanza_refuse_with(st, EL_POLICY_VIOLATION,
		    "Ask for a subscription first: messages of people who are "
		    "not contacts are refused",
		    EL_NONE);
	}
	if (take(m, st))
		return STANZA_PASS;
	metric_add(METRIC_STRANGERS_LIMITED, 1);
	return stanza_refuse_with(st, EL_RESOURCE_CONSTRAINT,
	    "Too much from people who are not contacts; try again later",
	    EL_NONE);
}

/* As when the spool is full, but of a part of it. */
static enum verdict
on_offline(struct mod *m, struct stanza *st)
{
	struct account *acct = recipient_of_stranger(m, st);

	if (acct == NULL || !is_counted(m, st) || !offline_is_worth(st->root) ||
	    known_keep(m, acct))
		return STANZA_PASS;
	metric_add(METRIC_STRANGERS_LIMITED, 1);
	return stanza_refuse_with(st, EL_SERVICE_UNAVAILABLE,
	    "The recipient's offline queue has enough of people who are not "
	    "contacts",
	    EL_NONE);
}

/* ---- what goes --------------------------------------------------------- */

/* It makes its recipient one who may answer. */
static bool
is_welcoming(const struct stanza *st)
{
	switch (st->kind) {
	case STANZA_MESSAGE:
		return has_words(st);
	case STANZA_PRESENCE:
		return st->type == PRESENCE_AVAILABLE;
	case STANZA_IQ:
		return st->type == IQ_SET;
	}
	return false;
}

static enum verdict
on_sent(struct mod *m, struct stanza *st)
{
	struct account *acct;

	if (jid_is_none(&st->to) || !is_welcoming(st) ||
	    str_eq(st->to.bare, st->from.bare))
		return STANZA_PASS;
	/* Those are known anyhow. */
	if (router_is_ours(st->to.domain) &&
	    (host_find(st->to.domain) == NULL || str_is_none(st->to.local)))
		return STANZA_PASS;
	acct = account_peek(st->from.bare);
	if (acct != NULL && !is_contact(acct, st->to.bare) &&
	    !known_has(m, acct, st->to.bare))
		known_add(m, acct, st->to.bare);
	return STANZA_PASS;
}

/* ---- block lists ------------------------------------------------------- */

static enum verdict
on_host_message(struct mod *m, struct stanza *st)
{
	struct strangers *s = mod_state(m);

	for (size_t i = 0; i < LISTS_MAX; i++) {
		if (!blocklist_message(s->lists[i], st))
			continue;
		stanza_free(&st);
		return STANZA_DONE;
	}
	return STANZA_PASS;
}

static void
strangers_go(struct mod *m)
{
	const struct strangers_options *o = mod_options(m);
	struct strangers *s = mod_state(m);

	for (size_t i = 0; i < LISTS_MAX; i++) {
		bool is_named = i < o->rtbl_nodes.count;
		struct blocklist_rules rules = {
			.service = is_named ? o->rtbl_service : STR_NONE,
			.node = is_named ? o->rtbl_nodes.item[i] : STR_NONE,
			.subscriber = mod_host(m)->jid,
			.max = o->rtbl_max,
		};

		blocklist_renew(&s->lists[i], m, &rules);
	}
}

static void
strangers_stop(struct mod *m)
{
	struct strangers *s = mod_state(m);

	for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
		key_rate_fini(&s->counts[i]);
	for (size_t i = 0; i < LISTS_MAX; i++)
		blocklist_free(&s->lists[i]);
}

static void
strangers_check(struct mod *m, struct check *c)
{
	const struct strangers_options *o = mod_options(m);
	const struct register_offer *offer = mod_lookup("register");

	if (offer != NULL && offer->is_open(mod_host(m)) && !o->counts_local)
		check_say(c, CHECK_WARNING, "strangers: {local: true}",
		    "strangers",
		    "anybody may sign up, and then write to all accounts here");
	else
		check_say(c, CHECK_OK, NULL, "strangers",
		    "what they send is bounded");
}

/* ---- the table --------------------------------------------------------- */

static const char *const bodies[] = { "take", "refuse", NULL };

#define RATE(name, field, value, help) \
	OPT_RATE(name, struct strangers_options, field, value, help)

static const struct option options[] = {
	RATE("sender_messages", sender_messages, "30/1h",
	    "messages that one stranger may send to the accounts here (all of "
	    "these rates are by worker)"),
	RATE("domain_messages", domain_messages, "unlimited",
	    "messages that the strangers of one domain may send"),
	RATE("account_messages", account_messages, "200/1h",
	    "messages of strangers that one account gets"),
	RATE("sender_requests", sender_requests, "10/1h",
	    "requests for subscription that one stranger may send"),
	RATE("domain_requests", domain_requests, "unlimited",
	    "requests that the strangers of one domain may send"),
	RATE("account_requests", account_requests, "30/1h",
	    "requests of strangers that one account gets"),
	OPT_CHOICE("messages", struct strangers_options, bodies, "take", bodies,
	    "refuse: messages of strangers come back; who wants to write asks "
	    "for a subscription first"),
	OPT_BOOL("local", struct strangers_options, counts_local, "false",
	    "accounts of this server are strangers, too, to those who do not "
	    "have them as contacts"),
	OPT_UINT("offline_max", struct strangers_options, offline_max, "50", 0,
	    1000000, "messages of strangers that are kept for an account"),
	OPT_UINT("known_max", struct strangers_options, known_max, "500", 1,
	    10000, "addresses remembered of whom an account has written to"),
	OPT_TEXT("rtbl_service", struct strangers_options, rtbl_service, "",
	    1023, "a pubsub service with real-time block lists"),
	OPT_LIST("rtbl_nodes", struct strangers_options, rtbl_nodes,
	    "muc_bans_sha256", LISTS_MAX, "its nodes that are asked for"),
	OPT_UINT("rtbl_max", struct strangers_options, rtbl_max, "200000", 1,
	    10000000, "entries that are kept of each"),
	OPTIONS_END,
};

static const struct hook hooks[] = {
	{ HOOK_ACCOUNT_LOAD, NORMAL, .account = known_load },
	{ HOOK_MESSAGE_SENT, LATE, .stanza = on_sent },
	{ HOOK_PRESENCE_SENT, LATE, .stanza = on_sent },
	{ HOOK_IQ_SENT, LATE, .stanza = on_sent },
	{ HOOK_MESSAGE_DELIVER, FIRST, .stanza = on_deliver, .skips = skips },
	{ HOOK_PRESENCE_DELIVER, FIRST, .stanza = on_deliver, .skips = skips },
	{ HOOK_IQ_DELIVER, FIRST, .stanza = on_deliver },
	{ HOOK_MESSAGE_OFFLINE, FIRST, .stanza = on_offline },
	{ HOOK_HOST_MESSAGE, NORMAL, .stanza = on_host_message },
	HOOKS_END,
};

MODULE(strangers) = {
	.summary = "bound what people send who are no contacts",
	.options_size = sizeof(struct strangers_options),
	.state_size = sizeof(struct strangers),
	.account_size = sizeof(struct acquaintances),
	.options = options,
	.hooks = hooks,
	.start = strangers_go,
	.reload = strangers_go,
	.stop = strangers_stop,
	.check = strangers_check,
	.account_free = known_free,
};
