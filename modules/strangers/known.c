/* SPDX-License-Identifier: MIT */
/*
 * Whom an account has written to, and how much of its spool is strangers'. Both
 * outlive the account's time in memory.
 */
#include "modules/strangers/strangers.h"

#define STORE STR("strangers")
/* No address: the count of messages kept. */
#define KEPT STR("@kept")

struct known {
	uint64_t used; /* loop_now() */
	size_t n;
	char jid[];
};

static void
add(struct acquaintances *a, struct str bare)
{
	struct known *k = xmalloc(sizeof(*k) + bare.n);

	k->used = loop_now();
	k->n = bare.n;
	memcpy(k->jid, bare.p, bare.n);
	map_set(&a->known, str_mem(k->jid, k->n), k);
}

void
known_free(struct mod *m, void *state)
{
	struct acquaintances *a = state;
	struct known *k;

	for (size_t i = 0; (k = map_next(&a->known, &i)) != NULL;)
		xfree(k);
	map_fini(&a->known);
}

/* ---- loading ----------------------------------------------------------- */

struct load {
	struct mod *mod;
	struct account *acct;
};

static void
on_loaded(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct load *load = ctx;
	struct acquaintances *a =
	    count > 0 ? account_slot(load->acct, load->mod) : NULL;

	for (size_t i = 0; i < count; i++) {
		if (!str_eq(items[i].key, KEPT))
			add(a, items[i].key);
		else if (!str_to_u64(items[i].value, &a->kept))
			a->kept = 0;
	}
	account_load_release(load->acct, err);
	xfree(load);
}

void
known_load(struct mod *m, struct account *acct)
{
	const struct strangers_options *o = mod_options(m);
	struct load *load = xmalloc(sizeof(*load));

	load->mod = m;
	load->acct = acct;
	account_load_hold(acct);
	/* Keys are sorted: that of the count is before all addresses. */
	kv_list(acct->jid.bare, STORE, STR_NONE, false, o->known_max + 1,
	    on_loaded, load);
}

/* ---- whom it has written to -------------------------------------------- */

bool
known_has(struct mod *m, const struct account *acct, struct str bare)
{
	const struct acquaintances *a = account_slot_peek(acct, m);
	struct known *k = a != NULL ? map_get(&a->known, bare) : NULL;

	if (k == NULL)
		return false;
	k->used = loop_now();
	return true;
}

static void
forget_oldest(
    struct acquaintances *a, struct store_write *w, const struct account *acct)
{
	struct known *k, *oldest = NULL;

	for (size_t i = 0; (k = map_next(&a->known, &i)) != NULL;)
		if (oldest == NULL || k->used < oldest->used)
			oldest = k;
	if (oldest == NULL)
		return;
	kv_del(w, acct->jid.bare, STORE, str_mem(oldest->jid, oldest->n));
	map_del(&a->known, str_mem(oldest->jid, oldest->n));
	xfree(oldest);
}

void
known_add(struct mod *m, struct account *acct, struct str bare)
{
	const struct strangers_options *o = mod_options(m);
	struct acquaintances *a = account_slot(acct, m);
	struct store_write *w = store_write_new(acct->jid.bare);

	while (a->known.count >= o->known_max)
		forget_oldest(a, w, acct);
	add(a, bare);
	kv_put(w, acct->jid.bare, STORE, bare, STR("1"));
	store_commit(&w, NULL, NULL);
}

/* ---- what is kept of others -------------------------------------------- */

bool
known_keep(struct mod *m, struct account *acct)
{
	const struct strangers_options *o = mod_options(m);
	struct acquaintances *a = account_slot(acct, m);
	struct store_write *w;
	char text[24];

	/* What has been read is gone from the spool. */
	a->kept = MIN(a->kept, spool_count(acct));
	if (a->kept >= o->offline_max)
		return false;
	a->kept++;
	w = store_write_new(acct->jid.bare);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)a->kept);
	kv_put(w, acct->jid.bare, STORE, KEPT, str_c(text));
	store_commit(&w, NULL, NULL);
	return true;
}
