/* SPDX-License-Identifier: MIT */
/*
 * XEP-0356: Privileged Entity. What the configuration grants to a component:
 * rosters of our users, messages and iqs on their behalf, and when they come
 * and go. The users do not notice.
 */
#include "grants.h"

#define TIMEOUT_MS 60000

struct privilege {
	struct list asked; /* of this worker */
};

/* What becomes of the answer to an iq of a component; in the iq's arena. */
struct asked {
	struct str id;	 /* of the iq within it */
	bool is_wrapped; /* the answer is to be forwarded whole */
};

/* Only the component itself, and not whom it speaks for. */
static struct str
asker(const struct stanza *st)
{
	return str_is_none(st->from.local) ? st->from.domain : STR_NONE;
}

/* ---- what is granted --------------------------------------------------- */

static void
advertise(struct mod *m, const struct jid *domain)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *privilege = elem_add(st->root, EL_PRIVILEGE);

	if (!grants_write(mod_options(m), domain->domain, privilege)) {
		stanza_free(&st);
		return;
	}
	stanza_set_from(st, &mod_host(m)->jid);
	stanza_set_to(st, domain);
	elem_set(st->root, AT_ID, random_token(st->arena, 8));
	router_send(st);
}

/* ---- presence ---------------------------------------------------------- */

static void
tell_presence(const struct session *s, const struct jid *to, bool is_available)
{
	struct stanza *st =
	    is_available ? stanza_copy(s->presence) : stanza_new(EL_PRESENCE);

	receipt_done(&st->receipt);
	stanza_set_from(st, &s->jid);
	stanza_set_to(st, to);
	if (!is_available)
		stanza_set_type(st, PRESENCE_UNAVAILABLE);
	router_send(st);
}

static void
tell_all(struct mod *m, const struct session *s, bool is_available)
{
	const struct grants *g = mod_options(m);

	for (size_t i = 0; i < g->presence.count; i++) {
		struct jid to = jid_of(g->presence.item[i]);

		if (component_is_up(to.domain))
			tell_presence(s, &to, is_available);
	}
}

static void
on_available(struct mod *m, struct session *s)
{
	if (s->presence != NULL)
		tell_all(m, s, true);
}

static void
on_unavailable(struct mod *m, struct session *s)
{
	tell_all(m, s, false);
}

/* Who is there already, for a component that has just come. */
struct catch_up {
	const struct host *host;
	struct str domain; /* on the heap */
};

static void
catch_up_session(void *ctx, struct session *s)
{
	const struct catch_up *up = ctx;
	struct jid to = jid_of(up->domain);

	if (s->account->host == up->host && session_is_available(s))
		tell_presence(s, &to, true);
}

static void
catch_up_part(void *ctx, unsigned worker)
{
	session_each(catch_up_session, ctx);
}

static void
on_caught_up(void *ctx)
{
	struct catch_up *up = ctx;

	str_free(&up->domain);
	xfree(up);
}

static void
on_component(struct mod *m, const struct jid *domain)
{
	const struct grants *g = mod_options(m);
	struct catch_up *up;

	advertise(m, domain);
	if (!grants_list(&g->presence, domain->domain))
		return;
	up = xzalloc(sizeof(*up));
	up->host = mod_host(m);
	up->domain = str_heap(domain->domain);
	worker_gather(catch_up_part, on_caught_up, up);
}

/* ---- iqs --------------------------------------------------------------- */

static void
forward_answer(struct stanza *iq, struct str id, struct stanza *answer)
{
	struct elem *e = elem_add(stanza_result(iq), EL_PRIVILEGE);

	elem_set(answer->root, AT_ID, id);
	elem_add_copy(elem_add(e, EL_FORWARDED), answer->root);
	stanza_send_back(iq);
}

/* The roster's own answer, with the addresses of who asked. */
static void
pass_answer(struct stanza *iq, struct stanza *answer)
{
	struct elem *root = stanza_result(iq);
	struct elem *e = elem_first_node(answer->root);

	stanza_set_type(iq, answer->type);
	for (; e != NULL; e = elem_next_node(e))
		elem_add_copy(root, e);
	stanza_send_back(iq);
}

static void
on_answer(void *ctx, struct stanza *iq, struct stanza *answer)
{
	const struct asked *asked = ctx;

	if (answer == NULL)
		stanza_refuse(iq, EL_REMOTE_SERVER_TIMEOUT);
	else if (asked->is_wrapped)
		forward_answer(iq, asked->id, answer);
	else
		pass_answer(iq, answer);
	if (answer != NULL)
		stanza_free(&answer);
}

/* Sends `inner` for the iq, whose answer will be made of its. */
static enum verdict
ask(struct mod *m, struct stanza *iq, struct stanza *inner, bool is_wrapped)
{
	struct privilege *p = mod_state(m);
	struct asked *asked = arena_zalloc(iq->arena, sizeof(*asked));

	asked->id = str_dup(iq->arena, stanza_id(inner));
	asked->is_wrapped = is_wrapped;
	iq_ask(&p->asked, inner, TIMEOUT_MS, iq, on_answer, asked);
	return STANZA_DONE;
}

/* Who has no right is refused as anybody else, by the roster itself. */
static enum verdict
on_roster(struct mod *m, struct stanza *iq)
{
	const struct grants *g = mod_options(m);
	struct str domain = asker(iq);
	struct stanza *inner;
	bool may = grants_list(
	    iq->type == IQ_GET ? &g->roster_get : &g->roster_set, domain);

	if (!may || !component_is_up(domain))
		return STANZA_PASS;
	inner = stanza_new(EL_IQ);
	stanza_set_type(inner, iq->type);
	stanza_set_from(inner, &iq->to);
	stanza_set_to(inner, &iq->to);
	elem_add_copy(inner->root, stanza_payload(iq));
	return ask(m, iq, inner, false);
}

/* The stanza in the wrapping; NULL when it is none. */
static struct stanza *
unwrap(const struct elem *wrapping, enum qname name)
{
	const struct elem *e = elem_child(wrapping, name);
	struct stanza *st;
	enum qname condition;
	int err;

	if (e == NULL)
		return NULL;
	err = stanza_of(elem_copy(arena_new(0), e), &st, &condition);
	if (err < 0)
		stanza_free(&st);
	return st;
}

static bool
is_granted(struct mod *m, const struct stanza *iq, const struct stanza *inner)
{
	const struct elem *payload = stanza_payload(inner);

	return inner->type == iq->type && payload != NULL &&
	       (jid_is_none(&inner->from) ||
		   str_eq(inner->from.full, iq->to.full)) &&
	       grants_iq(
		   mod_options(m), asker(iq), iq->type, elem_ns_uri(payload));
}

static enum verdict
on_privileged_iq(struct mod *m, struct stanza *iq)
{
	struct stanza *inner;

	if (str_is_none(iq->to.local) || !component_is_up(asker(iq)))
		return stanza_refuse(iq, EL_FORBIDDEN);
	inner = unwrap(stanza_payload(iq), EL_IQ);
	if (inner == NULL || !is_granted(m, iq, inner)) {
		if (inner != NULL)
			stanza_free(&inner);
		return stanza_refuse(iq, EL_FORBIDDEN);
	}
	stanza_set_from(inner, &iq->to);
	if (jid_is_none(&inner->to))
		stanza_set_to(inner, &iq->to);
	return ask(m, iq, inner, true);
}

/* To a full JID: it would reach the client. */
static enum verdict
on_iq_deliver(struct mod *m, struct stanza *iq)
{
	if (jid_is_bare(&iq->to) || !(iq->type & (IQ_GET | IQ_SET)) ||
	    elem_name(stanza_payload(iq)) != EL_PRIVILEGED_IQ)
		return STANZA_PASS;
	return stanza_refuse(iq, EL_FORBIDDEN);
}

/* ---- roster pushes ----------------------------------------------------- */

static void
push(struct account *acct, const struct roster_item *item, struct str domain)
{
	struct stanza *st = stanza_new(EL_IQ);
	struct jid to = jid_of(domain);

	stanza_set_type(st, IQ_SET);
	stanza_set_from(st, &acct->jid);
	stanza_set_to(st, &to);
	/* Whatever is answered is nobody's. */
	elem_set(st->root, AT_ID, random_token(st->arena, 8));
	roster_item_add(elem_add(st->root, EL_ROSTER), item);
	router_send(st);
}

static void
on_roster_changed(
    struct mod *m, struct account *acct, const struct roster_item *item)
{
	const struct grants *g = mod_options(m);

	/* A request that waits for an answer is no item yet. */
	if (!item->is_in_roster && item->is_pending_in)
		return;
	for (size_t i = 0; i < g->roster_get.count; i++)
		if (component_is_up(g->roster_get.item[i]))
			push(acct, item, g->roster_get.item[i]);
}

/* ---- messages ---------------------------------------------------------- */

struct outgoing {
	struct stanza *wrapping, *inner;
};

static void
on_sender(void *ctx, int err, struct account *acct)
{
	struct outgoing *o = ctx;

	if (acct == NULL) {
		stanza_free(&o->inner);
		stanza_refuse(o->wrapping,
		    err < 0 ? EL_INTERNAL_SERVER_ERROR : EL_FORBIDDEN);
	} else {
		stanza_free(&o->wrapping);
		account_speak(acct, o->inner);
	}
	xfree(o);
}

static enum verdict
send_for(struct mod *m, struct stanza *st, struct stanza *inner)
{
	struct outgoing *o;

	if (!str_eq(inner->from.domain, mod_host(m)->jid.domain) ||
	    !jid_is_bare(&inner->from) || jid_is_none(&inner->to)) {
		stanza_free(&inner);
		return stanza_refuse(st, EL_FORBIDDEN);
	}
	if (str_is_none(inner->from.local)) {
		stanza_free(&st);
		router_send(inner);
		return STANZA_DONE;
	}
	o = xzalloc(sizeof(*o));
	o->wrapping = st;
	o->inner = inner;
	account_call(&inner->from, on_sender, o);
	return STANZA_DONE;
}

static enum verdict
on_message(struct mod *m, struct stanza *st)
{
	const struct grants *g = mod_options(m);
	const struct elem *privilege = elem_child(st->root, EL_PRIVILEGE);
	struct stanza *inner;

	if (privilege == NULL || st->type == MESSAGE_ERROR)
		return STANZA_PASS;
	if (!grants_list(&g->message, asker(st)) ||
	    !component_is_up(st->from.domain))
		return stanza_refuse(st, EL_FORBIDDEN);
	inner = unwrap(elem_child(privilege, EL_FORWARDED), EL_MESSAGE);
	if (inner == NULL)
		return stanza_refuse(st, EL_BAD_REQUEST);
	return send_for(m, st, inner);
}

/* ---- the table --------------------------------------------------------- */

static void
check(struct mod *m)
{
	if (loop_index(loop_self()) == 0)
		grants_check(mod_options(m), mod_log(m));
}

static void
privilege_start(struct mod *m)
{
	struct privilege *p = mod_state(m);

	list_init(&p->asked);
	check(m);
}

static void
privilege_stop(struct mod *m)
{
	struct privilege *p = mod_state(m);

	iq_waits_end(&p->asked);
}

static void
advertise_all(struct mod *m, const struct str_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct jid to = jid_of(list->item[i]);

		if (component_is_up(to.domain) &&
		    account_home(to.domain) == loop_self())
			advertise(m, &to);
	}
}

static void
add_up(void *ctx, struct str domain)
{
	struct str_list list = { &domain, 1 };

	advertise_all(ctx, &list);
}

/* Those that are there hear what has changed. */
static void
privilege_reload(struct mod *m)
{
	check(m);
	component_each(mod_host(m), add_up, m);
}

#define GRANT(name, field, help) \
	OPT_LIST(name, struct grants, field, NULL, 100, help)

static const struct option options[] = {
	GRANT("roster_get", roster_get,
	    "components that may read the rosters of all users, and hear of "
	    "changes"),
	GRANT("roster_set", roster_set,
	    "components that may change the rosters of all users"),
	GRANT("message", message,
	    "components that may send messages on behalf of all users and of "
	    "the server"),
	GRANT("presence", presence,
	    "components that hear when users come and go"),
	GRANT("iq", iq,
	    "iqs that components may send on behalf of all users: \"DOMAIN "
	    "get|set|both NAMESPACE\""),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET | IQ_SET, TO_ACCOUNT, EL_ROSTER, on_roster },
	{ IQ_GET | IQ_SET, TO_ACCOUNT | TO_HOST, EL_PRIVILEGED_IQ,
	    on_privileged_iq },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_COMPONENT_UP, NORMAL, .component = on_component },
	{ HOOK_HOST_MESSAGE, NORMAL, .stanza = on_message },
	{ HOOK_IQ_DELIVER, EARLY, .stanza = on_iq_deliver },
	{ HOOK_SESSION_AVAILABLE, LATE, .session = on_available },
	{ HOOK_SESSION_UNAVAILABLE, LATE, .session = on_unavailable },
	{ HOOK_ROSTER_CHANGED, LATE, .roster = on_roster_changed },
	HOOKS_END,
};

MODULE(privilege) = {
	.summary = "let components act for users, as far as is granted",
	.is_optional = true,
	.options_size = sizeof(struct grants),
	.state_size = sizeof(struct privilege),
	.options = options,
	.hooks = hooks,
	.iq = routes,
	.start = privilege_start,
	.reload = privilege_reload,
	.stop = privilege_stop,
};
