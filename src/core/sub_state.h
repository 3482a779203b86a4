/* SPDX-License-Identifier: MIT */
/*
 * The state machines of subscriptions: RFC 6121 appendix A and section 3.4.
 * A pure function of what is known about a contact and a stanza.
 */
#ifndef CORE_SUB_STATE_H
#define CORE_SUB_STATE_H

#include "core/roster.h"

struct sub_state {
	enum roster_sub sub;
	bool is_asking;	    /* pending out */
	bool is_pending_in; /* pending in */
	bool is_approved;   /* in advance */
};

struct sub_change {
	struct sub_state next;
	/* The stanza goes on: to the contact, or to the account's clients. */
	bool is_passed;
	/* The contact is answered "subscribed" on the account's behalf. */
	bool is_answered;
};

/* `type` is one of PRESENCE_SUBSCRIPTIONS. */
struct sub_change sub_sent(struct sub_state now, enum stanza_type type);
struct sub_change sub_received(struct sub_state now, enum stanza_type type);

static inline bool
sub_state_eq(struct sub_state a, struct sub_state b)
{
	return a.sub == b.sub && a.is_asking == b.is_asking &&
	       a.is_pending_in == b.is_pending_in &&
	       a.is_approved == b.is_approved;
}

#endif
