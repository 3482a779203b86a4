/* SPDX-License-Identifier: MIT */
/*
 * Publish-subscribe (XEP-0060) as a mechanism: the nodes of one owner, which
 * is an account (XEP-0163) or a service. Behind it are modules, which own one
 * struct pubsub for each and hand it what comes.
 *
 * All of it belongs to the owner's home loop. What changes is in the store
 * before it is answered, and before anybody is notified.
 */
#ifndef CORE_PUBSUB_H
#define CORE_PUBSUB_H

#include "core/account.h"
#include "core/stanza.h"

struct adhoc_call;
struct pubsub;
struct session;

#define PUBSUB_GET_PENDING "http://jabber.org/protocol/pubsub#get-pending"

struct pubsub_limits {
	uint64_t max_nodes;	    /* of one owner */
	uint64_t max_items;	    /* of one node */
	uint64_t max_payload;	    /* bytes */
	uint64_t max_subscriptions; /* of one node, and affiliations */
};

/*
 * A new one, which loads what is kept. Of an account that is being loaded:
 * that is held until it is done; else requests wait. `may_create` is asked who
 * may make nodes of a service.
 */
API struct pubsub *pubsub_new_account(
    struct account *acct, const struct pubsub_limits *limits);
API struct pubsub *pubsub_new_service(const struct jid *domain,
    struct host *host, const struct pubsub_limits *limits,
    bool (*may_create)(const struct jid *who));
/* Frees it, as soon as nothing that is under way needs it any more. */
API void pubsub_free(struct pubsub **ps);

/*
 * An iq with a payload of pubsub or pubsub#owner, or of disco or an archive's
 * query (XEP-0442) with the name of a node. Takes it over.
 */
API enum verdict pubsub_iq(struct pubsub *ps, struct stanza *iq);
API bool pubsub_has_node(const struct pubsub *ps, struct str node);
/* Is the message an owner's answer to a request for a subscription? */
API bool pubsub_is_answer(const struct stanza *msg);
/* A message to a service, or such an answer. Takes it over. */
API enum verdict pubsub_message(struct pubsub *ps, struct stanza *msg);
/* The command PUBSUB_GET_PENDING (core/adhoc.h). */
API void pubsub_get_pending(struct pubsub *ps, struct adhoc_call *call);
/* Features of every such thing, ended by NULL. */
API extern const char *const pubsub_features[];
/*
 * Of a disco#items request: is its filter (XEP-0462), if any, one, and does it
 * ask for a page that there can be (XEP-0059)?
 */
API bool pubsub_disco_is_fine(const struct stanza *iq);
/*
 * Adds the nodes that he may know of to an answer of disco#items, or a page of
 * them, by name. False if the page is to begin or end at what is not there.
 */
API bool pubsub_disco_items(
    struct pubsub *ps, struct elem *query, const struct stanza *iq);

/*
 * Of an account: presence of a contact or of a session of its own, from which
 * follows who is interested in which nodes (XEP-0115).
 */
API void pubsub_presence(
    struct pubsub *ps, const struct jid *from, const struct elem *presence);
API void pubsub_absence(struct pubsub *ps, const struct jid *from);
/*
 * A session has become available: its contacts on this server that are not in
 * memory get to know, one after the other, and send what they have for it.
 */
API void pubsub_visit(const struct session *s);
/* Its owner has gone offline. */
API void pubsub_offline(struct pubsub *ps);
/* What is between it and a contact has changed. */
API void pubsub_roster_changed(struct pubsub *ps, struct str bare);

#endif
