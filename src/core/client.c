/* SPDX-License-Identifier: MIT */
#include "core/client.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/conf.h"
#include "core/session.h"
#include "store/store.h"

#include <jansson.h>

#define STORE STR("clients")
/* Of an account: more than anybody has, and bounded. */
#define CLIENTS_MAX 64
#define TEXT_MAX 200
/* That it was seen is worth a write only now and then. */
#define SEEN_MS HOURS(1)

struct waiter {
	struct list node;
	void (*done)(void *ctx, int err);
	void *ctx;
};

struct clients {
	struct list list; /* of struct client, by id */
	size_t count;
	bool is_loaded;
	struct list waiters;
};

/* ---- life -------------------------------------------------------------- */

static void
token_clear(struct token *t)
{
	str_free(&t->serial);
	str_free(&t->mechanism);
	*t = (struct token){ 0 };
}

static void
client_free(struct clients *all, struct client *c)
{
	list_del(&c->node);
	all->count--;
	token_clear(&c->token);
	token_clear(&c->fresh);
	str_free(&c->id);
	str_free(&c->software);
	str_free(&c->device);
	xfree(c);
}

static struct client *
client_add(struct clients *all, struct str id)
{
	struct client *c = (struct client *)xzalloc(sizeof(*c));

	c->id = str_heap(id);
	list_add(&all->list, &c->node);
	all->count++;
	return c;
}

void
clients_free(struct account *acct)
{
	struct clients *all = acct->clients;
	struct client *c;

	acct->clients = NULL;
	if (all == NULL)
		return;
	while ((c = LIST_FIRST(&all->list, struct client, node)) != NULL)
		client_free(all, c);
	xfree(all);
}

struct client *
clients_next(const struct account *acct, struct client *after)
{
	struct clients *all = acct->clients;
	struct list *next;

	if (all == NULL)
		return NULL;
	next = after != NULL ? after->node.next : all->list.next;
	return next != &all->list ? CONTAINER_OF(next, struct client, node)
				  : NULL;
}

struct client *
client_find(const struct account *acct, struct str id)
{
	struct client *c = NULL;

	while ((c = clients_next(acct, c)) != NULL)
		if (str_eq(c->id, id))
			return c;
	return NULL;
}

bool
client_is_connected(const struct account *acct, const struct client *c)
{
	struct session *s;

	LIST_EACH(
	    s, (struct list *)(uintptr_t)&acct->sessions, struct session, node)
	if (!s->is_closing && str_eq(s->client, c->id))
		return true;
	return false;
}

bool
client_has_token(const struct client *c)
{
	int64_t now = clock_real();

	return (!str_is_none(c->token.serial) && c->token.expires > now) ||
	       (!str_is_none(c->fresh.serial) && c->fresh.expires > now);
}

/* ---- as stored --------------------------------------------------------- */

static json_t *
text_json(struct str s)
{
	return str_is_none(s) ? json_null() : json_stringn(s.p, s.n);
}

static json_t *
token_json(const struct token *t)
{
	if (str_is_none(t->serial))
		return json_null();
	return json_pack("{so so sI sI sI}", "serial", text_json(t->serial),
	    "mechanism", text_json(t->mechanism), "issued",
	    (json_int_t)t->issued, "expires", (json_int_t)t->expires, "count",
	    (json_int_t)t->count);
}

static void
client_put(
    struct store_write *w, const struct account *acct, const struct client *c)
{
	json_t *j = json_pack("{so so sI sI sb so so}", "software",
	    text_json(c->software), "device", text_json(c->device), "first",
	    (json_int_t)c->first_seen, "last", (json_int_t)c->last_seen,
	    "password", (int)c->by_password, "token", token_json(&c->token),
	    "fresh", token_json(&c->fresh));
	size_t n = json_dumpb(j, NULL, 0, JSON_COMPACT);
	char *text = arena_bytes(store_write_arena(w), n);

	must(json_dumpb(j, text, n, JSON_COMPACT) == n);
	kv_put(w, acct->jid.bare, STORE, c->id, str_mem(text, n));
	json_decref(j);
}

static struct str
json_text(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text != NULL ? str_heap(str_c(text)) : STR_NONE;
}

static int64_t
json_number(const json_t *j, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(j, key));
}

static void
token_read(struct token *t, const json_t *j)
{
	t->serial = json_text(j, "serial");
	t->mechanism = json_text(j, "mechanism");
	t->issued = json_number(j, "issued");
	t->expires = json_number(j, "expires");
	t->count = (uint64_t)json_number(j, "count");
}

static void
client_read(struct clients *all, const struct kv_item *item)
{
	json_t *j = json_loadb(item->value.p, item->value.n, 0, NULL);
	struct client *c;

	if (!json_is_object(j)) {
		json_decref(j);
		return;
	}
	c = client_add(all, item->key);
	c->software = json_text(j, "software");
	c->device = json_text(j, "device");
	c->first_seen = json_number(j, "first");
	c->last_seen = json_number(j, "last");
	c->by_password = json_is_true(json_object_get(j, "password"));
	token_read(&c->token, json_object_get(j, "token"));
	token_read(&c->fresh, json_object_get(j, "fresh"));
	json_decref(j);
}

/* ---- loading ----------------------------------------------------------- */

/* Those that have not been seen for as long as the configuration says. */
static void
forget_old(struct account *acct)
{
	int64_t before =
	    clock_real() - (int64_t)conf_now()->auth.client_retention_ms;
	struct clients *all = acct->clients;
	struct store_write *w = NULL;
	struct client *c;

	LIST_EACH(c, &all->list, struct client, node)
	{
		if (c->last_seen >= before || client_has_token(c) ||
		    client_is_connected(acct, c))
			continue;
		if (w == NULL)
			w = store_write_new(acct->jid.bare);
		kv_del(w, acct->jid.bare, STORE, c->id);
		client_free(all, c);
	}
	if (w != NULL)
		store_commit(&w, NULL, NULL);
}

static void
on_list(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct account *acct = (struct account *)ctx;
	struct clients *all = acct->clients;
	struct waiter *w;

	for (size_t i = 0; i < count; i++)
		client_read(all, &items[i]);
	all->is_loaded = err == 0;
	if (err == 0)
		forget_old(acct);
	while ((w = LIST_FIRST(&all->waiters, struct waiter, node)) != NULL) {
		list_del(&w->node);
		w->done(w->ctx, err);
		xfree(w);
	}
	account_unpin(acct);
}

void
clients_load(struct account *acct, void (*done)(void *ctx, int err), void *ctx)
{
	struct clients *all = acct->clients;
	struct waiter *w;

	if (all != NULL && all->is_loaded) {
		done(ctx, 0);
		return;
	}
	if (all == NULL) {
		all = (struct clients *)xzalloc(sizeof(*all));
		list_init(&all->list);
		list_init(&all->waiters);
		acct->clients = all;
	}
	w = (struct waiter *)xzalloc(sizeof(*w));
	w->done = done;
	w->ctx = ctx;
	if (list_is_empty(&all->waiters)) {
		account_pin(acct);
		kv_list(acct->jid.bare, STORE, STR_NONE, false, CLIENTS_MAX,
		    on_list, acct);
	}
	list_add(&all->waiters, &w->node);
}

/* ---- changes ----------------------------------------------------------- */

void
client_save(struct account *acct, const struct client *c,
    void (*done)(void *ctx, int err), void *ctx)
{
	struct store_write *w = store_write_new(acct->jid.bare);

	client_put(w, acct, c);
	store_commit(&w, done, ctx);
}

void
client_remove(struct account *acct, struct client *c,
    void (*done)(void *ctx, int err), void *ctx)
{
	struct store_write *w = store_write_new(acct->jid.bare);

	kv_del(w, acct->jid.bare, STORE, c->id);
	client_free(acct->clients, c);
	store_commit(&w, done, ctx);
}

/* Room for one more: the longest unseen goes; false if all are connected. */
static bool
make_room(struct account *acct)
{
	struct client *c = NULL, *oldest = NULL;

	if (acct->clients->count < CLIENTS_MAX)
		return true;
	while ((c = clients_next(acct, c)) != NULL)
		if (!client_is_connected(acct, c) &&
		    (oldest == NULL || c->last_seen < oldest->last_seen))
			oldest = c;
	if (oldest == NULL)
		return false;
	client_remove(acct, oldest, NULL, NULL);
	return true;
}

/* Answers whether it is another now. */
static bool
set_text(struct str *text, struct str value)
{
	value = str_trim(value);
	if (value.n == 0 || value.n > TEXT_MAX || !str_is_utf8(value) ||
	    str_eq(*text, value))
		return false;
	str_free(text);
	*text = str_heap(value);
	return true;
}

struct client *
client_seen(struct account *acct, struct str id, struct str software,
    struct str device, bool by_password)
{
	struct client *c = client_find(acct, id);
	int64_t now = clock_real();
	bool is_changed = false;

	if (conf_now()->auth.client_retention_ms == 0 && c == NULL)
		return NULL;
	if (c == NULL) {
		if (!make_room(acct))
			return NULL;
		c = client_add(acct->clients, id);
		c->first_seen = now;
		is_changed = true;
	}
	is_changed |= set_text(&c->software, software);
	is_changed |= set_text(&c->device, device);
	is_changed |= c->by_password != by_password;
	is_changed |= now - c->last_seen >= (int64_t)SEEN_MS;
	c->by_password = by_password;
	c->last_seen = now;
	if (is_changed)
		client_save(acct, c, NULL, NULL);
	return c;
}

void
clients_drop_tokens(struct account *acct, struct store_write *w)
{
	struct client *c = NULL;

	while ((c = clients_next(acct, c)) != NULL) {
		token_clear(&c->token);
		token_clear(&c->fresh);
		c->by_password = false;
		client_put(w, acct, c);
	}
}
