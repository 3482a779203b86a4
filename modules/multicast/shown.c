/* SPDX-License-Identifier: MIT */
/*
 * Whose presence was shown to whom. The sender's server tells us when he is
 * gone, as it would anyone to whom he showed himself; we tell all the others.
 * Bounded: of each sender, and of senders, those of others apart, so that they
 * can't push out our own.
 */
#include "modules/multicast/multicast.h"

#define TO_MAX 200

struct sender {
	struct list node;
	struct str jid; /* heap; the key */
	bool is_own;
	struct map to; /* of heap texts, by themselves: struct reached */
};

struct reached {
	struct str jid; /* heap */
};

static struct shown *
shown_of(struct mod *m)
{
	struct multicast *mc = mod_state(m);

	return &mc->shown;
}

static void
sender_free(struct shown *s, struct sender *who)
{
	struct reached *r;

	map_del(&s->by_sender, who->jid);
	list_del(&who->node);
	s->count[who->is_own]--;
	for (size_t i = 0; (r = map_next(&who->to, &i)) != NULL;) {
		str_free(&r->jid);
		xfree(r);
	}
	map_fini(&who->to);
	str_free(&who->jid);
	xfree(who);
}

/* `gone` is sent to all but those who are told already, and freed. */
static void
sender_end(struct shown *s, struct sender *who, struct stanza *gone,
    const struct map *told)
{
	struct fanout *f = fanout_new(gone);
	struct reached *r;

	for (size_t i = 0; (r = map_next(&who->to, &i)) != NULL;) {
		struct jid to = jid_of(r->jid);

		if (told == NULL || map_get(told, r->jid) == NULL)
			fanout_add(f, &to);
	}
	sender_free(s, who);
	fanout_send(&f);
}

void
shown_end(struct mod *m, const struct stanza *gone, const struct map *told)
{
	struct shown *s = shown_of(m);
	struct sender *who = map_get(&s->by_sender, gone->from.full);
	struct stanza *copy;
	struct elem *e;

	if (who == NULL)
		return;
	copy = stanza_copy(gone);
	while ((e = elem_child(copy->root, EL_ADDRESSES)) != NULL)
		elem_remove(e);
	sender_end(s, who, copy, told);
}

/* There are too many: who came first is taken for gone. */
static void
shown_evict(struct mod *m, bool is_own)
{
	const struct multicast_options *o = mod_options(m);
	struct shown *s = shown_of(m);

	while (s->count[is_own] > o->presences) {
		struct sender *who =
		    LIST_FIRST(&s->oldest[is_own], struct sender, node);
		struct stanza *gone = stanza_new(EL_PRESENCE);
		struct jid from = jid_of(who->jid);

		stanza_set_type(gone, PRESENCE_UNAVAILABLE);
		stanza_set_from(gone, &from);
		sender_end(s, who, gone, NULL);
	}
}

static struct sender *
sender_get(struct mod *m, const struct jid *jid, bool is_own)
{
	struct shown *s = shown_of(m);
	struct sender *who = map_get(&s->by_sender, jid->full);

	if (who != NULL)
		return who;
	who = xzalloc(sizeof(*who));
	who->jid = str_heap(jid->full);
	who->is_own = is_own;
	list_add(&s->oldest[is_own], &who->node);
	s->count[is_own]++;
	map_set(&s->by_sender, who->jid, who);
	shown_evict(m, is_own);
	return who;
}

bool
shown_add(
    struct mod *m, const struct jid *sender, bool is_own, const struct jid *to)
{
	struct sender *who = sender_get(m, sender, is_own);
	struct reached *r;

	if (map_get(&who->to, to->full) != NULL)
		return true;
	if (who->to.count == TO_MAX)
		return false;
	r = xzalloc(sizeof(*r));
	r->jid = str_heap(to->full);
	map_set(&who->to, r->jid, r);
	return true;
}

void
shown_stop(struct mod *m)
{
	struct shown *s = shown_of(m);
	struct sender *who;

	for (size_t i = 0; (who = map_next(&s->by_sender, &i)) != NULL;)
		sender_free(s, who);
	map_fini(&s->by_sender);
}
