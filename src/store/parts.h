/* SPDX-License-Identifier: MIT */
/* What storage backends share. */
#ifndef STORE_PARTS_H
#define STORE_PARTS_H

#include "base/arena.h"
#include "base/str.h"

/* A UUIDv7 as its bytes, which order as its text does. */
struct uuid {
	uint8_t b[16];
};

/* False for what uuid7() would not have written. */
API bool uuid_parse(struct str text, struct uuid *id_r);
API struct str uuid_text(struct arena *a, const void *bytes);

/*
 * What names a medium in its URL: the folder of the file, as uploads have
 * one of their own, or the file. It lends.
 */
API struct str media_id(struct str url);

/*
 * Cuts the next term off what a user looks for: a word, or what stands in
 * quotes, without them. False when there are no more. Terms that have no word
 * in them are left out.
 */
API bool search_term_next(struct str *rest, struct str *term_r);

#endif
