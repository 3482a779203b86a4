/* SPDX-License-Identifier: MIT */
/* A new configuration for a running server. */
#include "core/daemon_impl.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/component.h"
#include "core/hooks.h"
#include "core/mods.h"

/* Replaced ones, until no instance that was stopped can look at them. */
struct old_conf {
	struct old_conf *next;
	struct conf *conf;
};

static struct old_conf *old_confs;

void
reload_settle(void)
{
	if (mods_dead_count() > 0)
		return;
	while (old_confs != NULL) {
		struct old_conf *o = old_confs;

		old_confs = o->next;
		conf_free(&o->conf);
		xfree(o);
	}
}

static void
on_conf(void *conf)
{
	conf_use((const struct conf *)conf);
	components_check();
}

static bool
same_text(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static void
log_apply(const struct conf *conf, const struct conf *old, struct buf *notes)
{
	int err;

	if (same_text(conf->log.target, old->log.target) &&
	    conf->log.format == old->log.format)
		err = log_reopen();
	else
		err = log_open(conf->log.target, conf->log.format);
	if (err < 0) {
		log_error(&log_daemon, "cannot log to %s: %s", conf->log.target,
		    err_text(err));
		buf_printf(notes, "cannot log to %s: %s\n", conf->log.target,
		    err_text(err));
	}
	log_set_level(conf->log.level);
}

static void
kept_note(const struct conf *conf, struct buf *notes)
{
	for (size_t i = 0; i < conf->kept.count; i++) {
		struct str key = conf->kept.item[i];

		log_notice(&log_daemon,
		    "'" STR_FMT "' has changed, which takes a restart",
		    STR_ARG(key));
		buf_printf(notes,
		    "'" STR_FMT "' has changed, which takes a restart\n",
		    STR_ARG(key));
	}
}

static void
conf_switch(struct arena *a, struct conf *conf, struct buf *notes)
{
	struct conf *old = daemon_conf;
	struct old_conf *o = (struct old_conf *)xzalloc(sizeof(*o));
	const char *why = NULL;

	log_apply(conf, old, notes);
	if (certs_apply(a, conf, &why) < 0) {
		log_error(
		    &log_daemon, "certificates stay as they are: %s", why);
		buf_printf(notes, "certificates stay as they are: %s\n", why);
	} else if (why != NULL) {
		buf_printf(notes, "not all certificates are new: %s\n", why);
	}
	if (trust_apply(a, conf, &why) < 0) {
		log_error(&log_daemon, "%s", why);
		buf_printf(notes, "%s\n", why);
	}
	daemon_conf = conf;
	conf_use(conf);
	loops_call(on_conf, conf);
	log_debug(&log_daemon, "all workers have the new configuration");
	modules_apply(a, conf, notes);
	listeners_apply(a, conf, notes);
	kept_note(conf, notes);

	o->conf = old;
	o->next = old_confs;
	old_confs = o;
}

void
reload_now(struct buf *notes, int *err_r)
{
	struct arena *a = arena_new(0);
	struct problems problems = { .arena = a };
	struct conf *conf = NULL;
	const char *path = daemon_conf->path;

	notify_systemd("RELOADING=1");
	modules_await();
	*err_r = conf_load(path, daemon_conf, &problems, &conf);
	if (*err_r == 0)
		machine_check(conf, &problems, false);
	if (problems.count > 0)
		*err_r = ERR_CONFIG;
	for (size_t i = 0; i < problems.count; i++) {
		log_error(&log_daemon, "%s", problem_line(&problems, i));
		buf_printf(notes, "%s\n", problem_line(&problems, i));
	}
	if (*err_r < 0) {
		log_notice(&log_daemon,
		    "the configuration is wrong; nothing was changed");
		conf_free(&conf);
		buf_printf(notes, "nothing was changed\n");
	} else {
		conf_switch(a, conf, notes);
		log_info(&log_daemon, "the configuration was reloaded");
	}
	notify_systemd("READY=1");
	arena_free(&a);
}

void
restart_check(struct buf *notes, int *err_r)
{
	struct problems problems = { .arena = arena_new(0) };
	struct conf *conf = NULL;

	if (conf_load(daemon_conf->path, daemon_conf, &problems, &conf) == 0) {
		machine_check(conf, &problems, true);
		listeners_check(conf, &problems);
	}
	*err_r = problems.count > 0 ? ERR_CONFIG : 0;
	for (size_t i = 0; i < problems.count; i++) {
		log_error(&log_daemon, "%s", problem_line(&problems, i));
		buf_printf(notes, "%s\n", problem_line(&problems, i));
	}
	if (problems.count > 0) {
		log_error(&log_daemon, "it would not start again; no restart");
		buf_printf(notes, "it would not start again; no restart\n");
	}
	conf_free(&conf);
	arena_free(&problems.arena);
}

/* ---- on request ---- */

struct request {
	void (*fn)(struct buf *notes, int *err_r);
	struct loop *loop;
	daemon_done_fn *done;
	void *ctx;
	int err;
	struct buf text;
};

static void
on_done(void *msg)
{
	struct request *r = (struct request *)msg;

	if (r->done != NULL)
		r->done(r->ctx, r->err, r->text.n > 0 ? r->text.p : "");
	buf_fini(&r->text);
	xfree(r);
}

static void
on_request(void *msg)
{
	struct request *r = (struct request *)msg;

	r->fn(&r->text, &r->err);
	/* Without the last newline, and ended by a NUL. */
	if (r->text.n > 0)
		r->text.p[r->text.n - 1] = '\0';
	if (r->loop != NULL)
		loop_post(r->loop, on_done, r);
	else
		on_done(r);
}

static void
request(
    void (*fn)(struct buf *notes, int *err_r), daemon_done_fn *done, void *ctx)
{
	struct request *r = (struct request *)xzalloc(sizeof(*r));

	r->fn = fn;
	r->loop = loop_self();
	r->done = done;
	r->ctx = ctx;
	main_post(on_request, r);
}

void
daemon_reload(daemon_done_fn *done, void *ctx)
{
	request(reload_now, done, ctx);
}

void
daemon_restart_check(daemon_done_fn *done, void *ctx)
{
	request(restart_check, done, ctx);
}
