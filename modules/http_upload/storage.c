/* SPDX-License-Identifier: MIT */
/* Where files are kept: a module's business; and their end. */
#include "modules/http_upload/upload.h"

#define LOOK_MS HOURS(1)
#define MODULE_NAME_MAX 64
#define PREFIX "blob_"

const struct blob_backend *
storage_of(const struct mod *m, struct mod **at_r)
{
	const struct upload_options *o = mod_options(m);
	char name[MODULE_NAME_MAX] = PREFIX;
	size_t at = sizeof(PREFIX) - 1;

	memcpy(
	    name + at, o->storage.p, MIN(o->storage.n, sizeof(name) - 1 - at));
	*at_r = mod_find(mod_host(m), name);
	return *at_r != NULL ? mod_lookup(name) : NULL;
}

struct blob_meta
slot_meta(const struct slot *s, int64_t end)
{
	return (struct blob_meta){
		.owner = s->owner,
		.name = s->name,
		.type = s->type,
		.size = s->size,
		.end = end,
	};
}

bool
storage_takes_direct(struct mod *m)
{
	const struct upload_options *o = mod_options(m);
	struct mod *at;
	const struct blob_backend *b = storage_of(m, &at);

	/* Of what is in them we see only what passes through here. */
	return o->types.count == 0 && b != NULL && b->offers != NULL &&
	       b->offers(at);
}

void
storage_remove(struct mod *m, const struct str *tokens, size_t count,
    blob_done_fn *done, void *ctx)
{
	struct mod *at;
	const struct blob_backend *b = storage_of(m, &at);

	if (b == NULL)
		done(ctx, ERR_CLOSED);
	else
		b->remove(at, tokens, count, done, ctx);
}

/* Slots that were used elsewhere ------------------------------------------*/

struct settling {
	struct arena *arena;
	struct mod *mod;
	struct str owner, token;
	uint64_t size;
	int64_t end;
	bool is_there;
	void (*done)(void *ctx);
	void *ctx;
};

static void
settling_end(void *ctx)
{
	struct settling *k = ctx;
	struct arena *a = k->arena;

	k->done(k->ctx);
	mod_release(k->mod);
	arena_free(&a);
}

static void
on_settled(void *ctx, int err)
{
	struct settling *k = ctx;

	if (err == 0 && !k->is_there)
		usage_give(mod_host(k->mod), k->size);
	settling_end(k);
}

static void
on_found(void *ctx, int err, const struct blob_found *found)
{
	struct settling *k = ctx;
	struct arena *a = k->arena;
	struct str host = mod_host(k->mod)->jid.full;
	struct str key = index_key(a, k->owner, k->token);
	struct store_write *w;

	/* We can't tell yet: the walk comes again. */
	if ((err < 0 && err != ERR_ABSENT) || (err == 0 && found->is_open)) {
		settling_end(k);
		return;
	}
	k->is_there = err == 0;
	w = store_write_new(k->owner);
	if (k->is_there) {
		kv_put(w, host, INDEX, key, index_note(a, k->size, k->end, 0));
	} else {
		kv_del(w, host, INDEX, key);
		kv_del(w, k->owner, STORE, k->token);
	}
	store_commit(&w, on_settled, k);
}

void
direct_settle(struct mod *m, struct str owner, struct str token, uint64_t size,
    int64_t end, void (*done)(void *ctx), void *ctx)
{
	struct arena *a = arena_new(0);
	struct settling *k = arena_new_of(a, struct settling);
	struct mod *at;
	const struct blob_backend *b = storage_of(m, &at);

	k->arena = a;
	k->mod = m;
	mod_hold(m);
	k->owner = str_dup(a, owner);
	k->token = str_dup(a, token);
	k->size = size;
	k->end = end;
	k->done = done;
	k->ctx = ctx;
	if (b != NULL)
		b->find(at, k->token, "HEAD", on_found, k);
	else
		loop_post(loop_self(), settling_end, k);
}

/* Expiry ------------------------------------------------------------------*/

static uint64_t
look_ms(struct mod *m)
{
	const struct upload_options *o = mod_options(m);
	uint64_t ms = MIN(o->keep_ms / 2 + 1, LOOK_MS);

	return storage_takes_direct(m) ? MIN(ms, o->slot_ms) : ms;
}

static void
on_expiry(struct timer *t)
{
	struct upload *u = CONTAINER_OF(t, struct upload, expiry);
	struct mod *at;
	const struct blob_backend *b = storage_of(u->mod, &at);

	timer_start(t, look_ms(u->mod), on_expiry);
	index_prune(u->mod);
	if (b != NULL)
		b->expire(at);
}

void
expiry_start(struct mod *m)
{
	struct upload *u = mod_state(m);

	if (loop_index(loop_self()) == 0)
		timer_start(&u->expiry, look_ms(m), on_expiry);
}
