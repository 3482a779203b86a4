/* SPDX-License-Identifier: MIT */
/*
 * SASL ANONYMOUS (RFC 4505, XEP-0175): everybody is somebody else each time.
 * What the client says of itself is looked at for its form, and forgotten.
 */
#include "core/sasl_impl.h"

#include "base/err.h"
#include "core/guest.h"
#include "core/mods.h"

/* Characters of trace information (RFC 4505 section 2), at most 4 bytes. */
#define TRACE_MAX 255

static struct mod *
guests_of(const struct host *host, const struct guests **guests_r)
{
	*guests_r = (const struct guests *)mod_lookup("guests");
	return *guests_r != NULL ? mod_find(host, (*guests_r)->module) : NULL;
}

bool
anonymous_is_offered(const struct host *host)
{
	const struct guests *g;

	return guests_of(host, &g) != NULL;
}

static void
on_admitted(void *ctx, int err, const struct jid *bare)
{
	struct sasl *s = (struct sasl *)ctx;

	/* A guest whom nobody waits for any more goes by himself. */
	if (!sasl_is_back(s))
		return;
	if (err == 0) {
		s->user = jid_dup(s->arena, bare);
		sasl_succeed(s, STR_NONE);
	} else {
		sasl_fail(s, EL_SASL_TEMPORARY_AUTH_FAILURE,
		    err == ERR_LIMIT ? "too many guests" : NULL);
	}
}

static bool
is_trace(struct str text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.n; i++)
		count += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return count <= TRACE_MAX && str_is_utf8(text) &&
	       memchr(text.p, '\0', text.n) == NULL;
}

void
anonymous_take(struct sasl *s, struct str message)
{
	const struct guests *g;
	struct mod *m = guests_of(s->host, &g);

	if (message.n > 0 && !is_trace(message)) {
		sasl_fail(s, EL_SASL_MALFORMED_REQUEST, NULL);
	} else if (m == NULL) {
		sasl_fail(s, EL_SASL_NOT_AUTHORIZED, NULL);
	} else {
		sasl_wait(s);
		g->admit(
		    m, s->transport->ops->peer(s->transport), on_admitted, s);
	}
}
