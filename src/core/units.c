/* SPDX-License-Identifier: MIT */
#include "core/units.h"

#include "base/clock.h"

struct unit {
	const char *name;
	uint64_t size;
};

/* The greatest first: that is the order of printing. */
static const struct unit spans[] = {
	{ "y", DAYS(365) },
	{ "w", DAYS(7) },
	{ "d", DAYS(1) },
	{ "h", HOURS(1) },
	{ "m", MINUTES(1) },
	{ "s", SECONDS(1) },
	{ "ms", 1 },
	{ NULL, 0 },
};

static const struct unit sizes[] = {
	{ "TiB", UINT64_C(1) << 40 },
	{ "GiB", UINT64_C(1) << 30 },
	{ "MiB", UINT64_C(1) << 20 },
	{ "KiB", UINT64_C(1) << 10 },
	{ "", 1 },
	{ "TB", UINT64_C(1000000000000) },
	{ "GB", UINT64_C(1000000000) },
	{ "MB", UINT64_C(1000000) },
	{ "KB", UINT64_C(1000) },
	{ "kB", UINT64_C(1000) },
	{ "B", 1 },
	{ NULL, 0 },
};

static const struct unit *
unit_find(const struct unit *units, struct str name)
{
	for (; units->name != NULL; units++) {
		if (str_is(name, units->name))
			return units;
	}
	return NULL;
}

static bool
quantity_parse(const struct unit *units, struct str text, uint64_t *value_r)
{
	const struct unit *unit;
	size_t digits = 0;
	uint64_t n;

	while (
	    digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (!str_to_u64(str_sub(text, 0, digits), &n))
		return false;
	unit = unit_find(units, str_trim(str_skip(text, digits)));
	if (unit == NULL || n > UINT64_MAX / unit->size)
		return false;
	*value_r = n * unit->size;
	return true;
}

bool
span_parse(struct str text, uint64_t *ms_r)
{
	if (str_is(text, "0")) {
		*ms_r = 0;
		return true;
	}
	return quantity_parse(spans, text, ms_r);
}

bool
size_parse(struct str text, uint64_t *bytes_r)
{
	return quantity_parse(sizes, text, bytes_r);
}

bool
rate_parse(struct str text, struct rate *rate_r)
{
	struct str rest = text, count = str_cut(&rest, '/');
	const struct unit *unit;
	uint64_t n, per;

	if (str_is(text, "unlimited")) {
		*rate_r = (struct rate){ 0 };
		return true;
	}
	if (str_is_none(rest) || !str_to_u64(count, &n) || n == 0 ||
	    n > UINT32_MAX)
		return false;
	unit = unit_find(spans, rest);
	if (unit != NULL)
		per = unit->size;
	else if (!span_parse(rest, &per) || per == 0)
		return false;
	*rate_r = (struct rate){ (uint32_t)n, per };
	return true;
}

static void
quantity_print(struct buf *b, const struct unit *units, uint64_t value)
{
	while (units->size != 1 && (value == 0 || value % units->size != 0))
		units++;
	buf_printf(b, "%llu%s", (unsigned long long)(value / units->size),
	    units->name);
}

void
span_print(struct buf *b, uint64_t ms)
{
	if (ms == 0)
		buf_add_c(b, '0');
	else
		quantity_print(b, spans, ms);
}

void
size_print(struct buf *b, uint64_t bytes)
{
	quantity_print(b, sizes, bytes);
}

void
rate_print(struct buf *b, const struct rate *rate)
{
	if (rate->count == 0) {
		buf_add_str(b, STR("unlimited"));
		return;
	}
	buf_printf(b, "%u/", rate->count);
	span_print(b, rate->per_ms);
}
