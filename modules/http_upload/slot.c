/* SPDX-License-Identifier: MIT */
/*
 * Requests for slots. What an account has put here is noted in its own store,
 * by token; a slot counts against the quota from the moment it is given, until
 * it is used or too old.
 */
#include "modules/http_upload/upload.h"

/* Files of one account; more is over quota, whatever their size. */
#define FILES_MAX 5000

/* Bytes of an account's slots that are being noted. */
struct asking {
	struct str account;
	uint64_t bytes[PURPOSES];
	unsigned count;
};

struct request {
	struct mod *mod;
	struct stanza *iq;
	struct slot slot;
	struct asking *asking;
	struct str put;	  /* the client puts it there, not here */
	struct str *gone; /* tokens of the past */
	size_t gone_count;
	bool has_type, may_go_direct, is_direct;
};

struct str
note_make(struct arena *a, const struct slot *s, int64_t end)
{
	return str_printf(a, "%llu %lld %d", (unsigned long long)s->size,
	    (long long)end, (int)s->purpose);
}

static bool
note_read(struct str note, uint64_t *size_r, int64_t *end_r, enum purpose *p_r)
{
	struct str size = str_cut(&note, ' '), end = str_cut(&note, ' ');
	uint64_t n;

	if (!str_to_u64(size, size_r) || !str_to_i64(end, end_r) ||
	    !str_to_u64(note, &n) || n >= PURPOSES)
		return false;
	*p_r = (enum purpose)n;
	return true;
}

/* What a note stands for, if it is not of the past. */
static bool
note_counts(
    struct str note, int64_t now, uint64_t *size_r, enum purpose *purpose_r)
{
	int64_t end;

	return note_read(note, size_r, &end, purpose_r) && end > now;
}

/* The quota of ephemeral files is that of messages. */
static enum purpose
purse_of(enum purpose p)
{
	return p == FOR_EPHEMERAL ? FOR_MESSAGE : p;
}

/* Who is asking ------------------------------------------------------------*/

static struct asking *
asking_begin(struct upload *u, const struct slot *s)
{
	struct str account = s->owner;
	struct asking *k = map_get(&u->pending, account);

	if (k == NULL) {
		k = (struct asking *)xzalloc(sizeof(*k));
		k->account = str_heap(account);
		map_set(&u->pending, k->account, k);
	}
	k->bytes[purse_of(s->purpose)] += s->size;
	k->count++;
	return k;
}

static void
asking_end(struct upload *u, struct asking *k, const struct slot *s)
{
	k->bytes[purse_of(s->purpose)] -= s->size;
	if (--k->count > 0)
		return;
	map_del(&u->pending, k->account);
	if (u->pending.count == 0)
		map_fini(&u->pending);
	str_free(&k->account);
	xfree(k);
}

/* Answers -----------------------------------------------------------------*/

static void
request_end(struct request *q)
{
	asking_end(mod_state(q->mod), q->asking, &q->slot);
}

static void
on_noted(void *ctx, int err)
{
	struct request *q = ctx;
	struct stanza *iq = q->iq;
	struct elem *slot;

	request_end(q);
	if (err < 0) {
		if (q->is_direct)
			usage_give(mod_host(q->mod), q->slot.size);
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	slot = elem_add(stanza_result(iq), EL_UPLOAD_SLOT);
	elem_set(elem_add(slot, EL_UPLOAD_PUT), AT_URL,
	    q->is_direct ? q->put : slot_put_url(iq->arena, q->mod, &q->slot));
	elem_set(elem_add(slot, EL_UPLOAD_GET), AT_URL,
	    slot_get_url(iq->arena, q->mod, &q->slot));
	stanza_send_back(iq);
}

static void
note_it(struct request *q)
{
	struct arena *a = q->iq->arena;
	const struct slot *s = &q->slot;
	struct store_write *w = store_write_new(s->owner);
	int64_t end =
	    q->is_direct ? slot_end(mod_options(q->mod), s) : s->until;

	for (size_t i = 0; i < q->gone_count; i++)
		kv_del(w, s->owner, STORE, q->gone[i]);
	kv_put(w, s->owner, STORE, s->token, note_make(a, s, end));
	if (q->is_direct)
		kv_put(w, mod_host(q->mod)->jid.full, INDEX,
		    index_key(a, s->owner, s->token),
		    index_note(a, s->size, end, s->until));
	store_commit(&w, on_noted, q);
}

static void
on_offered(void *ctx, int err, struct str url)
{
	struct request *q = ctx;

	if (err < 0) {
		on_noted(q, err);
		return;
	}
	q->put = str_dup(q->iq->arena, url);
	note_it(q);
}

/*
 * Of a file that does not pass through here we won't hear when it has come: it
 * counts from now on, and direct_settle() looks later.
 */
static void
direct_begin(struct request *q)
{
	const struct upload_options *o = mod_options(q->mod);
	const struct slot *s = &q->slot;
	struct blob_meta meta = slot_meta(s, slot_end(o, s));
	struct mod *at;
	const struct blob_backend *b = storage_of(q->mod, &at);

	if (!usage_take(mod_host(q->mod), s->size, o->host_quota)) {
		request_end(q);
		stanza_refuse_with(q->iq, EL_RESOURCE_CONSTRAINT,
		    "There is no room left for files", EL_NONE);
		return;
	}
	q->is_direct = true;
	b->offer(at, s->token, &meta, q->has_type, s->until, on_offered, q);
}

static void
on_listed(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct request *q = ctx;
	const struct upload_options *o = mod_options(q->mod);
	enum purpose purse = purse_of(q->slot.purpose), purpose;
	uint64_t sum = q->asking->bytes[purse], n;
	int64_t now = clock_real();
	size_t kept = 0;

	q->gone = (struct str *)arena_alloc(
	    q->iq->arena, (count + 1) * sizeof(*q->gone));
	for (size_t i = 0; i < count; i++) {
		if (!note_counts(items[i].value, now, &n, &purpose)) {
			q->gone[q->gone_count++] =
			    str_dup(q->iq->arena, items[i].key);
			continue;
		}
		sum += purse_of(purpose) == purse ? n : 0;
		kept++;
	}
	if (err == 0 && sum <= purpose_quota(o, purse) && kept < FILES_MAX) {
		if (q->may_go_direct)
			direct_begin(q);
		else
			note_it(q);
		return;
	}
	request_end(q);
	if (err < 0)
		stanza_refuse(q->iq, EL_INTERNAL_SERVER_ERROR);
	else
		stanza_refuse_with(q->iq, EL_RESOURCE_CONSTRAINT,
		    "Your quota of uploads is used up", EL_NONE);
}

static void
refuse_size(struct stanza *iq, uint64_t max)
{
	struct elem *e;

	if (!stanza_make_error(iq, EL_NOT_ACCEPTABLE, "The file is too large",
		EL_UPLOAD_TOO_LARGE)) {
		stanza_free(&iq);
		return;
	}
	e = elem_child(elem_child(iq->root, EL_ERROR), EL_UPLOAD_TOO_LARGE);
	elem_add_text(e, EL_UPLOAD_MAX_SIZE,
	    str_printf(iq->arena, "%llu", (unsigned long long)max));
	router_send(iq);
}

/* A name for one file: no path, nothing that can't be seen. */
static bool
name_is_fine(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < ' ' || c == 0x7f || c == '/' || c == '\\')
			return false;
	}
	return name.n > 0 && name.n <= NAME_MAX_BYTES && !str_is(name, ".") &&
	       !str_is(name, "..");
}

static bool
slot_read(const struct elem *e, struct slot *s)
{
	struct str type = elem_attr_named(e, STR("content-type"));

	s->name = elem_attr_named(e, STR("filename"));
	s->type = str_is_none(type) ? STR("application/octet-stream") : type;
	return !str_is_none(s->name) && name_is_fine(s->name) &&
	       type_is_fine(s->type) &&
	       str_to_u64(elem_attr_named(e, STR("size")), &s->size) &&
	       s->size > 0;
}

void
on_slot_request(struct mod *m, struct stanza *iq)
{
	const struct upload_options *o = mod_options(m);
	struct request *q = arena_new_of(iq->arena, struct request);
	struct slot *s = &q->slot;
	enum qname refusal = EL_BAD_REQUEST;
	struct mod *at;

	if (!iq->is_from_local ||
	    !str_eq(iq->from.domain, mod_host(m)->jid.full)) {
		stanza_refuse(iq, EL_FORBIDDEN);
	} else if (iq->type != IQ_GET || !slot_read(stanza_payload(iq), s)) {
		stanza_refuse(iq, EL_BAD_REQUEST);
	} else if (!purpose_read(o, stanza_payload(iq), s, &refusal)) {
		stanza_refuse(iq, refusal);
	} else if (s->size > purpose_max_size(o, s->purpose)) {
		refuse_size(iq, purpose_max_size(o, s->purpose));
	} else if (!type_is_allowed(o, s->type)) {
		stanza_refuse_with(iq, EL_NOT_ACCEPTABLE,
		    "Files of this type are not taken", EL_NONE);
	} else if (!usage_has_room(mod_host(m), s->size, o->host_quota)) {
		stanza_refuse_with(iq, EL_RESOURCE_CONSTRAINT,
		    "There is no room left for files", EL_NONE);
	} else if (storage_of(m, &at) == NULL) {
		stanza_refuse_with(iq, EL_SERVICE_UNAVAILABLE,
		    "There is nowhere to keep files", EL_NONE);
	} else if (str_is_none(upload_base(iq->arena, m))) {
		stanza_refuse_with(iq, EL_SERVICE_UNAVAILABLE,
		    "This server has no HTTP listener", EL_NONE);
	} else {
		/* The tree's texts go with the request. */
		s->name = str_dup(iq->arena, s->name);
		s->type = str_dup(iq->arena, s->type);
		s->owner = str_dup(iq->arena, iq->from.bare);
		s->token = random_token(iq->arena, TOKEN_BYTES);
		s->until = clock_real() + (int64_t)o->slot_ms;
		q->mod = m;
		q->iq = iq;
		q->has_type = !str_is_none(
		    elem_attr_named(stanza_payload(iq), STR("content-type")));
		/* Who is no session (the API) is to hear when it has come. */
		q->may_go_direct =
		    !str_is_none(iq->from.resource) && storage_takes_direct(m);
		q->asking = asking_begin(mod_state(m), s);
		kv_list(s->owner, STORE, STR_NONE, false, FILES_MAX + 1,
		    on_listed, q);
	}
}
