/* SPDX-License-Identifier: MIT */
/* Start, run and end of the daemon, on its main thread. */
#include "core/daemon_impl.h"
#include "core/edited.h"
#include "core/handshakes.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/account_impl.h"
#include "core/bytestream.h"
#include "core/commands.h"
#include "core/component.h"
#include "core/hooks.h"
#include "core/iq_impl.h"
#include "core/mods.h"
#include "core/router.h"
#include "core/s2s.h"
#include "net/tls.h"
#include "store/backend.h"
#include "xml/names.h"
#include "xml/parser.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* What streams and stores are given at the end. */
#define END_MS 5000
#define END_LOOK_MS 10
/* All of the end, and then the log's last line. */
#define END_MOST_S 20
#define END_LOG_S 2
/* How often modules that are on their way out are looked at. */
#define SETTLE_LOOK_MS 100

enum { END_NOT, END_STOP, END_RESTART };

const struct log_ctx log_daemon = { .source = "daemon" };
struct conf *daemon_conf;

static struct {
	struct arena *arena;
	char **argv;
	const char *exe;
	const char *socket;
	int signals; /* a signalfd */
	uint64_t ready;
	int end; /* atomic; one of END_... */
} d = { .signals = -1 };

/* Who ends it when its end takes too long. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t over;
	pthread_t thread;
	bool is_over, is_there;
} late = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- for commands ---- */

void
daemon_stop(void)
{
	int running = 0;

	__atomic_compare_exchange_n(
	    &d.end, &running, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	main_wake();
}

void
daemon_restart(void)
{
	__atomic_store_n(&d.end, END_RESTART, __ATOMIC_RELAXED);
	main_wake();
}

uint64_t
daemon_uptime(void)
{
	return d.ready != 0 ? clock_mono() - d.ready : 0;
}

const char *
daemon_version(void)
{
	return ROOKERY_VERSION;
}

struct str
daemon_dump_conf(struct arena *a)
{
	return conf_dump(a, conf_now());
}

const char *
daemon_socket_path(void)
{
	return d.socket;
}

/* ---- start ---- */

static void
signals_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	signal(SIGPIPE, SIG_IGN);
	d.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	must(d.signals >= 0);
}

/* Where this program is, so that a restart takes a newer one. */
static void
exe_find(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n > 0)
		d.exe = str_dup_c(d.arena, str_mem(path, (size_t)n));
}

static int
fail(const char *why)
{
	fprintf(stderr, "rookeryd: %s\n", why);
	if (daemon_conf != NULL &&
	    strcmp(daemon_conf->log.target, "stderr") != 0)
		log_error(&log_daemon, "%s", why);
	return ERR_CONFIG;
}

static int
conf_start(const char *path)
{
	struct problems problems = { .arena = d.arena };

	if (path == NULL)
		path = conf_default_path();
	if (conf_load(path, NULL, &problems, &daemon_conf) == 0)
		machine_check(daemon_conf, &problems, true);
	if (problems.count > 0) {
		problems_print(&problems);
		return ERR_CONFIG;
	}
	conf_use(daemon_conf);
	return 0;
}

static int
log_start(void)
{
	int err = log_open(daemon_conf->log.target, daemon_conf->log.format);

	if (err < 0)
		return fail(arena_printf(d.arena, "cannot log to %s: %s",
		    daemon_conf->log.target, err_text(err)));
	log_set_level(daemon_conf->log.level);
	log_info(&log_daemon, "rookeryd %s, configuration: %s", ROOKERY_VERSION,
	    daemon_conf->path != NULL ? daemon_conf->path : "built in");
	return 0;
}

static int
data_start(const char **why_r)
{
	const char *dir = daemon_conf->data_dir;
	struct str secret;
	int err = privilege_find(d.arena, daemon_conf->user, why_r);

	if (err == 0)
		err = datadir_open(d.arena, dir, why_r);
	if (err == 0)
		err = datadir_secret(d.arena, dir, &secret, why_r);
	if (err < 0)
		return err;
	if (daemon_conf->log.target[0] == '/')
		privilege_give_path(daemon_conf->log.target);
	hosts_init(daemon_conf, secret);
	handshakes_init();
	d.socket = arena_printf(d.arena, "%s/rookery.sock", dir);
	return 0;
}

static int
store_start(const char **why_r)
{
	struct store_config config = {
		.data_dir = daemon_conf->data_dir,
		.path = daemon_conf->database.path,
		.dsn = daemon_conf->database.dsn,
	};

	return store_open(
	    d.arena, daemon_conf->database.driver, &config, why_r);
}

/* Sockets and certificates first, as they may need what root may do. */
static int
parts_start(const char **why_r)
{
	int err = data_start(why_r);

	privilege_raise_files();
	if (err == 0)
		err = certs_apply(d.arena, daemon_conf, why_r);
	if (err == 0)
		err = trust_apply(d.arena, daemon_conf, why_r);
	if (err < 0)
		return err;
	router_set_remote(s2s_send);
	auth_pool_size(daemon_conf);
	loops_new(daemon_conf->workers);
	err = listeners_open(d.arena, daemon_conf, why_r);
	if (err == 0)
		err = privilege_drop(d.arena, why_r);
	if (err == 0)
		err = modules_load(d.arena, daemon_conf, why_r);
	if (err == 0)
		err = store_start(why_r);
	return err;
}

static void
on_started(struct loop *l)
{
	conf_use(daemon_conf);
	modules_start_worker();
}

static void
on_nothing(void *arg)
{
}

int
daemon_start(const struct daemon_args *args)
{
	const char *why = NULL;

	umask(0077);
	signals_set();
	d.arena = arena_new(0);
	d.argv = args->argv;
	exe_find();
	names_init();
	if (conf_start(args->conf_path) < 0)
		return ERR_CONFIG;
	/* One heap for each thread that allocates much, and no more. */
	mallopt(M_ARENA_MAX, (int)daemon_conf->workers + 1);
	if (log_start() < 0)
		return ERR_CONFIG;
	if (parts_start(&why) < 0)
		return fail(why);
	loops_run(on_started);
	loops_call(on_nothing, NULL);
	edited_started();
	return 0;
}

void
daemon_ready(void)
{
	d.ready = clock_mono();
	if (geteuid() == 0)
		log_notice(&log_daemon,
		    "runs as root; 'user' in the configuration names "
		    "another");
	log_info(&log_daemon, "ready");
	notify_systemd("READY=1");
	watchdog_start();
}

int
daemon_check(const char *path)
{
	d.arena = arena_new(0);
	names_init();
	if (conf_start(path) < 0)
		return 1;
	printf("configuration is fine\n");
	conf_use(NULL);
	conf_free(&daemon_conf);
	modules_unload();
	modules_set_dir(NULL);
	arena_free(&d.arena);
	return 0;
}

/* ---- run ---- */

static void
on_signal(uint32_t signo)
{
	struct buf notes = { 0 };
	int err;

	switch (signo) {
	case SIGHUP:
		reload_now(&notes, &err);
		buf_fini(&notes);
		break;
	case SIGUSR1:
		if (log_reopen() < 0)
			log_error(&log_daemon, "cannot reopen the log");
		break;
	default:
		log_info(&log_daemon, "told to stop");
		daemon_stop();
	}
}

static void
signals_run(void)
{
	struct signalfd_siginfo info;

	while (read(d.signals, &info, sizeof(info)) == sizeof(info))
		on_signal(info.ssi_signo);
}

static bool
is_ending(void)
{
	int end = __atomic_load_n(&d.end, __ATOMIC_RELAXED), err;
	struct buf notes = { 0 };

	if (end != END_RESTART)
		return end != END_NOT;
	restart_check(&notes, &err);
	/* What was closed for the restart (restart_kindly) opens again. */
	if (err < 0)
		listeners_apply(d.arena, daemon_conf, &notes);
	buf_fini(&notes);
	if (err == 0)
		return true;
	/* Unless it has been told to stop meanwhile. */
	__atomic_compare_exchange_n(
	    &d.end, &end, END_NOT, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return false;
}

void
daemon_run(void)
{
	bool is_settling = false;

	while (!is_ending()) {
		int wait = watchdog_feed();

		struct pollfd fds[] = {
			{ .fd = d.signals, .events = POLLIN },
			{ .fd = main_fd(), .events = POLLIN },
		};

		if (is_settling && (wait < 0 || wait > SETTLE_LOOK_MS))
			wait = SETTLE_LOOK_MS;
		if (poll(fds, 2, wait) < 0 && errno != EINTR)
			break;
		signals_run();
		main_run();
		is_settling = modules_settle();
		reload_settle();
	}
}

/* ---- end ---- */

static void
on_count_stream(void *ctx, struct stream *s)
{
	++*(size_t *)ctx;
}

static void
on_look(void *arg)
{
	size_t left = store_waiting() + components_closing();

	stream_each(on_count_stream, &left);
	__atomic_fetch_add((size_t *)arg, left, __ATOMIC_RELAXED);
}

/* Until no stream is left and the store has answered, or time is up. */
static void
quiet_await(void)
{
	uint64_t end = clock_mono() + END_MS;
	struct timespec pause = { 0, END_LOOK_MS * 1000000L };
	size_t left;

	do {
		left = 0;
		loops_call(on_look, &left);
		if (left == 0)
			return;
		nanosleep(&pause, NULL);
	} while (clock_mono() < end);
	log_notice(&log_daemon, "%zu streams or writes were cut off", left);
}

static void
on_shutdown(void *arg)
{
	stream_shutdown_all();
}

static void
on_stop(void *arg)
{
	modules_stop_worker();
	/* Not before: what sessions and rooms say at their end goes there. */
	s2s_close_all();
	components_close();
}

static void
on_drop(void *arg)
{
	s2s_stop();
	conn_abort_all();
	iqs_stop();
	accounts_stop();
}

static void
on_last(void *arg)
{
	components_stop();
	bytestream_thread_done();
	xml_thread_done();
}

static void
loops_end(void)
{
	listeners_close();
	loops_call(on_shutdown, NULL);
	quiet_await();
	loops_call(on_stop, NULL);
	quiet_await();
	loops_call(on_drop, NULL);
	/* What was aborted is told so in a later turn. */
	loops_call(on_nothing, NULL);
	loops_call(on_last, NULL);
	loops_stop();
	store_close();
	loops_free();
}

static void
restart(void)
{
	sigset_t none;

	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	execv(d.exe, d.argv);
	log_error(
	    &log_daemon, "cannot start %s again: %s", d.exe, err_text(-errno));
}

static bool
is_restart(void)
{
	return __atomic_load_n(&d.end, __ATOMIC_RELAXED) == END_RESTART;
}

/*
 * A disk that hangs holds whoever waits for it, for ever. What it has not taken
 * was acknowledged to nobody, so it may be left. If the log hangs as well, the
 * alarm is what ends this.
 */
static void
end_at_once(void)
{
	alarm(END_LOG_S);
	log_error(&log_daemon,
	    "storage has not answered for %d s: ends without it; what is not "
	    "kept was acknowledged to nobody",
	    END_MOST_S);
	alarm(0);
	if (is_restart())
		restart();
	_exit(1);
}

static void *
late_main(void *arg)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += END_MOST_S;
	pthread_mutex_lock(&late.lock);
	while (!late.is_over && err == 0)
		err = pthread_cond_timedwait(&late.over, &late.lock, &until);
	if (!late.is_over)
		end_at_once();
	pthread_mutex_unlock(&late.lock);
	return NULL;
}

static void
late_start(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&late.over, &attr);
	pthread_condattr_destroy(&attr);
	late.is_there =
	    pthread_create(&late.thread, NULL, late_main, NULL) == 0;
}

static void
late_stop(void)
{
	pthread_mutex_lock(&late.lock);
	late.is_over = true;
	pthread_cond_signal(&late.over);
	pthread_mutex_unlock(&late.lock);
	if (late.is_there)
		pthread_join(late.thread, NULL);
	pthread_cond_destroy(&late.over);
}

int
daemon_end(void)
{
	int status = 0;

	/* Who says that it stops is killed when it goes on. */
	notify_systemd(is_restart() ? "RELOADING=1" : "STOPPING=1");
	log_info(&log_daemon, "stops");
	late_start();
	loops_end();
	main_run();
	modules_unload();
	commands_fini();
	reload_settle();
	certs_drop();
	tls_trust_drop();
	edited_fini();
	hosts_fini();
	datadir_close();
	late_stop();
	if (is_restart()) {
		restart();
		status = 1;
	} else {
		log_info(&log_daemon, "stopped");
	}
	conf_use(NULL);
	conf_free(&daemon_conf);
	modules_set_dir(NULL);
	close(d.signals);
	arena_free(&d.arena);
	return status;
}
