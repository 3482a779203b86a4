/* SPDX-License-Identifier: MIT */
/*
 * XEP-0398: keeps the avatar that an account publishes (XEP-0084) and the
 * photo of its vCard the same, whichever was set last, and tells its hash in
 * presence (XEP-0153). The rest of the vCard and of the one in the new format
 * (XEP-0292) are kept the same in the same way. All are read and written as the
 * account itself would, by iqs to its own address: these come behind what the
 * client has sent. Everybody reads the vCard, so what is not for everybody
 * where it was published does not get there.
 */
#include "cards.h"

#include "xep/0004-forms.h"

#include <openssl/evp.h>

#define STORE STR("avatar")
#define KEY STR("hash")
#define TIMEOUT SECONDS(60)
#define HASH_LEN 40

/* Of the avatar, and of all else on the card. */
enum from { FROM_NONE, FROM_PEP, FROM_VCARD, FROM_CARD4, FROM_CARD };

/* In the account's slot. What is under way has this as its ctx. */
struct avatars {
	struct mod *mod;
	struct account *acct; /* pinned while `now` is set */
	enum from now, next, next_card;
	bool is_old;	 /* a client has written since `now` began */
	struct str hash; /* in force; heap, or none */
	/* Of what is under way; heap. */
	struct str id, type, base64;
	size_t bytes;
	bool is_public;	 /* the avatar is readable by everybody */
	struct str card; /* of a card: its text; heap */
};

static struct avatars *
avatars_of(struct mod *m, struct account *acct)
{
	struct avatars *av = account_slot(acct, m);

	av->mod = m;
	av->acct = acct;
	return av;
}

static void
forget_image(struct avatars *av)
{
	str_free(&av->id);
	str_free(&av->type);
	str_free(&av->base64);
	str_free(&av->card);
}

static void
avatars_free(struct mod *m, void *state)
{
	struct avatars *av = state;

	if (av->now != FROM_NONE) {
		iq_forget(av);
		account_unpin(av->acct);
	}
	forget_image(av);
	str_free(&av->hash);
}

/* ---- the hash ---------------------------------------------------------- */

static void
on_hash(void *ctx, int err, struct str value)
{
	struct avatars *av = ctx;

	if (err == 0 && value.n == HASH_LEN && av->hash.n == 0)
		av->hash = str_heap(value);
	account_load_release(av->acct, err == ERR_ABSENT ? 0 : err);
}

static void
on_load(struct mod *m, struct account *acct)
{
	account_load_hold(acct);
	kv_get(acct->jid.bare, STORE, KEY, on_hash, avatars_of(m, acct));
}

static void
set_hash(struct avatars *av, struct str hash)
{
	struct str owner = av->acct->jid.bare;
	struct store_write *w;

	if (str_eq(av->hash, hash))
		return;
	str_free(&av->hash);
	w = store_write_new(owner);
	if (hash.n > 0) {
		av->hash = str_heap(hash);
		kv_put(w, owner, STORE, KEY, hash);
	} else {
		kv_del(w, owner, STORE, KEY);
	}
	store_commit(&w, NULL, NULL);
}

/* Presence that says nothing of avatars says ours. */
static enum verdict
on_presence(struct mod *m, struct stanza *st)
{
	struct account *acct = account_peek(st->from.bare);
	struct avatars *av = acct != NULL ? account_slot_peek(acct, m) : NULL;
	struct elem *x = elem_child(st->root, EL_VCARD_UPDATE);

	if (av == NULL || av->hash.n == 0 || st->type != PRESENCE_AVAILABLE ||
	    elem_child(x, EL_VCARD_UPDATE_PHOTO) != NULL)
		return STANZA_PASS;
	if (x == NULL)
		x = elem_add(st->root, EL_VCARD_UPDATE);
	elem_add_text(x, EL_VCARD_UPDATE_PHOTO, str_dup(st->arena, av->hash));
	return STANZA_PASS;
}

/* ---- asking ------------------------------------------------------------ */

static void
ask_items(struct avatars *av, ns_t node, struct str id, iq_answer_fn *fn)
{
	iq_send(self_items(av->acct, node, id, true), TIMEOUT, fn, av);
}

static void
ask_config(struct avatars *av, ns_t node, iq_answer_fn *fn)
{
	struct stanza *iq = self_iq(av->acct, IQ_GET);

	elem_set(
	    elem_add(elem_add(iq->root, EL_OWNER_PUBSUB), EL_OWNER_CONFIGURE),
	    AT_NODE, names_ns_uri(node));
	iq_send(iq, TIMEOUT, fn, av);
}

/* Is the node for everybody? */
static bool
is_open(const struct stanza *answer)
{
	struct elem *e;

	if (answer == NULL || answer->type != IQ_RESULT)
		return false;
	e = elem_child(
	    elem_child(answer->root, EL_OWNER_PUBSUB), EL_OWNER_CONFIGURE);
	return str_is(
	    form_value(form_of(e, NULL), "pubsub#access_model"), "open");
}

static struct elem *
card_of(const struct stanza *answer)
{
	return answer != NULL && answer->type == IQ_RESULT
		   ? elem_child(answer->root, EL_VCARD)
		   : NULL;
}

/* The payload of the first item, or NULL. */
static struct elem *
payload_of(const struct stanza *answer)
{
	return elem_child(answer_item(answer), EL_ANY);
}

static void
ask_vcard(struct avatars *av, iq_answer_fn *fn)
{
	struct stanza *iq = self_iq(av->acct, IQ_GET);

	elem_add(iq->root, EL_VCARD);
	iq_send(iq, TIMEOUT, fn, av);
}

/* ---- images ------------------------------------------------------------ */

/* Base64 may be broken into lines. */
static bool
decode(struct arena *a, struct str text, struct str *bytes_r)
{
	char *p = arena_bytes(a, text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		if (strchr(" \t\r\n", text.p[i]) == NULL)
			p[n++] = text.p[i];
	return n > 0 && str_unbase64(a, str_mem(p, n), bytes_r);
}

static struct str
hash_of(struct arena *a, struct str bytes)
{
	unsigned char digest[20];

	if (EVP_Digest(bytes.p, bytes.n, digest, NULL, EVP_sha1(), NULL) != 1)
		return STR_NONE;
	return str_hex(a, str_mem(digest, sizeof(digest)));
}

static void begin(struct avatars *av, enum from from);

static void
finish(struct avatars *av)
{
	enum from next = av->next;

	if (next == FROM_NONE) {
		next = av->next_card;
		av->next_card = FROM_NONE;
	}
	av->now = av->next = FROM_NONE;
	forget_image(av);
	if (next != FROM_NONE)
		begin(av, next);
	account_unpin(av->acct);
}

/* ---- from what is published -------------------------------------------- */

static void
on_vcard_set(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;

	if (answer != NULL && answer->type == IQ_RESULT)
		set_hash(av, av->id);
	stanza_free(&answer);
	finish(av);
}

static void
put_photo(struct avatars *av, struct elem *card)
{
	struct elem *photo;
	struct str ns = names_ns_uri(NS_VCARD);

	while ((photo = elem_child(card, EL_VCARD_PHOTO)) != NULL)
		elem_remove(photo);
	if (av->id.n == 0)
		return;
	photo = elem_add(card, EL_VCARD_PHOTO);
	elem_set_text(elem_add_named(photo, ns, STR("TYPE")),
	    str_dup(elem_arena(card), av->type));
	elem_add_text(
	    photo, EL_VCARD_BINVAL, str_dup(elem_arena(card), av->base64));
}

static void
on_vcard_for_pep(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;
	struct elem *card = card_of(answer);
	struct stanza *iq;

	if (card == NULL) {
		stanza_free(&answer);
		finish(av);
		return;
	}
	iq = self_iq(av->acct, IQ_SET);
	put_photo(av, elem_add_copy(iq->root, card));
	stanza_free(&answer);
	iq_send(iq, TIMEOUT, on_vcard_set, av);
}

static void
on_data(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;
	struct elem *data = payload_of(answer);
	struct str bytes;

	if (elem_name(data) == EL_AVATAR_DATA &&
	    decode(answer->arena, elem_text(data), &bytes) &&
	    str_eq(hash_of(answer->arena, bytes), av->id)) {
		av->base64 = str_heap(str_base64(answer->arena, bytes));
		ask_vcard(av, on_vcard_for_pep);
	} else {
		finish(av);
	}
	stanza_free(&answer);
}

/* The image that is here, not elsewhere. */
static void
on_metadata(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;
	struct elem *metadata = payload_of(answer);
	struct elem *info = elem_child(metadata, EL_AVATAR_INFO);
	bool is_none =
	    answer != NULL && answer->type == IQ_RESULT && info == NULL;

	while (info != NULL && elem_attr(info, AT_URL).n > 0)
		info = elem_next(info, EL_AVATAR_INFO);
	if (info != NULL && !av->is_public) {
		info = NULL;
		is_none = true;
	}
	if (info != NULL && elem_attr(info, AT_ID).n == HASH_LEN) {
		av->id = str_heap(elem_attr(info, AT_ID));
		av->type = str_heap(elem_attr(info, AT_TYPE));
		if (str_eq(av->id, av->hash))
			finish(av);
		else
			ask_items(av, NS_AVATAR_DATA, av->id, on_data);
	} else if (is_none && av->hash.n > 0) {
		ask_vcard(av, on_vcard_for_pep);
	} else {
		finish(av);
	}
	stanza_free(&answer);
}

/* Where there is no node there is nothing to be kept from anybody. */
static void
on_data_config(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;

	av->is_public = is_open(answer) || answer_is_absent(answer);
	if (av->is_public || (answer != NULL && answer->type == IQ_RESULT))
		ask_items(av, NS_AVATAR_METADATA, STR_NONE, on_metadata);
	else
		finish(av);
	stanza_free(&answer);
}

/* ---- from the vCard ---------------------------------------------------- */

static void
on_metadata_set(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;

	if (answer != NULL && answer->type == IQ_RESULT)
		set_hash(av, av->id);
	stanza_free(&answer);
	finish(av);
}

/* Without an image: there is none any more (XEP-0084, 4.2.2). */
static void
publish_metadata(struct avatars *av)
{
	struct elem *item, *info, *metadata;
	struct stanza *iq = self_publish(av->acct, NS_AVATAR_METADATA,
	    av->id.n > 0 ? av->id : STR("none"), &item);

	metadata = elem_add(item, EL_AVATAR_METADATA);
	if (av->id.n > 0) {
		info = elem_add(metadata, EL_AVATAR_INFO);
		elem_set_uint(info, AT_BYTES, av->bytes);
		elem_set_copy(info, AT_ID, av->id);
		elem_set_copy(info, AT_TYPE, av->type);
	}
	iq_send(iq, TIMEOUT, on_metadata_set, av);
}

static void
on_data_set(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;

	if (answer != NULL && answer->type == IQ_RESULT)
		publish_metadata(av);
	else
		finish(av);
	stanza_free(&answer);
}

static void
publish_photo(struct avatars *av, const struct elem *photo, struct str bytes)
{
	struct arena *a = elem_arena(photo);
	struct elem *type =
	    elem_find(photo, names_ns_uri(NS_VCARD), STR("TYPE"));
	struct str text = elem_text(type);
	struct stanza *iq;
	struct elem *item;

	av->id = str_heap(hash_of(a, bytes));
	av->type = str_heap(text.n > 0 ? text : STR("image/png"));
	av->bytes = bytes.n;
	if (str_eq(av->id, av->hash)) {
		finish(av);
		return;
	}
	iq = self_publish(av->acct, NS_AVATAR_DATA, av->id, &item);
	elem_set_text(
	    elem_add(item, EL_AVATAR_DATA), str_base64(iq->arena, bytes));
	iq_send(iq, TIMEOUT, on_data_set, av);
}

static void
on_vcard(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;
	struct elem *card = card_of(answer);
	struct elem *photo = elem_child(card, EL_VCARD_PHOTO);
	struct str bytes;

	if (photo != NULL &&
	    decode(
		answer->arena, elem_child_text(photo, EL_VCARD_BINVAL), &bytes))
		publish_photo(av, photo, bytes);
	else if (card != NULL && photo == NULL && av->hash.n > 0)
		publish_metadata(av);
	else
		finish(av);
	stanza_free(&answer);
}

/* ---- the rest of the card ---------------------------------------------- */

static void
on_card_set(void *ctx, struct stanza *answer)
{
	stanza_free(&answer);
	finish(ctx);
}

/* The card that was read first, again. */
static struct elem *
card_again(const struct avatars *av, struct arena *a)
{
	return xml_parse(a, str_dup(a, av->card), NULL, NS_NONE, NULL);
}

static void
send_or_finish(struct avatars *av, struct stanza *iq, bool is_new)
{
	if (is_new) {
		iq_send(iq, TIMEOUT, on_card_set, av);
		return;
	}
	stanza_free(&iq);
	finish(av);
}

static void
on_vcard_for_card4(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;
	struct elem *old = card_of(answer), *card, *from;
	struct stanza *iq;

	if (old == NULL) {
		stanza_free(&answer);
		finish(av);
		return;
	}
	iq = self_iq(av->acct, IQ_SET);
	card = elem_add_copy(iq->root, old);
	from = card_again(av, iq->arena);
	stanza_free(&answer);
	send_or_finish(av, iq, from != NULL && card_carry(card, from, CARD_4));
}

static void
on_card4(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;
	struct elem *card = payload_of(answer);

	if (elem_name(card) == EL_VCARD4) {
		av->card = str_heap(xml_text(answer->arena, card));
		ask_vcard(av, on_vcard_for_card4);
	} else {
		finish(av);
	}
	stanza_free(&answer);
}

static void
on_card4_config(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;

	if (is_open(answer))
		ask_items(av, NS_VCARD4_NODE, STR_NONE, on_card4);
	else
		finish(av);
	stanza_free(&answer);
}

/* What it says beyond the vCard stays. */
static void
on_card4_for_vcard(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;
	struct elem *old = payload_of(answer), *item, *card, *from;
	struct str id = elem_attr(elem_parent(old), AT_ID);
	struct stanza *iq;

	if (!answer_is_absent(answer) &&
	    (answer == NULL || answer->type != IQ_RESULT)) {
		stanza_free(&answer);
		finish(av);
		return;
	}
	iq = self_publish(
	    av->acct, NS_VCARD4_NODE, id.n > 0 ? id : STR("current"), &item);
	card = elem_name(old) == EL_VCARD4 ? elem_add_copy(item, old)
					   : elem_add(item, EL_VCARD4);
	from = card_again(av, iq->arena);
	stanza_free(&answer);
	send_or_finish(
	    av, iq, from != NULL && card_carry(card, from, CARD_TEMP));
}

static void
on_card(void *ctx, struct stanza *answer)
{
	struct avatars *av = ctx;
	struct elem *card = card_of(answer);

	if (card != NULL) {
		av->card = str_heap(xml_text(answer->arena, card));
		ask_items(av, NS_VCARD4_NODE, STR_NONE, on_card4_for_vcard);
	} else {
		finish(av);
	}
	stanza_free(&answer);
}

/* ---- what clients do --------------------------------------------------- */

/* One at a time; what comes meanwhile is looked at after. */
static void
begin(struct avatars *av, enum from from)
{
	if (av->now != FROM_NONE) {
		if (from == FROM_CARD || from == FROM_CARD4)
			av->next_card = from;
		else
			av->next = from;
		return;
	}
	account_pin(av->acct);
	av->now = from;
	av->is_old = false;
	switch (from) {
	case FROM_PEP:
		ask_config(av, NS_AVATAR_DATA, on_data_config);
		break;
	case FROM_VCARD:
		ask_vcard(av, on_vcard);
		break;
	case FROM_CARD4:
		ask_config(av, NS_VCARD4_NODE, on_card4_config);
		break;
	case FROM_CARD:
		ask_vcard(av, on_card);
		break;
	case FROM_NONE:
		break;
	}
}

/* Which of ours is it about? Who may read the image counts as well. */
static enum from
changes(const struct stanza *iq)
{
	static const struct {
		ns_t node;
		enum from from;
		bool is_owners;
	} nodes[] = {
		{ NS_AVATAR_METADATA, FROM_PEP, false },
		{ NS_AVATAR_DATA, FROM_PEP, true },
		{ NS_VCARD4_NODE, FROM_CARD4, false },
	};
	struct elem *payload = stanza_payload(iq), *e;
	bool is_owners = elem_name(payload) == EL_OWNER_PUBSUB;

	if (elem_name(payload) == EL_VCARD)
		return FROM_VCARD;
	if (elem_name(payload) != EL_PUBSUB && !is_owners)
		return FROM_NONE;
	for (e = elem_child(payload, EL_ANY); e != NULL;
	     e = elem_next(e, EL_ANY))
		for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
			if (str_eq(elem_attr(e, AT_NODE),
				names_ns_uri(nodes[i].node)) &&
			    (is_owners || !nodes[i].is_owners))
				return nodes[i].from;
	return FROM_NONE;
}

/*
 * What is written was read before: if a client has written meanwhile, it is
 * not to be overwritten by that; the same is done again, from what is there.
 */
static enum verdict
check_ours(struct avatars *av, struct stanza *iq)
{
	bool is_of_card = av->now == FROM_CARD || av->now == FROM_CARD4;
	enum from *again = is_of_card ? &av->next_card : &av->next;

	if (av->now == FROM_NONE || !av->is_old)
		return STANZA_PASS;
	if (*again == FROM_NONE)
		*again = av->now;
	return stanza_refuse(iq, EL_CONFLICT);
}

/* After this it is carried out at once. Ours come from the bare address. */
static enum verdict
on_iq(struct mod *m, struct stanza *iq)
{
	struct account *acct;
	struct avatars *av;
	enum from from;

	if (iq->type != IQ_SET || !jid_is_bare(&iq->to) ||
	    !jid_eq_bare(&iq->from, &iq->to))
		return STANZA_PASS;
	from = changes(iq);
	acct = from != FROM_NONE ? account_peek(iq->to.bare) : NULL;
	if (acct == NULL)
		return STANZA_PASS;
	av = avatars_of(m, acct);
	if (jid_is_bare(&iq->from))
		return check_ours(av, iq);
	av->is_old = true;
	begin(av, from);
	if (from == FROM_VCARD)
		begin(av, FROM_CARD);
	return STANZA_PASS;
}

/* ---- the table --------------------------------------------------------- */

static const char *const needs[] = { "pep", "vcard", NULL };

static const struct hook hooks[] = {
	{ HOOK_ACCOUNT_LOAD, NORMAL, .account = on_load },
	{ HOOK_PRESENCE_SENT, NORMAL, .stanza = on_presence },
	{ HOOK_IQ_DELIVER, LAST, .stanza = on_iq },
	HOOKS_END,
};

static const struct feature features[] = {
	{ TO_ACCOUNT, STR_INIT("urn:xmpp:pep-vcard-conversion:0") },
	{ TO_HOST | TO_ACCOUNT, STR_INIT("urn:ietf:params:xml:ns:vcard-4.0") },
	FEATURES_END,
};

MODULE(avatars) = {
	.summary = "keep avatars and cards in all their formats the same",
	.needs = needs,
	.account_size = sizeof(struct avatars),
	.hooks = hooks,
	.features = features,
	.account_free = avatars_free,
};
