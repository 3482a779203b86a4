/* SPDX-License-Identifier: MIT */
/*
 * Admin commands: declared once, served by rookeryctl, the HTTP API and
 * ad-hoc commands. Names, arguments and results are ejabberd's where it has
 * the command.
 *
 * Types are written as short texts, as in ejabberd's reference:
 *	"string", "integer", "atom", "rescode", "restuple",
 *	"{timestamp:string, status:string}"      a tuple
 *	"[name:string]"                          a list of one type
 *	"[{jid:string, priority:integer}]"
 */
#ifndef CORE_COMMAND_H
#define CORE_COMMAND_H

#include "base/arena.h"
#include "base/str.h"

#include <jansson.h>
#include <stdatomic.h>

struct cmd;
struct host;
struct jid;
struct mod;

#define COMMAND_ARGS_MAX 8

struct command_arg {
	const char *name;
	const char *type;
	const char *old_name; /* also accepted, or NULL */
	const char *fallback; /* as text; NULL: must be given */
};

struct command {
	const char *name;
	const char *tag;  /* "accounts", "session"...; the first is its home */
	const char *help; /* one line */
	struct command_arg args[COMMAND_ARGS_MAX];
	const char *result_name;
	const char *result; /* type */
	/* Runs on some loop; ends in exactly one cmd_* answer, later too. */
	void (*run)(struct cmd *c);
	bool is_for_user; /* a user may call it on himself */
	unsigned version; /* ejabberd's API version of this definition */
};

/* Arguments, checked against their types; views live as long as the cmd. */
API struct str cmd_str(const struct cmd *c, const char *arg);
API int64_t cmd_int(const struct cmd *c, const char *arg);
API const json_t *cmd_json(const struct cmd *c, const char *arg);
API struct arena *cmd_arena(const struct cmd *c);
/* The instance for a host that has the module; NULL for core commands. */
API struct mod *cmd_mod(const struct cmd *c, struct str host);
/* For continuing later: a pointer of the command's own, and its loop. */
API void cmd_set_ctx(struct cmd *c, void *ctx);
API void *cmd_ctx(const struct cmd *c);
/*
 * An argument that is a host: NULL, and the command has failed, when it is
 * none of ours. Arguments that are user and host: their bare JID, in the
 * command's arena; false, and the command has failed, when they make none.
 */
API struct host *cmd_host(struct cmd *c, const char *host);
API bool cmd_account(
    struct cmd *c, const char *user, const char *host, struct jid *jid_r);
/*
 * The argument `days` as a number from 0 to CMD_DAYS_MAX, or as the time so
 * long ago, in ms; false, and the command has failed, when it is none.
 */
#define CMD_DAYS_MAX 36500
API bool cmd_days(struct cmd *c, int64_t *days_r);
API bool cmd_days_ago(struct cmd *c, int64_t *time_r);

/*
 * Runs part(ctx, worker) on each worker's loop, at the same time: so each
 * writes to a place of its own only. Then done(ctx) on the calling loop.
 */
API void worker_gather(void (*part)(void *ctx, unsigned worker),
    void (*done)(void *ctx), void *ctx);
/*
 * The same for a command's result: integers are summed, arrays are joined.
 * `part` only reads `c`. With `done` NULL the whole is the command's result;
 * else it is done's, who answers.
 */
API void cmd_gather(struct cmd *c, json_t *(*part)(const struct cmd *c),
    void (*done)(struct cmd *c, json_t *whole));

/*
 * Answers; from any loop. cmd_ok: a restuple's text (may be NULL), or a rescode
 * of 0, with which a text is only shown on the command line. cmd_result
 * takes the reference. cmd_fail: `code` as in ejabberd's
 * errors (10090: exists...), http status by kind; the text is for people.
 */
enum cmd_error {
	CMD_FAILED,    /* 500; exit 1 */
	CMD_CONFLICT,  /* 409 */
	CMD_NOT_FOUND, /* 404 */
	CMD_BAD_ARG,   /* 400 */
	CMD_DENIED,    /* 401 */
};
API void cmd_ok(struct cmd *c, const char *text);
API void cmd_result(struct cmd *c, json_t *value);
API void cmd_fail(struct cmd *c, enum cmd_error kind, int code, const char *fmt,
    ...) PRINTF_LIKE(4, 5);

/*
 * Work that goes on after the command that began it has answered: others tell
 * how far it is, or end it. Static, and touched from any loop; what does the
 * work adds to `count`, looks at is_aborted, and calls cmd_job_end() at last.
 */
struct cmd_job {
	const char *what; /* "deletion of old messages", for the log */
	_Atomic uint64_t count;
	atomic_bool is_running, is_aborted, has_run;
	atomic_int err; /* why it ended early, or 0 */
};
/* Answers; false when it runs already: the command has failed then. */
API bool cmd_job_begin(struct cmd *c, struct cmd_job *job);
/* With why it ended early, or 0; a warning tells of the former. */
API void cmd_job_end(struct cmd_job *job, int err);
/* Answers with the state: "Operation finished, deleted 3 messages". */
API void cmd_job_tell(struct cmd *c, const struct cmd_job *job);
API void cmd_job_abort(struct cmd *c, struct cmd_job *job);

/*
 * Runs found(c, account) at its home if there is such an account, and refuses
 * the command if there is none: what is kept for nobody would be his who
 * registers that name next. `bare` is in the command's arena.
 */
struct account;
API void cmd_if_account(struct cmd *c, const struct jid *bare,
    void (*found)(struct cmd *c, struct account *acct));
/*
 * All of a file of an argument, on the heap; NULL, or why there is none, for
 * cmd_fail(). Blocking: for loop_work().
 */
API const char *cmd_file_read(const char *path, size_t max, struct str *text_r);
/* A store_done_fn whose ctx is the command: a rescode, or why it failed. */
API void cmd_on_done(void *ctx, int err);

/*
 * For modules: runs a command with an object of its arguments, of which it
 * keeps nothing. answer() comes once, on this loop, perhaps at once: 200 and
 * the value (or NULL), or an HTTP status and why. `origin` is for the log.
 */
typedef void cmd_answer_fn(
    void *ctx, unsigned status, const json_t *value, const char *text);
API void cmd_call(const char *name, const json_t *args, const char *origin,
    cmd_answer_fn *told, void *ctx);

#define COMMANDS_END \
	{ \
		.name = NULL \
	}

#endif
