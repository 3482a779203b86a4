/* SPDX-License-Identifier: MIT */
/* Modules that the tests of the configuration know: linked in, no files. */
#ifndef TESTS_CONF_RIG_H
#define TESTS_CONF_RIG_H

#include "core/conf.h"
#include "core/hooks.h"
#include "core/problem.h"

struct tower_options {
	bool is_high;
	uint64_t windows;
	uint64_t height;
	uint64_t wait_ms;
	struct str motto;
	struct str host;
	struct str key;
	unsigned colour;
	struct str_list birds;
	struct rate rate;
};

/*
 * "tower" has an option of each type; "moat" needs it; "ruin" is optional;
 * "store_sqlite" and "store_other" are drivers, global ones.
 */
extern const struct builtin rig_modules[];
extern const struct option rig_tower_options[];

/*
 * What is wrong with a text called f.yml: the problems, one a line, in `a`;
 * "" and the configuration if nothing is.
 */
const char *rig_conf_parse(
    struct arena *a, const char *text, struct conf **conf_r);

#endif
