/* SPDX-License-Identifier: MIT */
/* sd_notify(3)'s protocol: a datagram to the socket in $NOTIFY_SOCKET. */
#include "core/daemon_impl.h"

#include "base/clock.h"
#include "net/loop.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void
notify_systemd(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = path != NULL ? strlen(path) : 0;
	socklen_t len;
	int fd;

	if (n < 2 || n >= sizeof(un.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0';
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		(const struct sockaddr *)&un, len) < 0)
		log_notice(&log_daemon, "cannot tell systemd '%s'", state);
	close(fd);
}

/* ---- the watchdog ---- */

static struct {
	uint64_t every, next; /* ms; 0: nobody watches */
	unsigned left;	      /* atomic: loops that have not answered yet */
} watch;

static void
on_watch(void *msg)
{
	__atomic_sub_fetch(&watch.left, 1, __ATOMIC_RELEASE);
}

static void
watch_ask(void)
{
	__atomic_store_n(&watch.left, loop_count(), __ATOMIC_RELAXED);
	for (unsigned i = 0; i < loop_count(); i++)
		loop_post(loop_at(i), on_watch, NULL);
	watch.next = clock_mono() + watch.every;
}

void
watchdog_start(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (usec == NULL ||
	    (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()))
		return;
	/* Three times in the time that there is. */
	watch.every = strtoull(usec, NULL, 10) / 3000;
	if (watch.every > 0)
		watch_ask();
}

int
watchdog_feed(void)
{
	uint64_t now = clock_mono();

	if (watch.every == 0)
		return -1;
	if (now >= watch.next) {
		if (__atomic_load_n(&watch.left, __ATOMIC_ACQUIRE) == 0) {
			notify_systemd("WATCHDOG=1");
			watch_ask();
		} else {
			watch.next = now + watch.every;
		}
	}
	return watch.every < INT_MAX ? (int)(watch.next - now) : INT_MAX;
}
