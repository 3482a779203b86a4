/* SPDX-License-Identifier: MIT */
/* Whatever is not a letter, a digit or harmless becomes a backslash and hex. */
#include "escape.h"

#include <string.h>

/* Both notations take \XX for any byte. */
static bool
is_plain(unsigned char c)
{
	return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("-._@", c) != NULL);
}

static void
add_value(struct buf *b, struct str value)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (is_plain(c)) {
			buf_add_c(b, (char)c);
		} else {
			buf_add_c(b, '\\');
			buf_add_c(b, digits[c >> 4]);
			buf_add_c(b, digits[c & 15]);
		}
	}
}

const char *
ldap_fill(struct arena *a, struct str pattern, struct str user, struct str host)
{
	struct buf b = { 0 };
	const char *text;

	for (size_t i = 0; i < pattern.n; i++) {
		char c = pattern.p[i];
		char next = i + 1 < pattern.n ? pattern.p[i + 1] : '\0';

		if (c != '%' || next == '\0' || strchr("udj%", next) == NULL) {
			buf_add_c(&b, c);
			continue;
		}
		i++;
		if (next == '%')
			buf_add_c(&b, '%');
		if (next == 'u' || next == 'j')
			add_value(&b, user);
		if (next == 'j')
			buf_add_c(&b, '@');
		if (next == 'd' || next == 'j')
			add_value(&b, host);
	}
	text = str_dup_c(a, buf_str(&b));
	buf_fini(&b);
	return text;
}
