/* SPDX-License-Identifier: MIT */
/* Presence (RFC 6121 section 4) and subscriptions (section 3). */
#ifndef CORE_PRESENCE_H
#define CORE_PRESENCE_H

#include "core/account_impl.h"
#include "core/roster.h"

/* presence.c: a session's own presence ------------------------------------- */

/* Available or unavailable, without `to`. Takes the stanza over. */
void presence_broadcast(struct session *s, struct stanza *st);
/* With `to`: notes who is to be told the end of it, and sends it on. */
void presence_directed(struct session *s, struct stanza *st);
/*
 * What every available session has last said, to one contact (bare); nothing
 * if he may not see it.
 */
void presence_show_all(struct account *acct, const struct jid *contact);
/* Full JIDs of sessions that were available at some time. */
struct shown {
	struct jid *jid;
	size_t count;
};
/* Those that are so now; the texts are in the arena. */
struct shown presence_shown(struct account *acct, struct arena *a);
/* They are unavailable for this contact. */
void presence_hide(
    struct account *acct, const struct shown *shown, const struct jid *contact);
/* The number in <priority/>; ERR_INVALID if it is none. */
int presence_priority(const struct elem *presence, int8_t *priority_r);

/* presence_in.c: what comes to an account -------------------------------- */

/* After the deliver hooks; a verdict for the lane. */
enum verdict presence_arrived(struct account *acct, struct stanza *st);
/* To an account that does not exist. */
void presence_nobody(struct stanza *st);
/* A presence of that type, from and to bare addresses (or full ones). */
struct stanza *presence_new(
    enum stanza_type type, const struct jid *from, const struct jid *to);

/* subscribe.c ------------------------------------------------------------ */

/* A subscription stanza of the account's own client; a step of `out`. */
enum verdict subscribe_out(struct account *acct, struct stanza *st);
/* One that has come for it; a step of `in`. */
enum verdict subscribe_in(struct account *acct, struct stanza *st);
/* Shows a session the requests that have not been answered yet. */
void subscribe_show_pending(struct session *s);
/*
 * Ends what there was between the account and a contact who has been removed,
 * or the account is; `shown` is what he saw.
 */
void subscribe_end(struct account *acct, const struct roster_item *item,
    const struct shown *shown);

#endif
