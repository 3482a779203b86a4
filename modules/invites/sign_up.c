/* SPDX-License-Identifier: MIT */
/* XEP-0445: a token shown on the stream, before signing up (XEP-0077). */
#include "modules/invites/invites.h"

/* A token being looked up; whoever asked holds the stream. */
struct showing {
	struct mod *mod;
	struct stream *stream;
	struct str token;
	store_done_fn *done;
	void *ctx;
};

static void
on_found(void *ctx, int err, const struct invite *inv)
{
	struct showing *w = (struct showing *)ctx;
	struct invites *s = mod_state(w->mod);
	const struct invites_options *o = mod_options(w->mod);

	if (err == 0 && !invite_makes_account(inv))
		err = ERR_ABSENT;
	if (err == 0)
		stream_set_note(w->stream, w->token);
	else if (err == ERR_ABSENT)
		addr_rate_take(
		    &s->failures, &o->ip_rate, stream_peer(w->stream));
	w->done(w->ctx, err);
	xfree(w);
}

void
invite_show(const struct host *host, struct stream *stream, struct str token,
    store_done_fn *done, void *ctx)
{
	struct mod *m = mod_find(host, "invites");
	struct invites *s = mod_state(m);
	const struct invites_options *o = mod_options(m);
	struct showing *w;

	if (addr_rate_is_full(&s->failures, &o->ip_rate, stream_peer(stream))) {
		log_notice(stream_log(stream), "too many wrong invitations");
		done(ctx, ERR_LIMIT);
		return;
	}
	w = (struct showing *)xzalloc(sizeof(*w));
	w->mod = m;
	w->stream = stream;
	w->token = token;
	w->done = done;
	w->ctx = ctx;
	invite_find(m, token, on_found, w);
}

struct preauth {
	struct stream *stream;
	struct stanza *iq;
};

static void
on_shown(void *ctx, int err)
{
	struct preauth *p = (struct preauth *)ctx;

	switch (err) {
	case 0:
		stanza_result(p->iq);
		break;
	case ERR_ABSENT:
		stanza_make_error(p->iq, EL_ITEM_NOT_FOUND,
		    "The provided token is invalid or expired", EL_NONE);
		break;
	case ERR_LIMIT:
		stanza_make_error(p->iq, EL_RESOURCE_CONSTRAINT, NULL, EL_NONE);
		break;
	default:
		stanza_make_error(
		    p->iq, EL_INTERNAL_SERVER_ERROR, NULL, EL_NONE);
	}
	stream_send_elem(p->stream, p->iq->root);
	stanza_free(&p->iq);
	stream_release(p->stream);
	xfree(p);
}

enum verdict
on_stream_iq(struct mod *m, struct stream *stream, struct stanza *iq)
{
	struct preauth *p;

	if (elem_name(stanza_payload(iq)) != EL_PREAUTH || iq->type != IQ_SET)
		return STANZA_PASS;
	p = (struct preauth *)xzalloc(sizeof(*p));
	p->stream = stream;
	p->iq = iq;
	stream_hold(stream);
	invite_show(mod_host(m), stream,
	    elem_attr(stanza_payload(iq), AT_TOKEN), on_shown, p);
	return STANZA_DONE;
}

void
on_stream_features(struct mod *m, struct stream *s, struct elem *features)
{
	if (!stream_is_authenticated(s) &&
	    mod_find(mod_host(m), "register") != NULL)
		elem_add(features, EL_IBR_TOKEN_FEATURE);
}
