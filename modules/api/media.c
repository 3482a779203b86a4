/* SPDX-License-Identifier: MIT */
/*
 * Photos, videos and other files: the application asks for a place to put one,
 * and when it has put it there the message with its address goes out. What is
 * to be said of a file that has not come yet is noted with its sender, by the
 * token of its place; PUT is answered when the message is kept.
 */
#include "modules/api/api.h"

#define SLOT_TIMEOUT_MS SECONDS(30)

/* Asking for a place -------------------------------------------------------*/

struct asking {
	struct call *c;
	struct str put, get;
};

/* What is between "/upload/" and the name. */
static struct str
token_of(struct str url)
{
	static const struct str mark = STR_INIT("/upload/");

	for (size_t i = 0; i + mark.n < url.n; i++) {
		struct str rest = str_skip(url, i);

		if (str_has_prefix(rest, mark)) {
			rest = str_skip(rest, mark.n);
			return str_cut(&rest, '/');
		}
	}
	return STR_NONE;
}

static void
on_noted(void *ctx, int err)
{
	struct asking *k = ctx;
	struct call *c = k->c;

	if (err < 0)
		call_error(c, ERR_STORE, "place");
	else
		call_json(
		    c, json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "message_id",
			   json_of(c->ids[0]), "upload_url", json_of(k->put),
			   "method", "PUT", "content_type",
			   json_of(call_text(c, "content_type")), "url",
			   json_of(k->get), "expires",
			   json_time(
			       c->arena, clock_real() + (int64_t)MINUTES(15))));
}

static const struct arg *
recipient(const struct call *c)
{
	const struct arg *room = call_arg(c, "room");

	return room->is_given ? room : call_arg(c, "to_user_id");
}

static void
note(struct asking *k, struct str token)
{
	struct call *c = k->c;
	struct str owner = call_arg(c, "from_user_id")->jid.bare;
	struct store_write *w = store_write_new(owner);
	struct buf out = { 0 };
	json_t *row = json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:I, s:I}",
	    "id", json_of(c->ids[0]), "to", json_of(recipient(c)->jid.bare),
	    "is_room", call_arg(c, "room")->is_given, "url", json_of(k->get),
	    "name", json_of(call_text(c, "filename")), "type",
	    json_of(call_text(c, "content_type")), "size",
	    (json_int_t)call_number(c, "size", 0), "time",
	    (json_int_t)clock_real());

	json_text(&out, row);
	json_decref(row);
	kv_put(w, owner, MEDIA_STORE, token, buf_str(&out));
	buf_fini(&out);
	store_commit(&w, on_noted, k);
}

static void
refuse_slot(struct call *c, const struct stanza *answer)
{
	const struct elem *e =
	    answer != NULL ? elem_child(answer->root, EL_ERROR) : NULL;

	if (elem_child(e, EL_UPLOAD_TOO_LARGE) != NULL)
		call_problem(c, 413, "too-large", "The file is too large.");
	else if (elem_child(e, EL_RESOURCE_CONSTRAINT) != NULL)
		call_problem(c, 422, "over-quota",
		    "The user's quota of files is used up.");
	else if (elem_child(e, EL_BAD_REQUEST) != NULL)
		call_problem(c, 400, "bad-argument",
		    "The name or the type of the file is not good.");
	else
		call_problem(c, 503, "unavailable",
		    "There is no place for the file. Try again later.");
}

static void
on_slot(void *ctx, struct stanza *answer)
{
	struct asking *k = ctx;
	const struct elem *slot =
	    answer != NULL ? elem_child(answer->root, EL_UPLOAD_SLOT) : NULL;
	struct str token;

	k->put = str_dup(
	    k->c->arena, elem_attr(elem_child(slot, EL_UPLOAD_PUT), AT_URL));
	k->get = str_dup(
	    k->c->arena, elem_attr(elem_child(slot, EL_UPLOAD_GET), AT_URL));
	token = token_of(k->get);
	if (k->put.n > 0 && token.n > 0)
		note(k, token);
	else
		refuse_slot(k->c, answer);
	stanza_free(&answer);
}

static void
ask(struct call *c, const struct jid *service)
{
	struct asking *k = arena_new_of(c->arena, struct asking);
	struct stanza *iq = stanza_new(EL_IQ);
	struct elem *e = elem_add(iq->root, EL_UPLOAD_REQUEST);

	k->c = c;
	stanza_set_type(iq, IQ_GET);
	stanza_set_from(iq, &call_arg(c, "from_user_id")->jid);
	stanza_set_to(iq, service);
	iq->is_from_local = true;
	elem_set_named(
	    e, STR("filename"), str_dup(iq->arena, call_text(c, "filename")));
	elem_set_named(e, STR("size"),
	    str_printf(
		iq->arena, "%lld", (long long)call_number(c, "size", 0)));
	elem_set_named(e, STR("content-type"),
	    str_dup(iq->arena, call_text(c, "content_type")));
	iq_send(iq, SLOT_TIMEOUT_MS, on_slot, k);
}

static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct call *c = ctx;
	struct mod *upload = mod_find(c->host, "http_upload");

	if (err == ERR_ABSENT)
		call_problem(c, 404, "no-such-recipient",
		    "There is no user '" STR_FMT "'.",
		    STR_ARG(recipient(c)->jid.bare));
	else if (err < 0)
		call_error(c, err, "user");
	else if (upload == NULL || mod_service(upload) == NULL)
		call_problem(c, 404, "no-uploads", "This host takes no files.");
	else
		ask(c, mod_service(upload));
}

void
run_media_new(struct call *c)
{
	const struct arg *to = call_arg(c, "to_user_id");
	const struct arg *room = call_arg(c, "room");

	if (to->is_given == room->is_given)
		call_problem(c, 400, "bad-argument",
		    "Either 'to_user_id' or 'room' is to be given.");
	else if (to->is_given && host_find(to->jid.domain) != NULL)
		store_account_get(to->jid.bare, on_row, c);
	else
		on_row(c, 0, NULL);
}

/* It has come --------------------------------------------------------------*/

struct stored {
	struct arena *arena;
	struct loop *loop;
	const struct host *host;
	struct jid owner;
	struct str token;
	struct letter letter;
	store_done_fn *done;
	void *ctx;
	int err;
	bool is_busy;
};

static void
on_home_again(void *msg)
{
	struct stored *s = msg;
	struct arena *a = s->arena;

	s->done(s->ctx, s->err);
	arena_free(&a);
}

static void
stored_end(struct stored *s, int err)
{
	struct mod *m = api_here(s->host);

	s->err = err;
	if (s->is_busy && m != NULL)
		busy_leave(api_state(m), s->token);
	loop_post(s->loop, on_home_again, s);
}

static void
on_dropped(void *ctx, int err)
{
	stored_end(ctx, err);
}

/* Who refuses it would do so again: the file is there all the same. */
static void
on_sent(void *ctx, enum qname why)
{
	struct stored *s = ctx;
	struct store_write *w;

	if (why == EL_INTERNAL_SERVER_ERROR) {
		stored_end(s, ERR_STORE);
		return;
	}
	w = store_write_new(s->owner.bare);
	kv_del(w, s->owner.bare, MEDIA_STORE, s->token);
	store_commit(&w, on_dropped, s);
}

static struct str
member(struct arena *a, const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);

	return str_dup(a, str_mem(json_string_value(v), json_string_length(v)));
}

static bool
read_note(struct stored *s, struct str value)
{
	json_t *row = json_loadb(value.p, value.n, 0, NULL);
	struct letter *l = &s->letter;
	bool is_good =
	    jid_parse(s->arena, member(s->arena, row, "to"), &l->to) == 0;

	l->type = json_is_true(json_object_get(row, "is_room"))
		      ? MESSAGE_GROUPCHAT
		      : MESSAGE_CHAT;
	l->id = member(s->arena, row, "id");
	l->url = member(s->arena, row, "url");
	l->name = member(s->arena, row, "name");
	l->media_type = member(s->arena, row, "type");
	l->size = (uint64_t)json_integer_value(json_object_get(row, "size"));
	json_decref(row);
	return is_good && l->url.n > 0;
}

static void
on_note(void *ctx, int err, struct str value)
{
	struct stored *s = ctx;
	struct mod *m = api_here(s->host);

	if (err == ERR_ABSENT || (err == 0 && !read_note(s, value))) {
		stored_end(s, 0);
	} else if (err < 0 || m == NULL ||
		   !busy_enter(api_state(m), s->token)) {
		stored_end(s, ERR_STORE);
	} else {
		s->is_busy = true;
		letter_send(s->host, &s->owner, &s->letter, true, on_sent, s);
	}
}

static void
on_owner(void *ctx, int err, struct account *acct)
{
	struct stored *s = ctx;

	if (err < 0)
		stored_end(s, ERR_STORE);
	else if (acct == NULL)
		stored_end(s, 0);
	else
		kv_get(s->owner.bare, MEDIA_STORE, s->token, on_note, s);
}

static void
on_stored(const struct host *host, struct str owner, struct str token,
    store_done_fn *done, void *ctx)
{
	struct arena *a = arena_new(0);
	struct stored *s = arena_new_of(a, struct stored);

	s->arena = a;
	s->loop = loop_self();
	s->host = host;
	s->token = str_dup(a, token);
	s->done = done;
	s->ctx = ctx;
	must(jid_parse(a, str_dup(a, owner), &s->owner) == 0);
	account_call(&s->owner, on_owner, s);
}

const struct upload_listener media_listener = { .stored = on_stored };
