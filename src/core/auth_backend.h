/* SPDX-License-Identifier: MIT */
/*
 * Backends of accounts that are not our own: modules called auth_NAME, in
 * whose table is one of these. `auth.backends` says which are
 * asked, in which order; a host has those whose module is on for it.
 */
#ifndef CORE_AUTH_BACKEND_H
#define CORE_AUTH_BACKEND_H

#include "base/arena.h"
#include "base/str.h"

struct host;
struct jid;
struct mod;

enum auth_what {
	AUTH_CHECK,  /* is this the user's password? */
	AUTH_EXISTS, /* is there such a user? */
	AUTH_SET,    /* sets the password of a user that exists */
	AUTH_CREATE,
	AUTH_REMOVE,
	AUTH_GROUPS, /* what groups does it have, and who is in them? */
};
#define AUTH_CAN(what) (1u << (what))

#define AUTH_WHY_MAX 200

struct auth_member {
	struct str user, name; /* name: to be shown, or none */
};

struct auth_group {
	struct str id, description;
	const struct auth_member *member;
	size_t count;
};

/* One question, with all that the answer needs: it is asked off the loop. */
struct auth_ask {
	enum auth_what what;
	struct arena *arena; /* of the question */
	const void *options; /* of the module, a copy */
	struct str user, host, password;
	/*
	 * What a backend keeps between questions (a connection, a program), its
	 * to set; no two questions have the same at a time.
	 */
	void *state;
	char why[AUTH_WHY_MAX]; /* for the log, when it is down or refuses */
	const struct auth_group *group; /* the answer to AUTH_GROUPS */
	size_t group_count;
};

struct auth_backend {
	unsigned can;  /* AUTH_CAN() of what it can be asked */
	bool is_quick; /* costs nothing much: its answers are not cached */
	/*
	 * On a thread of the pool; it has to come back in the time that its
	 * options allow. 0: yes. ERR_DENIED, ERR_ABSENT: no. ERR_UNKNOWN: it
	 * is not one that can tell. Anything else: it can't now, for the reason
	 * in `why`, which never has a secret.
	 */
	int (*answer)(struct auth_ask *ask);
	/* Ends a state; on a loop, so it may not wait. */
	void (*state_free)(void *state);
};

/*
 * Asks the module auth_NAME of the asker's host for its groups, whether or not
 * it is asked who may log in. Calls back once, later, on this loop; the texts
 * live until then. `why` tells more of an error, or is empty.
 */
typedef void auth_groups_fn(struct mod *m, int err, const char *why,
    const struct auth_group *group, size_t count);
API void auth_groups(struct mod *m, struct str name, auth_groups_fn *done);

/* ---- for the core ----*/

/* Its module stops: ends the states of this worker. */
void auth_backend_stop(struct mod *m, const struct auth_backend *b);

/* 0, ERR_DENIED (nobody says yes), ERR_STORE, ERR_LIMIT; on this loop. */
typedef void auth_fn(void *ctx, int err);
/*
 * Asks the host's backends in their order; always answers later. A user
 * that a backend knows whom it can't change is ERR_DENIED, one that none knows
 * ERR_ABSENT; ERR_UNKNOWN to AUTH_EXISTS when some of them can't tell.
 */
void auth_ask(enum auth_what what, const struct jid *bare, struct str password,
    auth_fn *done, void *ctx);
/* Are there any for the host? Is the store asked, too? */
bool auth_has_backends(const struct host *host);
bool auth_has_internal(const struct host *host);
/* Before the loops are made: threads enough that some may wait. */
struct conf;
void auth_pool_size(const struct conf *conf);
/* At the end of a worker. */
void auth_thread_done(void);

#endif
