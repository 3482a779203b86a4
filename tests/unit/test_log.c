/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/logline.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A message from outside, and how it reads on one line. */
static const struct {
	const char *message;
	const char *text;
} cases[] = {
	{ "plain \"text\" \\ here", "plain \"text\" \\ here" },
	{ "a\nb\r\tc", "a\\nb\\r\\tc" },
	{ "\x1b[31mred\x7f", "\\x1b[31mred\\x7f" },
	{ "caf\xc3\xa9 \xf0\x9f\x90\xb1", "caf\xc3\xa9 \xf0\x9f\x90\xb1" },
	{ "\xff\xc3", "\\xff\\xc3" },
	{ "\xc2\x9b"
	  "1m",
	    "\\u009b1m" }, /* CSI */
	{ "a\xe2\x80\xae"
	  "b",
	    "a\\u202eb" }, /* bidi override */
	{ "a\xe2\x81\xa7"
	  "b",
	    "a\\u2067b" }, /* bidi isolate */
	{ "a\xe2\x80\x8b"
	  "b",
	    "a\\u200bb" }, /* zero width */
	{ "a\xe2\x80\xa8"
	  "b",
	    "a\\u2028b" },			  /* line separator */
	{ "\xf3\xa0\x80\xa1", "\\udb40\\udc21" }, /* a tag */
};

static void
test_text(void **state)
{
	struct logline l;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str line = logline_text(
		    &l, "info", NULL, str_c(cases[i].message), false);
		struct str head = STR("info rookery ");

		assert_true(str_has_prefix(line, head));
		line = str_skip(line, head.n);
		assert_true(line.n > 0 && line.p[line.n - 1] == '\n');
		line.n--;
		assert_true(str_is(line, cases[i].text));
	}
}

static void
test_fields(void **state)
{
	struct log_ctx ctx = { .source = "c2s" };
	struct logline l;
	struct str line;

	log_field(&ctx, "jid", STR("romeo@example.net/a \"b\"] x=\xff"));
	log_field(&ctx, "ip", STR("192.0.2.1"));
	log_field(&ctx, "gone", STR("x"));
	log_field(&ctx, "gone", STR_NONE);
	line = logline_text(&l, "info", &ctx, STR("hi"), false);
	assert_true(str_is(line,
	    "info c2s [jid=\"romeo@example.net/a \\\"b\\\"] x=\\xff\""
	    " ip=192.0.2.1] hi\n"));

	log_field(&ctx, "jid", STR_NONE);
	log_field(&ctx, "ip", STR("::1"));
	line = logline_text(&l, "info", &ctx, STR("hi"), false);
	assert_true(str_is(line, "info c2s [ip=::1] hi\n"));
}

/* More fields than there is room for: the others stay. */
static void
test_many_fields(void **state)
{
	static const char *const name[] = { "a", "b", "c", "d", "e" };
	struct log_ctx ctx = { .source = "x" };
	struct logline l;

	for (size_t i = 0; i < ARRAY_LEN(name); i++)
		log_field(&ctx, name[i], STR("1"));
	assert_true(str_is(logline_text(&l, "info", &ctx, STR("t"), false),
	    "info x [a=1 b=1 c=1 d=1] t\n"));
}

static void
test_json(void **state)
{
	struct log_ctx ctx = { .source = "c2s" };
	struct logline l;

	log_field(&ctx, "jid", STR("a@b/\"\n\xff"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str line =
		    logline_json(&l, "error", &ctx, str_c(cases[i].message));
		json_t *o = json_loadb(line.p, line.n, 0, NULL);
		const char *message;

		assert_non_null(o);
		assert_int_equal(str_find(line, '\n'), line.n - 1);
		assert_string_equal(
		    json_string_value(json_object_get(o, "level")), "error");
		assert_string_equal(
		    json_string_value(json_object_get(o, "source")), "c2s");
		assert_string_equal(
		    json_string_value(json_object_get(o, "jid")),
		    "a@b/\"\n\xef\xbf\xbd");
		assert_non_null(json_object_get(o, "time"));
		message = json_string_value(json_object_get(o, "message"));
		if (str_is_utf8(str_c(cases[i].message)))
			assert_string_equal(message, cases[i].message);
		json_decref(o);
	}
}

/* Whatever the lengths, one line of bounded size that is whole. */
static void
test_lengths(void **state)
{
	static char long_text[10000];
	struct log_ctx ctx = { .source = "x" };
	struct logline l;

	for (size_t i = 0; i < sizeof(long_text); i++)
		long_text[i] = i % 7 == 0 ? '\n' : 'y';
	for (size_t n = 0; n < sizeof(long_text); n += 211) {
		struct str s = str_mem(long_text, n), line;
		json_t *o;

		for (size_t i = 0; i < LOG_FIELDS; i++) {
			ctx.field[i].name = "field";
			ctx.field[i].value = s;
		}
		line = logline_text(&l, "info", &ctx, s, true);
		assert_true(line.n <= LOGLINE_MAX);
		assert_int_equal(str_find(line, '\n'), line.n - 1);
		assert_true(n < 3000 || str_has_suffix(line, STR("...\n")));
		line = logline_json(&l, "info", &ctx, s);
		assert_true(line.n <= LOGLINE_MAX);
		o = json_loadb(line.p, line.n, 0, NULL);
		assert_non_null(o);
		json_decref(o);
	}
}

static void
test_levels(void **state)
{
	enum log_level level;

	for (int i = LOG_LEVEL_NONE; i <= LOG_LEVEL_DEBUG; i++) {
		assert_true(log_level_parse(
		    str_c(log_level_name((enum log_level)i)), &level));
		assert_int_equal(level, i);
	}
	assert_false(log_level_parse(STR("loud"), &level));
	assert_false(log_level_parse(STR("info "), &level));
}

/* Files ------------------------------------------------------------------- */

static char dir[] = "/tmp/test_log.XXXXXX";
static char path[64], other[64];

static int
setup(void **state)
{
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(other, sizeof(other), "%s/log.1", dir);
	return 0;
}

static int
teardown(void **state)
{
	unlink(path);
	unlink(other);
	return rmdir(dir);
}

static struct str
read_all(int fd)
{
	static char bytes[1 << 20];
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(bytes) &&
	       (got = read(fd, bytes + n, sizeof(bytes) - n)) > 0)
		n += (size_t)got;
	return str_mem(bytes, n);
}

static struct str
read_file(const char *name)
{
	int fd = open(name, O_RDONLY);
	struct str all;

	assert_true(fd >= 0);
	all = read_all(fd);
	close(fd);
	return all;
}

static void
test_file(void **state)
{
	assert_int_equal(log_open(path, LOG_TEXT), 0);
	log_set_level(LOG_LEVEL_NOTICE);
	log_info(NULL, "not seen");
	log_notice(NULL, "one");
	assert_int_equal(rename(path, other), 0);
	log_warn(NULL, "two");
	assert_int_equal(log_reopen(), 0);
	log_error(NULL, "three");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug(NULL, "four");
	log_set_level(LOG_LEVEL_NONE);
	log_error(NULL, "not seen");
	log_set_level(LOG_LEVEL_INFO);

	assert_true(
	    str_has_suffix(read_file(other), STR("Z warning rookery two\n")));
	assert_true(
	    str_has_suffix(read_file(path), STR("Z debug rookery four\n")));
	assert_int_equal(log_open("/nonexistent/log", LOG_TEXT), -ENOENT);
	log_info(NULL, "five"); /* where they went before */
	assert_true(
	    str_has_suffix(read_file(path), STR("Z info rookery five\n")));
	assert_int_equal(log_open("stderr", LOG_TEXT), 0);
	unlink(path);
	unlink(other);
}

/* A full pipe blocks nobody; when it is emptied, the loss is told. */
static void
test_pipe(void **state)
{
	struct str told, line;
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(log_open(path, LOG_TEXT), 0);
	for (int i = 0; i < 20000; i++)
		log_info(NULL, "line %d of many that nobody reads", i);
	assert_true(str_has_suffix(read_all(fd), STR("\n")));
	log_info(NULL, "after");
	told = read_all(fd);
	line = str_cut(&told, '\n');
	assert_true(str_has_suffix(line, STR(" lines of the log were lost")));
	assert_true(str_has_suffix(told, STR("Z info rookery after\n")));
	log_info(NULL, "last");
	assert_true(str_has_suffix(read_all(fd), STR("Z info rookery last\n")));
	assert_int_equal(log_open("stderr", LOG_TEXT), 0);
	close(fd);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_many_fields),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_pipe),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
