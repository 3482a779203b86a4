/* SPDX-License-Identifier: MIT */
/*
 * The registry of commands, and how a front (the admin socket, the HTTP API,
 * ad-hoc commands) runs one.
 */
#ifndef CORE_COMMANDS_H
#define CORE_COMMANDS_H

#include "base/buf.h"
#include "core/command.h"
#include "core/command_type.h"
#include "xml/names.h"

#include <stdio.h>

#define COMMAND_VERSION_NEWEST 1000

/* ---- the registry, from any thread ----------------------------------------*/

struct cmd_table;

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
 * A module's commands come and go. `name` is kept, and NULL for the core. A
 * row that is wrong is logged and left out. commands_remove: false while one
 * of them runs; they are out of the registry all the same, so try again.
 */
void commands_add(const char *module, const struct command *rows);
bool commands_remove(const char *module);
/* Frees all; nothing may run any more. */
void commands_fini(void);

/*
 * The newest definition of that name ("-" is "_") whose version is not above
 * `version`, held until it is released; NULL if there is none.
 */
struct cmd_def *command_hold(struct str name, unsigned version);
void command_release(struct cmd_def *def);
/* The module it is of, or NULL. */
const char *cmd_def_module(const struct cmd_def *def);
/* Calls fn for the newest of each name, in order of names. */
void commands_each(void (*fn)(void *ctx, const struct cmd_def *def), void *ctx);
/* The known name that is most like it, or NULL; in `a`. */
const char *command_like(struct arena *a, struct str name);

/* ---- running ------------------------------------------------------------*/

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
bool cmd_arg_is_secret(const struct command_arg *arg);

/* Calls back exactly once on this loop, perhaps at once; at 60 s at last. */
void cmd_start(const struct cmd_call *call, cmd_done_fn *done, void *ctx);

/* The outcome for the HTTP API: the status, and the JSON for the body. */
unsigned cmd_outcome_http(const struct cmd_outcome *o, struct buf *body);
/* For the command line: the exit status, and what is printed. */
int cmd_outcome_text(const struct cmd_outcome *o, struct buf *text);

/* ---- help ---------------------------------------------------------------*/

/*
 * `rookeryctl help WORD...` as text; answers the exit status. WORD is a
 * command, a pattern ("get_*"), "tags", or "tags/TAG".
 */
int commands_help(struct buf *out, const json_t *words);
/* How to call one of them. */
void command_help(struct buf *out, const struct cmd_def *def);
/* The rows of the manual page, mdoc(7), for all that is registered. */
void commands_write_manual(FILE *out);
/*
 * The same for the core and all modules that there are: for a program that
 * does nothing else.
 */
void commands_manual(FILE *out);

/* ---- the core's own: commands_NAME.c ------------------------------------*/

extern const struct command commands_accounts[];
extern const struct command commands_bans[];
extern const struct command commands_clients[];
extern const struct command commands_components[];
extern const struct command commands_kindly[];
extern const struct command commands_logs[];
extern const struct command commands_modules[];
extern const struct command commands_presence[];
extern const struct command commands_roster[];
extern const struct command commands_s2s[];
extern const struct command commands_server[];
extern const struct command commands_sessions[];
extern const struct command commands_stanza[];
extern const struct command commands_stats[];

/* Shorthands for their rows. */
#define ARG(name_, type_) \
	{ \
		.name = (name_), .type = (type_) \
	}
#define ARG_OLD(name_, type_, old_) \
	{ \
		.name = (name_), .type = (type_), .old_name = (old_) \
	}

/* "rookery@HOSTNAME". */
const char *command_node(void);
/*
 * For a command of "user" and "host": runs found(c, account) at the account's
 * home; the account is NULL if there is none.
 */
struct account;
void command_at_home(
    struct cmd *c, void (*found)(struct cmd *c, struct account *acct));
/*
 * Runs fn on the first worker, in place of what was to run so before.
 * command_never, on any worker: not any more.
 */
void command_after(uint64_t ms, void (*fn)(void));
void command_never(void);
/*
 * Closes the calling worker's sessions, of the host or (NULL) all, with a
 * stream error; answers how many.
 */
size_t command_kick(const struct host *host, enum qname why, const char *text);

#endif
