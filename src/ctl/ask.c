/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* A line without its end; false when there is none. */
static bool
read_line(struct arena *a, FILE *in, struct str *line_r)
{
	char line[2048];
	size_t n;

	if (fgets(line, sizeof(line), in) == NULL)
		return false;
	n = strcspn(line, "\r\n");
	*line_r = str_dup(a, str_mem(line, n));
	explicit_bzero(line, sizeof(line));
	return true;
}

bool
ask_secret(struct arena *a, const char *prompt, struct str *secret_r)
{
	struct termios old, quiet;
	bool ok;

	if (tcgetattr(STDIN_FILENO, &old) < 0)
		return read_line(a, stdin, secret_r);

	/* What was typed before is dropped; what comes is hidden. */
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	fprintf(stderr, "%s: ", prompt);
	fflush(stderr);
	ok = read_line(a, stdin, secret_r);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	fputc('\n', stderr);
	return ok;
}
