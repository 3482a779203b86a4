/* SPDX-License-Identifier: MIT */
#include "load.h"

struct traffic traffic;

static const char hex_digits[] = "0123456789abcdef";

static char *
hex_put(char *p, uint64_t v)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*p++ = hex_digits[(v >> shift) & 15];
	return p;
}

static uint64_t
hex_get(const char *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 16; i++)
		v = v << 4 |
		    (uint64_t)(p[i] <= '9' ? p[i] - '0' : p[i] - 'a' + 10);
	return v;
}

char *
traffic_id(char *p, char kind, uint64_t sent_at, uint64_t number)
{
	*p++ = kind;
	p = hex_put(p, sent_at);
	*p++ = '-';
	return hex_put(p, number);
}

bool
traffic_id_parse(
    struct str id, char kind, uint64_t *sent_at_r, uint64_t *number_r)
{
	if (id.n != TRAFFIC_ID_LEN || id.p[0] != kind || id.p[17] != '-')
		return false;
	*sent_at_r = hex_get(id.p + 1);
	*number_r = hex_get(id.p + 18);
	return true;
}

struct str
traffic_body(void)
{
	static char *text;
	size_t n = (size_t)opt.body;

	if (text == NULL) {
		text = xmalloc(n + 1);
		for (size_t i = 0; i < n; i++)
			text[i] = i % 6 == 5 ? ' ' : (char)('a' + i % 26);
	}
	return str_mem(text, n);
}

void
traffic_received(uint64_t sent_at, uint64_t now)
{
	traffic.received++;
	if (!traffic.is_measuring)
		return;
	traffic.measured++;
	histogram_add(&traffic.latency, now - sent_at);
}

void
traffic_sm(struct user *u)
{
	if (!u->has_sm || ++u->sm_since < 5)
		return;
	u->sm_since = 0;
	user_sendf(u, "<r xmlns='urn:xmpp:sm:3'/>");
}

/* Sends all that is due by now; how long until the next is. */
static uint64_t
pace(void (*due)(uint64_t at), uint64_t begin, uint64_t *count)
{
	double gap = 1e9 / opt.rate;
	uint64_t now, next;

	for (;;) {
		now = now_ns();
		next = begin + (uint64_t)((double)*count * gap);
		if (next > now)
			break;
		due(next);
		++*count;
	}
	users_flush();
	return next - now;
}

static void
figures_common(
    const struct sample *a, const struct sample *b, uint64_t in, uint64_t out)
{
	const struct histogram *h = &traffic.latency;
	double secs = (double)(b->at - a->at) / 1e9;
	double server = b->server_cpu - a->server_cpu;
	double own = b->own_cpu - a->own_cpu;
	double ops = (double)MAX(traffic.measured, 1);

	figure("p50_ms", histogram_ms(h, .5), 3);
	figure("p99_ms", histogram_ms(h, .99), 3);
	figure("p999_ms", histogram_ms(h, .999), 3);
	figure("max_ms", (double)h->max / 1e6, 3);
	figure("per_s", (double)traffic.measured / secs, 1);
	figure("server_us", server / ops * 1e6, 3);
	figure("own_us", own / ops * 1e6, 3);
	figure("server_cores", server / secs, 3);
	figure("own_cores", own / secs, 3);
	figure("other_cores",
	    (b->machine_cpu - a->machine_cpu - server - own) / secs, 3);
	figure("bytes_in", (double)in / ops, 1);
	figure("bytes_out", (double)out / ops, 1);
	figure("pss_kb", b->pss_kb, 0);
	figure("rss_kb", b->rss_kb, 0);
	figure("lost",
	    (double)(int64_t)(traffic.expected - traffic.received -
			      traffic.errors),
	    0);
	figure("errors", (double)traffic.errors, 0);
	figure("reordered", (double)traffic.reordered, 0);
	figure("dropped", dropped_count, 0);
}

void
traffic_run(
    void (*begin)(void), void (*due)(uint64_t at), void (*own)(double seconds))
{
	uint64_t start, from, to, count = 0, in = 0, out = 0, last = 0, moved;
	struct sample a = { 0 }, b;

	users_spin(opt.settle);
	traffic.is_running = true;
	start = moved = now_ns();
	from = start + (uint64_t)(opt.warm_up * 1e9);
	to = from + (uint64_t)(opt.seconds * 1e9);
	if (opt.rate <= 0)
		begin();
	users_flush();
	while (now_ns() < to) {
		uint64_t wait = NS / 50;

		if (!traffic.is_measuring && now_ns() >= from) {
			in = bytes_in;
			out = bytes_out;
			a = sample_take();
			traffic.is_measuring = true;
		}
		if (opt.rate > 0)
			wait = MIN(pace(due, start, &count), wait);
		users_turn(wait);
		if (traffic.received != last)
			moved = now_ns();
		else if (now_ns() - moved > 15 * NS)
			die("nothing has come for 15 s");
		last = traffic.received;
	}
	traffic.is_measuring = false;
	b = sample_take();
	in = bytes_in - in;
	out = bytes_out - out;
	traffic.is_running = false;
	for (int i = 0; i < 150; i++) {
		if (traffic.received + traffic.errors >= traffic.expected)
			break;
		users_spin(.1);
	}
	figures_begin();
	own((double)(b.at - a.at) / 1e9);
	figures_common(&a, &b, in, out);
	figures_end();
	note("%s %s: %.0f/s, server %.2f us each, p50 %.3f ms, p99 %.3f ms",
	    opt.server, opt.mode->name,
	    (double)traffic.measured / ((double)(b.at - a.at) / 1e9),
	    (b.server_cpu - a.server_cpu) / (double)MAX(traffic.measured, 1) *
		1e6,
	    histogram_ms(&traffic.latency, .5),
	    histogram_ms(&traffic.latency, .99));
}
