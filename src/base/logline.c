/* SPDX-License-Identifier: MIT */
#include "base/logline.h"

#include "base/clock.h"

#include <stdio.h>
#include <time.h>

/* Kept free for the mark of a cut, closing brackets and the newline. */
#define TAIL_ROOM 16

enum quoting {
	PLAIN,	/* text for people: only what would deceive is escaped */
	QUOTED, /* the same, between double quotes */
	JSON,
};

static bool
line_add(struct logline *l, const char *p, size_t n, size_t end)
{
	if (n > end - l->n)
		return false;
	memcpy(l->p + l->n, p, n);
	l->n += n;
	return true;
}

static void
line_put(struct logline *l, const char *text)
{
	line_add(l, text, strlen(text), sizeof(l->p));
}

static unsigned
utf8_code(const char *p, size_t len)
{
	unsigned code = (unsigned char)p[0];

	if (len > 1)
		code &= 0x7fu >> len;
	for (size_t i = 1; i < len; i++)
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	return code;
}

/* Controls, line separators, and what changes the direction of writing. */
static bool
is_deceptive(unsigned code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
	       (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
	       (code >= 0xe0000 && code <= 0xe0fff);
}

/* The escape of one character, or of one byte that is none (len 0). */
static int
escape(char *out, size_t size, unsigned code, size_t len, enum quoting how)
{
	if (len == 0)
		return snprintf(
		    out, size, how == JSON ? "\\ufffd" : "\\x%02x", code);
	switch (code) {
	case '\n':
		return snprintf(out, size, "\\n");
	case '\r':
		return snprintf(out, size, "\\r");
	case '\t':
		return snprintf(out, size, "\\t");
	case '"':
	case '\\':
		return snprintf(out, size, "\\%c", (int)code);
	default:
		break;
	}
	if (code > 0xffff) /* a surrogate pair */
		return snprintf(out, size, "\\u%04x\\u%04x",
		    0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
	if (how != JSON && code < 0x80)
		return snprintf(out, size, "\\x%02x", code);
	return snprintf(out, size, "\\u%04x", code);
}

/* Appends `s` escaped, up to `max` bytes, and marks where it was cut. */
static void
line_escape(struct logline *l, struct str s, size_t max, enum quoting how)
{
	size_t end = MIN(l->n + max, sizeof(l->p) - TAIL_ROOM);

	while (s.n > 0) {
		size_t len = str_utf8_len(s);
		unsigned code = utf8_code(s.p, MAX(len, 1));
		bool is_special = how != PLAIN && (code == '"' || code == '\\');
		char out[16];
		bool fits;

		if (len == 0)
			code = (unsigned char)s.p[0];
		if (len > 0 && !is_deceptive(code) && !is_special) {
			fits = line_add(l, s.p, len, end);
		} else {
			int n = escape(out, sizeof(out), code, len, how);

			fits = line_add(l, out, (size_t)n, end);
		}
		if (!fits) {
			line_put(l, "...");
			break;
		}
		s = str_skip(s, MAX(len, 1));
	}
}

static void
line_time(struct logline *l)
{
	int64_t now = clock_real();
	time_t when = (time_t)(now / 1000);
	char text[64];
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL)
		return;
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(now % 1000));
	line_put(l, text);
}

/* Must the value stand between quotes, lest it look like other fields? */
static bool
wants_quotes(struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		if (strchr(" \"\\[]=", value.p[i]) != NULL)
			return true;
	}
	return value.n == 0;
}

static void
text_field(struct logline *l, const char *name, struct str value)
{
	bool is_quoted = wants_quotes(value);

	line_put(l, name);
	line_put(l, is_quoted ? "=\"" : "=");
	/* All fields together leave room for some of the text. */
	line_escape(l, value, MIN(LOGLINE_VALUE, (LOGLINE_MAX - l->n) / 2),
	    is_quoted ? QUOTED : PLAIN);
	line_put(l, is_quoted ? "\"" : "");
}

static const char *
source_of(const struct log_ctx *ctx)
{
	return ctx != NULL && ctx->source != NULL ? ctx->source : "rookery";
}

struct str
logline_text(struct logline *l, const char *level, const struct log_ctx *ctx,
    struct str text, bool with_time)
{
	const char *between = " [";

	l->n = 0;
	if (with_time) {
		line_time(l);
		line_put(l, " ");
	}
	line_put(l, level);
	line_put(l, " ");
	line_put(l, source_of(ctx));
	for (size_t i = 0; ctx != NULL && i < LOG_FIELDS; i++) {
		if (ctx->field[i].name == NULL ||
		    str_is_none(ctx->field[i].value))
			continue;
		line_put(l, between);
		text_field(l, ctx->field[i].name, ctx->field[i].value);
		between = " ";
	}
	line_put(l, between[1] == '\0' ? "] " : " ");
	line_escape(l, text, LOGLINE_MAX, PLAIN);
	line_put(l, "\n");
	return str_mem(l->p, l->n);
}

static void
json_member(struct logline *l, const char *name, struct str value, size_t max)
{
	line_put(l, ",\"");
	line_put(l, name);
	line_put(l, "\":\"");
	line_escape(l, value, max, JSON);
	line_put(l, "\"");
}

struct str
logline_json(struct logline *l, const char *level, const struct log_ctx *ctx,
    struct str text)
{
	l->n = 0;
	line_put(l, "{\"time\":\"");
	line_time(l);
	line_put(l, "\"");
	json_member(l, "level", str_c(level), LOGLINE_VALUE);
	json_member(l, "source", str_c(source_of(ctx)), LOGLINE_VALUE);
	for (size_t i = 0; ctx != NULL && i < LOG_FIELDS; i++) {
		if (ctx->field[i].name == NULL ||
		    str_is_none(ctx->field[i].value))
			continue;
		json_member(l, ctx->field[i].name, ctx->field[i].value,
		    MIN(LOGLINE_VALUE, (LOGLINE_MAX - l->n) / 2));
	}
	json_member(l, "message", text, LOGLINE_MAX);
	line_put(l, "}\n");
	return str_mem(l->p, l->n);
}
