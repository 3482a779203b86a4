/* SPDX-License-Identifier: MIT */
/*
 * XEP-0077: In-Band Registration. Sign-up before login where the host allows
 * it, with a limit by address and challenges (XEP-0158), or by an invitation:
 * one that the stream has shown (XEP-0445), or whose code is filled into the
 * form, for clients that know only forms. And for the account itself: its user
 * name, a new password, its removal.
 */
#include "modules/register/captcha.h"
#include "xep/0004-forms.h"

#define FORM "jabber:iq:register"
#define FORM_TOKEN "{urn:xmpp:pars:0}token"

struct register_options {
	struct captcha_options captcha;
	bool is_open;
	struct rate ip_rate;
	uint64_t password_min;
	struct str instructions;
};

struct registrar {
	struct addr_rate addresses;  /* sign-ups of late */
	struct addr_rate challenges; /* given out, of late */
};

/* ---- sign-up, before login --------------------------------------------- */

/* What waits for the account; the stream is held meanwhile. */
struct signup {
	struct mod *mod;
	struct stanza *iq;
	struct stream *stream;
	struct jid jid;
	struct str password;
	struct str token; /* of an invitation, or none */
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

static enum verdict
stream_refuse(struct stream *stream, struct stanza *iq, enum qname condition,
    const char *text)
{
	if (stanza_make_error(iq, condition, text, EL_NONE))
		elem_set(
		    elem_child(iq->root, EL_ERROR), AT_TYPE, STR("cancel"));
	stream_send_elem(stream, iq->root);
	stanza_free(&iq);
	return STANZA_DONE;
}

/* Clients of people show the text, and no condition. */
static void
signup_end(struct signup *s, enum qname condition, const char *text)
{
	if (condition == EL_NONE)
		stanza_result(s->iq);
	if (text != NULL)
		stream_refuse(s->stream, s->iq, condition, text);
	else
		stream_answer(s->stream, s->iq, condition);
	stream_release(s->stream);
	xfree(s);
}

static void
on_made(void *ctx, int err)
{
	struct signup *s = ctx;

	switch (err) {
	case 0:
		metric_add(METRIC_REGISTRATIONS, 1);
		log_info(stream_log(s->stream), "account " STR_FMT " made",
		    STR_ARG(s->jid.local));
		signup_end(s, EL_NONE, NULL);
		break;
	case ERR_EXISTS:
		signup_end(s, EL_CONFLICT, "This user name is taken");
		break;
	case ERR_INVALID:
		signup_end(s, EL_NOT_ACCEPTABLE,
		    "This user name or password is not allowed");
		break;
	case ERR_ABSENT:
		signup_end(s, EL_NOT_ALLOWED,
		    "The invitation is not good, or not any more");
		break;
	case ERR_LIMIT:
		signup_end(s, EL_RESOURCE_CONSTRAINT, NULL);
		break;
	default:
		signup_end(s, EL_INTERNAL_SERVER_ERROR, NULL);
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

static void
redeem(void *ctx, int err)
{
	struct signup *s = ctx;
	const struct invitations *inv = invitations_of(s->mod);

	/* The module may have gone since the token was shown. */
	if (err == 0 && inv == NULL)
		err = ERR_ABSENT;
	if (err < 0)
		on_made(s, err);
	else
		inv->redeem(mod_host(s->mod), s->token, &s->jid, s->password,
		    on_made, s);
}

/* By the invitation; without one, not by a name that is kept for somebody. */
static void
make_account(struct signup *s)
{
	const struct invitations *inv = invitations_of(s->mod);
	const struct host *host = mod_host(s->mod);

	if (inv == NULL)
		on_not_reserved(s, 0);
	else if (s->token.n == 0)
		inv->is_reserved(host, s->jid.local, on_not_reserved, s);
	else if (invited_by(s->mod, s->stream).n > 0)
		redeem(s, 0);
	else
		inv->show(host, s->stream, s->token, redeem, s);
}

/* Only invitations let people in, and none has been shown. */
static bool
wants_code(struct mod *m, const struct stream *stream)
{
	const struct register_options *o = mod_options(m);

	return !o->is_open && invitations_of(m) != NULL &&
	       invited_by(m, stream).n == 0;
}

/* People paste what they have: the code, or a link that ends with it. */
static struct str
code_of(struct str text)
{
	size_t n;

	text = str_trim(text);
	for (n = text.n; n > 0; n--)
		if (text.p[n - 1] == '/' || text.p[n - 1] == '=')
			break;
	return str_skip(text, n);
}

/* Only with a form can there be a challenge. */
static bool
has_challenge(struct mod *m, const struct stream *stream)
{
	const struct register_options *o = mod_options(m);

	return o->is_open && captcha_is_on(&o->captcha) &&
	       invited_by(m, stream).n == 0;
}

static void
add_required(
    struct elem *form, const char *type, const char *var, const char *label)
{
	elem_add(
	    form_add_field(form, type, var, label, STR_NONE), EL_FORM_REQUIRED);
}

static const char by_code[] =
    "Accounts are made by invitation. Choose a user name and a password, and "
    "give the code of your invitation (or its link).";

static struct elem *
add_form(struct elem *query, struct str instructions)
{
	struct elem *form = form_add(query, "form", FORM);

	elem_add_text(form, EL_FORM_INSTRUCTIONS, instructions);
	add_required(form, "text-single", "username", "User name");
	add_required(form, "text-private", "password", "Password");
	return form;
}

/*
 * A challenge has no place outside of a form; nor has a code, but clients that
 * look for the two fields alone are to find them.
 */
static void
show_form(struct mod *m, const struct stream *stream, struct elem *query,
    struct str id)
{
	const struct register_options *o = mod_options(m);
	bool is_by_code = wants_code(m, stream);
	bool is_challenge = has_challenge(m, stream);
	struct str text = is_by_code
			      ? str_c(by_code)
			      : str_dup(elem_arena(query), o->instructions);

	elem_add_text(query, EL_REGISTER_INSTRUCTIONS, text);
	if (is_challenge) {
		captcha_add(
		    &o->captcha, &mod_host(m)->jid, add_form(query, text), id);
		return;
	}
	elem_add(query, EL_REGISTER_USERNAME);
	elem_add(query, EL_REGISTER_PASSWORD);
	if (is_by_code)
		add_required(add_form(query, text), "text-single", FORM_TOKEN,
		    "Invitation code");
}

static enum verdict
ask(struct mod *m, struct stream *stream, struct stanza *iq)
{
	const struct register_options *o = mod_options(m);
	struct registrar *r = mod_state(m);
	struct str id = stanza_id(iq);

	if (has_challenge(m, stream) &&
	    !addr_rate_take(
		&r->challenges, &o->captcha.rate, stream_peer(stream))) {
		log_notice(stream_log(stream), "too many challenges");
		return stream_answer(stream, iq, EL_RESOURCE_CONSTRAINT);
	}
	show_form(m, stream, elem_add(stanza_result(iq), EL_REGISTER), id);
	return stream_answer(stream, iq, EL_NONE);
}

/* True when it is passed, or there is none; else the iq has been answered. */
static bool
pass_challenge(struct mod *m, struct stream *stream, struct stanza *iq,
    const struct elem *form)
{
	const struct register_options *o = mod_options(m);

	if (!has_challenge(m, stream))
		return true;
	if (form_value(form, "challenge").n == 0) {
		stream_answer(stream, iq, EL_NOT_ACCEPTABLE);
		return false;
	}
	switch (captcha_check(&o->captcha, &mod_host(m)->jid, form)) {
	case CAPTCHA_RIGHT:
		return true;
	case CAPTCHA_WRONG:
		metric_add(METRIC_CHALLENGES_FAILED, 1);
		log_info(stream_log(stream), "challenge failed");
		stream_refuse(stream, iq, EL_NOT_ACCEPTABLE,
		    "Wrong answer; ask for a new form");
		return false;
	case CAPTCHA_UNKNOWN:
		break;
	}
	stream_refuse(stream, iq, EL_SERVICE_UNAVAILABLE,
	    "This form is used up, or too old; ask for a new one");
	return false;
}

static enum verdict
sign_up(struct mod *m, struct stream *stream, struct stanza *iq)
{
	const struct register_options *o = mod_options(m);
	struct elem *query = stanza_payload(iq), *form = form_of(query, FORM);
	struct str name = elem_child_text(query, EL_REGISTER_USERNAME);
	struct str password = elem_child_text(query, EL_REGISTER_PASSWORD);
	struct registrar *r = mod_state(m);
	struct str local, token = invited_by(m, stream);
	struct signup *s;

	if (form != NULL) {
		name = form_value(form, "username");
		password = form_value(form, "password");
	}
	if (wants_code(m, stream)) {
		token = code_of(
		    form == NULL ? STR_NONE : form_value(form, FORM_TOKEN));
		if (token.n == 0)
			return stream_answer(stream, iq, EL_NOT_ALLOWED);
	}
	if (name.n == 0 || password.n < o->password_min)
		return stream_answer(stream, iq, EL_NOT_ACCEPTABLE);
	if (jid_prep_local(iq->arena, name, &local) < 0)
		return stream_answer(stream, iq, EL_JID_MALFORMED);
	if (!pass_challenge(m, stream, iq, form))
		return STANZA_DONE;
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
	s->token = token;
	make_account(s);
	return STANZA_DONE;
}

static enum verdict
on_stream_iq(struct mod *m, struct stream *stream, struct stanza *iq)
{
	const struct register_options *o = mod_options(m);

	if (elem_name(stanza_payload(iq)) != EL_REGISTER)
		return STANZA_PASS;
	if (!o->is_open && invitations_of(m) == NULL)
		return stream_answer(stream, iq, EL_NOT_ALLOWED);
	return iq->type == IQ_SET ? sign_up(m, stream, iq) : ask(m, stream, iq);
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

/* Section 3.3: the password does not come back with the error. */
static enum verdict
refuse_change(struct stanza *iq, enum qname condition)
{
	elem_remove(stanza_payload(iq));
	return stanza_refuse(iq, condition);
}

static void
on_changed(void *ctx, int err)
{
	struct stanza *iq = ctx;

	if (err == 0)
		stanza_reply(iq);
	else if (err == ERR_INVALID)
		refuse_change(iq, EL_BAD_REQUEST);
	else
		refuse_change(iq, EL_INTERNAL_SERVER_ERROR);
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
		return refuse_change(iq, EL_BAD_REQUEST);
	if (jid_prep_local(iq->arena, name, &local) < 0 ||
	    !str_eq(local, iq->from.local))
		return refuse_change(iq, EL_NOT_ALLOWED);
	if (password.n < o->password_min)
		return refuse_change(iq, EL_NOT_ACCEPTABLE);
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
	addr_rate_fini(&r->challenges);
}

static void
register_go(struct mod *m)
{
	const struct register_options *o = mod_options(m);
	size_t bad = captcha_bad_questions(&o->captcha);

	/* One of the workers says it. */
	if (bad > 0 && account_home(mod_host(m)->jid.bare) == loop_self())
		log_error(mod_log(m),
		    "register: %zu of the questions have no answer "
		    "(\"question = answer\"), and are not asked",
		    bad);
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
	if (captcha_bad_questions(&o->captcha) > 0)
		check_say(c, CHECK_FAIL,
		    "register: {questions: [\"question = answer\"]}",
		    "registration", "a question has no answer");
	else if (o->is_open && !captcha_is_on(&o->captcha))
		check_say(c, CHECK_WARNING,
		    "register: {questions: [\"question = answer\"], "
		    "work_bits: 20}",
		    "registration", "nothing is asked of programs");
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
	OPT_LIST("questions", struct register_options, captcha.questions, "",
	    1000,
	    "questions to who signs up (XEP-0158), one of them each time: "
	    "\"Question? = answer|another answer\""),
	OPT_UINT("work_bits", struct register_options, captcha.work_bits, "0",
	    0, 40,
	    "work that a client may do instead (SHA-256 hashcash): 20 is a "
	    "second or so; 0: none"),
	OPT_UINT("captcha_answers", struct register_options, captcha.answers,
	    "1", 1, 2, "2: both are needed, the answer and the work"),
	OPT_SPAN("captcha_keep", struct register_options, captcha.keep_ms,
	    "10m", SECONDS(1), HOURS(1), "how long there is time for it"),
	OPT_RATE("captcha_rate", struct register_options, captcha.rate, "30/1h",
	    "challenges for one address (by worker)"),
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
	.unload = captcha_fini,
	.start = register_go,
	.reload = register_go,
	.check = register_check,
	.stop = register_stop,
};
