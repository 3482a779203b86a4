/* SPDX-License-Identifier: MIT */
/* What is posted to the main thread. */
#include "core/daemon.h"
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct post {
	struct post *next;
	void (*fn)(void *msg);
	void *msg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct post *first, **last = &first;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int fd = -1;

static void
fd_open(void)
{
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(fd >= 0);
}

int
main_fd(void)
{
	pthread_once(&once, fd_open);
	return fd;
}

void
main_wake(void)
{
	uint64_t one = 1;

	/* Full is as good as written: then it is readable already. */
	while (write(main_fd(), &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void
main_post(void (*fn)(void *msg), void *msg)
{
	struct post *p = (struct post *)xmalloc(sizeof(*p));

	*p = (struct post){ NULL, fn, msg };
	pthread_mutex_lock(&lock);
	*last = p;
	last = &p->next;
	pthread_mutex_unlock(&lock);
	main_wake();
}

static struct post *
posts_take(void)
{
	struct post *p;

	pthread_mutex_lock(&lock);
	p = first;
	first = NULL;
	last = &first;
	pthread_mutex_unlock(&lock);
	return p;
}

void
main_run(void)
{
	struct post *p, *next;
	uint64_t count;

	while (read(main_fd(), &count, sizeof(count)) < 0 && errno == EINTR)
		;
	for (p = posts_take(); p != NULL; p = next) {
		next = p->next;
		p->fn(p->msg);
		xfree(p);
	}
}

/* ---- calls ---- */

struct call {
	void (*fn)(void *arg);
	void *arg;
	unsigned left;
	pthread_mutex_t lock;
	pthread_cond_t done;
};

static void
on_call(void *msg)
{
	struct call *c = (struct call *)msg;

	c->fn(c->arg);
	pthread_mutex_lock(&c->lock);
	if (--c->left == 0)
		pthread_cond_signal(&c->done);
	pthread_mutex_unlock(&c->lock);
}

void
loops_call(void (*fn)(void *arg), void *arg)
{
	struct call c = { fn, arg, loop_count(), PTHREAD_MUTEX_INITIALIZER,
		PTHREAD_COND_INITIALIZER };

	must(loop_self() == NULL);
	for (unsigned i = 0; i < loop_count(); i++)
		loop_post(loop_at(i), on_call, &c);
	pthread_mutex_lock(&c.lock);
	while (c.left > 0)
		pthread_cond_wait(&c.done, &c.lock);
	pthread_mutex_unlock(&c.lock);
	pthread_cond_destroy(&c.done);
	pthread_mutex_destroy(&c.lock);
}
