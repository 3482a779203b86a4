/* SPDX-License-Identifier: MIT */
#include "net/mailbox.h"

/* Nodes kept by each thread; they wander with the messages. */
#define SPARES_MAX 512

static _Thread_local struct mail *spares;
static _Thread_local unsigned spare_count;

static struct mail *
mail_new(void (*fn)(void *), void *msg)
{
	struct mail *mail = spares;

	if (mail != NULL) {
		spares = mail->next;
		spare_count--;
	} else {
		mail = (struct mail *)xmalloc(sizeof(*mail));
	}
	*mail = (struct mail){ NULL, fn, msg };
	return mail;
}

/* Frees the node first: what it runs may well need one. */
static void
mail_run(struct mail *mail)
{
	struct mail m = *mail;

	if (spare_count < SPARES_MAX) {
		mail->next = spares;
		spares = mail;
		spare_count++;
	} else {
		xfree(mail);
	}
	m.fn(m.msg);
}

void
mailbox_thread_done(void)
{
	while (spares != NULL) {
		struct mail *next = spares->next;

		xfree(spares);
		spares = next;
	}
	spare_count = 0;
}

void
mailbox_init(struct mailbox *m)
{
	atomic_init(&m->head, NULL);
	atomic_init(&m->count, 0);
	atomic_init(&m->is_congested, false);
	m->ready = m->self = NULL;
	m->self_end = &m->self;
}

bool
mailbox_push(
    struct mailbox *m, void (*fn)(void *), void *msg, bool *congested_r)
{
	struct mail *mail = mail_new(fn, msg), *old;
	unsigned count =
	    atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed) + 1;

	*congested_r =
	    count > MAILBOX_HIGH &&
	    !atomic_load_explicit(&m->is_congested, memory_order_relaxed) &&
	    !atomic_exchange(&m->is_congested, true);
	old = atomic_load_explicit(&m->head, memory_order_relaxed);
	do {
		mail->next = old;
	} while (!atomic_compare_exchange_weak_explicit(
	    &m->head, &old, mail, memory_order_release, memory_order_relaxed));
	return old == NULL;
}

void
mailbox_push_self(struct mailbox *m, void (*fn)(void *), void *msg)
{
	struct mail *mail = mail_new(fn, msg);

	*m->self_end = mail;
	m->self_end = &mail->next;
}

/* Takes what the senders have pushed, and turns it over. */
static struct mail *
mailbox_take(struct mailbox *m)
{
	struct mail *mail, *ready = NULL;

	if (atomic_load_explicit(&m->head, memory_order_relaxed) == NULL)
		return NULL;
	mail = atomic_exchange_explicit(&m->head, NULL, memory_order_acquire);
	while (mail != NULL) {
		struct mail *next = mail->next;

		mail->next = ready;
		ready = mail;
		mail = next;
	}
	return ready;
}

bool
mailbox_run(struct mailbox *m, unsigned max, bool *eased_r)
{
	unsigned n, count;

	for (n = 0; n < max; n++) {
		struct mail *mail = m->ready;

		if (mail == NULL)
			mail = mailbox_take(m);
		if (mail == NULL)
			break;
		m->ready = mail->next;
		mail_run(mail);
	}
	count = atomic_fetch_sub_explicit(&m->count, n, memory_order_relaxed);
	*eased_r =
	    count - n < MAILBOX_LOW &&
	    atomic_load_explicit(&m->is_congested, memory_order_relaxed) &&
	    atomic_exchange(&m->is_congested, false);
	return n == max;
}

bool
mailbox_run_self(struct mailbox *m)
{
	struct mail *mail = m->self;
	bool any = mail != NULL;

	m->self = NULL;
	m->self_end = &m->self;
	while (mail != NULL) {
		struct mail *next = mail->next;

		mail_run(mail);
		mail = next;
	}
	return any;
}

bool
mailbox_is_empty(struct mailbox *m)
{
	return m->ready == NULL && m->self == NULL &&
	       atomic_load_explicit(&m->head, memory_order_acquire) == NULL;
}
