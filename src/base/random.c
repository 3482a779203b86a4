/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

static _Thread_local struct {
	unsigned char bytes[512];
	size_t left; /* at the end of `bytes` */
} pool;

/* A forked child must not repeat what its parent draws. */
static void
pool_forget(void)
{
	memset(&pool, 0, sizeof(pool));
}

__attribute__((constructor)) static void
pool_watch_forks(void)
{
	must(pthread_atfork(NULL, NULL, pool_forget) == 0);
}

static void
kernel_bytes(void *p, size_t n)
{
	unsigned char *at = (unsigned char *)p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0) {
			must(errno == EINTR);
			continue;
		}
		at += got;
		n -= (size_t)got;
	}
}

void
random_bytes(void *p, size_t n)
{
	unsigned char *from;

	if (n > sizeof(pool.bytes) / 4) {
		kernel_bytes(p, n);
		return;
	}
	if (pool.left < n) {
		kernel_bytes(pool.bytes, sizeof(pool.bytes));
		pool.left = sizeof(pool.bytes);
	}
	from = pool.bytes + sizeof(pool.bytes) - pool.left;
	memcpy(p, from, n);
	memset(from, 0, n); /* what was given out is not kept */
	pool.left -= n;
}

uint64_t
random_u64(void)
{
	uint64_t value;

	random_bytes(&value, sizeof(value));
	return value;
}

struct str
random_token(struct arena *a, size_t bytes)
{
	char *raw = arena_bytes(a, bytes);
	struct str text;
	char *p;

	random_bytes(raw, bytes);
	text = str_base64(a, str_mem(raw, bytes));
	memset(raw, 0, bytes);
	p = (char *)(uintptr_t)text.p;
	for (size_t i = 0; i < text.n; i++)
		p[i] = p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i];
	text.n = bytes / 3 * 4 + (bytes % 3 > 0 ? bytes % 3 + 1 : 0);
	p[text.n] = '\0';
	return text;
}

/* 48 bits of milliseconds, then 74 bits of which 12 stand before the rest. */
#define TIME_MASK UINT64_C(0xffffffffffff)
#define LOW_MASK ((UINT64_C(1) << 62) - 1)
/* Steps are large, so that a neighbour's id cannot be guessed. */
#define STEP_MASK ((UINT64_C(1) << 48) - 1)

static void
uuid_write(uint64_t ms, uint64_t high, uint64_t low, char *text)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t half[2] = {
		(ms & TIME_MASK) << 16 | 0x7000 | (high & 0xfff),
		UINT64_C(1) << 63 | (low & LOW_MASK),
	};

	for (size_t i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			*text++ = '-';
		*text++ = digits[half[i / 16] >> (60 - i % 16 * 4) & 15];
	}
	*text = '\0';
}

void
uuid7(char text_r[UUID_LEN + 1])
{
	static _Thread_local uint64_t last_ms, high, low;
	uint64_t ms = (uint64_t)clock_real() & TIME_MASK;

	if (ms > last_ms) {
		last_ms = ms;
		high = random_u64() & 0x7ff; /* leaves room for the steps */
		low = random_u64() & LOW_MASK;
	} else {
		low += 1 + (random_u64() & STEP_MASK);
		high += low >> 62;
		low &= LOW_MASK;
		last_ms += high >> 12;
		high &= 0xfff;
	}
	uuid_write(last_ms, high, low, text_r);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
uuid7_time(struct str text, int64_t *real_ms_r)
{
	int64_t ms = 0;

	*real_ms_r = 0;
	if (text.n != UUID_LEN || text.p[14] != '7' ||
	    strchr("89abAB", text.p[19]) == NULL)
		return ERR_INVALID;
	for (size_t i = 0; i < UUID_LEN; i++) {
		int value = hex_value(text.p[i]);

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text.p[i] != '-')
				return ERR_INVALID;
		} else if (value < 0) {
			return ERR_INVALID;
		} else if (i < 13) {
			ms = ms << 4 | value;
		}
	}
	*real_ms_r = ms;
	return 0;
}

static uint64_t
uuid_ms(int64_t real_ms)
{
	return (uint64_t)MAX(MIN(real_ms, (int64_t)TIME_MASK), 0);
}

void
uuid7_min(int64_t real_ms, char text_r[UUID_LEN + 1])
{
	uuid_write(uuid_ms(real_ms), 0, 0, text_r);
}

void
uuid7_max(int64_t real_ms, char text_r[UUID_LEN + 1])
{
	uuid_write(uuid_ms(real_ms), 0xfff, LOW_MASK, text_r);
}
