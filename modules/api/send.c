/* SPDX-License-Identifier: MIT */
/*
 * Messages of applications: they go the way of what a client sends. What comes
 * back instead of being kept comes to the sender's bare JID, before the receipt
 * tells that all is done.
 */
#include "modules/api/api.h"

struct flight {
	struct arena *arena;
	const struct host *host;
	struct jid from;
	struct letter letter;
	enum qname why;
	sent_fn *sent;
	void *ctx;
};

static void
flight_end(struct flight *f)
{
	struct mod *m = api_here(f->host);
	struct arena *a = f->arena;

	if (m != NULL && map_get(&api_state(m)->flying, f->letter.id) == f)
		map_del(&api_state(m)->flying, f->letter.id);
	f->sent(f->ctx, f->why);
	arena_free(&a);
}

/* The condition of an error. */
static enum qname
condition_of(const struct stanza *st)
{
	const struct elem *e =
	    elem_child(elem_child(st->root, EL_ERROR), EL_ANY);

	for (; e != NULL; e = elem_next(e, EL_ANY))
		if (elem_ns(e) == NS_STANZA_ERROR && elem_name(e) != EL_NONE)
			return elem_name(e);
	return EL_UNDEFINED_CONDITION;
}

enum verdict
on_deliver(struct mod *m, struct stanza *st)
{
	struct flight *f;

	if (st->type != MESSAGE_ERROR || !jid_is_bare(&st->to))
		return STANZA_PASS;
	f = map_get(&api_state(m)->flying, stanza_id(st));
	if (f == NULL || !str_eq(f->from.bare, st->to.bare))
		return STANZA_PASS;
	f->why = condition_of(st);
	stanza_free(&st);
	return STANZA_DONE;
}

static void
on_told(void *ctx, uint32_t seq, bool is_kept)
{
	struct flight *f = ctx;

	if (!is_kept && f->why == EL_NONE)
		f->why = EL_INTERNAL_SERVER_ERROR;
	flight_end(f);
}

/* The address, for clients of every age: XEP-0447, XEP-0066. */
static void
add_file(struct elem *message, const struct letter *l)
{
	struct arena *a = elem_arena(message);
	struct elem *e = elem_add(message, EL_FILE_SHARING);
	struct elem *file = elem_add(e, EL_FILE);
	struct str url = str_dup(a, l->url);

	elem_set_named(e, STR("disposition"), STR("inline"));
	elem_add_text(file, EL_FILE_MEDIA_TYPE, str_dup(a, l->media_type));
	elem_add_text(file, EL_FILE_NAME, str_dup(a, l->name));
	elem_add_text(file, EL_FILE_SIZE,
	    str_printf(a, "%llu", (unsigned long long)l->size));
	e = elem_add(elem_add(e, EL_FILE_SOURCES), EL_URL_DATA);
	elem_set(e, AT_TARGET, url);
	elem_add_text(elem_add(message, EL_OOB), EL_OOB_URL, url);
}

static struct stanza *
letter_stanza(const struct flight *f)
{
	const struct letter *l = &f->letter;
	struct stanza *st = stanza_new(EL_MESSAGE);

	stanza_set_type(st, l->type);
	stanza_set_from(st, &f->from);
	stanza_set_to(st, &l->to);
	elem_set_copy(st->root, AT_ID, l->id);
	elem_add_text(st->root, EL_BODY,
	    str_dup(st->arena, l->url.n > 0 ? l->url : l->text));
	elem_set_copy(elem_add(st->root, EL_ORIGIN_ID), AT_ID, l->id);
	if (l->url.n > 0)
		add_file(st->root, l);
	if (l->time != 0)
		stanza_delay(st, f->host->jid.full, l->time);
	st->is_by_app = true;
	return st;
}

static void
on_account(void *ctx, int err, struct account *acct)
{
	struct flight *f = ctx;
	struct mod *m = api_here(f->host);
	struct stanza *st;

	if (err < 0 || acct == NULL || m == NULL) {
		f->why = EL_INTERNAL_SERVER_ERROR;
		flight_end(f);
		return;
	}
	map_set(&api_state(m)->flying, f->letter.id, f);
	st = letter_stanza(f);
	st->receipt = receipt_new(on_told, f, 0);
	account_speak(acct, st);
}

static void
on_looked(void *ctx, int err, const struct archive_page *page)
{
	struct flight *f = ctx;

	if (err == 0 && page->count == 0) {
		account_get(&f->from, on_account, f);
		return;
	}
	f->why = err == 0 ? EL_NONE : EL_INTERNAL_SERVER_ERROR;
	flight_end(f);
}

void
letter_send(const struct host *host, const struct jid *from,
    const struct letter *l, bool is_again, sent_fn *sent, void *ctx)
{
	struct arena *a = arena_new(0);
	struct flight *f = arena_new_of(a, struct flight);
	struct archive_filter filter = { .limit = 1, .origin_id = l->id };

	f->arena = a;
	f->host = host;
	f->from = *from;
	f->letter = *l;
	f->letter.id = str_dup(a, l->id);
	f->why = EL_NONE;
	f->sent = sent;
	f->ctx = ctx;
	if (is_again)
		archive_find(
		    l->type == MESSAGE_GROUPCHAT ? l->to.bare : from->bare,
		    &filter, on_looked, f);
	else
		account_get(&f->from, on_account, f);
}

void
call_refused(struct call *c, enum qname why)
{
	struct str word = names_elem_local((qname_t)why);

	switch (why) {
	case EL_INTERNAL_SERVER_ERROR:
		call_problem(c, 503, "not-kept",
		    "The message could not be kept. Try again later.");
		break;
	case EL_ITEM_NOT_FOUND:
	case EL_REMOTE_SERVER_NOT_FOUND:
		call_problem(c, 404, "no-such-recipient",
		    "There is no such recipient: " STR_FMT ".", STR_ARG(word));
		break;
	case EL_FORBIDDEN:
	case EL_NOT_ACCEPTABLE:
	case EL_NOT_ALLOWED:
		call_problem(c, 403, "may-not-send",
		    "The user may not send there: " STR_FMT ".", STR_ARG(word));
		break;
	default:
		call_problem(c, 422, "not-taken",
		    "The recipient does not take it: " STR_FMT ".",
		    STR_ARG(word));
	}
}
