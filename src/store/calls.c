/* SPDX-License-Identifier: MIT */
/* The calls of storage: each copies its arguments into a request. */
#include "store/req.h"

struct store_write {
	struct store_req req;
};

static struct store_req *
req_new_size(size_t size, enum store_op op, struct str owner)
{
	struct arena *a = arena_new(0);
	struct store_req *req = arena_zalloc(a, size);

	req->arena = a;
	req->loop = loop_self();
	must(req->loop != NULL);
	req->op = op;
	req->owner = str_dup(a, owner);
	return req;
}

static struct store_req *
req_new(enum store_op op, struct str owner, void *ctx)
{
	struct store_req *req = req_new_size(sizeof(*req), op, owner);

	req->ctx = ctx;
	return req;
}

static struct str
copy(struct arena *a, struct str s)
{
	return str_is_none(s) ? s : str_dup(a, s);
}

/* ---- reads ------------------------------------------------------------- */

void
store_account_get(struct str jid, store_account_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_ACCOUNT_GET, jid, ctx);

	req->cb.account = done;
	req_submit(req);
}

void
store_account_list(struct str host, struct str after, size_t limit,
    store_names_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_ACCOUNT_LIST, host, ctx);

	req->key = copy(req->arena, after);
	req->limit = limit;
	req->cb.names = done;
	req_submit(req);
}

void
store_account_count(struct str host, store_count_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_ACCOUNT_COUNT, host, ctx);

	req->cb.count = done;
	req_submit(req);
}

void
kv_get(struct str owner, struct str store, struct str key, store_value_fn *done,
    void *ctx)
{
	struct store_req *req = req_new(STORE_KV_GET, owner, ctx);

	req->store = str_dup(req->arena, store);
	req->key = str_dup(req->arena, key);
	req->cb.value = done;
	req_submit(req);
}

void
kv_list(struct str owner, struct str store, struct str after, bool reverse,
    size_t limit, store_items_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_KV_LIST, owner, ctx);

	req->store = str_dup(req->arena, store);
	req->key = copy(req->arena, after);
	req->is_reverse = reverse;
	req->limit = limit;
	req->cb.items = done;
	req_submit(req);
}

void
kv_count(struct str owner, struct str store, store_count_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_KV_COUNT, owner, ctx);

	req->store = str_dup(req->arena, store);
	req->cb.count = done;
	req_submit(req);
}

void
kv_stores(struct str owner, struct str after, size_t limit,
    store_names_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_KV_STORES, owner, ctx);

	req->key = copy(req->arena, after);
	req->limit = limit;
	req->cb.names = done;
	req_submit(req);
}

void
kv_owners(struct str store, struct str after, size_t limit,
    store_names_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_KV_OWNERS, STR(""), ctx);

	req->store = str_dup(req->arena, store);
	req->key = copy(req->arena, after);
	req->limit = limit;
	req->cb.names = done;
	req_submit(req);
}

static void
filter_copy(struct arena *a, struct archive_filter *to,
    const struct archive_filter *from)
{
	struct str *ids;

	*to = *from;
	to->with = copy(a, from->with);
	to->after_id = copy(a, from->after_id);
	to->before_id = copy(a, from->before_id);
	to->text = copy(a, from->text);
	to->origin_id = copy(a, from->origin_id);
	to->page_after = copy(a, from->page_after);
	to->page_before = copy(a, from->page_before);
	if (from->id_count == 0)
		return;

	ids = arena_alloc(a, from->id_count * sizeof(*ids));
	for (size_t i = 0; i < from->id_count; i++)
		ids[i] = str_dup(a, from->ids[i]);
	to->ids = ids;
}

void
archive_find(struct str owner, const struct archive_filter *filter,
    archive_page_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_ARCHIVE_FIND, owner, ctx);

	filter_copy(req->arena, &req->filter, filter);
	req->cb.page = done;
	req_submit(req);
}

void
archive_ends(struct str owner, archive_page_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_ARCHIVE_ENDS, owner, ctx);

	req->cb.page = done;
	req_submit(req);
}

void
archive_count(struct str owner, store_count_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_ARCHIVE_COUNT, owner, ctx);

	req->cb.count = done;
	req_submit(req);
}

void
archive_expire(struct str host, int64_t before, const atomic_bool *is_aborted,
    store_count_fn *done, void *ctx)
{
	struct store_req *req = req_new(STORE_ARCHIVE_EXPIRE, host, ctx);

	req->before = before;
	req->is_aborted = is_aborted;
	req->cb.count = done;
	req_submit(req);
}

/* ---- writes ------------------------------------------------------------ */

struct store_write *
store_write_new(struct str owner)
{
	struct store_req *req =
	    req_new_size(sizeof(struct store_write), STORE_WRITE, owner);

	req->changes_tail = &req->changes;
	return (struct store_write *)req;
}

void
store_write_drop(struct store_write **w)
{
	struct arena *a;

	if (*w == NULL)
		return;
	a = (*w)->req.arena;
	*w = NULL;
	arena_free(&a);
}

void
store_commit(struct store_write **w, store_done_fn *done, void *ctx)
{
	struct store_req *req = &(*w)->req;

	*w = NULL;
	req->cb.done = done;
	req->ctx = ctx;
	req_submit(req);
}

struct arena *
store_write_arena(struct store_write *w)
{
	return w->req.arena;
}

/* Most changes are of the write's own owner: one copy will do. */
static struct store_change *
change_add(struct store_write *w, enum store_change_op op, struct str owner)
{
	struct store_req *req = &w->req;
	struct store_change *c = arena_new_of(req->arena, struct store_change);

	c->op = op;
	c->owner =
	    str_eq(owner, req->owner) ? req->owner : str_dup(req->arena, owner);
	*req->changes_tail = c;
	req->changes_tail = &c->next;
	return c;
}

void
kv_put(struct store_write *w, struct str owner, struct str store,
    struct str key, struct str value)
{
	struct store_change *c = change_add(w, CHANGE_KV_PUT, owner);

	c->store = str_dup(w->req.arena, store);
	c->key = str_dup(w->req.arena, key);
	c->value = str_dup(w->req.arena, value);
}

void
kv_del(
    struct store_write *w, struct str owner, struct str store, struct str key)
{
	struct store_change *c = change_add(w, CHANGE_KV_DEL, owner);

	c->store = str_dup(w->req.arena, store);
	c->key = str_dup(w->req.arena, key);
}

void
kv_clear(struct store_write *w, struct str owner, struct str store)
{
	struct store_change *c = change_add(w, CHANGE_KV_CLEAR, owner);

	c->store = copy(w->req.arena, store);
}

static void
row_copy(
    struct arena *a, struct account_row *to, const struct account_row *from)
{
	must(from->key_count <= SCRAM_KEYS_MAX);
	*to = *from;
	to->jid = str_dup(a, from->jid);
	to->first_name = copy(a, from->first_name);
	to->last_name = copy(a, from->last_name);
	to->email = copy(a, from->email);
	to->ban = copy(a, from->ban);
	to->last_status = copy(a, from->last_status);
	for (size_t i = 0; i < from->key_count; i++) {
		struct scram_keys *k = &to->keys[i];

		k->mechanism = str_dup(a, k->mechanism);
		k->salt = str_dup(a, k->salt);
		k->stored_key = str_dup(a, k->stored_key);
		k->server_key = str_dup(a, k->server_key);
	}
}

void
account_create(struct store_write *w, const struct account_row *row)
{
	struct store_change *c = change_add(w, CHANGE_ACCOUNT_CREATE, row->jid);

	row_copy(w->req.arena, &c->row, row);
}

void
account_update(struct store_write *w, const struct account_row *row)
{
	struct store_change *c = change_add(w, CHANGE_ACCOUNT_UPDATE, row->jid);

	row_copy(w->req.arena, &c->row, row);
}

void
account_set_last(struct store_write *w, struct str jid, int64_t last_seen,
    struct str last_status)
{
	struct store_change *c = change_add(w, CHANGE_ACCOUNT_LAST, jid);

	c->row.last_seen = last_seen;
	c->row.last_status = copy(w->req.arena, last_status);
}

void
account_delete(struct store_write *w, struct str jid)
{
	change_add(w, CHANGE_ACCOUNT_DELETE, jid);
}

void
archive_append(
    struct store_write *w, struct str owner, const struct archive_item *item)
{
	struct store_change *c = change_add(w, CHANGE_ARCHIVE_APPEND, owner);
	struct arena *a = w->req.arena;
	struct archive_item *to = &c->item;

	*to = *item;
	to->id = str_dup(a, item->id);
	to->with = str_dup(a, item->with);
	to->xml = str_dup(a, item->xml);
	to->body = copy(a, item->body);
	to->origin_id = copy(a, item->origin_id);
	to->media_url = copy(a, item->media_url);
	to->media_type = copy(a, item->media_type);
}

void
archive_replace(
    struct store_write *w, struct str owner, struct str id, struct str xml)
{
	struct store_change *c = change_add(w, CHANGE_ARCHIVE_REPLACE, owner);

	c->item.id = str_dup(w->req.arena, id);
	c->item.xml = str_dup(w->req.arena, xml);
}

void
archive_clear(struct store_write *w, struct str owner, struct str with)
{
	struct store_change *c = change_add(w, CHANGE_ARCHIVE_CLEAR, owner);

	c->item.with = copy(w->req.arena, with);
}
