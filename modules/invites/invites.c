/* SPDX-License-Identifier: MIT */
/*
 * Invitations: XEP-0401 (made by users), XEP-0445 (an account by a token),
 * XEP-0379 (a contact by a token), their page in a browser, and links that set
 * a new password. Accounts are made in band by the module `register`, which
 * asks for what this one publishes as "invitations" (core/offers.h).
 */
#include "modules/invites/invites.h"

static void
redeem(const struct host *host, struct str token, const struct jid *who,
    struct str password, store_done_fn *done, void *ctx)
{
	invite_redeem(host, token, who, password, true, done, ctx);
}

static const struct invitations offer = {
	.show = invite_show,
	.redeem = redeem,
	.is_reserved = invite_is_reserved,
};

static int
invites_load(struct arena *a, const char **why_r)
{
	mod_publish("invitations", &offer);
	return 0;
}

static void
invites_unload(void)
{
	mod_publish("invitations", NULL);
}

/* ---- commands in the client --------------------------------------------- */

static bool
is_list(const struct stanza *iq)
{
	return elem_attr_is(
	    stanza_payload(iq), AT_NODE, "http://jabber.org/protocol/commands");
}

static enum verdict
on_adhoc(struct mod *m, struct stanza *iq)
{
	struct invites *s = mod_state(m);

	return adhoc_is_for(s->adhoc, iq) ? adhoc_iq(s->adhoc, iq)
					  : STANZA_PASS;
}

/* Into the list of whoever else has commands there. */
static void
on_disco_items(struct mod *m, struct elem *query, const struct stanza *iq)
{
	const struct elem *e = elem_child(query, EL_DISCO_ITEM);

	if (!is_list(iq) || !str_is_none(iq->to.local))
		return;
	for (; e != NULL; e = elem_next(e, EL_DISCO_ITEM))
		if (elem_attr_is(e, AT_NODE, invites_adhoc[0].node))
			return;
	for (const struct adhoc_command *c = invites_adhoc; c->node != NULL;
	     c++) {
		struct elem *item;

		if (!c->may(m, iq))
			continue;
		item = elem_add(query, EL_DISCO_ITEM);
		elem_set_copy(item, AT_JID, iq->to.full);
		elem_set(item, AT_NODE, str_c(c->node));
		elem_set(item, AT_NAME, str_c(c->name));
	}
}

static void
invites_start(struct mod *m)
{
	struct invites *s = mod_state(m);

	s->mod = m;
	s->adhoc = adhoc_new(invites_adhoc, m);
}

static void
invites_stop(struct mod *m)
{
	struct invites *s = mod_state(m);

	adhoc_free(&s->adhoc);
	addr_rate_fini(&s->failures);
	invites_let_go(s);
}

/* ---- the table ----------------------------------------------------------- */

static const struct option options[] = {
	OPT_TEXT("url", struct invites_options, url, "", 1000,
	    "where browsers reach our HTTP listener, such as "
	    "https://chat.example.org; by default by the host's name and the "
	    "port"),
	OPT_SPAN("keep", struct invites_options, keep_ms, "7d", SECONDS(1),
	    DAYS(DAYS_MAX), "how long an invitation is good"),
	OPT_SPAN("reset_keep", struct invites_options, reset_ms, "1d",
	    SECONDS(1), DAYS(30), "how long a link for a new password is good"),
	OPT_BOOL("users_invite", struct invites_options, users_invite, "true",
	    "let users invite contacts; administrators always may"),
	OPT_BOOL("users_make_accounts", struct invites_options,
	    users_make_accounts, "true",
	    "contacts that a user invites may make an account here"),
	OPT_UINT("each", struct invites_options, each, "50", 1, 2000,
	    "invitations that a user may have at a time"),
	OPT_RATE("ip_rate", struct invites_options, ip_rate, "20/1h",
	    "wrong tokens and forms from one address (by worker)"),
	OPT_UINT("password_min", struct invites_options, password_min, "8", 1,
	    1023, "bytes that a password set in a browser must have"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_SET, TO_HOST, EL_COMMAND, on_adhoc },
	{ IQ_GET, TO_HOST, EL_DISCO_INFO, on_adhoc },
	{ IQ_GET, TO_HOST, EL_DISCO_ITEMS, on_adhoc },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_STREAM_FEATURES, NORMAL, .features = on_stream_features },
	{ HOOK_STREAM_IQ, NORMAL, .stream_iq = on_stream_iq },
	{ HOOK_PRESENCE_DELIVER, NORMAL, .stanza = on_presence },
	{ HOOK_DISCO_ITEMS, NORMAL, .disco = on_disco_items },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_HOST, STR_INIT("http://jabber.org/protocol/commands") },
	FEATURES_END,
};

static const struct http_route http[] = {
	{ .method = "GET", .path = "/invite/", .fn = on_page },
	{ .method = "POST", .path = "/invite/", .fn = on_form },
	HTTP_ROUTES_END,
};

MODULE(invites) = {
	.summary = "invite people to make an account, and to be contacts",
	.options_size = sizeof(struct invites_options),
	.state_size = sizeof(struct invites),
	.options = options,
	.iq = routes,
	.hooks = hooks,
	.features = features,
	.http = http,
	.commands = invites_commands,
	.load = invites_load,
	.unload = invites_unload,
	.start = invites_start,
	.stop = invites_stop,
};
