/* SPDX-License-Identifier: MIT */
/*
 * Answers that were kept for those who ask again, and files that did not come,
 * are forgotten after a day. One worker of each host looks for them.
 */
#include "modules/api/api.h"

#define LOOK_MS HOURS(1)
#define ITEMS 200

struct sweep {
	struct arena *arena; /* emptied with each owner */
	struct mod *mod;
	const struct str *store; /* of stores, ended by none */
	char owner[3072];	 /* the one looked at; "" before the first */
	struct str after;
};

static const struct str stores[] = { STR_INIT("api-once"),
	STR_INIT("api-media"), { NULL, 0 } };

static void next_owner(struct sweep *s);
static void next_items(struct sweep *s);

static void
sweep_end(struct sweep *s)
{
	api_state(s->mod)->is_sweeping = false;
	arena_free(&s->arena);
	xfree(s);
}

static void
on_dropped(void *ctx, int err)
{
	struct sweep *s = ctx;

	if (err < 0 || api_state(s->mod)->is_stopped)
		sweep_end(s);
	else
		next_items(s);
}

static bool
is_old(struct str value)
{
	json_t *row = json_loadb(value.p, value.n, 0, NULL);
	int64_t time = json_integer_value(json_object_get(row, "time"));

	json_decref(row);
	return time + (int64_t)KEEP_MS < clock_real();
}

static void
on_items(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct sweep *s = ctx;
	struct str owner = str_c(s->owner);
	struct store_write *w;

	if (err < 0 || api_state(s->mod)->is_stopped) {
		sweep_end(s);
		return;
	}
	if (count == 0) {
		next_owner(s);
		return;
	}
	w = store_write_new(owner);
	for (size_t i = 0; i < count; i++)
		if (is_old(items[i].value))
			kv_del(w, owner, *s->store, items[i].key);
	s->after = str_dup(s->arena, items[count - 1].key);
	store_commit(&w, on_dropped, s);
}

static void
next_items(struct sweep *s)
{
	kv_list(
	    str_c(s->owner), *s->store, s->after, false, ITEMS, on_items, s);
}

/* Those of other hosts are for their instances. */
static bool
is_ours(const struct sweep *s, struct str owner)
{
	struct str domain = owner;

	str_cut(&domain, '@');
	return str_eq(domain, mod_host(s->mod)->jid.domain);
}

static void
on_owners(void *ctx, int err, const struct str *names, size_t count)
{
	struct sweep *s = ctx;

	if (err < 0 || api_state(s->mod)->is_stopped) {
		sweep_end(s);
		return;
	}
	if (count == 0 || names[0].n >= sizeof(s->owner)) {
		s->owner[0] = '\0';
		s->store++;
		if (str_is_none(*s->store))
			sweep_end(s);
		else
			next_owner(s);
		return;
	}
	memcpy(s->owner, names[0].p, names[0].n);
	s->owner[names[0].n] = '\0';
	arena_reset(s->arena);
	s->after = STR_NONE;
	if (is_ours(s, names[0]))
		next_items(s);
	else
		next_owner(s);
}

static void
next_owner(struct sweep *s)
{
	struct str after = s->owner[0] != '\0' ? str_c(s->owner) : STR_NONE;

	kv_owners(*s->store, after, 1, on_owners, s);
}

static void
on_sweep(struct timer *t)
{
	struct api *api = CONTAINER_OF(t, struct api, sweep);
	struct sweep *s;

	timer_start(t, LOOK_MS, on_sweep);
	if (api->is_sweeping)
		return;
	api->is_sweeping = true;
	s = xzalloc(sizeof(*s));
	s->arena = arena_new(0);
	s->mod = api->mod;
	s->store = stores;
	next_owner(s);
}

void
sweep_start(struct mod *m)
{
	struct api *api = api_state(m);

	api->mod = m;
	if (loop_index(loop_self()) == 0)
		timer_start(&api->sweep, MINUTES(1), on_sweep);
}
