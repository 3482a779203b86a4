/* SPDX-License-Identifier: MIT */
/* People whom a real-time block list keeps out of all rooms. */
#include "modules/muc/muc.h"

/* Whom an admin of the room has let in, nobody else keeps out. */
bool
rtbl_bans(const struct room *r, const struct jid *who)
{
	const struct muc *muc = mod_state(r->mod);

	return right_of(r, who) <= AFF_NONE && blocklist_has(muc->rtbl, who);
}

static struct occupant *
next_banned(struct room *r)
{
	struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	{
		struct jid jid = occupant_jid(o);

		if (rtbl_bans(r, &jid))
			return o;
	}
	return NULL;
}

static void
purge(struct room *r)
{
	static const uint16_t kicked[] = { 307, 0 };
	struct store_write *w = NULL;
	struct occupant *o;

	room_hold(r);
	while ((o = next_banned(r)) != NULL)
		remove_nick(o, kicked, NULL, STR("On a list of bans"));
	if (r->subs.count > 0)
		w = room_write(r);
	subs_prune(r, w);
	if (w != NULL)
		store_commit(&w, NULL, NULL);
	room_release(r);
}

static void
on_added(struct mod *m)
{
	struct muc *muc = mod_state(m);
	struct room *r;

	for (size_t i = 0; (r = map_next(&muc->rooms, &i)) != NULL;)
		if (r->is_there && !r->is_loading)
			purge(r);
}

void
rtbl_renew(struct mod *m)
{
	const struct muc_options *o = mod_options(m);
	struct muc *muc = mod_state(m);
	struct blocklist_rules rules = { .service = o->rtbl_service,
		.node = o->rtbl_node,
		.subscriber = *mod_service(m),
		.max = o->rtbl_max,
		.on_added = on_added };

	blocklist_renew(&muc->rtbl, m, &rules);
}
