/* SPDX-License-Identifier: MIT */
/*
 * MUC/Sub, as ejabberd documents it: an account subscribes to what happens in
 * a room, and gets it as pubsub events without being there. So it goes the
 * way of all messages: into the archive, the spool, and to push services.
 */
#ifndef MODULES_MUC_SUB_H
#define MODULES_MUC_SUB_H

#include "modules/muc/muc.h"

#define SUB_NODES 7

/* One allocation with its texts. */
struct sub {
	struct str jid; /* bare: the key */
	struct str nick;
	uint8_t nodes;	 /* bits: 1 << enum sub_node */
	uint32_t mark;	 /* r->mark: the account is in the room */
	float words;	 /* as of an occupant */
	uint64_t worded; /* likewise */
	char text[];
};

extern const char *const sub_node_names[SUB_NODES];
/* A bit, or 0 for a name that we do not know. */
unsigned sub_node_bit(struct str name);

struct sub *sub_find(const struct room *r, struct str bare);
struct sub *sub_by_nick(const struct room *r, struct str nick);
/* EL_NONE when `who` may subscribe under that nick, else why not. */
enum qname sub_check(const struct room *r, const struct jid *who,
    struct str nick, const char **text_r);
/* Into memory, and `w`; tells those who want to know of it. */
void sub_add(struct room *r, struct str bare, struct str nick, unsigned nodes,
    struct store_write *w);
void sub_remove(struct room *r, struct sub *s, struct store_write *w);

/* As it is kept: by the room, and by the service for the account. */
void sub_load(struct room *r, const struct elem *e);
bool sub_nodes_read(const struct elem *e, unsigned *nodes_r);

#endif
