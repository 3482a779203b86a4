/* SPDX-License-Identifier: MIT */
/*
 * SASL EXTERNAL (RFC 4422, XEP-0178 section 3): the client is who its
 * certificate says. It names addresses (xmppAddr); which of them is meant is
 * told by the message, and goes without saying when there is one.
 */
#include "core/sasl_impl.h"

#include "base/err.h"
#include "base/log.h"
#include "core/auth.h"

/* Addresses in a certificate that are looked at. */
#define ADDRS_MAX 64

/* Those of our host, each once; as conn_tls_client(). */
static int
own_addrs(const struct host *host, const struct transport *t, struct arena *a,
    struct jid own_r[ADDRS_MAX], const char **why_r)
{
	struct conn *c = t->ops->conn(t);
	struct str addrs[ADDRS_MAX];
	int count, n = 0;

	count = c != NULL ? conn_tls_client(c, a, addrs, ADDRS_MAX, why_r)
			  : ERR_ABSENT;
	for (int i = 0; i < count; i++) {
		struct jid jid;
		int k = 0;

		if (jid_parse(a, addrs[i], &jid) < 0 ||
		    str_is_none(jid.local) || !jid_is_bare(&jid) ||
		    !str_eq(jid.domain, host->jid.domain))
			continue;
		while (k < n && !jid_eq(&own_r[k], &jid))
			k++;
		if (k == n)
			own_r[n++] = jid;
	}
	return count < 0 ? count : n;
}

bool
external_is_there(const struct transport *t)
{
	struct conn *c = t->ops->conn(t);
	struct str none;
	const char *why;

	return c != NULL &&
	       conn_tls_client(c, NULL, &none, 0, &why) != ERR_ABSENT;
}

bool
external_is_offered(const struct host *host, const struct transport *t)
{
	struct jid own[ADDRS_MAX];
	struct arena *a;
	const char *why;
	int count;

	/* Most have none, and need no arena. */
	if (!external_is_there(t))
		return false;
	a = arena_new(0);
	count = own_addrs(host, t, a, own, &why);
	arena_free(&a);
	return count > 0;
}

static void
on_stands(void *ctx, int err)
{
	struct sasl *s = (struct sasl *)ctx;

	if (!sasl_is_back(s))
		return;
	if (err == 0)
		sasl_succeed(s, STR_NONE);
	else if (err == ERR_DENIED)
		sasl_fail(s, EL_SASL_ACCOUNT_DISABLED, NULL);
	else if (err == ERR_ABSENT)
		sasl_fail(s, EL_SASL_NOT_AUTHORIZED, NULL);
	else
		sasl_fail(s, EL_SASL_TEMPORARY_AUTH_FAILURE, NULL);
}

/* Which of its own is it to be? */
static bool
choose(struct sasl *s, struct str authzid, const struct jid *own, int count)
{
	struct jid wanted;
	int i = 0;

	if (authzid.n == 0) {
		if (count == 1)
			s->user = own[0];
		return count == 1;
	}
	s->has_authzid = true;
	if (!str_is_utf8(authzid) || jid_parse(s->arena, authzid, &wanted) < 0)
		return false;
	while (i < count && !jid_eq(&own[i], &wanted))
		i++;
	if (i < count)
		s->user = own[i];
	return i < count;
}

void
external_take(struct sasl *s, struct str message)
{
	struct jid own[ADDRS_MAX];
	const char *why = "the certificate names no user of this host";
	int count = own_addrs(s->host, s->transport, s->arena, own, &why);

	if (count <= 0) {
		sasl_fail(s, EL_SASL_NOT_AUTHORIZED, why);
	} else if (!choose(s, message, own, count)) {
		sasl_fail(s, EL_SASL_INVALID_AUTHZID, NULL);
	} else {
		sasl_wait(s);
		auth_stands(&s->user, on_stands, s);
	}
}
