/* SPDX-License-Identifier: MIT */
/*
 * Writes are done once for each Idempotency-Key: the key is noted before, with
 * the ids of what will be made, and the answer after. Who comes again gets that
 * answer. If we have died in between, what was done is recognised by its ids.
 */
#include "modules/api/api.h"

#include <openssl/sha.h>

/* What one account may have in a day. */
#define KEYS_MAX 20000

bool
busy_enter(struct api *api, struct str key)
{
	char *own;

	if (map_get(&api->busy, key) != NULL)
		return false;
	own = xzalloc(key.n + 1);
	memcpy(own, key.p, key.n);
	map_set(&api->busy, str_mem(own, key.n), own);
	return true;
}

void
busy_leave(struct api *api, struct str key)
{
	xfree(map_del(&api->busy, key));
}

static struct str
owner_of(const struct call *c)
{
	return call_arg(c, c->route->actor)->jid.bare;
}

/* What is one thing being done here. */
static struct str
busy_key(const struct call *c)
{
	return str_printf(c->arena, STR_FMT "\n" STR_FMT, STR_ARG(owner_of(c)),
	    STR_ARG(c->key));
}

static struct str
sum_of(struct arena *a, struct str text)
{
	unsigned char *sum =
	    (unsigned char *)arena_bytes(a, SHA256_DIGEST_LENGTH);

	SHA256((const unsigned char *)text.p, text.n, sum);
	return str_hex(a, str_mem(sum, SHA256_DIGEST_LENGTH));
}

/* Ids for all that it may make. */
static void
ids_make(struct call *c)
{
	for (size_t i = 0; i < c->id_count; i++) {
		char *id = arena_bytes(c->arena, UUID_LEN + 1);

		uuid7(id);
		c->ids[i] = str_mem(id, UUID_LEN);
	}
}

static void
note_write(struct call *c, bool is_done, store_done_fn *done)
{
	struct str owner = owner_of(c);
	struct store_write *w = store_write_new(owner);
	json_t *ids = json_array(), *row;
	struct buf out = { 0 };

	for (size_t i = 0; i < c->id_count; i++)
		json_array_append_new(ids, json_of(c->ids[i]));
	row = json_pack("{s:I, s:o, s:o}", "time", (json_int_t)clock_real(),
	    "print", json_of(c->print), "ids", ids);
	if (is_done) {
		json_object_set_new(
		    row, "status", json_integer((json_int_t)c->status));
		json_object_set_new(row, "text", json_of(c->text));
	}
	json_text(&out, row);
	json_decref(row);
	kv_put(w, owner, ONCE_STORE, c->key, buf_str(&out));
	buf_fini(&out);
	store_commit(&w, done, c);
}

/* The end ------------------------------------------------------------------*/

static void
leave(struct call *c)
{
	struct mod *m = api_here(c->host);

	if (m != NULL)
		busy_leave(api_state(m), busy_key(c));
	call_end(c);
}

/* Though the note could not be kept, the thing is done. */
static void
on_noted_end(void *ctx, int err)
{
	leave(ctx);
}

void
once_end(struct call *c)
{
	struct store_write *w;

	if (c->status < 300) {
		note_write(c, true, on_noted_end);
		return;
	}
	/* Nothing was done: he may try again. */
	w = store_write_new(owner_of(c));
	kv_del(w, owner_of(c), ONCE_STORE, c->key);
	store_commit(&w, on_noted_end, c);
}

/* The beginning ------------------------------------------------------------*/

/* With nothing to undo but that it is busy. */
static void
refuse(struct call *c, unsigned status, const char *slug, const char *text)
{
	struct mod *m = api_here(c->host);

	if (m != NULL)
		busy_leave(api_state(m), busy_key(c));
	c->key = STR_NONE;
	call_problem(c, status, slug, "%s", text);
}

static void
on_noted(void *ctx, int err)
{
	struct call *c = ctx;

	if (err < 0)
		refuse(c, 503, "unavailable", "The store does not answer.");
	else
		c->route->run(c);
}

static void
on_counted(void *ctx, int err, uint64_t count)
{
	struct call *c = ctx;

	if (err < 0)
		refuse(c, 503, "unavailable", "The store does not answer.");
	else if (count >= KEYS_MAX)
		refuse(c, 429, "too-many-keys",
		    "Too many idempotency keys of this user are kept.");
	else
		note_write(c, false, on_noted);
}

static struct str
text_member(const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);

	return str_mem(json_string_value(v), json_string_length(v));
}

/* It was answered, or at least begun. */
static void
again(struct call *c, const json_t *row)
{
	const json_t *ids = json_object_get(row, "ids");
	const json_t *status = json_object_get(row, "status");

	if (!str_eq(text_member(row, "print"), c->print)) {
		refuse(c, 422, "key-reused",
		    "This idempotency key was used for something else.");
		return;
	}
	if (json_is_integer(status)) {
		struct mod *m = api_here(c->host);

		if (m != NULL)
			busy_leave(api_state(m), busy_key(c));
		c->is_kept = true;
		c->status = (unsigned)json_integer_value(status);
		c->type = "application/json";
		c->text = str_dup(c->arena, text_member(row, "text"));
		call_end(c);
		return;
	}
	for (size_t i = 0; i < c->id_count && i < json_array_size(ids); i++) {
		const json_t *v = json_array_get(ids, i);

		c->ids[i] = str_dup(c->arena,
		    str_mem(json_string_value(v), json_string_length(v)));
	}
	c->is_again = true;
	c->route->run(c);
}

static void
on_found(void *ctx, int err, struct str value)
{
	struct call *c = ctx;
	json_t *row;
	int64_t time;

	if (err < 0 && err != ERR_ABSENT) {
		refuse(c, 503, "unavailable", "The store does not answer.");
		return;
	}
	row = err == 0 ? json_loadb(value.p, value.n, 0, NULL) : NULL;
	time = json_integer_value(json_object_get(row, "time"));
	if (row != NULL && time + (int64_t)KEEP_MS > clock_real())
		again(c, row);
	else
		kv_count(owner_of(c), ONCE_STORE, on_counted, c);
	json_decref(row);
}

/* 1 to 255 visible characters, as a header may carry them. */
static bool
key_is_fine(struct str key)
{
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] <= ' ' || key.p[i] > '~')
			return false;
	return key.n >= 1 && key.n <= 255;
}

static int
add_bytes(const char *p, size_t n, void *ctx)
{
	buf_add(ctx, p, n);
	return 0;
}

/* What was asked for, whatever the order of its members. */
static struct str
print_of(struct call *c)
{
	struct buf text = { 0 };
	struct str print;

	buf_printf(&text, "%s %s ", c->route->method, c->route->id);
	json_dump_callback(
	    c->body, add_bytes, &text, JSON_COMPACT | JSON_SORT_KEYS);
	print = sum_of(c->arena, buf_str(&text));
	buf_fini(&text);
	return print;
}

void
once_begin(struct call *c)
{
	struct str key = http_head(c->req, "idempotency-key");
	const struct arg *to;

	to = call_arg(c, c->route->actor);
	for (size_t i = 0; i < PARAMS_MAX; i++)
		c->id_count = MAX(c->id_count, c->arg[i].count);
	must(to->count >= 1);
	c->ids = arena_alloc(c->arena, c->id_count * sizeof(*c->ids));
	ids_make(c);
	if (str_is_none(key)) {
		c->route->run(c);
		return;
	}
	if (!key_is_fine(key)) {
		call_problem(c, 400, "bad-key",
		    "An idempotency key is of 1 to 255 visible characters.");
		return;
	}
	c->print = print_of(c);
	c->key = str_printf(c->arena, STR_FMT ":" STR_FMT, STR_ARG(c->token),
	    STR_ARG(sum_of(c->arena, key)));
	if (!busy_enter(api_state(api_here(c->host)), busy_key(c))) {
		c->key = STR_NONE;
		call_problem(c, 409, "in-progress",
		    "A request with this key is being answered.");
		return;
	}
	kv_get(owner_of(c), ONCE_STORE, c->key, on_found, c);
}
