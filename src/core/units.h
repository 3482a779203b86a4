/* SPDX-License-Identifier: MIT */
/* Spans of time, sizes and rates, as people write them. */
#ifndef CORE_UNITS_H
#define CORE_UNITS_H

#include "base/buf.h"
#include "core/option.h"

/* "500ms", "30s", "5m", "1h", "7d", "2w", "1y", "0"; in milliseconds. */
bool span_parse(struct str text, uint64_t *ms_r);
/* "512", "100KiB", "1GiB", "10MB". */
bool size_parse(struct str text, uint64_t *bytes_r);
/* "3/1h", "3/h", "unlimited". */
bool rate_parse(struct str text, struct rate *rate_r);

/* The same back, in the greatest unit that is exact. */
void span_print(struct buf *b, uint64_t ms);
void size_print(struct buf *b, uint64_t bytes);
void rate_print(struct buf *b, const struct rate *rate);

#endif
