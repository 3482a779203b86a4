/* SPDX-License-Identifier: MIT */
/*
 * XEP-0077: In-Band Registration. Sign-up before login where the host allows
 * it, with a limit by address, or by an invitation (XEP-0445); and for the
 * account itself: its user name, a new password, its removal.
 */
#include "core/module.h"

struct register_options {
	bool is_open;
	struct rate ip_rate;
	uint64_t password_min;
	struct str instructions;
};

struct registrar {
	struct addr_rate addresses; /* sign-ups of late */
};

/* ---- sign-up, before login --------------------------------------------- */

/* What waits for the account; the stream is held meanwhile. */
struct signup {
	struct mod *mod;
	struct stanza *iq;
	struct stream *stream;
	struct jid jid;
	struct str password;
};

static const struct invitations *
invitations_of(struct mod *m)
{
	return mod_find(mod_host(m), "invites") != NULL
		   ? (const struct invitations *)mod_lookup("invitations")
		   : NULL;
}

/* The token of an invitation that the stream has shown (XEP-0445). */
static struct str
invited_by(struct mod *m, const struct stream *stream)
{
	return invitations_of(m) != NULL ? stream_note(stream) : STR_NONE;
}

static enum verdict
stream_answer(struct stream *stream, struct stanza *iq, enum qname condition)
{
	if (condition != EL_NONE)
		stanza_make_error(iq, condition, NULL, EL_NONE);
	stream_send_elem(stream, iq->root);
	stanza_free(&iq);
	return STANZA_DONE;
}

static void
signup_end(struct signup *s, enum qname condition)
{
	if (condition == EL_NONE)
		stanza_result(s->iq);
	stream_answer(s->stream, s->iq, condition);
	stream_release(s->stream);
	xfree(s);
}

static void
on_made(void *ctx, int err)
{
	struct signup *s = ctx;
	struct str name =
	    elem_child_text(stanza_payload(s->iq), EL_REGISTER_USERNAME);

	switch (err) {
	case 0:
		metric_add(METRIC_REGISTRATIONS, 1);
		log_info(stream_log(s->stream), "account " STR_FMT " made",
		    STR_ARG(name));
		signup_end(s, EL_NONE);
		break;
	case ERR_EXISTS:
		signup_end(s, EL_CONFLICT);
		break;
	case ERR_INVALID:
		signup_end(s, EL_NOT_ACCEPTABLE);
		break;
	case ERR_ABSENT:
		signup_end(s, EL_NOT_ALLOWED);
		break;
	case ERR_LIMIT:
		signup_end(s, EL_RESOURCE_CONSTRAINT);
		break;
	default:
		signup_end(s, EL_INTERNAL_SERVER_ERROR);
	}
}

static void
on_not_reserved(void *ctx, int err)
{
	struct signup *s = ctx;

	if (err < 0)
		on_made(s, err);
	else
		account_register(&s->jid, s->password, on_made, s);
}

/* By the invitation; without one, not by a name that is kept for somebody. */
static void
make_account(struct signup *s, struct str token)
{
	const struct invitations *inv = invitations_of(s->mod);
	const struct host *host = mod_host(s->mod);

	if (inv == NULL)
		on_not_reserved(s, 0);
	else if (token.n > 0)
		inv->redeem(host, token, &s->jid, s->password, on_made, s);
	else
		inv->is_reserved(host, s->jid.local, on_not_reserved, s);
}

static void
show_form(struct mod *m, struct elem *query)
{
	const struct register_options *o = mod_options(m);

	elem_add_text(query, EL_REGISTER_INSTRUCTIONS,
	    str_dup(elem_arena(query), o->instructions));
	elem_add(query, EL_REGISTER_USERNAME);
	elem_add(query, EL_REGISTER_PASSWORD);
}

static enum verdict
sign_up(struct mod *m, struct stream *stream, struct stanza *iq)
{
	const struct register_options *o = mod_options(m);
	struct elem *query = stanza_payload(iq);
	struct str name = elem_child_text(query, EL_REGISTER_USERNAME);
	struct str password = elem_child_text(query, EL_REGISTER_PASSWORD);
	struct registrar *r = mod_state(m);
	struct str local, token = invited_by(m, stream);
	struct signup *s;

	if (name.n == 0 || password.n < o->password_min)
		return stream_answer(stream, iq, EL_NOT_ACCEPTABLE);
	if (jid_prep_local(iq->arena, name, &local) < 0)
		return stream_answer(stream, iq, EL_JID_MALFORMED);
	if (token.n == 0 &&
	    !addr_rate_take(&r->addresses, &o->ip_rate, stream_peer(stream))) {
		log_notice(stream_log(stream), "too many registrations");
		return stream_answer(stream, iq, EL_RESOURCE_CONSTRAINT);
	}
	s = xzalloc(sizeof(*s));
	s->jid = jid_make(iq->arena, local, mod_host(m)->jid.domain, STR_NONE);
	s->password = password;
	s->mod = m;
	s->iq = iq;
	s->stream = stream;
	stream_hold(stream);
	make_account(s, token);
	return STANZA_DONE;
}

static enum verdict
on_stream_iq(struct mod *m, struct stream *stream, struct stanza *iq)
{
	const struct register_options *o = mod_options(m);

	if (elem_name(stanza_payload(iq)) != EL_REGISTER)
		return STANZA_PASS;
	if (!o->is_open && invited_by(m, stream).n == 0)
		return stream_answer(stream, iq, EL_NOT_ALLOWED);
	if (iq->type == IQ_SET)
		return sign_up(m, stream, iq);
	show_form(m, elem_add(stanza_result(iq), EL_REGISTER));
	return stream_answer(stream, iq, EL_NONE);
}

static void
on_features(struct mod *m, struct stream *s, struct elem *features)
{
	const struct register_options *o = mod_options(m);

	if ((o->is_open || invitations_of(m) != NULL) &&
	    !stream_is_authenticated(s))
		elem_add(features, EL_REGISTER_FEATURE);
}

/* ---- one's own account ------------------------------------------------- */

static enum verdict
on_get(struct mod *m, struct stanza *iq)
{
	struct str user = iq->from.local;
	struct elem *query = elem_add(stanza_result(iq), EL_REGISTER);

	elem_add(query, EL_REGISTER_REGISTERED);
	elem_add_text(query, EL_REGISTER_USERNAME, str_dup(iq->arena, user));
	elem_add(query, EL_REGISTER_PASSWORD);
	return stanza_send_back(iq);
}

static void
on_changed(void *ctx, int err)
{
	struct stanza *iq = ctx;

	if (err == 0)
		stanza_reply(iq);
	else if (err == ERR_INVALID)
		stanza_refuse(iq, EL_BAD_REQUEST);
	else
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
}

/* The core calls this just before it closes the account's sessions. */
static void
on_removed(void *ctx, int err)
{
	struct stanza *iq = ctx;

	if (err == 0) {
		stanza_reply(iq);
		return;
	}
	log_error(NULL, "removing " STR_FMT " failed: %s",
	    STR_ARG(iq->from.bare), err_text(err));
	stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
}

static enum verdict
remove_self(struct stanza *iq)
{
	struct jid jid = jid_to_bare(&iq->from);

	account_remove(&jid, on_removed, iq);
	return STANZA_DONE;
}

static enum verdict
on_set(struct mod *m, struct stanza *iq)
{
	const struct register_options *o = mod_options(m);
	struct elem *query = stanza_payload(iq);
	struct str name = elem_child_text(query, EL_REGISTER_USERNAME);
	struct str password = elem_child_text(query, EL_REGISTER_PASSWORD);
	struct str local;
	struct jid jid = jid_to_bare(&iq->from);

	/* Section 3.2: <remove/> must stand alone. */
	if (elem_child(query, EL_REGISTER_REMOVE) != NULL)
		return elem_count(query, EL_ANY) == 1
			   ? remove_self(iq)
			   : stanza_refuse(iq, EL_BAD_REQUEST);
	if (name.n == 0 || password.n == 0)
		return stanza_refuse(iq, EL_BAD_REQUEST);
	if (jid_prep_local(iq->arena, name, &local) < 0 ||
	    !str_eq(local, iq->from.local))
		return stanza_refuse(iq, EL_NOT_ALLOWED);
	if (password.n < o->password_min)
		return stanza_refuse(iq, EL_NOT_ACCEPTABLE);
	account_set_password(&jid, password, on_changed, iq);
	return STANZA_DONE;
}

/* ---- what others ask ---------------------------------------------------- */

static bool
is_open(const struct host *host)
{
	const struct mod *m = mod_find(host, "register");
	const struct register_options *o;

	if (m == NULL)
		return false;
	o = mod_options(m);
	return o->is_open;
}

static const struct register_offer offer = { is_open };

static int
register_load(struct arena *a, const char **why_r)
{
	(void)a;
	(void)why_r;
	mod_publish("register", &offer);
	return 0;
}

static void
register_stop(struct mod *m)
{
	struct registrar *r = mod_state(m);

	addr_rate_fini(&r->addresses);
}

static void
register_check(struct mod *m, struct check *c)
{
	const struct register_options *o = mod_options(m);

	if (o->is_open)
		check_say(c, CHECK_WARNING,
		    "register: {enabled: false}, unless this is what you want",
		    "registration",
		    "anybody may sign up: whoever sends spam, too");
	else
		check_say(c, CHECK_OK, NULL, "registration",
		    "it is not open to everybody");
	if (o->is_open && o->ip_rate.count == 0)
		check_say(c, CHECK_FAIL, "register: {ip_rate: 3/1h}",
		    "registration", "one address may make any number");
}

/* ---- the table --------------------------------------------------------- */

static const struct option options[] = {
	OPT_BOOL("enabled", struct register_options, is_open, "false",
	    "let anybody sign up before login"),
	OPT_RATE("ip_rate", struct register_options, ip_rate, "3/1h",
	    "accounts that one address may make (by worker)"),
	OPT_UINT("password_min", struct register_options, password_min, "1", 1,
	    1023, "bytes that a password must have"),
	OPT_TEXT("instructions", struct register_options, instructions,
	    "Choose a user name and a password for this server.", 1000,
	    "what people who sign up are told"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_SELF | TO_HOST, EL_REGISTER, on_get },
	{ IQ_SET, TO_SELF | TO_HOST, EL_REGISTER, on_set },
	ROUTES_END,
};

static const struct hook hooks[] = {
	{ HOOK_STREAM_FEATURES, NORMAL, .features = on_features },
	{ HOOK_STREAM_IQ, NORMAL, .stream_iq = on_stream_iq },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_HOST | TO_ACCOUNT, STR_INIT("jabber:iq:register") },
	FEATURES_END,
};

MODULE(register) = {
	.summary = "let people sign up, change their password, and leave",
	.options_size = sizeof(struct register_options),
	.state_size = sizeof(struct registrar),
	.options = options,
	.hooks = hooks,
	.iq = routes,
	.features = features,
	.load = register_load,
	.check = register_check,
	.stop = register_stop,
};
