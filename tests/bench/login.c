/* SPDX-License-Identifier: MIT */
/*
 * Logins, and what sessions cost that do nothing: the figures of signing in,
 * and of holding it. "register" makes accounts instead (XEP-0077).
 */
#include "load.h"

static void
figures_signin(void)
{
	const struct sample *a = &signin_before, *b = &signin_after;
	double secs = (double)(b->at - a->at) / 1e9, n = opt.users;
	double server = b->server_cpu - a->server_cpu;
	double own = b->own_cpu - a->own_cpu;

	figure("at_once", opt.at_once, 0);
	figure("seconds", secs, 3);
	figure("per_s", n / secs, 1);
	figure("p50_ms", histogram_ms(&login_time, .5), 3);
	figure("p99_ms", histogram_ms(&login_time, .99), 3);
	figure("server_us", server / n * 1e6, 1);
	figure("own_us", own / n * 1e6, 1);
	figure("server_cores", server / secs, 3);
	figure("other_cores",
	    (b->machine_cpu - a->machine_cpu - server - own) / secs, 3);
	note("%s %s: %.0f/s, server %.1f us each, p50 %.2f ms, p99 %.2f ms",
	    opt.server, opt.mode->name, n / secs, server / n * 1e6,
	    histogram_ms(&login_time, .5), histogram_ms(&login_time, .99));
}

static void
login_run(void)
{
	double n = opt.users;
	struct sample from, to;

	users_spin(opt.settle);
	from = sample_take();
	users_spin(opt.hold);
	to = sample_take();

	figures_begin();
	figures_signin();
	figure("hold_s", opt.hold, 0);
	figure("pss_before_kb", signin_before.pss_kb, 0);
	figure("pss_idle_kb", to.pss_kb, 0);
	figure("rss_idle_kb", to.rss_kb, 0);
	figure("session_pss", (to.pss_kb - signin_before.pss_kb) * 1024 / n, 0);
	figure("session_rss", (to.rss_kb - signin_before.rss_kb) * 1024 / n, 0);
	figure("idle_cpu",
	    (to.server_cpu - from.server_cpu) /
		MAX((double)(to.at - from.at) / 1e9, 1e-3),
	    4);
	figure("processes", to.processes, 0);
	figure("threads", to.threads, 0);
	figure("dropped", dropped_count, 0);
	figures_end();
}

static void
register_run(void)
{
	figures_begin();
	figures_signin();
	figures_end();
}

const struct mode mode_login = {
	.name = "login",
	.run = login_run,
};

const struct mode mode_register = {
	.name = "register",
	.run = register_run,
};
