/* SPDX-License-Identifier: MIT */
/* What a listener is made of; for the files of net only. */
#ifndef NET_LISTENER_IMPL_H
#define NET_LISTENER_IMPL_H

#include "net/listener.h"
#include "net/loop_impl.h"

#include <pthread.h>

/* A listener's socket on one loop. */
struct sock {
	struct listener *listener;
	const struct listener_config *config; /* its loop's */
	struct loop *loop;
	struct list node;    /* in the loop's `socks`, while it is open */
	struct list pending; /* struct pending: not told of yet */
	struct timer pause;  /* out of files */
	uv_poll_t poll;
	int fd;
	bool is_open;
	bool has_ended;
};

struct listener {
	struct listener_config *config; /* what all loops are to have */
	struct addr addr;		/* in use */
	pthread_mutex_t lock;
	pthread_cond_t told;
	unsigned open;	   /* sockets whose loops still may call `accepted` */
	unsigned changing; /* those whose loops have not taken `config` yet */
	unsigned
	    refs; /* of the sockets' messages and handles, and the owner's */
	bool is_closing;
	struct listener *next; /* of all in the process */
	unsigned count;
	struct sock socks[];
};

/* On its loop: stops, drops those pending. Harmless when it is closed. */
void sock_close(struct sock *s);
/* All of a loop's, at its end. */
void socks_close_all(struct loop *l);

/* pending.c: what stands between accept() and `accepted`. */

/* Takes the conn over; calls `accepted` now, or when it is ready. */
void pending_start(struct sock *s, struct conn *c);
/* Drops all that are not told of. */
void pending_drop_all(struct sock *s);

#endif
