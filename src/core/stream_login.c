/* SPDX-License-Identifier: MIT */
/*
 * Logins by SASL2 (XEP-0388), next to those of RFC 6120: the exchange is the
 * same, but what the client wants beside comes with its first element, is done
 * at the account's home, and is answered with <success/>.
 */
#include "core/stream_internal.h"

#include "base/random.h"
#include "core/account.h"
#include "core/conf.h"
#include "core/host.h"
#include "core/scram.h"

#define AGENT_ID_MAX 128
/* Of what names a client to others: enough not to meet another's. */
#define CLIENT_ID_BYTES 12

/* ---- offering ---------------------------------------------------------- */

void
login_offer(const struct stream *s, struct elem *features,
    const struct str *names, size_t count)
{
	struct elem *authentication, *e;

	/* Only over TLS (XEP-0388, security considerations). */
	if (count == 0 || !stream_is_tls(s))
		return;
	authentication = elem_add(features, EL_SASL2);
	for (size_t i = 0; i < count; i++)
		elem_add_text(authentication, EL_SASL2_MECHANISM, names[i]);
	e = elem_add(authentication, EL_SASL2_INLINE);
	login_offer_inline(s, e);
	login_offer_tokens(s, e);
	upgrade_offer(s, authentication);
}

/* ---- its life ---------------------------------------------------------- */

static struct login *
login_new(struct stream *s, struct elem *request)
{
	struct arena *a = elem_arena(request);
	struct login *l = arena_new_of(a, struct login);

	l->stream = s;
	l->request = request;
	l->success = elem_new(a, EL_SASL2_SUCCESS);
	l->data = STR_NONE;
	l->client = STR_NONE;
	l->salt = STR_NONE;
	return l;
}

static void
login_drop(struct login *l)
{
	struct arena *a = elem_arena(l->request);

	if (l->account != NULL)
		account_unpin(l->account);
	arena_free(&a);
}

void
login_free(struct login **lp)
{
	struct login *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	l->is_dead = true;
	if (l->holds == 0)
		login_drop(l);
}

struct account *
login_account(const struct login *l)
{
	return l->account;
}

struct elem *
login_bound(const struct login *l)
{
	return l->bound;
}

void
login_hold(struct login *l)
{
	l->holds++;
}

void
login_release(struct login *l)
{
	must(l->holds > 0);
	if (--l->holds > 0)
		return;
	if (l->is_dead)
		login_drop(l);
	else
		login_bind(l->stream);
}

/* ---- the exchange ------------------------------------------------------ */

static void
send_data(struct stream *s, qname_t name, struct str data)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, name);

	elem_set_text(e, str_base64(a, data));
	stream_send_elem(s, e);
	arena_free(&a);
}

void
login_challenge(struct stream *s, struct str data)
{
	send_data(s, EL_SASL2_CHALLENGE, data);
}

/* Unlike in RFC 6120, "=" is nothing special. */
static bool
decode(const struct elem *e, struct str *message_r)
{
	return str_unbase64(elem_arena(e), str_trim(elem_text(e)), message_r);
}

/*
 * What names the client in listings: the same each time, and no way leads
 * from it to the id in <user-agent/>, which is the client's secret.
 */
struct str
login_client(const struct stream *s, struct arena *a, struct str bare,
    struct str agent_id)
{
	const struct host *h = s->host;
	unsigned char mac[SCRAM_DIGEST_MAX];
	struct str text = str_printf(
	    a, "client " STR_FMT " " STR_FMT, STR_ARG(bare), STR_ARG(agent_id));

	scram_hmac(scram_hash_find(STR("SCRAM-SHA-256")),
	    str_mem(h->secret, sizeof(h->secret)), text, mac);
	return str_hex(a, str_mem(mac, CLIENT_ID_BYTES));
}

struct str
login_agent(const struct login *l)
{
	return elem_attr(elem_child(l->request, EL_SASL2_USER_AGENT), AT_ID);
}

static bool
is_agent_sane(const struct login *l)
{
	struct str id = login_agent(l);

	return str_is_none(id) || (id.n > 0 && id.n <= AGENT_ID_MAX);
}

/* Takes the element over. */
void
stream_on_authenticate(struct stream *s, struct elem *e)
{
	struct login *l = login_new(s, e);
	struct elem *initial = elem_child(e, EL_SASL2_INITIAL);
	struct str message = STR_NONE;
	struct nego *n = s->nego;

	if (n->sasl != NULL) {
		login_drop(l);
		stream_fail(
		    s, EL_SE_POLICY_VIOLATION, "another login is under way");
		return;
	}
	n->login = l;
	if (!stream_is_tls(s)) {
		stream_auth_fail(
		    s, EL_SASL_ENCRYPTION_REQUIRED, NULL, STR_NONE);
		return;
	}
	if (!is_agent_sane(l)) {
		stream_auth_fail(s, EL_SASL_MALFORMED_REQUEST,
		    "no such id has a user agent", STR_NONE);
		return;
	}
	if (initial != NULL && !decode(initial, &message)) {
		stream_auth_fail(s, EL_SASL_INCORRECT_ENCODING, NULL, STR_NONE);
	} else if (elem_child(e, EL_FAST) != NULL) {
		login_by_token(s, message);
	} else if (stream_auth_begin(s, elem_attr(e, AT_MECHANISM))) {
		stream_wait(s);
		sasl_step(n->sasl, message, true);
	}
}

static void
on_response(struct stream *s, const struct elem *e)
{
	struct str message;

	if (!decode(e, &message)) {
		stream_auth_fail(s, EL_SASL_INCORRECT_ENCODING, NULL, STR_NONE);
		return;
	}
	stream_wait(s);
	sasl_step(s->nego->sasl, message, false);
}

/* While it is under way, nothing else may come. */
void
stream_on_login_elem(struct stream *s, struct elem *e)
{
	if (s->nego->login->upgrade != NULL)
		upgrade_on_elem(s, e);
	else if (elem_name(e) == EL_SASL2_ABORT)
		stream_auth_fail(s, EL_SASL_ABORTED, NULL, STR_NONE);
	else if (elem_name(e) == EL_SASL2_RESPONSE && s->nego->sasl != NULL)
		on_response(s, e);
	else
		stream_fail(s, EL_SE_POLICY_VIOLATION, "a login is under way");
}

/* ---- the answer -------------------------------------------------------- */

void
login_authenticated(struct stream *s, const struct sasl_result *r)
{
	struct nego *n = s->nego;
	struct login *l = n->login;
	struct arena *a = elem_arena(l->request);
	struct str id = login_agent(l);

	if (!str_is_none(r->data))
		l->data = str_dup(a, r->data);
	if (!str_is_none(r->salt))
		l->salt = str_dup(a, r->salt);
	if (!str_is_none(id) && str_is_none(l->client))
		l->client = login_client(s, a, n->user.bare, id);
	n->client = str_heap(l->client);
}

void
login_go_on(struct stream *s)
{
	struct login *l = s->nego->login;

	l->account = s->nego->account;
	account_pin(l->account);
	if (!upgrade_begin(s))
		login_tokens(s);
}

void
login_succeed(struct stream *s, struct str authzid)
{
	struct login *l = s->nego->login;
	struct elem *e = elem_new(elem_arena(l->success), EL_SASL2_AUTHZID);

	elem_set_text(e, str_dup(elem_arena(e), authzid));
	elem_prepend(l->success, e);
	if (!str_is_none(l->data)) {
		e = elem_new(elem_arena(e), EL_SASL2_DATA);
		elem_set_text(e, str_base64(elem_arena(e), l->data));
		elem_prepend(l->success, e);
	}
	if (l->token != NULL)
		elem_append(l->success, l->token);
	stream_send_elem(s, l->success);
	s->is_authenticated = true;
	login_free(&s->nego->login);
}
