/* SPDX-License-Identifier: MIT */
/*
 * Queries of an archive (XEP-0313 sections 4 to 6, XEP-0431), whoever owns it:
 * an account, a room. Who may ask is for the caller to decide before.
 */
#ifndef CORE_HISTORY_H
#define CORE_HISTORY_H

#include "core/stanza.h"
#include "store/store.h"

struct history_rules {
	size_t page_max; /* most results sent for one query */
	/*
	 * What of an archived message the asker may not see is taken out
	 * here; NULL: nothing. Costs a parse for each message.
	 */
	void (*shape)(void *ctx, struct elem *message);
	/*
	 * Where the messages are, if not in the store's archive: as
	 * archive_find(), but `done` may be called at once. Such an archive
	 * has no other side and no text to search for.
	 */
	void (*find)(void *ctx, const struct archive_filter *filter,
	    archive_page_fn *done, void *done_ctx);
	void *ctx;
};

/*
 * Answers an iq with <query/> (get: the form; set: a page) or <metadata/> of
 * urn:xmpp:mam:2 about the archive of st->to's bare JID. Takes it over.
 * `rules` is copied.
 */
API enum verdict history_query(
    struct stanza *iq, const struct history_rules *rules);

/* <metadata/> of what archive_ends() found, as a child of `parent`. */
API void history_add_metadata(
    struct elem *parent, const struct archive_page *page);

#endif
