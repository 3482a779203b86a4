/* SPDX-License-Identifier: MIT */
#include "core/adhoc.h"

#include "base/clock.h"
#include "base/random.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/router.h"
#include "net/loop.h"
#include "xep/0004-forms.h"
#include "xep/0030-disco.h"

#define SESSIONS_MAX 500
#define SESSIONS_MAX_EACH 5 /* of one bare JID */
#define LIFETIME MINUTES(10)

struct adhoc_session {
	struct list node;   /* in the order of use, the latest last */
	struct str id;	    /* heap */
	struct jid who, at; /* views of heap texts */
	const struct adhoc_command *command;
	unsigned stage, allowed;
	uint64_t used; /* loop_now() */
	bool is_busy;  /* a call is not answered yet */
	void *state;
	void (*state_free)(void *state);
};

struct adhoc {
	unsigned refs; /* the owner's, and each call's */
	const struct adhoc_command *commands;
	void *ctx;
	struct list sessions;
	size_t count;
};

/* ---- sessions ---------------------------------------------------------- */

static void
session_free(struct adhoc *ad, struct adhoc_session *s)
{
	struct str who = s->who.full, at = s->at.full;

	if (s->state != NULL && s->state_free != NULL)
		s->state_free(s->state);
	list_del(&s->node);
	ad->count--;
	str_free(&s->id);
	str_free(&who);
	str_free(&at);
	xfree(s);
}

static void
forget_old(struct adhoc *ad)
{
	struct adhoc_session *s;

	LIST_EACH(s, &ad->sessions, struct adhoc_session, node)
	{
		if (s->used + LIFETIME > loop_now())
			break;
		if (!s->is_busy)
			session_free(ad, s);
	}
}

/* The oldest goes of who has too many; of all, if there are too many. */
static bool
make_room(struct adhoc *ad, const struct jid *who)
{
	struct adhoc_session *s, *oldest = NULL, *his = NULL;
	size_t count = 0;

	LIST_EACH(s, &ad->sessions, struct adhoc_session, node)
	{
		bool is_his = jid_eq_bare(&s->who, who);

		count += is_his;
		if (is_his && his == NULL && !s->is_busy)
			his = s;
		if (oldest == NULL && !s->is_busy)
			oldest = s;
	}
	if (count < SESSIONS_MAX_EACH && ad->count < SESSIONS_MAX)
		return true;
	s = count >= SESSIONS_MAX_EACH ? his : oldest;
	if (s != NULL)
		session_free(ad, s);
	return s != NULL;
}

static struct adhoc_session *
session_new(struct adhoc *ad, const struct adhoc_command *command,
    const struct stanza *iq)
{
	struct adhoc_session *s;

	forget_old(ad);
	if (!make_room(ad, &iq->from))
		return NULL;
	s = xzalloc(sizeof(*s));
	s->id = str_heap(random_token(iq->arena, 18));
	s->who = jid_of(str_heap(iq->from.full));
	s->at = jid_of(str_heap(iq->to.full));
	s->command = command;
	list_add(&ad->sessions, &s->node);
	ad->count++;
	return s;
}

static struct adhoc_session *
session_find(struct adhoc *ad, const struct adhoc_command *command,
    const struct stanza *iq, struct str id)
{
	struct adhoc_session *s;

	forget_old(ad);
	LIST_EACH(s, &ad->sessions, struct adhoc_session, node)
	if (str_eq(s->id, id) && jid_eq(&s->who, &iq->from) &&
	    jid_eq(&s->at, &iq->to) && s->command == command)
		return s;
	return NULL;
}

/* ---- life -------------------------------------------------------------- */

struct adhoc *
adhoc_new(const struct adhoc_command *commands, void *ctx)
{
	struct adhoc *ad = xzalloc(sizeof(*ad));

	ad->refs = 1;
	ad->commands = commands;
	ad->ctx = ctx;
	list_init(&ad->sessions);
	return ad;
}

void
adhoc_free(struct adhoc **adp)
{
	struct adhoc *ad = *adp;
	struct adhoc_session *s;

	*adp = NULL;
	if (ad == NULL || --ad->refs > 0)
		return;
	LIST_EACH(s, &ad->sessions, struct adhoc_session, node)
	session_free(ad, s);
	xfree(ad);
}

/* ---- answers ----------------------------------------------------------- */

/* The session is where the call has brought it, or over. */
static struct elem *
answer(struct adhoc_call *call, const char *status)
{
	struct elem *e = elem_new(call->arena, EL_COMMAND);

	elem_set_copy(e, AT_NODE, str_c(call->session->command->node));
	elem_set_copy(e, AT_SESSIONID, call->session->id);
	elem_set(e, AT_STATUS, str_c(status));
	elem_append(stanza_result(call->iq), e);
	return e;
}

struct elem *
adhoc_stage(struct adhoc_call *call, unsigned allowed)
{
	static const struct {
		enum adhoc_action action;
		qname_t name;
	} rows[] = { { ADHOC_PREV, EL_COMMAND_PREV },
		{ ADHOC_NEXT, EL_COMMAND_NEXT },
		{ ADHOC_COMPLETE, EL_COMMAND_COMPLETE } };
	struct adhoc_session *s = call->session;
	struct elem *e = answer(call, "executing");
	struct elem *actions = elem_add(e, EL_COMMAND_ACTIONS);

	s->stage = call->stage;
	s->allowed = allowed;
	elem_set(actions, AT_EXECUTE,
	    allowed & 1 << ADHOC_COMPLETE ? STR("complete") : STR("next"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (allowed & 1u << rows[i].action)
			elem_add(actions, rows[i].name);
	return e;
}

struct elem *
adhoc_done(struct adhoc_call *call)
{
	struct elem *e = answer(call, "completed");

	call->session->allowed = 0;
	return e;
}

void
adhoc_note(struct elem *command, const char *type, struct str text)
{
	struct elem *e = elem_add_text(command, EL_COMMAND_NOTE, text);

	elem_set(e, AT_TYPE, str_c(type));
}

/* A session that can't go on is over. */
static struct stanza *
call_end(struct adhoc_call *call)
{
	struct adhoc_session *s = call->session;
	struct adhoc *ad = call->adhoc;
	struct stanza *iq = call->iq;

	s->is_busy = false;
	s->state = call->state;
	s->state_free = call->state_free;
	if (s->allowed == 0)
		session_free(ad, s);
	adhoc_free(&ad);
	return iq;
}

void
adhoc_send(struct adhoc_call *call)
{
	stanza_send_back(call_end(call));
}

void
adhoc_refuse(struct adhoc_call *call, enum qname condition, enum qname specific)
{
	stanza_refuse_with(call_end(call), condition, NULL, specific);
}

/* ---- requests ---------------------------------------------------------- */

static const struct adhoc_command *
command_find(const struct adhoc *ad, struct str node)
{
	const struct adhoc_command *c = ad->commands;

	while (c->node != NULL && !str_is(node, c->node))
		c++;
	return c->node != NULL ? c : NULL;
}

static bool
may(const struct adhoc *ad, const struct adhoc_command *command,
    const struct stanza *iq)
{
	return command->may == NULL || command->may(ad->ctx, iq);
}

/* "execute", said or not, is what the stage says that it is. */
static bool
read_action(
    const struct adhoc_session *s, struct str text, enum adhoc_action *action_r)
{
	if (str_is(text, "prev"))
		*action_r = ADHOC_PREV;
	else if (str_is(text, "next"))
		*action_r = ADHOC_NEXT;
	else if (str_is(text, "complete"))
		*action_r = ADHOC_COMPLETE;
	else if (text.n > 0 && !str_is(text, "execute"))
		return false;
	else if (s == NULL)
		*action_r = ADHOC_EXECUTE;
	else
		*action_r = s->allowed & 1 << ADHOC_COMPLETE ? ADHOC_COMPLETE
							     : ADHOC_NEXT;
	return true;
}

static enum verdict
cancel(struct adhoc *ad, struct adhoc_session *s, struct stanza *iq)
{
	struct elem *e = elem_new(iq->arena, EL_COMMAND);

	elem_set(e, AT_NODE, str_c(s->command->node));
	elem_set_copy(e, AT_SESSIONID, s->id);
	elem_set(e, AT_STATUS, STR("canceled"));
	session_free(ad, s);
	elem_append(stanza_result(iq), e);
	return stanza_send_back(iq);
}

static enum verdict
run(struct adhoc *ad, struct adhoc_session *s, struct stanza *iq,
    enum adhoc_action action)
{
	struct adhoc_call *call = arena_new_of(iq->arena, struct adhoc_call);

	ad->refs++;
	call->adhoc = ad;
	call->session = s;
	call->iq = iq;
	call->ctx = ad->ctx;
	call->command = s->command;
	call->who = &s->who;
	call->at = &s->at;
	call->arena = iq->arena;
	call->action = action;
	call->form = form_of(stanza_payload(iq), NULL);
	call->state = s->state;
	call->state_free = s->state_free;
	call->stage = s->stage;
	if (action == ADHOC_PREV)
		call->stage--;
	else if (action != ADHOC_EXECUTE)
		call->stage++;
	s->is_busy = true;
	s->used = loop_now();
	list_del(&s->node);
	list_add(&ad->sessions, &s->node);
	s->command->run(call);
	return STANZA_DONE;
}

static enum verdict
go_on(struct adhoc *ad, const struct adhoc_command *command, struct stanza *iq)
{
	const struct elem *e = stanza_payload(iq);
	struct str text = elem_attr(e, AT_ACTION);
	struct adhoc_session *s =
	    session_find(ad, command, iq, elem_attr(e, AT_SESSIONID));
	enum adhoc_action action;

	if (s == NULL)
		return stanza_refuse_with(
		    iq, EL_BAD_REQUEST, NULL, EL_COMMAND_BAD_SESSIONID);
	if (s->is_busy)
		return stanza_refuse(iq, EL_NOT_ALLOWED);
	if (str_is(text, "cancel"))
		return cancel(ad, s, iq);
	if (!read_action(s, text, &action))
		return stanza_refuse_with(
		    iq, EL_BAD_REQUEST, NULL, EL_COMMAND_MALFORMED_ACTION);
	if (!(s->allowed & 1u << action) ||
	    (action == ADHOC_PREV && s->stage == 0))
		return stanza_refuse_with(
		    iq, EL_BAD_REQUEST, NULL, EL_COMMAND_BAD_ACTION);
	return run(ad, s, iq, action);
}

static enum verdict
start(struct adhoc *ad, const struct adhoc_command *command, struct stanza *iq)
{
	struct adhoc_session *s;
	enum adhoc_action action;

	if (!read_action(
		NULL, elem_attr(stanza_payload(iq), AT_ACTION), &action))
		return stanza_refuse_with(
		    iq, EL_BAD_REQUEST, NULL, EL_COMMAND_MALFORMED_ACTION);
	if (action != ADHOC_EXECUTE)
		return stanza_refuse_with(
		    iq, EL_BAD_REQUEST, NULL, EL_COMMAND_BAD_ACTION);
	s = session_new(ad, command, iq);
	if (s == NULL)
		return stanza_refuse(iq, EL_RESOURCE_CONSTRAINT);
	return run(ad, s, iq, action);
}

/* ---- disco ------------------------------------------------------------- */

static enum verdict
send_info(struct stanza *iq, const struct adhoc_command *command)
{
	struct elem *query = elem_new(iq->arena, EL_DISCO_INFO);

	elem_set(query, AT_NODE, elem_attr(stanza_payload(iq), AT_NODE));
	disco_add_identity(query, "automation",
	    command != NULL ? "command-node" : "command-list",
	    command != NULL ? str_c(command->name) : STR_NONE);
	disco_add_feature(query, names_ns_uri(NS_COMMANDS));
	if (command != NULL)
		disco_add_feature(query, STR("jabber:x:data"));
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

static enum verdict
send_items(
    struct adhoc *ad, struct stanza *iq, const struct adhoc_command *command)
{
	struct elem *query = elem_new(iq->arena, EL_DISCO_ITEMS), *e;
	const struct adhoc_command *c = ad->commands;
	const struct host *host = host_find(iq->to.full);

	elem_set(query, AT_NODE, elem_attr(stanza_payload(iq), AT_NODE));
	for (; command == NULL && c->node != NULL; c++) {
		if (!may(ad, c, iq))
			continue;
		e = elem_add(query, EL_DISCO_ITEM);
		elem_set_copy(e, AT_JID, iq->to.full);
		elem_set(e, AT_NODE, str_c(c->node));
		elem_set(e, AT_NAME, str_c(c->name));
	}
	/* Who else has commands at the host. */
	if (command == NULL && host != NULL)
		hook_disco(HOOK_DISCO_ITEMS, host, query, iq);
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

/* ---- all of it --------------------------------------------------------- */

bool
adhoc_is_for(const struct adhoc *ad, const struct stanza *iq)
{
	const struct elem *payload = stanza_payload(iq);
	struct str node = elem_attr(payload, AT_NODE);

	switch (elem_name(payload)) {
	case EL_COMMAND:
		return iq->type == IQ_SET;
	case EL_DISCO_INFO:
	case EL_DISCO_ITEMS:
		return iq->type == IQ_GET &&
		       (str_eq(node, names_ns_uri(NS_COMMANDS)) ||
			   command_find(ad, node) != NULL);
	default:
		return false;
	}
}

enum verdict
adhoc_iq(struct adhoc *ad, struct stanza *iq)
{
	const struct elem *payload = stanza_payload(iq);
	const struct adhoc_command *command =
	    command_find(ad, elem_attr(payload, AT_NODE));

	if (command != NULL && !may(ad, command, iq))
		return stanza_refuse(iq, EL_FORBIDDEN);
	if (elem_name(payload) == EL_DISCO_INFO)
		return send_info(iq, command);
	if (elem_name(payload) == EL_DISCO_ITEMS)
		return send_items(ad, iq, command);
	if (command == NULL)
		return stanza_refuse(iq, EL_ITEM_NOT_FOUND);
	if (elem_attr(payload, AT_SESSIONID).n > 0)
		return go_on(ad, command, iq);
	return start(ad, command, iq);
}
