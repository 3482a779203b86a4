/* SPDX-License-Identifier: MIT */
/* The room's card and picture: XEP-0054, XEP-0486, XEP-0153. */
#include "modules/muc/muc.h"

#include <openssl/sha.h>

struct card {
	struct room *room;
	struct stanza *iq;
};

static struct card *
card_new(struct room *r, struct stanza *iq)
{
	struct card *c = arena_new_of(iq->arena, struct card);

	c->room = r;
	c->iq = iq;
	room_hold(r);
	return c;
}

static void
on_value(void *ctx, int err, struct str value)
{
	struct card *c = ctx;
	struct room *r = c->room;
	struct stanza *iq = c->iq;
	struct elem *card = NULL;

	if (err == 0)
		card = xml_parse(
		    iq->arena, str_dup(iq->arena, value), NULL, NS_NONE, NULL);
	if (card == NULL && err != ERR_ABSENT) {
		room_refuse(r, iq, EL_INTERNAL_SERVER_ERROR, NULL, NULL);
	} else if (card == NULL) {
		room_refuse(r, iq, EL_ITEM_NOT_FOUND, NULL, NULL);
	} else {
		elem_append(stanza_result(iq), card);
		stanza_send_back(iq);
	}
	room_release(r);
}

/* ---- a new one --------------------------------------------------------- */

/* By its picture: hexadecimal SHA-1, or none. */
static struct str
picture_hash(struct arena *a, const struct elem *card)
{
	struct str text =
	    elem_child_text(elem_child(card, EL_VCARD_PHOTO), EL_VCARD_BINVAL);
	unsigned char digest[SHA_DIGEST_LENGTH];
	char *packed = arena_bytes(a, text.n + 1);
	struct str bytes;
	size_t n = 0;

	/* Clients break the lines of Base64. */
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] > ' ')
			packed[n++] = text.p[i];
	if (n == 0 || !str_unbase64(a, str_mem(packed, n), &bytes))
		return STR_NONE;
	SHA1((const unsigned char *)bytes.p, bytes.n, digest);
	return str_hex(a, str_mem(digest, sizeof(digest)));
}

static void
on_stored(void *ctx, int err)
{
	struct card *c = ctx;
	struct room *r = c->room;

	if (err < 0) {
		room_refuse(r, c->iq, EL_INTERNAL_SERVER_ERROR, NULL, NULL);
	} else {
		static const uint16_t codes[] = { 104, 0 };

		stanza_reply(c->iq);
		room_tell_codes(r, codes);
		avatar_tell(r, NULL);
	}
	room_release(r);
}

static enum verdict
set(struct room *r, struct stanza *iq)
{
	struct str card = xml_text(iq->arena, stanza_payload(iq));
	struct str hash = picture_hash(iq->arena, stanza_payload(iq));
	struct store_write *w;

	if (card.n > room_options(r)->max_vcard)
		return room_refuse(
		    r, iq, EL_RESOURCE_CONSTRAINT, NULL, "The card is too big");
	w = store_write_new(r->jid.full);
	kv_put(w, r->jid.full, STORE_VCARD, STR("vcard"), card);
	str_free(&r->config.avatar);
	r->config.avatar = str_is_none(hash) ? STR_NONE : str_heap(hash);
	if (r->config.is_persistent)
		save_config(r, w);
	store_commit(&w, on_stored, card_new(r, iq));
	return STANZA_DONE;
}

enum verdict
on_vcard(struct room *r, struct stanza *iq)
{
	if (iq->type == IQ_SET) {
		if (right_of(r, &iq->from) < AFF_OWNER)
			return room_refuse(r, iq, EL_FORBIDDEN, NULL,
			    "Only owners are allowed to set avatars.");
		return set(r, iq);
	}
	if (right_of(r, &iq->from) == AFF_OUTCAST)
		return room_refuse(r, iq, EL_FORBIDDEN, NULL, NULL);
	kv_get(
	    r->jid.full, STORE_VCARD, STR("vcard"), on_value, card_new(r, iq));
	return STANZA_DONE;
}
