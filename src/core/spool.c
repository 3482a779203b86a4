/* SPDX-License-Identifier: MIT */
/*
 * The spool's store, and the parcels of what is in it. What a turn of the
 * loop puts and deletes for an account is one write.
 */
#include "core/spool_internal.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/conf.h"
#include "core/excuse.h"
#include "core/host.h"
#include "core/metrics.h"
#include "core/session.h"
#include "store/store.h"
#include "xml/writer.h"

#define STORE STR("spool")

struct waiter {
	struct list node;
	struct receipt *receipt;
	struct excuse *excuse; /* for the sender, if nobody else tells him */
	struct parcel *parcel;
	account_done_fn *done;
	void *ctx;
	bool is_put;
};

/* One write, until it is committed. */
struct batch {
	struct spool *spool;
	struct store_write *write;
	struct list waiters;
};

struct spool {
	struct account *account;
	size_t count;
	struct map parcels; /* those that are stored and held, by key */
	struct batch *batch;
	unsigned batches;    /* with those that the store has not answered */
	uint64_t last_batch; /* number of it */
	struct deferred commit;
};

static struct spool *
spool_of(struct account *acct)
{
	struct spool *sp = acct->spool;

	if (sp == NULL) {
		sp = (struct spool *)xzalloc(sizeof(*sp));
		sp->account = acct;
		acct->spool = sp;
	}
	return sp;
}

size_t
spool_count(const struct account *acct)
{
	return acct->spool != NULL ? acct->spool->count : 0;
}

/* ---- the account's life ---- */

static void
on_count(void *ctx, int err, uint64_t count)
{
	struct account *acct = (struct account *)ctx;

	if (err == 0 && count > 0)
		spool_of(acct)->count = (size_t)count;
	account_load_release(acct, err);
}

void
spool_account_load(struct account *acct)
{
	account_load_hold(acct);
	kv_count(acct->jid.bare, STORE, on_count, acct);
}

void
spool_account_unload(struct account *acct)
{
	struct spool *sp = acct->spool;

	if (sp == NULL)
		return;
	acct->spool = NULL;
	must(sp->batch == NULL);
	map_fini(&sp->parcels);
	xfree(sp);
}

/* ---- parcels ---- */

struct parcel *
parcel_new(struct account *acct, int64_t received)
{
	struct parcel *p = (struct parcel *)xzalloc(sizeof(*p));

	p->account = acct;
	p->refs = 1;
	p->received = received;
	return p;
}

struct parcel *
parcel_ref(struct parcel *p)
{
	if (p != NULL)
		p->refs++;
	return p;
}

/* Is it the one that is found by its key? */
static bool
parcel_is_listed(const struct parcel *p)
{
	const struct spool *sp = p->account->spool;

	return p->key[0] != '\0' && sp != NULL &&
	       map_get(&sp->parcels, str_c(p->key)) == p;
}

void
parcel_unref(struct parcel **pp)
{
	struct parcel *p = *pp;

	*pp = NULL;
	if (p == NULL || --p->refs > 0)
		return;
	if (parcel_is_listed(p))
		map_del(&p->account->spool->parcels, str_c(p->key));
	xfree(p);
}

static void
parcel_unstore(struct parcel *p)
{
	if (!p->is_stored)
		return;
	p->is_stored = p->is_durable = false;
	spool_del(p->account, str_c(p->key));
}

void
parcel_hold(struct parcel *p)
{
	p->holders++;
}

static uint32_t
resource_mark(const struct session *s)
{
	return (uint32_t)str_hash(s->jid.resource);
}

bool
parcel_was_had_by(const struct parcel *p, const struct session *s)
{
	uint32_t mark = resource_mark(s);

	for (unsigned i = 0; i < p->had_count; i++)
		if (p->had_by[i] == mark)
			return true;
	return false;
}

void
parcel_had(struct parcel *p, const struct session *s)
{
	p->is_had = true;
	if (p->had_count < PARCEL_HAD_MAX)
		p->had_by[p->had_count++] = resource_mark(s);
}

void
parcel_acked(struct parcel *p, const struct session *s, bool was_late)
{
	parcel_had(p, s);
	must(p->holders > 0);
	if (--p->holders == 0 || was_late)
		parcel_unstore(p);
}

bool
parcel_let_go(struct parcel *p, bool is_for_next)
{
	must(p->holders > 0);
	if (--p->holders > 0 || is_for_next)
		return is_for_next;
	if (p->is_had)
		parcel_unstore(p);
	return !p->is_had;
}

struct parcel *
spool_parcel(struct account *acct, struct str key)
{
	struct spool *sp = spool_of(acct);
	struct parcel *p = (struct parcel *)map_get(&sp->parcels, key);

	if (p != NULL)
		return parcel_ref(p);
	p = parcel_new(acct, 0);
	if (key.n != UUID_LEN || uuid7_time(key, &p->received) < 0)
		p->received = clock_real();
	memcpy(p->key, key.p, MIN(key.n, UUID_LEN));
	p->is_stored = p->is_durable = true;
	map_set(&sp->parcels, str_c(p->key), p);
	return p;
}

/* ---- writes ---- */

/*
 * His message may still be in a queue, but nobody knows for how long. He is
 * told once, whoever has it; a sender who does not count, when no queue does.
 */
static void
waiter_excuse(struct waiter *w, int err)
{
	struct parcel *p = w->parcel;
	bool is_lost = err < 0;

	if (p != NULL && is_lost) {
		is_lost =
		    !p->is_excused && (w->receipt != NULL || p->holders == 0);
		p->is_excused |= is_lost;
	}
	excuse_end(
	    &w->excuse, is_lost ? err : 0, "The message could not be kept");
}

static void
waiter_end(struct spool *sp, struct waiter *w, int err)
{
	bool is_there = w->parcel == NULL || w->parcel->is_stored;

	if (err < 0 && w->is_put && is_there && sp->count > 0)
		sp->count--;
	if (w->parcel != NULL && w->parcel->is_stored) {
		w->parcel->is_durable = err == 0;
		w->parcel->is_stored = err == 0;
		w->parcel->has_place = err < 0;
	}
	if (w->excuse != NULL)
		waiter_excuse(w, err);
	receipt_done(&w->receipt);
	if (w->done != NULL)
		w->done(w->ctx, err);
	parcel_unref(&w->parcel);
	xfree(w);
}

static void
on_committed(void *ctx, int err)
{
	struct batch *b = (struct batch *)ctx;
	struct spool *sp = b->spool;
	struct account *acct = sp->account;
	struct waiter *w;

	LIST_EACH(w, &b->waiters, struct waiter, node)
	{
		list_del(&w->node);
		waiter_end(sp, w, err);
	}
	xfree(b);
	sp->batches--;
	account_unpin(acct);
}

void
spool_commit(struct account *acct)
{
	struct spool *sp = acct->spool;
	struct batch *b;

	if (sp == NULL || (b = sp->batch) == NULL)
		return;
	sp->batch = NULL;
	loop_undefer(&sp->commit);
	store_commit(&b->write, on_committed, b);
}

static void
on_turn_end(struct deferred *d)
{
	spool_commit(CONTAINER_OF(d, struct spool, commit)->account);
}

/* The account stays in memory until the store has answered. */
static struct batch *
batch_of(struct spool *sp)
{
	struct batch *b = sp->batch;

	if (b != NULL)
		return b;
	b = (struct batch *)xzalloc(sizeof(*b));
	b->spool = sp;
	b->write = store_write_new(sp->account->jid.bare);
	list_init(&b->waiters);
	sp->batch = b;
	sp->batches++;
	sp->last_batch++;
	account_pin(sp->account);
	loop_defer(&sp->commit, on_turn_end);
	return b;
}

/* The message as it is kept: with the time it came. */
static struct str
spool_text(const struct account *acct, struct stanza *st)
{
	struct elem *e = elem_child(st->root, EL_DELAY);
	bool has_ours = false;
	struct str text, by = acct->host->jid.full;

	for (; e != NULL && !has_ours; e = elem_next(e, EL_DELAY))
		has_ours = str_eq(elem_attr(e, AT_FROM), by);
	if (has_ours)
		return xml_text(st->arena, st->root);
	stanza_delay(st, by, st->received);
	text = xml_text(st->arena, st->root);
	for (struct elem *d = elem_child(st->root, EL_DELAY); d != NULL;
	     d = elem_next(d, EL_DELAY))
		e = d;
	elem_remove(e);
	return text;
}

static struct waiter *
batch_put(struct spool *sp, struct str key, struct stanza *st)
{
	struct batch *b = batch_of(sp);
	struct waiter *w = (struct waiter *)xzalloc(sizeof(*w));

	kv_put(b->write, sp->account->jid.bare, STORE, key,
	    spool_text(sp->account, st));
	list_add(&b->waiters, &w->node);
	return w;
}

/* May one more be kept? */
static int
spool_check(const struct account *acct)
{
	if (acct->is_deleted)
		return ERR_ABSENT;
	return spool_count(acct) < conf_now()->limits.offline_messages
		   ? 0
		   : ERR_LIMIT;
}

int
spool_put(
    struct account *acct, struct stanza *st, account_done_fn *done, void *ctx)
{
	int err = spool_check(acct);
	struct spool *sp;
	struct waiter *w;
	char *key;

	if (err < 0)
		return err;
	sp = spool_of(acct);
	key = (char *)arena_alloc(st->arena, UUID_LEN + 1);
	uuid7(key);
	st->spool_key = str_c(key);
	w = batch_put(sp, st->spool_key, st);
	w->receipt = receipt_ref(st->receipt);
	if (done == NULL)
		w->excuse = excuse_new(st);
	w->done = done;
	w->ctx = ctx;
	w->is_put = true;
	sp->count++;
	return 0;
}

int
spool_keep(struct account *acct, struct parcel *p, struct stanza *st,
    struct receipt **r)
{
	struct spool *sp = spool_of(acct);
	struct waiter *w;
	int err;

	if (p->is_durable) {
		receipt_done(r);
		return 0;
	}
	if (!p->is_stored) {
		if ((err = spool_check(acct)) < 0)
			return err;
		/* One that the store refused keeps its place in the order. */
		if (!p->has_place || !parcel_is_listed(p)) {
			if (parcel_is_listed(p))
				map_del(&sp->parcels, str_c(p->key));
			uuid7(p->key);
			map_set(&sp->parcels, str_c(p->key), p);
		}
	}
	/* On its way already: the same again, to hear when it is there. */
	w = batch_put(sp, str_c(p->key), st);
	w->is_put = !p->is_stored;
	w->parcel = parcel_ref(p);
	/* What is archived is not lost. */
	if (!st->is_archived)
		w->excuse = excuse_of(st, *r);
	w->receipt = *r;
	*r = NULL;
	if (!p->is_stored) {
		p->is_stored = true;
		sp->count++;
		metric_add(METRIC_SPOOLED, 1);
	}
	return 0;
}

void
spool_del(struct account *acct, struct str key)
{
	struct spool *sp = spool_of(acct);
	struct parcel *p = (struct parcel *)map_get(&sp->parcels, key);

	if (p != NULL)
		p->is_stored = p->is_durable = false;
	kv_del(batch_of(sp)->write, acct->jid.bare, STORE, key);
	if (sp->count > 0)
		sp->count--;
}

/* ---- what is old ---- */

#define EXPIRY_PAGE 100
#define RECOUNTS_MAX 10

struct expiry {
	struct account *account;
	char bound[UUID_LEN + 1]; /* keys before it go */
	bool has_more;
	uint64_t count;
	uint64_t batch; /* the last, when it was asked what is left */
	unsigned tries;
	store_count_fn *done;
	void *ctx;
};

static void expire_page(struct expiry *e);

static void
expiry_end(struct expiry *e, int err)
{
	account_unpin(e->account);
	e->done(e->ctx, err, e->count);
	xfree(e);
}

/*
 * What was had while its page was read has been deleted and counted twice. So
 * it is asked how much is left, until nothing has been written meanwhile.
 */
static void expire_recount(struct expiry *e);

static void
on_left(void *ctx, int err, uint64_t count)
{
	struct expiry *e = (struct expiry *)ctx;
	struct spool *sp = spool_of(e->account);

	if (err < 0)
		expiry_end(e, err);
	else if (sp->batches > 0 || sp->last_batch != e->batch)
		expire_recount(e);
	else {
		sp->count = (size_t)count;
		expiry_end(e, 0);
	}
}

static void
expire_recount(struct expiry *e)
{
	if (e->tries++ == RECOUNTS_MAX) {
		expiry_end(e, 0);
		return;
	}
	e->batch = spool_of(e->account)->last_batch;
	kv_count(e->account->jid.bare, STORE, on_left, e);
}

static void
on_page_gone(void *ctx, int err)
{
	struct expiry *e = (struct expiry *)ctx;

	if (err < 0)
		expiry_end(e, err);
	else if (e->has_more)
		expire_page(e);
	else
		expire_recount(e);
}

static void
on_old_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct expiry *e = (struct expiry *)ctx;
	struct account *acct = e->account;
	struct waiter *w;
	size_t n = 0;

	while (n < count && str_cmp(items[n].key, str_c(e->bound)) < 0)
		spool_del(acct, items[n++].key);
	if (n == 0) {
		if (err < 0 || e->count == 0)
			expiry_end(e, err);
		else
			expire_recount(e);
		return;
	}
	e->count += n;
	e->has_more = n == EXPIRY_PAGE;
	w = (struct waiter *)xzalloc(sizeof(*w));
	w->done = on_page_gone;
	w->ctx = e;
	list_add(&spool_of(acct)->batch->waiters, &w->node);
}

static void
expire_page(struct expiry *e)
{
	kv_list(e->account->jid.bare, STORE, STR_NONE, false, EXPIRY_PAGE,
	    on_old_page, e);
}

void
spool_expire(
    struct account *acct, int64_t before, store_count_fn *done, void *ctx)
{
	struct expiry *e = (struct expiry *)xzalloc(sizeof(*e));

	e->account = acct;
	uuid7_min(before, e->bound);
	e->done = done;
	e->ctx = ctx;
	account_pin(acct);
	expire_page(e);
}
