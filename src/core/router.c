/* SPDX-License-Identifier: MIT */
#include "core/router.h"

#include "core/account_impl.h"
#include "core/component.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/iq_impl.h"

static void (*remote)(struct stanza *st);

void
router_set_remote(void (*send)(struct stanza *st))
{
	remote = send;
}

/* To one of our domains --------------------------------------------------- */

/* Iqs to the host itself that a route holds; any number of them. */
struct host_hold {
	struct hold hold;
	struct host *host;
};

static void run_host_iq(struct host *host, struct stanza *st);

static void
on_host_iq_resumed(struct hold *h, struct stanza *st, enum verdict v)
{
	struct host_hold *held = CONTAINER_OF(h, struct host_hold, hold);

	if (v == STANZA_PASS)
		run_host_iq(held->host, st);
	xfree(held);
}

static void
run_host_iq(struct host *host, struct stanza *st)
{
	struct host_hold *held;

	switch (iq_route_run(host, TO_HOST, st)) {
	case STANZA_PASS:
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
		break;
	case STANZA_HELD:
		held = xzalloc(sizeof(*held));
		held->host = host;
		hold_begin(&held->hold, st, on_host_iq_resumed);
		break;
	case STANZA_DONE:
		break;
	}
}

/* The domain, with a resource or without. */
static void
to_host(struct host *host, struct stanza *st)
{
	if (st->kind == STANZA_IQ) {
		if (st->type & (IQ_RESULT | IQ_ERROR))
			iq_answered(st);
		else if (!jid_is_bare(&st->to))
			stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
		else if (hook_stanza(HOOK_IQ_HOST, host, st) == STANZA_PASS)
			run_host_iq(host, st);
		return;
	}
	/* It sees everybody's presence anyway, and has no use for it. */
	if (st->kind == STANZA_PRESENCE)
		stanza_free(&st);
	else if (hook_stanza(HOOK_HOST_MESSAGE, host, st) == STANZA_PASS)
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
}

/* To accounts and services ------------------------------------------------ */

static void
to_account_here(void *msg)
{
	struct stanza *st = msg;
	struct host *host = host_find(st->to.domain);

	if (host == NULL)
		stanza_refuse(st, EL_ITEM_NOT_FOUND);
	/* Not behind a stanza that waits for just this answer. */
	else if (st->type & (IQ_RESULT | IQ_ERROR) && jid_is_bare(&st->to))
		iq_answered(st);
	else
		lane_put(&account_at(&st->to, host)->in, st);
}

static void
to_service_here(void *msg)
{
	struct stanza *st = msg;
	struct mod *m = service_find(st->to.domain);

	if (st->type & (IQ_RESULT | IQ_ERROR) && iq_is_ours(st))
		iq_answered(st);
	else if (m != NULL)
		service_deliver(m, st);
	else
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
}

static void
go_home(struct stanza *st, void (*here)(void *msg))
{
	struct loop *home = account_home(st->to.bare);

	if (home == loop_self())
		here(st);
	else
		loop_post(home, here, st);
}

bool
router_is_ours(struct str domain)
{
	return host_find(domain) != NULL || service_find(domain) != NULL ||
	       component_has(domain);
}

bool
router_is_remote(struct str domain)
{
	return host_find(domain) == NULL && service_find(domain) == NULL &&
	       !component_has(domain);
}

/* Is this what one of ours would say, but the sender is none of them? */
static bool
is_forged(const struct stanza *st, struct str by)
{
	struct jid jid;

	if (str_is_none(by) || jid_parse(st->arena, by, &jid) < 0 ||
	    !router_is_ours(jid.domain) || jid_eq(&jid, &st->from))
		return false;
	/* A service, a component, may tell what it has noted. */
	return !str_eq(jid.domain, st->from.domain) ||
	       host_find(st->from.domain) != NULL;
}

void
router_strip(struct stanza *st)
{
	struct elem *e = elem_child(st->root, EL_DELAY), *next;

	for (; e != NULL; e = next) {
		next = elem_next(e, EL_DELAY);
		if (is_forged(st, elem_attr(e, AT_FROM)))
			elem_remove(e);
	}
}

void
router_send(struct stanza *st)
{
	struct host *host = host_find(st->to.domain);

	must(!jid_is_none(&st->to));
	if (host != NULL && str_is_none(st->to.local))
		to_host(host, st);
	else if (host != NULL)
		go_home(st, to_account_here);
	else if (service_find(st->to.domain) != NULL)
		go_home(st, to_service_here);
	else if (component_has(st->to.domain))
		component_send(st);
	else if (remote != NULL)
		remote(st);
	else
		stanza_refuse(st, EL_REMOTE_SERVER_NOT_FOUND);
}

void
router_came(struct stanza *st)
{
	router_strip(st);
	router_send(st);
}
