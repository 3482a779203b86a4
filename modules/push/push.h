/* SPDX-License-Identifier: MIT */
#ifndef MODULES_PUSH_PUSH_H
#define MODULES_PUSH_PUSH_H

#include "core/module.h"

struct push_options {
	bool include_sender, include_body;
	uint64_t max_registrations;
	uint64_t max_errors;
};

/* Where an account's device wants to be told of messages. On the heap. */
struct registration {
	struct list node; /* in struct push */
	struct mod *mod;
	struct account *account;
	struct str key;		 /* in the store: service and node */
	struct str xml;		 /* the <enable/> as it is kept */
	struct jid service;	 /* view of a heap text */
	struct str node_id;	 /* pubsub node, or "" */
	struct str resource;	 /* of the session that enabled it */
	unsigned errors;	 /* in a row */
	bool is_asked;		 /* a notification is under way */
	bool is_due;		 /* and another one must follow */
	bool is_coming;		 /* what it tells of is not in the spool yet */
	struct str sender, body; /* of the message to tell of next; heap */
};

/* In the account's slot. */
struct push {
	struct list all;
	size_t count;
};

/* NULL: the account has none. */
struct push *push_of(struct mod *m, const struct account *acct);
void push_forget(struct registration *r);
/* Tells it of a message, which is in the spool or is still to come into it. */
void push_notify(
    struct registration *r, const struct stanza *message, bool is_coming);

#endif
