/* SPDX-License-Identifier: MIT */
/*
 * What a login by SASL2 does at its account: resumes a session (XEP-0198
 * section 9) or binds a resource with what belongs to it (XEP-0386).
 */
#include "core/sm.h"

#include "base/random.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/scram.h"
#include "core/session_internal.h"

#define RESOURCE_BYTES 9
#define TAG_MAX 64

/* ---- offering ---------------------------------------------------------- */

void
login_offer_inline(const struct stream *s, struct elem *inlines)
{
	struct elem *bind = elem_add(inlines, EL_BIND2);
	struct elem *list = elem_add(bind, EL_BIND2_INLINE);

	elem_set(
	    elem_add(list, EL_BIND2_FEATURE), AT_VAR, STR("urn:xmpp:sm:3"));
	hook_features(HOOK_BIND_FEATURES, (struct stream *)(uintptr_t)s, list);
	elem_add(inlines, EL_SM);
}

/* ---- without a resource ------------------------------------------------ */

static void
finish_unbound(struct stream *s)
{
	login_succeed(s, s->nego->user.bare);
	stream_send_features(s);
	stream_go_on(s);
}

/* ---- binding ----------------------------------------------------------- */

/*
 * The server's part of the resource. The same for the same client and tag, so
 * that its contacts know it again; nobody can tell the client's id from it.
 */
static struct str
make_id(const struct stream *s, struct arena *a, struct str tag)
{
	const struct host *h = s->host;
	unsigned char mac[SCRAM_DIGEST_MAX];
	struct str text;

	if (str_is_none(s->nego->client))
		return random_token(a, RESOURCE_BYTES);
	text = str_printf(a, "resource " STR_FMT " " STR_FMT,
	    STR_ARG(s->nego->client), STR_ARG(tag));
	scram_hmac(scram_hash_find(STR("SCRAM-SHA-256")),
	    str_mem(h->secret, sizeof(h->secret)), text, mac);
	return str_hex(a, str_mem(mac, RESOURCE_BYTES));
}

/* "tag/id"; a tag that no resource can have is left out. */
static struct str
make_resource(const struct stream *s, struct arena *a, const struct elem *bind)
{
	struct str tag = str_trim(elem_child_text(bind, EL_BIND2_TAG));
	struct str id, resource;

	if (tag.n > TAG_MAX)
		tag = STR_NONE;
	id = make_id(s, a, tag);
	if (tag.n == 0)
		return id;
	resource =
	    str_printf(a, STR_FMT "/" STR_FMT, STR_ARG(tag), STR_ARG(id));
	if (jid_prep_resource(a, resource, &resource) < 0)
		return id;
	return resource;
}

/*
 * The client is back, so its earlier sessions are dead, whether that has been
 * noticed or not. What they were not sent waits in the spool.
 */
static void
replace_others(struct stream *s, struct str resource)
{
	struct account *acct = s->nego->account;
	struct session *old;

	LIST_EACH(old, &acct->sessions, struct session, node)
	{
		if (str_eq(old->jid.resource, resource) ||
		    (!str_is_none(old->client) &&
			str_eq(old->client, s->nego->client)))
			session_replace(old);
	}
}

static void
enable_inline(
    struct session *session, const struct elem *bind, struct elem *bound)
{
	const struct elem *enable = elem_child(bind, EL_SM_ENABLE);

	hook_bind(session, bind, bound);
	if (enable != NULL) {
		sm_enable(session, enable);
		sm_add_enabled(session->sm, bound);
	}
}

static void
bind_now(struct stream *s, const struct elem *bind)
{
	struct login *l = s->nego->login;
	struct account *acct = s->nego->account;
	struct str resource = make_resource(s, elem_arena(l->request), bind);
	struct session *session;

	replace_others(s, resource);
	if (!stream_make_room(acct)) {
		stream_fail(s, EL_SE_RESOURCE_CONSTRAINT, "too many sessions");
		return;
	}
	session = session_new(acct, s, resource);
	stream_spool_others(session);
	enable_inline(session, bind, l->bound);
	login_succeed(s, session->jid.full);
	stream_adopt(s, session);
	stream_send_features(s);
	log_debug(&s->log, "bound");
	hook_session(HOOK_SESSION_BOUND, session);
	stream_go_on(s);
}

void
login_bind(struct stream *s)
{
	struct login *l = s->nego->login;
	struct elem *bind = elem_child(l->request, EL_BIND2);

	if (s->is_closing || !stream_may_bind(s))
		return;
	if (bind == NULL) {
		finish_unbound(s);
	} else if (l->bound == NULL) {
		l->bound = elem_add(l->success, EL_BIND2_BOUND);
		login_hold(l);
		hook_login(l, s->host);
		login_release(l);
	} else {
		bind_now(s, bind);
	}
}

/* ---- resuming ---------------------------------------------------------- */

void
login_resumed(struct stream *s, const struct session *session, uint32_t h)
{
	struct login *l = s->nego->login;
	struct elem *e = elem_add(l->success, EL_SM_RESUMED);

	elem_set_copy(e, AT_PREVID, str_c(session->sm->id));
	elem_set_uint(e, AT_H, h);
	login_succeed(s, session->jid.full);
}

void
login_not_resumed(struct stream *s, int64_t h)
{
	struct login *l = s->nego->login;

	elem_append(l->success,
	    sm_failed(elem_arena(l->success), EL_ITEM_NOT_FOUND, h));
	login_bind(s);
}

static void
resume(struct stream *s, const struct elem *e)
{
	struct account *acct = s->nego->account;
	struct str id = elem_attr(e, AT_PREVID);
	struct session *session = stream_resumable(acct, id);
	uint64_t h;
	uint32_t known;

	if (!str_to_u64(elem_attr(e, AT_H), &h) || h > UINT32_MAX)
		login_not_resumed(s, -1);
	else if (session != NULL && sm_is_behind(session->sm, (uint32_t)h))
		login_not_resumed(s, session->sm->in->durable);
	else if (session != NULL)
		sm_resume(session->sm, s, (uint32_t)h);
	else if (sm_memory_get(id, acct->jid.bare, &known))
		login_not_resumed(s, known);
	else
		login_not_resumed(s, -1);
}

void
login_inline(struct stream *s)
{
	struct elem *e = elem_child(s->nego->login->request, EL_SM_RESUME);

	if (e == NULL)
		login_bind(s);
	else if (stream_may_bind(s))
		resume(s, e);
}
