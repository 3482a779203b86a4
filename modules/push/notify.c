/* SPDX-License-Identifier: MIT */
/*
 * Notifications (XEP-0357 section 5): one at a time for each registration. What
 * comes while one is under way is told of by the next, so a flood of
 * messages costs the push service no more than it can answer.
 */
#include "modules/push/push.h"

#include "xep/0004-forms.h"

#define ANSWER_MS MINUTES(1)
#define TEXT_MAX_BYTES 255

static struct str
cut(struct str text)
{
	text.n = MIN(text.n, TEXT_MAX_BYTES);
	while (text.n > 0 && !str_is_utf8(text))
		text.n--;
	return text;
}

static void
add_summary(struct registration *r, struct elem *item)
{
	const struct push_options *o = mod_options(r->mod);
	struct arena *a = elem_arena(item);
	struct elem *e = elem_add(item, EL_PUSH_NOTIFICATION);
	struct elem *form = form_add(e, "submit", "urn:xmpp:push:summary");

	form_add_field(form, NULL, "message-count", NULL,
	    str_printf(
		a, "%zu", MAX(spool_count(r->account) + r->is_coming, 1)));
	if (o->include_sender && r->sender.n > 0)
		form_add_field(form, NULL, "last-message-sender", NULL,
		    str_dup(a, r->sender));
	/* That there is a text tells an app that it is worth a noise. */
	if (r->body.n > 0)
		form_add_field(form, NULL, "last-message-body", NULL,
		    o->include_body ? str_dup(a, r->body) : STR("New message"));
}

/* The client's own form goes along, as it was given (section 5). */
static void
add_options(struct registration *r, struct elem *pubsub)
{
	struct arena *a = elem_arena(pubsub);
	struct elem *enable =
	    xml_parse(a, str_dup(a, r->xml), NULL, NS_NONE, NULL);
	struct elem *form = elem_child(enable, EL_FORM);

	if (form != NULL)
		elem_append(elem_add(pubsub, EL_PUBLISH_OPTIONS), form);
}

static void send_now(struct registration *r);

/* Errors that will not go away by themselves. */
static bool
is_final(const struct elem *error)
{
	static const enum qname conditions[] = {
		EL_ITEM_NOT_FOUND,
		EL_GONE,
		EL_NOT_AUTHORIZED,
		EL_FORBIDDEN,
		EL_FEATURE_NOT_IMPLEMENTED,
		EL_NOT_ACCEPTABLE,
	};

	for (size_t i = 0; i < ARRAY_LEN(conditions); i++)
		if (elem_child(error, conditions[i]) != NULL)
			return true;
	return false;
}

/* True when the registration is gone. */
static bool
take_error(struct registration *r, const struct stanza *answer)
{
	const struct push_options *o = mod_options(r->mod);
	const struct elem *error = elem_child(answer->root, EL_ERROR);

	if (elem_attr_is(error, AT_TYPE, "wait"))
		return false;
	r->errors++;
	if (!is_final(error) && r->errors < o->max_errors)
		return false;
	log_info(mod_log(r->mod),
	    "push to " STR_FMT " for " STR_FMT " is off: the service refuses",
	    STR_ARG(r->service.full), STR_ARG(r->account->jid.bare));
	push_forget(r);
	return true;
}

/* NULL: nothing came in time. That is no refusal. */
static void
on_answer(void *ctx, struct stanza *answer)
{
	struct registration *r = ctx;
	bool is_gone = false;

	r->is_asked = false;
	account_unpin(r->account);
	if (answer != NULL && answer->type == IQ_ERROR)
		is_gone = take_error(r, answer);
	else if (answer != NULL)
		r->errors = 0;
	stanza_free(&answer);
	if (!is_gone && r->is_due)
		send_now(r);
}

static void
send_now(struct registration *r)
{
	struct stanza *iq = stanza_new(EL_IQ);
	struct elem *pubsub = elem_add(iq->root, EL_PUBSUB), *publish;

	stanza_set_type(iq, IQ_SET);
	stanza_set_from(iq, &r->account->jid);
	stanza_set_to(iq, &r->service);
	publish = elem_add(pubsub, EL_PUBLISH);
	if (r->node_id.n > 0)
		elem_set_copy(publish, AT_NODE, r->node_id);
	add_summary(r, elem_add(publish, EL_PUBSUB_ITEM));
	add_options(r, pubsub);
	r->is_due = false;
	r->is_asked = true;
	account_pin(r->account);
	iq_send(iq, ANSWER_MS, on_answer, r);
}

void
push_notify(
    struct registration *r, const struct stanza *message, bool is_coming)
{
	str_free(&r->sender);
	str_free(&r->body);
	r->sender = str_heap(message->from.full);
	r->body = str_heap(cut(elem_child_text(message->root, EL_BODY)));
	/* Encrypted ones have a body for show, or none: they count too. */
	if (r->body.n == 0) {
		str_free(&r->body);
		r->body = str_heap(STR("New message"));
	}
	r->is_due = true;
	if (r->is_asked)
		return;
	r->is_coming = is_coming;
	send_now(r);
	r->is_coming = false;
}
