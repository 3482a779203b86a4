/* SPDX-License-Identifier: MIT */
/*
 * Which messages are worth keeping for a client that is not there: XEP-0160
 * section 3, with the hints of XEP-0334 and what clients expect today.
 */
#ifndef XEP_0160_OFFLINE_H
#define XEP_0160_OFFLINE_H

#include "xml/elem.h"

/*
 * True for chat and normal messages that say something: a body, a subject of
 * one's own, an encrypted payload, a receipt, a reaction... False for errors,
 * headlines, groupchat, for chat states alone, and where a hint forbids it.
 */
API bool offline_is_worth(const struct elem *message);

/*
 * True for a message that says only what its sender is doing, such as
 * composing: it is over before anybody comes, and nobody is to be told.
 */
API bool offline_is_chat_state(const struct elem *message);

#endif
