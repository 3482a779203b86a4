/* SPDX-License-Identifier: MIT */
/*
 * rookeryctl: has the server run a command, and prints what it says. The
 * commands, their arguments and their help are all the server's.
 */
#include "base/err.h"
#include "ctl/ctl.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* How long `started' and `stopped' wait. */
#define WAIT_S 60
#define WAIT_STEP_MS 100

static const char usage[] =
    "Usage: rookeryctl [-c FILE] [--socket PATH] [--format text|json] "
    "[--version N]\n"
    "                  COMMAND [ARGUMENT...]\n"
    "\n"
    "  rookeryctl help            the commands of the server\n"
    "  rookeryctl help COMMAND    what one of them does and takes\n"
    "  rookeryctl started         waits until a server answers\n"
    "  rookeryctl stopped         waits until none does\n"
    "  rookeryctl ping            says pong if a server answers\n"
    "  rookeryctl copy_store FILE moves what is stored to the database of "
    "another\n"
    "                             configuration, while no server runs\n";

static int
complain(const char *text)
{
	fprintf(stderr, "rookeryctl: %s\n", text);
	return EXIT_FAILED;
}

static int
complain_usage(const char *text)
{
	complain(text);
	fputs(usage, stderr);
	return EXIT_USAGE;
}

static int
no_server(const struct ctl *ctl, int err)
{
	if (err == ERR_CLOSED)
		fprintf(stderr,
		    "rookeryctl: the server on %s went away before all of its "
		    "answer had come\n",
		    ctl->socket);
	else if (err == -ENOENT || err == -ECONNREFUSED || err == -ENOTDIR)
		fprintf(stderr,
		    "rookeryctl: no server answers on %s "
		    "(is rookeryd running?)\n",
		    ctl->socket);
	else
		fprintf(stderr, "rookeryctl: no server answers on %s: %s\n",
		    ctl->socket, err_text(err));
	return EXIT_NO_SERVER;
}

/* Commands ----------------------------------------------------------------*/

/* False, and it has been said why, when not all of it could be written. */
static bool
print_body(struct str body)
{
	fwrite(body.p, 1, body.n, stdout);
	if (body.n > 0 && body.p[body.n - 1] != '\n')
		fputc('\n', stdout);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return true;
	fprintf(stderr, "rookeryctl: cannot write all of the answer: %s\n",
	    err_text(-errno));
	return false;
}

static struct str
json_text(struct arena *a, const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);
	struct str copy = str_dup(a, str_c(text));

	free(text); /* lint: malloc */
	return copy;
}

/* ["register", "juliet", ...]; NULL when a word is not UTF-8. */
static json_t *
words_of(char **argv, int argc)
{
	json_t *words = json_array();

	for (int i = 0; i < argc; i++) {
		if (json_array_append_new(words, json_string(argv[i])) == 0)
			continue;
		json_decref(words);
		return NULL;
	}
	return words;
}

/* The path may hold what a command's name may; the server finds the rest. */
static const char *
path_of(struct arena *a, const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-";
	struct buf path = { 0 };
	const char *text;

	buf_add_str(&path, STR("/ctl/"));
	for (; *name != '\0'; name++) {
		if (strchr(plain, *name) != NULL)
			buf_add_c(&path, *name);
		else
			buf_printf(&path, "%%%02X", (unsigned char)*name);
	}
	text = str_dup_c(a, buf_str(&path));
	buf_fini(&path);
	return text;
}

static int
post(const struct ctl *ctl, const char *path, const json_t *words,
    struct reply *reply)
{
	return client_post(ctl, path, json_text(ctl->arena, words), reply);
}

/* The last argument is a secret that was not given. */
static bool
add_secret(struct arena *a, json_t *words, struct str name)
{
	struct str secret;
	json_t *word;

	if (!ask_secret(a, str_dup_c(a, name), &secret))
		return false;
	word = json_stringn(secret.p, secret.n);
	return word != NULL && json_array_append_new(words, word) == 0;
}

static int
run_words(const struct ctl *ctl, const char *name, json_t *words)
{
	const char *path = path_of(ctl->arena, name);
	struct reply reply;
	int err = post(ctl, path, words, &reply);

	if (err == 0 && !str_is_none(reply.missing) &&
	    add_secret(ctl->arena, words, reply.missing))
		err = post(ctl, path, words, &reply);
	if (err < 0)
		return no_server(ctl, err);
	if (!print_body(reply.body) && reply.exit == EXIT_DONE)
		return EXIT_FAILED;
	if (reply.exit >= 0)
		return reply.exit;
	fprintf(stderr, "rookeryctl: the server answers %u\n", reply.status);
	return EXIT_FAILED;
}

static int
run_command(const struct ctl *ctl, int argc, char **argv)
{
	json_t *words = words_of(argv, argc);
	int status;

	if (words == NULL)
		return complain("an argument is not UTF-8");
	status = run_words(ctl, argv[0], words);
	json_decref(words);
	return status;
}

/* Those that ask no command of the server ---------------------------------*/

static bool
server_answers(const struct ctl *ctl, int *err_r)
{
	struct reply reply;

	*err_r = client_post(ctl, "/ctl/status", STR("[]"), &reply);
	return *err_r == 0 && reply.exit == 0;
}

static int
run_ping(const struct ctl *ctl)
{
	int err;

	if (!server_answers(ctl, &err))
		return no_server(ctl, err < 0 ? err : -EPROTO);
	puts("pong");
	return EXIT_DONE;
}

static int
wait_until(const struct ctl *ctl, bool up)
{
	struct timespec step = { .tv_nsec = WAIT_STEP_MS * 1000000L };
	int err;

	for (int i = 0; i < WAIT_S * 1000 / WAIT_STEP_MS; i++) {
		if (server_answers(ctl, &err) == up)
			return EXIT_DONE;
		nanosleep(&step, NULL);
	}
	return up ? no_server(ctl, err < 0 ? err : -ETIMEDOUT)
		  : complain("the server still runs");
}

static bool
is_own(const char *name)
{
	static const char *const own[] = { "help", "ping", "started", "stopped",
		"copy_store" };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (strcmp(name, own[i]) == 0)
			return true;
	return false;
}

static int
run_help(const struct ctl *ctl, int argc, char **argv)
{
	int err;

	if (argc == 2 && is_own(argv[1])) {
		fputs(usage, stdout);
		return EXIT_DONE;
	}
	if (!server_answers(ctl, &err)) {
		fputs(usage, stdout);
		fflush(stdout);
		return no_server(ctl, err < 0 ? err : -EPROTO);
	}
	return run_command(ctl, argc, argv);
}

static int
run_copy(const struct ctl *ctl, const char *target)
{
	int err;

	if (server_answers(ctl, &err) || err == 0)
		return complain(
		    "the server is running: stop it first (rookeryctl stop), "
		    "so that nothing is missing in the copy");
	err = copy_exec(ctl->conf, target);
	fprintf(stderr, "rookeryctl: can't run rookeryd: %s\n", err_text(err));
	return EXIT_FAILED;
}

static int
run(const struct ctl *ctl, int argc, char **argv)
{
	if (strcmp(argv[0], "ping") == 0 && argc == 1)
		return run_ping(ctl);
	if (strcmp(argv[0], "started") == 0 && argc == 1)
		return wait_until(ctl, true);
	if (strcmp(argv[0], "stopped") == 0 && argc == 1)
		return wait_until(ctl, false);
	if (strcmp(argv[0], "copy_store") == 0)
		return argc == 2 ? run_copy(ctl, argv[1])
				 : complain_usage("copy_store takes a file");
	if (strcmp(argv[0], "help") == 0)
		return run_help(ctl, argc, argv);
	return run_command(ctl, argc, argv);
}

/* Arguments ---------------------------------------------------------------*/

struct options {
	const char *conf;
	const char *socket;
	const char *format;
	const char *version;
};

/* The value of "--name VALUE" or "--name=VALUE", and *i past it. */
static bool
option(const char *name, int argc, char **argv, int *i, const char **value_r)
{
	size_t n = strlen(name);
	const char *arg = argv[*i];

	if (strncmp(arg, name, n) != 0)
		return false;
	if (arg[n] == '=' && n > 2) {
		*value_r = arg + n + 1;
		*i += 1;
		return true;
	}
	if (arg[n] != '\0' || *i + 1 >= argc)
		return false;
	*value_r = argv[*i + 1];
	*i += 2;
	return true;
}

/* The index of the command, argc if there is none, or -1. */
static int
parse_options(int argc, char **argv, struct options *o)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-') {
		if (strcmp(argv[i], "--") == 0)
			return i + 1;
		if (strcmp(argv[i], "--no-timeout") == 0) {
			i++;
			continue;
		}
		if (!option("-c", argc, argv, &i, &o->conf) &&
		    !option("--config", argc, argv, &i, &o->conf) &&
		    !option("--socket", argc, argv, &i, &o->socket) &&
		    !option("--format", argc, argv, &i, &o->format) &&
		    !option("--version", argc, argv, &i, &o->version))
			return -1;
	}
	return i;
}

static bool
is_number(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0' &&
	       strlen(text) < 4;
}

static int
ctl_init(struct ctl *ctl, const struct options *o)
{
	const char *why;

	if (o->format != NULL && strcmp(o->format, "json") != 0 &&
	    strcmp(o->format, "text") != 0)
		return complain_usage("the formats are text and json");
	if (o->version != NULL && !is_number(o->version))
		return complain_usage("a version of the API is a number");
	ctl->wants_json = o->format != NULL && strcmp(o->format, "json") == 0;
	ctl->version = o->version;
	ctl->socket = o->socket;
	ctl->conf = o->conf;
	if (ctl->socket == NULL &&
	    where_socket(ctl->arena, o->conf, &ctl->socket, &why) < 0)
		return complain(why);
	return EXIT_DONE;
}

static int
start(struct ctl *ctl, int argc, char **argv)
{
	struct options options = { 0 };
	int first = parse_options(argc, argv, &options);
	int status;

	if (first < 0)
		return complain_usage("no such option, or no value for it");
	if (first >= argc)
		return complain_usage("which command?");
	status = ctl_init(ctl, &options);
	if (status != EXIT_DONE)
		return status;
	return run(ctl, argc - first, argv + first);
}

int
main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	int status;

	if (argc == 2 &&
	    (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)) {
		puts("rookeryctl " ROOKERY_VERSION);
		return EXIT_DONE;
	}
	if (argc == 2 &&
	    (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
		fputs(usage, stdout);
		return EXIT_DONE;
	}
	ctl.arena = arena_new(0);
	status = start(&ctl, argc, argv);
	arena_free(&ctl.arena);
	arena_thread_done();
	return status;
}
