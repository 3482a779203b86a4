/* SPDX-License-Identifier: MIT */
/*
 * The same card in two formats: vcard-temp (XEP-0054) and vCard4 (XEP-0292).
 * What only one of them can say stays in it untouched, and so does the photo.
 */
#ifndef AVATARS_CARDS_H
#define AVATARS_CARDS_H

#include "core/module.h"

enum card_format { CARD_TEMP, CARD_4 };

/*
 * Makes `to`, which is of the other format, say what `from`, a card of that
 * format, says. False if it says that already: then it is as it was.
 */
bool card_carry(struct elem *to, const struct elem *from, enum card_format f);

#endif
