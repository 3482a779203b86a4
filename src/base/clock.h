/* SPDX-License-Identifier: MIT */
/* Time: monotonic for intervals, real for what people and protocols see. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"
#include "base/str.h"

#define SECONDS(n) ((uint64_t)(n)*1000)
#define MINUTES(n) (SECONDS(n) * 60)
#define HOURS(n) (MINUTES(n) * 60)
#define DAYS(n) (HOURS(n) * 24)

/* Milliseconds since some moment; never steps back. */
API uint64_t clock_mono(void);
/* Milliseconds and microseconds since 1970-01-01 UTC. */
API int64_t clock_real(void);
API int64_t clock_real_us(void);

/* XEP-0082 DateTime in UTC, with milliseconds when `ms` is set. */
API struct str clock_format(struct arena *a, int64_t real_ms, bool ms);
/* The reverse: any valid XEP-0082 DateTime; ERR_INVALID otherwise. */
API int clock_parse(struct str text, int64_t *real_ms_r);

#endif
