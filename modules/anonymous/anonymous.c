/* SPDX-License-Identifier: MIT */
/*
 * XEP-0175: SASL ANONYMOUS. Each login makes an account with a random name and
 * no keys, which goes, with everything it owns, when its session has ended. A
 * mark is stored with it, by which the next start finds those that a crash has
 * left. Guests are let into rooms and may talk to local users, but keep
 * nothing: see limits.c.
 */
#include "modules/anonymous/anonymous.h"

#define MARKS "guests" /* the store of the host that has them */
#define MARKS_MAX 1000 /* read at a time */
#define HOSTS_MAX 1000
/* Who has logged in and binds nothing in this time has left. */
#define COMING_MS SECONDS(60)
#define LOOK_MS SECONDS(5)

struct state {
	struct list guests; /* of this worker */
	struct addr_rate rate;
};

/* Guests of each host, by its index, on all workers; atomic. */
static unsigned counts[HOSTS_MAX];

static unsigned *
count_of(const struct host *h)
{
	return &counts[h->index % HOSTS_MAX];
}

bool
guest_is(struct mod *m, const struct jid *jid)
{
	const struct account *acct = account_peek(jid->bare);
	const struct guest *g =
	    acct != NULL ? account_slot_peek(acct, m) : NULL;

	return g != NULL && g->mod != NULL;
}

/* ---- their end ---------------------------------------------------------- */

static void on_look(struct timer *t);

static void
mark_drop(const struct jid *jid)
{
	struct store_write *w = store_write_new(jid->domain);

	kv_del(w, jid->domain, STR(MARKS), jid->local);
	store_commit(&w, NULL, NULL);
}

static void
guest_forget(struct guest *g)
{
	struct account *acct = g->account;

	timer_stop(&g->timer);
	list_del(&g->node);
	__atomic_sub_fetch(count_of(acct->host), 1, __ATOMIC_RELAXED);
	g->mod = NULL;
	/* Its slot, which this is in, may go with it. */
	account_unpin(acct);
}

/* It may outlast the guest's slot, which goes when the module stops. */
struct removal {
	struct mod *mod;	 /* held */
	struct account *account; /* pinned */
};

static void
on_removed(void *ctx, int err)
{
	struct removal *r = ctx;
	struct guest *g = account_slot_peek(r->account, r->mod);
	bool is_gone = err == 0 || err == ERR_ABSENT;

	if (is_gone)
		mark_drop(&r->account->jid);
	/* Of an instance that has been started since it is not ours. */
	if (g != NULL && g->mod == r->mod) {
		g->is_going = false;
		if (is_gone)
			guest_forget(g);
		else
			timer_start(&g->timer, LOOK_MS, on_look);
	}
	account_unpin(r->account);
	mod_release(r->mod);
	xfree(r);
}

static void
guest_remove(struct guest *g)
{
	struct removal *r = xzalloc(sizeof(*r));

	g->is_going = true;
	r->mod = g->mod;
	r->account = g->account;
	mod_hold(r->mod);
	account_pin(r->account);
	account_remove(&r->account->jid, on_removed, r);
}

static bool
has_left(const struct guest *g)
{
	const struct account *acct = g->account;

	/* What is under way in its name, a login for instance, pins it, too. */
	if (!list_is_empty(&acct->sessions) || acct->pins > 1)
		return false;
	return g->has_been || loop_now() >= g->since + COMING_MS;
}

static void
on_look(struct timer *t)
{
	struct guest *g = CONTAINER_OF(t, struct guest, timer);

	if (!list_is_empty(&g->account->sessions))
		g->has_been = true;
	if (has_left(g))
		guest_remove(g);
	else
		timer_start(t, LOOK_MS, on_look);
}

void
anonymous_closed(struct mod *m, struct session *s)
{
	struct guest *g = account_slot_peek(s->account, m);

	if (g == NULL || g->mod == NULL || g->is_going)
		return;
	g->has_been = true;
	timer_start(&g->timer, 1, on_look);
}

/* ---- their beginning ---------------------------------------------------- */

static struct guest *
guest_begin(struct mod *m, struct account *acct)
{
	struct state *st = mod_state(m);
	struct guest *g = account_slot(acct, m);

	g->mod = m;
	g->account = acct;
	g->since = loop_now();
	account_pin(acct);
	list_add(&st->guests, &g->node);
	timer_start(&g->timer, LOOK_MS, on_look);
	return g;
}

struct admission {
	struct arena *arena; /* this is in it */
	struct jid jid;
	struct loop *asker;
	guest_fn *done;
	void *ctx;
	int err;
};

static void
admission_tell(void *msg)
{
	struct admission *a = msg;

	a->done(a->ctx, a->err, a->err == 0 ? &a->jid : NULL);
	arena_free(&a->arena);
}

static void
admission_end(struct admission *a, int err)
{
	if (err < 0)
		__atomic_sub_fetch(
		    count_of(host_find(a->jid.domain)), 1, __ATOMIC_RELAXED);
	a->err = err;
	loop_post(a->asker, admission_tell, a);
}

static struct mod *
mod_of(const struct jid *jid)
{
	return mod_find(host_find(jid->domain), "anonymous");
}

static void
on_loaded(void *ctx, int err, struct account *acct)
{
	struct admission *a = ctx;
	struct mod *m = mod_of(&a->jid);

	if (acct == NULL || m == NULL) {
		/* What was made is found by its mark, at the next start. */
		admission_end(a, err < 0 ? err : ERR_STORE);
		return;
	}
	guest_begin(m, acct);
	admission_end(a, 0);
}

static void
on_made(void *ctx, int err)
{
	struct admission *a = ctx;

	if (err < 0)
		admission_end(a, err);
	else
		account_get(&a->jid, on_loaded, a);
}

/* At the account's home. */
static void
on_make(void *msg)
{
	struct admission *a = msg;
	struct account_row row = { .jid = a->jid.bare };
	struct store_write *w = store_write_new(a->jid.bare);

	row.created = clock_real();
	kv_put(w, a->jid.domain, STR(MARKS), a->jid.local, STR("1"));
	account_create(w, &row);
	store_commit(&w, on_made, a);
}

static bool
take_place(struct mod *m, const struct addr *peer)
{
	const struct anonymous_options *o = mod_options(m);
	struct state *st = mod_state(m);
	unsigned *count = count_of(mod_host(m));

	if (!addr_rate_take(&st->rate, &o->rate, peer))
		return false;
	if (__atomic_add_fetch(count, 1, __ATOMIC_RELAXED) <= o->max)
		return true;
	__atomic_sub_fetch(count, 1, __ATOMIC_RELAXED);
	return false;
}

static void
admit(struct mod *m, const struct addr *peer, guest_fn *done, void *ctx)
{
	struct arena *arena = arena_new(0);
	struct admission *a = arena_new_of(arena, struct admission);
	char name[UUID_LEN + 1];

	uuid7(name);
	a->arena = arena;
	a->jid =
	    jid_make(arena, str_c(name), mod_host(m)->jid.domain, STR_NONE);
	a->asker = loop_self();
	a->done = done;
	a->ctx = ctx;
	if (take_place(m, peer)) {
		loop_post(account_home(a->jid.bare), on_make, a);
	} else {
		log_notice(mod_log(m), "too many guests");
		a->err = ERR_LIMIT;
		loop_post(a->asker, admission_tell, a);
	}
}

/* ---- those of before ---------------------------------------------------- */

struct survivor {
	struct arena *arena; /* this is in it */
	struct jid jid;
};

/* They are guests again; when nobody is there, they go. */
static void
on_survivor(void *ctx, int err, struct account *acct)
{
	struct survivor *v = ctx;
	struct mod *m = mod_of(&v->jid);

	if (acct == NULL && err == 0) {
		mark_drop(&v->jid);
	} else if (acct != NULL && m != NULL && !guest_is(m, &v->jid)) {
		__atomic_add_fetch(count_of(acct->host), 1, __ATOMIC_RELAXED);
		guest_begin(m, acct)->has_been = true;
	}
	arena_free(&v->arena);
}

static void
survivor_find(const struct host *h, struct str local)
{
	struct arena *arena = arena_new(0);
	struct survivor *v = arena_new_of(arena, struct survivor);

	v->arena = arena;
	v->jid = jid_make(arena, local, h->jid.domain, STR_NONE);
	account_call(&v->jid, on_survivor, v);
}

struct sweep {
	struct host *host;
	char end[UUID_LEN + 1]; /* names from then on are not of before */
};

static void marks_read(struct sweep *s, struct str after);

static void
on_marks(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct sweep *s = ctx;

	for (size_t i = 0; err == 0 && i < count; i++) {
		if (str_cmp(items[i].key, str_c(s->end)) < 0)
			survivor_find(s->host, items[i].key);
		else
			count = 0;
	}
	if (err == 0 && count == MARKS_MAX)
		marks_read(s, items[count - 1].key);
	else
		xfree(s);
}

static void
marks_read(struct sweep *s, struct str after)
{
	kv_list(s->host->jid.domain, STR(MARKS), after, false, MARKS_MAX,
	    on_marks, s);
}

/* ---- the module --------------------------------------------------------- */

static const struct guests guests = {
	.module = "anonymous",
	.admit = admit,
};

static void
start(struct mod *m)
{
	struct state *st = mod_state(m);
	struct sweep *s;

	list_init(&st->guests);
	mod_publish("guests", &guests);
	/* One worker looks for those of all. */
	if (loop_self() != loop_at(0))
		return;
	s = xzalloc(sizeof(*s));
	s->host = mod_host(m);
	uuid7_min(clock_real(), s->end);
	marks_read(s, STR_NONE);
}

/*
 * Nobody would bound those who are there: they go. When all ends the next start
 * knows them by their marks.
 */
static void
stop(struct mod *m)
{
	struct state *st = mod_state(m);
	struct guest *g;

	LIST_EACH(g, &st->guests, struct guest, node)
	{
		if (!g->is_going && !mod_is_ending())
			guest_remove(g);
		guest_forget(g);
	}
	addr_rate_fini(&st->rate);
}

static void
slot_free(struct mod *m, void *state)
{
	struct guest *g = state;

	if (g->mod != NULL) {
		timer_stop(&g->timer);
		list_del(&g->node);
	}
}

static const struct option options[] = {
	OPT_UINT("max", struct anonymous_options, max, "1000", 1, 1000000,
	    "guests at a time"),
	OPT_RATE("rate", struct anonymous_options, rate, "10/1m",
	    "new guests from one address, on each worker"),
	OPT_BOOL("remote", struct anonymous_options, is_remote, "false",
	    "whether guests may talk to other servers"),
	OPTIONS_END,
};

MODULE(anonymous) = {
	.summary = "let anybody in as a guest who leaves nothing behind",
	.is_optional = true,
	.options = options,
	.options_size = sizeof(struct anonymous_options),
	.state_size = sizeof(struct state),
	.account_size = sizeof(struct guest),
	.hooks = anonymous_hooks,
	.iq = anonymous_routes,
	.start = start,
	.stop = stop,
	.account_free = slot_free,
};
