/* SPDX-License-Identifier: MIT */
/*
 * The turn, over libuv's phases: timers, poll (sockets and the mailbox, whose
 * bell is a uv_async_t), check (end of the turn), closed handles, and prepare
 * (end of the turn once more, for what timers and closed handles made).
 */
#include "net/loop.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/conn_impl.h"
#include "net/listener_impl.h"
#include "net/loop_impl.h"

#include <signal.h>
#include <stdio.h>

/* Messages run before sockets have their turn again. */
#define MAIL_BATCH 1024
/* Rounds of deferred work that makes more of itself, in one turn. */
#define DEFER_ROUNDS 32
/* Rounds (of a millisecond, mostly) that ending may take. */
#define END_ROUNDS 10000

static struct loop **loops;
static unsigned loops_count;
static atomic_bool is_running;
static atomic_uint congested_count;
static pthread_barrier_t ending;
static void (*on_started)(struct loop *l);

static _Thread_local struct loop *self;

struct loop *
loop_self(void)
{
	return self;
}

unsigned
loop_index(const struct loop *l)
{
	return l->index;
}

unsigned
loop_count(void)
{
	return loops_count;
}

struct loop *
loop_at(unsigned index)
{
	must(index < loops_count);
	return loops[index];
}

void *
loop_uv(struct loop *l)
{
	return &l->uv;
}

bool
loops_are_running(void)
{
	return atomic_load(&is_running);
}

uint64_t
loop_now(void)
{
	if (self == NULL)
		return clock_mono();
	if (self->now == 0)
		self->now = clock_mono();
	return self->now;
}

/* Messages ----------------------------------------------------------------- */

bool
loop_is_congested(const struct loop *l)
{
	return atomic_load_explicit(
	    &l->mail.is_congested, memory_order_relaxed);
}

bool
loops_are_congested(void)
{
	return atomic_load_explicit(&congested_count, memory_order_acquire) > 0;
}

void
loop_post(struct loop *to, void (*fn)(void *msg), void *msg)
{
	bool congested;

	if (to == self) {
		mailbox_push_self(&to->mail, fn, msg);
		return;
	}
	if (mailbox_push(&to->mail, fn, msg, &congested))
		uv_async_send(&to->wake);
	if (congested)
		atomic_fetch_add(&congested_count, 1);
}

/* All loops look at their stalled connections. */
static void
congestion_eased(void)
{
	if (atomic_fetch_sub(&congested_count, 1) != 1)
		return;
	for (unsigned i = 0; i < loops_count; i++)
		uv_async_send(&loops[i]->wake);
}

void
loop_strain(void)
{
	atomic_fetch_add(&congested_count, 1);
}

void
loop_relieve(void)
{
	congestion_eased();
}

static bool
mail_run(struct loop *l)
{
	bool eased, more = mailbox_run(&l->mail, MAIL_BATCH, &eased);

	if (eased)
		congestion_eased();
	return more;
}

static void
on_wake(uv_async_t *wake)
{
	struct loop *l = (struct loop *)wake->data;

	if (mail_run(l))
		uv_async_send(&l->wake);
	if (!list_is_empty(&l->stalled) && !loops_are_congested())
		conns_unstall(l);
	if (atomic_load(&l->is_stopping))
		uv_stop(&l->uv);
}

/* The end of the turn ------------------------------------------------------ */

void
loop_defer(struct deferred *d, void (*fn)(struct deferred *d))
{
	must(self != NULL);
	if (list_is_linked(&d->node))
		return;
	d->fn = fn;
	list_add(&self->deferred, &d->node);
}

void
loop_undefer(struct deferred *d)
{
	list_del(&d->node);
}

static void
deferred_run(struct loop *l)
{
	struct list now;
	struct deferred *d;

	list_init(&now);
	list_splice(&now, &l->deferred);
	while ((d = LIST_FIRST(&now, struct deferred, node)) != NULL) {
		list_del(&d->node);
		d->fn(d);
	}
}

static bool
turn_has_more(const struct loop *l)
{
	return l->mail.self != NULL || !list_is_empty(&l->deferred);
}

/* Own messages first: what they send then leaves in the same flush. */
static void
turn_end(struct loop *l)
{
	for (int i = 0; i < DEFER_ROUNDS && turn_has_more(l); i++) {
		if (!mailbox_run_self(&l->mail))
			deferred_run(l);
	}
	if (turn_has_more(l))
		uv_async_send(&l->wake);
}

static void
on_check(uv_check_t *check)
{
	turn_end((struct loop *)check->data);
}

static void
on_prepare(uv_prepare_t *prepare)
{
	struct loop *l = (struct loop *)prepare->data;

	turn_end(l);
	timers_arm(l);
	l->now = 0;
}

/* Work that may block ------------------------------------------------------ */

struct loop_job {
	uv_work_t req;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void
on_work(uv_work_t *req)
{
	struct loop_job *job = CONTAINER_OF(req, struct loop_job, req);

	job->work(job->arg);
}

static void
on_worked(uv_work_t *req, int status)
{
	struct loop_job *job = CONTAINER_OF(req, struct loop_job, req);

	job->done(job->arg);
	xfree(job);
}

void
loop_work(void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct loop_job *job = (struct loop_job *)xzalloc(sizeof(*job));

	must(self != NULL);
	job->work = work;
	job->done = done;
	job->arg = arg;
	must(uv_queue_work(&self->uv, &job->req, on_work, on_worked) == 0);
}

/* Threads ------------------------------------------------------------------ */

static struct loop *
loop_new(unsigned index)
{
	struct loop *l = (struct loop *)xzalloc(sizeof(*l));

	l->index = index;
	mailbox_init(&l->mail);
	list_init(&l->deferred);
	list_init(&l->conns);
	list_init(&l->stalled);
	list_init(&l->socks);
	atomic_init(&l->is_stopping, false);

	must(uv_loop_init(&l->uv) == 0);
	must(uv_async_init(&l->uv, &l->wake, on_wake) == 0);
	uv_check_init(&l->uv, &l->check);
	uv_prepare_init(&l->uv, &l->prepare);
	l->wake.data = l->check.data = l->prepare.data = l;
	timers_init(l);
	uv_check_start(&l->check, on_check);
	uv_prepare_start(&l->prepare, on_prepare);
	return l;
}

void
loops_new(unsigned count)
{
	must(loops == NULL && count > 0);
	loops = (struct loop **)xmalloc(count * sizeof(struct loop *));
	for (unsigned i = 0; i < count; i++)
		loops[i] = loop_new(i);
	loops_count = count;
}

/* One round of a loop that ends; its own work is done when it is quiet. */
static void
end_round(struct loop *l)
{
	socks_close_all(l);
	conn_abort_all();
	while (mail_run(l))
		;
	turn_end(l);
	uv_run(&l->uv, UV_RUN_NOWAIT);
}

static bool
loop_is_quiet(struct loop *l)
{
	return mailbox_is_empty(&l->mail) && !turn_has_more(l) &&
	       list_is_empty(&l->conns) && list_is_empty(&l->stalled) &&
	       list_is_empty(&l->socks) && l->uv.active_reqs.count == 0;
}

static bool
loops_are_quiet(void)
{
	for (unsigned i = 0; i < loops_count; i++)
		if (!loops[i]->is_quiet)
			return false;
	return true;
}

/*
 * A loop may get messages, or a connection that moves to it, until the last
 * one has nothing left to do. So all go on together, round by round.
 */
static void
loop_end(struct loop *l)
{
	bool done = false;

	for (int i = 0; i < END_ROUNDS && !done; i++) {
		end_round(l);
		pthread_barrier_wait(&ending);
		l->is_quiet = loop_is_quiet(l);
		pthread_barrier_wait(&ending);
		done = loops_are_quiet();
		if (!done && i > 8)
			uv_sleep(1);
		pthread_barrier_wait(&ending);
	}
	if (!done)
		log_warn(NULL, "loop %u ended with work left", l->index);
	conns_thread_done(l);
	mailbox_thread_done();
	arena_thread_done();
}

static void *
loop_main(void *arg)
{
	struct loop *l = (struct loop *)arg;
	char name[16];

	self = l;
	snprintf(name, sizeof(name), "worker-%u", l->index);
	pthread_setname_np(pthread_self(), name);
	if (on_started != NULL)
		on_started(l);
	if (!atomic_load(&l->is_stopping))
		uv_run(&l->uv, UV_RUN_DEFAULT);
	loop_end(l);
	return NULL;
}

/* Signals are for the main thread. */
void
loops_run(void (*started)(struct loop *l))
{
	sigset_t all, old;

	must(loops != NULL && !atomic_load(&is_running));
	on_started = started;
	atomic_store(&is_running, true);
	must(pthread_barrier_init(&ending, NULL, loops_count) == 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < loops_count; i++)
		must(pthread_create(
			 &loops[i]->thread, NULL, loop_main, loops[i]) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void
loops_stop(void)
{
	must(self == NULL);
	if (!atomic_load(&is_running))
		return;
	for (unsigned i = 0; i < loops_count; i++) {
		atomic_store(&loops[i]->is_stopping, true);
		uv_async_send(&loops[i]->wake);
	}
	for (unsigned i = 0; i < loops_count; i++)
		pthread_join(loops[i]->thread, NULL);
	pthread_barrier_destroy(&ending);
	atomic_store(&is_running, false);
}

static void
loop_free(struct loop *l)
{
	uv_close((uv_handle_t *)&l->wake, NULL);
	uv_close((uv_handle_t *)&l->check, NULL);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->clock, NULL);
	for (int i = 0; i < 100 && uv_run(&l->uv, UV_RUN_NOWAIT) != 0; i++)
		;
	if (uv_loop_close(&l->uv) != 0)
		log_warn(NULL, "loop %u has handles left open", l->index);
	timers_fini(l);
	xfree(l);
}

/*
 * What was posted after the end runs here, once and for all, so that
 * nothing is lost; the loops' own world is gone by then.
 */
void
loops_free(void)
{
	must(!atomic_load(&is_running));
	for (unsigned i = 0; i < loops_count; i++) {
		self = loops[i];
		end_round(loops[i]);
		end_round(loops[i]);
		conns_thread_done(loops[i]);
	}
	self = NULL;
	mailbox_thread_done();
	for (unsigned i = 0; i < loops_count; i++)
		loop_free(loops[i]);
	xfree(loops);
	loops = NULL;
	loops_count = 0;
}
