/* SPDX-License-Identifier: MIT */
/* rookeryd: arguments, start, run, stop. */
#include "base/log.h"
#include "core/commands.h"
#include "core/copy_store.h"
#include "core/daemon.h"
#include "core/manual.h"
#include "http/http.h"

#include <stdio.h>
#include <string.h>

enum action {
	ACTION_RUN,
	ACTION_CHECK_CONFIG,
	ACTION_COPY_STORE,
	ACTION_VERSION,
	ACTION_HELP,
	ACTION_MAN_OPTIONS,
	ACTION_MAN_COMMANDS,
	ACTION_USAGE, /* the arguments are wrong */
};

/* Whose database to copy to. */
static const char *copy_to;

static const char usage[] = "usage: rookeryd [-c FILE] [--check-config]\n"
			    "       rookeryd [-c FILE] --copy-store-to FILE\n"
			    "       rookeryd --version\n";

static enum action
switch_find(const char *arg)
{
	static const struct {
		const char *name;
		enum action action;
	} switches[] = {
		{ "--check-config", ACTION_CHECK_CONFIG },
		{ "--version", ACTION_VERSION },
		{ "--help", ACTION_HELP },
		{ "-h", ACTION_HELP },
		{ "--man-options", ACTION_MAN_OPTIONS },
		{ "--man-commands", ACTION_MAN_COMMANDS },
	};

	for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
		if (strcmp(arg, switches[i].name) == 0)
			return switches[i].action;
	}
	return ACTION_USAGE;
}

static enum action
args_read(int argc, char **argv, struct daemon_args *args)
{
	enum action action = ACTION_RUN;

	args->argv = argv;
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "-c", 2) == 0) {
			if (argv[i][2] == '\0' && i + 1 == argc)
				return ACTION_USAGE;
			args->conf_path =
			    argv[i][2] != '\0' ? argv[i] + 2 : argv[++i];
			continue;
		}
		if (strcmp(argv[i], "--copy-store-to") == 0) {
			if (++i == argc)
				return ACTION_USAGE;
			copy_to = argv[i];
			action = ACTION_COPY_STORE;
			continue;
		}
		action = switch_find(argv[i]);
		if (action == ACTION_USAGE)
			return action;
	}
	return action;
}

/* The admin socket opens when there is something behind it. */
static int
serve(const struct daemon_args *args)
{
	struct arena *a;
	const char *why = NULL;
	int err;

	daemon_set_http(http_accept);
	if (daemon_start(args) < 0)
		return 1;
	a = arena_new(0);
	err = http_open(a, daemon_socket_path(), &why);
	if (err < 0) {
		fprintf(stderr, "rookeryd: %s\n", why);
	} else {
		daemon_ready();
		daemon_run();
		http_close();
	}
	arena_free(&a);
	return err < 0 ? (daemon_end(), 1) : daemon_end();
}

int
main(int argc, char **argv)
{
	struct daemon_args args = { 0 };

	switch (args_read(argc, argv, &args)) {
	case ACTION_RUN:
		return serve(&args);
	case ACTION_CHECK_CONFIG:
		return daemon_check(args.conf_path);
	case ACTION_COPY_STORE:
		return copy_store(args.conf_path, copy_to);
	case ACTION_VERSION:
		printf("rookeryd %s\n", daemon_version());
		return 0;
	case ACTION_HELP:
		fputs(usage, stdout);
		return 0;
	case ACTION_MAN_OPTIONS:
		manual_print_options();
		return 0;
	case ACTION_MAN_COMMANDS:
		commands_manual(stdout);
		return 0;
	case ACTION_USAGE:
		break;
	}
	fputs(usage, stderr);
	return 2;
}
