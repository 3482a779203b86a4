/* SPDX-License-Identifier: MIT */
#include "base/str.h"

#include "base/arena.h"
#include "base/random.h"

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

int
str_cmp(struct str a, struct str b)
{
	size_t n = MIN(a.n, b.n);
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (order != 0 || a.n == b.n)
		return order;
	return a.n < b.n ? -1 : 1;
}

bool
str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

bool
str_has_prefix(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool
str_has_suffix(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_skip(s, s.n - suffix.n), suffix);
}

struct str
str_skip(struct str s, size_t from)
{
	return str_sub(s, from, s.n);
}

struct str
str_sub(struct str s, size_t from, size_t n)
{
	if (s.p == NULL)
		return s;
	from = MIN(from, s.n);
	return (struct str){ s.p + from, MIN(n, s.n - from) };
}

size_t
str_find(struct str s, char c)
{
	const char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

struct str
str_cut(struct str *rest, char c)
{
	size_t at = str_find(*rest, c);
	struct str head = str_sub(*rest, 0, at);

	*rest = at < rest->n ? str_skip(*rest, at + 1) : STR_NONE;
	return head;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct str
str_trim(struct str s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = str_skip(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
str_to_u64(struct str s, uint64_t *value_r)
{
	uint64_t value = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*value_r = value;
	return true;
}

bool
str_to_i64(struct str s, int64_t *value_r)
{
	bool is_negative = s.n > 0 && s.p[0] == '-';
	uint64_t most = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
	uint64_t value;

	if (!str_to_u64(is_negative ? str_skip(s, 1) : s, &value) ||
	    value > most)
		return false;
	if (!is_negative)
		*value_r = (int64_t)value;
	else
		*value_r = value == most ? INT64_MIN : -(int64_t)value;
	return true;
}

/* The length of the well-formed character at `p`, or 0. */
static size_t
utf8_char(const unsigned char *p, size_t n)
{
	unsigned c = p[0], low = 0x80, high = 0xbf;
	size_t len;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	/* Overlong forms, surrogates, and what is past U+10FFFF. */
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

size_t
str_utf8_len(struct str s)
{
	return s.n > 0 ? utf8_char((const unsigned char *)s.p, s.n) : 0;
}

bool
str_is_utf8(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0, len;
	uint64_t eight;

	while (i < s.n) {
		if (s.n - i >= sizeof(eight)) {
			memcpy(&eight, p + i, sizeof(eight));
			if ((eight & UINT64_C(0x8080808080808080)) == 0) {
				i += sizeof(eight);
				continue;
			}
		}
		len = utf8_char(p + i, s.n - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

bool
str_eq_secret(struct str a, struct str b)
{
	volatile unsigned char diff = 0;

	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		diff |= (unsigned char)(a.p[i] ^ b.p[i]);
	return diff == 0;
}

/* SipHash-1-3 (Aumasson and Bernstein): flooding needs the key. */
static uint64_t hash_key[2];

__attribute__((constructor)) static void
hash_key_draw(void)
{
	random_bytes(hash_key, sizeof(hash_key));
}

static uint64_t
rotl(uint64_t v, unsigned bits)
{
	return v << bits | v >> (64 - bits);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint64_t
str_hash_keyed(struct str s, const uint64_t key[2])
{
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};
	uint64_t word, last = (uint64_t)s.n << 56;
	size_t i = 0;

	for (; s.n - i >= 8; i += 8) {
		memcpy(&word, s.p + i, 8);
		sip_word(v, word);
	}
	for (unsigned shift = 0; i < s.n; i++, shift += 8)
		last |= (uint64_t)(unsigned char)s.p[i] << shift;
	sip_word(v, last);
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
str_hash(struct str s)
{
	return str_hash_keyed(s, hash_key);
}

struct str
str_dup(struct arena *a, struct str s)
{
	char *p;

	if (s.p == NULL)
		return STR_NONE;
	p = arena_bytes(a, s.n + 1);
	memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct str){ p, s.n };
}

const char *
str_dup_c(struct arena *a, struct str s)
{
	return str_dup(a, s).p;
}

struct str
str_heap(struct str s)
{
	char *p;

	if (s.p == NULL)
		return STR_NONE;
	p = (char *)xmalloc(s.n + 1);
	memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct str){ p, s.n };
}

void
str_free(struct str *s)
{
	xfree((void *)(uintptr_t)s->p);
	*s = STR_NONE;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct str
str_base64(struct arena *a, struct str bytes)
{
	const unsigned char *in = (const unsigned char *)bytes.p;
	size_t n = (bytes.n + 2) / 3 * 4, left = bytes.n;
	char *out = arena_bytes(a, n + 1), *p = out;

	for (; left > 0; in += 3, p += 4) {
		unsigned v = (unsigned)in[0] << 16;

		v |= left > 1 ? (unsigned)in[1] << 8 : 0;
		v |= left > 2 ? in[2] : 0;
		p[0] = base64_digits[v >> 18];
		p[1] = base64_digits[v >> 12 & 63];
		p[2] = left > 1 ? base64_digits[v >> 6 & 63] : '=';
		p[3] = left > 2 ? base64_digits[v & 63] : '=';
		left -= MIN(left, 3);
	}
	*p = '\0';
	return (struct str){ out, n };
}

/* The digit's value, or 64. */
static unsigned
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0') + 52;
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four digits into three bytes; false if one is no digit. */
static bool
base64_group(const char *in, unsigned *v_r)
{
	unsigned v = 0;

	for (size_t i = 0; i < 4; i++) {
		unsigned digit = base64_value(in[i]);

		if (digit > 63)
			return false;
		v = v << 6 | digit;
	}
	*v_r = v;
	return true;
}

bool
str_unbase64(struct arena *a, struct str text, struct str *bytes_r)
{
	size_t pad = 0, n;
	char *out, *p;
	unsigned v;

	*bytes_r = STR_NONE;
	if (text.n % 4 != 0)
		return false;
	while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
		pad++;
	n = text.n / 4 * 3 - pad;
	out = p = arena_bytes(a, n + 3);
	for (size_t i = 0; i < text.n; i += 4, p += 3) {
		char in[4];

		memcpy(in, text.p + i, 4);
		if (i + 4 == text.n && pad > 0)
			memset(in + 4 - pad, 'A', pad);
		if (!base64_group(in, &v))
			return false;
		p[0] = (char)(v >> 16);
		p[1] = (char)(v >> 8);
		p[2] = (char)v;
	}
	/* The bits that padding leaves over must be zero. */
	if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
		return false;
	out[n] = '\0';
	*bytes_r = (struct str){ out, n };
	return true;
}

struct str
str_hex(struct arena *a, struct str bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *out = arena_bytes(a, bytes.n * 2 + 1), *p = out;

	for (size_t i = 0; i < bytes.n; i++) {
		unsigned c = (unsigned char)bytes.p[i];

		*p++ = digits[c >> 4];
		*p++ = digits[c & 15];
	}
	*p = '\0';
	return (struct str){ out, bytes.n * 2 };
}

struct str
str_percent(struct arena *a, struct str text)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = arena_bytes(a, 3 * text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') ||
		    (c != 0 && strchr("-._~", c) != NULL)) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = digits[c >> 4];
		out[n++] = digits[c & 15];
	}
	out[n] = '\0';
	return str_mem(out, n);
}
