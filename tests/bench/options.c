/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct options opt = {
	.host = "127.0.0.1",
	.domain = "localhost",
	.pass = "pass",
	.prefix = "u",
	.resource = "load",
	.server = "?",
	.version = "?",
	.note = "",
	.ready = "presence",
	.port = 5222,
	.users = 100,
	.at_once = 64,
	.window = 4,
	.body = 100,
	.rooms = 20,
	.occupants = 50,
	.joins = 64,
	.page = 50,
	.sources = 4,
	.seconds = 10,
	.warm_up = 2,
	.settle = 1,
	.patience = 600,
};

static const struct mode *const modes[] = { &mode_register, &mode_login,
	&mode_chat, &mode_presence, &mode_muc, &mode_mam };

enum kind { TEXT, WHOLE, REAL, FLAG, PIDS };

static const struct row {
	const char *name;
	char letter;
	enum kind kind;
	void *target;
	const char *help;
} rows[] = {
	{ "host", 0, TEXT, &opt.host, "A: where, of 127.0.0.0/8" },
	{ "port", 0, WHOLE, &opt.port, "P" },
	{ "domain", 0, TEXT, &opt.domain, "D: of the accounts" },
	{ "muc-domain", 0, TEXT, &opt.muc, "D: conference.DOMAIN" },
	{ "users", 'n', WHOLE, &opt.users, "N: how many" },
	{ "first", 0, WHOLE, &opt.first, "I: accounts u I, u I+1..." },
	{ "prefix", 0, TEXT, &opt.prefix, "u" },
	{ "pass", 0, TEXT, &opt.pass, "PASSWORD: of all" },
	{ "resource", 0, TEXT, &opt.resource, "R" },
	{ "at-once", 'c', WHOLE, &opt.at_once, "C: logins at a time" },
	{ "sources", 0, WHOLE, &opt.sources, "K: from 127.0.0.1 to .K" },
	{ "tls", 0, FLAG, &opt.starttls, "use STARTTLS" },
	{ "direct-tls", 0, FLAG, &opt.direct_tls, "TLS from the first byte" },
	{ "mech", 0, TEXT, &opt.mechanism, "PLAIN, SCRAM-SHA-1 or -256" },
	{ "scram-cache", 0, TEXT, &opt.cache, "FILE: of salted passwords" },
	{ "ready", 0, TEXT, &opt.ready, "presence, roster or bind" },
	{ "sm", 0, FLAG, &opt.sm, "use XEP-0198" },
	{ "pid", 0, PIDS, NULL, "P,P..: of the server's processes" },
	{ "hold", 0, REAL, &opt.hold, "S: seconds idle, after the logins" },
	{ "settle", 0, REAL, &opt.settle, "S: seconds before measuring" },
	{ "seconds", 'd', REAL, &opt.seconds, "S: measured" },
	{ "warm-up", 'W', REAL, &opt.warm_up, "S" },
	{ "window", 'w', WHOLE, &opt.window, "W: under way, a pair or room" },
	{ "body", 'b', WHOLE, &opt.body, "B: bytes of text" },
	{ "bare", 0, FLAG, &opt.bare, "send to bare JIDs" },
	{ "talkers", 0, WHOLE, &opt.talkers, "N: others are silent" },
	{ "rate", 0, REAL, &opt.rate, "R: a second in all; no windows" },
	{ "rooms", 0, WHOLE, &opt.rooms, "R" },
	{ "occupants", 0, WHOLE, &opt.occupants, "K: of each room" },
	{ "quiet", 0, FLAG, &opt.quiet, "only moderators' presence is told" },
	{ "joins", 0, WHOLE, &opt.joins, "J: at a time" },
	{ "page", 0, WHOLE, &opt.page, "N: messages of an archive" },
	{ "oldest", 0, FLAG, &opt.oldest, "the first page, not the last" },
	{ "patience", 0, REAL, &opt.patience, "S: then give up" },
	{ "name", 0, TEXT, &opt.server, "NAME: label of the figures" },
	{ "version", 0, TEXT, &opt.version, "VERSION" },
	{ "note", 0, TEXT, &opt.note, "TEXT" },
};

#define ROWS ARRAY_LEN(rows)

void
note(const char *fmt, ...)
{
	va_list ap;

	fputs("load: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void
die(const char *fmt, ...)
{
	va_list ap;

	fputs("load: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static _Noreturn void
usage(void)
{
	fputs("usage: load MODE [OPTION...]\nmodes:", stderr);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		fprintf(stderr, " %s", modes[i]->name);
	fputc('\n', stderr);
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];

		fprintf(stderr, "  --%-12s", r->name);
		if (r->letter != 0)
			fprintf(stderr, " -%c ", r->letter);
		else
			fputs("    ", stderr);
		fprintf(stderr, " %s\n", r->help);
	}
	exit(2);
}

static void
pids_read(const char *text)
{
	const char *s = text;

	for (;;) {
		char *end;
		long pid = strtol(s, &end, 10);

		if (end == s || pid <= 0 || opt.pid_count == PIDS_MAX)
			die("--pid %s: not a list of processes", text);
		opt.pids[opt.pid_count++] = (int)pid;
		if (*end == '\0')
			return;
		s = end + 1;
	}
}

static void
row_read(const struct row *r, const char *text)
{
	char *end = NULL;

	switch (r->kind) {
	case TEXT:
		*(const char **)r->target = text;
		return;
	case FLAG:
		*(bool *)r->target = true;
		return;
	case PIDS:
		pids_read(text);
		return;
	case WHOLE:
		*(int *)r->target = (int)strtol(text, &end, 10);
		break;
	case REAL:
		*(double *)r->target = strtod(text, &end);
		break;
	}
	if (end == text || *end != '\0')
		die("--%s %s: not a number", r->name, text);
}

static void
arguments_read(int argc, char **argv)
{
	struct option longs[ROWS + 1] = { 0 };
	char shorts[ROWS * 2 + 1] = "", *s = shorts;
	int got;

	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];

		longs[i].name = r->name;
		longs[i].has_arg =
		    r->kind == FLAG ? no_argument : required_argument;
		longs[i].val = 256 + (int)i;
		if (r->letter != 0) {
			*s++ = r->letter;
			*s++ = ':';
		}
	}
	*s = '\0';
	while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct row *r = NULL;

		for (size_t i = 0; i < ROWS; i++)
			if (got == 256 + (int)i || got == rows[i].letter)
				r = &rows[i];
		if (r == NULL || got == 0)
			usage();
		row_read(r, optarg);
	}
	if (optind != argc)
		usage();
}

void
options_read(int argc, char **argv)
{
	static char muc[300];
	struct in_addr in;

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(modes); i++)
		if (strcmp(argv[1], modes[i]->name) == 0)
			opt.mode = modes[i];
	if (opt.mode == NULL)
		usage();
	arguments_read(argc - 1, argv + 1);

	snprintf(muc, sizeof(muc), "conference.%s", opt.domain);
	if (opt.muc == NULL)
		opt.muc = muc;
	/* It is not made to be let loose on other machines. */
	if (inet_pton(AF_INET, opt.host, &in) != 1 ||
	    ntohl(in.s_addr) >> 24 != 127)
		die("--host %s: not in 127.0.0.0/8", opt.host);
	if (opt.mode->prepare != NULL)
		opt.mode->prepare();
	if (opt.users < 1 || opt.users > USERS_MAX)
		die("from 1 to %d users, not %d", USERS_MAX, opt.users);
	if (opt.at_once < 1 || opt.window < 1 || opt.window > 4096 ||
	    opt.body < 0 || opt.sources < 1 || opt.seconds <= 0)
		die("an option is out of range");
	if (opt.talkers <= 0 || opt.talkers > opt.users)
		opt.talkers = opt.users;
}
