/* SPDX-License-Identifier: MIT */
#include "core/hold.h"

/* Of this thread, the oldest first: it is nearly always the one to go on. */
static _Thread_local struct list holds;

void
hold_begin(struct hold *h, const struct stanza *st,
    void (*fn)(struct hold *h, struct stanza *st, enum verdict v))
{
	must(h->st == NULL);
	if (holds.next == NULL)
		list_init(&holds);
	h->st = st;
	h->fn = fn;
	list_add(&holds, &h->node);
}

void
hold_end(struct hold *h)
{
	list_del(&h->node);
	h->st = NULL;
}

void
stanza_resume(struct stanza *st, enum verdict v)
{
	struct hold *h;

	must(v != STANZA_HELD && holds.next != NULL);
	LIST_EACH(h, &holds, struct hold, node)
	{
		if (h->st != st)
			continue;
		hold_end(h);
		h->fn(h, v == STANZA_PASS ? st : NULL, v);
		return;
	}
	must(!"a stanza that was held");
}
