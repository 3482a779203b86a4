/* SPDX-License-Identifier: MIT */
#include "core/stanza.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/stanza_impl.h"

struct type_row {
	struct str name;
	enum stanza_type type;
};

static const struct type_row message_types[] = {
	{ STR_INIT("chat"), MESSAGE_CHAT },
	{ STR_INIT("normal"), MESSAGE_NORMAL },
	{ STR_INIT("groupchat"), MESSAGE_GROUPCHAT },
	{ STR_INIT("headline"), MESSAGE_HEADLINE },
	{ STR_INIT("error"), MESSAGE_ERROR },
	{ { NULL, 0 }, MESSAGE_NORMAL },
};

/* "Available" is what the absence of a type says. */
static const struct type_row presence_types[] = {
	{ STR_INIT("unavailable"), PRESENCE_UNAVAILABLE },
	{ STR_INIT("subscribe"), PRESENCE_SUBSCRIBE },
	{ STR_INIT("subscribed"), PRESENCE_SUBSCRIBED },
	{ STR_INIT("unsubscribe"), PRESENCE_UNSUBSCRIBE },
	{ STR_INIT("unsubscribed"), PRESENCE_UNSUBSCRIBED },
	{ STR_INIT("probe"), PRESENCE_PROBE },
	{ STR_INIT("error"), PRESENCE_ERROR },
	{ { NULL, 0 }, 0 },
};

static const struct type_row iq_types[] = {
	{ STR_INIT("get"), IQ_GET },
	{ STR_INIT("set"), IQ_SET },
	{ STR_INIT("result"), IQ_RESULT },
	{ STR_INIT("error"), IQ_ERROR },
	{ { NULL, 0 }, 0 },
};

static enum stanza_type
type_find(const struct type_row *row, struct str name)
{
	while (row->name.p != NULL && !str_eq(row->name, name))
		row++;
	return row->type;
}

const char *
stanza_type_name(enum stanza_type type)
{
	static const struct type_row *const tables[] = { message_types,
		presence_types, iq_types };

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct type_row *r = tables[i]; r->name.p; r++)
			if (r->type == type)
				return r->name.p;
	return "available";
}

/* The one payload that a request must have, and a result may have. */
static bool
iq_is_sound(const struct stanza *st)
{
	const struct elem *first = elem_child(st->root, EL_ANY);
	bool has_more = elem_next(first, EL_ANY) != NULL;

	if (str_is_empty(elem_attr(st->root, AT_ID)) || st->type == 0)
		return false;
	switch (st->type) {
	case IQ_GET:
	case IQ_SET:
		return first != NULL && !has_more;
	case IQ_RESULT:
		return !has_more;
	default:
		return true;
	}
}

/* False when kind and type make no stanza. */
static bool
classify(struct stanza *st)
{
	struct str type = elem_attr(st->root, AT_TYPE);

	switch (elem_name(st->root)) {
	case EL_MESSAGE:
		st->kind = STANZA_MESSAGE;
		st->type = MESSAGE_NORMAL;
		if (!str_is_none(type))
			st->type = type_find(message_types, type);
		return true;
	case EL_PRESENCE:
		st->kind = STANZA_PRESENCE;
		st->type = PRESENCE_AVAILABLE;
		if (!str_is_none(type))
			st->type = type_find(presence_types, type);
		return st->type != 0;
	case EL_IQ:
		st->kind = STANZA_IQ;
		st->type = type_find(iq_types, type);
		return iq_is_sound(st);
	default:
		return false;
	}
}

/* An address in the tree and as a JID; both in the prepared form. */
static int
take_address(struct stanza *st, attr_t name, struct jid *jid_r)
{
	struct str text = elem_attr(st->root, name);

	if (str_is_none(text))
		return 0;
	if (jid_parse(st->arena, text, jid_r) < 0)
		return ERR_INVALID;
	if (jid_r->full.p != text.p)
		elem_set(st->root, name, jid_r->full);
	return 0;
}

/* The same JID as a view of another copy of its text. */
static struct jid
jid_moved(const struct jid *j, const char *text)
{
	struct jid to = *j;
	ptrdiff_t by = text - j->full.p;

	to.full.p += by;
	to.bare.p += by;
	to.domain.p += by;
	if (to.local.p != NULL)
		to.local.p += by;
	if (to.resource.p != NULL)
		to.resource.p += by;
	return to;
}

static struct jid
set_address(struct stanza *st, attr_t name, const struct jid *jid)
{
	struct str text;

	if (jid_is_none(jid)) {
		elem_set(st->root, name, STR_NONE);
		return (struct jid){ 0 };
	}
	text = str_dup(st->arena, jid->full);
	elem_set(st->root, name, text);
	return jid_moved(jid, text.p);
}

static struct stanza *
wrap(struct elem *root)
{
	struct arena *a = elem_arena(root);
	struct stanza *st = arena_new_of(a, struct stanza);

	st->arena = a;
	st->root = root;
	st->received = clock_real();
	return st;
}

int
stanza_of(struct elem *root, struct stanza **st_r, enum qname *condition_r)
{
	struct stanza *st = *st_r = wrap(root);

	*condition_r = EL_BAD_REQUEST;
	if (!classify(st)) {
		take_address(st, AT_FROM, &st->from);
		take_address(st, AT_TO, &st->to);
		return ERR_INVALID;
	}
	*condition_r = EL_JID_MALFORMED;
	if (take_address(st, AT_FROM, &st->from) < 0 ||
	    take_address(st, AT_TO, &st->to) < 0)
		return ERR_INVALID;
	*condition_r = EL_NONE;
	return 0;
}

int
stanza_of_session(struct elem *root, const struct jid *from,
    struct stanza **st_r, enum qname *condition_r)
{
	struct stanza *st = *st_r = wrap(root);
	bool is_sound = classify(st);

	st->from = set_address(st, AT_FROM, from);
	*condition_r = EL_JID_MALFORMED;
	if (take_address(st, AT_TO, &st->to) < 0)
		return ERR_INVALID;
	*condition_r = EL_BAD_REQUEST;
	if (!is_sound)
		return ERR_INVALID;
	*condition_r = EL_NONE;
	return 0;
}

struct stanza *
stanza_new(enum qname root)
{
	struct stanza *st = wrap(elem_new(arena_new(0), root));

	/* Whoever makes an iq sets its type; the others have a default. */
	classify(st);
	return st;
}

void
stanza_set_from(struct stanza *st, const struct jid *from)
{
	st->from = set_address(st, AT_FROM, from);
}

void
stanza_set_to(struct stanza *st, const struct jid *to)
{
	st->to = set_address(st, AT_TO, to);
}

void
stanza_set_type(struct stanza *st, enum stanza_type type)
{
	const char *name = stanza_type_name(type);

	st->type = type;
	if (type == PRESENCE_AVAILABLE || type == MESSAGE_NORMAL)
		elem_set(st->root, AT_TYPE, STR_NONE);
	else
		elem_set(st->root, AT_TYPE, str_c(name));
}

/* The copy of an address, from the copied tree where it is there. */
static struct jid
copy_address(const struct stanza *to, attr_t name, const struct jid *jid)
{
	struct str text = elem_attr(to->root, name);

	if (jid_is_none(jid))
		return (struct jid){ 0 };
	if (!str_eq(text, jid->full))
		text = str_dup(to->arena, jid->full);
	return jid_moved(jid, text.p);
}

static struct stanza *
copy_into(struct arena *a, const struct stanza *st)
{
	struct stanza *to = arena_new_of(a, struct stanza);

	*to = *st;
	to->arena = a;
	to->root = elem_copy(a, st->root);
	to->from = copy_address(to, AT_FROM, &st->from);
	to->to = copy_address(to, AT_TO, &st->to);
	to->receipt = receipt_ref(st->receipt);
	to->spool_key = str_dup(a, st->spool_key);
	to->archive_id = str_dup(a, st->archive_id);
	to->chosen = NULL;
	to->rendered = NULL;
	to->node = (struct list){ 0 };
	to->stage = 0;
	return to;
}

struct stanza *
stanza_copy(const struct stanza *st)
{
	return copy_into(arena_new(0), st);
}

struct stanza *
stanza_compact(const struct stanza *st)
{
	struct stanza *copy = stanza_copy(st), *to;

	/* The same once more takes the same room, but for alignment. */
	to = copy_into(
	    arena_new_small(arena_used(copy->arena) + sizeof(void *)), st);
	stanza_free(&copy);
	return to;
}

void
stanza_free(struct stanza **st)
{
	struct arena *a;

	if (*st == NULL)
		return;
	receipt_done(&(*st)->receipt);
	wire_unref(&(*st)->rendered);
	a = (*st)->arena;
	*st = NULL;
	arena_free(&a);
}

struct elem *
stanza_payload(const struct stanza *st)
{
	return elem_child(st->root, EL_ANY);
}

struct str
stanza_id(const struct stanza *st)
{
	return elem_attr(st->root, AT_ID);
}

void
stanza_delay(struct stanza *st, struct str by, int64_t real_ms)
{
	struct elem *e = elem_add(st->root, EL_DELAY);

	elem_set_copy(e, AT_FROM, by);
	elem_set(e, AT_STAMP, clock_format(st->arena, real_ms, true));
}

/* Rendered once ----------------------------------------------------------- */

struct wire *
stanza_render(struct stanza *st)
{
	struct jid none = { 0 };
	struct buf buf = { 0 };
	struct wire *w;

	stanza_set_to(st, &none);
	xml_write(&buf, st->root, XML_IN_STREAM);
	w = wire_new(buf_str(&buf));
	buf_fini(&buf);
	return w;
}

void
stanza_share(struct stanza *st, struct wire *rendered)
{
	st->rendered = wire_ref(rendered);
	st->edits = elem_edits(st->root);
}

void
stanza_write(struct buf *out, const struct stanza *st, enum xml_scope scope)
{
	struct str all, name;

	if (st->rendered == NULL || st->edits != elem_edits(st->root)) {
		xml_write(out, st->root, scope);
		return;
	}
	all = wire_str(st->rendered);
	name = names_elem_local(elem_name(st->root));
	buf_reserve(out, all.n + st->to.full.n + 64);
	buf_add(out, all.p, name.n + 1);
	if (scope == XML_STANDALONE)
		buf_add_str(out, STR(" xmlns='jabber:client'"));
	buf_add_str(out, STR(" to='"));
	xml_escape(out, st->to.full);
	buf_add_c(out, '\'');
	buf_add_str(out, str_skip(all, name.n + 1));
}
