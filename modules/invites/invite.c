/* SPDX-License-Identifier: MIT */
/* Invitations in the store: made, found, used. */
#include "modules/invites/invites.h"

#include <openssl/sha.h>

static const char *const kinds[] = { "account", "contact", "reset" };

/* ---- as they are kept --------------------------------------------------- */

struct str
invite_id(struct arena *a, struct str token)
{
	unsigned char *sum =
	    (unsigned char *)arena_bytes(a, SHA256_DIGEST_LENGTH);

	SHA256((const unsigned char *)token.p, token.n, sum);
	return str_hex(a, str_mem(sum, SHA256_DIGEST_LENGTH));
}

static struct str
member(struct arena *a, const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);

	return json_is_string(v) ? str_dup(a, str_mem(json_string_value(v),
						  json_string_length(v)))
				 : STR("");
}

static int64_t
number(const json_t *row, const char *name)
{
	return json_integer_value(json_object_get(row, name));
}

struct invite
invite_read(struct arena *a, struct str id, struct str value)
{
	json_t *row = json_loadb(value.p, value.n, 0, NULL);
	struct str kind = member(a, row, "kind");
	struct invite inv = { .id = str_dup(a, id) };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_is(kind, kinds[i]))
			inv.kind = (enum invite_kind)i;
	inv.makes_account = json_is_true(json_object_get(row, "makes_account"));
	inv.by = member(a, row, "by");
	inv.name = member(a, row, "name");
	inv.used_by = member(a, row, "used_by");
	inv.created = number(row, "created");
	inv.expires = number(row, "expires");
	inv.uses = (uint64_t)number(row, "uses");
	json_decref(row);
	return inv;
}

static int
add_bytes(const char *p, size_t n, void *ctx)
{
	buf_add((struct buf *)ctx, p, n);
	return 0;
}

static void
put(struct store_write *w, struct str host, const struct invite *inv)
{
	json_t *row = json_pack("{s:s, s:b, s:s%, s:s%, s:s%, s:I, s:I, s:I}",
	    "kind", kinds[inv->kind], "makes_account", inv->makes_account, "by",
	    inv->by.p, inv->by.n, "name", inv->name.p, inv->name.n, "used_by",
	    inv->used_by.p, inv->used_by.n, "created", (json_int_t)inv->created,
	    "expires", (json_int_t)inv->expires, "uses", (json_int_t)inv->uses);
	struct buf text = { 0 };

	json_dump_callback(row, add_bytes, &text, JSON_COMPACT);
	kv_put(w, host, STORE, inv->id, buf_str(&text));
	buf_fini(&text);
	json_decref(row);
}

static void
del(struct store_write *w, struct str host, const struct invite *inv)
{
	kv_del(w, host, STORE, inv->id);
	if (inv->kind == INVITE_ACCOUNT && inv->name.n > 0)
		kv_del(w, host, STORE_NAMES, inv->name);
}

static bool
is_over(const struct invite *inv)
{
	return inv->expires <= clock_real();
}

bool
invite_makes_account(const struct invite *inv)
{
	return inv->kind == INVITE_ACCOUNT ||
	       (inv->kind == INVITE_CONTACT && inv->makes_account);
}

/* ---- what is under way -------------------------------------------------- */

struct work {
	struct arena *arena; /* it lives in it */
	const struct host *host;
	struct str token, id;
	struct invite inv;
	struct jid who;
	struct str password, inviter;
	bool was_checked, is_busy;
	bool is_patient;   /* it waits while the invitation is being used */
	struct work *next; /* that waits as well */
	struct loop *asker;
	int err;
	void (*tell)(struct work *k);
	union {
		store_done_fn *done;
		invite_made_fn *made;
		invite_found_fn *found;
		store_count_fn *swept;
	};
	uint64_t count; /* of those swept */
	size_t left;	/* still to be swept */
	void *ctx;
};

static struct work *
work_new(const struct host *host, struct str token, void *ctx)
{
	struct arena *a = arena_new(0);
	struct work *k = arena_new_of(a, struct work);

	k->arena = a;
	k->host = host;
	k->token = str_dup(a, token);
	k->id = invite_id(a, token);
	k->asker = loop_self();
	k->ctx = ctx;
	return k;
}

static void
tell_done(struct work *k)
{
	k->done(k->ctx, k->err);
}

static void
told(void *msg)
{
	struct work *k = (struct work *)msg;
	struct arena *a = k->arena;

	k->tell(k);
	arena_free(&a);
}

static struct invites *
state_of(const struct work *k)
{
	struct mod *m = mod_find(k->host, "invites");

	return m != NULL ? (struct invites *)mod_state(m) : NULL;
}

static void begin(struct work *k, void (*next)(struct work *k));

/* At the host's home, or wherever it ran. */
static void
work_end(struct work *k, int err)
{
	struct invites *s = k->is_busy ? state_of(k) : NULL;
	struct busy *b = s != NULL ? map_get(&s->busy, k->id) : NULL;
	struct work *w, *next = NULL;

	if (b != NULL) {
		next = b->waiting;
		map_del(&s->busy, k->id);
		str_free(&b->id);
		xfree(b);
	}
	k->err = err;
	loop_post(k->asker, told, k);
	while ((w = next) != NULL) {
		next = w->next;
		begin(w, w->tell);
	}
}

static void
go_home(struct work *k, void (*fn)(void *msg))
{
	loop_post(account_home(k->host->jid.full), fn, k);
}

/* ---- making ------------------------------------------------------------- */

static void
tell_made(struct work *k)
{
	k->made(k->ctx, k->err, k->token, &k->inv);
}

static void
on_made(void *ctx, int err)
{
	work_end((struct work *)ctx, err);
}

/* Is the user name kept already? */
static bool
is_same_name(const struct work *k, const struct invite *inv)
{
	return k->inv.kind == INVITE_ACCOUNT && k->inv.name.n > 0 &&
	       inv->kind == INVITE_ACCOUNT && inv->uses > 0 &&
	       str_eq(inv->name, k->inv.name);
}

static void
on_all(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct work *k = (struct work *)ctx;
	struct str host = k->host->jid.full;
	struct invites *s = state_of(k);
	const struct invites_options *o =
	    s != NULL ? mod_options(s->mod) : NULL;
	struct store_write *w = store_write_new(host);
	size_t left = 0, his = 0;

	for (size_t i = 0; i < count; i++) {
		struct invite inv =
		    invite_read(k->arena, items[i].key, items[i].value);

		if (is_over(&inv)) {
			del(w, host, &inv);
			continue;
		}
		left++;
		his += k->inv.by.n > 0 && str_eq(inv.by, k->inv.by);
		if (is_same_name(k, &inv))
			err = ERR_EXISTS;
	}
	if (err == 0 && (s == NULL || left >= INVITES_MAX || his >= o->each))
		err = ERR_LIMIT;
	if (err < 0) {
		store_write_drop(&w);
		work_end(k, err);
		return;
	}
	put(w, host, &k->inv);
	if (k->inv.kind == INVITE_ACCOUNT && k->inv.name.n > 0)
		kv_put(w, host, STORE_NAMES, k->inv.name, k->id);
	store_commit(&w, on_made, k);
}

static void
on_name_row(void *ctx, int err, const struct account_row *row)
{
	struct work *k = (struct work *)ctx;
	bool is_wanted = k->inv.kind == INVITE_RESET;

	if (err < 0 && err != ERR_ABSENT)
		work_end(k, err);
	else if (is_wanted != (err == 0))
		work_end(k, is_wanted ? ERR_ABSENT : ERR_EXISTS);
	else
		kv_list(k->host->jid.full, STORE, STR_NONE, false,
		    INVITES_MAX * 2, on_all, k);
}

static void
make_at_home(void *msg)
{
	struct work *k = (struct work *)msg;
	struct jid jid;

	if (k->inv.name.n == 0) {
		kv_list(k->host->jid.full, STORE, STR_NONE, false,
		    INVITES_MAX * 2, on_all, k);
		return;
	}
	jid = jid_make(k->arena, k->inv.name, k->host->jid.domain, STR_NONE);
	store_account_get(jid.bare, on_name_row, k);
}

void
invite_make(
    struct mod *m, const struct invite *want, invite_made_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	char *bytes = arena_bytes(a, TOKEN_LEN / 2);
	struct work *k;

	random_bytes(bytes, TOKEN_LEN / 2);
	k = work_new(
	    mod_host(m), str_hex(a, str_mem(bytes, TOKEN_LEN / 2)), ctx);
	arena_free(&a);
	k->made = done;
	k->tell = tell_made;
	k->inv = *want;
	k->inv.by = str_dup(k->arena, want->by);
	k->inv.name = str_dup(k->arena, want->name);
	k->inv.used_by = STR("");
	k->inv.id = k->id;
	k->inv.created = clock_real();
	go_home(k, make_at_home);
}

/* ---- finding ------------------------------------------------------------ */

/* Who has been banned, or is gone, invites nobody. */
static void
on_inviter(void *ctx, int err, const struct account_row *row)
{
	struct work *k = (struct work *)ctx;

	if (err == 0 && !str_is_empty(row->ban))
		err = ERR_ABSENT;
	k->err = err;
	k->tell(k);
}

static void
on_kept(void *ctx, int err, struct str value)
{
	struct work *k = (struct work *)ctx;

	if (err == 0) {
		k->inv = invite_read(k->arena, k->id, value);
		if (k->inv.uses == 0 || (is_over(&k->inv) && !k->was_checked)) {
			log_notice(NULL, "invitation %.16s of " STR_FMT " %s",
			    k->id.p, STR_ARG(k->host->jid.full),
			    k->inv.uses == 0 ? "was to be used again"
					     : "has expired");
			err = ERR_ABSENT;
		}
	} else if (err == ERR_ABSENT) {
		log_notice(NULL, "unknown invitation %.16s at " STR_FMT,
		    k->id.p, STR_ARG(k->host->jid.full));
	}
	k->err = err;
	if (err == 0 && k->inv.by.n > 0)
		store_account_get(k->inv.by, on_inviter, k);
	else
		k->tell(k);
}

static void
tell_found(struct work *k)
{
	struct arena *a = k->arena;

	k->found(k->ctx, k->err, k->err == 0 ? &k->inv : NULL);
	arena_free(&a);
}

void
invite_find(struct mod *m, struct str token, invite_found_fn *done, void *ctx)
{
	struct work *k = work_new(mod_host(m), token, ctx);

	k->found = done;
	k->tell = tell_found;
	kv_get(k->host->jid.full, STORE, k->id, on_kept, k);
}

/* ---- using -------------------------------------------------------------- */

static void
use(struct work *k, struct str by, store_done_fn *done)
{
	struct str host = k->host->jid.full;
	struct store_write *w = store_write_new(host);

	k->inv.uses--;
	k->inv.used_by = by;
	put(w, host, &k->inv);
	if (k->inv.uses == 0 && k->inv.kind == INVITE_ACCOUNT &&
	    k->inv.name.n > 0)
		kv_del(w, host, STORE_NAMES, k->inv.name);
	store_commit(&w, done, k);
}

/* One at a time: `next` runs when it is found to be good. */
static void
begin(struct work *k, void (*next)(struct work *k))
{
	struct invites *s = state_of(k);
	struct busy *b;

	b = s != NULL ? map_get(&s->busy, k->id) : NULL;
	if (b != NULL && k->is_patient) {
		k->tell = next;
		k->next = b->waiting;
		b->waiting = k;
		return;
	}
	if (s == NULL || b != NULL) {
		k->tell = tell_done;
		work_end(k, s == NULL ? ERR_ABSENT : ERR_LIMIT);
		return;
	}
	b = (struct busy *)xzalloc(sizeof(*b));
	b->id = str_heap(k->id);
	map_set(&s->busy, b->id, b);
	k->is_busy = true;
	k->tell = next;
	kv_get(k->host->jid.full, STORE, k->id, on_kept, k);
}

void
invites_let_go(struct invites *s)
{
	struct busy *b;

	for (size_t i = 0; (b = map_next(&s->busy, &i)) != NULL;) {
		struct work *w, *next = b->waiting;

		while ((w = next) != NULL) {
			next = w->next;
			w->tell = tell_done;
			work_end(w, ERR_ABSENT);
		}
		str_free(&b->id);
		xfree(b);
	}
	map_fini(&s->busy);
}

/* The inviter and the new account know each other from the start. */
struct pair {
	struct arena *arena; /* it lives in it */
	struct jid contact;
};

static void
on_item_kept(void *ctx, int err)
{
	struct pair *p = (struct pair *)ctx;
	struct arena *a = p->arena;

	arena_free(&a);
}

static void
on_friend(void *ctx, int err, struct account *acct)
{
	struct pair *p = (struct pair *)ctx;
	struct roster_item item = { 0 };

	item.jid = p->contact;
	item.sub = ROSTER_BOTH;
	item.is_in_roster = true;
	if (acct == NULL || roster_put(acct, &item, on_item_kept, p) < 0)
		on_item_kept(p, err);
}

static void
befriend(struct str one, struct str other)
{
	struct arena *a = arena_new(0);
	struct pair *p = arena_new_of(a, struct pair);
	struct jid jid = jid_of(one);

	p->arena = a;
	p->contact = jid_of(str_dup(a, other));
	account_call(&jid, on_friend, p);
}

static void
on_used(void *ctx, int err)
{
	struct work *k = (struct work *)ctx;

	if (err < 0)
		log_error(NULL, "invitation %.16s may be used again: %s",
		    k->id.p, err_text(err));
	if (k->inv.kind != INVITE_RESET && k->inv.by.n > 0) {
		befriend(k->who.full, k->inv.by);
		befriend(k->inv.by, k->who.full);
	}
	log_info(NULL, "invitation %.16s used by " STR_FMT, k->id.p,
	    STR_ARG(k->who.full));
	work_end(k, 0);
}

static void
on_account(void *ctx, int err)
{
	struct work *k = (struct work *)ctx;

	if (err < 0)
		work_end(k, err);
	else
		use(k, k->who.full, on_used);
}

/* For whom the name is kept: until that invitation is over. */
static void
on_holder(void *ctx, int err, struct str value)
{
	struct work *k = (struct work *)ctx;
	struct invite inv = { 0 };

	if (err == 0)
		inv = invite_read(k->arena, STR(""), value);
	if (err < 0 && err != ERR_ABSENT)
		work_end(k, err);
	else if (err == 0 && inv.uses > 0 && !is_over(&inv))
		work_end(k, ERR_EXISTS);
	else if (k->password.n > 0)
		account_register(&k->who, k->password, on_account, k);
	else
		work_end(k, 0);
}

static void
on_name(void *ctx, int err, struct str id)
{
	struct work *k = (struct work *)ctx;

	if (err == 0 && !str_eq(id, k->id))
		kv_get(k->host->jid.full, STORE, id, on_holder, k);
	else
		on_holder(k, err < 0 ? err : ERR_ABSENT, STR_NONE);
}

static void
redeem(struct work *k)
{
	bool is_reset = k->inv.kind == INVITE_RESET;

	k->tell = tell_done;
	if (k->err < 0)
		work_end(k, k->err);
	else if (!is_reset && !invite_makes_account(&k->inv))
		work_end(k, ERR_ABSENT);
	else if (k->inv.name.n > 0 && !str_eq(k->inv.name, k->who.local))
		work_end(k, ERR_INVALID);
	else if (is_reset)
		account_set_password(&k->who, k->password, on_account, k);
	else
		kv_get(
		    k->host->jid.full, STORE_NAMES, k->who.local, on_name, k);
}

static void
redeem_at_home(void *msg)
{
	begin((struct work *)msg, redeem);
}

void
invite_redeem(const struct host *host, struct str token, const struct jid *who,
    struct str password, bool was_checked, store_done_fn *done, void *ctx)
{
	struct work *k = work_new(host, token, ctx);

	k->done = done;
	k->tell = tell_done;
	k->who = jid_dup(k->arena, who);
	k->password = str_dup(k->arena, password);
	k->was_checked = was_checked;
	go_home(k, redeem_at_home);
}

static void
redeem_contact(struct work *k)
{
	k->tell = tell_done;
	if (k->err == 0 &&
	    (k->inv.kind != INVITE_CONTACT || !str_eq(k->inv.by, k->inviter)))
		k->err = ERR_ABSENT;
	if (k->err < 0)
		work_end(k, k->err);
	else
		use(k, k->who.full, on_made);
}

static void
contact_at_home(void *msg)
{
	begin((struct work *)msg, redeem_contact);
}

void
invite_redeem_contact(struct mod *m, struct str token, struct str inviter,
    struct str contact, store_done_fn *done, void *ctx)
{
	struct work *k = work_new(mod_host(m), token, ctx);

	k->done = done;
	k->tell = tell_done;
	k->inviter = str_dup(k->arena, inviter);
	k->who = jid_of(str_dup(k->arena, contact));
	go_home(k, contact_at_home);
}

/* ---- the end of one ------------------------------------------------------ */

static void delete (struct work *k)
{
	struct store_write *w;

	k->tell = tell_done;
	/* One that is over, or whose inviter is gone, goes as well. */
	if (k->err < 0 && k->inv.id.n == 0) {
		work_end(k, k->err);
		return;
	}
	w = store_write_new(k->host->jid.full);
	del(w, k->host->jid.full, &k->inv);
	store_commit(&w, on_made, k);
}

static void
delete_at_home(void *msg)
{
	begin((struct work *)msg, delete);
}

void
invite_delete(struct mod *m, struct str id, store_done_fn *done, void *ctx)
{
	struct work *k = work_new(mod_host(m), STR(""), ctx);

	k->id = str_dup(k->arena, id);
	k->done = done;
	k->tell = tell_done;
	k->was_checked = true;
	go_home(k, delete_at_home);
}

static void
expire(struct work *k)
{
	struct store_write *w;

	k->tell = tell_done;
	/* That who invites has been banned is no obstacle. */
	if (k->err < 0 && (k->inv.uses == 0 || is_over(&k->inv))) {
		work_end(k, k->err);
		return;
	}
	/* Who has shown it may be too late, but not use what is used up. */
	k->inv.uses = 0;
	k->inv.expires = clock_real();
	w = store_write_new(k->host->jid.full);
	put(w, k->host->jid.full, &k->inv);
	store_commit(&w, on_made, k);
}

static void
expire_at_home(void *msg)
{
	begin((struct work *)msg, expire);
}

static struct work *
expiry_new(
    const struct host *host, struct str id, store_done_fn *done, void *ctx)
{
	struct work *k = work_new(host, STR(""), ctx);

	k->id = str_dup(k->arena, id);
	k->done = done;
	k->is_patient = true;
	return k;
}

void
invite_expire(struct mod *m, struct str id, store_done_fn *done, void *ctx)
{
	go_home(expiry_new(mod_host(m), id, done, ctx), expire_at_home);
}

static void
tell_swept(struct work *k)
{
	k->swept(k->ctx, k->err, k->count);
}

static void
on_deleted(void *ctx, int err)
{
	struct work *k = (struct work *)ctx;

	if (err < 0)
		k->err = err;
	if (--k->left == 0)
		work_end(k, k->err);
}

/* One that has been used up meanwhile is none of them. */
static void
on_expired(void *ctx, int err)
{
	struct work *k = (struct work *)ctx;

	k->count += err == 0;
	on_deleted(k, err == ERR_ABSENT ? 0 : err);
}

/* Each is read again: it may have been used since it was listed. */
static void
sweep_expire(struct work *k, struct str id)
{
	k->left++;
	begin(expiry_new(k->host, id, on_expired, k), expire);
}

static void
on_all_swept(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct work *k = (struct work *)ctx;
	struct store_write *w;

	if (err < 0) {
		work_end(k, err);
		return;
	}
	w = store_write_new(k->host->jid.full);
	k->left = 1; /* the write */
	for (size_t i = 0; i < count; i++) {
		struct invite inv =
		    invite_read(k->arena, items[i].key, items[i].value);

		if (k->inviter.n == 0 && is_over(&inv)) {
			del(w, k->host->jid.full, &inv);
			k->count++;
		} else if (k->inviter.n > 0 && !is_over(&inv) && inv.uses > 0 &&
			   str_eq(inv.by, k->inviter)) {
			sweep_expire(k, inv.id);
		}
	}
	store_commit(&w, on_deleted, k);
}

static void
sweep_at_home(void *msg)
{
	struct work *k = (struct work *)msg;

	kv_list(k->host->jid.full, STORE, STR_NONE, false, INVITES_MAX * 2,
	    on_all_swept, k);
}

void
invite_sweep(struct mod *m, struct str by, store_count_fn *done, void *ctx)
{
	struct work *k = work_new(mod_host(m), STR(""), ctx);

	k->inviter = str_is_none(by) ? STR("") : str_dup(k->arena, by);
	k->swept = done;
	k->tell = tell_swept;
	go_home(k, sweep_at_home);
}

void
invite_is_reserved(
    const struct host *host, struct str name, store_done_fn *done, void *ctx)
{
	struct work *k = work_new(host, STR(""), ctx);

	k->done = done;
	k->tell = tell_done;
	kv_get(host->jid.full, STORE_NAMES, name, on_name, k);
}
