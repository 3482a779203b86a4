/* SPDX-License-Identifier: MIT */
#include "core/account_walk.h"

#include "base/err.h"
#include "jid/jid.h"

#define PAGE 200

struct account_walk {
	const struct account_visitor *visitor;
	void *ctx;
	size_t host; /* index of the one being walked, and the last */
	size_t last;
	struct arena *arena; /* of `after` */
	struct str after;
	bool is_page_last; /* of its host */
};

static void
walk_end(struct account_walk *w, int err)
{
	w->visitor->end(w->ctx, err);
	arena_free(&w->arena);
	xfree(w);
}

static void
on_names(void *ctx, int err, const struct str *names, size_t count)
{
	struct account_walk *w = (struct account_walk *)ctx;

	if (err < 0) {
		walk_end(w, err);
		return;
	}
	w->is_page_last = count < PAGE;
	arena_reset(w->arena);
	if (count > 0)
		w->after = str_dup(w->arena, names[count - 1]);
	w->visitor->page(w, names, count);
}

static void
ask_page(struct account_walk *w)
{
	store_account_list(
	    host_at(w->host)->jid.domain, w->after, PAGE, on_names, w);
}

void
account_walk_next(struct account_walk *w)
{
	if (w->is_page_last) {
		if (w->host == w->last) {
			walk_end(w, 0);
			return;
		}
		w->host++;
		w->after = STR_NONE;
	}
	ask_page(w);
}

void
account_walk(
    const struct host *host, const struct account_visitor *visitor, void *ctx)
{
	struct account_walk *w = (struct account_walk *)xzalloc(sizeof(*w));

	w->visitor = visitor;
	w->ctx = ctx;
	w->arena = arena_new(0);
	w->host = host != NULL ? host->index : 0;
	w->last = host != NULL ? host->index : host_count() - 1;
	ask_page(w);
}

void *
account_walk_ctx(const struct account_walk *w)
{
	return w->ctx;
}

const struct host *
account_walk_host(const struct account_walk *w)
{
	return host_at(w->host);
}

struct jid
account_walk_jid(const struct account_walk *w, struct arena *a, struct str name)
{
	return jid_make(a, name, account_walk_host(w)->jid.domain, STR_NONE);
}

/* Rows --------------------------------------------------------------------*/

struct row_walk {
	account_row_fn *row;
	void (*end)(void *ctx, int err);
	void *ctx;
	struct account_walk *walk;
	size_t waiting; /* rows of this page, and one for the asking */
	int err;
};

static void
row_waited(struct row_walk *r)
{
	struct account_walk *w = r->walk;

	if (--r->waiting > 0)
		return;
	if (r->err < 0)
		walk_end(w, r->err);
	else
		account_walk_next(w);
}

static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct row_walk *r = (struct row_walk *)ctx;
	struct jid jid;

	if (err == 0) {
		jid = jid_of(row->jid);
		r->row(r->ctx, &jid, row);
	} else if (err != ERR_ABSENT) {
		r->err = err;
	}
	row_waited(r);
}

static void
on_row_page(struct account_walk *w, const struct str *names, size_t count)
{
	struct row_walk *r = (struct row_walk *)account_walk_ctx(w);
	struct arena *a = arena_new(0);

	r->walk = w;
	r->waiting = count + 1;
	for (size_t i = 0; i < count; i++) {
		struct jid jid = account_walk_jid(w, a, names[i]);

		store_account_get(jid.bare, on_row, r);
	}
	arena_free(&a);
	row_waited(r);
}

static void
on_rows_end(void *ctx, int err)
{
	struct row_walk *r = (struct row_walk *)ctx;

	r->end(r->ctx, err);
	xfree(r);
}

void
account_walk_rows(const struct host *host, account_row_fn *row,
    void (*end)(void *ctx, int err), void *ctx)
{
	static const struct account_visitor visitor = {
		.page = on_row_page,
		.end = on_rows_end,
	};
	struct row_walk *r = (struct row_walk *)xzalloc(sizeof(*r));

	r->row = row;
	r->end = end;
	r->ctx = ctx;
	account_walk(host, &visitor, r);
}
