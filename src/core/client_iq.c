/* SPDX-License-Identifier: MIT */
/*
 * XEP-0494: Client Access Management. Who has access to an account: clients by
 * what they said of themselves (XEP-0388), and sessions of those that said
 * nothing. Access by token is revoked here; who knows the password is kept out
 * only by another password.
 */
#include "core/client.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/session.h"

/* ---- sessions without a client ----------------------------------------- */

struct str
client_session_id(const struct session *s, struct arena *a)
{
	return str_printf(a, "session-%016llx",
	    (unsigned long long)str_hash(s->jid.resource));
}

static struct session *
session_named(struct account *acct, struct str id, struct arena *a)
{
	struct session *s;

	LIST_EACH(s, &acct->sessions, struct session, node)
	if (!s->is_closing && str_is_none(s->client) &&
	    str_eq(client_session_id(s, a), id))
		return s;
	return NULL;
}

bool
client_has_access(const struct account *acct, const struct client *c)
{
	return c->by_password || client_has_token(c) ||
	       client_is_connected(acct, c);
}

/* ---- the list ---------------------------------------------------------- */

static struct elem *
add_one(struct elem *list, bool is_connected, struct str id, int64_t first,
    int64_t last)
{
	struct elem *e = elem_add(list, EL_CAM_CLIENT);
	struct arena *a = elem_arena(e);

	elem_set(e, AT_CONNECTED, is_connected ? STR("true") : STR("false"));
	elem_set_copy(e, AT_ID, id);
	elem_set(e, AT_TYPE, STR("session"));
	elem_add_text(e, EL_CAM_FIRST_SEEN, clock_format(a, first, false));
	elem_add_text(e, EL_CAM_LAST_SEEN, clock_format(a, last, false));
	return e;
}

static void
add_permission(struct elem *e)
{
	elem_set(
	    elem_add(e, EL_CAM_PERMISSION), AT_STATUS, STR("unrestricted"));
}

static void
add_agent(struct elem *e, const struct client *c)
{
	struct arena *a = elem_arena(e);
	struct elem *agent = elem_add(e, EL_CAM_USER_AGENT);

	if (!str_is_none(c->software))
		elem_add_text(agent, EL_CAM_SOFTWARE, str_dup(a, c->software));
	if (!str_is_none(c->device))
		elem_add_text(agent, EL_CAM_DEVICE, str_dup(a, c->device));
}

static void
add_client(
    struct elem *list, const struct account *acct, const struct client *c)
{
	struct elem *e = add_one(list, client_is_connected(acct, c), c->id,
	    c->first_seen, c->last_seen);
	struct elem *auth = elem_add(e, EL_CAM_AUTH);

	if (c->by_password)
		elem_add(auth, EL_CAM_PASSWORD);
	if (client_has_token(c))
		elem_add(auth, EL_CAM_FAST);
	add_permission(e);
	add_agent(e, c);
}

static void
add_session(struct elem *list, const struct session *s)
{
	struct elem *e = add_one(list, true,
	    client_session_id(s, elem_arena(list)), s->since, clock_real());

	elem_add(elem_add(e, EL_CAM_AUTH), EL_CAM_PASSWORD);
	add_permission(e);
}

static void
send_list(struct account *acct, struct stanza *iq)
{
	struct elem *list = elem_add(stanza_result(iq), EL_CAM_CLIENTS);
	struct client *c = NULL;
	struct session *s;

	while ((c = clients_next(acct, c)) != NULL)
		if (client_has_access(acct, c))
			add_client(list, acct, c);
	LIST_EACH(s, &acct->sessions, struct session, node)
	if (!s->is_closing && str_is_none(s->client))
		add_session(list, s);
	stanza_send_back(iq);
}

/* ---- revoking ---------------------------------------------------------- */

void
client_close_sessions(struct account *acct, struct str id)
{
	struct session *s;

	LIST_EACH(s, &acct->sessions, struct session, node)
	if (!s->is_closing && str_eq(s->client, id))
		session_close(s, EL_SE_NOT_AUTHORIZED, "access was revoked");
}

struct revoke {
	struct account *acct; /* pinned */
	struct stanza *iq;
};

static void
on_revoked(void *ctx, int err)
{
	struct revoke *r = (struct revoke *)ctx;
	struct account *acct = r->acct;
	struct str id;

	if (err < 0) {
		stanza_refuse(r->iq, EL_INTERNAL_SERVER_ERROR);
	} else {
		/* The one who asks may be that client: it is told first. */
		id = str_heap(elem_attr(stanza_payload(r->iq), AT_ID));
		stanza_reply(r->iq);
		client_close_sessions(acct, id);
		str_free(&id);
	}
	account_unpin(acct);
	xfree(r);
}

static void
refuse_reset(struct stanza *iq)
{
	stanza_refuse_with(
	    iq, EL_SERVICE_UNAVAILABLE, NULL, EL_CAM_RESET_REQUIRED);
}

static void
revoke(struct account *acct, struct stanza *iq)
{
	struct str id = elem_attr(stanza_payload(iq), AT_ID);
	struct client *c = client_find(acct, id);
	struct revoke *r;

	if (c == NULL) {
		if (session_named(acct, id, iq->arena) != NULL)
			refuse_reset(iq);
		else
			stanza_refuse(iq, EL_ITEM_NOT_FOUND);
		return;
	}
	if (c->by_password) {
		refuse_reset(iq);
		return;
	}
	r = (struct revoke *)xzalloc(sizeof(*r));
	r->acct = acct;
	r->iq = iq;
	account_pin(acct);
	client_remove(acct, c, on_revoked, r);
}

/* ---- the table --------------------------------------------------------- */

static void
on_clients(void *ctx, int err)
{
	struct stanza *iq = (struct stanza *)ctx;
	struct account *acct = iq_account(iq);

	if (err < 0 || acct == NULL)
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
	else if (iq->type == IQ_GET)
		send_list(acct, iq);
	else
		revoke(acct, iq);
}

static enum verdict
on_iq(struct mod *m, struct stanza *iq)
{
	clients_load(iq_account(iq), on_clients, iq);
	return STANZA_DONE;
}

static const struct iq_route routes[] = {
	{ IQ_GET, TO_SELF, EL_CAM_LIST, on_iq },
	{ IQ_SET, TO_SELF, EL_CAM_REVOKE, on_iq },
	ROUTES_END,
};

static const struct feature features[] = {
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:cam:0") },
	FEATURES_END,
};

const struct module clients_module = {
	.summary = "list and revoke the clients of an account",
	.iq = routes,
	.features = features,
};
