/* SPDX-License-Identifier: MIT */
/* Randomness from the kernel, buffered by thread. Fit for secrets. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "base/base.h"
#include "base/str.h"

/* Neither can fail. */
API void random_bytes(void *p, size_t n);
API uint64_t random_u64(void);
/* `bytes` random bytes as URL-safe Base64 without padding. */
API struct str random_token(struct arena *a, size_t bytes);

#define UUID_LEN 36
/*
 * A UUIDv7 (RFC 9562) as text with NUL. Strictly increasing in one thread,
 * even when the clock steps back.
 */
API void uuid7(char text_r[UUID_LEN + 1]);
/* The time in a UUIDv7, milliseconds since 1970; ERR_INVALID if it is none. */
API int uuid7_time(struct str text, int64_t *real_ms_r);
/* The smallest and greatest UUIDv7 of a millisecond, for ranges of ids. */
API void uuid7_min(int64_t real_ms, char text_r[UUID_LEN + 1]);
API void uuid7_max(int64_t real_ms, char text_r[UUID_LEN + 1]);

#endif
