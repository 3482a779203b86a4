/* SPDX-License-Identifier: MIT */
/*
 * Logins that bind (XEP-0386) are told how far the archive goes at the moment
 * from which on their session gets what comes.
 */
#include "modules/mam/mam.h"

/* Somebody who is sent a great deal is told what is nearly right. */
#define TRIES_MAX 10

struct ask {
	struct mod *mod;
	struct login *login; /* held */
	unsigned kept;	     /* when the store was asked */
	unsigned tries;
};

static void on_ends(void *ctx, int err, const struct archive_page *page);

static void
ask(struct ask *q)
{
	struct account *acct = login_account(q->login);
	const struct mam_prefs *p = account_slot(acct, q->mod);

	q->kept = p->kept;
	q->tries++;
	archive_ends(acct->jid.bare, on_ends, q);
}

static void
on_ends(void *ctx, int err, const struct archive_page *page)
{
	struct ask *q = ctx;
	struct login *l = q->login;
	const struct mam_prefs *p = account_slot(login_account(l), q->mod);

	if (err == 0 && p->kept != q->kept && q->tries < TRIES_MAX) {
		ask(q);
		return;
	}
	if (err == 0)
		history_add_metadata(login_bound(l), page);
	xfree(q);
	login_release(l);
}

void
mam_on_prepare(struct mod *m, struct login *l)
{
	struct ask *q = xzalloc(sizeof(*q));

	q->mod = m;
	q->login = l;
	login_hold(l);
	ask(q);
}

/* What is in the archive, the client takes from there (XEP-0386). */
void
mam_on_bind(struct mod *m, struct session *s, const struct elem *bind,
    struct elem *bound)
{
	if (elem_child(bound, EL_MAM_METADATA) != NULL)
		s->reads_archive = true;
}
