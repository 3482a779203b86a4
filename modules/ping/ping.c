/* SPDX-License-Identifier: MIT */
/*
 * XEP-0199: XMPP Ping. Answers pings sent to the server or to an account, and
 * pings clients that have been silent: one that does not answer has lost its
 * link, and its session waits to be resumed, or ends.
 */
#include "core/module.h"

struct ping_options {
	uint64_t interval;
	uint64_t timeout;
};

/* In each session: what it has heard when, and when to look again. */
struct watch {
	struct timer timer; /* first: the timer's callback finds the rest */
	struct mod *mod;
	struct session *session;
	bool is_asked;
};

static enum verdict
on_ping(struct mod *m, struct stanza *iq)
{
	return stanza_reply(iq);
}

static void on_timer(struct timer *t);

/* NULL: nothing came in time. An error is an answer as well. */
static void
on_pong(void *ctx, struct stanza *answer)
{
	struct watch *w = ctx;
	const struct ping_options *o = mod_options(w->mod);

	w->is_asked = false;
	/* It may come late, behind what else the client has to say. */
	if (answer != NULL || session_silence(w->session) < o->timeout) {
		stanza_free(&answer);
		if (o->interval != 0)
			timer_start(&w->timer, o->interval, on_timer);
	} else if (!session_is_detached(w->session)) {
		session_link_dead(w->session);
	}
}

static void
ask(struct watch *w)
{
	const struct ping_options *o = mod_options(w->mod);
	struct stanza *iq = stanza_new(EL_IQ);

	stanza_set_type(iq, IQ_GET);
	stanza_set_from(iq, &mod_host(w->mod)->jid);
	stanza_set_to(iq, &w->session->jid);
	elem_add(iq->root, EL_PING);
	w->is_asked = true;
	iq_send(iq, o->timeout, on_pong, w);
}

/* The interval counts from the last byte that came, not from our last look. */
static void
on_timer(struct timer *t)
{
	struct watch *w = (struct watch *)(void *)t;
	const struct ping_options *o = mod_options(w->mod);
	uint64_t silent = session_silence(w->session);

	if (session_is_detached(w->session))
		return;
	if (silent >= o->interval)
		ask(w);
	else
		timer_start(t, o->interval - silent, on_timer);
}

static void
on_bound(struct mod *m, struct session *s)
{
	const struct ping_options *o = mod_options(m);
	struct watch *w;

	if (o->interval == 0)
		return;
	w = session_slot(s, m);
	w->mod = m;
	w->session = s;
	timer_start(&w->timer, o->interval, on_timer);
}

static void
on_detached(struct mod *m, struct session *s)
{
	struct watch *w = session_slot_peek(s, m);

	if (w == NULL)
		return;
	timer_stop(&w->timer);
	iq_forget(w);
	w->is_asked = false;
}

static void
watch_free(struct mod *m, void *state)
{
	struct watch *w = state;

	timer_stop(&w->timer);
	iq_forget(w);
}

/* The new interval holds at once, also for those who were not watched. */
static void
watch_again(void *ctx, struct account *acct)
{
	struct mod *m = ctx;
	const struct ping_options *o = mod_options(m);
	struct session *s;
	struct watch *w;

	if (acct->host != mod_host(m))
		return;
	LIST_EACH(s, &acct->sessions, struct session, node)
	{
		w = session_slot_peek(s, m);
		if (session_is_detached(s) || (w != NULL && w->is_asked))
			continue;
		if (o->interval != 0)
			on_bound(m, s);
		else if (w != NULL)
			timer_stop(&w->timer);
	}
}

static void
ping_reload(struct mod *m)
{
	account_each(watch_again, m);
}

static const struct option options[] = {
	OPT_SPAN("interval", struct ping_options, interval, "5m", 0, DAYS(1),
	    "silence after which a client is pinged; 0: never"),
	OPT_SPAN("timeout", struct ping_options, timeout, "30s", SECONDS(1),
	    HOURS(1), "how long its answer may take"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_HOST | TO_ACCOUNT, EL_PING, on_ping },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_SESSION_BOUND, NORMAL, .session = on_bound },
	{ HOOK_SESSION_RESUMED, NORMAL, .session = on_bound },
	{ HOOK_SESSION_DETACHED, NORMAL, .session = on_detached },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:xmpp:ping") },
	FEATURES_END,
};

MODULE(ping) = {
	.summary = "answer pings, and ping silent clients",
	.options_size = sizeof(struct ping_options),
	.session_size = sizeof(struct watch),
	.options = options,
	.iq = routes,
	.hooks = hooks,
	.features = features,
	.session_free = watch_free,
	.reload = ping_reload,
};
