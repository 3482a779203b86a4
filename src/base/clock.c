/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include "base/arena.h"
#include "base/err.h"

#include <time.h>

static int64_t
clock_us(clockid_t id)
{
	struct timespec t;

	must(clock_gettime(id, &t) == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

uint64_t
clock_mono(void)
{
	return (uint64_t)clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_real(void)
{
	return clock_us(CLOCK_REALTIME) / 1000;
}

int64_t
clock_real_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

/* Days since 1970-01-01 of a day of the Gregorian calendar. */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
	/* 400 years later, when the calendar is the same: never negative. */
	int64_t y = (month > 2 ? year : year - 1) + 400;
	int64_t m = month > 2 ? month - 3 : month + 9; /* from March */

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day -
	       1 - 719468 - 146097;
}

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t
month_days(int64_t year, int64_t month)
{
	static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/* What clock_format() can say and clock_parse() can read: four digit years. */
#define REAL_MIN (INT64_C(-62167219200000)) /* 0000-01-01T00:00:00.000Z */
#define REAL_MAX (INT64_C(253402300799999)) /* 9999-12-31T23:59:59.999Z */

/* A page of an archive has fifty of these: printf() would be felt. */
static char *
put_digits(char *p, int width, int n, char after)
{
	for (int i = width; i-- > 0; n /= 10)
		p[i] = (char)('0' + n % 10);
	p[width] = after;
	return p + width + 1;
}

struct str
clock_format(struct arena *a, int64_t real_ms, bool ms)
{
	int64_t t = MAX(MIN(real_ms, REAL_MAX), REAL_MIN);
	int64_t secs = (t - REAL_MIN) / 1000 + REAL_MIN / 1000;
	int part = (int)((t - REAL_MIN) % 1000);
	time_t when = (time_t)secs;
	struct tm tm;
	char *text = arena_bytes(a, sizeof("2024-01-01T00:00:00.000Z")), *p;

	must(gmtime_r(&when, &tm) != NULL);
	p = put_digits(text, 4, tm.tm_year + 1900, '-');
	p = put_digits(p, 2, tm.tm_mon + 1, '-');
	p = put_digits(p, 2, tm.tm_mday, 'T');
	p = put_digits(p, 2, tm.tm_hour, ':');
	p = put_digits(p, 2, tm.tm_min, ':');
	p = put_digits(p, 2, tm.tm_sec, ms ? '.' : 'Z');
	if (ms)
		p = put_digits(p, 3, part, 'Z');
	*p = '\0';
	return str_mem(text, (size_t)(p - text));
}

/* Takes `n` digits off the front. */
static bool
take_number(struct str *s, size_t n, int64_t low, int64_t high, int64_t *r)
{
	uint64_t value;

	if (s->n < n || !str_to_u64(str_sub(*s, 0, n), &value))
		return false;
	*s = str_skip(*s, n);
	*r = (int64_t)value;
	return *r >= low && *r <= high;
}

static bool
take_char(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = str_skip(*s, 1);
	return true;
}

/* ".5" and ".123456789" alike; what is below milliseconds is dropped. */
static bool
take_fraction(struct str *s, int64_t *ms_r)
{
	int64_t scale = 100;
	bool some = false;

	*ms_r = 0;
	if (!take_char(s, '.'))
		return true;
	while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
		*ms_r += (s->p[0] - '0') * scale;
		scale /= 10;
		*s = str_skip(*s, 1);
		some = true;
	}
	return some;
}

/* "Z", "+02:00": minutes to be subtracted. */
static bool
take_zone(struct str *s, int64_t *minutes_r)
{
	int64_t hour, minute, sign;

	*minutes_r = 0;
	if (take_char(s, 'Z'))
		return true;
	if (take_char(s, '+'))
		sign = 1;
	else if (take_char(s, '-'))
		sign = -1;
	else
		return false;
	if (!take_number(s, 2, 0, 23, &hour) || !take_char(s, ':') ||
	    !take_number(s, 2, 0, 59, &minute))
		return false;
	*minutes_r = sign * (hour * 60 + minute);
	return true;
}

int
clock_parse(struct str text, int64_t *real_ms_r)
{
	int64_t year, month, day, hour, minute, second, ms, zone;

	*real_ms_r = 0;
	if (!take_number(&text, 4, 0, 9999, &year) || !take_char(&text, '-') ||
	    !take_number(&text, 2, 1, 12, &month) || !take_char(&text, '-') ||
	    !take_number(&text, 2, 1, month_days(year, month), &day) ||
	    !take_char(&text, 'T') || !take_number(&text, 2, 0, 23, &hour) ||
	    !take_char(&text, ':') || !take_number(&text, 2, 0, 59, &minute) ||
	    !take_char(&text, ':') || !take_number(&text, 2, 0, 60, &second) ||
	    !take_fraction(&text, &ms) || !take_zone(&text, &zone) ||
	    text.n > 0)
		return ERR_INVALID;
	*real_ms_r =
	    ((days_of(year, month, day) * 24 + hour) * 60 + minute - zone) *
		60000 +
	    second * 1000 + ms;
	return 0;
}
