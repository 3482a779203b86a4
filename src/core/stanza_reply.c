/* SPDX-License-Identifier: MIT */
/* Answers to stanzas: errors (RFC 6120 section 8.3) and results. */
#include "core/metrics.h"
#include "core/router.h"
#include "core/stanza.h"

/* A stanza of more bytes than this is not sent back with its error. */
#define ECHO_MAX 4096

/* The type that RFC 6120 section 8.3.3 gives to each condition. */
static const struct {
	enum qname condition;
	const char *type;
} error_types[] = {
	{ EL_BAD_REQUEST, "modify" },
	{ EL_CONFLICT, "cancel" },
	{ EL_FEATURE_NOT_IMPLEMENTED, "cancel" },
	{ EL_FORBIDDEN, "auth" },
	{ EL_GONE, "cancel" },
	{ EL_INTERNAL_SERVER_ERROR, "wait" },
	{ EL_ITEM_NOT_FOUND, "cancel" },
	{ EL_JID_MALFORMED, "modify" },
	{ EL_NOT_ACCEPTABLE, "modify" },
	{ EL_NOT_ALLOWED, "cancel" },
	{ EL_NOT_AUTHORIZED, "auth" },
	{ EL_POLICY_VIOLATION, "modify" },
	{ EL_RECIPIENT_UNAVAILABLE, "wait" },
	{ EL_REDIRECT, "modify" },
	{ EL_REGISTRATION_REQUIRED, "auth" },
	{ EL_REMOTE_SERVER_NOT_FOUND, "cancel" },
	{ EL_REMOTE_SERVER_TIMEOUT, "wait" },
	{ EL_RESOURCE_CONSTRAINT, "wait" },
	{ EL_SERVICE_UNAVAILABLE, "cancel" },
	{ EL_SUBSCRIPTION_REQUIRED, "auth" },
	{ EL_UNDEFINED_CONDITION, "cancel" },
	{ EL_UNEXPECTED_REQUEST, "wait" },
};

static const char *
error_type(enum qname condition)
{
	for (size_t i = 0; i < ARRAY_LEN(error_types); i++)
		if (error_types[i].condition == condition)
			return error_types[i].type;
	return "cancel";
}

/* The type of the answering error, 0 if there must be none. */
static enum stanza_type
error_answer(const struct stanza *st)
{
	switch (st->kind) {
	case STANZA_MESSAGE:
		return st->type == MESSAGE_ERROR ? 0 : MESSAGE_ERROR;
	case STANZA_PRESENCE:
		/* Probes are the server's own, and nobody waits for it. */
		if (st->type &
		    (PRESENCE_ERROR | PRESENCE_UNAVAILABLE | PRESENCE_PROBE))
			return 0;
		return PRESENCE_ERROR;
	case STANZA_IQ:
		if (st->type == IQ_RESULT || st->type == IQ_ERROR)
			return 0;
		return IQ_ERROR;
	}
	return 0;
}

/* What it was marked with on its way does not hold for the answer. */
static void
turn_round(struct stanza *st, enum stanza_type type)
{
	struct jid to = st->from, from = st->to;

	/* It was sent to nobody, or to a broken address: its server answers. */
	if (jid_is_none(&from) && !jid_is_none(&to))
		from = jid_of(to.domain);
	elem_set(st->root, AT_FROM, from.full);
	elem_set(st->root, AT_TO, to.full);
	st->from = from;
	st->to = to;
	stanza_set_type(st, type);
	st->is_from_local = st->is_archived = st->is_carbon = false;
	st->is_resent = st->is_private = st->is_part = false;
	st->is_copied = false;
	st->is_ours = true;
	st->is_by_app = false;
	st->spool_key = st->archive_id = STR_NONE;
	st->chosen = NULL;
	st->stage = 0;
}

bool
stanza_make_error(struct stanza *st, enum qname condition, const char *text,
    enum qname specific)
{
	enum stanza_type type = error_answer(st);
	struct elem *error;

	if (type == 0)
		return false;
	if (st->kind == STANZA_PRESENCE || arena_used(st->arena) > ECHO_MAX)
		elem_set_text(st->root, STR_NONE);
	turn_round(st, type);
	error = elem_add(st->root, EL_ERROR);
	elem_set(error, AT_TYPE, str_c(error_type(condition)));
	elem_add(error, condition);
	if (text != NULL)
		elem_add_text(
		    error, EL_ERROR_TEXT, str_dup(st->arena, str_c(text)));
	if (specific != EL_NONE)
		elem_add(error, specific);
	metric_add(METRIC_STANZA_ERRORS, 1);
	return true;
}

enum verdict
stanza_refuse_with(struct stanza *st, enum qname condition, const char *text,
    enum qname specific)
{
	if (!jid_is_none(&st->from) &&
	    stanza_make_error(st, condition, text, specific))
		router_send(st);
	else
		stanza_free(&st);
	return STANZA_DONE;
}

enum verdict
stanza_refuse(struct stanza *st, enum qname condition)
{
	return stanza_refuse_with(st, condition, NULL, EL_NONE);
}

struct elem *
stanza_result(struct stanza *st)
{
	elem_set_text(st->root, STR_NONE);
	turn_round(st, IQ_RESULT);
	return st->root;
}

enum verdict
stanza_send_back(struct stanza *st)
{
	if (jid_is_none(&st->to))
		stanza_free(&st);
	else
		router_send(st);
	return STANZA_DONE;
}

enum verdict
stanza_reply(struct stanza *st)
{
	stanza_result(st);
	return stanza_send_back(st);
}

void
stanza_on_done(void *ctx, int err)
{
	struct stanza *iq = ctx;

	if (err < 0)
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
	else
		stanza_reply(iq);
}
