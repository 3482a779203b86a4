/* SPDX-License-Identifier: MIT */
/*
 * Counted strings, passed by value. A struct str borrows its bytes: it is a
 * view, and whoever made the bytes says how long they live. The bytes are
 * not terminated by NUL unless a function says so. {NULL, 0} is "none", which
 * differs from the empty string only for str_is_none().
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/base.h"

#include <string.h>

struct arena;

struct str {
	const char *p;
	size_t n;
};

#define STR_NONE ((struct str){ NULL, 0 })
/* A literal as a str, also in static initialisers: STR("text"). */
#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_INIT(literal) \
	{ \
		(literal), sizeof(literal) - 1 \
	}
/* For printf: printf(STR_FMT, STR_ARG(s)). */
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).n, (s).p != NULL ? (s).p : ""

static inline struct str
str_c(const char *text)
{
	return (struct str){ text, text != NULL ? strlen(text) : 0 };
}

static inline struct str
str_mem(const void *p, size_t n)
{
	return (struct str){ (const char *)p, n };
}

static inline bool
str_is_none(struct str s)
{
	return s.p == NULL;
}

static inline bool
str_is_empty(struct str s)
{
	return s.n == 0;
}

static inline bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Is `s` just `text`? */
static inline bool
str_is(struct str s, const char *text)
{
	return str_eq(s, str_c(text));
}

/* Order as memcmp() has it, the shorter first. */
API int str_cmp(struct str a, struct str b);
/* Equal but for the case of ASCII letters. */
API bool str_eq_nocase(struct str a, struct str b);
API bool str_has_prefix(struct str s, struct str prefix);
API bool str_has_suffix(struct str s, struct str suffix);
/* From `from` to the end; `n` bytes from `from` at most. */
API struct str str_skip(struct str s, size_t from);
API struct str str_sub(struct str s, size_t from, size_t n);
/* Index of the first byte `c`, or s.n. */
API size_t str_find(struct str s, char c);
/*
 * Cuts `*rest` at the first `c`: answers what is before it, and leaves what
 * is after it. Without `c` it answers all, and leaves STR_NONE.
 */
API struct str str_cut(struct str *rest, char c);
API struct str str_trim(struct str s);
/* Decimal digits only; false when empty, not a number or out of range. */
API bool str_to_u64(struct str s, uint64_t *value_r);
API bool str_to_i64(struct str s, int64_t *value_r);
API bool str_is_utf8(struct str s);
/* Bytes of the well-formed character at the beginning; 0 if there is none. */
API size_t str_utf8_len(struct str s);
/* Equal in a time that depends on the lengths only. For secrets. */
API bool str_eq_secret(struct str a, struct str b);
/* SipHash-1-3 with a key that was drawn when the process started. */
API uint64_t str_hash(struct str s);
/* The same with a key of the caller's: equal in every process. */
API uint64_t str_hash_keyed(struct str s, const uint64_t key[2]);

/* Copies that live in the arena and end with a NUL (not counted). */
API struct str str_dup(struct arena *a, struct str s);
API const char *str_dup_c(struct arena *a, struct str s);
/* The same on the heap; free with xfree((char *)s.p) via str_free(). */
API struct str str_heap(struct str s);
API void str_free(struct str *s);

/* Base64 (RFC 4648 section 4), hexadecimal; results live in the arena. */
API struct str str_base64(struct arena *a, struct str bytes);
/* False when `text` is not strict, padded Base64. */
API bool str_unbase64(struct arena *a, struct str text, struct str *bytes_r);
API struct str str_hex(struct arena *a, struct str bytes);
/* For a part of a URL (RFC 3986): %XX but for letters, digits and "-._~". */
API struct str str_percent(struct arena *a, struct str text);

#endif
