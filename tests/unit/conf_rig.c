/* SPDX-License-Identifier: MIT */
#include "conf_rig.h"

#include "base/buf.h"

static const char *const colours[] = { "red", "green", "blue", NULL };

const struct option rig_tower_options[] = {
	OPT_BOOL("high", struct tower_options, is_high, "true", "is it?"),
	OPT_UINT(
	    "windows", struct tower_options, windows, "4", 1, 100, "how many"),
	OPT_SIZE("height", struct tower_options, height, "2KiB", 1024, 1 << 20,
	    "in bytes"),
	OPT_SPAN("wait", struct tower_options, wait_ms, "5m", 1000, HOURS(1),
	    "before it opens"),
	OPT_TEXT("motto", struct tower_options, motto, "at @HOST@", 20,
	    "above the door"),
	OPT_HOST(
	    "host", struct tower_options, host, "tower.@HOST@", "its domain"),
	{
	    .name = "key",
	    .type = OPTION_TEXT,
	    .offset = offsetof(struct tower_options, key),
	    .max = 20,
	    .value = "",
	    .is_secret = true,
	    .help = "opens it",
	},
	OPT_CHOICE("colour", struct tower_options, colour, "green", colours,
	    "of the roof"),
	OPT_LIST(
	    "birds", struct tower_options, birds, "rook, jackdaw", 3, "in it"),
	OPT_RATE("rate", struct tower_options, rate, "3/1h", "of visitors"),
	OPTIONS_END,
};

static const char *const moat_needs[] = { "tower", NULL };

static const struct module tower = {
	.summary = "a tower",
	.options_size = sizeof(struct tower_options),
	.options = rig_tower_options,
};
static const struct module moat = { .needs = moat_needs };
static const struct module ruin = { .is_optional = true };
static const struct module driver = { .is_global = true };

const struct builtin rig_modules[] = {
	{ "moat", &moat },
	{ "ruin", &ruin },
	{ "store_other", &driver },
	{ "store_sqlite", &driver },
	{ "tower", &tower },
	{ NULL, NULL },
};

const char *
rig_conf_parse(struct arena *a, const char *text, struct conf **conf_r)
{
	struct problems problems = { .arena = a, .file = "f.yml" };
	struct buf b = { 0 };
	const char *told;

	*conf_r = NULL;
	modules_add_static(rig_modules);
	conf_parse(str_c(text), NULL, &problems, conf_r);
	for (size_t i = 0; i < problems.count; i++)
		buf_printf(&b, "%s\n", problem_line(&problems, i));
	told = b.n > 0 ? str_dup_c(a, buf_str(&b)) : "";
	buf_fini(&b);
	return told;
}
