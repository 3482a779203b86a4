/* SPDX-License-Identifier: MIT */
/*
 * A block list that others keep in real time: a pubsub node whose items are
 * named by the SHA-256, in hexadecimal, of a bare JID or of a domain (as
 * muc_bans_sha256 of xmppbl.org), or by the JID or the domain itself. The
 * worker at whose home the subscriber's address is subscribes, reads what is
 * there, and tells all workers what changes. It does so again every hour, and
 * a minute after it has failed; until then the last that is known stands.
 */
#ifndef CORE_BLOCKLIST_H
#define CORE_BLOCKLIST_H

#include "core/stanza.h"

struct blocklist;
struct mod;

struct blocklist_rules {
	struct str service, node; /* of the list; no service: no list */
	struct jid subscriber;	  /* a domain of ours */
	uint64_t max;		  /* entries; what is beyond is not kept */
	/* Somebody has been added; or NULL. */
	void (*on_added)(struct mod *m);
};

/*
 * For one instance of a module, in each worker: makes the list, keeps it if
 * nothing has changed, or replaces it. At start and after each reload.
 */
API void blocklist_renew(
    struct blocklist **b, struct mod *m, const struct blocklist_rules *rules);
API void blocklist_free(struct blocklist **b);
/* Is he, or his domain, on the list? Of no list: no. */
API bool blocklist_has(const struct blocklist *b, const struct jid *who);
/* A message to the subscriber: true when it was the list's news. */
API bool blocklist_message(struct blocklist *b, const struct stanza *st);

#endif
