/* SPDX-License-Identifier: MIT */
#include "store/parts.h"

#include "base/random.h"

/* ---- ids --------------------------------------------------------------- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
uuid_parse(struct str text, struct uuid *id_r)
{
	size_t n = 0;

	if (text.n != UUID_LEN)
		return false;
	for (size_t i = 0; i < UUID_LEN;) {
		int high, low;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text.p[i++] != '-')
				return false;
			continue;
		}
		high = hex_digit(text.p[i]);
		low = hex_digit(text.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		id_r->b[n++] = (uint8_t)(high << 4 | low);
		i += 2;
	}
	return true;
}

struct str
uuid_text(struct arena *a, const void *bytes)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = bytes;
	char *p = arena_bytes(a, UUID_LEN + 1);
	size_t n = 0;

	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			p[n++] = '-';
		p[n++] = digits[b[i] >> 4];
		p[n++] = digits[b[i] & 15];
	}
	p[n] = '\0';
	return str_mem(p, n);
}

/* ---- media ------------------------------------------------------------- */

struct str
media_id(struct str url)
{
	size_t end = MIN(str_find(url, '?'), str_find(url, '#'));
	struct str path = str_sub(url, 0, end), id = STR_NONE, part;
	size_t n = 0;

	if (str_has_prefix(path, STR("https://")))
		path = str_skip(path, 8);
	else if (str_has_prefix(path, STR("http://")))
		path = str_skip(path, 7);
	str_cut(&path, '/');
	while (!str_is_none(path)) {
		part = str_cut(&path, '/');
		if (str_is_none(path) && n > 0)
			break;
		id = part;
		n++;
	}
	return id;
}

/* ---- search ------------------------------------------------------------ */

/* Would an index find a word in it? Of ASCII, letters and digits are. */
static bool
has_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x80 || (c >= '0' && c <= '9') ||
		    ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
			return true;
	}
	return false;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct str
term_cut(struct str *rest)
{
	size_t n = 0;
	struct str term;

	while (rest->n > 0 && is_space(rest->p[0]))
		*rest = str_skip(*rest, 1);
	if (rest->n > 0 && rest->p[0] == '"') {
		*rest = str_skip(*rest, 1);
		term = str_sub(*rest, 0, str_find(*rest, '"'));
		*rest = str_skip(*rest, MIN(term.n + 1, rest->n));
		return term;
	}
	while (n < rest->n && !is_space(rest->p[n]) && rest->p[n] != '"')
		n++;
	term = str_sub(*rest, 0, n);
	*rest = str_skip(*rest, n);
	return term;
}

bool
search_term_next(struct str *rest, struct str *term_r)
{
	do {
		*term_r = term_cut(rest);
		if (str_is_empty(*term_r) && str_is_empty(*rest))
			return false;
	} while (!has_word(*term_r));
	return true;
}
