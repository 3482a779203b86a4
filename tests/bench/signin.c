/* SPDX-License-Identifier: MIT */
/* From the stream header to the first presence, or to a new account. */
#include "load.h"

struct sample signin_before, signin_after;

void
signin_open(struct user *u, enum step step)
{
	user_sendf(u,
	    "<?xml version='1.0'?><stream:stream to='%s' "
	    "xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
	    opt.domain);
	u->step = step;
}

/* ---- SASL */

static void
auth_send(struct user *u, const char *mechanism, struct str text)
{
	user_sendf(u,
	    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
	    "mechanism='%s'>" STR_FMT "</auth>",
	    mechanism, STR_ARG(text));
}

static void
plain_begin(struct user *u)
{
	struct buf raw = { 0 };
	unsigned char text[512];
	int n;

	buf_printf(&raw, "%c%s%d%c%s", 0, opt.prefix, u->index, 0, opt.pass);
	must(raw.n < 300);
	n = EVP_EncodeBlock(text, (unsigned char *)raw.p, (int)raw.n);
	auth_send(u, "PLAIN", str_mem(text, (size_t)n));
	buf_fini(&raw);
	u->step = STEP_SUCCESS;
}

static bool
is_offered(struct str features, const char *mechanism)
{
	char text[64];

	snprintf(text, sizeof(text), ">%s<", mechanism);
	return scan_has(features, text);
}

static void
sasl_begin(struct user *u, struct str features)
{
	static const char *const known[] = { "PLAIN", "SCRAM-SHA-256",
		"SCRAM-SHA-1" };
	const char *mechanism = opt.mechanism;
	struct buf b = { 0 };

	for (size_t i = 0; mechanism == NULL && i < ARRAY_LEN(known); i++)
		if (is_offered(features, known[i]))
			mechanism = known[i];
	if (mechanism == NULL || !is_offered(features, mechanism)) {
		user_fail(u, "the SASL mechanism is not offered");
		return;
	}
	snprintf(mechanism_text, sizeof(mechanism_text), "%s", mechanism);
	if (strcmp(mechanism, "PLAIN") == 0) {
		plain_begin(u);
		return;
	}
	u->scram = scram_begin(mechanism, u->index, &b);
	auth_send(u, mechanism, buf_str(&b));
	buf_fini(&b);
	u->step = STEP_CHALLENGE;
}

static void
on_challenge(struct user *u, struct str e)
{
	struct buf b = { 0 };

	if (!scan_is(e, "challenge") ||
	    !scram_answer(u->scram, scan_text(e, "challenge"), &b)) {
		note(STR_FMT, STR_ARG(e));
		user_fail(u, "no good challenge");
		return;
	}
	user_sendf(u,
	    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" STR_FMT
	    "</response>",
	    STR_ARG(buf_str(&b)));
	buf_fini(&b);
	u->step = STEP_SUCCESS;
}

static void
on_success(struct user *u, struct str e)
{
	bool is_success = scan_is(e, "success");
	const char *name = is_success ? "success" : "challenge";

	if (!scan_is(e, name)) {
		note(STR_FMT, STR_ARG(e));
		user_fail(u, "no success");
		return;
	}
	/* Some put the final message into a challenge. */
	if (u->scram != NULL && !scram_is_final(u->scram, scan_text(e, name))) {
		user_fail(u, "the server's signature is wrong");
		return;
	}
	scram_free(&u->scram);
	if (is_success)
		signin_open(u, STEP_FEATURES_AGAIN);
	else
		user_sendf(
		    u, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
}

/* ---- after SASL */

static void
presence_send(struct user *u)
{
	u->step = STEP_PRESENCE;
	if (strcmp(opt.ready, "roster") == 0)
		user_sendf(u, "<iq type='get' id='load-roster'>"
			      "<query xmlns='jabber:iq:roster'/></iq>");
	user_sendf(u, "<presence/>");
	if (strcmp(opt.ready, "bind") == 0)
		user_is_ready(u);
}

static void
bound(struct user *u)
{
	if (!opt.sm) {
		presence_send(u);
		return;
	}
	user_sendf(u, "<enable xmlns='urn:xmpp:sm:3'/>");
	u->step = STEP_SM;
}

/* Old servers insist on a session, new ones call it optional. */
static bool
is_session_needed(struct str features)
{
	const char *p =
	    memmem(features.p, features.n, "<session", strlen("<session"));

	return p != NULL &&
	       !scan_has(
		   str_skip(features, (size_t)(p - features.p)), "<optional");
}

static void
on_features(struct user *u, struct str e)
{
	if (u->step == STEP_FEATURES_AGAIN) {
		u->needs_session = is_session_needed(e);
		user_sendf(u,
		    "<iq type='set' id='load-bind'>"
		    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
		    "<resource>%s</resource></bind></iq>",
		    opt.resource);
		u->step = STEP_BIND;
	} else if (opt.starttls && u->ssl == NULL) {
		user_sendf(
		    u, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
		u->step = STEP_PROCEED;
	} else if (opt.mode == &mode_register) {
		user_sendf(u,
		    "<iq type='set' id='load-register'>"
		    "<query xmlns='jabber:iq:register'><username>%s%d"
		    "</username><password>%s</password></query></iq>",
		    opt.prefix, u->index, opt.pass);
		u->step = STEP_PRESENCE;
	} else {
		sasl_begin(u, e);
	}
}

static void
on_bind(struct user *u, struct str e)
{
	struct str jid = scan_text(e, "jid");

	if (!str_is(scan_attr(e, "id"), "load-bind"))
		return;
	if (scan_is_error(e) || str_is_none(jid)) {
		user_fail(u, "no binding");
		return;
	}
	u->jid = xmalloc(jid.n + 1);
	memcpy(u->jid, jid.p, jid.n);
	u->jid[jid.n] = '\0';
	if (!u->needs_session) {
		bound(u);
		return;
	}
	user_sendf(u, "<iq type='set' id='load-session'><session "
		      "xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
	u->step = STEP_SESSION;
}

static void
on_presence(struct user *u, struct str e)
{
	struct str id = scan_attr(e, "id");

	if (scan_is(e, "r")) {
		user_sendf(u, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", u->sm_in);
		return;
	}
	u->sm_in++;
	if (opt.mode == &mode_register) {
		if (!str_is(id, "load-register"))
			return;
		if (scan_is_error(e) && !scan_has(e, "<conflict")) {
			note(STR_FMT, STR_ARG(e));
			user_fail(u, "no registration");
			return;
		}
		user_is_ready(u);
		user_leave(u);
	} else if (strcmp(opt.ready, "roster") == 0) {
		if (str_is(id, "load-roster"))
			user_is_ready(u);
	} else if (scan_is(e, "presence")) {
		user_is_ready(u);
	}
}

void
signin_element(struct user *u, struct str e)
{
	if (scan_is(e, "stream:error")) {
		note(STR_FMT, STR_ARG(e));
		user_fail(u, "stream error");
		return;
	}
	switch (u->step) {
	case STEP_FEATURES:
	case STEP_FEATURES_AGAIN:
		if (scan_is(e, "stream:features"))
			on_features(u, e);
		break;
	case STEP_PROCEED:
		if (scan_is(e, "proceed"))
			user_start_tls(u);
		else
			user_fail(u, "no STARTTLS");
		break;
	case STEP_CHALLENGE:
		on_challenge(u, e);
		break;
	case STEP_SUCCESS:
		on_success(u, e);
		break;
	case STEP_BIND:
		on_bind(u, e);
		break;
	case STEP_SESSION:
		if (str_is(scan_attr(e, "id"), "load-session"))
			bound(u);
		break;
	case STEP_SM:
		u->has_sm = scan_is(e, "enabled");
		u->sm_in = 0;
		presence_send(u);
		break;
	case STEP_PRESENCE:
		on_presence(u, e);
		break;
	default:
		break;
	}
}

void
signin_all(void)
{
	int next = 0, before = 0;
	uint64_t moved = now_ns();

	signin_before = sample_take();
	while (ready_count + failed_count + dropped_count < opt.users) {
		int done = ready_count + failed_count + dropped_count;

		while (next < opt.users && next - done < opt.at_once)
			user_connect(next++);
		users_turn(NS / 20);
		if (done != before)
			moved = now_ns();
		else if (now_ns() - moved > 20 * NS)
			die("no login for 20 s; %d are in", ready_count);
		before = done;
	}
	signin_after = sample_take();
	scram_cache_save();
	if (failed_count + dropped_count > 0)
		die("%d logins failed, %d users were dropped", failed_count,
		    dropped_count);
}
