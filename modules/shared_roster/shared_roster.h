/* SPDX-License-Identifier: MIT */
/*
 * Groups whose members find each other in their rosters. Each worker has all
 * of a host's; they are changed on one, the lead, one change after the other,
 * and told to the others when they are kept.
 */
#ifndef SHARED_ROSTER_H
#define SHARED_ROSTER_H

#include "core/module.h"

#define STORE "shared_roster"
#define EVERYONE "@all" /* a group of all accounts, as last counted */
#define ID_MAX 255
#define TEXT_MAX 1000
#define DISPLAY_MAX 64

struct shared_options {
	uint64_t groups_max, members_max;
	struct str source;
	uint64_t refresh_ms;
};

struct member {
	struct str user, name; /* name: or none */
};

/* In an arena of its own. */
struct group {
	struct arena *arena;
	struct str id, label, description;
	struct str source; /* or none: it is ours */
	bool has_all;	   /* all accounts are members */
	const struct str *display;
	size_t display_count;
	const struct member *member;
	size_t member_count;
};

/* What one worker knows of a host's groups. */
struct table {
	struct map groups;	/* by id */
	struct group *everyone; /* or NULL: not known, or not needed */
	/* Made anew after each change. */
	struct arena *index;
	struct map by_user;  /* struct links: groups that he is named in */
	struct map shown_by; /* struct links: groups that display it */
	struct links *all;   /* groups with has_all */
};

struct links {
	struct group **group;
	size_t count;
};

/* table.c */

/* The group's text replaces what there was of that id; none: it is gone. */
void table_set(struct table *t, struct str id, struct str text);
void table_index(struct table *t);
/* False while a group has all accounts and these are not known yet. */
bool table_is_whole(const struct table *t);
void table_free(struct table *t);
struct group *table_find(const struct table *t, struct str id);
/* As an object to be changed, and as the text that is kept. */
json_t *group_json(const struct group *g);
/* What the groups give the user: grants by bare JID, in `a`. */
struct map table_grants(const struct table *t, struct arena *a,
    const struct host *host, struct str user);

struct shared {
	struct table table;
	bool is_ready, is_stopped;
	int load_err; /* of the last attempt to read them */
	struct timer load;
	/* sync.c: accounts whose rosters are to be looked at. */
	struct arena *todo_arena;
	struct jid *todo;
	size_t todo_count, todo_next, todo_left;
	struct timer todo_timer;
	/* On the lead alone: changes, the one under way first. */
	struct list ops;
	bool is_busy;
	struct timer refresh, people;
	bool is_asking, is_counting, was_down, was_over;
};

/* sync.c */

void shared_on_roster(struct mod *m, struct account *acct);
/* The table has changed: all accounts in memory are seen to, bit by bit. */
void shared_sync(struct mod *m);
void shared_sync_stop(struct mod *m);

/* change.c */

struct change {
	struct str id, text; /* none: remove */
};

struct op {
	struct list node;
	struct arena *arena; /* of the command, or its own */
	struct cmd *cmd;     /* or NULL */
	struct host *host;
	/* On the lead: false if there is nothing to change (any more). */
	bool (*run)(struct mod *m, struct op *op);
	struct str group, user; /* arguments */
	void *data;
	struct change *change;
	size_t count;
};

bool shared_is_lead(const struct mod *m);
/* From any loop. `op` lives in its arena. */
void shared_post(struct op *op);
struct op *shared_op(struct host *host, bool (*run)(struct mod *, struct op *));
/* Adds one; takes the reference of `j`, which is NULL for a removal. */
void op_change(struct op *op, struct str id, json_t *j);
void shared_ops_start(struct mod *m);
void shared_ops_stop(struct mod *m);

/* source.c */

/* The instance that a timer of its state is of. */
struct mod *shared_mod(const struct shared *s);
void shared_source_start(struct mod *m);
void shared_source_stop(struct mod *m);
/* Who has an account may have changed; on the lead. */
void shared_people_soon(struct mod *m);
/* The same after a failure of the store. */
void shared_people_again(struct mod *m);

extern const struct command shared_commands[];

#endif
