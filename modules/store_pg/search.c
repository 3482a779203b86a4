/* SPDX-License-Identifier: MIT */
/*
 * What a user looks for, as to_tsquery() reads it: each term in quotes, in
 * which it has no syntax, joined by &. ASCII's punctuation divides words, as
 * in the index (see archive_plain() in schema.c).
 */
#include "modules/store_pg/pg.h"

#define WORDS_MAX 32

static bool
is_punctuation(unsigned char c)
{
	return c < 0x80 && !(c >= '0' && c <= '9') &&
	       !((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* A star at its end finds beginnings. */
static void
term_add(struct buf *b, struct str term)
{
	bool is_prefix = term.p[term.n - 1] == '*';

	buf_add_c(b, '\'');
	for (size_t i = 0; i < term.n; i++) {
		unsigned char c = (unsigned char)term.p[i];

		buf_add_c(b, is_punctuation(c) ? ' ' : term.p[i]);
	}
	buf_add_c(b, '\'');
	if (is_prefix)
		buf_add_str(b, STR(":*"));
}

struct str
search_query(struct arena *a, struct str text)
{
	struct buf b = { 0 };
	struct str found = STR_NONE, term;
	size_t n = 0;

	while (n < WORDS_MAX && search_term_next(&text, &term)) {
		/* No body has what is no text. */
		if (!str_is_utf8(term)) {
			n = 0;
			break;
		}
		if (n++ > 0)
			buf_add_str(&b, STR(" & "));
		term_add(&b, term);
	}
	if (n > 0)
		found = str_dup(a, buf_str(&b));
	buf_fini(&b);
	return found;
}
