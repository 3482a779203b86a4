/* SPDX-License-Identifier: MIT */
#include "limits.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* As long as the messages of the load generator, once they have a `from`. */
#define MESSAGE 236
#define BATCH_MAX 64

static void
fd_watch(int ep, int fd, int i)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
	int one = 1;

	must(fd >= 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	must(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}

/* Connections come in pairs: what is read from one goes to the other. */
static void
relay_serve(int listener, int count)
{
	static char text[65536];
	int ep = epoll_create1(0), live = count;
	int *fds = xmalloc((size_t)count * sizeof(*fds));
	struct epoll_event events[256];

	for (int i = 0; i < count; i++) {
		fds[i] = accept4(listener, NULL, NULL, 0);
		fd_watch(ep, fds[i], i);
	}
	while (live > 0) {
		int n = epoll_wait(ep, events, ARRAY_LEN(events), 30000);

		if (n <= 0)
			break;
		for (int j = 0; j < n; j++) {
			int i = (int)events[j].data.u32;
			ssize_t got = recv(fds[i], text, sizeof(text), 0);

			if (got > 0) {
				send(fds[i ^ 1], text, (size_t)got,
				    MSG_NOSIGNAL);
				continue;
			}
			epoll_ctl(ep, EPOLL_CTL_DEL, fds[i], NULL);
			live--;
		}
	}
	_exit(0);
}

static double
child_cpu(pid_t child)
{
	clockid_t clock;
	struct timespec t = { 0 };

	must(clock_getcpuclockid(child, &clock) == 0);
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct peers {
	int ep, count;
	int *fds;
	size_t *part; /* bytes of a message that is not complete */
};

static void
messages_send(struct peers *p, int i, size_t n)
{
	static char text[MESSAGE * BATCH_MAX];

	if (n > 0)
		must(send(p->fds[i], text, MESSAGE * MIN(n, BATCH_MAX),
			 MSG_NOSIGNAL) > 0);
}

/* Answers each message by one; how many there were. */
static uint64_t
peers_turn(struct peers *p)
{
	static char text[65536];
	struct epoll_event events[256];
	int n = epoll_wait(p->ep, events, ARRAY_LEN(events), 1000);
	uint64_t messages = 0;

	for (int j = 0; j < n; j++) {
		int i = (int)events[j].data.u32;
		ssize_t got = recv(p->fds[i], text, sizeof(text), 0);
		size_t whole;

		if (got <= 0)
			continue;
		p->part[i] += (size_t)got;
		whole = p->part[i] / MESSAGE;
		p->part[i] %= MESSAGE;
		messages += whole;
		messages_send(p, i, whole);
	}
	return messages;
}

static void
peers_connect(struct peers *p, const struct sockaddr_in *to)
{
	for (int i = 0; i < p->count; i++) {
		p->fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		must(p->fds[i] >= 0 &&
		     connect(p->fds[i], (const struct sockaddr *)to,
			 sizeof(*to)) == 0);
		fd_watch(p->ep, p->fds[i], i);
	}
}

static void
relay_measure(struct peers *p, pid_t child, int window, double seconds)
{
	double start = now(), cpu = 0, from = 0;
	uint64_t messages = 0;
	char what[100];

	for (int i = 0; i < p->count; i++)
		messages_send(p, i, (size_t)(window + 1 - (i & 1)) / 2);
	while (from == 0 || now() < from + seconds) {
		messages += peers_turn(p);
		if (from == 0 && now() > start + MIN(seconds, 1)) {
			from = now();
			cpu = child_cpu(child);
			messages = 0;
		}
	}
	cpu = child_cpu(child) - cpu;
	must(messages > 0);
	snprintf(what, sizeof(what), "relay, %d pairs, window %d, a message",
	    p->count / 2, window);
	limits_say(what, cpu / (double)messages * 1e6, "us");
}

void
limits_relay(int pairs, int window, double seconds)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct peers p = { .ep = epoll_create1(0), .count = pairs * 2 };
	pid_t child;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(listener, (struct sockaddr *)&a, len) == 0 &&
	     listen(listener, 1024) == 0 &&
	     getsockname(listener, (struct sockaddr *)&a, &len) == 0);
	child = fork();
	if (child == 0)
		relay_serve(listener, p.count);
	p.fds = xmalloc((size_t)p.count * sizeof(*p.fds));
	p.part = xzalloc((size_t)p.count * sizeof(*p.part));
	peers_connect(&p, &a);
	relay_measure(&p, child, window, seconds);
	for (int i = 0; i < p.count; i++)
		close(p.fds[i]);
	close(p.ep);
	close(listener);
	waitpid(child, NULL, 0);
	xfree(p.fds);
	xfree(p.part);
}
