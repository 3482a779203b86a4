/* SPDX-License-Identifier: MIT */
/* Pages of archives, as JSON. */
#include "modules/api/api.h"

/* Messages that are looked through for one page; then the page ends. */
#define SCANNED_MAX 2000

struct page {
	struct call *c;
	struct reading r;
	struct archive_filter filter;
	json_t *list;
	size_t wanted, scanned;
	bool is_backwards;
};

static struct str
bare_of(struct str jid)
{
	return str_cut(&jid, '/');
}

static json_t *
resource_of(struct str jid)
{
	str_cut(&jid, '/');
	return json_of(jid);
}

static bool
is_uuid7(struct str id)
{
	int64_t when;

	return uuid7_time(id, &when) == 0;
}

/* As it is called where it was sent. */
static struct str
id_of(const struct archive_item *item)
{
	return !item->is_outgoing && is_uuid7(item->origin_id) ? item->origin_id
							       : item->id;
}

/* When it was written: by the host's word, or when it came. */
static int64_t
time_of(const struct call *c, const struct archive_item *item,
    const struct elem *message)
{
	const struct elem *e = elem_child(message, EL_DELAY);
	int64_t when = 0;

	for (; e != NULL; e = elem_next(e, EL_DELAY))
		if (str_eq(elem_attr(e, AT_FROM), c->host->jid.full) &&
		    clock_parse(elem_attr(e, AT_STAMP), &when) == 0)
			return when;
	uuid7_time(item->id, &when);
	return when;
}

static json_t *
if_type(const struct archive_item *item, const char *kind)
{
	bool is_it = str_has_prefix(item->media_type, str_c(kind));

	return json_of(is_it ? item->media_url : STR_NONE);
}

static void
add_people(const struct page *p, const struct archive_item *item,
    const struct elem *message, json_t *v)
{
	struct str with = bare_of(item->with), author;

	if (p->r.is_room) {
		author = elem_attr(elem_child(elem_child(message, EL_MUC_USER),
				       EL_MUC_USER_ITEM),
		    AT_JID);
		json_object_set_new(v, "room_id", json_of(p->r.owner));
		json_object_set_new(v, "nick", resource_of(item->with));
		json_object_set_new(v, "from_user_id",
		    json_of(str_is_none(author) ? author : bare_of(author)));
		return;
	}
	json_object_set_new(
	    v, "from_user_id", json_of(item->is_outgoing ? p->r.owner : with));
	json_object_set_new(
	    v, "to_user_id", json_of(item->is_outgoing ? with : p->r.owner));
}

static void
add_file(const struct elem *message, json_t *v)
{
	const struct elem *file =
	    elem_child(elem_child(message, EL_FILE_SHARING), EL_FILE);
	struct str name = elem_child_text(file, EL_FILE_NAME);
	uint64_t size;

	json_object_set_new(
	    v, "filename", json_of(name.n > 0 ? name : STR_NONE));
	json_object_set_new(v, "size",
	    str_to_u64(elem_child_text(file, EL_FILE_SIZE), &size)
		? json_integer((json_int_t)size)
		: json_null());
}

/* Of a file the text is its address, for clients that know no better. */
static struct str
text_of(const struct archive_item *item)
{
	if (item->body.n == 0 || str_eq(item->body, item->media_url))
		return STR_NONE;
	return item->body;
}

static json_t *
item_json(const struct page *p, const struct archive_item *item)
{
	struct arena *a = arena_new(0);
	struct elem *message =
	    xml_parse(a, str_dup(a, item->xml), NULL, NS_CLIENT, NULL);
	json_t *v = json_pack("{s:o}", "message_id", json_of(id_of(item)));

	add_people(p, item, message, v);
	json_object_set_new(
	    v, "timestamp", json_time(a, time_of(p->c, item, message)));
	if (p->r.has_media) {
		json_object_set_new(v, "url", json_of(item->media_url));
		add_file(message, v);
	} else {
		json_object_set_new(v, "text", json_of(text_of(item)));
		json_object_set_new(v, "photo_url", if_type(item, "image/"));
		json_object_set_new(v, "video_url", if_type(item, "video/"));
		json_object_set_new(v, "media_url", json_of(item->media_url));
	}
	json_object_set_new(v, "content_type", json_of(item->media_type));
	arena_free(&a);
	return v;
}

static void
page_end(struct page *p, struct str next)
{
	call_json(
	    p->c, json_pack("{s:o, s:o}", p->r.has_media ? "media" : "messages",
		      p->list, "next", json_of(next)));
}

static bool
is_asked_for(const struct page *p, const struct archive_item *item)
{
	if (!p->r.is_room && item->is_outgoing ? !p->r.wants_sent
					       : !p->r.wants_received)
		return false;
	return item->body.n > 0 || item->media_url.n > 0;
}

static void page_go(struct page *p);

/* In the order that was asked for; the last one seen is where to go on. */
static void
page_take(struct page *p, const struct archive_page *page)
{
	struct str last = STR_NONE;

	for (size_t i = 0; i < page->count; i++) {
		const struct archive_item *item =
		    &page->items[p->is_backwards ? page->count - 1 - i : i];

		last = str_dup(p->c->arena, item->id);
		p->scanned++;
		if (!is_asked_for(p, item))
			continue;
		json_array_append_new(p->list, item_json(p, item));
		if (json_array_size(p->list) < p->wanted)
			continue;
		if (i + 1 < page->count || !page->is_complete)
			page_end(p, last);
		else
			page_end(p, STR_NONE);
		return;
	}
	if (page->is_complete || page->count == 0) {
		page_end(p, STR_NONE);
	} else if (p->scanned >= SCANNED_MAX) {
		page_end(p, last);
	} else {
		*(p->is_backwards ? &p->filter.page_before
				  : &p->filter.page_after) = last;
		page_go(p);
	}
}

static void
on_page(void *ctx, int err, const struct archive_page *page)
{
	struct page *p = ctx;

	if (err == 0) {
		page_take(p, page);
		return;
	}
	json_decref(p->list);
	if (err == ERR_ABSENT)
		call_problem(p->c, 400, "bad-argument",
		    "'after' is not where a page of this has ended.");
	else
		call_error(p->c, err, "page");
}

static void
page_go(struct page *p)
{
	archive_find(p->r.owner, &p->filter, on_page, p);
}

void
history_read(struct call *c, const struct reading *r)
{
	struct page *p = arena_new_of(c->arena, struct page);
	const struct arg *after = call_arg(c, "after");

	p->c = c;
	p->r = *r;
	p->list = json_array();
	p->wanted = (size_t)call_number(c, "limit", PAGE_USUAL);
	p->is_backwards = str_is(call_text(c, "order"), "desc");
	p->filter.with = r->with;
	p->filter.has_media = r->has_media;
	p->filter.start = call_number(c, "since", 0);
	p->filter.end = call_number(c, "until", 0);
	p->filter.is_backwards = p->is_backwards;
	p->filter.limit = p->wanted;
	if (after->is_given && p->is_backwards)
		p->filter.page_before = after->text;
	else if (after->is_given)
		p->filter.page_after = after->text;
	page_go(p);
}
