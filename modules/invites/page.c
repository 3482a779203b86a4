/* SPDX-License-Identifier: MIT */
/*
 * What an invitation's link shows in a browser (XEP-0379, 3.3): the xmpp: link
 * and its QR code, clients for the visitor's system, and, for who has none, a
 * form to sign up; the form for a new password likewise. There is no script.
 *
 * A form can't be sent for somebody else from another site: the address holds
 * the token, and the browser has to say that the form is ours.
 */
#include "modules/invites/invites.h"

#include <qrencode.h>

#define FORM_MAX 8192
#define HTML "text/html; charset=utf-8"

struct visit {
	struct http_req *r;
	struct mod *mod;
	struct str token;
	struct str user, password, again; /* as sent; none: nothing was sent */
	struct str local;
	struct invite inv;
	unsigned status;
	const char *problem; /* shown above the form, or NULL */
};

static const char style[] =
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:2em "
    "auto;padding:0 1em;color:#222;background:#fafafa}h1{font-size:1.5em}"
    ".b{display:inline-block;padding:.7em 1.4em;border-radius:.4em;border:0;"
    "background:#1c6b48;color:#fff;font-size:1em;text-decoration:none}"
    ".p{color:#a00;font-weight:bold}svg{width:14em;height:14em;display:block;"
    "margin:1em 0;background:#fff}label{display:block;margin:.6em 0}"
    "input{font-size:1em;padding:.4em;width:100%;box-sizing:border-box}"
    "</style>";

/* ---- parts of the page --------------------------------------------------- */

static void
text(struct buf *b, const char *s)
{
	buf_add_str(b, str_c(s));
}

/* Dark modules as one path, a run of them at a time. */
static void
add_qr(struct buf *b, struct arena *a, struct str uri)
{
	QRcode *qr =
	    QRcode_encodeString8bit(str_dup_c(a, uri), 0, QR_ECLEVEL_M);
	int w;

	if (qr == NULL)
		return;
	w = qr->width;
	buf_add_str(
	    b, str_printf(a,
		   "<svg xmlns='http://www.w3.org/2000/svg' role='img' "
		   "aria-label='QR code' viewBox='-4 -4 %d %d'><path d='",
		   w + 8, w + 8));
	for (int i = 0; i < w * w;) {
		int n = 0;

		while (i % w + n < w && qr->data[i + n] & 1)
			n++;
		if (n > 0)
			buf_add_str(b, str_printf(a, "M%d %dh%dv1h-%dz", i % w,
					   i / w, n, n));
		i += MAX(n, 1);
	}
	text(b, "'/></svg>");
	QRcode_free(qr);
}

static void
add_client(struct buf *b, const char *name, const char *url, const char *where)
{
	text(b, "<li><a rel='noreferrer' href='");
	text(b, url);
	text(b, "'>");
	text(b, name);
	text(b, "</a> (");
	text(b, where);
	text(b, ")</li>");
}

static bool
has(struct str s, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= s.n; i++)
		if (memcmp(s.p + i, word, n) == 0)
			return true;
	return false;
}

/* Those for the visitor's system first, or alone. */
static void
add_clients(struct buf *b, const struct http_req *r)
{
	struct str agent = http_head(r, "user-agent");
	bool is_android = has(agent, "Android");
	bool is_apple =
	    has(agent, "iPhone") || has(agent, "iPad") || has(agent, "Mac OS");
	bool is_windows = has(agent, "Windows");
	bool is_linux = !is_android && has(agent, "Linux");
	bool is_any = !is_android && !is_apple && !is_windows && !is_linux;

	text(b, "<ul>");
	if (is_android || is_any)
		add_client(
		    b, "Conversations", "https://conversations.im/", "Android");
	if (is_apple || is_any)
		add_client(
		    b, "Monal", "https://monal-im.org/", "iPhone, iPad, Mac");
	if (is_linux || is_any)
		add_client(b, "Dino", "https://dino.im/", "Linux");
	if (is_linux || is_windows || is_any)
		add_client(b, "Gajim", "https://gajim.org/", "Windows, Linux");
	text(b, "</ul><p>There is a <a rel='noreferrer' "
		"href='https://xmpp.org/software/'>list of all "
		"clients</a>.</p>");
}

static void
add_input(struct buf *b, const char *label, const char *name, const char *more,
    struct str value)
{
	text(b, "<label>");
	text(b, label);
	text(b, " <input required name='");
	text(b, name);
	text(b, "' ");
	text(b, more);
	text(b, " value='");
	xml_escape(b, value);
	text(b, "'></label>");
}

static void
add_form(struct buf *b, const struct visit *v)
{
	bool is_reset = v->inv.kind == INVITE_RESET;

	text(b, "<form method='post' action='/invite/");
	xml_escape(b, v->token);
	text(b, "'>");
	if (v->problem != NULL) {
		text(b, "<p class='p'>");
		text(b, v->problem);
		text(b, "</p>");
	}
	if (!is_reset)
		add_input(b, "User name", "username",
		    v->inv.name.n > 0
			? "readonly autocomplete='username'"
			: "maxlength='255' autocomplete='username'",
		    v->inv.name.n > 0	   ? v->inv.name
		    : str_is_none(v->user) ? STR("")
					   : v->user);
	add_input(b, "Password", "password",
	    "type='password' autocomplete='new-password' maxlength='1000'",
	    STR(""));
	add_input(b, "Password, once more", "again",
	    "type='password' autocomplete='new-password' maxlength='1000'",
	    STR(""));
	text(b, "<button class='b'>");
	text(b, is_reset ? "Set the password" : "Create the account");
	text(b, "</button></form>");
}

static void
add_head(struct buf *b, const char *title)
{
	text(b, "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
		"<meta name='viewport' content='width=device-width'>"
		"<meta name='robots' content='noindex'><title>");
	text(b, title);
	text(b, "</title>");
	text(b, style);
	text(b, "</head><body>");
}

static void
send_page(struct http_req *r, unsigned status, struct buf *b)
{
	text(b, "</body></html>\n");
	http_header(r, "cache-control", "no-store");
	http_header(r, "referrer-policy", "same-origin");
	http_header(r, "x-content-type-options", "nosniff");
	http_header(r, "content-security-policy",
	    "default-src 'none'; style-src 'unsafe-inline'; form-action "
	    "'self'; base-uri 'none'; frame-ancestors 'none'");
	http_answer(r, status, HTML, buf_str(b));
	buf_fini(b);
}

static void
send_note(
    struct http_req *r, unsigned status, const char *title, const char *words)
{
	struct buf b = { 0 };

	add_head(&b, title);
	text(&b, "<h1>");
	text(&b, title);
	text(&b, "</h1><p>");
	text(&b, words);
	text(&b, "</p>");
	send_page(r, status, &b);
}

/* Passwords go over TLS, or to a proxy on this machine. */
static bool
is_private(const struct http_req *r)
{
	return http_is_tls(r) || addr_is_loopback(http_peer(r));
}

static void
add_invitation(struct buf *b, const struct visit *v)
{
	struct arena *a = http_arena(v->r);
	const struct host *host = mod_host(v->mod);
	struct str uri = invite_uri(a, host, &v->inv, v->token);

	text(b, "<h1>");
	xml_escape(b, v->inv.by.n > 0 ? v->inv.by : host->jid.full);
	text(b, v->inv.kind == INVITE_CONTACT ? " has invited you to chat</h1>"
					      : " has an account for you</h1>");
	text(b, "<p><a class='b' href='");
	xml_escape(b, uri);
	text(b, "'>Open in your client</a></p><p>If nothing happens, install "
		"an XMPP client first, and come back to this page:</p>");
	add_clients(b, v->r);
	text(b, "<p>On another device, scan this with the client:</p>");
	add_qr(b, a, uri);
	if (!invite_makes_account(&v->inv))
		return;
	text(b, "<p>If your client wants a code when you create an account on "
		"<b>");
	xml_escape(b, host->jid.full);
	text(b, "</b>, it is <code>");
	xml_escape(b, v->token);
	text(b, "</code></p>");
}

static void
show(const struct visit *v)
{
	bool is_reset = v->inv.kind == INVITE_RESET;
	struct buf b = { 0 };

	add_head(&b, is_reset ? "New password" : "Invitation");
	if (is_reset) {
		text(&b, "<h1>A new password for ");
		xml_escape(&b, v->inv.name);
		text(&b, "@");
		xml_escape(&b, mod_host(v->mod)->jid.full);
		text(&b, "</h1>");
	} else {
		add_invitation(&b, v);
	}
	if (!is_private(v->r)) {
		text(&b, "<p>To set a password here, open this page by "
			 "https.</p>");
	} else if (is_reset || invite_makes_account(&v->inv)) {
		if (!is_reset)
			text(&b, "<h2>Or create your account here</h2>");
		add_form(&b, v);
	}
	send_page(v->r, v->status, &b);
}

/* ---- looking ------------------------------------------------------------- */

static const char gone[] = "This link is not good, or not any more: it was "
			   "used, or it is too old. Ask for another.";

/* False, and it is answered, when there were too many wrong ones. */
static bool
may_try(struct http_req *r, struct mod *m)
{
	struct invites *s = mod_state(m);
	const struct invites_options *o = mod_options(m);

	if (!addr_rate_is_full(&s->failures, &o->ip_rate, http_peer(r)))
		return true;
	log_notice(mod_log(m), "too many wrong invitations");
	send_note(r, 429, "Too many attempts", "Try again later.");
	return false;
}

static void
count_failure(const struct visit *v)
{
	struct invites *s = mod_state(v->mod);
	const struct invites_options *o = mod_options(v->mod);

	addr_rate_take(&s->failures, &o->ip_rate, http_peer(v->r));
}

static struct visit *
visit_new(struct http_req *r)
{
	struct visit *v = arena_new_of(http_arena(r), struct visit);

	v->r = r;
	v->mod = http_mod(r);
	v->token = http_rest(r);
	v->status = 200;
	return v;
}

static void
keep(struct visit *v, const struct invite *inv)
{
	struct arena *a = http_arena(v->r);

	v->inv = *inv;
	v->inv.id = str_dup(a, inv->id);
	v->inv.by = str_dup(a, inv->by);
	v->inv.name = str_dup(a, inv->name);
}

static void
on_looked(void *ctx, int err, const struct invite *inv)
{
	struct visit *v = (struct visit *)ctx;

	if (err == ERR_ABSENT) {
		count_failure(v);
		send_note(v->r, 404, "No invitation", gone);
	} else if (err < 0) {
		send_note(v->r, 503, "Not now", "Try again in a minute.");
	} else {
		keep(v, inv);
		show(v);
	}
}

void
on_page(struct http_req *r)
{
	struct visit *v = visit_new(r);

	if (may_try(r, v->mod))
		invite_find(v->mod, v->token, on_looked, v);
}

/* ---- forms --------------------------------------------------------------- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* application/x-www-form-urlencoded; none when it is not well-formed. */
static struct str
decode(struct arena *a, struct str s)
{
	char *to = arena_bytes(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int high, low;

		if (s.p[i] != '%') {
			to[n++] = s.p[i];
			if (s.p[i] == '+')
				to[n - 1] = ' ';
			continue;
		}
		if (i + 2 >= s.n || (high = hex_digit(s.p[i + 1])) < 0 ||
		    (low = hex_digit(s.p[i + 2])) < 0)
			return STR_NONE;
		to[n++] = (char)(high << 4 | low);
		i += 2;
	}
	return str_mem(to, n);
}

static struct str
field(struct arena *a, struct str body, const char *name)
{
	while (!str_is_none(body)) {
		struct str value = str_cut(&body, '&');
		struct str key = str_cut(&value, '=');

		if (str_is(key, name)) {
			value = decode(a, str_is_none(value) ? STR("") : value);
			return str_is_utf8(value) ? value : STR_NONE;
		}
	}
	return STR_NONE;
}

/* Browsers say where a form comes from; others are nobody's tool. */
static bool
is_from_here(const struct http_req *r)
{
	struct str origin = http_head(r, "origin");
	struct str site = http_head(r, "sec-fetch-site");
	struct str host = http_head(r, "host");

	if (!str_is_none(site) && !str_is(site, "same-origin"))
		return false;
	if (str_is_none(origin))
		return true;
	if (str_has_prefix(origin, STR("https://")))
		origin = str_skip(origin, 8);
	else if (str_has_prefix(origin, STR("http://")))
		origin = str_skip(origin, 7);
	else
		return false;
	return str_eq_nocase(origin, host);
}

static void
show_problem(struct visit *v, unsigned status, const char *problem)
{
	v->status = status;
	v->problem = problem;
	show(v);
}

static void
welcome(const struct visit *v)
{
	struct buf b = { 0 };

	add_head(&b, "Done");
	text(&b, v->inv.kind == INVITE_RESET
		     ? "<h1>The new password is set</h1><p>Log in as <b>"
		     : "<h1>Your account is there</h1><p>Log in as <b>");
	xml_escape(&b, v->local);
	text(&b, "@");
	xml_escape(&b, mod_host(v->mod)->jid.full);
	text(&b, "</b> in a client:</p>");
	add_clients(&b, v->r);
	send_page(v->r, 200, &b);
}

static void
on_redeemed(void *ctx, int err)
{
	struct visit *v = (struct visit *)ctx;

	if (err == 0) {
		welcome(v);
		return;
	}
	count_failure(v);
	switch (err) {
	case ERR_ABSENT:
		send_note(v->r, 404, "No invitation", gone);
		break;
	case ERR_EXISTS:
		show_problem(
		    v, 409, "This user name is taken. Choose another.");
		break;
	case ERR_INVALID:
		show_problem(
		    v, 400, "This user name or password is not allowed.");
		break;
	default:
		send_note(v->r, 503, "Not now", "Try again in a minute.");
	}
}

static void
on_found(void *ctx, int err, const struct invite *inv)
{
	struct visit *v = (struct visit *)ctx;
	const struct invites_options *o = mod_options(v->mod);
	struct arena *a = http_arena(v->r);
	struct jid jid;

	if (err < 0 ||
	    (inv->kind != INVITE_RESET && !invite_makes_account(inv))) {
		on_redeemed(v, err < 0 ? err : ERR_ABSENT);
		return;
	}
	keep(v, inv);
	if (str_is_none(v->password) || !str_eq(v->password, v->again)) {
		show_problem(v, 400, "The two passwords are not the same.");
	} else if (v->password.n < o->password_min) {
		show_problem(v, 400, "This password is too short.");
	} else if (v->inv.name.n > 0) {
		v->local = v->inv.name;
	} else if (str_is_none(v->user) ||
		   jid_prep_local(a, str_trim(v->user), &v->local) < 0 ||
		   v->local.n == 0) {
		show_problem(v, 400, "This user name is not allowed.");
	}
	if (v->problem != NULL)
		return;
	jid = jid_make(a, v->local, mod_host(v->mod)->jid.domain, STR_NONE);
	invite_redeem(mod_host(v->mod), v->token, &jid, v->password, false,
	    on_redeemed, v);
}

void
on_form(struct http_req *r)
{
	struct visit *v = visit_new(r);
	struct arena *a = http_arena(r);
	struct str body = http_body(r);

	if (body.n > FORM_MAX) {
		send_note(r, 413, "Too much", "This is no form of ours.");
		return;
	}
	if (!is_from_here(r) || !is_private(r)) {
		send_note(r, 403, "Not from there",
		    "Open the link of your invitation by https, and fill in "
		    "the form there.");
		return;
	}
	if (!may_try(r, v->mod))
		return;
	v->user = field(a, body, "username");
	v->password = field(a, body, "password");
	v->again = field(a, body, "again");
	invite_find(v->mod, v->token, on_found, v);
}
