/* SPDX-License-Identifier: MIT */
/* What the files of the multicast service share. */
#ifndef MODULES_MULTICAST_H
#define MODULES_MULTICAST_H

#include "core/module.h"

struct multicast_options {
	struct str host;
	uint64_t max; /* addresses of one stanza */
	uint64_t presences;
};

/* Whose presence was shown to whom; see shown.c. */
struct shown {
	struct map by_sender;
	struct list oldest[2]; /* of our own and of others; struct sender */
	size_t count[2];
};

struct multicast {
	struct map targets; /* what is known of other servers; reach.c */
	struct shown shown;
};

/*
 * Sends the copies of an outer stanza, which it takes over. `may_group`: what
 * is for several at a server that has such a service goes there once.
 */
void multicast_deliver(struct mod *m, struct stanza *st, bool may_group);

/*
 * The part of an outer stanza that is for the users of one other domain, taken
 * over: to its own service; if it has none, or it is not known in time, by
 * multicast_deliver(). In the order in which they came.
 */
void reach_send(struct mod *m, struct str domain, struct stanza *st);
void reach_stop(struct mod *m);

/* He has shown himself to that one. False: to too many. */
bool shown_add(
    struct mod *m, const struct jid *sender, bool is_own, const struct jid *to);
/*
 * He has gone: tells all to whom he was shown, but those of `told` (a map by
 * full JID), and forgets them. `gone` is his presence, lent.
 */
void shown_end(
    struct mod *m, const struct stanza *gone, const struct map *told);
void shown_stop(struct mod *m);

#endif
