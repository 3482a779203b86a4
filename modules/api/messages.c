/* SPDX-License-Identifier: MIT */
/* Messages: to one, to many, to a room; and what was said. */
#include "modules/api/api.h"

/* A clock that is a little fast is nobody's fault. */
#define AHEAD_MS MINUTES(1)

struct sending {
	struct call *c;
	struct letter *letters;
	bool *is_absent; /* recipients that are no users of ours */
	enum qname *why;
	size_t count, left;
	bool is_list;
};

/* To which of them? */
struct part {
	struct sending *s;
	size_t i;
};

static const char *
fate(enum qname why)
{
	if (why == EL_NONE)
		return "sent";
	return why == EL_INTERNAL_SERVER_ERROR ? "failed" : "refused";
}

static json_t *
receipts(const struct sending *s, size_t *sent_r)
{
	json_t *list = json_array();

	*sent_r = 0;
	for (size_t i = 0; i < s->count; i++) {
		json_array_append_new(
		    list, json_pack("{s:o, s:o, s:s}", "to_user_id",
			      json_of(s->letters[i].to.bare), "message_id",
			      s->why[i] == EL_NONE ? json_of(s->letters[i].id)
						   : json_null(),
			      "status", fate(s->why[i])));
		*sent_r += s->why[i] == EL_NONE;
	}
	return list;
}

static void
answer(struct sending *s)
{
	size_t sent;
	json_t *list;

	if (!s->is_list && s->why[0] == EL_NONE) {
		call_json(s->c, json_pack("{s:o}", "message_id",
				    json_of(s->letters[0].id)));
		return;
	}
	list = receipts(s, &sent);
	if (s->is_list && sent > 0) {
		call_json(s->c, json_pack("{s:o, s:o}", "message_id",
				    json_null(), "recipients", list));
		return;
	}
	json_decref(list);
	call_refused(s->c, s->why[0]);
}

static void
on_sent(void *ctx, enum qname why)
{
	struct part *p = ctx;
	struct sending *s = p->s;

	s->why[p->i] = why;
	if (--s->left == 0)
		answer(s);
}

static struct part *
parts_of(struct sending *s)
{
	struct part *p = arena_alloc(s->c->arena, s->count * sizeof(*p));

	s->left = s->count;
	for (size_t i = 0; i < s->count; i++)
		p[i] = (struct part){ s, i };
	return p;
}

static void
send_all(struct sending *s)
{
	struct call *c = s->c;
	const struct jid *from = &call_arg(c, "from_user_id")->jid;
	struct part *p = parts_of(s);
	size_t count = s->count; /* the last ends the call */

	for (size_t i = 0; i < count; i++)
		letter_send(
		    c->host, from, &s->letters[i], c->is_again, on_sent, &p[i]);
}

/* Are they there? ----------------------------------------------------------*/

static void
looked_up(struct sending *s)
{
	for (size_t i = 0; i < s->count; i++) {
		if (!s->is_absent[i])
			continue;
		call_problem(s->c, 404, "no-such-recipient",
		    "There is no user '" STR_FMT "'; nothing was sent.",
		    STR_ARG(s->letters[i].to.bare));
		return;
	}
	send_all(s);
}

static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct part *p = ctx;
	struct sending *s = p->s;

	s->is_absent[p->i] = err == ERR_ABSENT;
	if (--s->left == 0)
		looked_up(s);
}

static void
look_up(struct sending *s)
{
	struct part *p = parts_of(s);
	size_t count = s->count;

	s->left++;
	for (size_t i = 0; i < count; i++)
		if (host_find(s->letters[i].to.domain) != NULL)
			store_account_get(s->letters[i].to.bare, on_row, &p[i]);
		else
			s->left--;
	if (--s->left == 0)
		looked_up(s);
}

/* What is asked ------------------------------------------------------------*/

static struct sending *
sending_new(struct call *c, size_t count)
{
	struct arena *a = c->arena;
	struct sending *s = arena_new_of(a, struct sending);
	const struct arg *time = call_arg(c, "timestamp");

	s->c = c;
	s->count = count;
	s->letters = arena_zalloc(a, count * sizeof(*s->letters));
	s->is_absent = arena_zalloc(a, count * sizeof(*s->is_absent));
	s->why = arena_zalloc(a, count * sizeof(*s->why));
	for (size_t i = 0; i < count; i++) {
		s->letters[i].id = c->ids[i];
		s->letters[i].text = call_text(c, "text");
		s->letters[i].type = MESSAGE_CHAT;
		s->letters[i].time = time->number;
	}
	return s;
}

static bool
time_is_fine(struct call *c)
{
	const struct arg *time = call_arg(c, "timestamp");

	if (!time->is_given ||
	    (time->number > 0 &&
		time->number <= clock_real() + (int64_t)AHEAD_MS))
		return true;
	call_problem(
	    c, 400, "bad-argument", "'timestamp' is not to be in the future.");
	return false;
}

static void
send_to_room(struct call *c, const struct jid *room)
{
	struct sending *s = sending_new(c, 1);

	s->letters[0].to = *room;
	s->letters[0].type = MESSAGE_GROUPCHAT;
	send_all(s);
}

void
run_room_send(struct call *c)
{
	if (time_is_fine(c))
		send_to_room(c, &call_arg(c, "room_id")->jid);
}

void
run_send(struct call *c)
{
	const struct arg *to = call_arg(c, "to_user_id");
	const struct arg *room = call_arg(c, "room");
	struct sending *s;

	if (!time_is_fine(c))
		return;
	if (to->is_given == room->is_given) {
		call_problem(c, 400, "bad-argument",
		    "Either 'to_user_id' or 'room' is to be given.");
		return;
	}
	if (room->is_given) {
		send_to_room(c, &room->jid);
		return;
	}
	s = sending_new(c, to->count);
	s->is_list = to->jids != &to->jid;
	for (size_t i = 0; i < to->count; i++)
		s->letters[i].to = to->jids[i];
	look_up(s);
}

/* What was said ------------------------------------------------------------*/

/* Whose archive: that of who sent, if he is of this host. */
static void
read_messages(struct call *c, bool has_media)
{
	const struct arg *from = call_arg(c, "from_user_id");
	const struct arg *to = call_arg(c, "to_user_id");
	bool is_whole = call_number(c, "conversation", 0) != 0;
	bool is_senders =
	    from->is_given && str_eq(from->jid.domain, c->host->jid.domain);
	const struct arg *owner = is_senders ? from : to;
	const struct arg *with = is_senders ? to : from;
	struct reading r = { .has_media = has_media };

	if (!owner->is_given ||
	    !str_eq(owner->jid.domain, c->host->jid.domain)) {
		call_problem(c, 400, "bad-argument",
		    "'from_user_id' or 'to_user_id' is to be a user of this "
		    "host.");
		return;
	}
	r.owner = owner->jid.bare;
	r.with = with->is_given ? with->jid.bare : STR_NONE;
	r.wants_sent = is_senders || is_whole;
	r.wants_received = !is_senders || is_whole;
	history_read(c, &r);
}

void
run_messages(struct call *c)
{
	read_messages(c, false);
}

void
run_media(struct call *c)
{
	read_messages(c, true);
}

void
run_room_messages(struct call *c)
{
	struct reading r = {
		.owner = call_arg(c, "room_id")->jid.bare,
		.wants_sent = true,
		.wants_received = true,
		.is_room = true,
	};

	history_read(c, &r);
}
