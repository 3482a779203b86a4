/* SPDX-License-Identifier: MIT */
#include "core/rounds.h"

#include "core/account.h"
#include "core/conf.h"
#include "core/module.h"
#include "core/scram.h"

/* Combinations of a host; whatever comes on top is not shown. */
#define ROUNDS_MAX 16
#define BITS 20
#define MASK ((1u << BITS) - 1)
#define STORE STR("scram_rounds")
#define AGAIN_MS SECONDS(1)

/* All atomic: written at passwords set, by any loop, and looked at by all. */
struct rounds {
	rounds_t all[ROUNDS_MAX]; /* in order of appearance */
	uint32_t passwords[ROUNDS_MAX];
	bool is_read;
};

struct rounds *
rounds_new(void)
{
	return (struct rounds *)xzalloc(sizeof(struct rounds));
}

void
rounds_free(struct rounds **r)
{
	xfree(*r);
	*r = NULL;
}

/* ---- of one account ------------------------------------------------------ */

static rounds_t
pack(const struct scram_hash *h, uint32_t rounds)
{
	_Static_assert(SCRAM_ITERATIONS_MAX <= MASK, "they fit");
	return rounds <= MASK ? (rounds_t)rounds << BITS * (h - scram_hashes)
			      : 0;
}

rounds_t
rounds_of(const struct account_row *row)
{
	rounds_t all = 0;

	for (const struct scram_hash *h = scram_hashes; h->mechanism; h++) {
		const struct scram_keys *k = scram_keys_find(row, h);

		if (k != NULL)
			all |= pack(h, k->iterations);
	}
	return all;
}

uint32_t
rounds_for(rounds_t all, const struct scram_hash *h)
{
	uint32_t own = (uint32_t)(all >> BITS * (h - scram_hashes)) & MASK;

	for (; own == 0 && all != 0; all >>= BITS)
		own = (uint32_t)all & MASK;
	return own;
}

/* ---- of nobody ----------------------------------------------------------- */

/* There are no accounts: those of the first that will be. */
static rounds_t
configured(void)
{
	rounds_t all = 0;

	for (const struct scram_hash *h = scram_hashes; h->mechanism; h++)
		all |= pack(h, (uint32_t)conf_now()->auth.scram_iterations);
	return all;
}

static void
name_digest(const struct host *host, struct str name, unsigned char *digest)
{
	struct buf text = { 0 };

	buf_add_str(&text, STR("rounds "));
	buf_add_str(&text, name);
	scram_hmac(scram_hash_find(STR("SCRAM-SHA-256")),
	    str_mem(host->secret, sizeof(host->secret)), buf_str(&text),
	    digest);
	buf_fini(&text);
}

/*
 * The newest first: each takes its share of what is left, so that a name stays
 * where it is as long as only others grow that are older.
 */
static rounds_t
choose(const rounds_t *all, const uint32_t *passwords, size_t count,
    const unsigned char *digest)
{
	uint64_t left = 0;

	for (size_t i = 0; i < count; i++)
		left += passwords[i];
	for (size_t i = count - 1; i > 0; i--) {
		unsigned at = digest[2 * i] << 8 | digest[2 * i + 1];

		if (at * left < (uint64_t)passwords[i] << 16)
			return all[i];
		left -= passwords[i];
	}
	return all[0];
}

rounds_t
rounds_shown(const struct host *host, struct str name)
{
	const struct rounds *r = host->rounds;
	unsigned char digest[SCRAM_DIGEST_MAX];
	rounds_t all[ROUNDS_MAX];
	uint32_t passwords[ROUNDS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < ROUNDS_MAX; i++) {
		all[count] = __atomic_load_n(&r->all[i], __ATOMIC_ACQUIRE);
		passwords[i] =
		    __atomic_load_n(&r->passwords[i], __ATOMIC_RELAXED);
		if (all[count] == 0)
			break;
		count++;
	}
	if (count <= 1)
		return count == 1 ? all[0] : configured();
	name_digest(host, name, digest);
	return choose(all, passwords, count, digest);
}

/* ---- what occurs --------------------------------------------------------- */

bool
rounds_are_read(const struct host *host)
{
	return __atomic_load_n(&host->rounds->is_read, __ATOMIC_ACQUIRE);
}

/* Where it is, or now will be; ROUNDS_MAX: there is no room. */
static size_t
place(struct rounds *r, rounds_t all)
{
	size_t i = 0;

	for (; i < ROUNDS_MAX; i++) {
		rounds_t there = 0;

		if (__atomic_compare_exchange_n(&r->all[i], &there, all, false,
			__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
		    there == all)
			break;
	}
	return i;
}

static bool
is_met(const struct rounds *r, rounds_t all)
{
	for (size_t i = 0; i < ROUNDS_MAX; i++) {
		rounds_t there = __atomic_load_n(&r->all[i], __ATOMIC_RELAXED);

		if (there == all)
			return true;
		if (there == 0)
			return false;
	}
	return true; /* no room: no news either */
}

void
rounds_count(const struct host *host, const struct account_row *row,
    struct store_write *w)
{
	struct arena *a = store_write_arena(w);
	struct rounds *r = host->rounds;
	rounds_t all = rounds_of(row);
	uint32_t n;
	size_t i;

	/* Before it is known what there was it has no place: see below. */
	if (all == 0 || !rounds_are_read(host))
		return;
	i = place(r, all);
	if (i == ROUNDS_MAX)
		return;
	n = __atomic_add_fetch(&r->passwords[i], 1, __ATOMIC_RELAXED);
	kv_put(w, host->jid.full, STORE,
	    str_printf(a, "%llu", (unsigned long long)all),
	    str_printf(a, "%zu %u", i, n));
}

void
rounds_meet(const struct host *host, const struct account_row *row)
{
	rounds_t all = rounds_of(row);
	struct store_write *w;

	if (all == 0 || is_met(host->rounds, all) || !rounds_are_read(host))
		return;
	w = store_write_new(host->jid.full);
	rounds_count(host, row, w);
	store_commit(&w, NULL, NULL);
}

/* ---- loading ------------------------------------------------------------- */

struct rounds_state {
	struct mod *mod;
	struct timer again;
	bool is_reading;
};

static void load(struct rounds_state *s);

static void
on_time(struct timer *t)
{
	load(CONTAINER_OF(t, struct rounds_state, again));
}

static void
take(struct rounds *r, const struct kv_item *item)
{
	struct str rest = item->value, place_text = str_cut(&rest, ' ');
	uint64_t all, i, n;

	if (!str_to_u64(item->key, &all) || !str_to_u64(place_text, &i) ||
	    !str_to_u64(rest, &n) || i >= ROUNDS_MAX)
		return;
	__atomic_store_n(&r->all[i], all, __ATOMIC_RELAXED);
	__atomic_store_n(&r->passwords[i], (uint32_t)n, __ATOMIC_RELAXED);
}

static void
on_loaded(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct rounds_state *s = (struct rounds_state *)ctx;
	struct rounds *r;

	if (!s->is_reading)
		return; /* stopped meanwhile */
	if (err < 0) {
		timer_start(&s->again, AGAIN_MS, on_time);
		return;
	}
	s->is_reading = false;
	r = mod_host(s->mod)->rounds;
	for (size_t i = 0; i < count; i++)
		take(r, &items[i]);
	__atomic_store_n(&r->is_read, true, __ATOMIC_RELEASE);
}

static void
load(struct rounds_state *s)
{
	kv_list(mod_host(s->mod)->jid.full, STORE, STR_NONE, false, ROUNDS_MAX,
	    on_loaded, s);
}

static void
rounds_start(struct mod *m)
{
	struct rounds_state *s = (struct rounds_state *)mod_state(m);
	const struct host *host = mod_host(m);

	s->mod = m;
	if (account_home(host->jid.full) != loop_self() ||
	    rounds_are_read(host))
		return;
	s->is_reading = true;
	load(s);
}

static void
rounds_stop(struct mod *m)
{
	struct rounds_state *s = (struct rounds_state *)mod_state(m);

	s->is_reading = false;
	timer_stop(&s->again);
}

const struct module rounds_module = {
	.summary = "remember what keys of passwords cost",
	.state_size = sizeof(struct rounds_state),
	.start = rounds_start,
	.stop = rounds_stop,
};
