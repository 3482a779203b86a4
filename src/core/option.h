/* SPDX-License-Identifier: MIT */
/*
 * Options: rows that say name, type, range, default and help. From the same
 * rows come the check of the configuration, the values in a struct, and the
 * manual page.
 */
#ifndef CORE_OPTION_H
#define CORE_OPTION_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"

enum option_type {
	OPTION_END,
	OPTION_BOOL,   /* bool */
	OPTION_UINT,   /* uint64_t */
	OPTION_SPAN,   /* uint64_t, milliseconds: "30s", "5m", "7d" */
	OPTION_SIZE,   /* uint64_t, bytes: "100KiB", "1GiB" */
	OPTION_TEXT,   /* struct str; "" when not given */
	OPTION_HOST,   /* struct str: a domain, @HOST@ replaced, prepared */
	OPTION_CHOICE, /* unsigned: index in `choices` */
	OPTION_LIST,   /* struct str_list: texts */
	OPTION_RATE,   /* struct rate: "3/1h", or "unlimited" */
};

struct str_list {
	const struct str *item;
	size_t count;
};

struct rate {
	uint32_t count; /* 0: unlimited */
	uint64_t per_ms;
};

/* `min`/`max` bound numbers, lengths of text, counts of lists. */
struct option {
	const char *name;
	enum option_type type;
	size_t offset;
	uint64_t min, max;
	const char *value;	    /* the default, as it would be written */
	const char *const *choices; /* ended by NULL */
	const char *help;
	bool is_secret; /* printed as *** */
};

#define OPT_(kind, name_, st, field, value_, min_, max_, help_) \
	{ \
		.name = (name_), .type = (kind), \
		.offset = offsetof(st, field), .min = (min_), .max = (max_), \
		.value = (value_), .help = (help_) \
	}
#define OPT_BOOL(name, st, field, value, help) \
	OPT_(OPTION_BOOL, name, st, field, value, 0, 1, help)
#define OPT_UINT(name, st, field, value, min, max, help) \
	OPT_(OPTION_UINT, name, st, field, value, min, max, help)
#define OPT_SPAN(name, st, field, value, min, max, help) \
	OPT_(OPTION_SPAN, name, st, field, value, min, max, help)
#define OPT_SIZE(name, st, field, value, min, max, help) \
	OPT_(OPTION_SIZE, name, st, field, value, min, max, help)
#define OPT_TEXT(name, st, field, value, max, help) \
	OPT_(OPTION_TEXT, name, st, field, value, 0, max, help)
#define OPT_HOST(name, st, field, value, help) \
	OPT_(OPTION_HOST, name, st, field, value, 1, 1023, help)
#define OPT_LIST(name, st, field, value, max, help) \
	OPT_(OPTION_LIST, name, st, field, value, 0, max, help)
#define OPT_RATE(name, st, field, value, help) \
	OPT_(OPTION_RATE, name, st, field, value, 0, UINT32_MAX, help)
#define OPT_CHOICE(name_, st, field, value_, choices_, help_) \
	{ \
		.name = (name_), .type = OPTION_CHOICE, \
		.offset = offsetof(st, field), .value = (value_), \
		.choices = (choices_), .help = (help_) \
	}
#define OPTIONS_END \
	{ \
		.type = OPTION_END \
	}

#endif
