/* SPDX-License-Identifier: MIT */
/*
 * "rk_ID_SECRET", both hexadecimal. The store has SHA-256 of the secret: it is
 * random and long, so nothing slower is needed.
 */
#include "core/app_token.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "core/commands.h"
#include "net/loop.h"
#include "store/store.h"

#include <openssl/sha.h>

#define STORE STR("api-token")
#define ID_LEN 16
#define SECRET_LEN 64
#define NAME_MAX_BYTES 100

const char *const app_token_scopes[] = { "users:read", "messages:read",
	"messages:write", "media:read", "media:write", "rooms:read",
	"rooms:write", "users:write", "commands", NULL };

static struct str
random_hex(struct arena *a, size_t digits)
{
	char *bytes = arena_bytes(a, digits / 2);

	random_bytes(bytes, digits / 2);
	return str_hex(a, str_mem(bytes, digits / 2));
}

static struct str
hash_of(struct arena *a, struct str secret)
{
	unsigned char *sum =
	    (unsigned char *)arena_bytes(a, SHA256_DIGEST_LENGTH);

	SHA256((const unsigned char *)secret.p, secret.n, sum);
	return str_hex(a, str_mem(sum, SHA256_DIGEST_LENGTH));
}

static struct str
member(const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);

	return json_is_string(v)
		   ? str_mem(json_string_value(v), json_string_length(v))
		   : STR("");
}

static struct app_token
token_of(struct str id, const json_t *row)
{
	return (struct app_token){ .id = id,
		.name = member(row, "name"),
		.scopes = member(row, "scopes"),
		.created = json_integer_value(json_object_get(row, "created")),
		.expires =
		    json_integer_value(json_object_get(row, "expires")) };
}

bool
app_token_has_scope(const struct app_token *t, const char *scope)
{
	struct str rest = t->scopes;

	while (!str_is_none(rest))
		if (str_is(str_cut(&rest, ' '), scope))
			return true;
	return false;
}

/* Checking ----------------------------------------------------------------*/

struct check {
	struct arena *arena;
	struct str id, hash;
	app_token_fn *done;
	void *ctx;
	struct timer later;
};

static void
check_end(struct check *k, int err, const struct app_token *t)
{
	struct arena *a = k->arena;

	k->done(k->ctx, err, t);
	arena_free(&a);
}

static void
on_kept(void *ctx, int err, struct str value)
{
	struct check *k = (struct check *)ctx;
	json_t *row = err == 0 ? json_loadb(value.p, value.n, 0, NULL) : NULL;
	struct app_token t = token_of(k->id, row);

	if (err < 0 && err != ERR_ABSENT)
		err = ERR_STORE;
	else if (row == NULL || !str_eq_secret(member(row, "hash"), k->hash) ||
		 (t.expires != 0 && t.expires <= clock_real()))
		err = ERR_DENIED;
	check_end(k, err, err == 0 ? &t : NULL);
	json_decref(row);
}

static void
on_later(struct timer *t)
{
	check_end(CONTAINER_OF(t, struct check, later), ERR_DENIED, NULL);
}

static bool
is_hex(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\0' ||
		    strchr("0123456789abcdef", s.p[i]) == NULL)
			return false;
	return true;
}

void
app_token_check(
    const struct host *host, struct str text, app_token_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct check *k = arena_new_of(a, struct check);
	struct str secret = text, kind = str_cut(&secret, '_');

	k->arena = a;
	k->done = done;
	k->ctx = ctx;
	k->id = str_dup(a, str_cut(&secret, '_'));
	k->hash = hash_of(a, secret);
	if (!str_is(kind, "rk") || k->id.n != ID_LEN ||
	    secret.n != SECRET_LEN || !is_hex(k->id)) {
		timer_start(&k->later, 0, on_later);
		return;
	}
	kv_get(host->jid.full, STORE, k->id, on_kept, k);
}

/* create_api_token --------------------------------------------------------*/

struct making {
	struct cmd *c;
	struct host *host;
	struct str text, id;
	json_t *row;
};

static bool
is_scope(struct str s)
{
	for (size_t i = 0; app_token_scopes[i] != NULL; i++)
		if (str_is(s, app_token_scopes[i]))
			return true;
	return false;
}

/* The words; or none, and the command has failed. */
static struct str
read_scopes(struct cmd *c)
{
	const json_t *v, *list = cmd_json(c, "scopes");
	struct str all = STR("");
	size_t i;

	json_array_foreach(list, i, v)
	{
		struct str s = str_trim(
		    str_mem(json_string_value(v), json_string_length(v)));

		if (!is_scope(s) || all.n > 1000) {
			cmd_fail(c, CMD_BAD_ARG, 0,
			    "Unknown scope '" STR_FMT
			    "'; there are users:read, users:write, "
			    "messages:read, "
			    "messages:write, media:read, media:write, "
			    "rooms:read, rooms:write and commands",
			    STR_ARG(str_sub(s, 0, 64)));
			return STR_NONE;
		}
		all = str_printf(cmd_arena(c), STR_FMT "%s" STR_FMT,
		    STR_ARG(all), all.n > 0 ? " " : "", STR_ARG(s));
	}
	if (all.n > 0)
		return all;
	cmd_fail(c, CMD_BAD_ARG, 0, "A token without a scope is of no use");
	return STR_NONE;
}

static void
on_made(void *ctx, int err)
{
	struct making *k = (struct making *)ctx;

	json_decref(k->row);
	if (err < 0)
		cmd_fail(k->c, CMD_FAILED, 0, "%s", err_text(err));
	else
		cmd_result(k->c, json_stringn(k->text.p, k->text.n));
}

static int
add_bytes(const char *p, size_t n, void *ctx)
{
	buf_add((struct buf *)ctx, p, n);
	return 0;
}

static void
on_counted(void *ctx, int err, uint64_t count)
{
	struct making *k = (struct making *)ctx;
	struct str owner = k->host->jid.full;
	struct buf value = { 0 };
	struct store_write *w;

	if (err < 0 || count >= TOKENS_MAX) {
		json_decref(k->row);
		cmd_fail(k->c, CMD_FAILED, 0, "%s",
		    err < 0 ? err_text(err) : "There are too many tokens");
		return;
	}
	json_dump_callback(k->row, add_bytes, &value, JSON_COMPACT);
	w = store_write_new(owner);
	kv_put(w, owner, STORE, k->id, buf_str(&value));
	buf_fini(&value);
	store_commit(&w, on_made, k);
}

static void
run_create(struct cmd *c)
{
	struct arena *a = cmd_arena(c);
	struct making *k = arena_new_of(a, struct making);
	struct str name = cmd_str(c, "name"), scopes, secret, hash;
	int64_t days, now = clock_real();

	k->c = c;
	k->host = cmd_host(c, "host");
	if (k->host == NULL)
		return;
	if (name.n == 0 || name.n > NAME_MAX_BYTES || !str_is_utf8(name)) {
		cmd_fail(c, CMD_BAD_ARG, 0, "A name of 1 to 100 bytes");
		return;
	}
	if (!cmd_days(c, &days))
		return;
	scopes = read_scopes(c);
	if (str_is_none(scopes))
		return;
	k->id = random_hex(a, ID_LEN);
	secret = random_hex(a, SECRET_LEN);
	hash = hash_of(a, secret);
	k->text = str_printf(
	    a, "rk_" STR_FMT "_" STR_FMT, STR_ARG(k->id), STR_ARG(secret));
	k->row = json_pack("{s:s%, s:s%, s:s%, s:I, s:I}", "name", name.p,
	    name.n, "scopes", scopes.p, scopes.n, "hash", hash.p, hash.n,
	    "created", (json_int_t)now, "expires",
	    (json_int_t)(days == 0 ? 0 : now + days * (int64_t)DAYS(1)));
	kv_count(k->host->jid.full, STORE, on_counted, k);
}

/* api_tokens, revoke_api_token --------------------------------------------*/

static json_t *
time_text(struct arena *a, int64_t when)
{
	struct str s = when == 0 ? STR("never") : clock_format(a, when, false);

	return json_stringn(s.p, s.n);
}

static void
on_listed(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct cmd *c = (struct cmd *)ctx;
	json_t *list;

	if (err < 0) {
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
		return;
	}
	list = json_array();
	for (size_t i = 0; i < count; i++) {
		json_t *row =
		    json_loadb(items[i].value.p, items[i].value.n, 0, NULL);
		struct app_token t = token_of(items[i].key, row);

		json_array_append_new(
		    list, json_pack("{s:s%, s:s%, s:s%, s:o, s:o}", "id",
			      t.id.p, t.id.n, "name", t.name.p, t.name.n,
			      "scopes", t.scopes.p, t.scopes.n, "created",
			      time_text(cmd_arena(c), t.created), "expires",
			      time_text(cmd_arena(c), t.expires)));
		json_decref(row);
	}
	cmd_result(c, list);
}

static void
run_list(struct cmd *c)
{
	struct host *h = cmd_host(c, "host");

	if (h != NULL)
		kv_list(h->jid.full, STORE, STR_NONE, false, TOKENS_MAX,
		    on_listed, c);
}

static void
on_found(void *ctx, int err, struct str value)
{
	struct cmd *c = (struct cmd *)ctx;
	struct store_write *w;
	struct str owner;

	if (err < 0) {
		cmd_fail(c, err == ERR_ABSENT ? CMD_NOT_FOUND : CMD_FAILED, 0,
		    "%s",
		    err == ERR_ABSENT ? "There is no such token"
				      : err_text(err));
		return;
	}
	owner = ((struct host *)cmd_ctx(c))->jid.full;
	w = store_write_new(owner);
	kv_del(w, owner, STORE, cmd_str(c, "id"));
	store_commit(&w, cmd_on_done, c);
}

static void
run_revoke(struct cmd *c)
{
	struct host *h = cmd_host(c, "host");

	if (h == NULL)
		return;
	cmd_set_ctx(c, h);
	kv_get(h->jid.full, STORE, cmd_str(c, "id"), on_found, c);
}

const struct command commands_tokens[] = {
	{ .name = "create_api_token",
	    .tag = "api",
	    .help = "Make a token for an application, shown this once; scopes: "
		    "users:read, users:write, messages:read, messages:write, "
		    "media:read, "
		    "media:write, rooms:read, rooms:write, commands; days: how "
		    "long it is good, 0: for ever",
	    .args = { ARG("host", "string"), ARG("name", "string"),
		ARG("scopes", "[scope:string]"),
		{ .name = "days", .type = "integer", .fallback = "0" } },
	    .result_name = "token",
	    .result = "string",
	    .run = run_create },
	{ .name = "api_tokens",
	    .tag = "api",
	    .help = "List the tokens of applications",
	    .args = { ARG("host", "string") },
	    .result_name = "tokens",
	    .result = "[{id:string, name:string, scopes:string, "
		      "created:string, expires:string}]",
	    .run = run_list },
	{ .name = "revoke_api_token",
	    .tag = "api",
	    .help = "Have a token hold no longer",
	    .args = { ARG("host", "string"), ARG("id", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_revoke },
	COMMANDS_END,
};
