/* SPDX-License-Identifier: MIT */
/* A room's archive for who may enter it (XEP-0313 section 7). */
#include "modules/muc/muc.h"

/* Real addresses from a time when they were open to all. */
static void
hide_author(void *ctx, struct elem *message)
{
	struct elem *e = elem_child(message, EL_MUC_USER);

	if (e != NULL)
		elem_remove(e);
}

static bool
may_read(const struct room *r, const struct jid *who)
{
	enum aff aff = right_of(r, who);

	if (aff == AFF_OUTCAST)
		return false;
	if (aff >= AFF_MEMBER || occupant_by_jid(r, who->full) != NULL)
		return true;
	return !r->config.is_members_only && !r->config.has_password;
}

enum verdict
on_mam(struct room *r, struct stanza *iq)
{
	struct history_rules rules = { .page_max = room_options(r)->page_max };

	if (!r->config.is_archived)
		return room_refuse(r, iq, EL_SERVICE_UNAVAILABLE, NULL, NULL);
	if (!may_read(r, &iq->from))
		return room_refuse(r, iq, EL_FORBIDDEN, NULL,
		    "Only those who may enter the room read its archive");
	if (r->config.whois != 1 && r->config.was_open &&
	    right_of(r, &iq->from) < AFF_ADMIN)
		rules.shape = hide_author;
	if (r->removals > 0) {
		/* Who has heard of a retraction finds the archive changed. */
		if (r->readers.next == NULL)
			list_init(&r->readers);
		list_add(&r->readers, &iq->node);
		room_hold(r);
		return STANZA_DONE;
	}
	return history_query(iq, &rules);
}
