/* SPDX-License-Identifier: MIT */
#include "core/history.h"

#include "base/err.h"
#include "core/module.h"
#include "core/spool_internal.h"
#include "xep/0004-forms.h"
#include "xep/0059-rsm.h"

#define FORM_TYPE "urn:xmpp:mam:2"
#define FULLTEXT "{urn:xmpp:fulltext:0}fulltext"
#define IDS_MAX 100

/* One query under way; it lives in the iq's arena. */
struct query {
	struct stanza *iq;
	struct history_rules rules;
	struct archive_filter filter;
	struct str id; /* queryid, or none */
	bool is_flipped;
	bool wants_count_only;
};

/* ---- what is asked ----------------------------------------------------- */

typedef bool field_fn(struct query *q, const struct elem *field);

static struct str
value_of(const struct elem *field)
{
	return elem_text(elem_child(field, EL_FORM_VALUE));
}

static bool
read_with(struct query *q, const struct elem *field)
{
	struct jid jid;

	if (jid_parse(q->iq->arena, value_of(field), &jid) < 0)
		return false;
	q->filter.with = jid.full;
	return true;
}

static bool
read_start(struct query *q, const struct elem *field)
{
	return clock_parse(value_of(field), &q->filter.start) == 0;
}

static bool
read_end(struct query *q, const struct elem *field)
{
	return clock_parse(value_of(field), &q->filter.end) == 0;
}

static bool
read_before_id(struct query *q, const struct elem *field)
{
	q->filter.before_id = value_of(field);
	return q->filter.before_id.n > 0;
}

static bool
read_after_id(struct query *q, const struct elem *field)
{
	q->filter.after_id = value_of(field);
	return q->filter.after_id.n > 0;
}

static bool
read_ids(struct query *q, const struct elem *field)
{
	size_t count = elem_count(field, EL_FORM_VALUE);
	struct elem *value = elem_child(field, EL_FORM_VALUE);
	struct str *ids;

	if (count == 0 || count > IDS_MAX)
		return false;
	ids = arena_alloc(q->iq->arena, count * sizeof(*ids));
	for (size_t i = 0; i < count; i++) {
		ids[i] = elem_text(value);
		value = elem_next(value, EL_FORM_VALUE);
	}
	q->filter.ids = ids;
	q->filter.id_count = count;
	return true;
}

static bool
read_text(struct query *q, const struct elem *field)
{
	q->filter.text = value_of(field);
	return q->filter.text.n > 0 && q->filter.text.n <= 1000;
}

static bool
read_form_type(struct query *q, const struct elem *field)
{
	return str_is(value_of(field), FORM_TYPE);
}

static const struct {
	const char *var, *type;
	field_fn *read;
} fields[] = {
	{ "FORM_TYPE", "hidden", read_form_type },
	{ "with", "jid-single", read_with },
	{ "start", "text-single", read_start },
	{ "end", "text-single", read_end },
	{ "before-id", "text-single", read_before_id },
	{ "after-id", "text-single", read_after_id },
	{ "ids", "list-multi", read_ids },
	{ FULLTEXT, "text-single", read_text },
};

/* Has the archive what the field asks for? */
static bool
is_offered(const struct history_rules *rules, field_fn *read)
{
	return rules->find == NULL || (read != read_with && read != read_text);
}

/* EL_NONE, or the error: a field that we do not know is one (section 4.1.5). */
static enum qname
read_field(struct query *q, const struct elem *field)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (elem_attr_is(field, AT_VAR, fields[i].var) &&
		    is_offered(&q->rules, fields[i].read))
			return fields[i].read(q, field) ? EL_NONE
							: EL_BAD_REQUEST;
	return EL_FEATURE_NOT_IMPLEMENTED;
}

static enum qname
read_form(struct query *q, const struct elem *form)
{
	const struct elem *field = elem_child(form, EL_FORM_FIELD);

	if (form != NULL && form_field(form, "FORM_TYPE") == NULL)
		return EL_BAD_REQUEST;
	for (; field != NULL; field = elem_next(field, EL_FORM_FIELD)) {
		enum qname error = read_field(q, field);

		if (error != EL_NONE)
			return error;
	}
	return EL_NONE;
}

static enum qname
read_page(struct query *q, const struct elem *payload)
{
	struct rsm rsm;

	if (rsm_read(payload, &rsm) < 0)
		return EL_BAD_REQUEST;
	q->filter.limit = q->rules.page_max;
	if (rsm.has_max && rsm.max < q->filter.limit)
		q->filter.limit = (size_t)rsm.max;
	q->filter.page_after = rsm.after;
	q->filter.page_before = rsm.before;
	q->filter.is_backwards = !str_is_none(rsm.before);
	q->wants_count_only = rsm.has_max && rsm.max == 0;
	/* A count is dear; nobody needs it who asked for a page. */
	q->filter.want_total = q->wants_count_only;
	return EL_NONE;
}

static enum qname
read_query(struct query *q)
{
	const struct elem *payload = stanza_payload(q->iq);
	enum qname error;

	q->id = elem_attr(payload, AT_QUERYID);
	q->is_flipped = elem_child(payload, EL_MAM_FLIP_PAGE) != NULL;
	if (q->id.n > 1024)
		return EL_BAD_REQUEST;
	error = read_form(q, elem_child(payload, EL_FORM));
	return error != EL_NONE ? error : read_page(q, payload);
}

/* ---- what is answered -------------------------------------------------- */

static struct str
stamp_of(struct arena *a, struct str id)
{
	int64_t when = 0;

	uuid7_time(id, &when);
	return clock_format(a, when, true);
}

static void
add_attr(struct buf *out, struct str name, struct str value)
{
	buf_add_c(out, ' ');
	buf_add_str(out, name);
	buf_add_str(out, STR("='"));
	xml_escape(out, value);
	buf_add_c(out, '\'');
}

/*
 * The archived bytes were written by us, so they are put into the result as
 * they are, without a tree.
 */
static void
write_result(
    const struct query *q, const struct archive_item *item, struct buf *out)
{
	buf_add_str(out, STR("<message"));
	add_attr(out, STR("from"), q->iq->to.bare);
	add_attr(out, STR("to"), q->iq->from.full);
	add_attr(out, STR("id"), item->id);
	buf_add_str(out, STR("><result xmlns='urn:xmpp:mam:2'"));
	if (!str_is_none(q->id))
		add_attr(out, STR("queryid"), q->id);
	add_attr(out, STR("id"), item->id);
	buf_add_str(out, STR("><forwarded xmlns='urn:xmpp:forward:0'>"
			     "<delay xmlns='urn:xmpp:delay'"));
	add_attr(out, STR("stamp"), stamp_of(q->iq->arena, item->id));
	buf_add_str(out, STR("/>"));
	buf_add_str(out, item->xml);
	buf_add_str(out, STR("</forwarded></result></message>"));
}

/* What the results of a page have in common. */
static struct stanza *
about_results(struct query *q)
{
	struct stanza *about = stanza_new(EL_MESSAGE);

	about->is_private = about->is_part = true;
	stanza_set_from(about, &q->iq->to);
	stanza_set_to(about, &q->iq->from);
	return about;
}

/* To a session of this worker: bytes. */
static void
send_bytes(struct query *q, struct session *s, const struct stanza *about,
    const struct archive_item *item)
{
	struct buf out = { 0 };
	struct wire *w;

	write_result(q, item, &out);
	w = wire_new(buf_str(&out));
	buf_fini(&out);
	session_send_wire(s, w, about);
	wire_unref(&w);
}

/* To anyone else, or shaped: a stanza of its own. */
static void
send_tree(struct query *q, const struct archive_item *item)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct jid from = jid_to_bare(&q->iq->to);
	struct elem *e, *message;

	message = xml_parse(
	    st->arena, str_dup(st->arena, item->xml), NULL, NS_CLIENT, NULL);
	if (message == NULL) {
		stanza_free(&st);
		return;
	}
	if (q->rules.shape != NULL)
		q->rules.shape(q->rules.ctx, message);
	stanza_set_from(st, &from);
	stanza_set_to(st, &q->iq->from);
	st->is_private = st->is_part = true;
	elem_set_copy(st->root, AT_ID, item->id);
	e = elem_add(st->root, EL_MAM_RESULT);
	elem_set_copy(e, AT_ID, item->id);
	if (!str_is_none(q->id))
		elem_set_copy(e, AT_QUERYID, q->id);
	e = elem_add(e, EL_FORWARDED);
	elem_set(
	    elem_add(e, EL_DELAY), AT_STAMP, stamp_of(st->arena, item->id));
	elem_append(e, message);
	router_send(st);
}

static void
send_results(struct query *q, const struct archive_page *page)
{
	struct session *s = iq_session(q->iq);
	struct stanza *about = about_results(q);

	for (size_t i = 0; i < page->count; i++) {
		size_t at = q->is_flipped ? page->count - 1 - i : i;

		if (s != NULL && session_takes_bytes(s) &&
		    q->rules.shape == NULL)
			send_bytes(q, s, about, &page->items[at]);
		else
			send_tree(q, &page->items[at]);
	}
	stanza_free(&about);
}

static void
send_fin(struct query *q, const struct archive_page *page)
{
	struct stanza *iq = q->iq;
	struct elem *fin = elem_add(stanza_result(iq), EL_MAM_FIN);
	struct str first = STR_NONE, last = STR_NONE;
	size_t count = q->wants_count_only ? 0 : page->count;

	if (count > 0) {
		first = str_dup(iq->arena, page->items[0].id);
		last = str_dup(iq->arena, page->items[count - 1].id);
	}
	if (page->is_complete)
		elem_set(fin, AT_COMPLETE, STR("true"));
	rsm_add(
	    fin, first, last, q->filter.want_total ? (int64_t)page->total : -1);
	stanza_send_back(iq);
}

static enum qname
condition_of(int err)
{
	return err == ERR_ABSENT ? EL_ITEM_NOT_FOUND : EL_INTERNAL_SERVER_ERROR;
}

static void
on_page(void *ctx, int err, const struct archive_page *page)
{
	struct query *q = ctx;

	if (err < 0) {
		stanza_refuse(q->iq, condition_of(err));
		return;
	}
	if (!q->wants_count_only)
		send_results(q, page);
	send_fin(q, page);
}

/* ---- the form, the metadata -------------------------------------------- */

static enum verdict
send_form(struct stanza *iq, const struct history_rules *rules)
{
	struct elem *query = elem_add(stanza_result(iq), EL_MAM_QUERY);
	struct elem *form = form_add(query, "form", FORM_TYPE);

	for (size_t i = 1; i < ARRAY_LEN(fields); i++) {
		struct elem *field, *validate;

		if (!is_offered(rules, fields[i].read))
			continue;
		field = form_add_field(
		    form, fields[i].type, fields[i].var, NULL, STR_NONE);
		if (fields[i].read != read_ids)
			continue;
		validate = elem_add(field, EL_VALIDATE);
		elem_set(validate, AT_DATATYPE, STR("xs:string"));
		elem_add(validate, EL_VALIDATE_OPEN);
	}
	return stanza_send_back(iq);
}

static void
add_end(struct elem *parent, enum qname name, struct str id)
{
	struct arena *a = elem_arena(parent);
	struct elem *e = elem_add(parent, name);

	elem_set_copy(e, AT_ID, id);
	elem_set(e, AT_TIMESTAMP, stamp_of(a, id));
}

void
history_add_metadata(struct elem *parent, const struct archive_page *page)
{
	struct elem *e = elem_add(parent, EL_MAM_METADATA);

	if (page->count == 0)
		return;
	add_end(e, EL_MAM_START, page->items[0].id);
	add_end(e, EL_MAM_END, page->items[page->count - 1].id);
}

static void
on_ends(void *ctx, int err, const struct archive_page *page)
{
	struct stanza *iq = ctx;

	if (err < 0) {
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	history_add_metadata(stanza_result(iq), page);
	stanza_send_back(iq);
}

static void
find(void *ctx)
{
	struct query *q = ctx;

	archive_find(q->iq->to.bare, &q->filter, on_page, q);
}

/* One's own archive is read behind what is being sent from the spool. */
static void
find_when_due(struct query *q)
{
	struct session *s = iq_session(q->iq);

	if (s == NULL || !flush_ask(s, q->iq, find, q))
		find(q);
}

enum verdict
history_query(struct stanza *iq, const struct history_rules *rules)
{
	struct query *q;
	enum qname error;

	if (elem_name(stanza_payload(iq)) == EL_MAM_METADATA) {
		archive_ends(iq->to.bare, on_ends, iq);
		return STANZA_DONE;
	}
	if (iq->type == IQ_GET)
		return send_form(iq, rules);
	q = arena_new_of(iq->arena, struct query);
	q->iq = iq;
	q->rules = *rules;
	error = read_query(q);
	if (error != EL_NONE)
		return stanza_refuse(iq, error);
	if (rules->find != NULL)
		rules->find(rules->ctx, &q->filter, on_page, q);
	else
		find_when_due(q);
	return STANZA_DONE;
}
