/* SPDX-License-Identifier: MIT */
/*
 * How a front (the admin socket, the HTTP API, ad-hoc commands) finds a command
 * and runs it.
 */
#ifndef CORE_COMMAND_CALL_H
#define CORE_COMMAND_CALL_H

#include "base/buf.h"
#include "core/command.h"

#define COMMAND_VERSION_NEWEST 1000

struct cmd_table;
struct cmd_type;

/* A command as it was declared, with its types parsed. */
struct cmd_def {
	const struct command *row;
	struct cmd_type *args[COMMAND_ARGS_MAX];
	size_t arg_count;
	size_t needed; /* arguments that have no fallback */
	struct cmd_type *result;
	struct cmd_table *table;
};

/*
 * The newest definition of that name ("-" is "_") whose version is not above
 * `version`, held until it is released; NULL if there is none.
 */
struct cmd_def *command_hold(struct str name, unsigned version);
void command_release(struct cmd_def *def);
/* The module it is of, or NULL. */
const char *cmd_def_module(const struct cmd_def *def);
/* Calls fn for the newest of each name, in order of names. */
API void commands_each(
    void (*fn)(void *ctx, const struct cmd_def *def), void *ctx);
/* What came of it, until the callback returns. */
struct cmd_outcome {
	enum {
		CMD_DONE,    /* `value` or `text` */
		CMD_REFUSED, /* `kind`, `code`, `text` */
		CMD_UNKNOWN, /* no such command: `text` */
		CMD_USAGE,   /* wrong count of words: `text` */
	} what;
	const struct cmd_def *def; /* NULL when it is unknown */
	unsigned version;	   /* of the API that was asked for */
	enum cmd_error kind;
	int code;
	size_t given;	  /* words, for CMD_USAGE */
	const char *text; /* or NULL */
	const json_t *value;
};

typedef void cmd_done_fn(void *ctx, const struct cmd_outcome *outcome);

struct cmd_call {
	struct str name;
	unsigned version; /* COMMAND_VERSION_NEWEST, or as asked */
	/* An object by names; or, if `is_words`, an array of texts. */
	const json_t *args;
	bool is_words;
	const char *origin; /* for the log: "ctl", "api admin@localhost" */
};

/* Is the argument's value to be kept out of sight? */
API bool cmd_arg_is_secret(const struct command_arg *arg);

/* Calls back exactly once on this loop, perhaps at once; at 60 s at last. */
API void cmd_start(const struct cmd_call *call, cmd_done_fn *done, void *ctx);

/* For the command line: the exit status, and what is printed. */
API int cmd_outcome_text(const struct cmd_outcome *o, struct buf *text);

#endif
