/* SPDX-License-Identifier: MIT */
#include "core/account.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "core/account_impl.h"
#include "core/auth_backend.h"
#include "core/client.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/roster_impl.h"
#include "core/spool.h"
#include "store/store.h"

/* An account that nobody needs is dropped after this time... */
#define IDLE_MS SECONDS(60)
/* ...or when a worker has more of them than this. */
#define IDLE_MAX 20000
#define SWEEP_MS SECONDS(5)

struct loader {
	struct list node;
	account_fn *found;
	void *ctx;
};

/* Those of the calling worker, whatever their state. */
static _Thread_local struct {
	struct map map;
	struct list idle; /* the longest idle first */
	size_t idle_count;
	struct timer sweep;
} here;

struct loop *
account_home(struct str bare)
{
	unsigned count = loop_count();

	return loop_at(count > 1 ? (unsigned)(str_hash(bare) % count) : 0);
}

struct account *
account_lookup(struct str bare)
{
	return map_get(&here.map, bare);
}

static bool
is_there(const struct account *acct)
{
	return acct != NULL && acct->state == ACCOUNT_READY &&
	       !acct->is_deleted;
}

struct account *
account_peek(struct str bare)
{
	struct account *acct = account_lookup(bare);

	return is_there(acct) ? acct : NULL;
}

void
account_each(void (*fn)(void *ctx, struct account *acct), void *ctx)
{
	struct account *acct;

	for (size_t i = 0; (acct = map_next(&here.map, &i)) != NULL;)
		if (is_there(acct))
			fn(ctx, acct);
}

/* The end of an account --------------------------------------------------- */

static void
account_free(struct account *acct)
{
	if (acct->state == ACCOUNT_READY)
		hook_account(HOOK_ACCOUNT_UNLOAD, acct);
	slots_free_account(acct);
	spool_account_unload(acct);
	clients_free(acct);
	roster_free(&acct->roster);
	str_free(&acct->last_status);
	xfree(acct);
}

/* Nothing and nobody needs it. */
static bool
is_idle(const struct account *acct)
{
	return acct->pins == 0 && acct->loads == 0 &&
	       list_is_empty(&acct->sessions) && lane_is_idle(&acct->in) &&
	       lane_is_idle(&acct->out);
}

static void
idle_leave(struct account *acct)
{
	if (!list_is_linked(&acct->idle))
		return;
	list_del(&acct->idle);
	here.idle_count--;
}

static void
account_drop(struct account *acct)
{
	idle_leave(acct);
	if (account_lookup(acct->jid.bare) == acct)
		map_del(&here.map, acct->jid.bare);
	account_free(acct);
}

static void
on_sweep(struct timer *t)
{
	struct account *acct;
	uint64_t now = loop_now();

	while ((acct = LIST_FIRST(&here.idle, struct account, idle)) != NULL) {
		if (!is_idle(acct))
			idle_leave(acct);
		else if (acct->used + IDLE_MS <= now)
			account_drop(acct);
		else
			break;
	}
	if (here.idle_count > 0)
		timer_start(t, SWEEP_MS, on_sweep);
}

/* Makes room: the account that has been idle for the longest goes. */
static void
evict(void)
{
	struct account *acct = LIST_FIRST(&here.idle, struct account, idle);

	if (is_idle(acct))
		account_drop(acct);
	else
		idle_leave(acct);
}

void
accounts_drop_idle(void)
{
	while (here.idle_count > 0)
		evict();
}

void
account_settle(struct account *acct)
{
	bool was_idle = list_is_linked(&acct->idle);

	if (!is_idle(acct)) {
		idle_leave(acct);
		return;
	}
	if (acct->is_deleted) {
		account_drop(acct);
		return;
	}
	if (was_idle)
		list_del(&acct->idle);
	else
		here.idle_count++;
	list_add(&here.idle, &acct->idle);
	acct->used = loop_now();
	if (here.idle_count > IDLE_MAX)
		evict();
	if (!timer_is_running(&here.sweep))
		timer_start(&here.sweep, SWEEP_MS, on_sweep);
}

void
account_pin(struct account *acct)
{
	acct->pins++;
}

void
account_unpin(struct account *acct)
{
	must(acct->pins > 0);
	/* Those with sessions are the usual case, and not idle at all. */
	if (--acct->pins == 0 && list_is_empty(&acct->sessions))
		account_settle(acct);
}

void
account_detach(struct account *acct)
{
	if (account_lookup(acct->jid.bare) == acct)
		map_del(&here.map, acct->jid.bare);
	acct->is_deleted = true;
}

/* Its holder may never come back. */
static void
lane_clear(struct lane *lane)
{
	struct stanza *st;

	hold_end(&lane->hold);
	while ((st = LIST_FIRST(&lane->waiting, struct stanza, node)) != NULL) {
		list_del(&st->node);
		stanza_free(&st);
	}
}

void
accounts_stop(void)
{
	struct account *acct;

	timer_stop(&here.sweep);
	for (size_t i = 0; (acct = map_next(&here.map, &i)) != NULL;) {
		map_del(&here.map, acct->jid.bare);
		lane_clear(&acct->in);
		lane_clear(&acct->out);
		account_free(acct);
	}
	map_fini(&here.map);
	if (here.idle.next != NULL)
		list_init(&here.idle);
	here.idle_count = 0;
}

/* Its beginning ----------------------------------------------------------- */

static void
call_loaders(struct account *acct)
{
	struct account *found = NULL;
	struct loader *l;
	int err = acct->load_err;

	if (err == 0 && is_there(acct))
		found = acct;
	while ((l = LIST_FIRST(&acct->loaders, struct loader, node)) != NULL) {
		list_del(&l->node);
		l->found(l->ctx, err, found);
		xfree(l);
	}
}

/* It is known now what there is, or that this could not be found out. */
static void
loaded(struct account *acct)
{
	account_pin(acct);
	if (acct->load_err < 0) {
		/* So that the next one who asks tries again. */
		account_detach(acct);
		acct->state = ACCOUNT_ABSENT;
		call_loaders(acct);
		lane_refuse(&acct->in, EL_INTERNAL_SERVER_ERROR);
	} else {
		call_loaders(acct);
		lane_drain(&acct->in);
	}
	account_unpin(acct);
}

void
account_load_hold(struct account *acct)
{
	acct->loads++;
}

void
account_load_release(struct account *acct, int err)
{
	must(acct->loads > 0);
	if (err < 0)
		acct->load_err = ERR_STORE;
	if (--acct->loads > 0)
		return;
	if (acct->load_err == 0 && acct->state == ACCOUNT_LOADING)
		acct->state = ACCOUNT_READY;
	loaded(acct);
}

static void on_row(void *ctx, int err, const struct account_row *row);

static void absent(struct account *acct);

static void
on_adopted(void *ctx, int err)
{
	struct account *acct = ctx;

	if (err < 0 && err != ERR_EXISTS)
		account_load_release(acct, err);
	else
		store_account_get(acct->jid.bare, on_row, acct);
}

/* Others may know an account that has never been here. */
static void
on_asked(void *ctx, int err)
{
	struct account *acct = ctx;
	struct account_row row = { .jid = acct->jid.bare };
	struct store_write *w;

	if (err == 0) {
		w = store_write_new(acct->jid.bare);
		row.created = clock_real();
		account_create(w, &row);
		store_commit(&w, on_adopted, acct);
	} else if (err == ERR_ABSENT || err == ERR_UNKNOWN) {
		absent(acct);
	} else {
		account_load_release(acct, err);
	}
}

static void
absent(struct account *acct)
{
	if (acct->is_made) {
		acct->is_made = false;
		store_account_get(acct->jid.bare, on_row, acct);
		return;
	}
	if (!acct->is_asked && auth_has_backends(acct->host)) {
		acct->is_asked = true;
		auth_ask(AUTH_EXISTS, &acct->jid, STR_NONE, on_asked, acct);
		return;
	}
	acct->state = ACCOUNT_ABSENT;
	account_load_release(acct, 0);
}

static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct account *acct = ctx;

	if (err == ERR_ABSENT || (err == 0 && row == NULL)) {
		absent(acct);
		return;
	}
	if (err == 0) {
		acct->is_banned = !str_is_empty(row->ban);
		acct->has_keys = row->key_count > 0;
		roster_load(acct);
		spool_account_load(acct);
		hook_account(HOOK_ACCOUNT_LOAD, acct);
	}
	account_load_release(acct, err);
}

static struct account *
account_new(const struct jid *bare, struct host *host)
{
	struct account *acct = xzalloc(sizeof(*acct) + bare->bare.n);
	char *text = (char *)(acct + 1);

	memcpy(text, bare->bare.p, bare->bare.n);
	acct->jid = jid_of(str_mem(text, bare->bare.n));
	acct->host = host;
	list_init(&acct->sessions);
	list_init(&acct->loaders);
	lane_init(&acct->in, acct, deliver_first);
	lane_init(&acct->out, acct, journey_first);
	if (here.idle.next == NULL)
		list_init(&here.idle);
	map_set(&here.map, acct->jid.bare, acct);
	return acct;
}

struct account *
account_at(const struct jid *to, struct host *host)
{
	struct account *acct = account_lookup(to->bare);

	if (acct == NULL) {
		acct = account_new(to, host);
		acct->loads = 1;
		store_account_get(acct->jid.bare, on_row, acct);
	}
	return acct;
}

void
account_made(const struct jid *bare)
{
	struct account *acct = account_lookup(bare->bare);

	if (acct == NULL)
		return;
	acct->is_made = acct->state == ACCOUNT_LOADING;
	if (acct->state == ACCOUNT_ABSENT) {
		account_detach(acct);
		account_settle(acct);
	}
}

void
account_get(const struct jid *bare, account_fn *found, void *ctx)
{
	struct host *host = host_find(bare->domain);
	struct account *acct;
	struct loader *l;

	if (host == NULL || str_is_none(bare->local)) {
		found(ctx, 0, NULL);
		return;
	}
	must(account_home(bare->bare) == loop_self());
	acct = account_at(bare, host);
	if (acct->state != ACCOUNT_LOADING) {
		found(ctx, 0, is_there(acct) ? acct : NULL);
		return;
	}
	l = xmalloc(sizeof(*l));
	l->found = found;
	l->ctx = ctx;
	list_add(&acct->loaders, &l->node);
}

struct call {
	struct jid bare;
	account_fn *found;
	void *ctx;
	char text[];
};

static void
on_call(void *msg)
{
	struct call *c = msg;

	account_get(&c->bare, c->found, c->ctx);
	xfree(c);
}

void
account_call(const struct jid *bare, account_fn *found, void *ctx)
{
	struct call *c = xmalloc(sizeof(*c) + bare->bare.n);

	memcpy(c->text, bare->bare.p, bare->bare.n);
	c->bare = jid_of(str_mem(c->text, bare->bare.n));
	c->found = found;
	c->ctx = ctx;
	loop_post(account_home(bare->bare), on_call, c);
}

/* Its sessions ------------------------------------------------------------ */

unsigned
account_online_count(const struct account *acct)
{
	struct session *s;
	unsigned n = 0;

	LIST_EACH(s, &acct->sessions, struct session, node)
	n += !s->is_closing && !session_is_detached(s);
	return n;
}

struct session *
account_session(const struct account *acct, struct str resource)
{
	struct session *s;

	LIST_EACH(s, &acct->sessions, struct session, node)
	if (!s->is_closing && str_eq(s->jid.resource, resource))
		return s;
	return NULL;
}

bool
account_is_available(const struct account *acct)
{
	struct session *s;

	LIST_EACH(s, &acct->sessions, struct session, node)
	if (session_is_available(s))
		return true;
	return false;
}
