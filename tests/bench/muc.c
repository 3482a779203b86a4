/* SPDX-License-Identifier: MIT */
/*
 * Rooms full of occupants. In each room `window` messages are under way; the
 * next is sent, by the next occupant, when all copies of one have arrived.
 */
#include "load.h"

#include <stdio.h>

/* In such a room nobody is told of those who come and go. */
#define QUIET \
	"<field var='FORM_TYPE'><value>" \
	"http://jabber.org/protocol/muc#roomconfig</value></field>" \
	"<field var='muc#roomconfig_presencebroadcast'>" \
	"<value>moderator</value></field>"

struct slot {
	uint32_t copies;     /* that have arrived */
	uint32_t generation; /* of the message under way */
};

struct room {
	struct slot *slots;
	int next; /* occupant to speak */
};

static struct room *rooms;
static int joined;
static uint64_t presences, messages;
static double join_seconds, join_cpu, join_kb;
static uint64_t join_presences;

static int
room_of(const struct user *u)
{
	return (int)(u - users) / opt.occupants;
}

static void
room_join(int user)
{
	struct user *u = &users[user];

	user_sendf(u,
	    "<presence to='r%d@%s/n%d'><x "
	    "xmlns='http://jabber.org/protocol/muc'>"
	    "<history maxstanzas='0'/></x></presence>",
	    room_of(u), opt.muc, u->index);
}

static void
room_send(int r, int slot, uint64_t at)
{
	struct room *room = &rooms[r];
	struct slot *s = &room->slots[slot];
	struct user *u = &users[r * opt.occupants + room->next];
	uint64_t number = (uint64_t)r << 48 | (uint64_t)slot << 32;
	char id[TRAFFIC_ID_LEN + 1];

	room->next = (room->next + 1) % opt.occupants;
	s->copies = 0;
	s->generation++;
	*traffic_id(id, 'm', at, number | s->generation) = '\0';
	user_sendf(u, "<message to='r%d@%s' type='groupchat' id='%s'><body>", r,
	    opt.muc, id);
	user_send(u, traffic_body().p, traffic_body().n);
	user_send(u, "</body></message>", 17);
	traffic.sent++;
	traffic.expected += (uint64_t)opt.occupants;
	traffic_sm(u);
}

static void
muc_message(struct str s)
{
	uint64_t sent_at, number, now;
	unsigned r, slot;
	struct slot *at;

	if (!traffic_id_parse(scan_attr(s, "id"), 'm', &sent_at, &number))
		return;
	if (scan_is_error(s)) {
		if (traffic.errors++ == 0)
			note(STR_FMT, STR_ARG(s));
		return;
	}
	r = (unsigned)(number >> 48);
	slot = (unsigned)(number >> 32) & 0xffff;
	if (r >= (unsigned)opt.rooms || slot >= (unsigned)opt.window)
		return;
	now = now_ns();
	traffic_received(sent_at, now);
	at = &rooms[r].slots[slot];
	if (at->generation != (uint32_t)number) {
		traffic.reordered++;
		return;
	}
	if (++at->copies < (uint32_t)opt.occupants)
		return;
	messages += traffic.is_measuring;
	if (traffic.is_running)
		room_send((int)r, (int)slot, now);
}

/* One's own presence, 110, ends a join; 201 is a room to be unlocked. */
static void
muc_presence(struct user *u, struct str s)
{
	presences++;
	if (u->is_joined)
		return;
	if (scan_is_error(s)) {
		note(STR_FMT, STR_ARG(s));
		user_fail(u, "cannot join");
		return;
	}
	if (!scan_has(s, "code='110'") && !scan_has(s, "code=\"110\""))
		return;
	u->is_joined = true;
	joined++;
	if (scan_has(s, "code='201'") || scan_has(s, "code=\"201\""))
		user_sendf(u,
		    "<iq type='set' to='r%d@%s' id='load-own'><query "
		    "xmlns='http://jabber.org/protocol/muc#owner'>"
		    "<x xmlns='jabber:x:data' type='submit'>%s</x>"
		    "</query></iq>",
		    room_of(u), opt.muc, opt.quiet ? QUIET : "");
}

static void
muc_stanza(struct user *u, struct str s)
{
	if (scan_is(s, "message"))
		muc_message(s);
	else if (scan_is(s, "presence"))
		muc_presence(u, s);
}

/* Rooms are made one after the other, by their first occupants. */
static void
rooms_make(void)
{
	rooms = xzalloc((size_t)opt.rooms * sizeof(*rooms));
	for (int r = 0; r < opt.rooms; r++) {
		rooms[r].slots =
		    xzalloc((size_t)opt.window * sizeof(struct slot));
		room_join(r * opt.occupants);
		users_flush();
		while (joined <= r && dropped_count == 0)
			users_turn(NS / 20);
	}
	users_spin(opt.settle / 2);
}

/* The others come to all rooms in turn, some at a time. */
static void
rooms_fill(void)
{
	int todo = opt.users - opt.rooms, started = 0;
	uint64_t before = presences, seen;
	struct sample a = sample_take(), b;

	while (joined < opt.users && dropped_count == 0) {
		int done = joined - opt.rooms;

		for (; started < todo && started - done < opt.joins; started++)
			room_join(started % opt.rooms * opt.occupants +
				  started / opt.rooms + 1);
		users_turn(NS / 20);
	}
	b = sample_take();
	join_seconds = (double)(b.at - a.at) / 1e9;
	for (int i = 0; i < 100; i++) {
		seen = presences;
		users_spin(.2);
		if (seen == presences)
			break;
	}
	if (dropped_count > 0)
		die("users were dropped while they joined");
	b = sample_take();
	join_cpu = b.server_cpu - a.server_cpu;
	join_kb = b.pss_kb - a.pss_kb;
	join_presences = presences - before;
}

static void
muc_begin(void)
{
	for (int slot = 0; slot < opt.window; slot++)
		for (int r = 0; r < opt.rooms; r++)
			room_send(r, slot, now_ns());
}

static void
muc_figures(double seconds)
{
	figure("seconds", seconds, 2);
	figure("rooms", opt.rooms, 0);
	figure("occupants", opt.occupants, 0);
	figure("window", opt.window, 0);
	figure("body", opt.body, 0);
	figure("room_messages_per_s", (double)messages / seconds, 1);
	figure("join_seconds", join_seconds, 3);
	figure("occupant_pss", join_kb * 1024 / opt.users, 0);
	figure("join_presences", (double)join_presences, 0);
	figure("join_server_us",
	    join_cpu / (double)MAX(join_presences, 1) * 1e6, 3);
}

static void
muc_run(void)
{
	users_spin(opt.settle);
	rooms_make();
	rooms_fill();
	traffic_run(muc_begin, NULL, muc_figures);
}

static void
muc_prepare(void)
{
	if (opt.rooms < 1 || opt.rooms > 65535 || opt.occupants < 1 ||
	    opt.joins < 1 || opt.rate > 0)
		die("an option is out of range");
	opt.users = opt.rooms * opt.occupants;
}

const struct mode mode_muc = {
	.name = "muc",
	.prepare = muc_prepare,
	.stanza = muc_stanza,
	.run = muc_run,
};
