/* SPDX-License-Identifier: MIT */
/*
 * Ad-hoc commands (XEP-0050): what can be done at an address by filling in
 * forms, in one stage or in several. Who offers commands has a table of them
 * and a struct adhoc, which knows the sessions under way and answers disco;
 * both belong to one loop.
 */
#ifndef CORE_ADHOC_H
#define CORE_ADHOC_H

#include "core/stanza.h"

struct adhoc;
struct adhoc_command;

enum adhoc_action {
	ADHOC_EXECUTE, /* the first request of a session */
	ADHOC_PREV,
	ADHOC_NEXT,
	ADHOC_COMPLETE,
};

/* One request, until it is answered. It lives in the arena of its iq. */
struct adhoc_call {
	void *ctx; /* of the struct adhoc */
	const struct adhoc_command *command;
	const struct jid *who; /* full */
	const struct jid *at;  /* the address that offers it */
	struct arena *arena;
	enum adhoc_action action;
	unsigned stage;	   /* 0: the first; where the action leads to */
	struct elem *form; /* as submitted, or NULL */
	/*
	 * What the session keeps from stage to stage: the handler's, freed by
	 * `state_free` when the session ends or is forgotten.
	 */
	void *state;
	void (*state_free)(void *state);

	/* Of adhoc.c. */
	struct adhoc *adhoc;
	struct adhoc_session *session;
	struct stanza *iq;
};

struct adhoc_command {
	const char *node, *name;
	/* May he, from iq->from to iq->to? NULL: everybody may. */
	bool (*may)(void *ctx, const struct stanza *iq);
	/* Answers the call by one of the functions below, at once or later. */
	void (*run)(struct adhoc_call *call);
};

#define ADHOC_END \
	{ \
		.node = NULL \
	}

/* The table is lent for as long; `ctx` is for its handlers. */
API struct adhoc *adhoc_new(const struct adhoc_command *commands, void *ctx);
/* Calls under way may still be answered. */
API void adhoc_free(struct adhoc **adhoc);
/* A command, or disco of its node or of the list of all? */
API bool adhoc_is_for(const struct adhoc *adhoc, const struct stanza *iq);
/* Answers such an iq. Takes it over. */
API enum verdict adhoc_iq(struct adhoc *adhoc, struct stanza *iq);

/*
 * The answers. adhoc_stage: another stage, from which one may go on as
 * `allowed` says, a set of bits (1 << ADHOC_NEXT...); the first of COMPLETE
 * and NEXT that is allowed is what "execute" means there. adhoc_done: the
 * command has been completed. Both give the <command/>, to which a form or
 * notes are added; then adhoc_send().
 */
API struct elem *adhoc_stage(struct adhoc_call *call, unsigned allowed);
API struct elem *adhoc_done(struct adhoc_call *call);
/* `type` is "info", "warn" or "error"; the text is kept. */
API void adhoc_note(struct elem *command, const char *type, struct str text);
API void adhoc_send(struct adhoc_call *call);
/* An error; a session goes on from where it was. */
API void adhoc_refuse(
    struct adhoc_call *call, enum qname condition, enum qname specific);

#endif
