/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <ctype.h>

static bool
is_space(char c)
{
	return isspace((unsigned char)c) != 0;
}

/* Length of the tag at the beginning; 0 while it is not complete. */
static size_t
tag_len(struct str s)
{
	for (size_t i = 1; i < s.n; i++) {
		char c = s.p[i];
		const char *end;

		if (c == '>')
			return i + 1;
		if (c != '"' && c != '\'')
			continue;
		end = memchr(s.p + i + 1, c, s.n - i - 1);
		if (end == NULL)
			return 0;
		i = (size_t)(end - s.p);
	}
	return 0;
}

static size_t
space_len(struct str s)
{
	size_t i = 0;

	while (i < s.n && is_space(s.p[i]))
		i++;
	return i;
}

/* From one tag to the next, until all that was opened is closed. */
static enum unit
scan_element(struct str s, size_t first, size_t *len_r)
{
	size_t at = 0, len = first;
	int depth = 0;

	for (;;) {
		const char *next;

		if (s.p[at + 1] == '/')
			depth--;
		else if (s.p[at + len - 2] != '/')
			depth++;
		at += len;
		if (depth == 0) {
			*len_r = at;
			return UNIT_ELEMENT;
		}
		next = memchr(s.p + at, '<', s.n - at);
		if (next == NULL)
			return UNIT_MORE;
		at = (size_t)(next - s.p);
		len = tag_len(str_skip(s, at));
		if (len == 0)
			return UNIT_MORE;
	}
}

enum unit
scan_unit(struct str s, size_t *len_r)
{
	size_t n = space_len(s);

	*len_r = n;
	if (n > 0)
		return UNIT_SPACE;
	n = s.n > 0 ? tag_len(s) : 0;
	*len_r = n;
	if (n == 0)
		return UNIT_MORE;
	if (s.p[1] == '?')
		return UNIT_DECLARATION;
	if (scan_is(s, "stream:stream"))
		return UNIT_OPEN;
	if (s.p[1] == '/')
		return UNIT_CLOSE;
	return scan_element(s, n, len_r);
}

bool
scan_is(struct str s, const char *name)
{
	size_t n = strlen(name);
	char after;

	if (s.n < n + 2 || memcmp(s.p + 1, name, n) != 0)
		return false;
	after = s.p[n + 1];
	return after == '>' || after == '/' || is_space(after);
}

struct str
scan_attr(struct str s, const char *name)
{
	const char *p = s.p, *end = s.p + s.n;
	size_t want = strlen(name);

	while (p < end && !is_space(*p) && *p != '>' && *p != '/')
		p++;
	for (;;) {
		const char *key, *value;
		size_t len;

		while (p < end && is_space(*p))
			p++;
		if (p >= end || *p == '>' || *p == '/')
			return STR_NONE;
		key = p;
		p = memchr(p, '=', (size_t)(end - p));
		if (p == NULL || end - p < 3)
			return STR_NONE;
		len = (size_t)(p - key);
		value = p + 2;
		p = memchr(value, p[1], (size_t)(end - value));
		if (p == NULL)
			return STR_NONE;
		if (len == want && memcmp(key, name, len) == 0)
			return str_mem(value, (size_t)(p - value));
		p++;
	}
}

struct str
scan_text(struct str s, const char *name)
{
	for (;;) {
		const char *p = memchr(s.p, '<', s.n), *end;
		size_t n;

		if (p == NULL)
			return STR_NONE;
		s = str_skip(s, (size_t)(p - s.p));
		n = tag_len(s);
		if (n == 0)
			return STR_NONE;
		if (scan_is(s, name) && s.p[n - 2] != '/') {
			s = str_skip(s, n);
			end = memchr(s.p, '<', s.n);
			return end != NULL ? str_mem(s.p, (size_t)(end - s.p))
					   : STR_NONE;
		}
		s = str_skip(s, n);
	}
}

bool
scan_has(struct str s, const char *what)
{
	return memmem(s.p, s.n, what, strlen(what)) != NULL;
}

bool
scan_is_error(struct str s)
{
	return str_is(scan_attr(s, "type"), "error");
}
