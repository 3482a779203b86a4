/* SPDX-License-Identifier: MIT */
/*
 * Files that go before their time: those of a message that its sender has
 * retracted (XEP-0424), if the sender is who put them; first the file, then
 * what is noted of it. Those of an account go before it (belongings.c); what
 * the host's index says of them, and what came meanwhile, go after it.
 */
#include "modules/http_upload/upload.h"

/* Of one account, at a time; and of one message. */
#define REMOVED_MAX 1000
#define LINKS_MAX 16

struct removal {
	struct arena *arena;
	struct mod *mod;
	struct str owner;
	struct str *token;
	size_t count;
	uint64_t bytes;
	bool is_account; /* there may be more */
	bool has_claim;	 /* on the one token */
	bool is_slot;	 /* may be put again, so it counts as one */
};

static void removal_list(struct removal *r);

static struct removal *
removal_new(struct mod *m, struct str owner, size_t max)
{
	struct arena *a = arena_new(0);
	struct removal *r = arena_new_of(a, struct removal);

	r->arena = a;
	r->mod = m;
	mod_hold(m);
	r->owner = str_dup(a, owner);
	r->token = (struct str *)arena_zalloc(a, max * sizeof(*r->token));
	return r;
}

static void
removal_free(struct removal *r)
{
	struct arena *a = r->arena;

	if (r->has_claim)
		token_unclaim(r->token[0]);
	mod_release(r->mod);
	arena_free(&a);
}

static void
removal_add(struct removal *r, struct str token, uint64_t size)
{
	r->token[r->count++] = str_dup(r->arena, token);
	r->bytes += size;
}

static void
on_forgotten(void *ctx, int err)
{
	struct removal *r = ctx;

	if (err == 0)
		usage_give(mod_host(r->mod), r->bytes);
	if (err == 0 && r->is_account && r->count == REMOVED_MAX) {
		r->count = 0;
		r->bytes = 0;
		removal_list(r);
		return;
	}
	removal_free(r);
}

static void
removal_done(void *ctx, int err)
{
	struct removal *r = ctx;
	struct store_write *w;

	if (err < 0 || r->is_slot) {
		removal_free(r);
		return;
	}
	w = store_write_new(r->owner);
	for (size_t i = 0; i < r->count; i++) {
		kv_del(w, r->owner, STORE, r->token[i]);
		kv_del(w, mod_host(r->mod)->jid.full, INDEX,
		    index_key(r->arena, r->owner, r->token[i]));
	}
	log_info(mod_log(r->mod), "removed %zu files of " STR_FMT, r->count,
	    STR_ARG(r->owner));
	store_commit(&w, on_forgotten, r);
}

static void
removal_go(struct removal *r)
{
	storage_remove(r->mod, r->token, r->count, removal_done, r);
}

/* Of an account ------------------------------------------------------------*/

static void
on_listed(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct removal *r = ctx;
	struct str prefix = index_key(r->arena, r->owner, STR(""));

	for (size_t i = 0; i < count; i++) {
		struct str note = items[i].value;
		uint64_t size = 0;

		if (!str_has_prefix(items[i].key, prefix))
			break;
		if (str_to_u64(str_cut(&note, ' '), &size))
			removal_add(r, str_skip(items[i].key, prefix.n), size);
	}
	if (r->count > 0)
		removal_go(r);
	else
		removal_free(r);
}

static void
removal_list(struct removal *r)
{
	kv_list(mod_host(r->mod)->jid.full, INDEX,
	    index_key(r->arena, r->owner, STR("")), false, REMOVED_MAX,
	    on_listed, r);
}

void
remove_all_of(struct mod *m, struct account *acct)
{
	struct removal *r = removal_new(m, acct->jid.bare, REMOVED_MAX);

	r->is_account = true;
	removal_list(r);
}

/* Of a message -------------------------------------------------------------*/

static void
on_indexed(void *ctx, int err, struct str note)
{
	struct removal *r = ctx;
	int64_t end, until;

	/*
	 * Not in it, it is somebody else's, or gone; or a slot that nobody has
	 * used, which stays one, and counts as one.
	 */
	if (err == 0 && index_read(note, &r->bytes, &end, &until)) {
		r->is_slot = until >= clock_real();
		removal_go(r);
	} else {
		removal_free(r);
	}
}

static void
link_remove(struct mod *m, struct str owner, struct str token)
{
	struct removal *r = removal_new(m, owner, 1);

	removal_add(r, token, 0);
	r->has_claim = token_claim(r->token[0]);
	if (r->has_claim)
		kv_get(mod_host(m)->jid.full, INDEX,
		    index_key(r->arena, r->owner, r->token[0]), on_indexed, r);
	else
		removal_free(r);
}

static bool
is_seen(const struct str *seen, size_t count, struct str token)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(seen[i], token))
			return true;
	return false;
}

/* Wherever in the message an address of ours is. */
static void
on_retracted(const struct host *host, struct str owner, struct str xml)
{
	struct mod *m = mod_find(host, "http_upload");
	struct arena *a = arena_new(0);
	struct str seen[LINKS_MAX], mark;
	size_t count = 0;

	if (m == NULL) {
		arena_free(&a);
		return;
	}
	mark = str_printf(a, STR_FMT "/upload/", STR_ARG(upload_base(a, m)));
	for (size_t i = 0; i + mark.n < xml.n && count < LINKS_MAX; i++) {
		struct str token;

		if (xml.p[i] != mark.p[0] ||
		    !str_has_prefix(str_skip(xml, i), mark))
			continue;
		token = str_sub(xml, i + mark.n, TOKEN_LEN);
		if (!is_token(token) || is_seen(seen, count, token))
			continue;
		seen[count++] = token;
		link_remove(m, owner, token);
	}
	arena_free(&a);
}

const struct retraction_listener on_retraction = { .retracted = on_retracted };
