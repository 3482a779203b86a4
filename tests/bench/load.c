/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

static void
files_allow(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < (rlim_t)opt.users + 20)
		die("%d users need more open files than the %llu allowed",
		    opt.users, (unsigned long long)limit.rlim_cur);
}

static void
leave(void)
{
	for (int i = 0; i < opt.users; i++)
		if (users[i].step == STEP_READY)
			user_send(&users[i], "</stream:stream>", 16);
	users_flush();
	for (int i = 0; i < opt.users; i++)
		if (users[i].step == STEP_READY)
			shutdown(users[i].fd, SHUT_WR);
}

int
main(int argc, char **argv)
{
	options_read(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	files_allow();
	scram_cache_load();
	users_init();
	signin_all();
	opt.mode->run();
	leave();
	return dropped_count > 0;
}
