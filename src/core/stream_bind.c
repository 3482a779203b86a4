/* SPDX-License-Identifier: MIT */
/*
 * Between login and session: the account is loaded at its home, then the
 * client binds a resource (RFC 6120 section 7) or resumes an earlier
 * session (XEP-0198 section 5).
 */
#include "core/sm.h"

#include "base/err.h"
#include "base/random.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/session_internal.h"

#define RESOURCE_BYTES 12

void
nego_free(struct nego **np)
{
	struct nego *n = *np;
	struct arena *a;

	*np = NULL;
	if (n == NULL)
		return;
	timer_stop(&n->deadline);
	timer_stop(&n->delay);
	sasl_free(&n->sasl);
	login_free(&n->login);
	if (n->resuming != NULL)
		sm_resumer_gone(n->resuming->sm);
	if (n->waiting != NULL) {
		a = elem_arena(n->waiting);
		arena_free(&a);
	}
	if (n->account != NULL)
		account_unpin(n->account);
	str_free(&n->user.full);
	str_free(&n->note);
	str_free(&n->from);
	str_free(&n->client);
	xfree(n);
}

void
stream_set_note(struct stream *s, struct str note)
{
	if (s->nego == NULL)
		return;
	str_free(&s->nego->note);
	s->nego->note = str_heap(note);
}

struct str
stream_note(const struct stream *s)
{
	return s->nego != NULL ? s->nego->note : STR_NONE;
}

/* ---- the account ---- */

/* A ban ends sessions, and there is none yet. */
bool
stream_may_bind(struct stream *s)
{
	if (!s->nego->account->is_banned)
		return true;
	if (s->nego->login != NULL)
		stream_auth_end(s, EL_SASL_ACCOUNT_DISABLED);
	else
		stream_fail(
		    s, EL_SE_POLICY_VIOLATION, "this account has been banned");
	return false;
}

static void
on_account(void *ctx, int err, struct account *acct)
{
	struct stream *s = (struct stream *)ctx;
	struct nego *n = s->nego;
	struct elem *e;

	if (n == NULL || s->is_closing) {
		stream_unpin(s);
		return;
	}
	if (acct != NULL && !acct->is_deleted) {
		account_pin(acct);
		n->account = acct;
		if (n->login != NULL) {
			if (stream_may_bind(s))
				login_go_on(s);
			stream_unpin(s);
			return;
		}
		e = n->waiting;
		n->waiting = NULL;
		if (e != NULL) {
			stream_on_unbound(s, e);
			if (s->nego == NULL || s->nego->resuming == NULL)
				stream_go_on(s);
		}
	} else if (err == ERR_STORE) {
		stream_fail(s, EL_SE_INTERNAL_SERVER_ERROR,
		    "the storage does not answer");
	} else {
		stream_fail(s, EL_SE_NOT_AUTHORIZED, "the account is gone");
	}
	stream_unpin(s);
}

void
stream_load_account(struct stream *s)
{
	stream_pin(s);
	account_get(&s->nego->user, on_account, s);
}

/* ---- binding ---- */

static void
send_bind_error(struct stream *s, const struct elem *iq, enum qname condition)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_IQ), *error;

	elem_set(e, AT_TYPE, STR("error"));
	elem_set_copy(e, AT_ID, elem_attr(iq, AT_ID));
	error = elem_add(e, EL_ERROR);
	elem_set(error, AT_TYPE,
	    condition == EL_RESOURCE_CONSTRAINT ? STR("wait") : STR("modify"));
	elem_add(error, (qname_t)condition);
	stream_send_elem(s, e);
	arena_free(&a);
}

static void
send_bound(
    struct stream *s, const struct elem *iq, const struct session *session)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_IQ);

	elem_set(e, AT_TYPE, STR("result"));
	elem_set_copy(e, AT_ID, elem_attr(iq, AT_ID));
	elem_add_text(elem_add(e, EL_BIND), EL_BIND_JID, session->jid.full);
	stream_send_elem(s, e);
	arena_free(&a);
}

/* Room for one more: of too many, one that waits to be resumed may go. */
bool
stream_make_room(struct account *acct)
{
	size_t count = 0;
	struct session *s, *oldest = NULL;

	LIST_EACH(s, &acct->sessions, struct session, node)
	{
		count++;
		if (oldest == NULL && session_is_detached(s))
			oldest = s;
	}
	if (count < conf_now()->limits.sessions_per_account)
		return true;
	if (oldest == NULL)
		return false;
	session_close(oldest, EL_NONE, "too many sessions");
	return true;
}

/* The one asked for, or one of ours; STR_NONE if that is not allowed. */
static struct str
resource_of(struct arena *a, const struct elem *bind)
{
	struct str asked = str_trim(elem_child_text(bind, EL_BIND_RESOURCE));
	struct str resource;

	if (asked.n == 0)
		return random_token(a, RESOURCE_BYTES);
	if (jid_prep_resource(a, asked, &resource) < 0 || resource.n == 0)
		return STR_NONE;
	return resource;
}

/*
 * It may be the same client whose link to another session has died unnoticed:
 * then it shall find in the spool what waits there.
 */
void
stream_spool_others(const struct session *session)
{
	struct session *s;

	LIST_EACH(s, &session->account->sessions, struct session, node)
	if (s != session)
		session_spool(s);
}

/* What is an answer itself has none. */
static bool
is_asking(const struct elem *iq)
{
	return !elem_attr_is(iq, AT_TYPE, "result") &&
	       !elem_attr_is(iq, AT_TYPE, "error");
}

static void
bind_resource(struct stream *s, struct elem *iq, const struct elem *request)
{
	struct account *acct = s->nego->account;
	struct str resource = resource_of(elem_arena(iq), request);
	struct session *session, *old;

	if (!elem_attr_is(iq, AT_TYPE, "set") ||
	    str_is_empty(elem_attr(iq, AT_ID)) || str_is_none(resource)) {
		send_bind_error(s, iq, EL_BAD_REQUEST);
		return;
	}
	old = account_session(acct, resource);
	if (old != NULL)
		session_replace(old);
	else if (!stream_make_room(acct)) {
		send_bind_error(s, iq, EL_RESOURCE_CONSTRAINT);
		return;
	}
	session = session_new(acct, s, resource);
	stream_spool_others(session);
	send_bound(s, iq, session);
	stream_adopt(s, session);
	log_debug(&s->log, "bound");
	hook_session(HOOK_SESSION_BOUND, session);
}

/* ---- resuming ---- */

struct session *
stream_resumable(const struct account *acct, struct str id)
{
	struct session *s;

	LIST_EACH(
	    s, (struct list *)(uintptr_t)&acct->sessions, struct session, node)
	if (sm_can_resume(s->sm) && str_is(id, s->sm->id))
		return s;
	return NULL;
}

static void
resume_session(struct stream *s, const struct elem *e)
{
	struct account *acct = s->nego->account;
	struct str id = elem_attr(e, AT_PREVID);
	struct session *session;
	uint64_t h;
	uint32_t known;

	if (!str_to_u64(elem_attr(e, AT_H), &h) || h > UINT32_MAX) {
		sm_send_failed(s, EL_BAD_REQUEST, -1);
		return;
	}
	session = stream_resumable(acct, id);
	if (session != NULL && sm_is_behind(session->sm, (uint32_t)h))
		sm_send_failed(s, EL_ITEM_NOT_FOUND, session->sm->in->durable);
	else if (session != NULL)
		sm_resume(session->sm, s, (uint32_t)h);
	else if (sm_memory_get(id, acct->jid.bare, &known))
		sm_send_failed(s, EL_ITEM_NOT_FOUND, known);
	else
		sm_send_failed(s, EL_ITEM_NOT_FOUND, -1);
}

/* ---- what comes ---- */

void
stream_on_unbound(struct stream *s, struct elem *e)
{
	struct arena *a = elem_arena(e);
	struct elem *request = elem_child(e, EL_BIND);

	if (s->nego->account == NULL) {
		s->nego->waiting = e;
		stream_wait(s);
		return;
	}
	if (!stream_may_bind(s))
		; /* it has its answer */
	else if (elem_name(e) == EL_IQ && request != NULL && is_asking(e))
		bind_resource(s, e, request);
	else if (elem_name(e) == EL_SM_RESUME)
		resume_session(s, e);
	else if (elem_ns(e) == NS_SM)
		sm_send_failed(s, EL_UNEXPECTED_REQUEST, -1);
	else
		stream_fail(s, EL_SE_NOT_AUTHORIZED, "bind a resource first");
	arena_free(&a);
}
