/* SPDX-License-Identifier: MIT */
/* How the server does, for those who watch over it. */
#include "core/command.h"
#include "core/daemon.h"
#include "core/host.h"
#include "core/metrics.h"
#include "core/session.h"
#include "http/http.h"
#include "net/loop.h"
#include "store/store.h"

#include <time.h>

#define PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

void
status_health(struct http_req *r)
{
	http_answer_text(r, 200, "ok");
}

static void
on_counted(void *ctx, int err, uint64_t count)
{
	struct http_req *r = (struct http_req *)ctx;

	if (err == 0)
		http_answer_text(r, 200, "ready");
	else
		http_answer_text(r, 503, "the store does not answer");
}

void
status_ready(struct http_req *r)
{
	if (daemon_uptime() == 0)
		http_answer_text(r, 503, "starting");
	else
		store_account_count(host_at(0)->jid.full, on_counted, r);
}

/* /metrics ----------------------------------------------------------------*/

struct survey {
	struct http_req *req;
	size_t *sessions; /* of each worker */
};

static void
on_part(void *ctx, unsigned index)
{
	struct survey *s = (struct survey *)ctx;

	s->sessions[index] = session_count();
}

static void
write_row(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP rookery_%s %s\n# TYPE rookery_%s %s\n", name,
	    help, name, type);
}

static void
write_gauge(struct buf *out, const char *name, const char *help, double value)
{
	write_row(out, name, "gauge", help);
	buf_printf(out, "rookery_%s %.15g\n", name, value);
}

static void
write_counters(struct buf *out)
{
	struct timespec cpu;

	for (unsigned m = 0; m < METRIC_COUNT; m++) {
		const char *name = metric_name((enum metric)m);

		write_row(out, name, "counter", metric_help((enum metric)m));
		buf_printf(out, "rookery_%s %llu\n", name,
		    (unsigned long long)metric_sum((enum metric)m));
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	write_row(out, "cpu_seconds_total", "counter", "processor time used");
	buf_printf(out, "rookery_cpu_seconds_total %.3f\n",
	    (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
}

static void
on_surveyed(void *ctx)
{
	struct survey *s = (struct survey *)ctx;
	struct buf out = { 0 };
	size_t sessions = 0;

	for (unsigned i = 0; i < loop_count(); i++)
		sessions += s->sessions[i];
	write_counters(&out);
	write_gauge(&out, "sessions", "sessions of clients, detached ones too",
	    (double)sessions);
	write_gauge(&out, "uptime_seconds", "time since the server was ready",
	    (double)daemon_uptime() / 1000);
	write_gauge(&out, "workers", "threads that serve connections",
	    (double)loop_count());
	write_row(&out, "build_info", "gauge", "the version that runs");
	buf_printf(
	    &out, "rookery_build_info{version=\"%s\"} 1\n", daemon_version());
	http_answer(s->req, 200, PROMETHEUS, buf_str(&out));
	buf_fini(&out);
}

static void
metrics_answer(struct http_req *r)
{
	struct survey *s = arena_new_of(http_arena(r), struct survey);

	s->req = r;
	s->sessions = (size_t *)arena_zalloc(
	    http_arena(r), loop_count() * sizeof(*s->sessions));
	worker_gather(on_part, on_surveyed, s);
}

static void
on_authenticated(struct http_req *r, unsigned status)
{
	if (status == 200) {
		metrics_answer(r);
		return;
	}
	if (status == 401)
		http_header(r, "www-authenticate", "Basic realm=\"rookery\"");
	http_answer_text(r, status, "for administrators, or from this machine");
}

/* From this machine, and not through a proxy on it. */
static bool
is_near(const struct http_req *r)
{
	return http_is_local(r) ||
	       (addr_is_loopback(http_peer(r)) &&
		   str_is_none(http_head(r, "x-forwarded-for")) &&
		   str_is_none(http_head(r, "forwarded")));
}

void
status_metrics(struct http_req *r)
{
	if (is_near(r)) {
		metrics_answer(r);
	} else if (str_is_none(http_head(r, "authorization"))) {
		on_authenticated(r, 401);
	} else {
		http_authenticate(r, on_authenticated);
	}
}
