/* SPDX-License-Identifier: MIT */
/* The files of an account: listed, or removed before it goes. */
#include "modules/http_upload/upload.h"

#define PAGE_COUNT 1000

struct belonging {
	struct belongings *of;
	struct arena *arena; /* it lives in it */
	struct arena *page;
	struct mod *mod;
	struct str owner;
	struct str *tokens; /* of the page */
	size_t count;
};

static void
end(struct belonging *k, int err)
{
	struct belongings *of = k->of;
	struct arena *a = k->arena;

	mod_release(k->mod);
	arena_free(&k->page);
	arena_free(&a);
	belongings_release(of, err);
}

static void list(struct belonging *k, struct str after);

static void
on_removed(void *ctx, int err)
{
	struct belonging *k = (struct belonging *)ctx;

	if (err < 0)
		log_error(
		    NULL, "files of " STR_FMT " are left", STR_ARG(k->owner));
	if (err < 0 || k->count < PAGE_COUNT)
		end(k, err < 0 ? ERR_STORE : 0);
	else
		list(k, k->tokens[k->count - 1]);
}

static void
on_listed(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct belonging *k = (struct belonging *)ctx;

	if (err < 0 || count == 0) {
		end(k, err);
		return;
	}
	k->tokens =
	    (struct str *)arena_alloc(k->page, count * sizeof(*k->tokens));
	k->count = count;
	for (size_t i = 0; i < count; i++) {
		struct str note = items[i].value;
		uint64_t size = 0;

		k->tokens[i] = str_dup(k->page, items[i].key);
		str_to_u64(str_cut(&note, ' '), &size);
		belongings_add(k->of, "upload", items[i].key, size);
	}
	if (belongings_are_to_go(k->of))
		storage_remove(k->mod, k->tokens, k->count, on_removed, k);
	else
		on_removed(k, 0);
}

static void
list(struct belonging *k, struct str after)
{
	struct arena *before = k->page;

	k->page = arena_new(0);
	kv_list(k->owner, STORE, after, false, PAGE_COUNT, on_listed, k);
	arena_free(&before);
}

void
on_belongings(struct mod *m, struct belongings *b)
{
	struct arena *a = arena_new(0);
	struct belonging *k = arena_new_of(a, struct belonging);

	k->of = b;
	k->arena = a;
	k->mod = m;
	mod_hold(m);
	k->owner = str_dup(a, belongings_account(b)->jid.bare);
	belongings_hold(b);
	list(k, STR_NONE);
}
