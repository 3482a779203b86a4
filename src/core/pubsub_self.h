/* SPDX-License-Identifier: MIT */
/*
 * What an account asks of itself, for modules that carry what it keeps from
 * one form to another: iqs from its bare address to that, for iq_send(). They
 * come behind what its clients have sent.
 */
#ifndef CORE_PUBSUB_SELF_H
#define CORE_PUBSUB_SELF_H

#include "core/stanza.h"

struct account;

/* Without a payload. */
API struct stanza *self_iq(const struct account *acct, enum stanza_type type);
/* Asks for the item of that id, or (none) for the last, or for all. */
API struct stanza *self_items(
    const struct account *acct, ns_t node, struct str id, bool is_last);
/* Publishes *item_r, which is empty yet. */
API struct stanza *self_publish(
    const struct account *acct, ns_t node, struct str id, struct elem **item_r);

/* The first item of an answer (NULL: none came), or NULL. */
API struct elem *answer_item(const struct stanza *answer);
/* Does it say that there is no such node or item? */
API bool answer_is_absent(const struct stanza *answer);

#endif
