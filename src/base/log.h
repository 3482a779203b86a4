/* SPDX-License-Identifier: MIT */
/*
 * The log: one line an event, with level, source and fields.
 *
 * A log context (struct log_ctx) belongs to whatever the line is about (a
 * connection, a session, a module) and carries a source name and fields such
 * as the JID and the peer's address, which are printed with each of its
 * lines. Text from outside is escaped and truncated, so that an event stays
 * on one line. Secrets are never passed here: use SECRET_FMT in formats.
 * Any thread may log; no call blocks on a full pipe for long (lines are
 * dropped and counted when the target does not take them).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"
#include "base/str.h"

enum log_level {
	LOG_LEVEL_NONE,
	LOG_LEVEL_EMERGENCY,
	LOG_LEVEL_ALERT,
	LOG_LEVEL_CRITICAL,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum log_format { LOG_TEXT, LOG_JSON };

#define LOG_FIELDS 4

/* Names and values are borrowed; a field without a value is not printed. */
struct log_ctx {
	const char *source; /* "c2s", "store", "muc"... */
	struct {
		const char *name;
		struct str value;
	} field[LOG_FIELDS];
};

/* Read by the macros, written by log_set_level(); atomic. */
extern API int log_level_now;

/*
 * Where lines go: "stderr", "syslog" or a file's path (opened for append).
 * Until this is called they go to stderr as text. 0, or -errno.
 */
API int log_open(const char *target, enum log_format format);
/* Could it, as far as can be told without making the file? 0, or -errno. */
API int log_can_open(const char *target);
/* Opens the file again, after its rotation. */
API int log_reopen(void);
API void log_set_level(enum log_level level);
/* Names as ejabberd's set_loglevel; false if there is no such level. */
API bool log_level_parse(struct str name, enum log_level *level_r);
API const char *log_level_name(enum log_level level);

/* Adds or replaces a field of the context, or with STR_NONE removes it. */
API void log_field(struct log_ctx *ctx, const char *name, struct str value);

/* `ctx` may be NULL. */
API void log_write(enum log_level level, const struct log_ctx *ctx,
    const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_at(level, ctx, ...) \
	((int)(level) <= __atomic_load_n(&log_level_now, __ATOMIC_RELAXED) \
		? log_write((level), (ctx), __VA_ARGS__) \
		: (void)0)
#define log_error(ctx, ...) log_at(LOG_LEVEL_ERROR, ctx, __VA_ARGS__)
#define log_warn(ctx, ...) log_at(LOG_LEVEL_WARNING, ctx, __VA_ARGS__)
#define log_notice(ctx, ...) log_at(LOG_LEVEL_NOTICE, ctx, __VA_ARGS__)
#define log_info(ctx, ...) log_at(LOG_LEVEL_INFO, ctx, __VA_ARGS__)
#define log_debug(ctx, ...) log_at(LOG_LEVEL_DEBUG, ctx, __VA_ARGS__)

#endif
