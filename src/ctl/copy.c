/* SPDX-License-Identifier: MIT */
/* The one command that needs the server to be stopped: rookeryd does it. */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where this program is, from the last slash on replaced by `rest`. */
static void
try_beside(char *const *argv, const char *rest)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	char *slash;

	if (n <= 0)
		return;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL)
		return;
	snprintf(slash + 1, 64, "%s", rest);
	execv(path, argv);
}

int
copy_exec(const char *conf, const char *target)
{
	const char *argv[6] = { "rookeryd" };
	size_t n = 1;

	if (conf != NULL) {
		argv[n++] = "-c";
		argv[n++] = conf;
	}
	argv[n++] = "--copy-store-to";
	argv[n++] = target;
	try_beside((char *const *)(uintptr_t)argv, "rookeryd");
	try_beside((char *const *)(uintptr_t)argv, "../sbin/rookeryd");
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	return -errno;
}
