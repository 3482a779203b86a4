/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <stdio.h>
#include <time.h>

uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

/* Values below 64 have a class each, others 64 for each power of two. */
static unsigned
class_of(uint64_t v)
{
	unsigned top;

	if (v < 64)
		return (unsigned)v;
	top = 63 - (unsigned)__builtin_clzll(v);
	return (top - 5) * 64 + (unsigned)((v >> (top - 6)) & 63);
}

static double
class_middle(unsigned i)
{
	uint64_t width;

	if (i < 64)
		return i;
	width = 1ull << (i / 64 - 1);
	return (double)((64ull + (i & 63)) * width) + (double)width / 2;
}

void
histogram_add(struct histogram *h, uint64_t ns)
{
	h->count[class_of(ns)]++;
	h->n++;
	h->sum += (double)ns;
	h->max = MAX(h->max, ns);
}

double
histogram_ms(const struct histogram *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->n), seen = 0;

	for (unsigned i = 0; i < ARRAY_LEN(h->count); i++) {
		seen += h->count[i];
		if (seen > want)
			return class_middle(i) / 1e6;
	}
	return (double)h->max / 1e6;
}

static bool has_figures;

static void
name_put(const char *name)
{
	printf("%s\"%s\":", has_figures ? "," : "{", name);
	has_figures = true;
}

void
figure(const char *name, double value, int digits)
{
	name_put(name);
	printf("%.*f", digits, value);
}

void
figure_text(const char *name, const char *value)
{
	name_put(name);
	putchar('"');
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		if ((unsigned char)*value >= ' ')
			putchar(*value);
	}
	putchar('"');
}

void
figures_begin(void)
{
	figure_text("server", opt.server);
	figure_text("version", opt.version);
	figure_text("note", opt.note);
	figure_text("mode", opt.mode->name);
	figure_text("tls", tls_text);
	figure_text("mech", mechanism_text);
	figure("users", opt.users, 0);
	figure("sm", opt.sm, 0);
}

void
figures_end(void)
{
	puts("}");
	fflush(stdout);
	has_figures = false;
}
