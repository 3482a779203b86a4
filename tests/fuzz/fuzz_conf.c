/* SPDX-License-Identifier: MIT */
/*
 * The configuration. It is either wrong, and then that is said, or its dump
 * can be read, and dumps the same again.
 */
#include "core/conf.h"
#include "core/hooks.h"
#include "core/problem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct values {
	bool b;
	uint64_t n, size, span;
	struct str text, host;
	unsigned choice;
	struct str_list list;
	struct rate rate;
};

static const char *const choices[] = { "one", "two", NULL };

static const struct option options[] = {
	OPT_BOOL("b", struct values, b, "true", "h"),
	OPT_UINT("n", struct values, n, "4", 1, 100, "h"),
	OPT_SIZE("size", struct values, size, "2KiB", 1024, 1 << 20, "h"),
	OPT_SPAN("span", struct values, span, "5m", 1000, HOURS(1), "h"),
	OPT_TEXT("text", struct values, text, "x", 20, "h"),
	OPT_HOST("host", struct values, host, "x.@HOST@", "h"),
	OPT_CHOICE("choice", struct values, choice, "one", choices, "h"),
	OPT_LIST("list", struct values, list, "a, b", 3, "h"),
	OPT_RATE("rate", struct values, rate, "3/1h", "h"),
	OPTIONS_END,
};

static const struct module all = { .options_size = sizeof(struct values),
	.options = options };
static const struct module driver = { .is_global = true };

static const struct builtin modules[] = {
	{ "all", &all },
	{ "store_sqlite", &driver },
	{ NULL, NULL },
};

static void
read_again(struct arena *a, const struct conf *conf)
{
	struct problems problems = { .arena = a, .file = "dump" };
	struct str dump = conf_dump(a, conf);
	struct conf *again = NULL;

	must(conf_parse(dump, NULL, &problems, &again) == 0);
	must(str_eq(conf_dump(a, again), dump));
	conf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct problems problems = { .arena = a, .file = "fuzz" };
	struct conf *conf = NULL;

	modules_add_static(modules);
	if (conf_parse(str_mem(data, size), NULL, &problems, &conf) == 0)
		read_again(a, conf);
	else
		must(problems.count > 0);
	conf_free(&conf);
	arena_free(&a);
	return 0;
}
