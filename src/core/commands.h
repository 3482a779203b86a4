/* SPDX-License-Identifier: MIT */
/* The registry of commands, and the core's own. Fronts: command_call.h. */
#ifndef CORE_COMMANDS_H
#define CORE_COMMANDS_H

#include "base/buf.h"
#include "core/command_call.h"
#include "core/command_type.h"
#include "xml/names.h"

#include <stdio.h>

/* ---- the registry, from any thread ----------------------------------------*/

/*
 * A module's commands come and go. `name` is kept, and NULL for the core. A
 * row that is wrong is logged and left out. commands_remove: false while one
 * of them runs; they are out of the registry all the same, so try again.
 */
void commands_add(const char *module, const struct command *rows);
bool commands_remove(const char *module);
/* Frees all; nothing may run any more. */
void commands_fini(void);

/* The known name that is most like it, or NULL; in `a`. */
const char *command_like(struct arena *a, struct str name);

/* ---- running ------------------------------------------------------------*/

/* The outcome for the HTTP API: the status, and the JSON for the body. */
unsigned cmd_outcome_http(const struct cmd_outcome *o, struct buf *body);

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
extern const struct command commands_check[]; /* check.c */
extern const struct command commands_clients[];
extern const struct command commands_components[];
extern const struct command commands_contents[]; /* account_contents.c */
extern const struct command commands_export[];	 /* account_export.c */
extern const struct command commands_kindly[];
extern const struct command commands_logs[];
extern const struct command commands_modules[];
extern const struct command commands_presence[];
extern const struct command commands_push[];
extern const struct command commands_roster[];
extern const struct command commands_spool[];
extern const struct command commands_s2s[];
extern const struct command commands_server[];
extern const struct command commands_sessions[];
extern const struct command commands_stanza[];
extern const struct command commands_stats[];
extern const struct command commands_tokens[]; /* app_token.c */

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
