/* SPDX-License-Identifier: MIT */
#include "core/sub_state.h"

static enum roster_sub
with(enum roster_sub sub, enum roster_sub half)
{
	return (enum roster_sub)(sub | half);
}

static enum roster_sub
without(enum roster_sub sub, enum roster_sub half)
{
	return (enum roster_sub)(sub & ~half);
}

/* Appendix A.2; and 3.4 for what is approved before it is asked for. */
struct sub_change
sub_sent(struct sub_state now, enum stanza_type type)
{
	struct sub_change c = { .next = now };

	switch (type) {
	case PRESENCE_SUBSCRIBE:
		c.is_passed = true;
		c.next.is_asking = !(now.sub & ROSTER_TO);
		break;
	case PRESENCE_UNSUBSCRIBE:
		c.is_passed = true;
		c.next.is_asking = false;
		c.next.sub = without(now.sub, ROSTER_TO);
		break;
	case PRESENCE_SUBSCRIBED:
		c.is_passed = now.is_pending_in;
		c.next.is_pending_in = false;
		if (now.is_pending_in)
			c.next.sub = with(now.sub, ROSTER_FROM);
		else if (!(now.sub & ROSTER_FROM))
			c.next.is_approved = true;
		break;
	case PRESENCE_UNSUBSCRIBED:
		c.is_passed = now.is_pending_in || now.sub & ROSTER_FROM;
		c.next.is_pending_in = c.next.is_approved = false;
		c.next.sub = without(now.sub, ROSTER_FROM);
		break;
	default:
		break;
	}
	return c;
}

/* Appendix A.3. */
struct sub_change
sub_received(struct sub_state now, enum stanza_type type)
{
	struct sub_change c = { .next = now };

	switch (type) {
	case PRESENCE_SUBSCRIBE:
		c.is_answered = now.is_approved || now.sub & ROSTER_FROM;
		c.is_passed = !c.is_answered && !now.is_pending_in;
		c.next.is_pending_in = !c.is_answered;
		if (c.is_answered)
			c.next.sub = with(now.sub, ROSTER_FROM);
		break;
	case PRESENCE_UNSUBSCRIBE:
		c.is_passed = now.is_pending_in || now.sub & ROSTER_FROM;
		c.next.is_pending_in = false;
		c.next.sub = without(now.sub, ROSTER_FROM);
		break;
	case PRESENCE_SUBSCRIBED:
		c.is_passed = now.is_asking;
		c.next.is_asking = false;
		if (now.is_asking)
			c.next.sub = with(now.sub, ROSTER_TO);
		break;
	case PRESENCE_UNSUBSCRIBED:
		c.is_passed = now.is_asking || now.sub & ROSTER_TO;
		c.next.is_asking = false;
		c.next.sub = without(now.sub, ROSTER_TO);
		break;
	default:
		break;
	}
	return c;
}
