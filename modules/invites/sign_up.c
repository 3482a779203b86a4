/* SPDX-License-Identifier: MIT */
/* XEP-0445: a token shown on the stream, before signing up (XEP-0077). */
#include "modules/invites/invites.h"

struct showing {
	struct mod *mod;
	struct stream *stream;
	struct stanza *iq;
	struct str token;
};

static void
refuse(struct showing *w, enum qname condition, const char *text)
{
	stanza_make_error(w->iq, condition, text, EL_NONE);
	stream_send_elem(w->stream, w->iq->root);
	stanza_free(&w->iq);
}

static void
on_found(void *ctx, int err, const struct invite *inv)
{
	struct showing *w = (struct showing *)ctx;
	struct invites *s = mod_state(w->mod);
	const struct invites_options *o = mod_options(w->mod);
	struct stream *stream = w->stream;

	if (err == 0 && invite_makes_account(inv)) {
		stream_set_note(stream, w->token);
		stanza_result(w->iq);
		stream_send_elem(stream, w->iq->root);
		stanza_free(&w->iq);
	} else if (err < 0 && err != ERR_ABSENT) {
		refuse(w, EL_INTERNAL_SERVER_ERROR, NULL);
	} else {
		addr_rate_take(&s->failures, &o->ip_rate, stream_peer(stream));
		refuse(w, EL_ITEM_NOT_FOUND,
		    "The provided token is invalid or expired");
	}
	xfree(w);
	stream_release(stream);
}

enum verdict
on_stream_iq(struct mod *m, struct stream *stream, struct stanza *iq)
{
	struct invites *s = mod_state(m);
	const struct invites_options *o = mod_options(m);
	struct showing *w;

	if (elem_name(stanza_payload(iq)) != EL_PREAUTH || iq->type != IQ_SET)
		return STANZA_PASS;
	w = (struct showing *)xzalloc(sizeof(*w));
	w->mod = m;
	w->stream = stream;
	w->iq = iq;
	w->token = elem_attr(stanza_payload(iq), AT_TOKEN);
	if (addr_rate_is_full(&s->failures, &o->ip_rate, stream_peer(stream))) {
		log_notice(stream_log(stream), "too many wrong invitations");
		refuse(w, EL_RESOURCE_CONSTRAINT, NULL);
		xfree(w);
		return STANZA_DONE;
	}
	stream_hold(stream);
	invite_find(m, w->token, on_found, w);
	return STANZA_DONE;
}

void
on_stream_features(struct mod *m, struct stream *s, struct elem *features)
{
	if (!stream_is_authenticated(s) &&
	    mod_find(mod_host(m), "register") != NULL)
		elem_add(features, EL_IBR_TOKEN_FEATURE);
}
