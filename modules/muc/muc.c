/* SPDX-License-Identifier: MIT */
/*
 * XEP-0045: Multi-User Chat, with the archive of rooms (XEP-0313), self-ping
 * (0410), occupant ids (0421), retraction and moderation (0424, 0425), hats
 * (0317), pictures of rooms (0486), activity (0502), unique names (0307), and
 * MUC/Sub.
 */
#include "modules/muc/muc.h"

static void
take(struct mod *m, struct stanza *st)
{
	const struct muc *muc = mod_state(m);
	struct jid bare;

	if (muc->is_stopped) {
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
		return;
	}
	if (str_is_none(st->to.local)) {
		service_stanza(m, st);
		return;
	}
	bare = jid_to_bare(&st->to);
	room_put(room_get(m, &bare), st);
}

static void
on_called(void *msg)
{
	struct muc *muc = msg;
	struct list now;
	struct stanza *st;

	list_init(&now);
	list_splice(&now, &muc->inbox);
	muc->is_called = false;
	while ((st = LIST_FIRST(&now, struct stanza, node)) != NULL) {
		list_del(&st->node);
		take(muc->mod, st);
	}
}

/*
 * What a room sends may come back to it as an error at once, while it is still
 * busy with its occupants. So everything that comes waits until nothing else
 * is under way.
 */
static void
on_stanza(struct mod *m, struct stanza *st)
{
	struct muc *muc = mod_state(m);

	list_add(&muc->inbox, &st->node);
	if (!muc->is_called)
		loop_post(loop_self(), on_called, muc);
	muc->is_called = true;
}

/* ---- retention --------------------------------------------------------- */

#define EXPIRE_EVERY HOURS(6)

static void on_expiry(struct timer *t);

static void
on_expired(void *ctx, int err, uint64_t count)
{
	struct muc *muc = ctx;

	if (err < 0)
		log_warn(
		    mod_log(muc->mod), "old messages stay: %s", err_text(err));
	else if (count > 0)
		log_info(mod_log(muc->mod), "%llu old messages deleted",
		    (unsigned long long)count);
	if (!muc->is_stopped)
		timer_start(&muc->expiry, EXPIRE_EVERY, on_expiry);
}

static void
on_expiry(struct timer *t)
{
	struct muc *muc = CONTAINER_OF(t, struct muc, expiry);
	const struct muc_options *o = mod_options(muc->mod);

	if (o->retention == 0)
		timer_start(t, EXPIRE_EVERY, on_expiry);
	else
		archive_expire(o->host, clock_real() - (int64_t)o->retention,
		    NULL, on_expired, muc);
}

/* ---- life -------------------------------------------------------------- */

static void
muc_start(struct mod *m)
{
	struct muc *muc = mod_state(m);

	muc->mod = m;
	list_init(&muc->inbox);
	list_init(&muc->idle);
	list_init(&muc->late);
	nicks_load(m);
	rtbl_renew(m);
	/* One worker does it for all. */
	if (loop_index(loop_self()) == 0)
		timer_start(&muc->expiry, MINUTES(15), on_expiry);
}

/* The service may have got another name: rooms have gone with the old one. */
static void
muc_reload(struct mod *m)
{
	struct muc *muc = mod_state(m);
	struct room *r;

	rtbl_renew(m);
	for (size_t i = 0; (r = map_next(&muc->rooms, &i)) != NULL;) {
		if (str_eq(r->jid.domain, mod_service(m)->full))
			continue;
		room_shut(r);
		room_settle(r);
	}
}

/* Rooms that something holds go when that has ended. */
static void
muc_stop(struct mod *m)
{
	struct muc *muc = mod_state(m);
	struct room *r;

	muc->is_stopped = true;
	timer_stop(&muc->sweep);
	timer_stop(&muc->tell);
	timer_stop(&muc->expiry);
	for (size_t i = 0; (r = map_next(&muc->rooms, &i)) != NULL;) {
		room_shut(r);
		room_settle(r);
	}
	if (muc->rooms.count == 0)
		map_fini(&muc->rooms);
	nicks_clear(muc);
	indicators_clear(muc);
	blocklist_free(&muc->rtbl);
}

/* ---- the table --------------------------------------------------------- */

static const char *const create_names[] = { "local", "admin", "all", NULL };

#define OPT(type, name, field, ...) \
	OPT_##type(name, struct muc_options, field, __VA_ARGS__)

static const char *const notify_names[] = { "none", "mention", "always", NULL };

static const struct option options[] = {
	OPT(HOST, "host", host, "conference.@HOST@", "domain of the rooms"),
	OPT(TEXT, "name", name, "Chatrooms", 256, "name of the service"),
	OPT_CHOICE("create", struct muc_options, create, "local", create_names,
	    "who may create rooms: users of this server, administrators, all"),
	OPT(UINT, "max_users", max_users, "10000", 1, 1000000,
	    "most occupants of a room"),
	OPT(UINT, "max_affiliations", max_affiliations, "10000", 1, 1000000,
	    "most members, admins, owners and outcasts of a room"),
	OPT(UINT, "max_rooms", max_rooms, "100000", 1, 100000000,
	    "most rooms that are in use at once, by worker"),
	OPT(UINT, "history", history, "20", 0, 1000,
	    "messages that a new room shows to who enters"),
	OPT(UINT, "page_max", page_max, "250", 1, 1000,
	    "most results sent for one query of an archive"),
	OPT(SPAN, "retention", retention, "0", 0, DAYS(36500),
	    "how long messages of rooms are kept; 0: for ever"),
	OPT(SIZE, "max_vcard", max_vcard, "128KiB", 1024, 1 << 24,
	    "size of a room's card, with its picture"),
	OPT(RATE, "presence_rate", presence_rate, "10/10s",
	    "changes of presence of one occupant; more are told late"),
	OPT(RATE, "message_rate", message_rate, "unlimited",
	    "messages of one occupant; more are refused"),
	OPT_CHOICE("notify", struct muc_options, notify, "none", notify_names,
	    "of what in new rooms members hear who are not there"),
	OPT(BOOL, "subscription", subscription, "false",
	    "to new rooms one may subscribe without entering (MUC/Sub)"),
	OPT(TEXT, "rtbl_service", rtbl_service, "", 1023,
	    "pubsub service of a real-time block list; empty: none"),
	OPT(TEXT, "rtbl_node", rtbl_node, "muc_bans_sha256", 1023,
	    "its node; who is on it enters no room without an affiliation"),
	OPT(UINT, "rtbl_max", rtbl_max, "200000", 1, 10000000,
	    "most entries of the block list, 100 bytes each by worker"),
	OPT(BOOL, "indicators", indicators, "true",
	    "members who ask hear of activity in rooms that they are not in"),
	OPT(BOOL, "archive", archive, "true", "new rooms keep their messages"),
	OPT(BOOL, "persistent", persistent, "false",
	    "new rooms stay when they are empty"),
	OPT(BOOL, "public", public, "true", "new rooms are listed"),
	OPTIONS_END,
};

static const struct hook hooks[] = {
	{ HOOK_ACCOUNT_BELONGINGS, NORMAL, .belongings = on_belongings },
	HOOKS_END,
};

MODULE(muc) = {
	.summary = "rooms where many people talk",
	.options_size = sizeof(struct muc_options),
	.state_size = sizeof(struct muc),
	.options = options,
	.hooks = hooks,
	.commands = muc_commands,
	.service_option = "host",
	.service = on_stanza,
	.start = muc_start,
	.reload = muc_reload,
	.stop = muc_stop,
};
