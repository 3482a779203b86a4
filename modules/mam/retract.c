/* SPDX-License-Identifier: MIT */
/* XEP-0424: tombstones in the place of what was retracted. */
#include "modules/mam/mam.h"

/* What is looked for; it has an arena of its own. */
struct retraction {
	struct arena *arena;
	struct stanza *stanza; /* waits */
	struct excuse *excuse; /* for who sent it */
	struct str owner;
	struct jid with;
	const struct host *host;
	struct str id; /* of the retraction's <message/> */
	struct str stamp;
	bool is_outgoing;
};

/* The envelope stays, all that was in it goes. */
static struct str
tombstone(struct retraction *r, const struct archive_item *item)
{
	struct elem *message = xml_parse(
	    r->arena, str_dup(r->arena, item->xml), NULL, NS_CLIENT, NULL);
	struct elem *e;

	if (message == NULL)
		return STR_NONE;
	elem_set_text(message, STR_NONE);
	e = elem_add(message, EL_RETRACTED);
	elem_set(e, AT_STAMP, r->stamp);
	if (r->id.n > 0)
		elem_set(e, AT_ID, r->id);
	return xml_text(r->arena, message);
}

/* A retraction may be told by another id than it tells; never twice. */
static bool
is_meant(const struct retraction *r, const struct archive_item *item)
{
	struct jid with = jid_of(item->with);

	return item->is_outgoing == r->is_outgoing &&
	       str_eq(with.bare, r->with.bare);
}

/* What the sender had put somewhere for it goes with it. */
static void
tell_listener(const struct retraction *r, const struct archive_item *item)
{
	const struct retraction_listener *l = mod_lookup("retraction_listener");

	if (l != NULL && (item->is_outgoing || str_eq(r->with.bare, r->owner)))
		l->retracted(r->host, r->owner, item->xml);
}

/* Who could not take it back is told, to try again. */
static void
on_replaced(void *ctx, int err)
{
	struct retraction *r = ctx;
	struct stanza *st = r->stanza;

	excuse_end(&r->excuse, err, "The message could not be retracted");
	arena_free(&r->arena);
	stanza_resume(st, STANZA_PASS);
}

static void
on_found(void *ctx, int err, const struct archive_page *page)
{
	struct retraction *r = ctx;
	struct store_write *w = store_write_new(r->owner);
	bool is_found = false;

	for (size_t i = 0; err == 0 && i < page->count; i++) {
		struct str xml = STR_NONE;

		if (is_meant(r, &page->items[i]))
			xml = tombstone(r, &page->items[i]);
		if (str_is_none(xml))
			continue;
		tell_listener(r, &page->items[i]);
		archive_replace(w, r->owner, page->items[i].id, xml);
		is_found = true;
	}
	if (is_found) {
		store_commit(&w, on_replaced, r);
	} else {
		store_write_drop(&w);
		on_replaced(r, err);
	}
}

enum verdict
mam_retract(struct account *acct, struct stanza *st, bool is_outgoing)
{
	struct str id = elem_attr(elem_child(st->root, EL_RETRACT), AT_ID);
	struct archive_filter filter = { .limit = 10 };
	struct retraction *r;
	struct arena *a;

	if (id.n == 0)
		return STANZA_PASS;
	a = arena_new(0);
	r = arena_new_of(a, struct retraction);
	r->arena = a;
	r->stanza = st;
	r->excuse = excuse_new(st);
	r->host = acct->host;
	r->owner = str_dup(a, acct->jid.bare);
	r->with = jid_dup(a, is_outgoing ? &st->to : &st->from);
	r->id = str_dup(a, stanza_id(st));
	r->stamp = clock_format(a, clock_real(), true);
	r->is_outgoing = is_outgoing;
	filter.origin_id = id;
	filter.with = r->with.bare;
	archive_find(r->owner, &filter, on_found, r);
	return STANZA_HELD;
}
