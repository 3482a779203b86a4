/* SPDX-License-Identifier: MIT */
/*
 * XEP-0490: Message Displayed Synchronization. The node itself is one as any
 * other of pep, private by its name (core/pubsub_config.c). Here is the
 * server's assistance: what a client adds to a displayed marker is taken out
 * of the message and published for it, by an iq of the account to itself.
 */
#include "core/module.h"

#define TIMEOUT SECONDS(60)

/* One publication under way; on the heap, in the instance's list. */
struct update {
	struct list node;
	struct account *acct; /* pinned */
	/* The message is acknowledged when it is published. */
	struct receipt *receipt;
};

struct mds {
	struct list updates;
};

static void
update_free(struct update *u)
{
	list_del(&u->node);
	account_unpin(u->acct);
	xfree(u);
}

/* What was refused (the node is full, say) would be refused again. */
static void
on_published(void *ctx, struct stanza *answer)
{
	struct update *u = ctx;

	if (answer != NULL)
		receipt_done(&u->receipt);
	else
		receipt_fail(&u->receipt);
	stanza_free(&answer);
	update_free(u);
}

/* The address, as it was prepared, is the item's id. */
static void
publish(struct mod *m, struct account *acct, const struct stanza *st,
    const struct elem *displayed)
{
	struct mds *mds = mod_state(m);
	struct update *u = xzalloc(sizeof(*u));
	struct stanza *iq;
	struct elem *item;

	u->acct = acct;
	account_pin(acct);
	u->receipt = receipt_ref(st->receipt);
	list_add(&mds->updates, &u->node);
	iq = self_publish(acct, NS_MDS, st->to.full, &item);
	elem_add_copy(item, displayed);
	iq_send(iq, TIMEOUT, on_published, u);
}

/*
 * Before the archive and carbons see the message. One that is to nobody, or
 * says no id, is cleaned all the same: it must not leave the account.
 */
static enum verdict
on_sent(struct mod *m, struct stanza *st)
{
	struct elem *displayed = elem_child(st->root, EL_MDS_DISPLAYED), *e;
	struct account *acct = account_peek(st->from.bare);

	if (displayed == NULL)
		return STANZA_PASS;
	if (acct != NULL && !str_is_none(st->to.full) &&
	    elem_attr(elem_child(displayed, EL_STANZA_ID), AT_ID).n > 0)
		publish(m, acct, st, displayed);
	while ((e = elem_child(st->root, EL_MDS_DISPLAYED)) != NULL)
		elem_remove(e);
	return STANZA_PASS;
}

static void
mds_start(struct mod *m)
{
	struct mds *mds = mod_state(m);

	list_init(&mds->updates);
}

static void
mds_stop(struct mod *m)
{
	struct mds *mds = mod_state(m);
	struct update *u;

	LIST_EACH(u, &mds->updates, struct update, node)
	{
		iq_forget(u);
		receipt_fail(&u->receipt);
		update_free(u);
	}
}

/* ---- the table --------------------------------------------------------- */

static const char *const needs[] = { "pep", NULL };

static const struct hook hooks[] = {
	{ HOOK_MESSAGE_SENT, FIRST, .stanza = on_sent },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:mds:server-assist:0") },
	FEATURES_END,
};

MODULE(mds) = {
	.summary = "publish what has been read, for clients that only say so",
	.needs = needs,
	.state_size = sizeof(struct mds),
	.hooks = hooks,
	.features = features,
	.start = mds_start,
	.stop = mds_stop,
};
