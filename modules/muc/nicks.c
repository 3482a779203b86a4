/* SPDX-License-Identifier: MIT */
/*
 * Nicknames registered with the whole service (XEP-0077 to its domain, as
 * ejabberd has it): nobody else may use them in any room. All workers know
 * them; changes are made at the home of the service, and then told to all.
 */
#include "modules/muc/muc.h"

#include "xep/0004-forms.h"

#define PAGE 1000

struct nick_row {
	struct str jid, nick;
	char text[];
};

/* ---- what each worker knows -------------------------------------------- */

static void
row_drop(struct muc *muc, struct nick_row *row)
{
	if (row == NULL)
		return;
	map_del(&muc->nick_jids, row->jid);
	if (map_get(&muc->nicks, row->nick) == row)
		map_del(&muc->nicks, row->nick);
	xfree(row);
}

static void
row_set(struct muc *muc, struct str jid, struct str nick)
{
	struct nick_row *row;

	row_drop(muc, map_get(&muc->nick_jids, jid));
	if (nick.n == 0)
		return;
	row = xmalloc(sizeof(*row) + jid.n + nick.n);
	memcpy(row->text, jid.p, jid.n);
	memcpy(row->text + jid.n, nick.p, nick.n);
	row->jid = str_mem(row->text, jid.n);
	row->nick = str_mem(row->text + jid.n, nick.n);
	map_set(&muc->nick_jids, row->jid, row);
	map_set(&muc->nicks, row->nick, row);
}

void
nicks_clear(struct muc *muc)
{
	struct nick_row *row;

	for (size_t i = 0; (row = map_next(&muc->nick_jids, &i)) != NULL;)
		xfree(row);
	map_fini(&muc->nick_jids);
	map_fini(&muc->nicks);
}

static void
on_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct mod *m = ctx;
	struct muc *muc = mod_state(m);

	if (err < 0)
		log_error(
		    mod_log(m), "registered nicknames: %s", err_text(err));
	if (err < 0 || muc->is_stopped)
		return;
	for (size_t i = 0; i < count; i++)
		row_set(muc, items[i].key, items[i].value);
	if (count == PAGE)
		kv_list(mod_service(m)->full, STORE_NICKS, items[count - 1].key,
		    false, PAGE, on_page, m);
}

void
nicks_load(struct mod *m)
{
	const struct muc_options *o = mod_options(m);

	kv_list(o->host, STORE_NICKS, STR_NONE, false, PAGE, on_page, m);
}

struct str
nick_registered(struct mod *m, struct str bare)
{
	const struct muc *muc = mod_state(m);
	const struct nick_row *row = map_get(&muc->nick_jids, bare);

	return row != NULL ? row->nick : STR_NONE;
}

bool
nick_is_taken(const struct room *r, struct str nick, struct str bare)
{
	const struct muc *muc = mod_state(r->mod);
	const struct nick_row *row = map_get(&muc->nicks, nick);

	return row != NULL && !str_eq(row->jid, bare);
}

/* ---- changes ----------------------------------------------------------- */

struct registration {
	struct arena *arena; /* it lives in it */
	struct host *host;
	struct str bare, nick;
	struct loop *asker;
	int err;
	store_done_fn *done;
	void *ctx;
};

static void
spread_part(void *ctx, unsigned worker)
{
	struct registration *reg = ctx;
	struct mod *m = mod_find(reg->host, "muc");

	if (m != NULL)
		row_set(mod_state(m), reg->bare, reg->nick);
}

static void
answer(void *msg)
{
	struct registration *reg = msg;
	struct arena *a = reg->arena;

	reg->done(reg->ctx, reg->err);
	arena_free(&a);
}

static void
spread_done(void *ctx)
{
	struct registration *reg = ctx;

	loop_post(reg->asker, answer, reg);
}

static void
on_stored(void *ctx, int err)
{
	struct registration *reg = ctx;

	reg->err = err;
	if (err < 0)
		spread_done(reg);
	else
		worker_gather(spread_part, spread_done, reg);
}

/* At the home of the service. */
static void
at_home(void *msg)
{
	struct registration *reg = msg;
	struct mod *m = mod_find(reg->host, "muc");
	struct muc *muc = m != NULL ? mod_state(m) : NULL;
	const struct nick_row *row;
	struct store_write *w;
	struct str service;

	row = muc != NULL ? map_get(&muc->nicks, reg->nick) : NULL;
	reg->err = muc == NULL					 ? ERR_ABSENT
		   : row != NULL && !str_eq(row->jid, reg->bare) ? ERR_EXISTS
								 : 0;
	if (muc != NULL && reg->nick.n == 0 &&
	    map_get(&muc->nick_jids, reg->bare) == NULL)
		reg->err = ERR_ABSENT;
	if (reg->err < 0) {
		spread_done(reg);
		return;
	}
	/* Taken from now on, also for who asks before it is stored. */
	row_set(muc, reg->bare, reg->nick);
	service = mod_service(m)->full;
	w = store_write_new(service);
	if (reg->nick.n > 0)
		kv_put(w, service, STORE_NICKS, reg->bare, reg->nick);
	else
		kv_del(w, service, STORE_NICKS, reg->bare);
	store_commit(&w, on_stored, reg);
}

void
nick_register(struct mod *m, struct str bare, struct str nick,
    store_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct registration *reg = arena_new_of(a, struct registration);

	reg->arena = a;
	reg->host = mod_host(m);
	reg->bare = str_dup(a, bare);
	reg->nick = nick.n > 0 ? str_dup(a, nick) : STR_NONE;
	reg->asker = loop_self();
	reg->done = done;
	reg->ctx = ctx;
	loop_post(account_home(mod_service(m)->full), at_home, reg);
}

/* ---- by iq ------------------------------------------------------------- */

static enum verdict
send_form(struct mod *m, struct stanza *iq)
{
	struct str nick = nick_registered(m, iq->from.bare);
	struct elem *query = elem_new(iq->arena, EL_REGISTER), *form;

	if (nick.n > 0)
		elem_add(query, EL_REGISTER_REGISTERED);
	elem_add_text(query, EL_REGISTER_INSTRUCTIONS,
	    STR("Choose the nickname that is to be yours in all rooms."));
	form = form_add(query, "form", "jabber:iq:register");
	elem_add_text(form, EL_FORM_TITLE, STR("Nickname Registration"));
	form_add_field(form, "text-single", "nick", "Nickname",
	    nick.n > 0 ? str_dup(iq->arena, nick) : STR(""));
	elem_append(stanza_result(iq), query);
	return stanza_send_back(iq);
}

static void
on_registered(void *ctx, int err)
{
	struct stanza *iq = ctx;

	if (err == ERR_EXISTS)
		stanza_refuse(iq, EL_CONFLICT);
	else if (err < 0 && err != ERR_ABSENT)
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
	else
		stanza_reply(iq);
}

enum verdict
service_register(struct mod *m, struct stanza *iq)
{
	const struct elem *query = stanza_payload(iq);
	const struct elem *form = elem_child(query, EL_FORM);
	struct str nick = form_value(form, "nick");

	if (host_find(iq->from.domain) == NULL)
		return stanza_refuse(iq, EL_NOT_ALLOWED);
	if (iq->type == IQ_GET)
		return send_form(m, iq);
	if (elem_child(query, EL_REGISTER_REMOVE) != NULL) {
		nick = STR_NONE;
	} else {
		if (nick.n == 0 || nick.n > NICK_MAX)
			return stanza_refuse(iq, EL_BAD_REQUEST);
		if (jid_prep_resource(iq->arena, nick, &nick) < 0)
			return stanza_refuse(iq, EL_JID_MALFORMED);
	}
	nick_register(m, iq->from.bare, nick, on_registered, iq);
	return STANZA_DONE;
}
